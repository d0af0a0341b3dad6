"""A million rows of vectors trained from a mapped file: seconds and memory of `labelbeam train`, as rows grow.

    python benchmarks/mapped_rows.py --rows 1000000      # the file takes 1.6 GB on disk
    python benchmarks/mapped_rows.py --rows 50000 100000 # less: memory of the process must not grow with the rows

768 half-precision numbers and 80 labels a row, made up; one epoch, a tenth of the rows held out. Memory is the peak of
what is the process's own (RssAnon, Linux): pages of the file belong to the system, which takes them back when it needs
them. Labels, one byte each, are the process's own. Prints the file's size beside it.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

FEATURES, LABELS, BLOCK = 768, 80, 10_000


def write_file(path: Path, rows: int) -> None:
    """Write features of labels and noise, block by block."""
    random = np.random.default_rng(0)
    directions = random.normal(size=(LABELS, FEATURES)).astype(np.float32)
    labels = np.zeros((rows, LABELS), np.int8)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("features.npy", "w", force_zip64=True) as member:
            header = {"descr": "<f2", "fortran_order": False, "shape": (rows, FEATURES)}
            np.lib.format.write_array_header_1_0(member, header)
            for first in range(0, rows, BLOCK):
                part = labels[first : first + BLOCK]
                part[:] = random.random(part.shape) < 0.03
                noise = random.standard_normal((len(part), FEATURES), dtype=np.float32)
                member.write((part @ directions + 3 * noise).astype("<f2").tobytes())
        for name, array in {
            "labels": labels,
            "names": np.array([f"label {j}" for j in range(LABELS)]),
        }.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def own_memory(process: int) -> int:
    """Return the bytes that a process has for itself, 0 once it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def measure(rows: int, head: str, folder: Path) -> None:
    """Train on so many rows and print what it took."""
    file = folder / f"{rows}.npz"
    write_file(file, rows)
    command = [
        sys.executable,
        "-m",
        "labelbeam",
        "train",
        "--data",
        f"vectors:{file}",
        "--head",
        head,
        "--epochs",
        "1",
    ]
    command += ["--val-fraction", "0.1", "--out", str(folder / f"run {rows}")]
    command += ["--set", "suggester=false", "--set", "calibrate=false"]
    start, peak = time.perf_counter(), 0
    said = folder / "said.txt"
    with said.open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        while process.poll() is None:
            peak = max(peak, own_memory(process.pid))
            time.sleep(0.02)
    if process.returncode:
        sys.exit(said.read_text())
    print(
        f"{head}: {rows:,} rows, file {file.stat().st_size / 1e6:,.0f} MB: {time.perf_counter() - start:.0f} s, "
        f"own memory at most {peak / 1e6:,.0f} MB",
        flush=True,
    )
    file.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--head", default="sigmoid")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for rows in options.rows:
            measure(rows, options.head, Path(folder))


if __name__ == "__main__":
    main()
