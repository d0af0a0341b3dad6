"""Writes COCO instances: each label an object whose box is the whole image.

The counterpart of `coco`: a folder with `annotations/instances_SPLIT.json`, to which further splits may be
added, or one JSON file.
"""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.data.new_folder import new_folder
from labelbeam.data.whole_file import written_whole
from labelbeam.errors import InputError
from labelbeam.formats.parts.list_file import refuse_split_to_write
from labelbeam.formats.parts.lost_notes import unknown_note
from labelbeam.formats.parts.placing import check_way, place_images, references
from labelbeam.formats.parts.whole_boxes import NO_SIZE, box_notes, size_of
from labelbeam.formats.parts.writable import refuse_unwritable, refuse_unwritable_images
from labelbeam.labels.targets import PRESENT


def write_coco(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write a data set as COCO instances; labels get the ids 1, 2, … in their order.

    Args:
        dataset: what to write.
        path: a folder, or a file whose name ends in `.json`. A folder may hold other splits already.
        split: name of the split in the folder (empty: `all`); for a file empty or `all`.
        images: `keep`, or `link` or `copy` into the folder `SPLIT` (for a file: into a folder of its name).

    Returns:
        Sentences about boxes, and about unknown labels, of which COCO cannot tell.

    Raises:
        InputError: something in the way, a name that cannot be written, image files that are missing or want
            the same place.
    """
    spec = f"coco:{path}#{split}"
    check_way(images, keep=True, spec=spec)
    refuse_unwritable(dataset.vocabulary.names, spec)
    file, pictures = _places(path, split, spec)
    with nullcontext(pictures) if images == "keep" else new_folder(pictures) as folder:
        if images == "keep":
            names = references(dataset.paths, file.parent if file == path else path)
        else:
            names = place_images(dataset, folder, images=images)
        refuse_unwritable_images(names, spec)
        document, unreadable = _document(dataset, names)
        file.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(file) as part:
            part.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return (*unknown_note(dataset.targets), *box_notes(len(document["annotations"]), unreadable))


def _places(path: Path, split: str, spec: str) -> tuple[Path, Path]:
    """Return where the JSON file and the pictures go; neither is there yet."""
    if path.suffix.lower() == ".json":
        refuse_split_to_write(split, path, spec)
        file, pictures = path, path.with_name(path.stem.removeprefix("instances_"))
    else:
        name = split or "all"
        if "/" in name or "\\" in name or name.startswith("."):
            raise InputError(f"{spec}: {name!r} cannot be the name of a split, because it names files.")
        file, pictures = path / "annotations" / f"instances_{name}.json", path / name
    if path.is_file() or file.exists():
        there = file if file.exists() else path
        raise InputError(f"{there} is there already; nothing is overwritten. Give another place or split.")
    return file, pictures


def _document(dataset: Dataset, names: list[str]) -> tuple[dict[str, Any], int]:
    """Return the JSON document, and how many images have no known size."""
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    unreadable = 0
    for i, name in enumerate(names):
        width, height = size_of(dataset.path(i))
        unreadable += (width, height) == NO_SIZE
        entries.append({"id": i + 1, "file_name": name, "width": width, "height": height})
        for j in np.flatnonzero(dataset.targets[i] == PRESENT):
            annotation = {"id": len(annotations) + 1, "image_id": i + 1, "category_id": int(j) + 1}
            box = {"bbox": [0, 0, width, height], "area": width * height, "iscrowd": 0, "segmentation": []}
            annotations.append(annotation | box)
    categories = [
        {"id": j, "name": name, "supercategory": ""} for j, name in enumerate(dataset.vocabulary.names, 1)
    ]
    info = {"description": "written by labelbeam; every box is the whole image"}
    document = {"info": info, "images": entries, "annotations": annotations, "categories": categories}
    return document, unreadable
