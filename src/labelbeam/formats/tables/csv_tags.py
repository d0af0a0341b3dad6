"""Columns whose cells hold several labels: the distinct cells are kept, and each is taken apart once.

Between `csv_layouts` and `csv_cells`. What separates labels can only be said after the last row; until then a
row is one number. Knows nothing of images.
"""

from array import array
from collections.abc import Iterable, Mapping

import numpy as np

from labelbeam.errors import InputError
from labelbeam.formats.tables.cells import NO_LABEL, CellStyle, recognise
from labelbeam.formats.tables.label_entries import LabelEntries
from labelbeam.formats.tables.said_labels import SparseLabels
from labelbeam.labels.targets import ABSENT


class TagColumns:
    """The cells of a file's columns of labels.

    Attributes:
        source: what to call the file in messages.
        headers: target value to the header of the column whose labels have it; the first is the main one.
    """

    def __init__(self, source: str, headers: Mapping[int, str]) -> None:
        self.source = source
        self.headers = dict(headers)
        self._number: dict[str | tuple[str, ...], int] = {}
        self._first_lines = array("q")
        self._of_row = array("i")

    def add(self, line: int, *cells: str) -> None:
        """Add a row's cells, one per column."""
        key = cells[0] if len(cells) == 1 else cells
        number = self._number.setdefault(key, len(self._number))
        if number == len(self._first_lines):
            self._first_lines.append(line)
        self._of_row.append(number)

    @property
    def where(self) -> str:
        """File and columns, for messages."""
        kind = "column" if len(self.headers) == 1 else "columns"
        return f"{self.source}, {kind} {', '.join(map(repr, self.headers.values()))}"

    def distinct(self) -> Iterable[tuple[int, tuple[str, ...]]]:
        """Return each combination of cells with the first line that has it."""
        for line, key in zip(self._first_lines, self._number, strict=True):
            yield line, (key,) if isinstance(key, str) else key

    def of_rows(self) -> np.ndarray:
        """Return the number of each row's combination of cells in `distinct`, int32 [rows]."""
        return np.frombuffer(self._of_row, np.int32)


def read_tag_cells(
    columns: TagColumns, delimiter: str | None
) -> tuple[tuple[str, ...], SparseLabels, CellStyle]:
    """Take the cells of columns apart.

    Args:
        columns: every row's cells.
        delimiter: what separates labels; None: recognised, or an error.

    Returns:
        The names, sorted; what each row says, the rest being absent; how the cells hold labels.

    Raises:
        InputError: what separates labels is ambiguous; a cell is no list though others are; a label is in
            two columns of a row.
    """
    style = CellStyle(delimiter) if delimiter else recognise(_cells(columns), columns.where)
    entries = LabelEntries()
    headers = list(columns.headers.values())
    for line, cells in columns.distinct():
        said: dict[str, tuple[int, str]] = {}
        for value, header, cell in zip(columns.headers, headers, cells, strict=True):
            for label in _labels(style, cell, f"{columns.source}, line {line}, column {header!r}"):
                if label in said:
                    raise InputError(
                        f"{columns.source}, line {line}: {label!r} is in the columns {said[label][1]!r} and "
                        f"{header!r}. Keep it in one of them."
                    )
                said[label] = (value, header)
        entries.add_row((label, value) for label, (value, _) in said.items())
    names, combinations = entries.sorted_labels(ABSENT)
    return names, combinations.rows(columns.of_rows()), style


def _cells(columns: TagColumns) -> Iterable[str]:
    return (cell for _, cells in columns.distinct() for cell in cells)


def _labels(style: CellStyle, cell: str, where: str) -> list[str]:
    if cell.casefold() in NO_LABEL:
        return []
    try:
        return style.labels(cell)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
