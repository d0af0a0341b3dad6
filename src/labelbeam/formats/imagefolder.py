"""Hugging Face's ImageFolder with `metadata.jsonl`, `.csv` or `.parquet` beside the images, read and written."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions, settle
from labelbeam.data.image_bytes import opened_parquet
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats import placing
from labelbeam.formats.cells import CellStyle, recognise, refuse_combinations
from labelbeam.formats.csv_rows import TAGS_COLUMNS, column_named
from labelbeam.formats.csv_table import read_csv
from labelbeam.formats.documents import image_key, left_out_note
from labelbeam.formats.labelled_images import Labels, labelled_dataset, names_of_numbers
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, Vocabulary
from labelbeam.parsing import parse_json, parse_yaml

Rows = list[tuple[str, Mapping[str, Any]]]
"""Where each row is, for messages, and its values by column."""

_EXTRA = {"unknown": UNKNOWN, "absent": ABSENT}
"""Further columns that name labels."""


def read_metadata_rows(file: Path, readme: Path, *, options: ReadOptions) -> Dataset:
    """Read metadata that are not CSV.

    Labels are a list of texts, one text (taken apart as in CSV), or class numbers whose names are in the Parquet
    file's own description or in the README's. A row without labels at all (null) is one that nobody labelled: every
    label is unknown; an empty list is no label. Lists in columns `unknown` and `absent` mean what they say.

    `readme` is the data set's README.md, whose head may have `dataset_info`; it need not be there.

    Raises:
        InputError: a row or value that cannot be read, named by line and column; no column of labels or several;
            numbers without names.
    """
    rows, described = _parquet(file) if file.suffix == ".parquet" else (_json_lines(file), None)
    columns = list(dict.fromkeys(name for _, row in rows for name in row))
    tags = _tags_column(columns, options.tags_column, file)
    extra = {name: value for name, value in _EXTRA.items() if name in columns and name != tags}
    classes = class_names(described, readme, tags)
    texts = [row[name] for _, row in rows for name in (tags, *extra) if isinstance(row.get(name), str)]
    style = (
        CellStyle(options.delimiter, given=True)
        if options.delimiter or not texts
        else recognise(texts, f"{file}, {tags!r}")
    )
    labelled: list[tuple[str, Labels]] = []
    for where, row in rows:
        labels: dict[str, int] = {}
        for name, value in {tags: PRESENT, **extra}.items():
            found = labels_of_value(row.get(name), style, classes, f"{where}, column {name!r}")
            if both := labels.keys() & set(found):
                raise InputError(f"{where}: {min(both)!r} is in two columns of labels. Keep it in one.")
            labels |= dict.fromkeys(found, value)
        labelled.append((_file_name(row, where), labels))
    if texts and options.combinations == "error" and not style.is_list:
        refuse_combinations({name for _, labels in labelled for name in labels}, str(file))
    nobody = [row.get(tags) is None for _, row in rows]
    note = f"{sum(nobody)} rows have no labels at all: every label of theirs is unknown."
    return labelled_dataset(
        labelled,
        spec=f"imagefolder:{file.parent}",
        root=file.parent,
        names=classes,
        unsaid=[UNKNOWN if nothing else ABSENT for nothing in nobody],
        layout=f"column {tags!r} of {file.name}"
        + (f", {style}" if texts else "")
        + ", folders are no labels",
        options=options,
        notes=[note] if any(nobody) else [],
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
    opened = opened_parquet(file)  # says what to install, where it is not
    import pyarrow

    try:
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
    found = column_named(columns, named, TAGS_COLUMNS, "labels", "--tags-column", str(file))
    if found is None:
        raise InputError(
            f"{file}: no column of labels ({', '.join(sorted(TAGS_COLUMNS))}) among: {', '.join(columns[:20])}. "
            "Name it with --tags-column."
        )
    return found


def labels_of_value(value: object, style: CellStyle, classes: Sequence[str] | None, where: str) -> list[str]:
    """Return the labels that a value names, each once.

    Raises:
        InputError: neither texts nor numbers of `classes`.
    """
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


def class_names(described: object, readme: Path, column: str) -> list[str] | None:
    """Return the class names that a Parquet file's description or a README's head has for a column; None for none.

    Raises:
        InputError: a README whose head is not YAML.
    """
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
        head = readme.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"---", 2)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{readme} cannot be read ({error.strerror}). Repair or remove it.") from None
    parsed = parse_yaml(head[1], f"the head of {readme}") if len(head) == 3 and not head[0].strip() else None
    info = _under(parsed, "dataset_info")
    if isinstance(info, list):  # several configurations: the first that has features
        info = next((one for one in info if _under(one, "features")), None)
    return _under(info, "features")


def _names_in(value: object, depth: int = 0) -> list[str]:
    """Return the class names somewhere in the description of a column; `[{…}]` is a list of what it describes."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
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


METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")


def read_imagefolder(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a folder of images with metadata; the column `file_name` names the images.

    The labels are those of the metadata's column, never the names of folders (as `datasets` does where there is
    metadata). Images that the metadata do not name are left out, and counted.

    `path` has the metadata, or a folder per split (`train/`, or `data/train/`) with metadata each; a split may also be
    the folder that `file_name`s start with. Labels are sorted, or in the order of the class names where they are
    numbers.

    Raises:
        InputError: no metadata, or several files of them in a folder; no such split; a row or column that cannot be
            read; numbers without class names; whatever `settle` finds.

    Source:
        Hugging Face Datasets, "Create an image dataset: ImageFolder".
    """
    spec = f"imagefolder:{path}" + (f"#{split}" if split else "")
    homes, prefix = _homes(path, split, spec)
    parts = [_read_home(home, path, options) for home in homes]
    whole = _joined(parts, spec, path, options)
    if prefix:
        rows = [i for i, image in enumerate(whole.images) if image.startswith(prefix)]
        if not rows:
            starts = {image.partition("/")[0] for image in whole.images if "/" in image} or {"all"}
            raise InputError(f"{spec}: {unknown_name('split', split, starts)}")
        whole = whole.subset(rows)
    where = [home / prefix for home in homes]
    if options.missing != "keep":
        note = left_out_note(path, where, whole.images, "are not in the metadata")
        whole = replace(whole, notes=(*whole.notes, *note))
    return settle(whole, options)


def _homes(path: Path, split: str, spec: str) -> tuple[list[Path], str]:
    """Return the folders whose metadata are read, and what the names of the images wanted start with."""
    if not path.is_dir():
        raise InputError(
            f"{spec}: {path} is not a folder. Give the folder that holds the metadata or the splits."
        )
    inner = placing.folders_in(path / "data") if (path / "data").is_dir() else {}
    folders = {**inner, **placing.folders_in(path)}
    splits = {name: home for name, home in folders.items() if _metadata_files(home)}
    if split and split != "all" and split in splits:
        return [splits[split]], ""
    if _metadata_files(path):
        return [path], "" if split in {"", "all"} else f"{split}/"
    if not splits:
        raise InputError(
            f"{spec}: no {', '.join(METADATA)} in {path}, nor in a folder of a split in it. Without metadata the "
            f"names of folders are the labels: read it as folder:{path}" + (f"#{split}." if split else ".")
        )
    if split == "all":
        return list(splits.values()), ""
    raise InputError(
        f"{spec}: {unknown_name('split', split, (*splits, 'all'))} Each has metadata in its folder."
    )


def _metadata_files(folder: Path) -> list[Path]:
    return [folder / name for name in METADATA if (folder / name).is_file()]


def _read_home(home: Path, root: Path, options: ReadOptions) -> Dataset:
    """Return the data set of one folder's metadata, image keys relative to the root, files not looked for."""
    file, *others = _metadata_files(home)
    if others:
        raise InputError(
            f"{home} holds {file.name} and {others[0].name}; `datasets` reads one of them. Keep one."
        )
    lenient = replace(options, missing="keep", keep_unlabelled=True)
    if file.suffix == ".csv":
        dataset = read_csv(file, options=replace(lenient, image_column=options.image_column or "file_name"))
    else:
        dataset = read_metadata_rows(file, root / "README.md", options=lenient)
    start = home.relative_to(root).as_posix() + "/" if home != root else ""
    return replace(dataset, images=tuple(start + image for image in dataset.images))


def _joined(parts: Sequence[Dataset], spec: str, root: Path, options: ReadOptions) -> Dataset:
    """Return the images of all parts; a label that only other parts have is what `options` say of missing tags."""
    if len(parts) == 1:
        return replace(parts[0], spec=spec, root=root, protocol={})
    names = tuple(dict.fromkeys(name for part in parts for name in part.vocabulary))
    column = {name: j for j, name in enumerate(names)}
    targets = np.full((sum(map(len, parts)), len(names)), options.unsaid, dtype=np.int8)
    start = 0
    for part in parts:
        targets[start : start + len(part), [column[name] for name in part.vocabulary]] = part.targets
        start += len(part)
    images = tuple(image for part in parts for image in part.images)
    notes = tuple(note for part in parts for note in part.notes)
    return Dataset(spec, root, images, Vocabulary(names), targets, notes=notes)


def write_imagefolder(
    dataset: Dataset, path: Path, *, split: str = "", images: str = "link"
) -> tuple[str, ...]:
    """Write images with `metadata.jsonl`: `{"file_name": "a.jpg", "labels": ["cat"]}`.

    Where labels are unknown, each row has a list `unknown`; where a label is neither on an image nor unknown for
    one, each row has a list `absent`, and the first row's names those labels. So nothing is lost but the order.

    With a split, `path` gets a folder of that name.
    """
    spec = f"imagefolder:{path}" + (f"#{split}" if split else "")
    placing.check_way(images, keep=False, spec=spec)
    names = dataset.vocabulary.names
    placing.refuse_unwritable(names, spec, control=False)
    placing.refuse_unwritable_images(dataset.images, spec, control=False)
    unknown = dataset.targets == UNKNOWN
    unused = np.flatnonzero(~((dataset.targets == PRESENT) | unknown).any(axis=0))
    with placing.new_split_folder(path, split, spec) as home:
        places = placing.place_images(dataset, home, images=images)
        with (home / "metadata.jsonl").open("w", encoding="utf-8") as file:
            for i, place in enumerate(places):
                present = np.flatnonzero(dataset.targets[i] == PRESENT)
                row: dict[str, object] = {"file_name": place, "labels": [names[j] for j in present]}
                if unknown.any():
                    row["unknown"] = [names[j] for j in np.flatnonzero(unknown[i])]
                if len(unused):
                    row["absent"] = [names[j] for j in unused] if i == 0 else []
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return placing.order_note(dataset)
