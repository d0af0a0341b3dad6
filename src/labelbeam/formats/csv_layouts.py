"""The layouts that CSV files of labels come in: each turns rows of text into labelled rows.

Between `csv_rows` and `csv_table`. The layout is recognised by the header alone, and said in the notes. Knows
nothing of image files.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from labelbeam.data.options import ReadOptions
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.csv_cells import NO_LABEL, CellStyle, clean, recognise
from labelbeam.formats.csv_rows import Table
from labelbeam.labels.targets import ABSENT, PRESENT, UNKNOWN

IMAGE_COLUMNS = frozenset(
    {"image", "img", "file", "filename", "file_name", "filepath", "file_path", "path", "uri"}
    | {"image_path", "image_name", "image_file", "imageid", "image_id"}
)
TAGS_COLUMNS = frozenset({"tags", "tag", "labels", "label", "keywords", "classes", "labelname"})
SPLIT_COLUMNS = frozenset({"split", "split_name", "ml_use"})
VERTEX_SPLITS = frozenset({"TRAIN", "TRAINING", "VALIDATION", "TEST", "UNASSIGNED"})
_VALUES = {"1": PRESENT, "0": ABSENT, "-1": UNKNOWN, "1.0": PRESENT, "0.0": ABSENT, "-1.0": UNKNOWN}


@dataclass(frozen=True)
class LabelledRow:
    """One image with what a row says of it.

    Attributes:
        line: line number in the file.
        image: the path as written.
        values: label name to PRESENT, ABSENT or UNKNOWN.
        split: the row's split; empty where it names none.
    """

    line: int
    image: str
    values: dict[str, int]
    split: str = ""


@dataclass(frozen=True)
class LabelledRows:
    """All rows of a file, read in one layout.

    Attributes:
        rows: the rows.
        names: every label name, in the data set's order.
        unsaid: what a label is of which a row says nothing.
        has_splits: whether rows have splits.
        understood: the layout, in words for the user.
        one_row_per_image: whether an image that occurs again is a mistake.
    """

    rows: list[LabelledRow]
    names: tuple[str, ...]
    unsaid: int
    has_splits: bool
    understood: str
    one_row_per_image: bool = True


def read_layout(table: Table, options: ReadOptions) -> LabelledRows:
    """Read a table in the layout that its header shows or the options name.

    Raises:
        InputError: columns that no layout has (those there are listed), cells with other values than the
            layout has, or rows longer than the header.
    """
    layout = options.layout or recognise_layout(table, options)
    return _LAYOUTS[layout](table, options)


def recognise_layout(table: Table, options: ReadOptions) -> str:
    """Return the name of the layout.

    Raises:
        InputError: several columns that could hold the image or the labels.
    """
    if options.tags_column is not None:
        return "tags"
    if table.header[0] in VERTEX_SPLITS:
        return "ragged"
    folded = {name.casefold() for name in table.header}
    if {"labelname", "confidence"} <= folded:
        return "long"
    return "tags" if folded & TAGS_COLUMNS else "one-hot"


def _read_tags(table: Table, options: ReadOptions) -> LabelledRows:
    """`image,tags`: the labels of an image in one cell."""
    _refuse_long_rows(table)
    image, split = _image_column(table, options), _split_column(table)
    tags = _column(table, options.tags_column, TAGS_COLUMNS, "labels", "--tags-column")
    where = f"{table.source}, column {table.header[tags]!r}"
    cells = [_field(fields, tags) for _, fields in table.rows]
    style = CellStyle(options.delimiter) if options.delimiter else recognise(cells, where)
    rows = []
    for line, fields in table.rows:
        try:
            labels = style.labels(_field(fields, tags))
        except InputError as error:
            raise InputError(f"{table.source}, line {line}: {error}") from None
        values = dict.fromkeys(labels, PRESENT)
        rows.append(LabelledRow(line, _field(fields, image), values, _field(fields, split)))
    return LabelledRows(rows, _sorted_names(rows), ABSENT, split is not None, str(style))


def _read_one_hot(table: Table, options: ReadOptions) -> LabelledRows:
    """`image,cat,dog,…`: 1 present, 0 absent, -1 or empty unknown."""
    _refuse_long_rows(table)
    image, split = _image_column(table, options), _split_column(table)
    columns = {j: clean(name) for j, name in enumerate(table.header) if j not in {image, split}}
    if len(set(columns.values())) < len(columns) or "" in columns.values():
        raise InputError(
            f"{table.source}: column names must differ and not be empty: {', '.join(table.header)}."
        )
    other = [
        name for j, name in columns.items() if not all(_is_value(_field(row, j)) for _, row in table.rows)
    ]
    if other or not columns:
        raise InputError(
            f"{table.source}: no column of labels ({', '.join(sorted(TAGS_COLUMNS))}) among: "
            f"{', '.join(table.header)}; and not one column per label with 1, 0, -1 or nothing either"
            f"{': ' + ', '.join(map(repr, other[:5])) + ' hold other values' if other else ''}. "
            "Name the column with --tags-column."
        )
    rows = [
        LabelledRow(
            line,
            _field(fields, image),
            {name: _VALUES.get(_field(fields, j), UNKNOWN) for j, name in columns.items()},
            _field(fields, split),
        )
        for line, fields in table.rows
    ]
    return LabelledRows(rows, tuple(columns.values()), UNKNOWN, split is not None, "one column per label")


def _read_long(table: Table, options: ReadOptions) -> LabelledRows:
    """`ImageID,LabelName,Confidence` (Open Images): 1 present, 0 verified absent, unsaid is unknown.

    Without a column of confidence the rows name what is present, and what is unsaid is absent.
    """
    _refuse_long_rows(table)
    image, split = _image_column(table, options), _split_column(table)
    label = _column(table, options.tags_column, TAGS_COLUMNS, "labels", "--tags-column")
    confidence = next((j for j, name in enumerate(table.header) if name.casefold() == "confidence"), None)
    is_id = table.header[image].casefold() == "imageid"  # Open Images names its images without a suffix
    rows = []
    for line, fields in table.rows:
        said = _field(fields, confidence) if confidence is not None else "1"
        if said not in _VALUES:
            raise InputError(
                f"{table.source}, line {line}: confidence {said!r}; only verified labels are read: "
                "1 is present, 0 is absent. Decide on a threshold and write 1 and 0."
            )
        name = clean(_field(fields, label))
        values = {} if name.casefold() in NO_LABEL else {name: _VALUES[said]}
        key = _field(fields, image)
        if is_id and key and not PurePath(key).suffix:
            key += ".jpg"
        rows.append(LabelledRow(line, key, values, _field(fields, split)))
    unsaid = ABSENT if confidence is None else UNKNOWN
    understood = (
        f"one row per image and label ({'unsaid is absent' if confidence is None else 'unsaid is unknown'})"
    )
    return LabelledRows(rows, _sorted_names(rows), unsaid, split is not None, understood, False)


def _read_ragged(table: Table, options: ReadOptions) -> LabelledRows:
    """`[split,]image,label,label,…` (Google Vertex): no header where the first cell is a split."""
    lines = [(1, table.header), *table.rows] if table.header[0] in VERTEX_SPLITS else list(table.rows)
    has_splits = all(fields[0] in VERTEX_SPLITS for _, fields in lines)
    rows = []
    for line, fields in lines:
        split, image, labels = (
            (fields[0], fields[1], fields[2:]) if has_splits else ("", fields[0], fields[1:])
        )
        names = (clean(label) for label in labels)
        values = {name: PRESENT for name in names if name.casefold() not in NO_LABEL}
        rows.append(LabelledRow(line, image, values, split))
    return LabelledRows(
        rows, _sorted_names(rows), ABSENT, has_splits, "one label a cell, as many as it takes"
    )


_LAYOUTS: dict[str, Callable[[Table, ReadOptions], LabelledRows]] = {
    "tags": _read_tags,
    "one-hot": _read_one_hot,
    "long": _read_long,
    "ragged": _read_ragged,
}


def _sorted_names(rows: Sequence[LabelledRow]) -> tuple[str, ...]:
    return tuple(sorted({name for row in rows for name in row.values}))


def _is_value(cell: str) -> bool:
    return cell in _VALUES or cell.casefold() in NO_LABEL


def _field(fields: tuple[str, ...], column: int | None) -> str:
    """Return a field; empty where the row is shorter than the header or the column is not there."""
    return fields[column] if column is not None and column < len(fields) else ""


def _image_column(table: Table, options: ReadOptions) -> int:
    return _column(table, options.image_column, IMAGE_COLUMNS, "images", "--image-column")


def _split_column(table: Table) -> int | None:
    return next((j for j, name in enumerate(table.header) if name.casefold() in SPLIT_COLUMNS), None)


def _column(table: Table, named: str | None, known: frozenset[str], content: str, option: str) -> int:
    """Return the position of the column that the option names or whose header is a known one."""
    if named is not None:
        if named not in table.header:
            raise InputError(f"{table.source}: {unknown_name('column', named, table.header)}")
        return table.column(named)
    found = [j for j, name in enumerate(table.header) if name.casefold() in known]
    if len(found) == 1:
        return found[0]
    names = ", ".join(table.header)
    if found:
        raise InputError(
            f"{table.source}: several columns could hold the {content}: "
            f"{', '.join(table.header[j] for j in found)}. Name one with {option}."
        )
    raise InputError(
        f"{table.source}: no column of {content} ({', '.join(sorted(known))}) among: {names}. "
        f"The first line names the columns, such as image,tags; or name the column with {option}."
    )


def _refuse_long_rows(table: Table) -> None:
    for line, fields in table.rows:
        if any(fields[len(table.header) :]):
            raise InputError(
                f"{table.source}, line {line} has {len(fields)} fields, the header {len(table.header)}: "
                f"{table.separator.join(fields)[:80]!r}. Put cells that hold {table.separator!r} in quotes, "
                "or pass --layout ragged if each further cell is a label."
            )
