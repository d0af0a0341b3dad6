"""Memory of `labelbeam tag` over more and more files: it must not grow with their number.

Makes a few small pictures, a folder of hard links to them for each number of files, and an untrained run with
a 32-pixel encoder; then runs the real command line in a process of its own for each number and prints the
peak of that process's resident memory. The verdict compares the largest number with the smallest that already
fills every buffer (at least 1,000 files): growth above 5 % is growth.

    python benchmarks/tag_memory.py --files 1000 10000 100000
    python benchmarks/tag_memory.py --files 1000 10000 100000 --format parquet --store

Takes about three minutes on 2 cores; the time is the pictures', not the memory's. With --store the index of vectors
is counted too, 40 bytes an image. Linux and macOS.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
from labelbeam.joints.build import build_head
from labelbeam.joints.config import configure
from labelbeam.joints.run_directory import Run, save_run
from labelbeam.labels.vocabulary import Vocabulary
from labelbeam.models.handing_over import trained

PICTURES = 16
GROWTH = 0.05


def make_run(folder: Path) -> Path:
    """An untrained run: what is measured does not depend on what it says."""
    encoder = build_encoder(EncoderConfig("tiny", width=16, size=32))
    config = configure(settings=["search.method=beam", "search.beam_width=2"])
    names = tuple(f"label {i}" for i in range(20))
    head = build_head(config, num_labels=len(names), feature_size=encoder.num_features)
    folder.mkdir()
    counts = tuple(range(len(names), 0, -1))
    save_run(Run(config, Vocabulary(names), counts, encoder, trained(head)), folder, metrics={}, opening=[])
    return folder


def make_pictures(folder: Path) -> list[Path]:
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = [folder / f"{i}.jpg" for i in range(PICTURES)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    return paths


def make_files(folder: Path, pictures: list[Path], count: int) -> Path:
    """`count` names in folders of 1,000, as photographs lie."""
    for i in range(count):
        part = folder / f"{i // 1000:04d}"
        if i % 1000 == 0:
            part.mkdir(parents=True)
        (part / f"{i:06d}.jpg").hardlink_to(pictures[i % len(pictures)])
    return folder


def peak_of_tag(run: Path, files: Path, out: Path, options: list[str]) -> tuple[float, float]:
    """Return the peak resident memory of `labelbeam tag` in MiB, and its seconds."""
    command = [sys.executable, "-m", "labelbeam", "tag", str(run), str(files), "--out", str(out), *options]
    started = time.perf_counter()
    with subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    unit = 2**20 if platform.system() == "Darwin" else 2**10
    return used.ru_maxrss / unit, time.perf_counter() - started


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
    peaks: dict[int, float] = {}
    print(f"{'files':>8}  {'peak MiB':>8}  {'seconds':>8}  lines written")
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        os.environ["LABELBEAM_CACHE"] = str(root / "cache")
        run, pictures = make_run(root / "run"), make_pictures(root / "pictures")
        for count in counts:
            files = make_files(root / str(count), pictures, count)
            out = root / f"{count}.{asked.format}"
            store = ["--store", str(root / f"vectors {count}")] if asked.store else []
            peaks[count], seconds = peak_of_tag(run, files, out, ["--engine", asked.engine, *store])
            lines = rows_of(out)
            if lines != count:
                sys.exit(f"{count} files gave {lines} lines")
            print(f"{count:8,}  {peaks[count]:8.0f}  {seconds:8.1f}  {lines:,}", flush=True)
    full = [count for count in counts if count >= 1000]
    if len(full) < 2:
        print("no verdict: give two numbers of files of at least 1,000")
        return
    growth = peaks[full[-1]] / peaks[full[0]] - 1
    verdict = "grows" if growth > GROWTH else "does not grow"
    print(f"from {full[0]:,} to {full[-1]:,} files: {growth:+.1%}; memory {verdict} with the number of files")
    if growth > GROWTH:
        sys.exit(1)


if __name__ == "__main__":
    main()
