"""Parquet files with the images inside, as Hugging Face data sets are: labels in a column, or a column per label.

Reads `data/train-00000-of-00001.parquet` and the like; the images stay where they are, and are found by
`data.image_bytes`. Needs pyarrow (extra `parquet`). Knows nothing of pixels.

Source:
    Hugging Face Datasets, "Create an image dataset" (features `Image`, `ClassLabel`, `Sequence`) and "Structure your
    repository" (names of Parquet files by split).
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.data.image_bytes import image_columns, opened_parquet
from labelbeam.data.listing import SUFFIXES
from labelbeam.errors import InputError
from labelbeam.formats.cells import CellStyle, recognise, refuse_combinations
from labelbeam.formats.csv_rows import ADDRESS_COLUMNS, IMAGE_COLUMNS, TAGS_COLUMNS, column_named
from labelbeam.formats.documents import image_key
from labelbeam.formats.imagefolder import class_names, labels_of_value
from labelbeam.formats.labelled_images import dataset_of_targets
from labelbeam.formats.lists import NAME_FILES
from labelbeam.formats.placing import chosen_splits
from labelbeam.labels.names import clean
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN

BOOKKEEPING = frozenset(
    {
        *("id", "idx", "index", "image_id", "fold", "split", "is_valid", "width", "height"),
        *("source", "__index_level_0__"),
    }
)
"""Columns of numbers that are no label, whatever their values."""

_SHARD = re.compile(r"(.+?)-\d{5}-of-\d{5}(?:-[0-9a-f]+)?")


@dataclass(frozen=True, eq=False)
class _Part:
    """The labels of a file.

    Attributes:
        split: the split that it belongs to.
        images: image keys of its rows.
        columns: by name, the values of the columns of labels, one a row.
    """

    split: str
    images: list[str]
    columns: dict[str, list[Any]]


def read_parquet(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read Parquet files of images and labels.

    Labels are in one column (`labels`, `tags`, …: texts, class numbers, or a list of 0 and 1 per class), else in
    columns of their own: booleans, or numbers that are 0, 1, -1 or nothing. Other columns are not read, and named. null
    is unknown.

    `path` is a file, or a folder of `SPLIT-00000-of-00001.parquet`, `SPLIT/0000.parquet` or `SPLIT.parquet`, in
    folders. The key of an image is `FILE/COLUMN/ROW.SUFFIX`. Labels are in the order of the class names or columns,
    else sorted.

    Raises:
        InputError: no Parquet file; no column of images or labels, or several; values that are neither; class numbers
            without names; an unknown split; whatever `settle` finds.
    """
    spec = f"parquet:{path}" + (f"#{split}" if split else "")
    root = path.parent if path.is_file() else path
    files = _files(path, spec)
    chosen, notes = chosen_splits(list(dict.fromkeys(files.values())), split, f"parquet:{path}")
    if path.is_file() and split == "":
        notes = []
    first = opened_parquet(next(iter(files)))
    image = _image_column(first.schema_arrow, options.image_column, spec)
    columns = [name for name in first.schema_arrow.names if name != image]
    # Without such a column each label may have its own.
    tags = column_named(columns, options.tags_column, TAGS_COLUMNS, "labels", "--tags-column", spec)
    if tags is None and "objects" in columns:  # boxes, as Hugging Face has them for object detection
        tags = "objects"
        notes = [*notes, "where the boxes are is not read, only the set of their labels."]
    parts = [_part(file, name, root, image, tags) for file, name in files.items()]
    if tags is None:
        names, targets, written, more = _one_hot(parts, spec)
        notes += more
    else:
        classes = _classes(first.schema_arrow, root, next(iter(files)), tags)
        names, targets, written = _tags(parts, tags, classes, options, spec)
    ignored = [
        name
        for name in first.schema_arrow.names
        if name not in {image, tags, *(names if tags is None else ())}
    ]
    if ignored:
        notes.append(f"columns that are not read: {', '.join(ignored[:12])}.")
    rows = np.array([part.split in chosen for part in parts for _ in part.images], dtype=bool)
    images = tuple(key for part in parts if part.split in chosen for key in part.images)
    if not images:
        raise InputError(f"{spec}: the split has no row.")
    return dataset_of_targets(
        images, names, targets[rows], spec=spec, root=root, layout=written, options=options, notes=notes
    )


def _files(path: Path, spec: str) -> dict[Path, str]:
    """Return the Parquet files and the split of each."""
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    files = [file for file in files if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    if not files:
        raise InputError(f"{spec}: no .parquet file in {path}. Give the folder of the data set, or a file.")
    found: dict[Path, str] = {}
    for file in files:
        shard = _SHARD.fullmatch(file.stem)
        numbered = file.stem.isdigit() or file.stem.startswith("part-")
        found[file] = (
            shard[1] if shard else file.parent.name if numbered and file.parent != path else file.stem
        )
    folders = {split: {file.parent for file in files if found[file] == split} for split in found.values()}
    # Several configurations have splits of the same names; the folder tells them apart.
    return {
        file: f"{file.parent.name}/{split}" if len(folders[split]) > 1 else split
        for file, split in found.items()
    }


def _image_column(schema: Any, named: str | None, spec: str) -> str:
    if named is not None:
        return column_named(schema.names, named, (), "images", "--image-column", spec) or named
    found = image_columns(schema)
    for usual in (IMAGE_COLUMNS, ADDRESS_COLUMNS):
        found = found or [name for name in schema.names if name.casefold() in usual]
    if len(found) == 1:
        return found[0]
    many = (
        f"several columns hold images: {', '.join(found)}"
        if found
        else "no column holds images or their names"
    )
    raise InputError(
        f"{spec}: {many} (there are {', '.join(schema.names[:20])}). Name it with --image-column."
    )


def _part(file: Path, split: str, root: Path, image: str, tags: str | None) -> _Part:
    """Read the columns of a file that say labels, and name its images."""
    import pyarrow

    opened = opened_parquet(file)
    schema = opened.schema_arrow
    wanted = (
        [tags] if tags is not None else [f.name for f in schema if f.name != image and _is_flag_type(f.type)]
    )
    if image not in schema.names or any(name not in schema.names for name in wanted):
        raise InputError(
            f"{file}: no column {image!r} or {tags!r}, which other files have; there is {schema.names[:12]}."
        )
    try:
        columns = {name: opened.read(columns=[name]).column(0).to_pylist() for name in wanted}
        columns = {name: [_of_objects(value) for value in values] for name, values in columns.items()}
        images = _keys(opened, file, root, image)
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{file} is damaged ({' '.join(str(error).split())[:120]}). Copy it again."
        ) from None
    return _Part(split, images, columns)


def _of_objects(value: Any) -> Any:
    """Return the labels of boxes, `{"bbox": […], "category": […]}` or a list of such; other values as they are."""
    boxes = value if isinstance(value, list) and value and isinstance(value[0], dict) else [value]
    if not isinstance(boxes[0], dict):
        return value
    key = next((key for key in boxes[0] if key in TAGS_COLUMNS or key == "category_id"), None)
    labels = [label for box in boxes for label in [(box or {}).get(key)]]
    return (
        [one for label in labels for one in (label if isinstance(label, list) else [label])] if key else value
    )


def _is_flag_type(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind))


def _keys(opened: Any, file: Path, root: Path, image: str) -> list[str]:
    """Return the key of each row's image: inside the file, or the path that a row without bytes names."""
    import pyarrow.types as types

    count = opened.metadata.num_rows
    kind = opened.schema_arrow.field(image).type
    inside = f"{file.relative_to(root).as_posix()}/{image}/"
    if types.is_string(kind) or types.is_large_string(kind):
        paths = opened.read(columns=[image]).column(0).to_pylist()
        return [_beside(written, file, root, row) for row, written in enumerate(paths)]
    names: list[Any] = [None] * count
    if types.is_struct(kind) and any(kind.field(i).name == "path" for i in range(kind.num_fields)):
        names = [
            cell.get("path") if cell else None
            for cell in opened.read(columns=[f"{image}.path"]).column(0).to_pylist()
        ]
    keys = []
    for row, (name, empty) in enumerate(zip(names, _without_bytes(opened, image, count), strict=True)):
        suffix = PurePosixPath(name).suffix.lower() if isinstance(name, str) else ""
        stored = f"{inside}{row:06d}{suffix if suffix in SUFFIXES else '.jpg'}"
        keys.append(_beside(name, file, root, row) if empty and name else stored)
    return keys


def _without_bytes(opened: Any, image: str, count: int) -> Iterator[bool]:
    """Yield for each row whether its bytes are missing; statistics say so without reading any."""
    nulls = 0
    for i in range(opened.metadata.num_row_groups):
        group = opened.metadata.row_group(i)
        for j in range(group.num_columns):
            column = group.column(j)
            if column.path_in_schema in {f"{image}.bytes", image}:
                statistics = column.statistics
                nulls += statistics.null_count if statistics is not None and statistics.has_null_count else 0
    if nulls in {0, count}:
        yield from (nulls > 0 for _ in range(count))
        return
    for batch in opened.iter_batches(batch_size=64, columns=[image]):
        for cell in batch.column(0):
            yield (cell.as_py() or {}).get("bytes") is None


def _beside(written: object, file: Path, root: Path, row: int) -> str:
    where = f"{file}, row {row}"
    if not isinstance(written, str):
        raise InputError(f"{where}: neither an image nor its path.")
    folder = file.parent.relative_to(root).as_posix()
    return image_key(written if folder == "." else f"{folder}/{written}", where)


def _classes(schema: Any, root: Path, file: Path, tags: str) -> list[str] | None:
    """Return the class names: of the file's description, of README.md, or of a list beside the files."""
    try:
        described = json.loads((schema.metadata or {}).get(b"huggingface") or b"null")
    except (ValueError, RecursionError):
        described = None
    if found := class_names(described, root / "README.md", tags):
        return found
    for place in (root, file.parent):
        for name in NAME_FILES:
            try:
                lines = (place / name).read_text(encoding="utf-8-sig").split("\n")
            except (OSError, UnicodeDecodeError):
                continue
            return [line.strip() for line in lines if line.strip()]
    return None


def _tags(
    parts: Sequence[_Part], tags: str, classes: list[str] | None, options: ReadOptions, spec: str
) -> tuple[tuple[str, ...], np.ndarray, str]:
    """Return the labels of one column: names, int8 [rows labels], and how they are written."""
    values = [value for part in parts for value in part.columns[tags]]
    if _is_multi_hot(values, classes, options.layout, f"{spec}: column {tags!r}"):
        width = next(len(value) for value in values if value is not None)
        if classes is None or len(classes) != width:
            raise InputError(
                f"{spec}: column {tags!r} has {width} values of 0 and 1 a row, and "
                + (
                    f"there are {len(classes)} class names. Repair them."
                    if classes
                    else f"nothing names them. Write {width} names into {NAME_FILES[1]} beside the files, one a line."
                )
            )
        targets = np.array(
            [[UNKNOWN] * width if value is None else list(map(int, value)) for value in values], np.int8
        )
        return tuple(map(clean, classes)), targets, f"column {tags!r}, a value of 0 and 1 for each class"
    texts = [value for value in values if isinstance(value, str)]
    style = (
        CellStyle(options.delimiter)
        if options.delimiter or not texts
        else recognise(texts, f"{spec}, {tags!r}")
    )
    listed = [
        [
            clean(name)
            for name in labels_of_value(value, style, classes, f"{spec}: row {row}, column {tags!r}")
        ]
        for row, value in enumerate(values)
    ]
    found = {name for names in listed for name in names if name}
    if texts and options.combinations == "error" and not style.is_list:
        refuse_combinations(found, spec)
    names = tuple(dict.fromkeys([*map(clean, classes or ()), *sorted(found)]))
    if not names:
        raise InputError(f"{spec}: column {tags!r} names no label at all. Name another with --tags-column.")
    column = {name: j for j, name in enumerate(names)}
    targets = np.full((len(values), len(names)), ABSENT, np.int8)
    for row, value, labels in zip(targets, values, listed, strict=True):
        if value is None:
            row[:] = UNKNOWN
        row[[column[name] for name in labels if name]] = PRESENT
    return names, targets, f"column {tags!r}" + (f", {style}" if texts else "")


def _is_multi_hot(values: Sequence[Any], classes: list[str] | None, layout: str | None, where: str) -> bool:
    """Return whether lists are 0 and 1 for each class, rather than class numbers."""
    lists = [value for value in values if isinstance(value, list)]
    flags = all(isinstance(one, int | float) and one in (0, 1) for value in lists for one in value)
    if not lists or not flags or len({len(value) for value in lists}) > 1 or not lists[0]:
        return False
    if isinstance(lists[0][0], bool) or layout == "one-hot":
        return True
    if any(len(set(value)) < len(value) for value in lists):
        return True  # nobody writes one class number twice
    if layout == "numbers" or (classes is not None and len(classes) != len(lists[0])):
        return False
    raise InputError(
        f"{where}: two readings are possible: {lists[0]} is 0 and 1 for each of {len(lists[0])} classes, or "
        "the numbers of its classes. Say which: --layout one-hot or --layout numbers."
    )


def _one_hot(parts: Sequence[_Part], spec: str) -> tuple[tuple[str, ...], np.ndarray, str, list[str]]:
    """Return the labels of columns of their own: names, int8 [rows labels], how they are written, and notes."""
    names = [name for name in parts[0].columns if name.casefold() not in BOOKKEEPING]
    columns: dict[str, np.ndarray] = {}
    for name in names:
        raw = [value for part in parts for value in part.columns.get(name, [None] * len(part.images))]
        values = np.array([np.nan if value is None else float(value) for value in raw])
        if bool((np.isnan(values) | np.isin(values, (0, 1, -1))).all()) and not np.isnan(values).all():
            columns[name] = values
    if not columns:
        raise InputError(
            f"{spec}: no column of labels ({', '.join(sorted(TAGS_COLUMNS))}), and none of 0 and 1 per label either. "
            "Name the column with --tags-column."
        )
    table = np.stack(list(columns.values()), axis=1)
    minus = UNKNOWN if (table == 0).any() else ABSENT
    targets = np.where(np.isnan(table), UNKNOWN, np.where(table == -1, minus, table)).astype(np.int8)
    notes = []
    if (table == -1).any():
        notes.append(f"-1 is read as {'unknown' if minus == UNKNOWN else 'absent, as there is no 0'}.")
    cleaned = tuple(map(clean, columns))
    if len(set(cleaned)) < len(cleaned) or not all(cleaned):
        raise InputError(
            f"{spec}: the names of the columns must differ and not be empty: {', '.join(cleaned[:8])}."
        )
    return cleaned, targets, "a column for each label", notes
