"""A data set as a CSV file: `image,tags`, with further columns where something would be lost without them.

The counterpart of `csv_table`, which reads all of it back without an option. Knows nothing of pixels.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.errors import InputError
from labelbeam.formats.parts.list_file import new_list_file
from labelbeam.formats.parts.lost_notes import order_note
from labelbeam.formats.parts.writable import encodable, refuse_unwritable, refuse_unwritable_images
from labelbeam.formats.tables.cells import NO_LABEL, SUSPICIOUS
from labelbeam.labels.targets import PRESENT, UNKNOWN

_CHUNK = 65_536


def write_csv(
    dataset: Dataset,
    path: Path,
    *,
    split: str = "",
    images: str = "keep",
    splits: Sequence[str] | None = None,
) -> tuple[str, ...]:
    """Write a data set as a CSV file.

    The columns are `image,tags`; `unknown`, where labels are; `absent`, in the first row only, for labels that no
    row has or does not know; `split`, where there is one. Labels are separated by `;`. Where names hold
    characters that separate labels in some files, or words that stand for "no label", every cell is a list as
    Python and JSON write it: `["traffic light", "a;b"]`.

    Args:
        dataset: what to write.
        path: the file to appear.
        split: the value of the column `split`; empty: no such column.
        images: `keep`, `link` or `copy`.
        splits: the column `split`, a value for each image; None: `split` is every image's.

    Returns:
        Sentences about what the file does not hold: the order of the labels.

    Raises:
        InputError: something is at `path`; a label or an image's name that would not come back as it is.
    """
    spec = f"csv:{path}" + (f"#{split}" if split else "")
    names = dataset.vocabulary.names
    refuse_unwritable(names, spec, control=False)
    values = [split] * len(dataset) if splits is None else splits
    for value in set(values):
        if value != value.strip() or not encodable(value):
            raise InputError(f"{spec}: the split {value!r} cannot be written in a cell. Rename it.")
    with new_list_file(dataset, path, images=images, spec=spec) as (part, references):
        refuse_unwritable_images(references, spec, control=False, blanks=False)
        with part.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            columns = _columns(dataset)
            if any(values):
                columns["split"] = values
            rows.writerow(["image", *columns])
            rows.writerows(zip(references, *columns.values(), strict=True))
    return order_note(dataset)


def _columns(dataset: Dataset) -> dict[str, Iterable[str]]:
    """Return the cells of each column of labels."""
    names = dataset.vocabulary.names
    some, most = {PRESENT: np.zeros(len(names), bool), UNKNOWN: np.zeros(len(names), bool)}, 0
    for start in range(0, len(dataset), _CHUNK):
        for value, seen in some.items():
            chunk = dataset.targets[start : start + _CHUNK] == value
            seen |= chunk.any(axis=0)
            most = max(most, int(chunk.sum(axis=1).max()))
    unsaid = [name for j, name in enumerate(names) if not some[PRESENT][j] and not some[UNKNOWN][j]]
    # A blank is known not to separate where a semicolon does.
    blank = any(" " in name for name in names) and max(most, len(unsaid)) < 2
    as_list = blank or not all(map(is_plain, names))
    columns: dict[str, Iterable[str]] = {"tags": _cells(dataset, PRESENT, as_list=as_list)}
    if some[UNKNOWN].any():
        columns["unknown"] = _cells(dataset, UNKNOWN, as_list=as_list)
    if unsaid:
        columns["absent"] = [labels_cell(unsaid, as_list=as_list), *[""] * (len(dataset) - 1)]
    return columns


def _cells(dataset: Dataset, value: int, *, as_list: bool) -> Iterator[str]:
    names = dataset.vocabulary.names
    for row in dataset.targets:
        yield labels_cell([names[j] for j in np.flatnonzero(row == value)], as_list=as_list)


def labels_cell(labels: list[str], *, as_list: bool) -> str:
    """Return the cell of an image's labels: separated by semicolons, or a list as Python and JSON write it."""
    if not labels:
        return ""
    return json.dumps(labels, ensure_ascii=False) if as_list else ";".join(labels)


def is_plain(name: str) -> bool:
    """Return whether a name between semicolons is read as it is, whichever others are there."""
    odd = any(mark in name for mark in SUSPICIOUS) or name.casefold() in NO_LABEL or name[0] in "[("
    return not odd and name.isprintable()
