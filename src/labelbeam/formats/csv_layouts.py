"""The layouts that CSV files of labels come in: each turns rows of text into labelled rows.

Between `csv_rows` and `labelled_rows`. The layout is recognised by the header alone, and said in the notes.
Rows are gone through once and leave numbers behind, no objects: files of a million rows are ordinary. Knows
nothing of image files.
"""

import re
from collections.abc import Callable
from pathlib import PurePath

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.cells import NO_LABEL
from labelbeam.formats.csv_columns import (
    BOX_COLUMNS,
    CONFIDENCE_COLUMNS,
    IMAGE_COLUMNS,
    SPLIT_COLUMNS,
    TAGGED_COLUMNS,
    TAGS_COLUMNS,
    YES_NO,
    RowsSeen,
    SplitColumn,
    dropped_columns,
    field_of,
    find_column,
    folded_name,
    image_column,
    position,
    refuse_long_row,
    unread_note,
)
from labelbeam.formats.csv_rows import Table, TagColumns, read_tag_cells
from labelbeam.formats.labelled_rows import LabelEntries, LabelledRows
from labelbeam.formats.one_hot import read_one_hot
from labelbeam.labels.names import clean
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN

_CORNER = re.compile(r"[01]|[01]?\.\d+(?:[eE]-\d+)?")

VERTEX_SPLITS = frozenset({"TRAIN", "TRAINING", "VALIDATION", "TEST", "UNASSIGNED"})


def read_layout(table: Table, options: ReadOptions) -> LabelledRows:
    """Read a table in the layout that its header shows or the options name.

    Raises:
        InputError: columns that no layout has (those there are listed), cells with other values than the
            layout has, or rows longer than the header.
    """
    layout = options.layout or recognise_layout(table, options)
    if layout not in _LAYOUTS:
        raise InputError(f"{table.source}: {unknown_name('--layout of CSV', layout, _LAYOUTS)}")
    return _LAYOUTS[layout](table, options)


def recognise_layout(table: Table, options: ReadOptions) -> str:
    """Return the name of the layout.

    Raises:
        InputError: several columns that could hold the image or the labels.
    """
    if options.tags_column is not None or tuple(table.header[: len(TAGGED_COLUMNS)]) == TAGGED_COLUMNS:
        return "tags"
    if _names_split(table.header):
        return "ragged"
    gone = dropped_columns(table, options) or {}
    folded = {folded_name(name) for j, name in enumerate(table.header) if j not in gone}
    if not folded & TAGS_COLUMNS:
        return "one-hot"
    return "long" if folded & (CONFIDENCE_COLUMNS | BOX_COLUMNS) else "tags"


def _read_tags(table: Table, options: ReadOptions) -> LabelledRows:
    """`image,tags`: the labels of an image in one cell; columns `unknown` and `absent` hold labels too."""
    image, split = image_column(table, options), SplitColumn(table, options)
    tags = find_column(table, options.tags_column, TAGS_COLUMNS, "labels", "--tags-column")
    found = RowsSeen(has_splits=split.at is not None)
    columns = {PRESENT: tags}
    for value, named in ((UNKNOWN, "unknown"), (ABSENT, "absent")):
        at = position(table, {named})
        if at is not None and at not in {image, split.at, tags}:
            columns[value] = at
    cells = TagColumns(table.source, {value: table.header[at] for value, at in columns.items()})
    width, wanted = len(table.header), max(columns.values()) + 1
    for line, fields in table.rows:
        if len(fields) > width:
            refuse_long_row(table, line, fields)
        found.add(line, field_of(fields, image), split.of(field_of(fields, split.at)))
        if len(fields) < wanted:
            fields = fields + [""] * (wanted - len(fields))
        cells.add(line, *(fields[at] for at in columns.values()))
    names, said, style = read_tag_cells(cells, options.delimiter)
    extra = [f"column {table.header[at]!r} names what nobody knows" for at in [columns.get(UNKNOWN)] if at]
    notes = (*split.note, *unread_note(table, {image, split.at, *columns.values()}))
    apart = style.is_list and not style.has_plain
    return found.labelled(table, names, said, ", ".join([str(style), *extra]), taken_apart=apart, notes=notes)


def _read_long(table: Table, options: ReadOptions) -> LabelledRows:
    """`ImageID,LabelName,Confidence` (Open Images): 1 present, 0 verified absent, unsaid is unknown.

    Without a column of confidence the rows name what is present, and what is unsaid is absent.
    """
    image, split = image_column(table, options), SplitColumn(table, options)
    label = find_column(table, options.tags_column, TAGS_COLUMNS, "labels", "--tags-column")
    gone = dropped_columns(table, options) or {}
    confidence = position(table, CONFIDENCE_COLUMNS)
    confidence = None if confidence in gone else confidence
    is_id = table.header[image].casefold() == "imageid"  # Open Images names its images without a suffix
    found, cells = RowsSeen(has_splits=split.at is not None), _LabelCells()
    for line, fields in table.rows:
        if len(fields) > len(table.header):
            refuse_long_row(table, line, fields)
        said = field_of(fields, confidence) if confidence is not None else "1"
        value = UNKNOWN if said in ("-1", "-1.0", "-1,0") else YES_NO.get(said.casefold())
        if value is None:
            name = table.header[confidence or 0]
            raise InputError(
                f"{table.source}, line {line}, column {name!r}: {said[:40]!r}; only verified labels are read: 1 is "
                "present, 0 is absent. Decide on a threshold and write 1 and 0; or, if every row names a label that is "
                f"present, leave the column out with --drop-columns {name!r}."
            )
        key = field_of(fields, image)
        if is_id and key and not PurePath(key).suffix:
            key += ".jpg"
        found.add(line, key, split.of(field_of(fields, split.at)))
        cells.add([field_of(fields, label)], value)
    unsaid = ABSENT if confidence is None else UNKNOWN
    names, labels = cells.entries.sorted_labels(unsaid)
    by = f", by column {table.header[confidence]!r}" if confidence is not None else ""
    understood = f"one row per image and label (unsaid is {'unknown' if unsaid else 'absent'}{by})"
    notes = (*split.note, *unread_note(table, {image, split.at, label, confidence}))
    return found.labelled(table, names, labels, understood, one_row_per_image=False, notes=notes)


def _read_ragged(table: Table, options: ReadOptions) -> LabelledRows:
    """`[split,]image,label,label,…` (Google Vertex): the first line may be a row already."""
    first = table.header[0]
    is_header = first == options.image_column or first.casefold() in IMAGE_COLUMNS | SPLIT_COLUMNS
    found, cells = RowsSeen(has_splits=True), _LabelCells()
    boxes = 0
    if not is_header:
        boxes += _add_ragged(found, cells, table.header_line, list(table.header))
    for line, fields in table.rows:
        boxes += _add_ragged(found, cells, line, fields)
    names, said = cells.entries.sorted_labels(ABSENT)
    understood = "one label a cell, as many as it takes, " + (
        f"the first line ({first[:40]!r}) names columns" if is_header else "the first line is a row too"
    )
    notes = (f"{boxes:,} rows are boxes, of which only the label was read.",) if boxes else ()
    return found.labelled(table, names, said, understood, one_row_per_image=not boxes, notes=notes)


def _add_ragged(found: RowsSeen, cells: "_LabelCells", line: int, fields: list[str]) -> bool:
    """Add a row; return whether it is a box of AutoML: a label, two or four corners, empty cells for the others."""
    named = _names_split(fields) or not fields[0]
    split, image, labels = (fields[0], fields[1], fields[2:]) if named else ("", fields[0], fields[1:])
    numbers = [cell for cell in labels[1:] if cell]
    is_box = len(labels) >= 8 and len(numbers) >= 4 and all(map(_CORNER.fullmatch, numbers))
    found.add(line, image, split)
    cells.add(labels[:1] if is_box else labels, PRESENT)
    return is_box


def _names_split(fields: "list[str] | tuple[str, ...]") -> bool:
    """Return whether a row starts with a split as Vertex writes it: capitals, or small before an address."""
    if len(fields) < 2 or fields[0].upper() not in VERTEX_SPLITS:
        return False
    return fields[0].isupper() or "://" in fields[1]


_LAYOUTS: dict[str, Callable[[Table, ReadOptions], LabelledRows]] = {
    "tags": _read_tags,
    "one-hot": read_one_hot,
    "long": _read_long,
    "ragged": _read_ragged,
}


class _LabelCells:
    """Cells of one label each: text to the number of the label, none where a cell says "no label"."""

    def __init__(self) -> None:
        self.entries = LabelEntries()
        self._ids_of: dict[str, tuple[int, ...]] = {}

    def add(self, cells: list[str], value: int) -> None:
        """Add a row."""
        ids: dict[int, None] = {}
        for cell in cells:
            found = self._ids_of.get(cell)
            if found is None:
                name = clean(cell)
                found = () if name.casefold() in NO_LABEL else (self.entries.id_of(name),)
                self._ids_of[cell] = found
            ids.update(dict.fromkeys(found))
        self.entries.add_ids(ids, value)
