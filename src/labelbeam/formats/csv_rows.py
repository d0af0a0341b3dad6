"""A CSV file as rows of text: encoding, separator, header.

The first step of the CSV reader. Knows nothing of images and labels.
"""

import csv
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from labelbeam.errors import InputError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
"""What may stand between the fields of a row, as the header shows."""


@dataclass(frozen=True)
class Table:
    """Rows of text under a header.

    Attributes:
        source: what to call the file in messages.
        header: field names, trimmed.
        rows: line number in the file, and as many trimmed fields as the row has.
        separator: what stands between fields.
    """

    source: str
    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    separator: str

    def column(self, name: str) -> int:
        """Return the position of a column."""
        return self.header.index(name)


def read_table(file: Path, *, encoding: str | None = None) -> Table:
    """Read a CSV file; the separator is the one that its header has.

    Args:
        file: the file.
        encoding: a codec's name; None: UTF-8, with or without a byte order mark.

    Returns:
        The table, without its blank lines.

    Raises:
        InputError: not in that encoding (the one that works is named), no such encoding, no line, a header
            with several separators, or quotation marks that do not close.
    """
    text = _decode(file, encoding).removeprefix("\ufeff")
    header = next((line for line in StringIO(text) if line.strip()), "")
    if not header:
        raise InputError(
            f"{file} is empty. A CSV file starts with the names of its columns, such as image,tags."
        )
    separator = _separator(header, file)
    reader = csv.reader(StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    rows: list[tuple[int, tuple[str, ...]]] = []
    try:
        for fields in reader:
            trimmed = tuple(field.strip() for field in fields)
            if any(trimmed):
                rows.append((reader.line_num, trimmed))
    except csv.Error as error:
        raise InputError(
            f"{file}, line {reader.line_num}: {error}. Is there a quotation mark that opens and never closes?"
        ) from None
    return Table(str(file), rows[0][1], tuple(rows[1:]), separator)


def _decode(file: Path, encoding: str | None) -> str:
    raw = file.read_bytes()
    if encoding is not None:
        try:
            return raw.decode(encoding)
        except LookupError:
            raise InputError(
                f"there is no encoding {encoding!r}. Use --encoding cp932, utf-8, latin-1, …"
            ) from None
        except UnicodeDecodeError as error:
            raise InputError(
                f"{file} is not in the encoding {encoding} ({error}). Try another --encoding."
            ) from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{file} is not UTF-8. {_suggested_encoding(raw)}") from None


def _suggested_encoding(raw: bytes) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "It starts like UTF-16: pass --encoding utf-16."
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
    return found[0] if found else ","
