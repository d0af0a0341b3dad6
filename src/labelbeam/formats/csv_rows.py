"""A CSV file as rows of text: encoding, separator, header; one row at a time, however long the file is.

The first step of the CSV reader. Knows nothing of images and labels.
"""

import csv
import re
from array import array
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

from labelbeam.errors import InputError
from labelbeam.formats.cells import NO_LABEL, CellStyle, recognise
from labelbeam.formats.labelled_rows import LabelEntries, SparseLabels
from labelbeam.labels.vocabulary import ABSENT

if TYPE_CHECKING:
    import _csv

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
"""What may stand between the fields of a row, as the header shows."""


@dataclass(frozen=True)
class Table:
    """Rows of text under a header.

    Attributes:
        source: what to call the file in messages.
        header: field names, trimmed.
        separator: what stands between fields.
        header_line: line number of the header.
        rows: line number in the file (its first where a row has several), and as many trimmed fields as the
            row has; blank rows are left out. They can be gone through once.
        file: where the rows come from.
        encoding: the codec that was asked for; None: UTF-8.
        first_line: line number of the first row.
    """

    source: str
    header: tuple[str, ...]
    separator: str
    header_line: int
    rows: Iterator[tuple[int, list[str]]]
    file: Path
    encoding: str | None
    first_line: int

    def column(self, name: str) -> int:
        """Return the position of a column."""
        return self.header.index(name)


@contextmanager
def opened_table(file: Path, *, encoding: str | None = None) -> Iterator[Table]:
    r"""Open a CSV file; the separator is the one that its header has.

    Args:
        file: the file; it stays open inside the block.
        encoding: a codec's name; None: UTF-8, or UTF-16 with its byte order mark.

    Yields:
        The table.

    Raises:
        InputError: here or while the rows are gone through: not in that encoding (the one that works is
            named), no such encoding, no line, a header with several separators, or quotation marks that do
            not close.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "a.csv").write_text("image,tags\na.jpg, cat")
        ...     with opened_table(Path(folder) / "a.csv") as table:
        ...         table.header, list(table.rows)
        (('image', 'tags'), [(2, ['a.jpg', 'cat'])])
    """
    if encoding is None:
        encoding = _utf16_of(file)
    try:
        text = file.open(encoding=encoding or "utf-8-sig", newline="")
    except LookupError:
        raise InputError(
            f"there is no encoding {encoding!r}. Use --encoding cp932, utf-8, latin-1, …"
        ) from None
    with text:
        try:
            first = _first_lines(text)
            if first and re.fullmatch(
                r'"?sep=.?"?\s*', first[-1]
            ):  # Excel's own line, which the header says again
                first[-1] = "\n"
                first += _first_lines(text)
            if not first:
                raise InputError(
                    f"{file} is empty. A CSV file starts with the names of its columns, such as image,tags."
                )
            separator = _separator(first[-1], file)
            lines = chain(first, text)
            reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
            rows = _trimmed_rows(reader, file)
            line, header = next(rows, (1, []))
            if not header:
                raise InputError(f"{file}: the first line has separators and nothing else. Name the columns.")
            yield Table(str(file), tuple(header), separator, line, rows, file, encoding, reader.line_num + 1)
        except UnicodeError:
            raise _wrong_encoding(file, encoding) from None


def _utf16_of(file: Path) -> str | None:
    """Return the codec of a file in UTF-16, by its byte order mark or by the zero bytes beside letters."""
    with file.open("rb") as opened:
        head = opened.read(4)
    if head[:2] in (BOM_UTF16_LE, BOM_UTF16_BE):
        return "utf-16"
    return {(False, True): "utf-16-le", (True, False): "utf-16-be"}.get(
        (head[::2] == b"\0\0", head[1::2] == b"\0\0")
    )


def _first_lines(text: TextIO) -> list[str]:
    """Return the lines up to the first one that is not blank; none where all are."""
    lines: list[str] = []
    for line in text:
        lines.append(line if lines else line.removeprefix("\ufeff"))
        if lines[-1].strip():
            return lines
    return []


def _trimmed_rows(reader: "_csv.Reader", file: Path) -> Iterator[tuple[int, list[str]]]:
    line = 1
    try:
        for fields in reader:
            trimmed = [field.strip() for field in fields]
            if any(trimmed):
                yield line, trimmed
            line = reader.line_num + 1
    except csv.Error as error:
        remedy = "Is there a quotation mark that opens and never closes?"
        if "field limit" in str(error):
            remedy += f" If the cell really is that long: {csv.field_size_limit():,} characters are the most."
        raise InputError(f"{file}, line {line}: {error}. {remedy}") from None


def _wrong_encoding(file: Path, encoding: str | None) -> InputError:
    raw = file.read_bytes()
    try:
        raw.decode(encoding or "utf-8-sig")
        detail = "its end is cut off"
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        detail = f"line {line}: {error.reason}, byte {raw[error.start]:#04x}"
    except UnicodeError as error:
        detail = str(error)
    if encoding is not None:
        return InputError(f"{file} is not in the encoding {encoding} ({detail}). Try another --encoding.")
    return InputError(f"{file} is not UTF-8 ({detail}). {_suggested_encoding(raw)}")


def _suggested_encoding(raw: bytes) -> str:
    try:
        shown = raw.decode("cp932").splitlines()[:3]
    except UnicodeDecodeError:
        return "Pass --encoding with the one it is in, such as --encoding cp1252 for Western Windows."
    text = " / ".join(shown)[:120]
    return f"As Japanese Windows text it reads {text!r}: if that is right, pass --encoding cp932."


def _separator(header: str, file: Path) -> str:
    outside_quotes = "".join(header.split('"')[::2])
    found = [separator for separator in SEPARATORS if separator in outside_quotes]
    if len(found) > 1:
        named = " and ".join(SEPARATORS[separator] for separator in found)
        raise InputError(
            f"{file}: the first line has {named} between its fields: {header[:80]!r}. "
            "Separate the columns by one of them only."
        )
    return found[0] if found else "|" if "|" in outside_quotes else ","


# Columns whose cells hold several labels: the distinct cells are kept, and each is taken apart once.
#
# Between `csv_layouts` and `cells`. What separates labels can only be said after the last row; until
# then a row is one number. Knows nothing of images.


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
    if delimiter:
        style = CellStyle(delimiter, given=True)
    else:
        lines: dict[str, int] = {}
        for line, cells in columns.distinct():
            for cell in cells:
                lines.setdefault(cell.strip(), line)
        style = recognise(lines, columns.where, place=lambda cell: f", line {lines[cell]}")
    entries = LabelEntries()
    headers = list(columns.headers.values())
    for line, cells in columns.distinct():
        said: dict[str, tuple[int, str]] = {}
        for value, header, cell in zip(columns.headers, headers, cells, strict=True):
            for absent in style.absent(cell):
                entries.id_of(absent)
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


def _labels(style: CellStyle, cell: str, where: str) -> list[str]:
    if cell.casefold() in NO_LABEL:
        return []
    try:
        return style.labels(cell)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
