"""Which images of a data set stay: those whose files are there, those that have a label.

The last step of every reader: data set in, data set out. Knows nothing of formats.
"""

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.data.image_bytes import image_exists
from labelbeam.data.options import ReadOptions
from labelbeam.errors import InputError
from labelbeam.labels.targets import PRESENT


def settle(dataset: Dataset, options: ReadOptions) -> Dataset:
    """Apply the options `missing` and `keep_unlabelled`, and record them where they change what is measured.

    Args:
        dataset: as read, every image listed.
        options: the reader's switches.

    Returns:
        The data set of the images that stay, with notes about those that went.

    Raises:
        InputError: files are missing and `missing` is `error`, or no image stays.
    """
    if options.missing != "keep":
        dataset = _with_files(dataset, skip=options.missing == "skip")
    if options.keep_unlabelled:
        return replace(dataset, protocol={**dataset.protocol, "unlabelled": "kept"})
    labelled = np.flatnonzero((dataset.targets == PRESENT).any(axis=1))
    if not len(labelled):
        raise InputError(
            f"{dataset.spec}: no image has a label. Leave --keep-unlabelled on, or check the labels."
        )
    note = f"{len(dataset) - len(labelled)} images without a label were left out."
    protocol = {**dataset.protocol, "unlabelled": "left out"}
    return replace(dataset.subset(labelled), notes=(*dataset.notes, note), protocol=protocol)


def _with_files(dataset: Dataset, *, skip: bool) -> Dataset:
    """Return the data set without images whose file is missing; unless `skip`, list them in an error."""
    elsewhere = files_under_other_names(dataset.root, dataset.images)
    if not elsewhere:
        return dataset
    missing = [image for image, name in elsewhere.items() if name is None]
    shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
    count = f"{len(missing)} of {len(dataset)} image files are missing"
    where = f"looked in {dataset.root.resolve()}"
    if missing and not skip:
        raise InputError(
            f"{dataset.spec}: {count} ({where}): {shown}. Check the folder, or leave them out with "
            "--missing skip (--missing keep reads labels only)."
        )
    kept = [i for i, image in enumerate(dataset.images) if elsewhere.get(image, image) is not None]
    if not kept:
        raise InputError(f"{dataset.spec}: {count} ({where}): {shown}. No image is left; check the folder.")
    notes, protocol = list(dataset.notes), dict(dataset.protocol)
    if missing:
        notes.append(f"{count} and were skipped: {shown}.")
        protocol["missing"] = "skipped"
    if renamed := len(elsewhere) - len(missing):
        notes.append(f"{renamed} file names are in another Unicode form on disk, which is used.")
    images = tuple(elsewhere.get(image) or image for image in dataset.images)
    return replace(dataset, images=images, notes=tuple(notes), protocol=protocol).subset(kept)


def files_under_other_names(root: Path, images: Iterable[str]) -> dict[str, str | None]:
    """Return the images that have no file of exactly their name.

    Args:
        root: folder that the keys are relative to.
        images: keys with forward slashes; an absolute path is one too, and one into a tar archive.

    Returns:
        For each such key, in the order given, the key that its file has in another Unicode form (macOS takes
        が apart where others do not), or None where the file is missing.
    """
    by_folder: dict[str, list[str]] = defaultdict(list)
    keys = list(images)
    for key in keys:
        by_folder[key.rpartition("/")[0]].append(key)
    found: dict[str, str | None] = {}
    for folder, members in by_folder.items():
        # One listing per folder, not one look-up per file: a hundred thousand look-ups take minutes on a
        # network drive. What is not listed is looked up, for file systems that compare names more freely.
        start = folder + "/" if "/" in members[0] else ""
        listed = _listing(root / (start or "."))
        lost = [key for key in members if key[len(start) :] not in listed and not image_exists(root / key)]
        if lost:
            composed = {normalize("NFC", name): start + name for name in sorted(listed)}
            found |= {key: composed.get(normalize("NFC", key[len(start) :])) for key in lost}
    return {key: found[key] for key in keys if key in found}


def _listing(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except (OSError, ValueError):  # no such folder, or none can be: too long a name, or a NUL in it
        return set()
