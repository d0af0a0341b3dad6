"""COCO instances: objects in boxes, read as the set of their categories.

Reads the official layout (`annotations/instances_SPLIT.json` beside folders of images) or one JSON file of
the user's own in that form. The images come from the file's list of images, not from its annotations: those
without an object have none. Knows nothing of pixels.
"""

import json
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.data.options import DEFAULTS, ReadOptions
from labelbeam.data.presence import settle
from labelbeam.errors import InputError, unknown_name
from labelbeam.labels.targets import PRESENT
from labelbeam.labels.vocabulary import Vocabulary

OFFICIAL_COUNTS = {"train2014": 82_783, "val2014": 40_504, "train2017": 118_287, "val2017": 5_000}
"""Images of official splits, to notice a trimmed copy."""

_FIELDS: dict[str, dict[str, type]] = {
    "images": {"id": int, "file_name": str},
    "annotations": {"image_id": int, "category_id": int},
    "categories": {"id": int, "name": str},
}


def read_coco(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a split of a COCO folder, or one JSON file.

    A category is present when an annotation of it, a crowd region included, belongs to the image.

    Args:
        path: folder with `annotations/instances_SPLIT.json`, or a JSON file of that form.
        split: `val2017` and the like; empty or `all` for a JSON file.
        options: `keep_unlabelled`, `missing`.

    Returns:
        The data set; image keys are the file names of the JSON, in its order; labels are in the order of
        category ids, which may have gaps.

    Raises:
        InputError: no such split; not JSON of this form; an annotation of an image or category that is not
            listed; no image; image files that are missing.
    """
    spec = f"coco:{path}#{split}"
    file = _instances_file(path, split, spec)
    document = _load(file, spec)
    categories = {
        entry["id"]: entry["name"].strip() for entry in sorted(document["categories"], key=itemgetter("id"))
    }
    names = tuple(dict.fromkeys(categories.values()))
    files = {entry["id"]: entry["file_name"].replace("\\", "/") for entry in document["images"]}
    rows = {image_id: i for i, image_id in enumerate(files)}
    if not rows:
        raise InputError(f"{spec}: the split is empty: {file} lists no image. Give another split.")
    if not names:
        raise InputError(f"{spec}: {file} lists no category, so there is no label to read.")
    column = {category: names.index(name) for category, name in categories.items()}
    targets = np.zeros((len(rows), len(names)), dtype=np.int8)
    for annotation in document["annotations"]:
        try:
            targets[rows[annotation["image_id"]], column[annotation["category_id"]]] = PRESENT
        except KeyError as error:
            raise InputError(
                f"{spec}: an annotation in {file} refers to {error}, which is not among the file's "
                f"images or categories: {str(annotation)[:120]}. Repair the file."
            ) from None
    images = tuple(files.values())
    dataset = Dataset(
        spec=spec,
        root=_image_folder(path, split, images[0]),
        images=images,
        vocabulary=Vocabulary(names),
        targets=targets,
        notes=_count_note(split, len(images)),
    )
    return settle(dataset, options)


def _count_note(split: str, count: int) -> tuple[str, ...]:
    official = OFFICIAL_COUNTS.get(split)
    if official is None or official == count:
        return ()
    return (f"{count:,} images; the official COCO {split} has {official:,}.",)


def _instances_file(path: Path, split: str, spec: str) -> Path:
    """Return the JSON file of a split."""
    if path.is_file():
        if split not in {"", "all"}:
            raise InputError(
                f"{spec}: {unknown_name('split', split, ['all'])} {path} is one file, without splits."
            )
        return path
    folder = path / "annotations"
    splits = {file.stem.removeprefix("instances_"): file for file in sorted(folder.glob("instances_*.json"))}
    if not splits:
        raise InputError(
            f"{spec}: no instances_*.json in {folder}. Give the folder that holds annotations, "
            "or a JSON file."
        )
    if split not in splits:
        raise InputError(f"{spec}: {unknown_name('split', split, splits)}")
    return splits[split]


def _load(file: Path, spec: str) -> dict[str, list[dict[str, Any]]]:
    """Return the document, with the fields that are read checked."""
    try:
        document = json.loads(file.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{spec}: {file} is not JSON ({error}). Was it copied in full?") from None
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


def _image_folder(path: Path, split: str, first: str) -> Path:
    """Return the folder that holds the first image, or the likeliest one where none does."""
    base = path.parent if path.is_file() else path
    likely = [base / split, base / "images" / split, base / "images", base, base.parent / "images"]
    if path.is_file():
        name = path.stem.removeprefix("instances_")
        likely = [base, base / "images", base / name, base / "images" / name, base.parent / name, *likely]
    for folder in likely:
        if (folder / first).is_file():
            return folder
    return next((folder for folder in likely if folder.is_dir()), likely[0])
