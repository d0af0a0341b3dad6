"""A data set to Label Studio tasks that are annotated already, and the labelling configuration for them.

Counterpart of `formats.label_studio`. Knows nothing of pixels.
"""

import json
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.data.whole_file import written_whole
from labelbeam.errors import InputError
from labelbeam.formats.parts.list_file import new_list_file, refuse_existing, refuse_split_to_write
from labelbeam.formats.parts.lost_notes import unknown_note
from labelbeam.formats.parts.writable import refuse_unwritable, refuse_unwritable_images
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
        split: empty or `all`; a file is one split.
        images: `keep` (addresses are relative to the file's folder, or absolute), `link` or `copy` (into the
            folder `images` beside the file).

    Returns:
        What the format cannot hold.

    Raises:
        InputError: a split; something is there already; a name that JSON and XML cannot hold; an image to be
            placed that is missing.
    """
    spec = f"labelstudio:{path}" + (f"#{split}" if split else "")
    refuse_split_to_write(split, path, spec)
    if path.suffix.lower() != ".json":
        raise InputError(f"{spec}: tasks are written as JSON. Give a file name that ends in .json.")
    refuse_unwritable(dataset.vocabulary, spec)
    refuse_unwritable_images(dataset.images, spec)
    configuration = path.with_suffix(".xml")
    refuse_existing(configuration)
    with new_list_file(dataset, path, images=images, spec=spec, pictures="images") as (part, names):
        tasks = [_task(dataset, i, name) for i, name in enumerate(names)]
        part.write_text(json.dumps(tasks, ensure_ascii=False, indent=1), encoding="utf-8")
        with written_whole(configuration) as second:
            second.write_text(_configuration(dataset), encoding="utf-8")
    return unknown_note(dataset.targets[(dataset.targets != UNKNOWN).any(axis=1)])


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
