"""What the rows of a file say of labels, kept as small as rows by the million need.

Between the readers of rows and the matrix of a data set. Two forms: a few entries a row, or a whole row of
values. Neither keeps a Python object per row. Knows nothing of names, images and files.
"""

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int8

_CHUNK = 65_536


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

    def renumbered(self, new_ids: Int[np.ndarray, " labels"]) -> "SparseLabels":
        """Return the same with label `j` called `new_ids[j]`."""
        ids = new_ids.astype(np.int32)[self.ids]
        return SparseLabels(self.offsets, ids, self.values, self.unsaid, self.num_labels)

    def same(self, a: int, b: int) -> bool:
        """Return whether two rows say the same."""
        return self._row(a) == self._row(b)

    def matrix(self) -> Int8[np.ndarray, "rows labels"]:
        """Return every row's values."""
        return self.merged(np.arange(len(self)), len(self))[0]

    def merged(
        self, image: Int[np.ndarray, " rows"], num_images: int
    ) -> tuple[Int8[np.ndarray, "images labels"], Int[np.ndarray, " clashes"]]:
        """Return the values of images that several rows may speak of, and the rows that contradict others.

        Args:
            image: the image of each row, from 0 up to `num_images`.
            num_images: how many images there are.
        """
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
