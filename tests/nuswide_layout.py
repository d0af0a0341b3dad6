"""NUS-WIDE's official files, written from label matrices: the layout that tests of its reader need.

Everything is written as bytes, a column at a time, so that all 269,648 rows take a second.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

PARTS = {
    "all": ("AllLabels", ""),
    "train": ("TrainTestLabels", "_Train"),
    "test": ("TrainTestLabels", "_Test"),
}
LISTS = {"all": "Imagelist.txt", "train": "TrainImagelist.txt", "test": "TestImagelist.txt"}


def digits(flags: np.ndarray, *, end: bytes = b"\n", between: bytes = b"\t", trailing: bytes = b"") -> bytes:
    """Return the lines of a file of zeros and ones; `flags`: [rows columns]."""
    rows, columns = flags.shape
    tail = trailing + end
    lines = np.empty((rows, 2 * columns - 1 + len(tail)), dtype=np.uint8)
    lines[:, 0 : 2 * columns : 2] = flags + ord("0")
    lines[:, 1 : 2 * columns - 1 : 2] = ord(between)
    lines[:, 2 * columns - 1 :] = np.frombuffer(tail, dtype=np.uint8)
    return lines.tobytes()


def write_concepts(home: Path, labels: np.ndarray, is_test: np.ndarray, concepts: Sequence[str]) -> None:
    """Write Groundtruth and ConceptsList; `labels`: [rows concepts] of 0 and 1."""
    (home / "ConceptsList").mkdir(parents=True, exist_ok=True)
    (home / "ConceptsList/Concepts81.txt").write_text("".join(f"{concept}\n" for concept in concepts))
    chosen = {"all": slice(None), "train": ~is_test, "test": is_test}
    for part, (folder, ending) in PARTS.items():
        there = home / "Groundtruth" / folder
        there.mkdir(parents=True, exist_ok=True)
        columns = np.asfortranarray(labels[chosen[part]])
        for j, concept in enumerate(concepts):
            (there / f"Labels_{concept}{ending}.txt").write_bytes(digits(columns[:, j : j + 1]))


def write_lists(home: Path, names: Sequence[str], is_test: np.ndarray) -> None:
    """Write ImageList; `names` with forward slashes become the official ones, with backslashes."""
    (home / "ImageList").mkdir(parents=True, exist_ok=True)
    official = np.array([name.replace("/", "\\") for name in names], dtype=object)
    for part, chosen in (("all", official), ("train", official[~is_test]), ("test", official[is_test])):
        (home / "ImageList" / LISTS[part]).write_text("".join(f"{name}\n" for name in chosen))


def write_tags(home: Path, tags: np.ndarray, is_test: np.ndarray, names: Sequence[str]) -> None:
    """Write NUS_WID_Tags of the 1,000 tags; `tags`: [rows tags] of 0 and 1."""
    there = home / "NUS_WID_Tags"
    there.mkdir(parents=True, exist_ok=True)
    (there / "TagList1k.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    files = {"AllTags1k.txt": slice(None), "Train_Tags1k.dat": ~is_test, "Test_Tags1k.dat": is_test}
    for file, chosen in files.items():
        (there / file).write_bytes(digits(tags[chosen], trailing=b"\t"))


def write_photo_ids(home: Path, ids: Sequence[str]) -> None:
    """Write All_Tags.txt: a photo id and words in any language."""
    there = home / "NUS_WID_Tags"
    there.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{photo}      nature 空 \x85 été\n" for photo in ids)
    (there / "All_Tags.txt").write_text(text, encoding="utf-8")
