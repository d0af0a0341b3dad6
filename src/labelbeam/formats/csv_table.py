"""Labels in a CSV file, in the dialects seen in the wild, as a data set.

Joins the steps: `csv_rows` (text), `csv_layouts` and `csv_cells` (names), then images, splits and repeats,
here. Every note says what was understood, so that a misreading shows at once. Knows nothing of pixels.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.data.options import DEFAULTS, ReadOptions
from labelbeam.data.presence import settle
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.csv_cells import refuse_combinations, refuse_reserved, variants_note
from labelbeam.formats.csv_layouts import LabelledRow, LabelledRows, read_layout
from labelbeam.formats.csv_rows import read_table
from labelbeam.labels.targets import PRESENT
from labelbeam.labels.vocabulary import Vocabulary


def read_csv(file: Path, split: str = "", *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a CSV file of images and labels.

    Layouts: `image,tags` with a delimiter or a Python list in the cell; one column per label; one row per
    image and label (Open Images); ragged rows (Vertex). The labels are those of the whole file, whatever the
    split.

    Args:
        file: the CSV file.
        split: a value of the column `split`; empty or `all`: every row.
        options: all that name CSV, and `keep_unlabelled`, `missing`.

    Returns:
        The data set; image keys are the paths as written, with forward slashes. Names are sorted, except with
        one column per label, where they are in the header's order.

    Raises:
        InputError: an encoding, header, delimiter, cell or label that cannot be read or is ambiguous; an
            image given twice with different labels; an unknown split; image files that are missing.
    """
    if file.is_dir():
        raise InputError(f"csv:{file} is a folder. Give the CSV file in it, such as csv:{file / 'tags.csv'}.")
    table = read_table(file, encoding=options.encoding)
    if not table.rows and options.layout != "ragged":
        raise InputError(f"{file} has no row after its first line, {', '.join(table.header)!r}. Is it whole?")
    found = read_layout(table, options)
    _check_labels(found, file, options)
    rows, notes = _with_keys(found.rows, file)
    notes += _leakage(rows)
    rows = _of_split(rows, found, split, file)
    values, repeat_notes = _merge(rows, found, file)
    images = tuple(values)
    dataset = Dataset(
        spec=f"csv:{file}" + (f"#{split}" if split else ""),
        root=options.root or file.parent,
        images=images,
        vocabulary=Vocabulary(found.names),
        targets=_targets(values.values(), found),
        notes=(*notes, *repeat_notes, *variants_note(found.names)),
    )
    summary = _summary(dataset, found.understood)
    return settle(replace(dataset, notes=(summary, *dataset.notes)), options)


def _check_labels(found: LabelledRows, file: Path, options: ReadOptions) -> None:
    if not found.names:
        raise InputError(
            f"{file}: no row has a label, so there is nothing to learn. Check the column of labels."
        )
    refuse_reserved(found.names, str(file))
    if options.combinations == "error":
        refuse_combinations(found.names, str(file))


def _with_keys(rows: list[LabelledRow], file: Path) -> tuple[list[LabelledRow], list[str]]:
    """Return the rows with image paths in one notation, and notes about what was changed."""
    keyed, backslashes, addresses = [], 0, 0
    for row in rows:
        key = row.image
        if not key:
            raise InputError(f"{file}, line {row.line}: the image is empty. Give its path or remove the row.")
        if "\\" in key:
            key, backslashes = key.replace("\\", "/"), backslashes + 1
        if address := re.match(r"[a-z]+[a-z0-9]*://[^/]*/", key):
            key, addresses = key[address.end() :], addresses + 1
        key = key.removeprefix("./")
        keyed.append(row if key == row.image else replace(row, image=key))
    notes = []
    if backslashes:
        notes.append(f"{backslashes} paths have backslashes, which were read as slashes.")
    if addresses:
        notes.append(
            f"{addresses} images are addresses; the part after the host or bucket was read as the path."
        )
    return keyed, notes


def _leakage(rows: list[LabelledRow]) -> list[str]:
    """Return a note about images that are in several splits."""
    splits = defaultdict(set)
    for row in rows:
        if row.split:
            splits[row.image].add(row.split)
    shared = [image for image, names in splits.items() if len(names) > 1]
    if not shared:
        return []
    return [
        f"{len(shared)} images are in several splits, so scores would be too good: {', '.join(shared[:5])}."
    ]


def _of_split(rows: list[LabelledRow], found: LabelledRows, split: str, file: Path) -> list[LabelledRow]:
    if split in {"", "all"} and split not in {row.split for row in rows if row.split}:
        return rows
    names = sorted({row.split for row in rows} - {""})
    if not found.has_splits or not names:
        raise InputError(
            f"csv:{file}#{split}: the file has no column 'split', so it has no split {split!r}. "
            "Leave #… away to read all rows."
        )
    if split not in names:
        raise InputError(f"csv:{file}#{split}: {unknown_name('split', split, names)}")
    return [row for row in rows if row.split == split]


def _merge(
    rows: list[LabelledRow], found: LabelledRows, file: Path
) -> tuple[dict[str, dict[str, int]], list[str]]:
    """Return the values of each image, in order of first appearance, and notes about repeated rows."""
    values: dict[str, dict[str, int]] = {}
    first: dict[str, int] = {}
    repeated: Counter[str] = Counter()
    conflicts = []
    for row in rows:
        known = values.setdefault(row.image, row.values)
        if first.setdefault(row.image, row.line) == row.line:
            continue
        clash = known != row.values
        if not found.one_row_per_image:
            clash = any(known.get(name, value) != value for name, value in row.values.items())
            values[row.image] = {**known, **row.values}
        if clash:
            conflicts.append(f"{row.image} (lines {first[row.image]} and {row.line})")
        repeated[row.image] += 1
    if conflicts:
        raise InputError(
            f"{file}: {len(conflicts)} rows repeat an image with different labels: "
            f"{', '.join(conflicts[:5])}. "
            "Keep one row per image; if each row holds one of its labels, pass --layout long."
        )
    if repeated and found.one_row_per_image:
        shown = ", ".join(list(repeated)[:5])
        return values, [
            f"{repeated.total()} rows repeat an image with the same labels and were merged: {shown}."
        ]
    return values, []


def _targets(values: Iterable[dict[str, int]], found: LabelledRows) -> np.ndarray:
    """Return int8 [images labels]."""
    said = list(values)
    column = {name: j for j, name in enumerate(found.names)}
    targets = np.full((len(said), len(column)), found.unsaid, dtype=np.int8)
    for row, names in zip(targets, said, strict=True):
        for name, value in names.items():
            row[column[name]] = value
    return targets


def _summary(dataset: Dataset, understood: str) -> str:
    """Return the sentence that says what was understood."""
    labelled = (dataset.targets == PRESENT).any(axis=1)
    example = dataset.example(int(labelled.argmax()))
    without = int((~labelled).sum())
    return (
        f"this is what I understood: {len(dataset):,} images, {len(dataset.vocabulary):,} labels, "
        f"{understood}, e.g. {example.image} -> {', '.join(example.present[:5]) or 'no label'}"
        + (f"; {without:,} images without a label." if without else ".")
    )
