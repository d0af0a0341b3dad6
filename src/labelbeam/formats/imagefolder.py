"""Hugging Face's ImageFolder with `metadata.jsonl`, `.csv` or `.parquet` beside the images, read and written."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions, settle
from labelbeam.data.listing import images_in
from labelbeam.data.parquet_images import opened_parquet
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.cells import CellStyle, recognise, refuse_combinations
from labelbeam.formats.csv_columns import TAGS_COLUMNS
from labelbeam.formats.csv_table import read_csv
from labelbeam.formats.image_names import image_key
from labelbeam.formats.labelled_images import labelled_dataset, names_of_numbers
from labelbeam.formats.placing import (
    check_way,
    folders_in,
    new_split_folder,
    order_note,
    place_images,
    refuse_unwritable,
    refuse_unwritable_images,
)
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, Vocabulary
from labelbeam.parsing import parse_json, parse_yaml

# Rows of `metadata.jsonl` and `metadata.parquet`: values that are lists, texts or class numbers, as labels.
#
# Under the reader of ImageFolder. Parquet needs pyarrow (the extra `parquet`). Knows nothing of splits and
# folders.

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
    classes = class_names(described, readme, tags)
    texts = [row[name] for _, row in rows for name in (tags, *extra) if isinstance(row.get(name), str)]
    style = (
        CellStyle(options.delimiter, given=True)
        if options.delimiter or not texts
        else recognise(texts, f"{file}, {tags!r}")
    )
    said: list[tuple[str, dict[str, int]]] = []
    for where, row in rows:
        labels: dict[str, int] = {}
        for name, value in {tags: PRESENT, **extra}.items():
            found = labels_of_value(row.get(name), style, classes, f"{where}, column {name!r}")
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

    Args:
        described: the value of the file's `huggingface` metadata.
        readme: the data set's README.md, which need not be there.
        column: the column of labels.

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


# Hugging Face's ImageFolder with metadata: `metadata.jsonl`, `.csv` or `.parquet` beside the images.
#
# Finds the metadata of a split, and joins splits. What is inside a file is the matter of the rows above
# and, for CSV, of `csv_table`. Knows nothing of pixels.

METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")


def read_imagefolder(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a folder of images with metadata; the column `file_name` names the images.

    The labels are those of the metadata's column, never the names of folders (as `datasets` does where there is
    metadata). Images that the metadata do not name are left out, and counted.

    Args:
        path: folder with the metadata, or of a folder per split (`train/`, or `data/train/`) with metadata each.
        split: such a folder, or the folder that `file_name`s start with; `all`: every split; empty: where the
            metadata are in `path` itself.
        options: `tags_column` (None: recognised by its name), `delimiter` of labels that are one text, `encoding`
            and `combinations`; `keep_unlabelled`, `missing`.

    Returns:
        The data set; image keys are relative to `path`, in the metadata's order. Labels are sorted, or in the order
        of the class names where labels are numbers.

    Raises:
        InputError: no metadata, or several files of them in a folder; no such split; a row or column that cannot be
            read; numbers without class names; whatever `settle` finds.

    Source:
        Hugging Face Datasets, "Create an image dataset: ImageFolder".
    """
    spec = f"imagefolder:{path}" + (f"#{split}" if split else "")
    homes, prefix = _homes(path, split, spec)
    parts = [_read_home(home, path, options) for home in homes]
    whole = _joined(parts, spec, path)
    if prefix:
        rows = [i for i, image in enumerate(whole.images) if image.startswith(prefix)]
        if not rows:
            raise InputError(f"{spec}: {unknown_name('split', split, _first_parts(whole.images))}")
        whole = whole.subset(rows)
    where = [home / prefix for home in homes]
    return settle(replace(whole, notes=(*whole.notes, *_unlisted_note(where, whole, options))), options)


def _homes(path: Path, split: str, spec: str) -> tuple[list[Path], str]:
    """Return the folders whose metadata are read, and what the names of the images wanted start with."""
    if not path.is_dir():
        raise InputError(
            f"{spec}: {path} is not a folder. Give the folder that holds the metadata or the splits."
        )
    splits = {name: home for name, home in _split_homes(path).items() if _metadata_files(home)}
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


def _split_homes(path: Path) -> dict[str, Path]:
    inner = folders_in(path / "data") if (path / "data").is_dir() else {}
    return {**inner, **folders_in(path)}


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


def _joined(parts: Sequence[Dataset], spec: str, root: Path) -> Dataset:
    """Return the images of all parts; a label that only other parts have is absent."""
    protocol: dict[str, str | int | float] = {}
    if len(parts) == 1:
        return replace(parts[0], spec=spec, root=root, protocol=protocol)
    names = tuple(dict.fromkeys(name for part in parts for name in part.vocabulary))
    column = {name: j for j, name in enumerate(names)}
    targets = np.full((sum(map(len, parts)), len(names)), ABSENT, dtype=np.int8)
    start = 0
    for part in parts:
        targets[start : start + len(part), [column[name] for name in part.vocabulary]] = part.targets
        start += len(part)
    images = tuple(image for part in parts for image in part.images)
    notes = tuple(note for part in parts for note in part.notes)
    return Dataset(spec, root, images, Vocabulary(names), targets, protocol, notes)


def _first_parts(images: Sequence[str]) -> list[str]:
    return sorted({image.partition("/")[0] for image in images if "/" in image}) or ["all"]


def _unlisted_note(folders: Sequence[Path], dataset: Dataset, options: ReadOptions) -> list[str]:
    """Return a note about images that are there and not in the metadata; nothing is looked for under `keep`."""
    if options.missing == "keep":
        return []
    there = [
        file.relative_to(dataset.root).as_posix()
        for file in images_in(*(folder for folder in folders if folder.is_dir()))[0]
    ]
    unlisted = sorted(set(there) - set(dataset.images))
    if not unlisted:
        return []
    return [f"{len(unlisted)} images are not in the metadata and were left out: {', '.join(unlisted[:5])}."]


# A data set as Hugging Face's ImageFolder: images and `metadata.jsonl` beside them.
#
# The counterpart of `imagefolder`; `datasets.load_dataset("imagefolder", data_dir=…)` reads it too. Knows
# nothing of pixels.


def write_imagefolder(
    dataset: Dataset, path: Path, *, split: str = "", images: str = "link"
) -> tuple[str, ...]:
    """Write images with `metadata.jsonl`: `{"file_name": "a.jpg", "labels": ["cat"]}`.

    Where labels are unknown, each row has a list `unknown`; where a label is neither on an image nor unknown for
    one, each row has a list `absent`, and the first row's names those labels. So nothing is lost but the order.

    Args:
        dataset: what to write.
        path: the folder to appear; with a split, the folder that gets a folder of that name.
        split: the split's folder, such as `train`; empty for none.
        images: `link` or `copy`.

    Returns:
        What the file does not hold.

    Raises:
        InputError: something is there already; an image that is missing; names that are not Unicode.
    """
    spec = f"imagefolder:{path}" + (f"#{split}" if split else "")
    check_way(images, keep=False, spec=spec)
    names = dataset.vocabulary.names
    refuse_unwritable(names, spec, control=False)
    refuse_unwritable_images(dataset.images, spec, control=False)
    unknown = dataset.targets == UNKNOWN
    unused = np.flatnonzero(~((dataset.targets == PRESENT) | unknown).any(axis=0))
    with new_split_folder(path, split, spec) as home:
        places = place_images(dataset, home, images=images)
        with (home / "metadata.jsonl").open("w", encoding="utf-8") as file:
            for i, place in enumerate(places):
                present = np.flatnonzero(dataset.targets[i] == PRESENT)
                row: dict[str, object] = {"file_name": place, "labels": [names[j] for j in present]}
                if unknown.any():
                    row["unknown"] = [names[j] for j in np.flatnonzero(unknown[i])]
                if len(unused):
                    row["absent"] = [names[j] for j in unused] if i == 0 else []
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return order_note(dataset)
