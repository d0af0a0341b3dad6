"""NUS-WIDE's files of zeros and ones: one line per image, one number per label, to int8.

Plain lines are taken a block at a time as bytes; lines that differ are read number by number. Knows neither
names nor layout, only lines and columns. Between the files and `nuswide_rows`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int8

from labelbeam.errors import InputError

BLOCK = 1 << 24
"""Bytes in memory at a time."""

LONGEST_LINE = 1 << 16
"""Bytes; the longest official line has 2,002."""


@dataclass(frozen=True)
class OddCells:
    """Numbers of a file that are neither 0 nor 1.

    Attributes:
        file: where they were found.
        line: of the first one, counted from 1.
        column: of the first one, counted from 1.
        value: the first one.
        count: how many there are.
    """

    file: Path
    line: int
    column: int
    value: int
    count: int = 1

    def __str__(self) -> str:
        more = f" (and {self.count - 1:,} more like it)" if self.count > 1 else ""
        return f"{self.file.name} line {self.line} holds {str(self.value)[:20]}{more}"


def read_flags(
    file: Path, *, rows: int, columns: int, of: str
) -> tuple[Int8[np.ndarray, "rows columns"], OddCells | None]:
    r"""Read a file of zeros and ones.

    Args:
        file: one line per image; `columns` numbers a line, separated by tabs or blanks, which may trail.
        rows: lines that it must have.
        columns: numbers per line.
        of: the file that says how many images there are, for the message.

    Returns:
        1 where the file says 1, else 0; and what was neither (`Labels_lake_Train.txt` has one such number).

    Raises:
        InputError: another number of lines, a line of another length, or something that is no number.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "Labels_lake.txt")
        ...     _ = file.write_text("0\n1\n-1130179\n")
        ...     flags, odd = read_flags(file, rows=3, columns=1, of="Imagelist.txt")
        >>> flags.ravel().tolist(), str(odd)
        ([0, 1, 0], 'Labels_lake.txt line 3 holds -1130179')
    """
    flags = np.zeros((rows, columns), dtype=np.int8)
    odd: OddCells | None = None
    done = 0
    for block in _blocks(file):
        table = _plain_table(block, columns)
        if table is None:
            table, found = _careful_table(block, columns, file, done)
            odd = replace(odd, count=odd.count + found.count) if odd and found else odd or found
        # Lines past the expected end are only counted, for the message.
        flags[done : done + len(table)] = table[: max(rows - done, 0)]
        done += len(table)
    if done != rows:
        raise InputError(
            f"{file} has {done:,} lines, but {of} names {rows:,} images. Labels and images are joined by line, so "
            "both must come from the same, untrimmed copy of NUS-WIDE. Fetch the shorter one again."
        )
    return flags, odd


def _blocks(file: Path) -> Iterator[bytes]:
    """Yield a file in blocks of whole lines; blank lines at its end are left out."""
    rest, blanks = b"", b""
    with file.open("rb") as stream:
        first = True
        while block := stream.read(BLOCK):
            block = rest + (block.removeprefix(b"\xef\xbb\xbf") if first else block)
            first = False
            cut = block.rfind(b"\n") + 1
            rest = block[cut:]
            if len(rest) > LONGEST_LINE:
                raise InputError(
                    f"{file} has a line of more than {LONGEST_LINE:,} bytes; it is not a file of 0 and 1."
                )
            whole = blanks + block[:cut]
            # Blank lines are held back: at the end of the file they mean nothing, before other lines they do.
            kept = whole.rstrip(b"\r\n")
            end = whole.find(b"\n", len(kept)) + 1 if kept else 0
            blanks = whole[end:]
            if kept:
                yield whole[:end]
    if rest.strip():
        yield blanks + rest + b"\n"


def _plain_table(block: bytes, columns: int) -> np.ndarray | None:
    """Return the numbers of a block whose lines are all alike and hold single digits 0 and 1, else None."""
    width = block.find(b"\n") + 1
    last = 2 * columns - 1  # where what follows the last digit begins
    if len(block) % width or width <= last or block[last:width].strip():
        return None
    lines = np.frombuffer(block, dtype=np.uint8).reshape(-1, width)
    digits = lines[:, :last:2] - ord("0")
    separators = lines[:, 1:last:2]
    if digits.max() > 1 or (lines[:, last:] != lines[0, last:]).any():
        return None
    if columns > 1 and not ((separators == ord("\t")).all() or (separators == ord(" ")).all()):
        return None
    return digits.view(np.int8)


def _careful_table(block: bytes, columns: int, file: Path, before: int) -> tuple[np.ndarray, OddCells | None]:
    """Return the numbers of a block, line by line; `before`: lines of the file before it."""
    lines = block.split(b"\n")[:-1]
    table = np.zeros((len(lines), columns), dtype=np.int8)
    first: OddCells | None = None
    count = 0
    for i, line in enumerate(lines):
        body = line.strip()
        plain = len(body) == 2 * columns - 1 and not body[1::2].strip(b"\t ")
        if plain and not body[::2].strip(b"01"):
            table[i] = np.frombuffer(body[::2], dtype=np.uint8) - ord("0")
            continue
        values = _numbers(body, columns, file, before + i + 1)
        table[i] = [value == 1 for value in values]
        odd = [column for column, value in enumerate(values, 1) if value not in (0, 1)]
        count += len(odd)
        if odd and first is None:
            first = OddCells(file, before + i + 1, odd[0], values[odd[0] - 1])
    return table, replace(first, count=count) if first else None


def _numbers(line: bytes, columns: int, file: Path, number: int) -> list[int]:
    """Return the numbers of a line.

    Raises:
        InputError: too many or few of them, or something else.
    """
    fields = line.split()
    if len(fields) != columns:
        raise InputError(
            f"{file}, line {number}: {len(fields)} numbers, but {columns} labels are listed. Is it the right "
            "file, and was it copied in full?"
        )
    values = []
    for column, text in enumerate(fields, 1):
        try:
            values.append(int(text))
        except ValueError:
            shown = text[:40].decode("ascii", "replace")
            raise InputError(
                f"{file}, line {number}, column {column}: {shown!r} is not a number. Lines hold 0 and 1; fetch "
                "the file again."
            ) from None
    return values
