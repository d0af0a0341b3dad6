"""COCO instances: objects in boxes, read as the set of their categories.

Reads the official layout (`annotations/instances_SPLIT.json` beside folders of images) or one JSON file of
the user's own in that form. The images come from the file's list of images, not from its annotations: those
without an object have none. Knows nothing of pixels; `coco_writer` writes.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.data.image_bytes import image_exists
from labelbeam.data.options import DEFAULTS, ReadOptions
from labelbeam.data.presence import settle
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.parts.image_keys import image_key
from labelbeam.formats.parts.json_document import read_json
from labelbeam.formats.parts.list_file import refuse_split_in_file
from labelbeam.labels.hygiene import clean, refuse_reserved, variants_note
from labelbeam.labels.targets import PRESENT
from labelbeam.labels.vocabulary import Vocabulary

OFFICIAL_COUNTS = {
    "train2014": (82_783, 82_081),
    "val2014": (40_504, 40_137),
    "train2017": (118_287, 117_266),
    "val2017": (5_000, 4_952),
}
"""Images of official splits, and those of them that have a label, to notice a trimmed copy."""

LABELLED = "-labelled"
"""Ends the name of a split of which only the images that have a label are meant."""

_TRIED = 20
"""Images by which their folder is found: the first one may be lost."""

_FIELDS: dict[str, dict[str, type]] = {
    "images": {"id": int, "file_name": str},
    "annotations": {"image_id": int, "category_id": int},
    "categories": {"id": int, "name": str},
}


def read_coco(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a split of a COCO folder, or one JSON file.

    A category is present when an annotation of it, a crowd region included, belongs to the image. Published numbers use
    two image sets: `val2014`, every image (40,504), and `val2014-labelled`, those with an annotation
    (40,137).

    Args:
        path: folder with `annotations/instances_SPLIT.json`, or a JSON file of that form.
        split: `val2017` and the like, or `val2017-labelled`; empty or `all` for a JSON file; may be empty for a
            folder of one split.
        options: `keep_unlabelled`, `missing`.

    Returns:
        The data set; image keys are the file names of the JSON, in its order; labels are in the order of
        category ids, which may have gaps.

    Raises:
        InputError: no such split; not JSON of this form; an id given twice; an annotation of an image or
            category that is not listed; no image; image files that are missing.

    Source:
        Lin et al., Microsoft COCO: Common Objects in Context (2014).
    """
    spec = f"coco:{path}#{split}"
    file, base = _instances_file(path, split, spec)
    document = _load(file, spec)
    categories = {
        number: clean(name)
        for number, name in sorted(_by_id(document["categories"], "name", file, spec).items())
    }
    files = {
        number: image_key(name, f"{spec}: image {number} in {file}")
        for number, name in _by_id(document["images"], "file_name", file, spec).items()
    }
    if not files:
        raise InputError(f"{spec}: the split is empty: {file} lists no image. Give another split.")
    if not categories:
        raise InputError(f"{spec}: {file} lists no category, so there is no label to read.")
    refuse_reserved(categories.values(), spec)
    names = tuple(dict.fromkeys(categories.values()))
    targets = _targets(document["annotations"], list(files), categories, f"{spec}: an annotation in {file}")
    images = tuple(files.values())
    labelled = int((targets == PRESENT).any(axis=1).sum())
    dataset = Dataset(
        spec=spec,
        root=_image_folder(path, base, images),
        images=images,
        vocabulary=Vocabulary(names),
        targets=targets,
        notes=(*_count_note(base, len(images), labelled), *variants_note(names)),
    )
    if base != split and split.endswith(LABELLED):
        options = replace(options, keep_unlabelled=False)
    return settle(dataset, options)


def _targets(
    annotations: list[dict[str, Any]], images: list[int], categories: Mapping[int, str], where: str
) -> np.ndarray:
    """Return int8 [images labels]; labels are the distinct names of the categories, in their order."""
    column_of = {name: j for j, name in enumerate(dict.fromkeys(categories.values()))}
    rows = {image_id: i for i, image_id in enumerate(images)}
    column = {category: column_of[name] for category, name in categories.items()}
    targets = np.zeros((len(rows), len(column_of)), dtype=np.int8)
    for annotation in annotations:
        try:
            targets[rows[annotation["image_id"]], column[annotation["category_id"]]] = PRESENT
        except KeyError as error:
            raise InputError(
                f"{where} refers to {error}, which is not among the file's images or categories: "
                f"{str(annotation)[:120]}. Repair the file."
            ) from None
    return targets


def _by_id(entries: list[dict[str, Any]], field: str, file: Path, spec: str) -> dict[int, str]:
    """Return a field of entries by their ids, in their order.

    Raises:
        InputError: an id is there twice.
    """
    found: dict[int, str] = {}
    for entry in entries:
        if entry["id"] in found:
            raise InputError(
                f"{spec}: the id {entry['id']} is given to {found[entry['id']]!r} and to {entry[field]!r} in {file}; "
                "annotations could mean either. Repair the file."
            )
        found[entry["id"]] = entry[field]
    return found


def _count_note(split: str, count: int, labelled: int) -> tuple[str, ...]:
    official = OFFICIAL_COUNTS.get(split)
    if official is None or official == (count, labelled):
        return ()
    return (
        f"{count:,} images, {labelled:,} of them with a label; the official COCO {split} has {official[0]:,} and "
        f"{official[1]:,}.",
    )


def _instances_file(path: Path, split: str, spec: str) -> tuple[Path, str]:
    """Return the JSON file of a split, and the split's name in it."""
    if path.is_file():
        refuse_split_in_file(split, path, spec)
        return path, split
    folder = path / "annotations"
    splits = {file.stem.removeprefix("instances_"): file for file in sorted(folder.glob("instances_*.json"))}
    if not splits:
        raise InputError(
            f"{spec}: no instances_*.json in {folder}. Give the folder that holds annotations, "
            "or a JSON file."
        )
    base = split if split in splits else split.removesuffix(LABELLED)
    if not split and len(splits) == 1:
        base = next(iter(splits))
    if base not in splits:
        allowed = [name + ending for name in splits for ending in ("", LABELLED)]
        raise InputError(f"{spec}: {unknown_name('split', split, allowed)}")
    return splits[base], base


def _load(file: Path, spec: str) -> dict[str, list[dict[str, Any]]]:
    """Return the document, with the fields that are read checked."""
    document = read_json(file, spec)
    parts: dict[str, list[dict[str, Any]]] = {}
    for part, keys in _FIELDS.items():
        entries = _value(document, part)
        if not isinstance(entries, list):
            raise InputError(f"{spec}: {file} has no list {part!r}; a COCO file has {', '.join(_FIELDS)}.")
        for entry in entries:
            wrong = [key for key, kind in keys.items() if not isinstance(_value(entry, key), kind)]
            if wrong:
                fields = " and ".join(f"{key} ({keys[key].__name__})" for key in wrong)
                raise InputError(
                    f"{spec}: an entry of {part!r} in {file} lacks {fields}: {str(entry)[:120]}."
                )
        parts[part] = entries
    return parts


def _value(entry: object, key: str) -> object:
    return entry.get(key) if isinstance(entry, dict) else None


def _image_folder(path: Path, split: str, images: tuple[str, ...]) -> Path:
    """Return the folder that holds the first images, or the likeliest one where none does."""
    base = path.parent if path.is_file() else path
    name = path.stem.removeprefix("instances_") if path.is_file() else split
    likely = [base / name, base / "images" / name, base.parent / name, base / "images", base]
    likely.append(base.parent / "images")
    for folder in likely:
        if any(image_exists(folder / image) for image in images[:_TRIED]):
            return folder
    return next((folder for folder in likely if folder.is_dir()), likely[0])
