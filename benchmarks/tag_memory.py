"""Memory of `labelbeam tag` over more and more files: it must not grow with their number.

Makes small pictures, each with content of its own as photographs have, and an untrained run with a 32-pixel
encoder; then runs the real command line in a process of its own for each number and prints the peak of that
process's resident memory, and what it grew by inside: from the most in the first half of its time to the most in
the second. The verdict is the largest number's second: peaks of the same call differ by some MiB (threads, when
which buffer is made), and Python's table of names, which paths are made of, doubles once, by 4 to 8 MiB. At last,
what listing one folder takes for each name in it, since names are sorted.

    python benchmarks/tag_memory.py --files 1000 10000 100000
    python benchmarks/tag_memory.py --files 1000 10000 100000 --format parquet --store

100,000 pictures take about six minutes on 2 cores, and 400 MB of disk. With --store the index of vectors is counted
too, 40 bytes an image. Linux; the growth inside is not seen on macOS.
"""

import argparse
import io
import os
import platform
import subprocess
import sys
import tempfile
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from labelbeam.data.listing import list_images
from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
from labelbeam.heads.arrays_torch import trained
from labelbeam.labels.vocabulary import Vocabulary
from labelbeam.runs.build import build_head
from labelbeam.runs.config import configure
from labelbeam.runs.run_directory import Run, save_run

PICTURES = 16
"""Different ones to look at; each file has bytes of its own."""

GROWTH = 0.02
"""Share of the peak, that counts as growth when it comes in the second half of a job."""

FEWEST = 10_000
"""Files that fill every buffer in the first half."""


def make_run(folder: Path) -> Path:
    """An untrained run: what is measured does not depend on what it says."""
    encoder = build_encoder(EncoderConfig("tiny", width=16, size=32))
    config = configure(settings=["search.method=beam", "search.beam_width=2"])
    names = tuple(f"label {i}" for i in range(20))
    head = build_head(config, num_labels=len(names), feature_size=encoder.num_features)
    folder.mkdir()
    counts = tuple(range(len(names), 0, -1))
    save_run(Run(config, Vocabulary(names), counts, encoder, trained(head)), folder, opening=[])
    return folder


def make_files(folder: Path, count: int) -> Path:
    """`count` pictures in folders of 1,000, as photographs lie; no two have the same bytes.

    Of the same picture, `tag` computes one and the others wait: how many are encoded together is then up to chance,
    and for each such number PyTorch keeps kernels of its own.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (PICTURES, 32, 32, 3), dtype=np.uint8)
    contents = []
    for picture in pixels:
        written = io.BytesIO()
        Image.fromarray(picture).save(written, "jpeg")
        contents.append(written.getvalue())
    for i in range(count):
        part = folder / f"{i // 1000:04d}"
        if i % 1000 == 0:
            part.mkdir(parents=True)
        # What follows the end of a JPEG is not looked at.
        (part / f"{i:06d}.jpg").write_bytes(contents[i % PICTURES] + i.to_bytes(4))
    return folder


@dataclass(frozen=True)
class Use:
    """What a call of `tag` used.

    Attributes:
        peak: resident memory at most, MiB.
        second_half: what anonymous memory grew by, MiB, from the most in the first half of the time to the most in the
            second; None where it was not seen.
        seconds: by the clock.
    """

    peak: float
    second_half: float | None
    seconds: float


def use_of_tag(run: Path, files: Path, out: Path, options: list[str]) -> Use:
    """Run `labelbeam tag` and look at its memory while it runs."""
    command = [sys.executable, "-m", "labelbeam", "tag", str(run), str(files), "--out", str(out), *options]
    started = time.perf_counter()
    seen: list[float] = []
    with subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            seen += anonymous(process.pid)
            time.sleep(0.1)
        _, status, used = ended
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    unit = 2**20 if platform.system() == "Darwin" else 2**10
    half = len(seen) // 2
    grown = max(seen[half:]) - max(seen[:half]) if half else None
    return Use(used.ru_maxrss / unit, grown, time.perf_counter() - started)


def anonymous(process: int) -> list[float]:
    """Return what a process holds in memory besides files, MiB; nothing where the system does not say, or it ended."""
    told = Path(f"/proc/{process}/status")
    try:
        lines = told.read_text().splitlines()
    except OSError:
        return []
    return [int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon")]


def bytes_a_name(folder: Path, *, count: int = 20_000) -> float:
    """Return the most that listing one folder of many files takes for each of them."""
    folder.mkdir()
    for i in range(count):
        (folder / f"IMG_{i:07d}.jpg").touch()
    tracemalloc.start()
    for _ in list_images([folder]):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / count


def rows_of(out: Path) -> int:
    """Count the files that a result speaks of."""
    if out.suffix == ".parquet":
        from pyarrow.parquet import ParquetFile

        return ParquetFile(out).metadata.num_rows
    with out.open(encoding="utf-8") as file:
        return sum(1 for _ in file) - (out.suffix == ".csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[100, 1000, 10_000, 100_000])
    parser.add_argument("--format", choices=["jsonl", "csv", "parquet"], default="jsonl")
    parser.add_argument(
        "--engine",
        default="torch",
        help="the same for all: by itself, tag takes another one for large jobs, which costs memory of its own",
    )
    parser.add_argument("--store", action="store_true", help="keep the vectors too")
    asked = parser.parse_args()
    counts = sorted(asked.files)
    uses: dict[int, Use] = {}
    print(f"{'files':>8}  {'peak MiB':>8}  {'second half':>11}  {'seconds':>8}  lines written")
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        os.environ["LABELBEAM_CACHE"] = str(root / "cache")
        run = make_run(root / "run")
        for count in counts:
            files = make_files(root / str(count), count)
            out = root / f"{count}.{asked.format}"
            store = ["--store", str(root / f"vectors {count}")] if asked.store else []
            use = use_of_tag(run, files, out, ["--engine", asked.engine, *store])
            lines = rows_of(out)
            if lines != count:
                sys.exit(f"{count} files gave {lines} lines")
            uses[count] = use
            grown = "" if use.second_half is None else f"{use.second_half:+.1f}"
            print(f"{count:8,}  {use.peak:8.0f}  {grown:>11}  {use.seconds:8.1f}  {lines:,}", flush=True)
        print(f"one folder: {bytes_a_name(root / 'flat'):.0f} bytes for each name in it")
    first, last = uses[counts[0]], uses[counts[-1]]
    print(f"peak of {counts[-1]:,} files: {last.peak / first.peak:.2f} times that of {counts[0]:,}")
    if last.second_half is None or counts[-1] < FEWEST:
        print(f"no verdict: that needs {FEWEST:,} files, and a system that says what a process holds")
        return
    grows = last.second_half > GROWTH * last.peak
    print(f"memory {'grows' if grows else 'does not grow'} with the number of files")
    if grows:
        sys.exit(1)


if __name__ == "__main__":
    main()
