"""A data set to FiftyOne's image classification folder: `data/` and `labels.json`.

Counterpart of `formats.fiftyone`. Knows nothing of pixels.
"""

import json
from pathlib import Path

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.data.new_folder import new_folder
from labelbeam.errors import InputError
from labelbeam.formats.fiftyone import LABELS_FILE, MANIFEST
from labelbeam.formats.image_stems import stems_of
from labelbeam.formats.labelled_images import (
    key_inside,
    refuse_unwritable,
    refuse_unwritable_images,
    unknown_note,
)
from labelbeam.formats.placing import check_way, place_image, reference
from labelbeam.labels.targets import PRESENT, UNKNOWN


def write_fiftyone(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write a folder that FiftyOne imports as `FiftyOneImageClassificationDataset`.

    Args:
        dataset: what to write; an image whose every label is unknown becomes null, which says just that.
        path: the folder to appear; with a split, the folder that gets a folder of that name.
        split: name of the subfolder; empty for none.
        images: `keep` (where they are stands in `data.json`), `link` or `copy` (into `data/`).

    Returns:
        What the format cannot hold.

    Raises:
        InputError: something is there already; two images that differ in their suffix only; a label or file
            name that JSON or a folder cannot hold; an image to be placed that is missing.
    """
    spec = f"fiftyone:{path}" + (f"#{split}" if split else "")
    check_way(images, keep=True, spec=spec)
    refuse_unwritable(dataset.vocabulary, spec, control=False)
    refuse_unwritable_images(dataset.images, spec)
    stems = stems_of(dataset.images, spec=spec)
    if split in {".", ".."} or "/" in split:
        raise InputError(f"{spec}: a split is a folder's name, which {split!r} is not. Choose another.")
    with new_folder(path / split if split else path) as folder:
        if images == "keep":
            places = {stem: reference(dataset.path(i), folder) for i, stem in enumerate(stems)}
            _write_json(folder / MANIFEST, places, spec)
        else:
            for i, key in enumerate(dataset.images):
                place_image(dataset.path(i), folder / "data" / key_inside(key, spec), images=images)
        unlabelled = (dataset.targets == UNKNOWN).all(axis=1)
        labels = {
            stem: None if unlabelled[i] else np.flatnonzero(dataset.targets[i] == PRESENT).tolist()
            for i, stem in enumerate(stems)
        }
        _write_json(folder / LABELS_FILE, {"classes": list(dataset.vocabulary), "labels": labels}, spec)
    return unknown_note(int((dataset.targets[~unlabelled] == UNKNOWN).sum()))


def _write_json(file: Path, value: object, spec: str) -> None:
    try:
        file.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    except UnicodeEncodeError as error:
        bad = error.object[max(0, error.start - 40) : error.end]
        raise InputError(
            f"{spec}: {bad!r} is a name that is not UTF-8 text, which JSON cannot hold. Rename it."
        ) from None
