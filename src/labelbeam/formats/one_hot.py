"""A column per label: which columns are labels, what their cells say, and what is absent where nothing says 0.

Cells become one byte each as they are read, the number of the text that they hold, so that the conventions of a file
(1 and -1, 1 and blank, yes and no) are decided once, after its last row, by looking at their consequence. Where lines
have no quotation marks, blocks of them are taken apart by NumPy. Knows nothing of image files.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats import csv_rows, list_cells
from labelbeam.formats.cells import NO_LABEL
from labelbeam.formats.labelled_rows import DenseLabels, LabelledRows
from labelbeam.labels.names import clean
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN

MINUS, BLANK, OTHER, UNSURE = 2, 3, 4, 5
"""What a cell can say besides PRESENT and ABSENT: -1, nothing, something else, or that nobody knows."""

_BLOCK = 4096
_MANY = 255
"""Number of every text beyond the first 254 distinct ones."""


def read_one_hot(table: csv_rows.Table, options: ReadOptions) -> LabelledRows:
    """Read `image,cat,dog,…`: 1 present, 0 absent; what -1 and blank are is decided by what else is there.

    Raises:
        InputError: columns without a name of their own; cells that say neither yes nor no; -1 and blank without any 0.
    """
    image, split = csv_rows.image_column(table, options), csv_rows.SplitColumn(table, options)
    named = csv_rows.dropped_columns(table, options)
    gone = (
        {j: n for j, n in enumerate(table.header) if csv_rows.is_bookkeeping(n)} if named is None else named
    )
    gone = {j: name for j, name in gone.items() if j not in {image, split.at}}
    columns = [j for j in range(len(table.header)) if j not in {image, split.at} and j not in gone]
    names = [clean(table.header[j]) for j in columns]
    if len(set(names)) < len(names) or "" in names:
        raise InputError(
            f"{table.source}: column names must differ and not be empty: {csv_rows.shown(table.header)}. Leave some "
            "out with --drop-columns NAME,NAME."
        )
    second = [name for name in names if name.removesuffix(".1") != name and name.removesuffix(".1") in names]
    if second and named is None:
        raise InputError(
            f"{table.source}: {second[0]!r} is what pandas calls a second column {second[0][:-2]!r}. Leave one "
            f"out with --drop-columns {second[0]!r}; if it is a label of its own, --drop-columns none."
        )
    if not columns:
        raise _no_labels(table, "")
    found, texts = csv_rows.RowsSeen(has_splits=split.at is not None), _Texts()
    numbers = _read_numbers(table, found, texts, columns, image, split)
    if not found.images:
        return found.labelled(table, tuple(names), DenseLabels(numbers.view(np.int8)), "")
    meaning = np.array([texts.meaning[text] for text in texts] + [OTHER] * (256 - len(texts)), np.uint8)
    if OTHER in texts.meaning.values() or len(texts) >= _MANY:
        wrong = np.array([(meaning[numbers[:, j]] == OTHER).any() for j in range(len(columns))])
        if wrong.any():
            column = numbers[:, wrong.argmax()]
            row = int((meaning[column] == OTHER).argmax())
            blank = [bool((meaning[numbers[:, j]] == BLANK).all()) for j in range(len(columns))]
            cell = next((text for text, number in texts.items() if number == column[row]), "")
            raise _other_values(
                table, names, wrong, (found.lines[row], cell), all_cells=bool((wrong | blank).all())
            )
    kinds = set(texts.meaning.values())
    values, note = absent_convention(kinds, options.absent, table.source)
    values = {UNSURE: UNKNOWN, **values}
    table_of = np.array([values.get(int(kind), kind) for kind in meaning], np.int8)
    matrix = numbers.view(np.int8)
    # In place: beside a matrix of a gigabyte there is no room for another.
    for start in range(0, len(numbers), _BLOCK):
        matrix[start : start + _BLOCK] = table_of[numbers[start : start + _BLOCK]]
    notes = [*split.note, *note, *_everywhere(names, matrix)]
    if gone and named is None:
        notes.append(
            f"columns that are no labels, left out: {csv_rows.shown(name or '(no name)' for name in gone.values())}; "
            "--drop-columns NAME,NAME decides otherwise, --drop-columns none leaves none out."
        )
        notes += csv_rows.fold_note(gone.values())
    return found.labelled(table, tuple(names), DenseLabels(matrix), "one column per label", notes=notes)


def _everywhere(names: Sequence[str], matrix: np.ndarray) -> tuple[str, ...]:
    """Return a note about columns that say yes in every row; none where all do, or there are few rows."""
    if len(matrix) < 2:
        return ()
    every = [name for name, low in zip(names, matrix.min(axis=0).tolist(), strict=True) if low == PRESENT]
    if not every:
        return ()
    return (
        f"columns that say yes in every row, so that nothing can be learned of them: {csv_rows.shown(every)}; if they "
        "are no labels, leave them out with --drop-columns.",
    )


def absent_convention(
    kinds: set[int], absent: str | None, where: str
) -> tuple[Mapping[int, int], tuple[str, ...]]:
    """Return what -1 and blank are, and what to say of it.

    Raises:
        InputError: both are there, nothing says 0, and the user does not say which of them is absent.
    """
    unclear = [kind for kind in (MINUS, BLANK) if kind in kinds]
    words = {MINUS: "-1", BLANK: "blank"}
    if absent is not None:
        given = {part.strip() for part in absent.split(",")} - {"none"}
        return {kind: ABSENT if words[kind] in given else UNKNOWN for kind in words}, ()
    unknown = {MINUS: UNKNOWN, BLANK: UNKNOWN}
    if not unclear:
        return unknown, ()
    if ABSENT in kinds:
        read = " and ".join(words[kind] for kind in unclear)
        option = ",".join(words[kind] for kind in unclear)
        return unknown, (f"{read} beside 0 was read as unknown; --absent {option} reads it as absent.",)
    if len(unclear) == 2:
        raise InputError(
            f"{where}: no cell is 0, some are -1, some blank: it is ambiguous which of them says that a label is "
            "absent, the other being unknown. Say --absent -1, --absent blank, --absent -1,blank or --absent none."
        )
    word = words[unclear[0]]
    return {**unknown, unclear[0]: ABSENT}, (
        f"no cell is 0, so {word} was read as absent; --absent none reads it as unknown.",
    )


class _Texts(dict[str, int]):
    """The number of each distinct text of a cell, as they turn up; beyond 254, one number for all."""

    def __init__(self) -> None:
        super().__init__()
        self.meaning: dict[str, int] = {}

    def __missing__(self, text: str) -> int:
        folded = list_cells.said(text)
        meaning = list_cells.YES_NO.get(folded, OTHER) % 6  # UNKNOWN is UNSURE
        if folded == "-1":
            meaning = MINUS
        elif folded in NO_LABEL:
            meaning = BLANK
        # What says something has its number, however many other texts were before.
        if len(self) >= (_MANY if meaning != OTHER else 200):
            return _MANY
        self[text], self.meaning[text] = len(self), meaning
        return self[text]


def _read_numbers(
    table: csv_rows.Table,
    found: csv_rows.RowsSeen,
    texts: _Texts,
    columns: Sequence[int],
    image: int,
    split: csv_rows.SplitColumn,
) -> np.ndarray:
    """Return the number of each cell's text, uint8 [rows columns], and add the rows to those found."""
    if table.encoding is None and columns == list(range(columns[0], columns[-1] + 1)):
        try:
            return _read_lines(table, found, texts, columns, image, split)
        except _NeedsParserError:
            found.__init__(has_splits=split.at is not None)  # type: ignore[misc]
    values = bytearray()
    width = len(table.header)
    others = [at for at in range(width - 1, -1, -1) if at not in set(columns)]
    for line, fields in table.rows:
        if len(fields) > width:
            csv_rows.refuse_long_row(table, line, fields)
            del fields[width:]
        fields += [""] * (width - len(fields))
        found.add(line, fields[image], split.of(csv_rows.field_of(fields, split.at)))
        for at in others:
            del fields[at]
        values += bytes(map(texts.__getitem__, fields))
    return np.frombuffer(values, np.uint8).reshape(-1, len(columns))


class _NeedsParserError(Exception):
    """A line that only the csv module can take apart."""


def _read_lines(
    table: csv_rows.Table,
    found: csv_rows.RowsSeen,
    texts: _Texts,
    columns: Sequence[int],
    image: int,
    split: csv_rows.SplitColumn,
) -> np.ndarray:
    """Do the same from lines of bytes, by blocks; the columns of labels stand together."""
    first, after, width = columns[0], len(table.header) - columns[-1] - 1, len(table.header)
    comma = table.separator.encode()
    numbers = bytearray()
    lookup = _Lookup(texts, comma[0])
    middles: list[bytes] = []
    for line, raw in _lines(table):
        if raw.count(comma) != width - 1:
            raw = _of_width(table, line, raw, comma)
        if not raw.strip(comma + b" \t"):
            continue
        head = raw.split(comma, first)
        tail = head[-1].rsplit(comma, after) if after else [head[-1]]
        at = {**dict(enumerate(head[:-1])), **dict(enumerate(tail[1:], width - after))}
        part = split.of(at[split.at].decode().strip()) if split.at is not None else ""
        found.add(line, at[image].decode().strip(), part)
        middles.append(tail[0])
        if len(middles) == _BLOCK:
            numbers += lookup.numbers(middles, len(columns))
            middles = []
    if middles:
        numbers += lookup.numbers(middles, len(columns))
    return np.frombuffer(numbers, np.uint8).reshape(-1, len(columns))


def _lines(table: csv_rows.Table) -> Iterator[tuple[int, bytes]]:
    with table.file.open("rb") as lines:
        for line, raw in enumerate(lines, 1):
            if line < table.first_line:
                continue
            raw = raw.removesuffix(b"\n").removesuffix(b"\r")
            if b'"' in raw or b"\r" in raw:
                raise _NeedsParserError
            yield line, raw


def _of_width(table: csv_rows.Table, line: int, raw: bytes, comma: bytes) -> bytes:
    """Return a row with as many fields as the header."""
    width = len(table.header)
    fields = raw.split(comma)
    if len(fields) > width:
        csv_rows.refuse_long_row(table, line, [field.decode().strip() for field in fields])
    return comma.join(fields[:width] + [b""] * (width - len(fields)))


class _Lookup:
    """Cells of blocks of lines to numbers of texts: by one table where every cell is one character, else by hashing."""

    def __init__(self, texts: _Texts, comma: int) -> None:
        self.texts = texts
        self.comma = comma
        self._single = np.zeros(256, np.uint8)
        self._has_single = np.zeros(256, bool)
        self._keys = np.zeros(1 << 16, np.uint64)
        self._numbers = np.zeros(1 << 16, np.uint8)
        self._taken = np.zeros(1 << 16, bool)

    def numbers(self, rows: Sequence[bytes], width: int) -> bytes:
        """Return a byte per cell, row by row."""
        text = np.frombuffer(b"\n".join(rows) + b"\n", np.uint8)
        if len(text) == 2 * width * len(rows):
            cells, marks = text[::2], text[1::2].reshape(len(rows), width)
            if (marks[:, :-1] == self.comma).all() and (marks[:, -1] == 10).all():
                return self._of_characters(cells)
        return self._of_texts(text, width * len(rows))

    def _of_characters(self, cells: np.ndarray) -> bytes:
        for code in np.flatnonzero(np.bincount(cells, minlength=256) * ~self._has_single):
            self._single[code] = self.texts[bytes([code]).decode().strip()]
            self._has_single[code] = True
        return np.take(self._single, cells).tobytes()

    def _of_texts(self, text: np.ndarray, count: int) -> bytes:
        ends = np.flatnonzero((text == self.comma) | (text == 10))
        if len(ends) != count:
            raise _NeedsParserError
        starts = np.concatenate([[0], ends[:-1] + 1])
        lengths = ends - starts
        longest = int(lengths.max())
        if longest > 8:
            raise _NeedsParserError
        padded = np.concatenate([text, np.zeros(8, np.uint8)])
        keys = np.zeros(count, np.uint64)
        for j in range(longest):
            letters = np.where(lengths > j, padded[starts + j], 0).astype(np.uint64)
            keys |= letters << np.uint64(8 * j)
        slots = ((keys * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(48)).astype(np.int64)
        while True:
            strange = np.flatnonzero(~self._taken[slots] | (self._keys[slots] != keys))
            if not len(strange):
                return self._numbers[slots].tobytes()
            at = strange[0]
            if self._taken[slots[at]]:  # two texts of one hash
                raise _NeedsParserError
            word = bytes(text[starts[at] : ends[at]]).decode().strip()
            self._keys[slots[at]], self._taken[slots[at]] = keys[at], True
            self._numbers[slots[at]] = self.texts[word]


def _no_labels(table: csv_rows.Table, detail: str) -> InputError:
    return InputError(
        f"{table.source}: no column of labels ({', '.join(sorted(csv_rows.TAGS_COLUMNS))}) among: "
        f"{csv_rows.shown(table.header)}; and not one column per label with 1, 0, -1 or nothing either"
        f"{detail}. Name the column with --tags-column."
    )


def _other_values(
    table: csv_rows.Table, names: Sequence[str], wrong: np.ndarray, first: tuple[int, str], *, all_cells: bool
) -> InputError:
    """Return the error for columns that hold something else than yes and no, the first in a line and cell."""
    columns = [name for name, is_wrong in zip(names, wrong, strict=True) if is_wrong]
    line, cell = first
    detail = (
        f": {csv_rows.shown(map(repr, columns))} hold other values, first in line {line}"
        + f" ({cell[:40]!r})" * bool(cell)
    )
    number = re.fullmatch(r"[-+]?[\d.,]+(?:[eE][-+]?\d+)?%?", cell) is not None
    threshold = "if they are counts or probabilities, decide on a threshold and write 1 and 0"
    if all_cells:
        ragged = "if each cell names a label, pass --layout ragged"
        return _no_labels(table, f"{detail}; {threshold if number else ragged}")
    return InputError(
        f"{table.source}: not every column says 1, 0, -1 or nothing{detail}. If they are no labels, leave them out "
        f"with --drop-columns {','.join(columns)!r:.500}; {threshold}. Or name the one column of labels with "
        "--tags-column."
    )
