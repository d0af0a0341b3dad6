"""Labels as cleanlab takes them, in a JSON file: `{"labels": [[0, 2], []], "class_names": […], "images": […]}`.

`labels` is the argument of `cleanlab.multilabel_classification.filter.find_label_issues`; the file around it is
labelbeam's own, and is read back. Knows nothing of pixels.
"""

import json
from pathlib import Path
from typing import TypeGuard

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
from labelbeam.labels.vocabulary import ABSENT, PRESENT
from labelbeam.parsing import read_json

_FORM = '{"labels": [[0, 2], []], "class_names": ["cat", "dog", "sky"], "images": ["a.jpg", "b.jpg"]}'


def read_cleanlab(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read labels, corrected or not, from such a file.

    Args:
        path: the file.
        split: empty or `all`; a file is one split.
        options: `root` (None: the file's folder), `keep_unlabelled`, `missing`.

    Returns:
        The data set, in the file's order; labels in the order of `class_names`.

    Raises:
        InputError: a split; not JSON of this form; lists of different lengths; a number beyond the classes;
            whatever `settle` finds.
    """
    spec = f"cleanlab:{path}" + (f"#{split}" if split else "")
    refuse_split_in_file(split, path, spec)
    labels, names, images = _parts(read_json(path, spec), f"{spec}: {path}")
    said = []
    for number, (image, ids) in enumerate(zip(images, labels, strict=True)):
        found = names_of_numbers(ids, names, f"{path}, labels[{number}]")
        said.append((image_key(image, f"{path}, images[{number}]"), dict.fromkeys(found, PRESENT)))
    return labelled_dataset(
        said,
        spec=spec,
        root=options.root or path.parent,
        names=names,
        unsaid=ABSENT,
        layout="class numbers for cleanlab",
        options=options,
    )


def write_cleanlab(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write class numbers for cleanlab, with the names and the images they belong to.

    Args:
        dataset: what to write.
        path: the file to appear.
        split: empty or `all`; a file is one split.
        images: `keep`, `link` or `copy`.

    Returns:
        What the file cannot hold.

    Raises:
        InputError: a split; something is at `path`; an image that is missing; names that are not Unicode.

    Source:
        cleanlab documentation, `multilabel_classification.filter`: labels as a list of lists of class numbers.
    """
    spec = f"cleanlab:{path}" + (f"#{split}" if split else "")
    refuse_split_to_write(split, path, spec)
    refuse_unwritable(dataset.vocabulary, spec, control=False)
    with new_list_file(dataset, path, images=images, spec=spec) as (part, references):
        refuse_unwritable_images(references, spec, control=False)
        labels = [np.flatnonzero(row == PRESENT).tolist() for row in dataset.targets]
        document = {"labels": labels, "class_names": list(dataset.vocabulary), "images": references}
        part.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return unknown_note(dataset.targets)


def _parts(document: object, where: str) -> tuple[list[object], list[str], list[str]]:
    """Return labels, class names and images."""
    found = document if isinstance(document, dict) else {}
    labels, names, images = (found.get(part) for part in ("labels", "class_names", "images"))
    if not isinstance(labels, list) or not _is_texts(names) or not _is_texts(images):
        raise InputError(f"{where} is not of the form {_FORM}.")
    if len(labels) != len(images):
        raise InputError(
            f"{where}: {len(labels)} lists of labels, {len(images)} images. Give each image its own."
        )
    return labels, names, images


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
