"""The layouts that CSV files of labels come in: each turns rows of text into labelled rows.

Between `csv_rows` and `labelled_rows`. The layout is recognised by the header alone, and said in the notes.
Rows are gone through once and leave numbers behind, no objects: files of a million rows are ordinary. Knows
nothing of image files.
"""

from array import array
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import PurePath

import numpy as np

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.cells import NO_LABEL
from labelbeam.formats.csv_rows import Table, TagColumns, read_tag_cells
from labelbeam.formats.labelled_rows import DenseLabels, LabelEntries, LabelledRows, SparseLabels
from labelbeam.labels.names import clean
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN

IMAGE_COLUMNS = frozenset(
    {"image", "img", "file", "filename", "file_name", "filepath", "file_path", "path", "uri"}
    | {"image_path", "image_name", "image_file", "imageid", "image_id"}
)
TAGS_COLUMNS = frozenset({"tags", "tag", "labels", "label", "keywords", "classes", "labelname"})
SPLIT_COLUMNS = frozenset({"split", "split_name", "ml_use"})
VERTEX_SPLITS = frozenset({"TRAIN", "TRAINING", "VALIDATION", "TEST", "UNASSIGNED"})
_VALUES = {"1": PRESENT, "0": ABSENT, "-1": UNKNOWN, "1.0": PRESENT, "0.0": ABSENT, "-1.0": UNKNOWN}


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
    if options.tags_column is not None:
        return "tags"
    if _names_split(table.header):
        return "ragged"
    folded = {name.casefold() for name in table.header}
    if {"labelname", "confidence"} <= folded:
        return "long"
    return "tags" if folded & TAGS_COLUMNS else "one-hot"


def _read_tags(table: Table, options: ReadOptions) -> LabelledRows:
    """`image,tags`: the labels of an image in one cell; columns `unknown` and `absent` hold labels too."""
    image, split = _image_column(table, options), _split_column(table)
    tags = _column(table, options.tags_column, TAGS_COLUMNS, "labels", "--tags-column")
    found = _Rows(has_splits=split is not None)
    columns = {PRESENT: tags}
    for value, named in ((UNKNOWN, "unknown"), (ABSENT, "absent")):
        at = _position(table, {named})
        if at is not None and at not in {image, split, tags}:
            columns[value] = at
    cells = TagColumns(table.source, {value: table.header[at] for value, at in columns.items()})
    width, wanted = len(table.header), max(columns.values()) + 1
    for line, fields in table.rows:
        if len(fields) > width:
            _refuse_long_row(table, line, fields)
        found.add(line, _field(fields, image), _field(fields, split))
        if len(fields) < wanted:
            fields = fields + [""] * (wanted - len(fields))
        cells.add(line, *(fields[at] for at in columns.values()))
    names, said, style = read_tag_cells(cells, options.delimiter)
    extra = [f"column {table.header[at]!r} names what nobody knows" for at in [columns.get(UNKNOWN)] if at]
    return found.labelled(table, names, said, ", ".join([str(style), *extra]), taken_apart=style.is_list)


def _read_one_hot(table: Table, options: ReadOptions) -> LabelledRows:
    """`image,cat,dog,…`: 1 present, 0 absent, -1 or empty unknown."""
    image, split = _image_column(table, options), _split_column(table)
    columns = {j: clean(name) for j, name in enumerate(table.header) if j not in {image, split}}
    if len(set(columns.values())) < len(columns) or "" in columns.values():
        raise InputError(
            f"{table.source}: column names must differ and not be empty: {_shown(table.header)}."
        )
    if not columns:
        raise _no_labels(table, "")
    found = _Rows(has_splits=split is not None)
    values, bytes_of = bytearray(), _ByteOfCell()
    width = len(table.header)
    others = [at for at in range(width - 1, -1, -1) if at not in columns]
    for line, fields in table.rows:
        if len(fields) > width:
            _refuse_long_row(table, line, fields)
            del fields[width:]
        fields += [""] * (width - len(fields))
        found.add(line, fields[image], _field(fields, split))
        for at in others:
            del fields[at]
        try:
            values += bytes(map(bytes_of.__getitem__, fields))
        except KeyError:
            wrong = [
                name for name, cell in zip(columns.values(), fields, strict=True) if cell not in bytes_of
            ]
            shown = _shown(map(repr, wrong))
            raise _no_labels(table, f": {shown} hold other values, first in line {line}") from None
    matrix = np.frombuffer(values, np.int8).reshape(-1, len(columns))
    names = tuple(columns.values())
    return found.labelled(table, names, DenseLabels(matrix), "one column per label")


class _ByteOfCell(dict[str, int]):
    """The byte of int8 that a cell stands for; cells that say nothing, in any case, are added as they turn up."""

    def __init__(self) -> None:
        super().__init__({cell: value % 256 for cell, value in _VALUES.items()})
        self[""] = UNKNOWN % 256

    def __missing__(self, cell: str) -> int:
        if cell.casefold() not in NO_LABEL:
            raise KeyError(cell)
        self[cell] = UNKNOWN % 256
        return self[cell]


def _no_labels(table: Table, detail: str) -> InputError:
    return InputError(
        f"{table.source}: no column of labels ({', '.join(sorted(TAGS_COLUMNS))}) among: "
        f"{_shown(table.header)}; and not one column per label with 1, 0, -1 or nothing either"
        f"{detail}. Name the column with --tags-column."
    )


def _read_long(table: Table, options: ReadOptions) -> LabelledRows:
    """`ImageID,LabelName,Confidence` (Open Images): 1 present, 0 verified absent, unsaid is unknown.

    Without a column of confidence the rows name what is present, and what is unsaid is absent.
    """
    image, split = _image_column(table, options), _split_column(table)
    label = _column(table, options.tags_column, TAGS_COLUMNS, "labels", "--tags-column")
    confidence = _position(table, {"confidence"})
    is_id = table.header[image].casefold() == "imageid"  # Open Images names its images without a suffix
    found, cells = _Rows(has_splits=split is not None), _LabelCells()
    for line, fields in table.rows:
        if len(fields) > len(table.header):
            _refuse_long_row(table, line, fields)
        said = _field(fields, confidence) if confidence is not None else "1"
        if said not in _VALUES:
            raise InputError(
                f"{table.source}, line {line}, column {table.header[confidence or 0]!r}: {said[:40]!r}; only "
                "verified labels are read: 1 is present, 0 is absent. Decide on a threshold and write 1 and 0."
            )
        key = _field(fields, image)
        if is_id and key and not PurePath(key).suffix:
            key += ".jpg"
        found.add(line, key, _field(fields, split))
        cells.add([_field(fields, label)], _VALUES[said])
    unsaid = ABSENT if confidence is None else UNKNOWN
    names, labels = cells.entries.sorted_labels(unsaid)
    understood = f"one row per image and label (unsaid is {'unknown' if unsaid else 'absent'})"
    return found.labelled(table, names, labels, understood, one_row_per_image=False)


def _read_ragged(table: Table, options: ReadOptions) -> LabelledRows:
    """`[split,]image,label,label,…` (Google Vertex): the first line may be a row already."""
    first = table.header[0]
    is_header = first == options.image_column or first.casefold() in IMAGE_COLUMNS | SPLIT_COLUMNS
    found, cells = _Rows(has_splits=True), _LabelCells()
    if not is_header:
        _add_ragged(found, cells, table.header_line, list(table.header))
    for line, fields in table.rows:
        _add_ragged(found, cells, line, fields)
    names, said = cells.entries.sorted_labels(ABSENT)
    understood = "one label a cell, as many as it takes, " + (
        f"the first line ({first[:40]!r}) names columns" if is_header else "the first line is a row too"
    )
    return found.labelled(table, names, said, understood)


def _add_ragged(found: "_Rows", cells: "_LabelCells", line: int, fields: list[str]) -> None:
    named = _names_split(fields) or not fields[0]
    split, image, labels = (fields[0], fields[1], fields[2:]) if named else ("", fields[0], fields[1:])
    found.add(line, image, split)
    cells.add(labels, PRESENT)


def _names_split(fields: "list[str] | tuple[str, ...]") -> bool:
    """Return whether a row starts with a split as Vertex writes it: capitals, or small before an address."""
    if len(fields) < 2 or fields[0].upper() not in VERTEX_SPLITS:
        return False
    return fields[0].isupper() or "://" in fields[1]


_LAYOUTS: dict[str, Callable[[Table, ReadOptions], LabelledRows]] = {
    "tags": _read_tags,
    "one-hot": _read_one_hot,
    "long": _read_long,
    "ragged": _read_ragged,
}


class _Rows:
    """Images, lines and splits of rows, as they are gone through."""

    def __init__(self, *, has_splits: bool) -> None:
        self.images: list[str] = []
        self.lines = array("q")
        self.splits: list[str] | None = [] if has_splits else None
        self._distinct: dict[str, str] = {}

    def add(self, line: int, image: str, split: str) -> None:
        # Rows of one image mostly follow each other: one text for all of them.
        self.images.append(self.images[-1] if self.images and self.images[-1] == image else image)
        self.lines.append(line)
        if self.splits is not None:
            self.splits.append(self._distinct.setdefault(split, split))

    def labelled(
        self,
        table: Table,
        names: tuple[str, ...],
        said: SparseLabels | DenseLabels,
        understood: str,
        *,
        one_row_per_image: bool = True,
        taken_apart: bool = False,
    ) -> LabelledRows:
        """Return the rows with their labels.

        Raises:
            InputError: no row.
        """
        if not self.images:
            raise InputError(
                f"{table.source} has no row after its first line, {_shown(table.header)!r}. Is it whole?"
            )
        return LabelledRows(
            table.source,
            self.images,
            self.lines,
            self.splits or [],
            names,
            said,
            understood,
            one_row_per_image,
            taken_apart,
        )


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


def _field(fields: list[str], column: int | None) -> str:
    """Return a field; empty where the row is shorter than the header or the column is not there."""
    return fields[column] if column is not None and column < len(fields) else ""


def _image_column(table: Table, options: ReadOptions) -> int:
    return _column(table, options.image_column, IMAGE_COLUMNS, "images", "--image-column")


def _split_column(table: Table) -> int | None:
    return _position(table, SPLIT_COLUMNS)


def _position(table: Table, known: frozenset[str] | set[str]) -> int | None:
    return next((j for j, name in enumerate(table.header) if name.casefold() in known), None)


def _column(table: Table, named: str | None, known: frozenset[str], content: str, option: str) -> int:
    """Return the position of the column that the option names or whose header is a known one."""
    if named is not None:
        if named not in table.header:
            raise InputError(f"{table.source}: {unknown_name('column', named, table.header)}")
        return table.column(named)
    found = [j for j, name in enumerate(table.header) if name.casefold() in known]
    if len(found) == 1:
        return found[0]
    names = _shown(table.header)
    if found:
        raise InputError(
            f"{table.source}: several columns could hold the {content}: "
            f"{_shown(table.header[j] for j in found)}. Name one with {option}."
        )
    raise InputError(
        f"{table.source}: no column of {content} ({', '.join(sorted(known))}) among: {names}. "
        f"The first line names the columns, such as image,tags; or name the column with {option}."
    )


def _shown(names: Iterable[str]) -> str:
    """Return the first names, none of them at length, for a message."""
    return ", ".join(name if len(name) < 40 else name[:40] + "…" for name in islice(names, 20))


def _refuse_long_row(table: Table, line: int, fields: list[str]) -> None:
    if any(fields[len(table.header) :]):
        raise InputError(
            f"{table.source}, line {line} has {len(fields)} fields, the header {len(table.header)}: "
            f"{table.separator.join(fields)[:80]!r}. Put cells that hold {table.separator!r} in quotes, "
            "or pass --layout ragged if each further cell is a label."
        )
