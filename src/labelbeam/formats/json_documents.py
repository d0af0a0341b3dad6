"""One JSON document that lists images: mmpretrain's, Create ML's and cleanlab's, read and written; Datumaro's, read."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats import placing
from labelbeam.formats.documents import image_key, plain_path
from labelbeam.formats.labelled_images import labelled_dataset, names_of_numbers
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN
from labelbeam.parsing import read_json

CLASSES_FILE = "classes.txt"
"""Names beside mmpretrain's file, a line each, where it has none: as the argument `classes` of its data sets."""

CREATEML_FILES = ("_annotations.createml.json", "annotations.json")
"""What a folder's file is called: by Roboflow, by others."""

_IMAGE_FIELDS = ("image", "filename", "imagefilename")
_FORMS = {
    "mmpretrain": '{"metainfo": {"classes": ["cat"]}, "data_list": [{"img_path": "a.jpg", "gt_label": [0]}]}',
    "createml": '[{"filename": "a.jpg", "annotations": ["cat", "dog"]}]',
    "cleanlab": '{"labels": [[0, 2], []], "class_names": ["cat", "dog", "sky"], "images": ["a.jpg", "b.jpg"]}',
    "datumaro": '{"categories": {"label": {"labels": [{"name": "cat"}]}}, "items": [{"id": "a", "annotations": []}]}',
}
"""What a file looks like, for messages."""


def read_mmpretrain(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read an annotation file of mmpretrain's multi-label data sets; `root` is its `data_prefix`.

    A number instead of a list is one label; an entry without `gt_label` was not labelled. Labels are in the order of
    `classes`, of the ids of `categories`, or of the lines of a `classes.txt` beside the file.

    Raises:
        InputError: a split; not JSON of this form; a number beyond the classes; whatever `settle` finds.

    Source:
        mmpretrain, `datasets/multi_label.py`, `datasets/base_dataset.py` (`categories`);
        MMEngine, "OpenMMLab 2.0 style annotation format".
    """
    spec, found = _read("mmpretrain", path, split)
    where = f"{spec}: {path}"
    metainfo, entries = found.get("metainfo"), found.get("data_list")
    classes = _mmpretrain_classes(metainfo if isinstance(metainfo, dict) else {}, path, where)
    if not isinstance(entries, list):
        raise InputError(f"{where}: no list 'data_list'. The file looks like {_FORMS['mmpretrain']}.")
    if not classes or not _is_texts(classes):
        raise InputError(
            f"{where}: no list of texts 'classes' in 'metainfo' and no {CLASSES_FILE} beside the file, so the numbers "
            f"have no names. Add them: {_FORMS['mmpretrain']}."
        )
    if len({name.strip() for name in classes}) < len(classes) or not all(name.strip() for name in classes):
        raise InputError(f"{where}: the names in 'classes' must differ and not be empty.")
    labelled, unread = [], dict[str, None]()
    for number, entry in enumerate(entries):
        at = f"{path}, data_list[{number}]"
        if not isinstance(entry, dict) or not isinstance(entry.get("img_path"), str):
            raise InputError(f"{at}: no text 'img_path' in {str(entry)[:80]}. An entry names its image.")
        unread |= dict.fromkeys(key for key in entry if key.startswith("gt_") and key != "gt_label")
        ids = entry.get("gt_label")
        names = None if ids is None else _present(names_of_numbers(ids, classes, f"{at}, gt_label"))
        labelled.append((image_key(entry["img_path"], at), names))
    return labelled_dataset(
        labelled,
        spec=spec,
        root=options.root or path.parent,
        layout="class numbers of mmpretrain",
        options=options,
        names=classes,
        unlabelled="entries have no gt_label",
        notes=[f"keys of entries that were not read: {', '.join(unread)}."] if unread else [],
    )


def _mmpretrain_classes(metainfo: Mapping[str, Any], path: Path, where: str) -> Any:
    """Return the class names: `classes`, `categories` with their ids, or the lines of a file; None without."""
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
        lines = path.with_name(CLASSES_FILE).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError):
        return None
    return [line.strip() for line in lines if line.strip()]


def write_mmpretrain(
    dataset: Dataset, path: Path, *, split: str = "", images: str = "keep"
) -> tuple[str, ...]:
    """Write an annotation file of mmpretrain; an image whose every label is unknown gets no `gt_label`."""
    nobody = (dataset.targets == UNKNOWN).all(axis=1)

    def document(references: list[str], labels: list[list[int]]) -> object:
        entries = [
            {"img_path": image} if unlabelled else {"img_path": image, "gt_label": ids}
            for image, ids, unlabelled in zip(references, labels, nobody, strict=True)
        ]
        return {"metainfo": {"classes": list(dataset.vocabulary)}, "data_list": entries}

    _write("mmpretrain", dataset, path, split, images, document)
    return placing.unknown_note(dataset.targets[~nobody])


def read_cleanlab(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read labels for cleanlab, corrected or not; they are in the order of `class_names`.

    Raises:
        InputError: a split; not JSON of this form; lists of different lengths; a number beyond the classes;
            whatever `settle` finds.
    """
    spec, found = _read("cleanlab", path, split)
    labels, names, images = (found.get(part, ()) for part in ("labels", "class_names", "images"))
    if not isinstance(labels, list) or not _is_texts(names) or not _is_texts(images):
        raise InputError(f"{spec}: {path} is not of the form {_FORMS['cleanlab']}.")
    if len(labels) != len(images):
        raise InputError(
            f"{spec}: {path}: {len(labels)} lists of labels, {len(images)} images. Give each image its own."
        )
    return labelled_dataset(
        [
            (
                image_key(image, f"{path}, images[{number}]"),
                _present(names_of_numbers(ids, names, f"{path}, labels[{number}]")),
            )
            for number, (image, ids) in enumerate(zip(images, labels, strict=True))
        ],
        spec=spec,
        root=options.root or path.parent,
        layout="class numbers for cleanlab",
        options=options,
        names=names,
    )


def write_cleanlab(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write class numbers for cleanlab, with the names and the images they belong to; only labelbeam reads the file.

    Source:
        cleanlab documentation, `multilabel_classification.filter`: labels as a list of lists of class numbers, the
        argument of `find_label_issues`.
    """

    def document(references: list[str], labels: list[list[int]]) -> object:
        return {"labels": labels, "class_names": list(dataset.vocabulary), "images": references}

    _write("cleanlab", dataset, path, split, images, document)
    return placing.unknown_note(dataset.targets)


def read_createml(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read Create ML's JSON: a file, a folder that holds one, or a folder with such a folder for each split.

    Entries are labels (multi-label image classifier) or boxes with a label (object detector, as Roboflow exports it).
    The labels are those of every split, sorted.

    Raises:
        InputError: no such file or split; not JSON of this form; whatever `settle` finds.

    Source:
        Apple, "Creating a multi-label image classifier" (Create ML Components), "MLObjectDetector" (bounding box JSON
        annotation file); Roboflow, "CreateML JSON" (`train/_annotations.createml.json`).
    """
    spec = f"createml:{path}" + (f"#{split}" if split else "")
    files = _createml_files(path, split, spec)
    entries = {name: _createml_entries(file, spec) for name, file in files.items()}
    chosen, notes = placing.chosen_splits([name for name in files if name], split, f"createml:{path}")
    if any(has_box for found in entries.values() for _, _, has_box in found):
        notes.append("labels are those of boxes; where the boxes are is not read.")
    return labelled_dataset(
        [
            (image_key(f"{name}/{image}" if name else image, str(files[name])), _present(labels))
            for name in chosen or files
            for image, labels, _ in entries[name]
        ],
        spec=spec,
        root=options.root or (path.parent if path.is_file() else path),
        layout="annotations of Create ML",
        options=options,
        names=sorted({label for found in entries.values() for _, labels, _ in found for label in labels}),
        notes=notes,
    )


def _createml_files(path: Path, split: str, spec: str) -> dict[str, Path]:
    """Return the JSON file of each split; one without a name where the data set is not divided."""
    if not path.exists():
        raise InputError(f"{spec}: {path} is neither a folder nor a file. Check the path.")
    for file in (path, *(path / name for name in CREATEML_FILES)):
        if file.is_file():
            placing.refuse_split_in_file(split, file, spec)
            return {"": file}
    found = {
        name: folder / file
        for name, folder in placing.folders_in(path).items()
        for file in reversed(CREATEML_FILES)
        if (folder / file).is_file()
    }
    if not found:
        raise InputError(
            f"{spec}: no {' or '.join(CREATEML_FILES)} in {path} or in a folder in it. Give the JSON file."
        )
    return found


def _createml_entries(file: Path, spec: str) -> list[tuple[str, list[str], bool]]:
    """Return each image, its labels, and whether they are those of boxes."""
    document = read_json(file, spec)
    if not isinstance(document, list):
        raise InputError(f"{spec}: {file} is not a list of images. It looks like {_FORMS['createml']}.")
    found = []
    for number, value in enumerate(document):
        entry = value if isinstance(value, dict) else {}
        image = next((entry[field] for field in _IMAGE_FIELDS if field in entry), None)
        notes = entry.get("annotations", entry.get("annotation"))
        if not isinstance(image, str) or not isinstance(notes, list):
            raise InputError(
                f"{spec}: {file}, entry {number}: no text 'filename' or no list 'annotations' in {str(value)[:80]}. "
                f"The file looks like {_FORMS['createml']}."
            )
        labels: list[Any] = [note.get("label") if isinstance(note, dict) else note for note in notes]
        if wrong := [note for note, label in zip(notes, labels, strict=True) if not isinstance(label, str)]:
            raise InputError(
                f"{spec}: {file}, entry {number}: an annotation without a label: {str(wrong[0])[:60]}."
            )
        found.append((image, labels, any(isinstance(note, dict) for note in notes)))
    return found


def write_createml(dataset: Dataset, path: Path, *, split: str = "", images: str = "keep") -> tuple[str, ...]:
    """Write the JSON of Create ML's multi-label image classifier.

    Raises:
        InputError: no image that has a label.
    """
    if not (dataset.targets == PRESENT).any():
        raise InputError(f"createml:{path}: no image has a label, so there is nothing to write.")
    names = dataset.vocabulary.names

    def document(references: list[str], labels: list[list[int]]) -> object:
        return [
            {"filename": image, "annotations": [names[j] for j in ids]}
            for image, ids in zip(references, labels, strict=True)
        ]

    _write("createml", dataset, path, split, images, document, indent=1)
    notes = placing.unknown_note(dataset.targets) + placing.unused_note(dataset)
    return notes + placing.order_note(dataset)


def read_datumaro(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read Datumaro's folder, which CVAT exports too: `annotations/SPLIT.json` and `images/SPLIT/…`, or one such file.

    Labels are annotations of the type `label`; where no item has one, those of boxes and other shapes. They are in
    the order of the categories.

    Raises:
        InputError: no such folder, file or split; not JSON of this form; a label id beyond the categories; whatever
            `settle` finds.

    Source:
        Datumaro documentation, "Datumaro format", and `plugins/data_formats/datumaro/base.py`; CVAT documentation,
        "Datumaro".
    """
    spec = f"datumaro:{path}" + (f"#{split}" if split else "")
    files, home = _datumaro_files(path, split, spec)
    chosen, notes = placing.chosen_splits([name for name in files if name], split, f"datumaro:{path}")
    documents = {name: _datumaro_document(file, spec) for name, file in files.items()}
    names = {name: _datumaro_classes(documents[name], files[name], spec) for name in documents}
    counts = Counter(
        str(note.get("type"))[:40]
        for document in documents.values()
        for item in document["items"]
        for note in item.get("annotations", [])
        if note.get("label_id") is not None
    )
    kinds = {"label"} if counts["label"] or not counts else set(counts) - {"caption"}
    root = home / "images" if (home / "images").is_dir() else home
    labelled = []
    for name in chosen or files:
        own = name or files[name].stem
        inside = f"{own}/" if (root / own).is_dir() else ""
        for number, item in enumerate(documents[name]["items"]):
            where = f"{files[name]}, items[{number}]"
            written = plain_path(_datumaro_image(item, where))
            ids = [
                note["label_id"]
                for note in item.get("annotations", [])
                if str(note.get("type"))[:40] in kinds and note.get("label_id") is not None
            ]
            key = image_key(written if written.startswith("/") else inside + written, where)
            labelled.append((key, _present(names_of_numbers(ids, names[name], f"{where}, label_id"))))
    if kinds == {"label"} and (others := {kind: n for kind, n in counts.items() if kind != "label"}):
        shown = ", ".join(f"{count:,} {kind}" for kind, count in sorted(others.items()))
        notes.append(f"only labels of images were read; those of shapes were not: {shown}.")
    return labelled_dataset(
        labelled,
        spec=spec,
        root=root,
        layout="labels" if kinds == {"label"} else "labels of shapes, because no item has a label of its own",
        options=options,
        names=list(dict.fromkeys(label for found in names.values() for label in found)),
        notes=notes,
    )


def _datumaro_files(path: Path, split: str, spec: str) -> tuple[dict[str, Path], Path]:
    """Return the JSON file of each split, one without a name for a single file; and the data set's folder."""
    if path.is_file():
        placing.refuse_split_in_file(split, path, spec)
        return {"": path}, path.parent.parent if path.parent.name == "annotations" else path.parent
    found = {file.stem: file for file in sorted((path / "annotations").glob("*.json"))}
    if not found:
        raise InputError(
            f"{spec}: no JSON file in {path / 'annotations'}. Give the folder that holds annotations."
        )
    return found, path


def _datumaro_document(file: Path, spec: str) -> dict[str, Any]:
    document = read_json(file, spec)
    if not isinstance(document, dict) or not isinstance(document.get("items"), list):
        raise InputError(
            f"{spec}: {file} has no list 'items'. A file of Datumaro looks like {_FORMS['datumaro']}."
        )
    for number, item in enumerate(document["items"]):
        notes = item.get("annotations", []) if isinstance(item, dict) else None
        if not isinstance(notes, list) or not all(isinstance(note, dict) for note in notes):
            raise InputError(f"{spec}: {file}, items[{number}]: no list of objects 'annotations'.")
    return document


def _datumaro_classes(document: Mapping[str, Any], file: Path, spec: str) -> list[str]:
    value: Any = document
    for key in ("categories", "label", "labels"):
        value = value.get(key) if isinstance(value, dict) else None
    entries = value if isinstance(value, list) else []
    names = [entry.get("name") if isinstance(entry, dict) else entry for entry in entries]
    texts = [name.strip() for name in names if isinstance(name, str)]
    if not texts or len(texts) < len(names) or len(set(texts)) < len(texts):
        raise InputError(
            f"{spec}: {file}: 'categories' names no labels, or the same one twice. It looks like "
            f"{_FORMS['datumaro']}."
        )
    return texts


def _datumaro_image(item: Mapping[str, Any], where: str) -> str:
    image, identity = item.get("image"), item.get("id")
    written = image.get("path") if isinstance(image, dict) else None
    if isinstance(written, str) and written:
        return written
    if not isinstance(identity, str) or not identity:
        raise InputError(f"{where}: neither an 'id' nor a path of the image in {str(item)[:80]}.")
    return f"{identity}.jpg"


def _read(form: str, path: Path, split: str) -> tuple[str, dict[str, Any]]:
    """Return the data set argument, and the object that the file of one split holds."""
    spec = f"{form}:{path}" + (f"#{split}" if split else "")
    placing.refuse_split_in_file(split, path, spec)
    found = read_json(path, spec)
    return spec, found if isinstance(found, dict) else {}


def _write(
    form: str,
    dataset: Dataset,
    path: Path,
    split: str,
    images: str,
    document: Callable[[list[str], list[list[int]]], object],
    *,
    indent: int | None = None,
) -> None:
    """Write the document made of a reference to each image and the numbers of its labels."""
    spec = f"{form}:{path}" + (f"#{split}" if split else "")
    placing.refuse_unwritable(dataset.vocabulary, spec, control=False)
    with placing.new_list_file(dataset, path, images=images, spec=spec, split=split) as (part, references):
        labels = [np.flatnonzero(row == PRESENT).tolist() for row in dataset.targets]
        text = json.dumps(document(references, labels), ensure_ascii=False, indent=indent)
        part.write_text(text, encoding="utf-8")


def _present(names: Iterable[str]) -> dict[str, int]:
    return dict.fromkeys(names, PRESENT)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
