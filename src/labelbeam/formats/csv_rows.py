"""A CSV file as rows of text under its header: encoding, separator, which column is what; cells of several labels.

One row at a time, however long the file is. What a column is recognised as is in the notes.
"""

import csv
import re
from array import array
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.cells import NO_LABEL, CellStyle, recognise
from labelbeam.formats.documents import refuse_no_text
from labelbeam.formats.labelled_rows import DenseLabels, LabelEntries, LabelledRows, SparseLabels
from labelbeam.formats.list_cells import YES_NO, said
from labelbeam.labels.vocabulary import ABSENT, UNKNOWN

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
            rows = _below(rows, header, file, rule=separator == "|")
            yield Table(str(file), tuple(header), separator, line, rows, file, encoding, reader.line_num + 1)
        except UnicodeError:
            raise _wrong_encoding(file, encoding) from None


def _utf16_of(file: Path) -> str | None:
    """Return the codec of a file in UTF-16, by its byte order mark or by the zero bytes beside letters."""
    with file.open("rb") as opened:
        head = opened.read(4)
    refuse_no_text(file, head)
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


def _below(
    rows: Iterator[tuple[int, list[str]]], header: list[str], file: Path, *, rule: bool
) -> Iterator[tuple[int, list[str]]]:
    """Yield rows without Markdown's line of dashes; refuse a header that comes again, as in files put together."""
    for line, fields in rows:
        if fields == header and len(header) > 1:
            raise InputError(
                f"{file}, line {line} is the first line again, as where two files were put together. Remove it."
            )
        if not rule or set("".join(fields)) - {"-", ":"}:
            yield line, fields


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
        columns_of: dict[str, tuple[int, str]] = {}
        for value, header, cell in zip(columns.headers, headers, cells, strict=True):
            for absent in style.absent(cell):
                entries.id_of(absent)
            for label in _labels(style, cell, f"{columns.source}, line {line}, column {header!r}"):
                if label in columns_of:
                    raise InputError(
                        f"{columns.source}, line {line}: {label!r} is in the columns {columns_of[label][1]!r} and "
                        f"{header!r}. Keep it in one of them."
                    )
                columns_of[label] = (value, header)
        entries.add_row((label, value) for label, (value, _) in columns_of.items())
    names, combinations = entries.sorted_labels(ABSENT)
    return names, combinations.rows(columns.of_rows()), style


def _labels(style: CellStyle, cell: str, where: str) -> list[str]:
    if cell.casefold() in NO_LABEL:
        return []
    try:
        return style.labels(cell)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


IMAGE_COLUMNS = frozenset(
    {
        *("image", "img", "file", "filename", "file_name", "filepath", "file_path", "path", "uri"),
        *("fname", "img_path", "image_path", "image_name", "image_file", "imageid", "image_id"),
        *("img_name", "imagename", "image_filename", "image_index"),
    }
)
ID_COLUMNS = frozenset({"id", "image_uid", "dicom_id", "photo_id", "uuid", "guid", "ids", "imdbid"})
"""What names the image where no column of `IMAGE_COLUMNS` does: competitions call their images by an id."""

ADDRESS_COLUMNS = frozenset({"url", "image_url", "img_url", "coco_url", "flickr_url"})
"""What names the image where no column of `IMAGE_COLUMNS` does."""

TAGS_COLUMNS = frozenset(
    {
        *("tags", "tag", "labels", "label", "keywords", "keyword", "classes", "class", "labelname"),
        *("label_name", "categories", "category", "class_name", "finding_labels", "target", "targets"),
        *("genre", "genres", "attribute_ids", "image_labels"),
    }
)
CONFIDENCE_COLUMNS = frozenset(
    {"confidence", "score", "probability", "prob", "conf", "scores", "confidences", "likelihood", "certainty"}
    | {"present", "presence", "is_present", "value", "polarity", "verdict", "decision", "votes"}
    | {"positive", "is_positive", "correct", "is_correct", "exists", "match", "is_match", "answer", "vote"}
    | {"relevant", "is_relevant", "relevance", "judgment", "judgement", "agreement", "has_label", "is_true"}
    | {"negated", "is_negated", "negative", "is_negative", "is_absent"}
    | {
        f"{one}_{what}"
        for one in ("label", "labels", "tag", "tags")
        for what in ("confidence", "score", "scores", "prob", "probability", "present", "value", "state")
    }
)
"""What says of a row's label whether it is there."""
NEGATIONS = frozenset({"negated", "is_negated", "negative", "is_negative", "is_absent"})
"""Of these columns, those that say yes where it is not."""
TAGGED_COLUMNS = ("image", "tags", "scores", "status", "error")
"""What `tag --out FILE.csv` writes: the labels of an image in one cell, their scores in the next in the same order."""
BOX_COLUMNS = frozenset({"xmin", "x_min", "x1", "bbox", "bbox_x"})
FOLD_COLUMNS = frozenset({"fold", "folds", "kfold"})
SPLIT_COLUMNS = frozenset({"split", "split_name", "ml_use", "subset", "partition", "data_split", "phase"})
SPLIT_FLAGS = {
    "is_valid": ("valid", "train"),
    "is_val": ("val", "train"),
    "is_validation": ("validation", "train"),
    "is_test": ("test", "train"),
    "is_train": ("train", "valid"),
}
"""Columns that say yes or no, and the splits that they stand for (fastai writes `is_valid`)."""

BOOKKEEPING = frozenset(
    {
        *("study_id", "filesize", "file_size", "channels", "num_labels", "n_labels", "num_tags"),
        *("n_tags", "label_count", "tag_count", "patient_id", "subject_id", "confidence", "score"),
        *("annotator", "worker", "image_url", "coco_url", "flickr_url", "image_id", "imageid"),
        *("index", "idx", "id", "level_0", "fold", "folds", "kfold", "width", "height", "size"),
        *("area", "url", "source", "weight", "sample_weight", "date", "time", "timestamp", "md5"),
        *("sha1", "sha256", "hash", "license", "row"),
        *("depth", "year", "reviewed", "is_reviewed", "verified", "is_verified", "checked", "is_checked"),
        *("done", "annotated", "is_annotated", "labeled", "labelled", "is_labeled", "is_labelled"),
        *("augmented", "is_augmented", "flipped", "is_flipped", "is_crowd", "iscrowd", "is_duplicate"),
        *("is_corrupt", "skip", "user", "user_id", "rad_id", "reader", "rater", "created_at", "updated_at"),
        *("dataset", "part", "batch", "set", "usage"),
        *("", *SPLIT_FLAGS, *SPLIT_COLUMNS),
    }
)
_BOOKS = re.compile(
    r"unnamed:.*|(?:num|n|no)_(?:of_)?(?:objects|labels|tags|boxes|classes|instances|faces|annotations)"
    r"|.*_(?:id|uuid|count|timestamp)"
)
"""Columns that are no labels among columns that are, in any case; `Unnamed: 0` and the like are too."""


def column_named(
    names: Sequence[str], asked: str | None, usual: Collection[str], content: str, option: str, where: str
) -> str | None:
    """Return the column that is asked for, or the only one of a usual name; None where there is none.

    Raises:
        InputError: no such column, or several.
    """
    if asked is not None:
        if asked not in names:
            raise InputError(f"{where}: {unknown_name('column', asked, names)}")
        return asked
    found = [name for name in names if folded_name(name) in usual]
    if len(found) > 1:
        raise InputError(
            f"{where}: several columns could hold the {content}: {shown(found)}. Name one with {option}."
        )
    return found[0] if found else None


def find_column(table: Table, asked: str | None, usual: Collection[str], content: str, option: str) -> int:
    """Return the position of a column, as `column_named` finds it.

    Raises:
        InputError: no such column, or several.
    """
    name = column_named(table.header, asked, usual, content, option, table.source)
    if name is None:
        raise InputError(
            f"{table.source}: no column of {content} ({', '.join(sorted(usual))}) among: {shown(table.header)}. "
            f"The first line names the columns, such as image,tags; or name the column with {option}."
        )
    return table.column(name)


def image_column(table: Table, options: ReadOptions) -> int:
    """Return the position of the column of images; of addresses, else of ids, where there is no other."""
    folded = set(map(folded_name, table.header))
    kinds = (IMAGE_COLUMNS, ADDRESS_COLUMNS, ID_COLUMNS)
    known = next((names for names in kinds if folded & names), IMAGE_COLUMNS)
    return find_column(table, options.image_column, known, "images", "--image-column")


def folded_name(name: str) -> str:
    """Return the name of a column as the tables of this file have it.

    Example:
        >>> folded_name("Image Path")
        'image_path'
    """
    return re.sub(r"[\s-]+", "_", name.casefold())


def position(table: Table, known: Collection[str]) -> int | None:
    """Return the position of the first column with a known name; None where there is none."""
    return next((j for j, name in enumerate(table.header) if folded_name(name) in known), None)


def dropped_columns(table: Table, options: ReadOptions) -> dict[int, str] | None:
    """Return the columns that the user leaves out, by position; None where the user names none.

    Raises:
        InputError: a name that no column has.
    """
    if options.drop_columns is None:
        return None
    names = [name.strip() for name in options.drop_columns.split(",") if name.strip()]
    if [name.casefold() for name in names] == ["none"] and "none" not in table.header:
        return {}
    if options.drop_columns in table.header:
        names = [options.drop_columns]
    if strange := [name for name in names if name not in table.header]:
        raise InputError(
            f"{table.source}: --drop-columns: {unknown_name('column', strange[0], table.header)}"
        )
    return {j: name for j, name in enumerate(table.header) if name in names}


def is_bookkeeping(name: str) -> bool:
    """Return whether a column of that name keeps the books of a table, and is no label."""
    folded = folded_name(name)
    return folded in BOOKKEEPING or _BOOKS.fullmatch(folded) is not None


class SplitColumn:
    """The column that says which split a row belongs to.

    Attributes:
        at: its position; None where there is none.
        note: what to say of it.
    """

    def __init__(self, table: Table, options: ReadOptions) -> None:
        gone = dropped_columns(table, options) or {}
        names = [("" if j in gone else folded_name(name)) for j, name in enumerate(table.header)]
        self.at = next((j for j, name in enumerate(names) if name in SPLIT_COLUMNS), None)
        self.note: tuple[str, ...] = ()
        self._words: tuple[str, str] | None = None
        if self.at is None and options.drop_columns is None:
            self.at = next((j for j, name in enumerate(names) if name in SPLIT_FLAGS), None)
            if self.at is not None:
                self._words = SPLIT_FLAGS[names[self.at]]
                self.note = (
                    f"column {table.header[self.at]!r} was read as the splits {self._words[0]} (where it says yes) and "
                    f"{self._words[1]}; --drop-columns none makes it a column like others.",
                )

    def of(self, cell: str) -> str:
        """Return the split that a cell says; empty where it says none."""
        if self._words is None:
            return cell
        value = YES_NO.get(said(cell), UNKNOWN)
        return "" if value == UNKNOWN else self._words[value == ABSENT]


def field_of(fields: list[str], column: int | None) -> str:
    """Return a field; empty where the row is shorter than the header or the column is not there."""
    return fields[column] if column is not None and column < len(fields) else ""


def shown(names: Iterable[str]) -> str:
    """Return the first names, none of them at length, for a message."""
    return ", ".join(name if len(name) < 40 else name[:40] + "…" for name in islice(names, 20))


def refuse_long_row(table: Table, line: int, fields: list[str]) -> None:
    """Raise an error where a row has more fields than the header, and they are not empty."""
    if any(fields[len(table.header) :]):
        raise InputError(
            f"{table.source}, line {line} has {len(fields)} fields, the header {len(table.header)}: "
            f"{table.separator.join(fields)[:80]!r}. Put cells that hold {table.separator!r} in quotes, "
            "or pass --layout ragged if each further cell is a label."
        )


def unread_note(table: Table, read: Iterable[int | None]) -> tuple[str, ...]:
    """Return a note about columns that hold something and were not read; none where there are none."""
    columns = set(read)
    others = [name or "(no name)" for j, name in enumerate(table.header) if j not in columns]
    notes = (f"columns that were not read: {shown(others)}.",) if others else ()
    return (*notes, *fold_note(others))


def fold_note(names: Iterable[str]) -> tuple[str, ...]:
    """Return how a column of folds is read as splits; nothing where no column is one.

    Example:
        >>> fold_note(["Fold", "size"])[0]
        "to read the parts of column 'Fold' as splits, call it 'split': #0 is then one part, #not-0 all others."
    """
    return tuple(
        f"to read the parts of column {name!r} as splits, call it 'split': #0 is then one part, #not-0 all others."
        for name in names
        if name.casefold() in FOLD_COLUMNS
    )


class RowsSeen:
    """Images, lines and splits of rows, as they are gone through."""

    def __init__(self, *, has_splits: bool) -> None:
        self.images: list[str] = []
        self.lines = array("q")
        self.splits: list[str] | None = [] if has_splits else None
        self._distinct: dict[str, str] = {}

    def add(self, line: int, image: str, split: str) -> None:
        """Add a row."""
        # Rows of one image mostly follow each other: one text for all of them.
        self.images.append(self.images[-1] if self.images and self.images[-1] == image else image)
        self.lines.append(line)
        if self.splits is not None:
            self.splits.append(self._distinct.setdefault(split, split))

    def labelled(
        self,
        table: Table,
        names: tuple[str, ...],
        labels: SparseLabels | DenseLabels,
        understood: str,
        *,
        one_row_per_image: bool = True,
        taken_apart: bool = False,
        notes: Sequence[str] = (),
    ) -> LabelledRows:
        """Return the rows with their labels.

        Raises:
            InputError: no row.
        """
        if not self.images:
            raise InputError(
                f"{table.source} has no row after its first line, {shown(table.header)!r}. Is it whole?"
            )
        return LabelledRows(
            table.source,
            self.images,
            self.lines,
            self.splits or [],
            names,
            labels,
            understood,
            one_row_per_image,
            taken_apart,
            tuple(notes),
        )
