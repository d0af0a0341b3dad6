"""Datumaro's folder: `annotations/SUBSET.json` and `images/SUBSET/…`; CVAT exports it too.

Reads annotations of the type `label`; where no item has one, the set of the labels of boxes and other shapes. Knows
nothing of pixels.

Source:
    Datumaro documentation, "Datumaro format", and `plugins/data_formats/datumaro/base.py`; CVAT documentation,
    "Datumaro".
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.image_names import image_key, plain_path
from labelbeam.formats.labelled_images import labelled_dataset, names_of_numbers
from labelbeam.formats.placing import chosen_splits, refuse_split_in_file
from labelbeam.labels.vocabulary import ABSENT, PRESENT
from labelbeam.parsing import read_json

_FORM = '{"categories": {"label": {"labels": [{"name": "cat"}]}}, "items": [{"id": "a", "annotations": []}]}'


def read_datumaro(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a data set of Datumaro.

    Args:
        path: the folder that holds `annotations`, or one of its JSON files.
        split: name of a file in `annotations`; empty or `all`: every one.
        options: `keep_unlabelled`, `missing`.

    Returns:
        The data set, in the files' order; image keys are relative to `images` of the folder, or to the file's folder.
        Labels are in the order of the categories.

    Raises:
        InputError: no such folder, file or split; not JSON of this form; a label id beyond the categories; whatever
            `settle` finds.
    """
    spec = f"datumaro:{path}" + (f"#{split}" if split else "")
    files, home = _files(path, split, spec)
    chosen, notes = chosen_splits([name for name in files if name], split, f"datumaro:{path}")
    documents = {name: _document(file, spec) for name, file in files.items()}
    names = {name: _classes(document, files[name], spec) for name, document in documents.items()}
    counts = Counter(kind for found in documents.values() for kind in _kinds(found))
    kinds = {"label"} if counts["label"] or not counts else set(counts) - {"caption"}
    root = home / "images" if (home / "images").is_dir() else home
    said = []
    for name in chosen or files:
        for number, item in enumerate(documents[name]["items"]):
            where = f"{files[name]}, items[{number}]"
            own = name or files[name].stem
            inside = f"{own}/" if (root / own).is_dir() else ""
            written = plain_path(_image_of(item, where))
            key = image_key(written if written.startswith("/") else inside + written, where)
            said.append((key, dict.fromkeys(_labels(item, kinds, names[name], where), PRESENT)))
    if kinds == {"label"} and (others := {kind: n for kind, n in counts.items() if kind != "label"}):
        shown = ", ".join(f"{count:,} {kind}" for kind, count in sorted(others.items()))
        notes.append(f"only labels of images were read; those of shapes were not: {shown}.")
    return labelled_dataset(
        said,
        spec=spec,
        root=root,
        names=list(dict.fromkeys(label for found in names.values() for label in found)),
        unsaid=ABSENT,
        layout="labels" if kinds == {"label"} else "labels of shapes, because no item has a label of its own",
        options=options,
        notes=notes,
    )


def _files(path: Path, split: str, spec: str) -> tuple[dict[str, Path], Path]:
    """Return the JSON file of each split, one without a name for a single file; and the data set's folder."""
    if path.is_file():
        refuse_split_in_file(split, path, spec)
        return {"": path}, path.parent.parent if path.parent.name == "annotations" else path.parent
    found = {file.stem: file for file in sorted((path / "annotations").glob("*.json"))}
    if not found:
        raise InputError(
            f"{spec}: no JSON file in {path / 'annotations'}. Give the folder that holds annotations."
        )
    return found, path


def _document(file: Path, spec: str) -> dict[str, Any]:
    document = read_json(file, spec)
    items = document.get("items") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(items, list):
        raise InputError(f"{spec}: {file} has no list 'items'. A file of Datumaro looks like {_FORM}.")
    for number, item in enumerate(items):
        notes = item.get("annotations", []) if isinstance(item, dict) else None
        if not isinstance(notes, list) or not all(isinstance(note, dict) for note in notes):
            raise InputError(f"{spec}: {file}, items[{number}]: no list of objects 'annotations'.")
    return document


def _classes(document: Mapping[str, Any], file: Path, spec: str) -> list[str]:
    value: object = document
    for key in ("categories", "label", "labels"):
        value = value.get(key) if isinstance(value, dict) else None
    names = (
        [entry.get("name") if isinstance(entry, dict) else entry for entry in value]
        if isinstance(value, list)
        else []
    )
    texts = [name.strip() for name in names if isinstance(name, str)]
    if not texts or len(texts) < len(names) or len(set(texts)) < len(texts):
        raise InputError(
            f"{spec}: {file}: 'categories' names no labels, or the same one twice. It looks like {_FORM}."
        )
    return texts


def _kinds(document: Mapping[str, Any]) -> list[str]:
    return [
        str(note.get("type"))[:40]
        for item in document["items"]
        for note in item.get("annotations", [])
        if note.get("label_id") is not None
    ]


def _labels(item: Mapping[str, Any], kinds: set[str], classes: list[str], where: str) -> list[str]:
    ids = [
        note["label_id"]
        for note in item.get("annotations", [])
        if str(note.get("type"))[:40] in kinds and note.get("label_id") is not None
    ]
    return names_of_numbers(ids, classes, f"{where}, label_id")


def _image_of(item: Mapping[str, Any], where: str) -> str:
    image, identity = item.get("image"), item.get("id")
    written = image.get("path") if isinstance(image, dict) else None
    if isinstance(written, str) and written:
        return written
    if not isinstance(identity, str) or not identity:
        raise InputError(f"{where}: neither an 'id' nor a path of the image in {str(item)[:80]}.")
    return f"{identity}.jpg"
