"""mmpretrain's annotation file: `{"metainfo": {"classes": […]}, "data_list": [{"img_path": …, "gt_label": [0, 3]}]}`.

Reads and writes what `MultiLabelDataset` reads. Knows nothing of pixels.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.image_names import image_key
from labelbeam.formats.labelled_images import labelled_dataset, names_of_numbers
from labelbeam.formats.placing import (
    new_list_file,
    refuse_split_in_file,
    refuse_split_to_write,
    refuse_unwritable,
    refuse_unwritable_images,
    unknown_note,
)
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN
from labelbeam.parsing import read_json

CLASSES_FILE = "classes.txt"
"""Names beside the file, a line each, where it has none: as the argument `classes` of mmpretrain's data sets."""

_FORM = '{"metainfo": {"classes": ["cat"]}, "data_list": [{"img_path": "a.jpg", "gt_label": [0]}]}'


def read_mmpretrain(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read an annotation file of mmpretrain's multi-label data sets.

    A number instead of a list is one label; of an entry without `gt_label` nobody said anything, so every label is
    unknown.

    Args:
        path: the JSON file.
        split: empty or `all`; a file is one split.
        options: `root` (mmpretrain's `data_prefix`; None: the file's folder), `keep_unlabelled`, `missing`.

    Returns:
        The data set, in the file's order; labels in the order of `classes` (or of the ids of `categories`, or of the
        lines of a `classes.txt` beside the file).

    Raises:
        InputError: a split; not JSON of this form; a number beyond the classes; whatever `settle` finds.

    Source:
        mmpretrain, `datasets/multi_label.py`, `datasets/base_dataset.py` (`categories`);
        MMEngine, "OpenMMLab 2.0 style annotation format".
    """
    spec = f"mmpretrain:{path}" + (f"#{split}" if split else "")
    refuse_split_in_file(split, path, spec)
    document = read_json(path, spec)
    classes, entries = _parts(document, path.with_name(CLASSES_FILE), f"{spec}: {path}")
    said, unsaid = [], []
    for number, entry in enumerate(entries):
        where = f"{path}, data_list[{number}]"
        if not isinstance(entry, dict) or not isinstance(entry.get("img_path"), str):
            raise InputError(f"{where}: no text 'img_path' in {str(entry)[:80]}. An entry names its image.")
        ids = entry.get("gt_label")
        names = [] if ids is None else names_of_numbers(ids, classes, f"{where}, gt_label")
        unsaid.append(UNKNOWN if ids is None else ABSENT)
        said.append((image_key(entry["img_path"], where), dict.fromkeys(names, PRESENT)))
    untold = sum(value == UNKNOWN for value in unsaid)
    return labelled_dataset(
        said,
        spec=spec,
        root=options.root or path.parent,
        names=classes,
        unsaid=unsaid,
        layout="class numbers of mmpretrain",
        options=options,
        notes=[f"{untold} entries have no gt_label: every label of theirs is unknown."] if untold else [],
    )


def write_mmpretrain(
    dataset: Dataset, path: Path, *, split: str = "", images: str = "keep"
) -> tuple[str, ...]:
    """Write an annotation file of mmpretrain's multi-label data sets.

    Args:
        dataset: what to write; an image whose every label is unknown gets no `gt_label`.
        path: the file to appear.
        split: empty or `all`; a file is one split.
        images: `keep`, `link` or `copy`.

    Returns:
        What the file cannot hold.

    Raises:
        InputError: a split; something is at `path`; an image that is missing; names that are not Unicode.
    """
    spec = f"mmpretrain:{path}" + (f"#{split}" if split else "")
    refuse_split_to_write(split, path, spec)
    refuse_unwritable(dataset.vocabulary, spec, control=False)
    untold = (dataset.targets == UNKNOWN).all(axis=1)
    with new_list_file(dataset, path, images=images, spec=spec) as (part, references):
        refuse_unwritable_images(references, spec)
        entries: list[dict[str, object]] = []
        for image, row, never in zip(references, dataset.targets, untold, strict=True):
            labels = {} if never else {"gt_label": np.flatnonzero(row == PRESENT).tolist()}
            entries.append({"img_path": image, **labels})
        document = {"metainfo": {"classes": list(dataset.vocabulary.names)}, "data_list": entries}
        part.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return unknown_note(dataset.targets[~untold])


def _parts(document: object, beside: Path, where: str) -> tuple[list[str], list[object]]:
    """Return the classes and the entries."""
    metainfo = document.get("metainfo") if isinstance(document, dict) else None
    classes = _classes(metainfo if isinstance(metainfo, dict) else {}, beside, where)
    entries = document.get("data_list") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise InputError(f"{where}: no list 'data_list'. The file looks like {_FORM}.")
    if not isinstance(classes, list) or not classes or not all(isinstance(name, str) for name in classes):
        raise InputError(
            f"{where}: no list of texts 'classes' in 'metainfo' and no {CLASSES_FILE} beside the file, so the numbers "
            f"have no names. Add them: {_FORM}."
        )
    if len({name.strip() for name in classes}) < len(classes) or not all(name.strip() for name in classes):
        raise InputError(f"{where}: the names in 'classes' must differ and not be empty.")
    return classes, entries


def _classes(metainfo: Mapping[str, object], beside: Path, where: str) -> object:
    """Return the class names: `classes`, `categories` with their ids, or the lines of a file."""
    for key in ("classes", "CLASSES"):
        if metainfo.get(key):
            return metainfo[key]
    categories = metainfo.get("categories")
    if isinstance(categories, list) and categories:
        try:
            return [one["category_name"] for one in sorted(categories, key=lambda one: int(one["id"]))]
        except (TypeError, KeyError, ValueError):
            raise InputError(
                f"{where}: 'categories' in 'metainfo' must be objects with 'id' and 'category_name'."
            ) from None
    try:
        return [line.strip() for line in beside.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError):
        return None
