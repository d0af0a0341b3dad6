"""Rows of `metadata.jsonl` and `metadata.parquet`: values that are lists, texts or class numbers, as labels.

Under the reader of ImageFolder. Parquet needs pyarrow (the extra `parquet`). Knows nothing of splits and folders.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from labelbeam.data.dataset import Dataset
from labelbeam.data.options import ReadOptions
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.parts.class_numbers import names_of_numbers
from labelbeam.formats.parts.image_keys import image_key
from labelbeam.formats.parts.json_document import parse_json
from labelbeam.formats.parts.labelled_images import labelled_dataset
from labelbeam.formats.tables.cells import CellStyle, recognise, refuse_combinations
from labelbeam.formats.tables.csv_layouts import TAGS_COLUMNS
from labelbeam.labels.targets import ABSENT, PRESENT, UNKNOWN

Rows = list[tuple[str, Mapping[str, Any]]]
"""Where each row is, for messages, and its values by column."""

_EXTRA = {"unknown": UNKNOWN, "absent": ABSENT}
"""Further columns that name labels."""


def read_metadata_rows(file: Path, readme: Path, *, options: ReadOptions) -> Dataset:
    """Read metadata that are not CSV.

    Labels are a list of texts, one text (taken apart as in CSV), or class numbers whose names are in the Parquet
    file's own description or in the README's. A row without labels at all (null) is one that nobody labelled: every
    label is unknown; an empty list is no label. Lists in columns `unknown` and `absent` mean what they say.

    Args:
        file: `.jsonl` or `.parquet`.
        readme: the data set's README.md, whose head may have `dataset_info`; it need not be there.
        options: `tags_column`, `delimiter`, `combinations`, and what `settle` obeys.

    Returns:
        The data set, relative to the file's folder.

    Raises:
        InputError: a row or value that cannot be read, named by line and column; no column of labels or several;
            numbers without names.
    """
    rows, described = _parquet(file) if file.suffix == ".parquet" else (_json_lines(file), None)
    columns = list(dict.fromkeys(name for _, row in rows for name in row))
    tags = _tags_column(columns, options.tags_column, file)
    extra = {name: value for name, value in _EXTRA.items() if name in columns and name != tags}
    classes = _class_names(described, readme, tags)
    texts = [row[name] for _, row in rows for name in (tags, *extra) if isinstance(row.get(name), str)]
    style = (
        CellStyle(options.delimiter)
        if options.delimiter or not texts
        else recognise(texts, f"{file}, {tags!r}")
    )
    said: list[tuple[str, dict[str, int]]] = []
    for where, row in rows:
        labels: dict[str, int] = {}
        for name, value in {tags: PRESENT, **extra}.items():
            found = _labels(row.get(name), style, classes, f"{where}, column {name!r}")
            if both := labels.keys() & set(found):
                raise InputError(f"{where}: {min(both)!r} is in two columns of labels. Keep it in one.")
            labels |= dict.fromkeys(found, value)
        said.append((_file_name(row, where), labels))
    if texts and options.combinations == "error" and not style.is_list:
        refuse_combinations({name for _, labels in said for name in labels}, str(file))
    never = [row.get(tags) is None for _, row in rows]
    notes = (
        [f"{sum(never)} rows have no labels at all: every label of theirs is unknown."] if any(never) else []
    )
    return labelled_dataset(
        said,
        spec=f"imagefolder:{file.parent}",
        root=file.parent,
        names=classes,
        unsaid=[UNKNOWN if nothing else ABSENT for nothing in never],
        layout=f"column {tags!r} of {file.name}"
        + (f", {style}" if texts else "")
        + ", folders are no labels",
        options=options,
        notes=notes,
    )


def _json_lines(file: Path) -> Rows:
    rows: Rows = []
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                where = f"{file}, line {number}"
                value = parse_json(line.strip(), where)
                if not isinstance(value, dict):
                    raise InputError(
                        f"{where}: not a JSON object with file_name and labels: {str(value)[:60]}."
                    )
                rows.append((where, value))
    if not rows:
        raise InputError(f"{file} has no line. Was it copied in full?")
    return rows


def _parquet(file: Path) -> tuple[Rows, object]:
    """Return the rows, and what Hugging Face's description of the columns says, None where there is none."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InputError(
            f"{file} needs pyarrow, which is not installed: pip install 'labelbeam[parquet]'. Or save it as .jsonl."
        ) from None
    try:
        opened = parquet.ParquetFile(file)
        schema = opened.schema_arrow
        wanted = [name for name in schema.names if name != "image"]
        listed = opened.read(columns=wanted).to_pylist()
        metadata = (schema.metadata or {}).get(b"huggingface")
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{file} is not a Parquet file ({str(error)[:120]}). Was it copied in full?"
        ) from None
    if not listed:
        raise InputError(f"{file} has no row.")
    rows = [(f"{file}, row {number}", row) for number, row in enumerate(listed, 1)]
    return rows, parse_json(metadata, f"{file}, its description of columns") if metadata else None


def _tags_column(columns: Sequence[str], named: str | None, file: Path) -> str:
    if named is not None:
        if named not in columns:
            raise InputError(f"{file}: {unknown_name('column', named, columns)}")
        return named
    found = [name for name in columns if name.casefold() in TAGS_COLUMNS]
    if len(found) == 1:
        return found[0]
    said = f"several columns could hold the labels: {', '.join(found)}" if found else "no column of labels"
    raise InputError(
        f"{file}: {said} ({', '.join(sorted(TAGS_COLUMNS))}) among: {', '.join(columns[:20])}. "
        "Name it with --tags-column."
    )


def _labels(value: object, style: CellStyle, classes: Sequence[str] | None, where: str) -> list[str]:
    """Return the labels that a value names, each once."""
    if value is None:
        return []
    if isinstance(value, str):
        try:
            return style.labels(value)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
    members = value if isinstance(value, list) else [value]
    texts = [member for member in members if isinstance(member, str)]
    if len(texts) == len(members):
        return list(dict.fromkeys(text for text in texts if text.strip()))
    if not all(isinstance(member, int) for member in members):
        raise InputError(
            f"{where}: {str(value)[:60]} is neither a list of texts, nor a text, nor class numbers."
        )
    if classes is None:
        raise InputError(
            f"{where}: {str(value)[:60]} are class numbers, but their names are nowhere: neither described in the file "
            "nor under dataset_info in README.md. Write names instead."
        )
    return names_of_numbers(value, classes, where)


def _file_name(row: Mapping[str, Any], where: str) -> str:
    name = row.get("file_name")
    if not isinstance(name, str):
        raise InputError(
            f"{where}: the column 'file_name' must name the image; there is {', '.join(row)[:80]}."
        )
    return image_key(name, f"{where}, column 'file_name'")


def _class_names(described: object, readme: Path, column: str) -> list[str] | None:
    """Return the class names that the file's description or the README's head has for a column."""
    feature: object
    for features in (_under(described, "info", "features"), _readme_features(readme)):
        if isinstance(features, list):  # README: a list of {"name": column, …}
            feature = next(
                (one for one in features if isinstance(one, dict) and one.get("name") == column), None
            )
        else:
            feature = _under(features, column)
        if found := _names_in(feature):
            return found
    return None


def _readme_features(readme: Path) -> object:
    info: object
    try:
        head = readme.read_text(encoding="utf-8-sig").split("---", 2)
        info = _under(
            yaml.safe_load(head[1]) if len(head) == 3 and not head[0].strip() else None, "dataset_info"
        )
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(
            f"the head of {readme} cannot be read ({str(error)[:120]}). Repair or remove it."
        ) from None
    if isinstance(info, list):  # several configurations: the first that has features
        info = next((one for one in info if _under(one, "features")), None)
    return _under(info, "features")


def _names_in(value: object, depth: int = 0) -> list[str]:
    """Return the class names somewhere in the description of a column."""
    if not isinstance(value, dict) or depth > 5:
        return []
    names = value.get("names")
    if isinstance(names, dict):  # {"0": "cat", …}
        names = [names.get(str(i), names.get(i)) for i in range(len(names))]
    if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
        return names
    return next((found for inner in value.values() if (found := _names_in(inner, depth + 1))), [])


def _under(value: object, *keys: str) -> object:
    found = value
    for key in keys:
        if not isinstance(found, dict):
            return None
        found = found.get(key)
    return found
