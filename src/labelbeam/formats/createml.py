"""Create ML's JSON beside the images: a list of images with labels, or with labelled boxes.

Reads `[{"filename": "a.jpg", "annotations": ["cat", "dog"]}]` (Apple's multi-label image classifier) and
`[{"image": "a.jpg", "annotations": [{"label": "cat", "coordinates": {…}}]}]` (its object detector, as Roboflow exports
it), and writes the first. Knows nothing of pixels.

Source:
    Apple, "Creating a multi-label image classifier" (Create ML Components), "MLObjectDetector" (bounding box JSON
    annotation file); Roboflow, "CreateML JSON" (`train/_annotations.createml.json`).
"""

import json
from pathlib import Path

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.image_names import image_key
from labelbeam.formats.labelled_images import labelled_dataset
from labelbeam.formats.placing import (
    chosen_splits,
    folders_in,
    new_list_file,
    order_note,
    refuse_split_in_file,
    refuse_split_to_write,
    refuse_unwritable,
    refuse_unwritable_images,
    unknown_note,
    unused_note,
)
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN
from labelbeam.parsing import read_json

ROBOFLOW_FILE = "_annotations.createml.json"
FILES = (ROBOFLOW_FILE, "annotations.json")
IMAGE_FIELDS = ("image", "filename", "imagefilename")
_FORM = '[{"filename": "a.jpg", "annotations": ["cat", "dog"]}]'


def read_createml(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read Create ML's JSON.

    Args:
        path: the JSON file, a folder that holds one, or a folder with such a folder for each split.
        split: a folder that holds a JSON file; empty or `all`: every one.
        options: `root` (of one file; None: the file's folder), `keep_unlabelled`, `missing`.

    Returns:
        The data set, in the files' order; image keys are relative to the folder. The labels are those of every
        split, sorted.

    Raises:
        InputError: no such file or split; not JSON of this form; whatever `settle` finds.
    """
    spec = f"createml:{path}" + (f"#{split}" if split else "")
    files = _files(path, split, spec)
    entries = {name: _entries(file, spec) for name, file in files.items()}
    root = options.root or (path.parent if path.is_file() else path)
    chosen, notes = chosen_splits([name for name in files if name], split, f"createml:{path}")
    said = [
        (
            image_key(f"{name}/{image}" if name else image, str(files[name])),
            dict.fromkeys(labels, PRESENT),
        )
        for name in chosen or files
        for image, labels, _ in entries[name]
    ]
    boxes = sum(is_box for found in entries.values() for _, _, is_box in found)
    if boxes:
        notes.append("labels are those of boxes; where the boxes are is not read.")
    return labelled_dataset(
        said,
        spec=spec,
        root=root,
        names=sorted({label for found in entries.values() for _, labels, _ in found for label in labels}),
        unsaid=ABSENT,
        layout="annotations of Create ML",
        options=options,
        notes=notes,
    )


def write_createml(dataset: Dataset, path: Path, *, split: str = "", images: str = "keep") -> tuple[str, ...]:
    """Write the JSON of Create ML's multi-label image classifier.

    Args:
        dataset: what to write.
        path: the file to appear.
        split: empty or `all`; a file is one split.
        images: `keep`, `link` or `copy`.

    Returns:
        What the file cannot hold.

    Raises:
        InputError: a split; something is at `path`; an image that is missing; names that are not Unicode.
    """
    spec = f"createml:{path}" + (f"#{split}" if split else "")
    refuse_split_to_write(split, path, spec)
    refuse_unwritable(dataset.vocabulary, spec, control=False)
    if not (dataset.targets == PRESENT).any():
        raise InputError(f"{spec}: no image has a label, so there is nothing to write.")
    with new_list_file(dataset, path, images=images, spec=spec) as (part, references):
        refuse_unwritable_images(references, spec)
        entries = [
            {
                "filename": image,
                "annotations": [dataset.vocabulary.names[j] for j in np.flatnonzero(row == PRESENT)],
            }
            for image, row in zip(references, dataset.targets, strict=True)
        ]
        part.write_text(json.dumps(entries, ensure_ascii=False, indent=1), encoding="utf-8")
    never = (dataset.targets == UNKNOWN).any()
    return unknown_note(dataset.targets) * bool(never) + unused_note(dataset) + order_note(dataset)


def _files(path: Path, split: str, spec: str) -> dict[str, Path]:
    """Return the JSON file of each split; one without a name where the data set is not divided."""
    if path.is_file():
        refuse_split_in_file(split, path, spec)
        return {"": path}
    if not path.is_dir():
        raise InputError(f"{spec}: {path} is neither a folder nor a file. Check the path.")
    for name in FILES:
        if (path / name).is_file():
            refuse_split_in_file(split, path / name, spec)
            return {"": path / name}
    found = {
        name: folder / file
        for name, folder in folders_in(path).items()
        for file in reversed(FILES)
        if (folder / file).is_file()
    }
    if not found:
        raise InputError(
            f"{spec}: no {' or '.join(FILES)} in {path} or in a folder in it. Give the JSON file."
        )
    return found


def _entries(file: Path, spec: str) -> list[tuple[str, list[str], bool]]:
    """Return each image, its labels, and whether they are those of boxes."""
    document = read_json(file, spec)
    if not isinstance(document, list):
        raise InputError(f"{spec}: {file} is not a list of images. It looks like {_FORM}.")
    found = []
    for number, entry in enumerate(document):
        image = (
            next((entry.get(f) for f in IMAGE_FIELDS if f in entry), None)
            if isinstance(entry, dict)
            else None
        )
        notes = entry.get("annotations", entry.get("annotation")) if isinstance(entry, dict) else None
        if not isinstance(image, str) or not isinstance(notes, list):
            raise InputError(
                f"{spec}: {file}, entry {number}: no text {IMAGE_FIELDS[1]!r} or no list 'annotations' in "
                f"{str(entry)[:80]}. An entry looks like {_FORM[1:-1]}."
            )
        labels = [note.get("label") if isinstance(note, dict) else note for note in notes]
        if wrong := [note for note, label in zip(notes, labels, strict=True) if not isinstance(label, str)]:
            raise InputError(
                f"{spec}: {file}, entry {number}: an annotation without a label: {str(wrong[0])[:60]}."
            )
        found.append((image, [str(label) for label in labels], any(isinstance(note, dict) for note in notes)))
    return found
