"""Labels in a CSV file, in the dialects seen in the wild: read, and written."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.cells import is_plain
from labelbeam.formats.csv_layouts import read_layout
from labelbeam.formats.csv_rows import opened_table
from labelbeam.formats.labelled_images import with_labels_of_all
from labelbeam.formats.labelled_rows import dataset_of_rows
from labelbeam.formats.placing import (
    encodable,
    new_list_file,
    order_note,
    refuse_unwritable,
    refuse_unwritable_images,
)
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN

# Labels in a CSV file, in the dialects seen in the wild, as a data set.
#
# Joins the steps: `csv_rows` (text), `csv_layouts` with `cells` (names), `labelled_rows`
# (images, splits, repeats). Knows nothing of pixels.

ROBOFLOW_FILE = "_classes.csv"
"""What Roboflow calls the one-hot file that it puts into each split's folder."""


def read_csv(file: Path, split: str = "", *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a CSV file of images and labels.

    Layouts: `image,tags` with a delimiter or a Python list in the cell, and further columns `unknown` and
    `absent` of such cells; one column per label; one row per image and label (Open Images); ragged rows
    (Vertex). The labels are those of the whole file, whatever the split.

    Args:
        file: the CSV file, or a folder whose folders each hold a split's `_classes.csv` (Roboflow).
        split: a value of the column `split`; empty or `all`: every row. Of a Roboflow folder: a folder.
        options: all that name CSV, and `keep_unlabelled`, `missing`.

    Returns:
        The data set; image keys are the paths as written, with forward slashes. Names are sorted, except with
        one column per label, where they are in the header's order.

    Raises:
        InputError: an encoding, header, delimiter, cell or label that cannot be read or is ambiguous; an
            image given twice with different labels; an unknown split; image files that are missing.
    """
    spec = f"csv:{file}" + (f"#{split}" if split else "")
    if file.is_dir():
        files = _roboflow_files(file, split)
        names: dict[str, None] = {}
        for one in files.values():
            with opened_table(one, encoding=options.encoding) as table:
                names |= dict.fromkeys(read_layout(table, options).names)
        return with_labels_of_all(read_csv(files[split], options=options), list(names), options.unsaid)
    with opened_table(file, encoding=options.encoding) as table:
        found = read_layout(table, options)
    return dataset_of_rows(found, split, spec=spec, root=options.root or file.parent, options=options)


def _roboflow_files(folder: Path, split: str) -> dict[str, Path]:
    """Return the files of the splits in a folder that Roboflow exported; the split that was asked for is one."""
    splits = {file.parent.name: file for file in sorted(folder.glob(f"*/{ROBOFLOW_FILE}"))}
    if not splits:
        files = sorted(file.name for file in folder.glob("*.csv"))
        raise InputError(
            f"csv:{folder} is a folder. Give the CSV file in it, such as "
            f"csv:{folder / (files[0] if files else 'tags.csv')}."
        )
    if split not in splits:
        raise InputError(
            f"csv:{folder}#{split}: {unknown_name('split', split, splits)} "
            f"Each has a {ROBOFLOW_FILE} in its folder."
        )
    return splits


# A data set as a CSV file: `image,tags`, with further columns where something would be lost without them.
#
# The counterpart of `csv_table`, which reads all of it back without an option. Knows nothing of pixels.

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
            rows = row_writer(file)
            columns = _columns(dataset)
            if any(values):
                columns["split"] = values
            rows.writerow(["image", *columns])
            rows.writerows(zip(references, *columns.values(), strict=True))
    return order_note(dataset)


class _UnixLines:
    """A file that gets rows ending in CR LF, and holds them ending in LF."""

    def __init__(self, file: io.TextIOBase) -> None:
        self._file = file

    def write(self, row: str) -> int:
        return self._file.write(row.removesuffix("\r\n") + "\n")


def row_writer(file: io.TextIOBase) -> Any:
    r"""Return a writer of rows in which every name survives.

    Python before 3.11.9 quotes a carriage return only where it is part of a line's end (CPython's gh-67044).

    Example:
        >>> from io import StringIO
        >>> file = StringIO()
        >>> _ = row_writer(file).writerow(["a\rb.jpg", "dog"])
        >>> file.getvalue()
        '"a\rb.jpg",dog\n'
    """
    return csv.writer(_UnixLines(file), lineterminator="\r\n")


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
    return (labels_cell(labels, as_list=as_list) for labels in dataset.labels_by_image(value))


def labels_cell(labels: Sequence[str], *, as_list: bool) -> str:
    """Return the cell of an image's labels: separated by semicolons, or a list as Python and JSON write it."""
    if not labels:
        return ""
    return json.dumps(labels, ensure_ascii=False) if as_list else ";".join(labels)
