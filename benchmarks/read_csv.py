"""Seconds and memory to read a CSV file of a million rows with a thousand labels, in each layout.

    python benchmarks/read_csv.py                    # 1,000,000 rows, 1,000 labels, layout tags
    python benchmarks/read_csv.py --layout one-hot --rows 100000
    python benchmarks/read_csv.py --layout one-hot --rows 300000 --labels 500 --verbs   # and beside polars

The file is made in a temporary folder (one-hot: two bytes per row and label). An image has 1 to 9 labels, rarer the
greater their number. The peak is the whole process's, interpreter and modules included; int8 targets alone are
rows x labels bytes. With `--verbs`, `data inspect`, `split` and `convert` run as commands, and `polars.read_csv` of
the same file on one thread beside them: processor seconds, which other programs on the machine change little.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from labelbeam.data.dataset import ReadOptions
from labelbeam.formats.registry import open_dataset


def write_file(file: Path, layout: str, rows: int, num_labels: int) -> None:
    """Write a file of that layout, row by row."""
    rng = np.random.default_rng(0)
    names = [f"label {j:04}" for j in range(num_labels)]
    header = {"tags": "image,tags", "long": "image,label", "one-hot": ",".join(["image", *names])}
    with file.open("w", encoding="utf-8") as out:
        if layout in header:
            print(header[layout], file=out)
        for start in range(0, rows, 10_000):
            size = min(10_000, rows - start)
            drawn = (num_labels * rng.random((size, 9)) ** 3).astype(int)
            for i, (row, count) in enumerate(zip(drawn, rng.integers(1, 10, size), strict=True), start):
                image, ids = f"{i // 1000:04}/{i:08}.jpg", sorted(set(row[:count].tolist()))
                if layout == "tags":
                    print(image, ";".join(names[j] for j in ids), sep=",", file=out)
                elif layout == "one-hot":
                    cells = bytearray(b"0," * num_labels)
                    for j in ids:
                        cells[2 * j] = ord("1")
                    print(image, cells[:-1].decode(), sep=",", file=out)
                elif layout == "long":
                    out.writelines(f"{image},{names[j]}\n" for j in ids)
                else:
                    print("UNASSIGNED", image, *(names[j] for j in ids), sep=",", file=out)


def peak() -> float:
    """Return the most memory that this process had, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def processor_seconds(*command: str) -> float:
    """Return the processor time of a command, its start included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    threads = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *command], check=True, capture_output=True, env=os.environ | threads)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def show_verbs(file: Path) -> None:
    """Print what polars needs to read a file, and what our verbs need to do their work with it."""
    floor = processor_seconds("-c", f"import polars; polars.read_csv({str(file)!r})")
    print(f"polars.read_csv, one thread: {floor:.1f} s of processor time")
    keep = ("--missing", "keep")
    reading = "from labelbeam.data.dataset import ReadOptions; from labelbeam.formats.registry import open_dataset; "
    verbs = {
        "reading alone": ("-c", f"{reading} open_dataset('csv:{file}', options=ReadOptions(missing='keep'))"),
        "inspect": ("-m", "labelbeam", "data", "inspect", f"csv:{file}", "--no-images", *keep),
        "split": (
            *("-m", "labelbeam", "data", "split", f"csv:{file}", *keep),
            *("--parts", "train=0.8,val=0.2", "--out", f"{file}.split"),
        ),
        "convert": ("-m", "labelbeam", "data", "convert", f"csv:{file}", f"jsonl:{file}.jsonl", *keep),
    }
    for name, command in verbs.items():
        seconds = processor_seconds(*command)
        print(f"{name}: {seconds:.1f} s of processor time, {seconds / floor:.1f} times polars")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--labels", type=int, default=1_000)
    parser.add_argument("--layout", choices=("tags", "one-hot", "long", "ragged"), default="tags")
    parser.add_argument("--verbs", action="store_true", help="run inspect, split and convert, beside polars")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tags.csv"
        write_file(file, asked.layout, asked.rows, asked.labels)
        if asked.verbs:
            return show_verbs(file)
        before, start = peak(), time.perf_counter()
        options = ReadOptions(missing="keep", layout=asked.layout)
        dataset = open_dataset(f"csv:{file}", options=options)
        seconds = time.perf_counter() - start
    print(dataset.notes[0])
    size = f"{len(dataset):,} images x {len(dataset.vocabulary):,} labels, layout {asked.layout}"
    print(f"{size}: {seconds:.1f} s, peak {peak():.2f} GiB ({before:.2f} GiB before)")


if __name__ == "__main__":
    main()
