"""Labelled rows of a file as a data set: labels row by row in little memory, image keys, splits, repeats."""

import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int, Int8

from labelbeam.data.dataset import Dataset, ReadOptions, settle
from labelbeam.data.finder import find_images
from labelbeam.data.listing import SUFFIXES
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.cells import refuse_combinations
from labelbeam.formats.documents import LONGEST, image_key
from labelbeam.formats.labelled_images import understood
from labelbeam.labels.names import refuse_reserved, variants_note
from labelbeam.labels.vocabulary import Vocabulary

_CHUNK = 65_536
_MORE = re.compile(r"\.(?:jpe?g|png|gif|webp|tiff?|bmp|heic|avif)[\s;,|]", re.IGNORECASE)
"""An image's name ends, and something follows: a line whose separator is not the header's."""

_ORDINARY = re.compile(r"[\w+-]+(?:[./][\w+-]+)*", re.ASCII)
"""A key as it is written."""


@dataclass(frozen=True, eq=False)
class SparseLabels:
    """Rows that say something of few labels.

    Attributes:
        offsets: int64 [rows+1]; row `r` has the entries from `offsets[r]` up to `offsets[r + 1]`.
        ids: int32 [entries], label ids, each at most once a row.
        values: int8 [entries] of PRESENT, ABSENT, UNKNOWN.
        unsaid: the value of a label of which a row says nothing.
        num_labels: how many labels there are.
    """

    offsets: np.ndarray
    ids: np.ndarray
    values: np.ndarray
    unsaid: int
    num_labels: int

    @staticmethod
    def of_rows(rows: Iterable[Mapping[int, int]], *, unsaid: int, num_labels: int) -> "SparseLabels":
        """Return what rows say, each a mapping of label id to value.

        Example:
            >>> SparseLabels.of_rows([{0: 1}, {}, {1: 1, 0: -1}], unsaid=0, num_labels=2).matrix().tolist()
            [[1, 0], [0, 0], [-1, 1]]
        """
        offsets, ids, values = array("q", [0]), array("i"), array("b")
        for row in rows:
            ids.extend(row)
            values.extend(row.values())
            offsets.append(len(ids))
        return SparseLabels(
            np.frombuffer(offsets, np.int64),
            np.frombuffer(ids, np.int32),
            np.frombuffer(values, np.int8),
            unsaid,
            num_labels,
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def rows(self, picked: Int[np.ndarray, " picked"]) -> "SparseLabels":
        """Return the rows at those positions, which may repeat."""
        starts, counts = self.offsets[picked], np.diff(self.offsets)[picked]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        at = np.repeat(starts - offsets[:-1], counts) + np.arange(offsets[-1])
        return SparseLabels(offsets, self.ids[at], self.values[at], self.unsaid, self.num_labels)

    def same(self, a: int, b: int) -> bool:
        """Return whether two rows say the same."""
        return self._row(a) == self._row(b)

    def matrix(self) -> Int8[np.ndarray, "rows labels"]:
        """Return every row's values."""
        return self.merged(np.arange(len(self)), len(self))[0]

    def merged(
        self, image: Int[np.ndarray, " rows"], num_images: int
    ) -> tuple[Int8[np.ndarray, "images labels"], Int[np.ndarray, " clashes"]]:
        """Return the values of images that several rows may speak of, and the rows that contradict others."""
        shape = (num_images, self.num_labels)
        # zeros() takes no memory until it is written to.
        targets = np.full(shape, self.unsaid, np.int8) if self.unsaid else np.zeros(shape, np.int8)
        row = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        targets[image[row], self.ids] = self.values
        # Of entries that contradict each other the last one stays, and the others notice.
        clashes = row[targets[image[row], self.ids] != self.values]
        return targets, np.unique(clashes)

    def _row(self, r: int) -> dict[int, int]:
        entries = slice(self.offsets[r], self.offsets[r + 1])
        return dict(zip(self.ids[entries].tolist(), self.values[entries].tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class DenseLabels:
    """Rows that say something of every label.

    Attributes:
        values: int8 [rows labels] of PRESENT, ABSENT, UNKNOWN; `take` writes into it.
    """

    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def same(self, a: int, b: int) -> bool:
        """Return whether two rows say the same."""
        return bool((self.values[a] == self.values[b]).all())

    def take(self, picked: Int[np.ndarray, " picked"]) -> Int8[np.ndarray, "picked labels"]:
        """Return the rows at those positions, in rising order, and lose the others.

        They move up inside the array: beside a matrix of a gigabyte there is no room for another.
        """
        for start in range(0, len(picked), _CHUNK):
            rows = picked[start : start + _CHUNK]
            if rows[-1] != start + len(rows) - 1:
                self.values[start : start + len(rows)] = self.values[rows]
        kept = self.values[: len(picked)]
        return kept.copy() if 2 * len(picked) < len(self.values) else kept


class LabelEntries:
    """Rows of labels with their values; a name is stored once, however many rows have it.

    Example:
        >>> entries = LabelEntries()
        >>> entries.add_row([("dog", 1), ("cat", 1)])
        >>> entries.add_row([("cat", -1)])
        >>> names, labels = entries.sorted_labels(unsaid=0)
        >>> names, labels.matrix().tolist()
        (('cat', 'dog'), [[1, 1], [-1, 0]])
    """

    def __init__(self) -> None:
        self._id_of: dict[str, int] = {}
        self._offsets = array("q", [0])
        self._ids = array("i")
        self._values = array("b")

    def id_of(self, name: str) -> int:
        """Return the number of a name, a new one where it is new."""
        return self._id_of.setdefault(name, len(self._id_of))

    def add_row(self, labels: Iterable[tuple[str, int]]) -> None:
        """Add a row of names, each once, with their values."""
        for name, value in labels:
            self._ids.append(self._id_of.setdefault(name, len(self._id_of)))
            self._values.append(value)
        self._offsets.append(len(self._ids))

    def add_ids(self, ids: Iterable[int], value: int) -> None:
        """Add a row of names by their numbers, each once."""
        self._ids.extend(ids)
        self._values.extend([value] * (len(self._ids) - len(self._values)))
        self._offsets.append(len(self._ids))

    def sorted_labels(self, unsaid: int) -> tuple[tuple[str, ...], SparseLabels]:
        """Return the names, sorted, and what the rows say of them."""
        names = tuple(sorted(self._id_of))
        new_ids = np.zeros(len(names), dtype=np.int32)
        for position, name in enumerate(names):
            new_ids[self._id_of[name]] = position
        labels = SparseLabels(
            np.frombuffer(self._offsets, np.int64),
            new_ids[np.frombuffer(self._ids, np.int32)],
            np.frombuffer(self._values, np.int8),
            unsaid,
            len(names),
        )
        return names, labels


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """All rows of a file, read in one layout.

    Attributes:
        source: what to call the file in messages.
        images: the image of each row, as written.
        lines: line number of each row.
        splits: the split of each row, empty where it names none; no entry at all where rows have no split.
        names: every label name, in the data set's order.
        labels: what each row says of them.
        layout: how the labels are written, in words for the user.
        one_row_per_image: whether an image that occurs again is a mistake.
        taken_apart: whether the file itself says where each label ends, so that none can be a combination.
        notes: what else the reader of the layout has to say.
    """

    source: str
    images: Sequence[str]
    lines: Sequence[int]
    splits: Sequence[str]
    names: tuple[str, ...]
    labels: SparseLabels | DenseLabels
    layout: str
    one_row_per_image: bool = True
    taken_apart: bool = False
    notes: tuple[str, ...] = ()


def dataset_of_rows(
    found: LabelledRows, split: str, *, spec: str, root: Path, options: ReadOptions, notes: Sequence[str] = ()
) -> Dataset:
    """Return the data set that rows describe.

    Args:
        found: the rows of the whole file; a dense matrix among them is used up.
        split: a split of the rows; empty or `all`: every row.
        root: folder that relative image paths start from.
        options: `combinations`, `keep_unlabelled`, `missing`, `missing_tags`.
        notes: what the reader has to say besides.

    Raises:
        InputError: no label; a name that is reserved or looks like a combination; a row without image; an
            image given twice with different labels; an unknown split; image files that are missing.
    """
    _check_labels(found, options)
    if isinstance(found.labels, SparseLabels) and options.unsaid < found.labels.unsaid:
        found = replace(found, labels=replace(found.labels, unsaid=options.unsaid))
    keys, key_notes = _keys(found)
    root, keys = _apart_by_subset(root, keys, found.splits)
    leakage = _leakage(keys, found.splits)
    picked = _rows_of_split(found, split, spec)
    images, targets, repeat_notes = _merged(found, keys, picked)
    summary = understood(images, found.names, targets, found.layout)
    every_note = (
        summary,
        *found.notes,
        *notes,
        *key_notes,
        *leakage,
        *repeat_notes,
        *variants_note(found.names),
    )
    every_note += numbers_note(found.names)
    split_of = dict(zip(keys, found.splits, strict=False))
    subsets = [split_of[image] for image in images] if split_of else ()
    dataset = Dataset(spec, root, images, Vocabulary(found.names), targets, notes=every_note)
    return settle(dataset, options, subsets=subsets)


def _apart_by_subset(root: Path, keys: list[str], splits: Sequence[str]) -> tuple[Path, list[str]]:
    """Return folder and keys; where splits have folders of their own, the same name in two of them is two images."""
    first: dict[str, str] = {}
    if not any(
        split and first.setdefault(key, split) != split for key, split in zip(keys, splits, strict=False)
    ):
        return root, keys
    found = find_images(root, keys, subsets=splits)
    there: dict[str, set[str]] = {}
    for written, key in zip(keys, found.keys, strict=True):
        there.setdefault(written, set()).add(key or "")
    if all(len(places) < 2 for places in there.values()):
        return root, keys
    return found.root, [key or written for written, key in zip(keys, found.keys, strict=True)]


def numbers_note(names: Sequence[str]) -> tuple[str, ...]:
    """Return a note where every label is a whole number, as the numbers of classes are; none where not.

    Example:
        >>> numbers_note(["0", "7"]), numbers_note(["7up"])
        (('every label is a number, such as 0: if these are numbers of classes, their names are nowhere.',), ())
    """
    if not names or not all(name.isdecimal() for name in names):
        return ()
    return (
        f"every label is a number, such as {names[0]}: if these are numbers of classes, their names are nowhere.",
    )


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
        if len(written) <= LONGEST and _ORDINARY.fullmatch(written):  # nearly all are
            keys.append(written)
            continue
        if (more := _MORE.search(written)) and not written.lower().endswith(tuple(SUFFIXES)):
            raise InputError(
                f"{found.source}, line {line}: {written[:80]!r} is more than the name of an image: {more[0][-1]!r} "
                "stands where another separator should. Separate every line alike."
            )
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
    labels = found.labels
    if not found.one_row_per_image and isinstance(labels, SparseLabels):
        targets, clashes = labels.rows(picked).merged(np.frombuffer(image_of_row, np.int64), len(place))
        _refuse_contradictions(found, keys, picked[clashes].tolist())
        return tuple(place), targets, []
    _refuse_other_labels(found, keys, [pair for pair in repeats if not labels.same(*pair)])
    kept = np.frombuffer(firsts, np.int64)
    targets = labels.take(kept) if isinstance(labels, DenseLabels) else labels.rows(kept).matrix()
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
