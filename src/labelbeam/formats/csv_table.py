"""Labels in a CSV file, in the dialects seen in the wild: read, and written.

Joins the steps: `csv_rows` (text, columns), layouts with `cells` (names), `labelled_rows` (images, splits,
repeats). The layout is recognised by the header alone, and noted. Rows are gone through once and leave numbers behind,
no objects: files of a million rows are ordinary.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats import csv_rows, list_cells, placing
from labelbeam.formats.cells import NO_LABEL, is_plain
from labelbeam.formats.labelled_images import with_labels_of_all
from labelbeam.formats.labelled_rows import LabelEntries, LabelledRows, dataset_of_rows
from labelbeam.formats.one_hot import read_one_hot
from labelbeam.labels.names import clean
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN

_CORNER = re.compile(r"[01]|[01]?\.\d+(?:[eE]-\d+)?")

VERTEX_SPLITS = frozenset({"TRAIN", "TRAINING", "VALIDATION", "TEST", "UNASSIGNED"})


def read_layout(table: csv_rows.Table, options: ReadOptions) -> LabelledRows:
    """Read a table in the layout that its header shows or the options name.

    Raises:
        InputError: columns that no layout has (those there are listed), cells with other values than the
            layout has, or rows longer than the header.
    """
    layout = options.layout or recognise_layout(table, options)
    if layout not in _LAYOUTS:
        raise InputError(f"{table.source}: {unknown_name('--layout of CSV', layout, _LAYOUTS)}")
    return _LAYOUTS[layout](table, options)


def recognise_layout(table: csv_rows.Table, options: ReadOptions) -> str:
    """Return the name of the layout.

    Raises:
        InputError: several columns that could hold the image or the labels.
    """
    if (
        options.tags_column is not None
        or tuple(table.header[: len(csv_rows.TAGGED_COLUMNS)]) == csv_rows.TAGGED_COLUMNS
    ):
        return "tags"
    if _names_split(table.header):
        return "ragged"
    gone = csv_rows.dropped_columns(table, options) or {}
    folded = {csv_rows.folded_name(name) for j, name in enumerate(table.header) if j not in gone}
    if not folded & csv_rows.TAGS_COLUMNS:
        return "one-hot"
    return "long" if folded & (csv_rows.CONFIDENCE_COLUMNS | csv_rows.BOX_COLUMNS) else "tags"


def _read_tags(table: csv_rows.Table, options: ReadOptions) -> LabelledRows:
    """`image,tags`: the labels of an image in one cell; columns `unknown` and `absent` hold labels too."""
    image, split = csv_rows.image_column(table, options), csv_rows.SplitColumn(table, options)
    tags = csv_rows.find_column(table, options.tags_column, csv_rows.TAGS_COLUMNS, "labels", "--tags-column")
    found = csv_rows.RowsSeen(has_splits=split.at is not None)
    columns = {PRESENT: tags}
    for value, named in ((UNKNOWN, "unknown"), (ABSENT, "absent")):
        at = csv_rows.position(table, {named})
        if at is not None and at not in {image, split.at, tags}:
            columns[value] = at
    cells = csv_rows.TagColumns(table.source, {value: table.header[at] for value, at in columns.items()})
    width, wanted = len(table.header), max(columns.values()) + 1
    for line, fields in table.rows:
        if len(fields) > width:
            csv_rows.refuse_long_row(table, line, fields)
        found.add(line, csv_rows.field_of(fields, image), split.of(csv_rows.field_of(fields, split.at)))
        if len(fields) < wanted:
            fields = fields + [""] * (wanted - len(fields))
        cells.add(line, *(fields[at] for at in columns.values()))
    names, labels, style = csv_rows.read_tag_cells(cells, options.delimiter)
    others = [name for j, name in enumerate(table.header) if j not in {image, split.at, *columns.values()}]
    others = [name for name in others if not csv_rows.is_bookkeeping(name)]
    if set(names) == {"0", "1"} and options.tags_column is None and options.layout is None:
        there = f", and there are other columns: {csv_rows.shown(others)}" if others else ""
        raise InputError(
            f"{table.source}: column {table.header[tags]!r} holds 0 and 1, no names{there}. If each column is a label, "
            f"called as its header, pass --layout one-hot; if 0 and 1 are the labels, --tags-column "
            f"{table.header[tags]!r}."
        )
    extra = [f"column {table.header[at]!r} names what nobody knows" for at in [columns.get(UNKNOWN)] if at]
    notes = (*split.note, *csv_rows.unread_note(table, {image, split.at, *columns.values()}))
    apart = style.is_list and not style.has_plain
    return found.labelled(
        table, names, labels, ", ".join([str(style), *extra]), taken_apart=apart, notes=notes
    )


def _read_long(table: csv_rows.Table, options: ReadOptions) -> LabelledRows:
    """`ImageID,LabelName,Confidence` (Open Images): 1 present, 0 verified absent, unsaid is unknown.

    Without a column of confidence the rows name what is present, and what is unsaid is absent.
    """
    image, split = csv_rows.image_column(table, options), csv_rows.SplitColumn(table, options)
    label = csv_rows.find_column(table, options.tags_column, csv_rows.TAGS_COLUMNS, "labels", "--tags-column")
    gone = csv_rows.dropped_columns(table, options) or {}
    confidence = csv_rows.position(table, csv_rows.CONFIDENCE_COLUMNS)
    confidence = None if confidence in gone else confidence
    negated = confidence is not None and csv_rows.folded_name(table.header[confidence]) in csv_rows.NEGATIONS
    is_id = table.header[image].casefold() == "imageid"  # Open Images names its images without a suffix
    found, cells = csv_rows.RowsSeen(has_splits=split.at is not None), _LabelCells()
    for line, fields in table.rows:
        if len(fields) > len(table.header):
            csv_rows.refuse_long_row(table, line, fields)
        sure = csv_rows.field_of(fields, confidence) if confidence is not None else "1"
        word = list_cells.said(sure)
        value = UNKNOWN if word == "-1" else list_cells.YES_NO.get(word)
        if value is None:
            name = table.header[confidence or 0]
            raise InputError(
                f"{table.source}, line {line}, column {name!r}: {sure[:40]!r}; only verified labels are read: 1 is "
                "present, 0 is absent. Decide on a threshold and write 1 and 0; or, if every row names a label that is "
                f"present, leave the column out with --drop-columns {name!r}."
            )
        if negated and value != UNKNOWN:
            value = ABSENT if value == PRESENT else PRESENT
        key = csv_rows.field_of(fields, image)
        if is_id and key and not PurePath(key).suffix:
            key += ".jpg"
        found.add(line, key, split.of(csv_rows.field_of(fields, split.at)))
        cells.add([csv_rows.field_of(fields, label)], value)
    unsaid = ABSENT if confidence is None else UNKNOWN
    names, labels = cells.entries.sorted_labels(unsaid)
    by = f", by column {table.header[confidence]!r}" if confidence is not None else ""
    understood = f"one row per image and label (unsaid is {'unknown' if unsaid else 'absent'}{by})"
    notes = (*split.note, *csv_rows.unread_note(table, {image, split.at, label, confidence}))
    return found.labelled(table, names, labels, understood, one_row_per_image=False, notes=notes)


def _read_ragged(table: csv_rows.Table, options: ReadOptions) -> LabelledRows:
    """`[split,]image,label,label,…` (Google Vertex): the first line may be a row already."""
    first = table.header[0]
    is_header = (
        first == options.image_column or first.casefold() in csv_rows.IMAGE_COLUMNS | csv_rows.SPLIT_COLUMNS
    )
    found, cells = csv_rows.RowsSeen(has_splits=True), _LabelCells()
    boxes = 0
    if not is_header:
        boxes += _add_ragged(found, cells, table.header_line, list(table.header))
    for line, fields in table.rows:
        boxes += _add_ragged(found, cells, line, fields)
    names, labels = cells.entries.sorted_labels(ABSENT)
    understood = "one label a cell, as many as it takes, " + (
        f"the first line ({first[:40]!r}) names columns" if is_header else "the first line is a row too"
    )
    notes = (f"{boxes:,} rows are boxes, of which only the label was read.",) if boxes else ()
    return found.labelled(table, names, labels, understood, one_row_per_image=not boxes, notes=notes)


def _add_ragged(found: csv_rows.RowsSeen, cells: "_LabelCells", line: int, fields: list[str]) -> bool:
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


_LAYOUTS: dict[str, Callable[[csv_rows.Table, ReadOptions], LabelledRows]] = {
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


ROBOFLOW_FILES = ("_classes.csv", "_annotations.csv")
"""What Roboflow calls the file that it puts into each split's folder: a column per label, or a row per box."""


def read_csv(file: Path, split: str = "", *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a CSV file of images and labels.

    Layouts: `image,tags` with a delimiter or a Python list in the cell, and further columns `unknown` and
    `absent` of such cells; one column per label; one row per image and label (Open Images); ragged rows
    (Vertex). The labels are those of the whole file, whatever the split.

    Of a folder that Roboflow exported, whose folders each hold a split's `ROBOFLOW_FILES`, a split is a folder; else it
    is a value of the column `split`. Names are sorted, except with one column per label, where they are in the header's
    order.

    Raises:
        InputError: an encoding, header, delimiter, cell or label that cannot be read or is ambiguous; an
            image given twice with different labels; an unknown split; image files that are missing.
    """
    spec = f"csv:{file}" + (f"#{split}" if split else "")
    if file.is_dir():
        files = _roboflow_files(file, split)
        names: dict[str, None] = {}
        for one in files.values():
            with csv_rows.opened_table(one, encoding=options.encoding) as table:
                names |= dict.fromkeys(read_layout(table, options).names)
        return with_labels_of_all(read_csv(files[split], options=options), list(names), options.unsaid)
    with csv_rows.opened_table(file, encoding=options.encoding) as table:
        found = read_layout(table, options)
    return dataset_of_rows(found, split, spec=spec, root=options.root or file.parent, options=options)


def _roboflow_files(folder: Path, split: str) -> dict[str, Path]:
    """Return the files of the splits in a folder that Roboflow exported; the split that was asked for is one."""
    splits = {
        file.parent.name: file for name in ROBOFLOW_FILES[::-1] for file in sorted(folder.glob(f"*/{name}"))
    }
    if not splits:
        files = sorted(file.name for file in folder.glob("*.csv"))
        raise InputError(
            f"csv:{folder} is a folder. Give the CSV file in it, such as "
            f"csv:{folder / (files[0] if files else 'tags.csv')}."
        )
    if split not in splits:
        raise InputError(
            f"csv:{folder}#{split}: {unknown_name('split', split, splits)} "
            f"Each has a {next(iter(splits.values())).name} in its folder."
        )
    return splits


_CHUNK = 65_536


def write_csv(
    dataset: Dataset,
    path: Path,
    *,
    split: str = "",
    images: str = "keep",
    splits: Sequence[str] | None = None,
) -> tuple[str, ...]:
    """Write a data set as a CSV file.

    The columns are `image,tags`; `unknown`, where labels are; `absent`, in the first row only, for labels that no
    row has or does not know; `split`, where there is one. Labels are separated by `;`. Where names hold
    characters that separate labels in some files, or words that stand for "no label", every cell is a list as
    Python and JSON write it: `["traffic light", "a;b"]`.

    `split` is the value of the column `split`; with `splits`, a value for each image.
    """
    spec = f"csv:{path}" + (f"#{split}" if split else "")
    names = dataset.vocabulary.names
    placing.refuse_unwritable(names, spec, control=False)
    values = [split] * len(dataset) if splits is None else splits
    for value in set(values):
        if value != value.strip() or not placing.encodable(value):
            raise InputError(f"{spec}: the split {value!r} cannot be written in a cell. Rename it.")
    with (
        placing.new_list_file(dataset, path, images=images, spec=spec, blanks=False) as (part, references),
        part.open("w", encoding="utf-8", newline="") as file,
    ):
        rows = row_writer(file)
        columns = _columns(dataset)
        if any(values):
            columns["split"] = values
        rows.writerow(["image", *columns])
        rows.writerows(zip(references, *columns.values(), strict=True))
    return placing.order_note(dataset)


class _UnixLines:
    """A file that gets rows ending in CR LF, and holds them ending in LF."""

    def __init__(self, file: io.TextIOBase) -> None:
        self._file = file

    def write(self, row: str) -> int:
        return self._file.write(row.removesuffix("\r\n") + "\n")


def row_writer(file: io.TextIOBase) -> Any:
    r"""Return a writer of rows in which every name survives.

    Python before 3.11.9 quotes a carriage return only where it is part of a line's end (CPython's gh-67044).

    Example:
        >>> from io import StringIO
        >>> file = StringIO()
        >>> _ = row_writer(file).writerow(["a\rb.jpg", "dog"])
        >>> file.getvalue()
        '"a\rb.jpg",dog\n'
    """
    return csv.writer(_UnixLines(file), lineterminator="\r\n")


def _columns(dataset: Dataset) -> dict[str, Iterable[str]]:
    """Return the cells of each column of labels."""
    names = dataset.vocabulary.names
    some, most = {PRESENT: np.zeros(len(names), bool), UNKNOWN: np.zeros(len(names), bool)}, 0
    for start in range(0, len(dataset), _CHUNK):
        for value, seen in some.items():
            chunk = dataset.targets[start : start + _CHUNK] == value
            seen |= chunk.any(axis=0)
            most = max(most, int(chunk.sum(axis=1).max()))
    unsaid = [name for j, name in enumerate(names) if not some[PRESENT][j] and not some[UNKNOWN][j]]
    # A blank is known not to separate where a semicolon does.
    blank = any(" " in name for name in names) and max(most, len(unsaid)) < 2
    as_list = blank or not all(map(is_plain, names))
    columns: dict[str, Iterable[str]] = {"tags": _cells(dataset, PRESENT, as_list=as_list)}
    if some[UNKNOWN].any():
        columns["unknown"] = _cells(dataset, UNKNOWN, as_list=as_list)
    if unsaid:
        columns["absent"] = [labels_cell(unsaid, as_list=as_list), *[""] * (len(dataset) - 1)]
    return columns


def _cells(dataset: Dataset, value: int, *, as_list: bool) -> Iterator[str]:
    return (labels_cell(labels, as_list=as_list) for labels in dataset.labels_by_image(value))


def labels_cell(labels: Sequence[str], *, as_list: bool) -> str:
    """Return the cell of an image's labels: separated by semicolons, or a list as Python and JSON write it."""
    if not labels:
        return ""
    return json.dumps(labels, ensure_ascii=False) if as_list else ";".join(labels)
