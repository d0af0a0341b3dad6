"""Labels by name as they turn up row by row, as numbers: what `said_labels` holds and the names beside it.

Between the readers of rows and `said_labels`. Knows nothing of files.
"""

from array import array
from collections.abc import Iterable

import numpy as np

from labelbeam.formats.tables.said_labels import SparseLabels


class LabelEntries:
    """Rows of labels with their values; a name is stored once, however many rows have it.

    Example:
        >>> entries = LabelEntries()
        >>> entries.add_row([("dog", 1), ("cat", 1)])
        >>> entries.add_row([("cat", -1)])
        >>> names, said = entries.sorted_labels(unsaid=0)
        >>> names, said.matrix().tolist()
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
        """Return the names, sorted, and what the rows say of them.

        Args:
            unsaid: the value of a label of which a row says nothing.
        """
        names = tuple(sorted(self._id_of))
        new_ids = np.zeros(len(names), dtype=np.int32)
        for position, name in enumerate(names):
            new_ids[self._id_of[name]] = position
        said = SparseLabels(
            np.frombuffer(self._offsets, np.int64),
            new_ids[np.frombuffer(self._ids, np.int32)],
            np.frombuffer(self._values, np.int8),
            unsaid,
            len(names),
        )
        return names, said
