"""Labelled rows of a file as a data set: image keys in one notation, splits, repeats, the sentence that says all.

After every reader whose file has a row per image (CSV, metadata beside images). What was understood is the
first note, so that a misreading shows at once. Knows nothing of how rows are written, and of pixels.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int8

from labelbeam.data.dataset import Dataset
from labelbeam.data.options import ReadOptions
from labelbeam.data.presence import settle
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.parts.image_keys import image_key
from labelbeam.formats.parts.summary import understood
from labelbeam.formats.tables.cells import refuse_combinations
from labelbeam.formats.tables.said_labels import DenseLabels, SparseLabels
from labelbeam.labels.hygiene import refuse_reserved, variants_note
from labelbeam.labels.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """All rows of a file, read in one layout.

    Attributes:
        source: what to call the file in messages.
        images: the image of each row, as written.
        lines: line number of each row.
        splits: the split of each row, empty where it names none; no entry at all where rows have no split.
        names: every label name, in the data set's order.
        said: what each row says of the labels.
        layout: how the labels are written, in words for the user.
        one_row_per_image: whether an image that occurs again is a mistake.
        taken_apart: whether the file itself says where each label ends, so that none can be a combination.
    """

    source: str
    images: Sequence[str]
    lines: Sequence[int]
    splits: Sequence[str]
    names: tuple[str, ...]
    said: SparseLabels | DenseLabels
    layout: str
    one_row_per_image: bool = True
    taken_apart: bool = False


def dataset_of_rows(
    found: LabelledRows, split: str, *, spec: str, root: Path, options: ReadOptions, notes: Sequence[str] = ()
) -> Dataset:
    """Return the data set that rows describe.

    Args:
        found: the rows of the whole file; a dense matrix among them is used up.
        split: a split of the rows; empty or `all`: every row.
        spec: the data set argument.
        root: folder that relative image paths start from.
        options: `combinations`, `keep_unlabelled`, `missing`.
        notes: what the reader has to say besides.

    Raises:
        InputError: no label; a name that is reserved or looks like a combination; a row without image; an
            image given twice with different labels; an unknown split; image files that are missing.
    """
    _check_labels(found, options)
    keys, key_notes = _keys(found)
    leakage = _leakage(keys, found.splits)
    picked = _rows_of_split(found, split, spec)
    images, targets, repeat_notes = _merged(found, keys, picked)
    summary = understood(images, found.names, targets, found.layout)
    said = (summary, *notes, *key_notes, *leakage, *repeat_notes, *variants_note(found.names))
    return settle(Dataset(spec, root, images, Vocabulary(found.names), targets, notes=said), options)


def _check_labels(found: LabelledRows, options: ReadOptions) -> None:
    if not found.names:
        raise InputError(
            f"{found.source}: no row has a label, so there is nothing to learn. Check the column of labels."
        )
    refuse_reserved(found.names, found.source)
    if options.combinations == "error" and not found.taken_apart:
        refuse_combinations(found.names, found.source)


def _keys(found: LabelledRows) -> tuple[list[str], list[str]]:
    """Return the image key of each row, and notes about what was changed."""
    keys, backslashes, addresses = [], 0, 0
    for written, line in zip(found.images, found.lines, strict=True):
        key = image_key(written, f"{found.source}, line {line}")
        if key != written:
            backslashes += "\\" in written
            addresses += "://" in written
        keys.append(key)
    notes = []
    if backslashes:
        notes.append(f"{backslashes} paths have backslashes, which were read as slashes.")
    if addresses:
        notes.append(
            f"{addresses} images are addresses; the part after the host or bucket was read as the path."
        )
    return keys, notes


def _leakage(keys: list[str], splits: Sequence[str]) -> list[str]:
    """Return a note about images that are in several splits."""
    first: dict[str, str] = {}
    shared: dict[str, None] = {}
    for key, split in zip(keys, splits, strict=False):
        if split and first.setdefault(key, split) != split:
            shared[key] = None
    if not shared:
        return []
    shown = ", ".join(list(shared)[:5])
    return [f"{len(shared)} images are in several splits, so scores would be too good: {shown}."]


def _rows_of_split(found: LabelledRows, split: str, spec: str) -> np.ndarray:
    """Return the positions of the rows of a split, int64 [picked]."""
    names = sorted(set(found.splits) - {""})
    if split == "" or (split == "all" and split not in names):
        return np.arange(len(found.images))
    if not names:
        raise InputError(
            f"{spec}: the file has no column 'split', so it has no split {split!r}. "
            "Leave #… away to read all rows."
        )
    if split not in names:
        raise InputError(f"{spec}: {unknown_name('split', split, names)}")
    return np.array([r for r, of in enumerate(found.splits) if of == split])


def _merged(
    found: LabelledRows, keys: list[str], picked: np.ndarray
) -> tuple[tuple[str, ...], Int8[np.ndarray, "images labels"], list[str]]:
    """Return each image once, in order of first appearance, its values, and notes about repeated rows."""
    place: dict[str, int] = {}
    image_of_row, firsts, repeats = array("q"), array("q"), []
    for r in picked.tolist():
        at = place.setdefault(keys[r], len(place))
        image_of_row.append(at)
        if at == len(firsts):
            firsts.append(r)
        elif found.one_row_per_image:
            repeats.append((r, firsts[at]))
    said = found.said
    if not found.one_row_per_image and isinstance(said, SparseLabels):
        targets, clashes = said.rows(picked).merged(np.frombuffer(image_of_row, np.int64), len(place))
        _refuse_contradictions(found, keys, picked[clashes].tolist())
        return tuple(place), targets, []
    _refuse_other_labels(found, keys, [pair for pair in repeats if not said.same(*pair)])
    kept = np.frombuffer(firsts, np.int64)
    targets = said.take(kept) if isinstance(said, DenseLabels) else said.rows(kept).matrix()
    if not repeats:
        return tuple(place), targets, []
    shown = ", ".join(list(dict.fromkeys(keys[r] for r, _ in repeats))[:5])
    note = f"{len(repeats)} rows repeat an image with the same labels and were merged: {shown}."
    return tuple(place), targets, [note]


def _refuse_other_labels(found: LabelledRows, keys: list[str], clashes: list[tuple[int, int]]) -> None:
    if clashes:
        shown = ", ".join(
            f"{keys[r]} (lines {found.lines[first]} and {found.lines[r]})" for r, first in clashes[:5]
        )
        raise InputError(
            f"{found.source}: {len(clashes)} rows repeat an image with different labels: {shown}. "
            "Keep one row per image; if each row holds one of its labels, pass --layout long."
        )


def _refuse_contradictions(found: LabelledRows, keys: list[str], clashes: list[int]) -> None:
    if clashes:
        shown = ", ".join(f"{keys[r]} (line {found.lines[r]})" for r in clashes[:5])
        raise InputError(
            f"{found.source}: {len(clashes)} rows repeat an image with different labels, a label being "
            f"present in one row and absent or unknown in another: {shown}. Keep one of the rows."
        )
