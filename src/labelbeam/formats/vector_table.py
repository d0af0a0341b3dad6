"""What every file of vectors gives: rows of features with ids, and labels and splits where it has them.

Also the two ways in which such files write labels: a matrix of numbers, or names. Knows no file format.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int8

from labelbeam.data.feature_rows import FeatureRows
from labelbeam.errors import InputError
from labelbeam.formats.cells import recognise
from labelbeam.labels.names import clean
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN


@dataclass(frozen=True, eq=False)
class VectorTable:
    """Rows of a file of vectors.

    Attributes:
        features: as they lie in the file.
        ids: a name for each row.
        names: of the labels; empty: the file has none.
        targets: int8 [rows labels] of 1, 0 and -1 (unknown); None: the file has no labels.
        splits: of each row, where the file says so.
        notes: what was understood, in sentences.
    """

    features: FeatureRows
    ids: tuple[str, ...]
    names: tuple[str, ...] = ()
    targets: Int8[np.ndarray, "rows labels"] | None = None
    splits: Sequence[str] | None = None
    notes: tuple[str, ...] = ()

    def check(self, spec: str) -> "VectorTable":
        """Return the table; refuse columns of different length and names that are there twice.

        Raises:
            InputError: with the numbers, or the names.
        """
        counts = {"ids": len(self.ids)}
        if self.targets is not None:
            counts["labels"] = len(self.targets)
        if self.splits is not None:
            counts["splits"] = len(self.splits)
        for what, count in counts.items():
            if count != len(self.features):
                raise InputError(
                    f"{spec}: {len(self.features):,} rows of features and {count:,} rows of {what}; they must be as "
                    "many. Were both written from the same data?"
                )
        if self.targets is not None and self.targets.shape[1] != len(self.names):
            raise InputError(
                f"{spec}: {self.targets.shape[1]} columns of labels and {len(self.names)} names of labels; they must "
                "be as many."
            )
        for what, names in (("label", self.names), ("feature", self.features.names)):
            if len(set(names)) < len(names):
                seen: set[str] = set()
                twice = [name for name in names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
                raise InputError(f"{spec}: each {what} needs a name of its own; given twice: {twice[:5]}.")
        return self


def targets_of_numbers(values: np.ndarray, spec: str) -> Int8[np.ndarray, "rows labels"]:
    """Return a matrix of labels as targets: 1 present, 0 absent, -1 or NaN unknown.

    Raises:
        InputError: another shape, or other values (they are named).
    """
    if values.ndim != 2:
        raise InputError(
            f"{spec}: labels must be a matrix, a column for each label; given the shape {list(values.shape)}."
        )
    if values.dtype == np.bool_:
        return values.astype(np.int8)
    unknown = np.isnan(values) if np.issubdtype(values.dtype, np.floating) else np.zeros(values.shape, bool)
    fine = unknown | (values == PRESENT) | (values == ABSENT) | (values == UNKNOWN)
    if not fine.all():
        shown = ", ".join(map(str, np.unique(values[~fine])[:5].tolist()))
        row = int(np.argwhere(~fine)[0][0]) + 1
        raise InputError(
            f"{spec}: labels must be 1 (present), 0 (absent), -1 or NaN (unknown); given {shown}, first in row {row}. "
            "Class numbers in one column are written as names, or as a column for each."
        )
    return np.where(unknown, UNKNOWN, values).astype(np.int8)


def targets_of_names(
    rows: Sequence[Sequence[str]], names: Sequence[str] | None = None
) -> tuple[tuple[str, ...], Int8[np.ndarray, "rows labels"]]:
    """Return label names, sorted, and the targets of rows that list theirs; what a row does not list is absent.

    Args:
        rows: labels of each row.
        names: labels in their order, where they are known; others come after them.
    """
    cleaned = [[clean(name) for name in row] for row in rows]
    known = list(names or ())
    more = sorted({name for row in cleaned for name in row if name} - set(known))
    column = {name: j for j, name in enumerate([*known, *more])}
    targets = np.zeros((len(rows), len(column)), dtype=np.int8)
    for target, row in zip(targets, cleaned, strict=True):
        target[[column[name] for name in row if name]] = PRESENT
    return tuple(column), targets


def names_in_cells(cells: Iterable[str], where: str) -> list[list[str]]:
    """Return the label names of cells of text, as the cells themselves show what separates them.

    Raises:
        InputError: cells that can be read in two ways.
    """
    cells = list(cells)
    style = recognise(cells, where)
    return [style.labels(cell) for cell in cells]


def distinct_ids(ids: Iterable[object], spec: str) -> tuple[str, ...]:
    """Return ids as texts.

    Raises:
        InputError: an id that is there twice, or an empty one.
    """
    texts = tuple(map(str, ids))
    if len(set(texts)) < len(texts) or "" in texts:
        seen: set[str] = set()
        twice = [one for one in texts if one in seen or seen.add(one)]  # type: ignore[func-returns-value]
        raise InputError(
            f"{spec}: each row needs an id of its own; given more than once: {(twice or [''])[:5]}."
        )
    return texts
