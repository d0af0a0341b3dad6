"""A data set to FiftyOne's image classification folder: `data/` and `labels.json`.

Counterpart of `formats.fiftyone`. Knows nothing of pixels.
"""

import json
from pathlib import Path

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.formats.fiftyone import LABELS_FILE, MANIFEST
from labelbeam.formats.parts.image_stems import stems_of
from labelbeam.formats.parts.lost_notes import unknown_note
from labelbeam.formats.parts.placing import check_way, place_images, placed_keys, references
from labelbeam.formats.parts.split_folders import new_split_folder
from labelbeam.formats.parts.writable import refuse_unwritable, refuse_unwritable_images
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
    stems = stems_of(dataset.images if images == "keep" else placed_keys(dataset.images), spec=spec)
    with new_split_folder(path, split, spec) as folder:
        if images == "keep":
            places = references(dataset.paths, path / split if split else path)
            refuse_unwritable_images(places, spec)
            _write_json(folder / MANIFEST, dict(zip(stems, places, strict=True)))
        else:
            place_images(dataset, folder / "data", images=images)
        unlabelled = (dataset.targets == UNKNOWN).all(axis=1)
        labels = {
            stem: None if unlabelled[i] else np.flatnonzero(dataset.targets[i] == PRESENT).tolist()
            for i, stem in enumerate(stems)
        }
        _write_json(folder / LABELS_FILE, {"classes": list(dataset.vocabulary), "labels": labels})
    return unknown_note(dataset.targets[~unlabelled])


def _write_json(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
