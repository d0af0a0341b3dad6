"""A data set to Label Studio tasks that are annotated already, and the labelling configuration for them.

Counterpart of `formats.label_studio`. Knows nothing of pixels.
"""

import json
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.data.new_folder import new_folder
from labelbeam.data.whole_file import written_whole
from labelbeam.errors import InputError
from labelbeam.formats.labelled_images import (
    key_inside,
    refuse_unwritable,
    refuse_unwritable_images,
    unknown_note,
)
from labelbeam.formats.placing import check_way, place_image, reference
from labelbeam.labels.targets import PRESENT, UNKNOWN

CONTROL = "labels"
"""Name of the control whose choices are the labels."""

LOCAL_FILES = "/data/local-files/?d="
"""How Label Studio addresses files of its own machine, below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT."""


def write_label_studio(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write tasks as JSON, to be imported into a project, and `STEM.xml`, the project's labelling configuration.

    Args:
        dataset: what to write; an image whose every label is unknown gets no annotation.
        path: the JSON file to appear; its folder is made. Serve that folder as Label Studio's root of local files.
        split: must be empty: the format has none.
        images: `keep` (addresses are relative to the file's folder, or absolute), `link` or `copy` (into the
            folder `images` beside the file).

    Returns:
        What the format cannot hold.

    Raises:
        InputError: a split; something is there already; a name that JSON and XML cannot hold; an image to be
            placed that is missing.
    """
    spec = f"labelstudio:{path}" + (f"#{split}" if split else "")
    check_way(images, keep=True, spec=spec)
    if split:
        raise InputError(
            f"{spec}: a list of tasks has no splits. Leave #{split} away; write a file per split."
        )
    if path.suffix.lower() != ".json":
        raise InputError(f"{spec}: tasks are written as JSON. Give a file name that ends in .json.")
    refuse_unwritable(dataset.vocabulary, spec)
    refuse_unwritable_images(dataset.images, spec)
    pictures, configuration = path.parent / "images", path.with_suffix(".xml")
    for there in (path, configuration, *([] if images == "keep" else [pictures])):
        if there.exists():
            raise InputError(f"{spec}: {there} is there already; nothing is overwritten. Give another place.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = pictures if images == "keep" else stack.enter_context(new_folder(pictures))
        tasks = []
        for i, key in enumerate(dataset.images):
            if images == "keep":
                name = reference(dataset.path(i), path.parent)
            else:
                place_image(dataset.path(i), folder / key_inside(key, spec), images=images)
                name = f"images/{key}"
            tasks.append(_task(dataset, i, name))
        stack.enter_context(written_whole(configuration)).write_text(
            _configuration(dataset), encoding="utf-8"
        )
        text = json.dumps(tasks, ensure_ascii=False, indent=1)
        stack.enter_context(written_whole(path)).write_text(text, encoding="utf-8")
    somewhat = (dataset.targets != UNKNOWN).any(axis=1)
    return unknown_note(int((dataset.targets[somewhat] == UNKNOWN).sum()))


def _task(dataset: Dataset, i: int, name: str) -> dict[str, object]:
    row = dataset.targets[i]
    labels = dataset.vocabulary.names_of(np.flatnonzero(row == PRESENT).tolist())
    result = {"from_name": CONTROL, "to_name": "image", "type": "choices", "value": {"choices": labels}}
    answered = not (row == UNKNOWN).all()
    return {
        "data": {"image": LOCAL_FILES + quote(name)},
        "annotations": [{"result": [result] if labels else []}] if answered else [],
    }


def _configuration(dataset: Dataset) -> str:
    choices = "".join(f"    <Choice value={quoteattr(name)}/>\n" for name in dataset.vocabulary)
    return (
        '<View>\n  <Image name="image" value="$image"/>\n'
        f'  <Choices name="{CONTROL}" toName="image" choice="multiple">\n{choices}  </Choices>\n</View>\n'
    )
