"""Seconds and memory to read a CSV file of a million rows with a thousand labels, in each layout.

    python benchmarks/read_csv.py                    # 1,000,000 rows, 1,000 labels, layout tags
    python benchmarks/read_csv.py --layout one-hot --rows 100000

The file is made in a temporary folder (one-hot: two bytes per row and label). An image has 1 to 9 labels, rarer the
greater their number. The peak is the whole process's, interpreter and modules included; int8 targets alone are
rows x labels bytes.
"""

import argparse
import resource
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--labels", type=int, default=1_000)
    parser.add_argument("--layout", choices=("tags", "one-hot", "long", "ragged"), default="tags")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tags.csv"
        write_file(file, asked.layout, asked.rows, asked.labels)
        before, start = peak(), time.perf_counter()
        options = ReadOptions(missing="keep", layout=asked.layout)
        dataset = open_dataset(f"csv:{file}", options=options)
        seconds = time.perf_counter() - start
    print(dataset.notes[0])
    size = f"{len(dataset):,} images x {len(dataset.vocabulary):,} labels, layout {asked.layout}"
    print(f"{size}: {seconds:.1f} s, peak {peak():.2f} GiB ({before:.2f} GiB before)")


if __name__ == "__main__":
    main()
