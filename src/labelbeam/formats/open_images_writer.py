"""A data set to Open Images' form: one CSV row per image and label that is known, 1 present, 0 absent.

Counterpart of `formats.open_images`. Knows nothing of pixels.
"""

import csv
from pathlib import Path

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.data.new_folder import new_folder
from labelbeam.formats.parts.image_stems import stems_of
from labelbeam.formats.parts.placing import check_way, place_images, placed_keys, references
from labelbeam.formats.parts.writable import refuse_unwritable, refuse_unwritable_images
from labelbeam.labels.targets import UNKNOWN

SOURCE = "verification"
"""What the column Source says: labels that people gave."""


def write_open_images(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write a folder: `SPLIT-annotations-human-imagelabels.csv`, class descriptions, and the images if placed.

    Args:
        dataset: what to write; labels go by their names, which are their own machine ids.
        path: the folder to appear.
        split: what the file's name starts with, and the images' folder; empty: `train`.
        images: `keep` (image ids are then absolute paths without suffix), `link` or `copy`.

    Returns:
        What the format cannot hold: images of which nothing is known, labels that no image is known to have
        or lack.

    Raises:
        InputError: something is there already; two images that differ in their suffix only; a name that a CSV
            file cannot hold; an image to be placed that is missing.
    """
    spec = f"openimages:{path}" + (f"#{split}" if split else "")
    split = split or "train"
    check_way(images, keep=True, spec=spec)
    refuse_unwritable(dataset.vocabulary, spec)
    refuse_unwritable([split], spec, without="/")
    refuse_unwritable_images(dataset.images, spec)
    keys = references(dataset.paths, path) if images == "keep" else placed_keys(dataset.images)
    ids = stems_of(keys, spec=spec)
    names = dataset.vocabulary.names
    with new_folder(path) as folder:
        labels = folder / f"{split}-annotations-human-imagelabels.csv"
        with labels.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(("ImageID", "Source", "LabelName", "Confidence"))
            for image, targets in zip(ids, dataset.targets, strict=True):
                for j in np.flatnonzero(targets != UNKNOWN):
                    rows.writerow((image, SOURCE, names[j], int(targets[j])))
        with (folder / "class-descriptions.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows((name, name) for name in names)
        if images != "keep":
            place_images(dataset, folder / split, images=images)
    return _notes(dataset)


def _notes(dataset: Dataset) -> tuple[str, ...]:
    known = dataset.targets != UNKNOWN
    notes: tuple[str, ...] = ()
    if silent := int((~known.any(axis=1)).sum()):
        notes += (f"{silent} images have no known label, so no row names them: they are lost.",)
    if unsaid := dataset.vocabulary.names_of(np.flatnonzero(~known.any(axis=0)).tolist()):
        shown = ", ".join(unsaid[:5])
        notes += (f"{len(unsaid)} labels are unknown for every image, so no row names them: {shown}.",)
    return notes
