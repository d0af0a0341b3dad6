"""FiftyOne's folders: `data/` and `labels.json` (image classification), read and written; `samples.json`, read.

Source:
    FiftyOne user guide, "FiftyOneImageClassificationDataset" and "FiftyOneDataset"; `fiftyone/utils/data/exporters.py`.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.image_names import files_by_stem, image_key, stems_of
from labelbeam.formats.labelled_images import labelled_dataset
from labelbeam.formats.placing import (
    check_way,
    new_split_folder,
    place_images,
    placed_keys,
    references,
    refuse_unwritable,
    refuse_unwritable_images,
    unknown_note,
)
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN
from labelbeam.parsing import read_json

# FiftyOne's image classification folder: `data/` and `labels.json`, images by their names without suffix.
#
# Reads and writes what FiftyOne exports as `FiftyOneImageClassificationDataset`, without needing FiftyOne.
# A number or name is one label, a list of them several, null says that nobody labelled the image. Knows
# nothing of pixels.

LABELS_FILE = "labels.json"
MANIFEST = "data.json"
"""Where images may stay elsewhere: `{stem: path}`."""


SAMPLES_FILE = "samples.json"
TAGS = "tags"
"""The field that every sample has: a list of texts, which is often its split."""

_LISTS = {
    "Classifications": "classifications",
    "Detections": "detections",
    "Polylines": "polylines",
    "Keypoints": "keypoints",
}
_ONE = ("Classification", "Detection", "Polyline", "Keypoint")


def read_fiftyone(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a folder of FiftyOne's layout.

    Args:
        path: folder with `labels.json` and `data/` or `data.json`, or with such a folder for each split; or one with
            `samples.json`, FiftyOneDataset: one of its label fields is read.
        split: name of the subfolder; empty or `all` where the folder is not divided.
        options: `tags_column` (of `samples.json`), `keep_unlabelled`, `missing`.

    Returns:
        The data set; image keys are relative to `data/` (where `data.json` says where images are: to the
        folder, or absolute), in the file's order. Labels are in the order of `classes`, or sorted where the
        file has none. An image whose entry is null has every label unknown.

    Raises:
        InputError: no such folder or file; not JSON of this form; an id beyond `classes`; two image files
            of the same stem; whatever `settle` finds.

    Source:
        FiftyOne user guide, "Dataset formats: FiftyOneImageClassificationDataset"; lists of labels since
        voxel51/fiftyone#1377.
    """
    spec = f"fiftyone:{path}" + (f"#{split}" if split else "")
    for folder, part in ((path / split, ""), (path, split)):
        if (folder / SAMPLES_FILE).is_file():
            return _read_samples(folder, part, spec, options=options)
    if options.tags_column is not None:
        raise InputError(f"{spec}: --tags-column names a field of {SAMPLES_FILE}; there is none in {path}.")
    home = _home(path, split, spec)
    file = home / LABELS_FILE
    classes, entries = _document(file, spec)
    said, unsaid = [], []
    for stem, value in entries.items():
        where = f"{spec}: {file}, labels of {stem!r}"
        said.append((stem, dict.fromkeys(_labels(value, classes, where), PRESENT)))
        unsaid.append(UNKNOWN if value is None else ABSENT)
    names = classes if home == path else _names_of_splits(path, spec)
    root, keys, notes = _images(home, list(entries), spec)
    if never := sum(value is None for value in entries.values()):
        notes.append(f"{never} images have no entry but null: nobody labelled them, every label is unknown.")
    return labelled_dataset(
        [(keys[stem], labels) for stem, labels in said],
        spec=spec,
        root=root,
        names=names,
        unsaid=unsaid,
        layout="classes by number" if classes else "labels by name",
        options=options,
        notes=notes,
    )


def _names_of_splits(path: Path, spec: str) -> list[str]:
    """Return the labels of every split: in the order of their classes, sorted where one lists none."""
    documents = [_document(file, spec) for file in sorted(path.glob(f"*/{LABELS_FILE}"))]
    names = dict.fromkeys(name for classes, _ in documents for name in classes or ())
    for classes, entries in documents:
        if classes is None:
            names |= {name: None for value in entries.values() for name in _labels(value, None, spec)}
    return sorted(names) if any(classes is None for classes, _ in documents) else list(names)


def _home(path: Path, split: str, spec: str) -> Path:
    """Return the folder that holds labels.json."""
    if not path.is_dir():
        raise InputError(f"{spec}: {path} is not a folder. Give the folder that holds {LABELS_FILE}.")
    inside = sorted(folder.name for folder in path.iterdir() if (folder / LABELS_FILE).is_file())
    if split and split in inside:
        return path / split
    if (path / LABELS_FILE).is_file() and split in {"", "all"}:
        return path
    if (path / LABELS_FILE).is_file():
        raise InputError(f"{spec}: the folder is not divided into splits. Leave #{split} away.")
    if not inside:
        raise InputError(
            f"{spec}: neither {LABELS_FILE} nor {SAMPLES_FILE} in {path} or in a folder in it. Is this the right one?"
        )
    if not split:
        raise InputError(
            f"{spec}: say which split: {', '.join(f'fiftyone:{path}#{name}' for name in inside)}."
        )
    raise InputError(f"{spec}: {unknown_name('split', split, inside)}")


def _document(file: Path, spec: str) -> tuple[list[str] | None, Mapping[str, object]]:
    """Return the classes, None where there are none, and each stem's entry."""
    document = read_json(file, spec)
    classes = document.get("classes") if isinstance(document, dict) else None
    entries = document.get("labels") if isinstance(document, dict) else None
    if not isinstance(entries, dict) or not (classes is None or _is_names(classes)):
        raise InputError(
            f'{spec}: {file} is not of the form {{"classes": [names], "labels": {{stem: [0, 2]}}}}. '
            "Export it as FiftyOneImageClassificationDataset."
        )
    return classes, entries


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _labels(value: object, classes: list[str] | None, where: str) -> list[str]:
    """Return the label names of an entry."""
    if value is None:
        return []
    if isinstance(value, list):
        return [name for part in value for name in _labels(part, classes, where)]
    if isinstance(value, dict) and "label" in value:  # with confidence or attributes
        return _labels(value["label"], classes, where)
    if isinstance(value, str):
        if classes and value not in classes:
            raise InputError(f"{where}: {unknown_name('label', value, classes)}")
        return [value]
    if isinstance(value, int) and not isinstance(value, bool) and classes and 0 <= value < len(classes):
        return [classes[value]]
    have = f"{len(classes)} classes, numbered from 0" if classes else "no classes"
    raise InputError(
        f"{where}: {str(value)[:40]!r} names no class; the file has {have}. Repair the entry or `classes`."
    )


def _images(home: Path, stems: list[str], spec: str) -> tuple[Path, dict[str, str], list[str]]:
    """Return the image folder, the key of each stem, and notes."""
    manifest = home / MANIFEST
    if manifest.is_file():
        paths = read_json(manifest, spec)
        if not isinstance(paths, dict) or not all(isinstance(path, str) for path in paths.values()):
            raise InputError(f"{spec}: {manifest} is not of the form {{stem: path}}. Export it again.")
        keys = {stem: image_key(paths[stem], f"{spec}: {manifest}") for stem in stems if stem in paths}
        _, lost = files_by_stem(home / "data", [stem for stem in stems if stem not in keys], spec=spec)
        return home, {**{stem: f"data/{name}" for stem, name in lost.items()}, **keys}, []
    root, keys = files_by_stem(home / "data", stems, spec=spec)
    return root, keys, []


# A data set to FiftyOne's image classification folder: `data/` and `labels.json`.
#
# Counterpart of the reader above. Knows nothing of pixels.


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


def _read_samples(path: Path, split: str, spec: str, *, options: ReadOptions) -> Dataset:
    """Read `samples.json`.

    Args:
        path: the folder that holds it.
        split: a tag of samples; empty or `all`: every sample.
        spec: the data set, for messages.
        options: `tags_column` (the field of labels; `tags`: the samples' tags), `keep_unlabelled`, `missing`.

    Returns:
        The data set, in the file's order; image keys are relative to the folder. Labels are those of every sample,
        sorted; a sample whose field is null is unknown in every label.

    Raises:
        InputError: not JSON of this form; no field of labels, or several; an unknown split; whatever `settle` finds.
    """
    file = path / SAMPLES_FILE
    samples = _samples(file, spec)
    field, kind, notes = _field(samples, options.tags_column, f"{spec}: {file}")
    labels = [
        _sample_labels(sample.get(field), f"{file}, samples[{i}], {field!r}")
        for i, sample in enumerate(samples)
    ]
    picked = _of_tag(samples, split, spec)
    never = sum(labels[i] is None for i in picked)
    if never:
        notes.append(
            f"{never:,} samples have nothing in {field!r}: nobody labelled them, every label is unknown."
        )
    if kind not in {"Classification", "Classifications", TAGS}:
        notes.append("labels are those of objects; where the objects are is not read.")
    return labelled_dataset(
        [
            (
                image_key(str(samples[i]["filepath"]), f"{file}, samples[{i}]"),
                dict.fromkeys(labels[i] or (), PRESENT),
            )
            for i in picked
        ],
        spec=spec,
        root=path,
        names=sorted({name for found in labels for name in found or ()}),
        unsaid=[UNKNOWN if labels[i] is None else ABSENT for i in picked],
        layout=f"FiftyOne's field {field!r} ({kind})",
        options=options,
        notes=notes,
    )


def _samples(file: Path, spec: str) -> list[dict[str, Any]]:
    document = read_json(file, spec)
    samples = document.get("samples") if isinstance(document, dict) else document
    if not isinstance(samples, list):
        raise InputError(f"{spec}: {file} has no list 'samples'. Export it as FiftyOneDataset.")
    for number, sample in enumerate(samples):
        if not isinstance(sample, dict) or not isinstance(sample.get("filepath"), str):
            raise InputError(f"{spec}: {file}, samples[{number}]: no text 'filepath' in {str(sample)[:80]}.")
    return samples


def _field(samples: list[dict[str, Any]], named: str | None, where: str) -> tuple[str, str, list[str]]:
    """Return the field of labels, its kind, and a note about others."""
    kinds: dict[str, Counter[str]] = {}
    for sample in samples:
        for field, value in sample.items():
            kind = value.get("_cls") if isinstance(value, dict) else None
            if kind in _LISTS or kind in _ONE:
                kinds.setdefault(field, Counter())[str(kind)] += 1
    if named == TAGS:
        return TAGS, TAGS, [f"fields of labels are not read: {', '.join(sorted(kinds))}."] if kinds else []
    if named is not None:
        if named not in kinds:
            raise InputError(f"{where}: {unknown_name('field of labels', named, [*kinds, TAGS])}")
        found = [named]
    else:
        # Labels of the whole image are what is asked for; of objects they are the next best.
        whole = [
            field for field, counts in kinds.items() if counts.keys() & {"Classification", "Classifications"}
        ]
        found = whole or list(kinds)
    if len(found) != 1:
        many = (
            f"several fields hold labels: {', '.join(found[:8])}"
            if found
            else "no sample has a field of labels"
        )
        raise InputError(
            f"{where}: {many}. Name one with --tags-column, or the samples' tags with --tags-column tags."
        )
    others = sorted(kinds.keys() - set(found))
    notes = [f"other fields of labels are not read: {', '.join(others)} (--tags-column)."] if others else []
    return found[0], kinds[found[0]].most_common(1)[0][0], notes


def _sample_labels(value: object, where: str) -> list[str] | None:
    """Return the names in a field; None where it is empty."""
    if value is None:
        return None
    if isinstance(value, list):  # tags of the sample
        found: list[object] = value
    elif isinstance(value, dict) and value.get("_cls") in _ONE:
        found = [value.get("label")]
    elif isinstance(value, Mapping) and value.get("_cls") in _LISTS:
        listed = value.get(_LISTS[value["_cls"]])
        found = (
            [one.get("label") if isinstance(one, dict) else one for one in listed]
            if isinstance(listed, list)
            else [None]
        )
    else:
        found = [None]
    if not all(isinstance(name, str) for name in found):
        raise InputError(f"{where}: {str(value)[:60]} has a label that is no text.")
    return [str(name) for name in found]


def _of_tag(samples: list[dict[str, Any]], split: str, spec: str) -> list[int]:
    tags = [tags if isinstance(tags := sample.get(TAGS), list) else [] for sample in samples]
    if split in {"", "all"}:
        return list(range(len(samples)))
    if rows := [i for i, one in enumerate(tags) if split in one]:
        return rows
    known = {tag for one in tags for tag in one if isinstance(tag, str)}
    raise InputError(f"{spec}: {unknown_name('split', split, [*known, 'all'])} A split is a tag of samples.")
