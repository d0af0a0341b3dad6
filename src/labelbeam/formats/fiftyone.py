"""FiftyOne's folders: `data/` and `labels.json` (image classification), read and written; `samples.json`, read.

Of `labels.json`, a number or name is one label, a list of them several. FiftyOne itself is not needed.

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
from labelbeam.formats import placing
from labelbeam.formats.documents import files_by_stem, image_key, stems_of
from labelbeam.formats.labelled_images import Labels, labelled_dataset
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN
from labelbeam.parsing import read_json

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

    `path` has `labels.json` and `data/` (or `data.json`, which says where images are), or such a folder for each split;
    or `samples.json`, FiftyOneDataset, of which one field of labels is read. Labels are in the order of `classes`, or
    sorted where the file has none. An image whose entry is null was not labelled.

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
    labelled: list[tuple[str, Labels | None]] = []
    names = classes if home == path else _names_of_splits(path, spec)
    root, keys = _images(home, list(entries), spec)
    for stem, value in entries.items():
        found = None if value is None else _labels(value, classes, f"{spec}: {file}, labels of {stem!r}")
        labelled.append((keys[stem], None if found is None else dict.fromkeys(found, PRESENT)))
    return labelled_dataset(
        labelled,
        spec=spec,
        root=root,
        layout="classes by number" if classes else "labels by name",
        options=options,
        names=names,
        unlabelled="images have no entry but null, nobody labelled them",
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
    named = classes is None or (isinstance(classes, list) and all(isinstance(name, str) for name in classes))
    if not isinstance(entries, dict) or not named:
        raise InputError(
            f'{spec}: {file} is not of the form {{"classes": [names], "labels": {{stem: [0, 2]}}}}. '
            "Export it as FiftyOneImageClassificationDataset."
        )
    return classes, entries


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


def _images(home: Path, stems: list[str], spec: str) -> tuple[Path, dict[str, str]]:
    """Return the image folder, and the key of each stem."""
    manifest = home / MANIFEST
    if not manifest.is_file():
        return files_by_stem(home / "data", stems, spec=spec)
    paths = read_json(manifest, spec)
    if not isinstance(paths, dict) or not all(isinstance(path, str) for path in paths.values()):
        raise InputError(f"{spec}: {manifest} is not of the form {{stem: path}}. Export it again.")
    keys = {stem: image_key(paths[stem], f"{spec}: {manifest}") for stem in stems if stem in paths}
    _, lost = files_by_stem(home / "data", [stem for stem in stems if stem not in keys], spec=spec)
    return home, {**{stem: f"data/{name}" for stem, name in lost.items()}, **keys}


def write_fiftyone(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write a folder that FiftyOne imports as `FiftyOneImageClassificationDataset`.

    An image whose every label is unknown becomes null, which says just that. A split is a subfolder. With `keep`, where
    images are stands in `data.json`.
    """
    spec = f"fiftyone:{path}" + (f"#{split}" if split else "")
    placing.check_way(images, keep=True, spec=spec)
    placing.refuse_unwritable(dataset.vocabulary, spec, control=False)
    placing.refuse_unwritable_images(dataset.images, spec)
    stems = stems_of(dataset.images if images == "keep" else placing.placed_keys(dataset.images), spec=spec)
    with placing.new_split_folder(path, split, spec) as folder:
        if images == "keep":
            places = placing.references(dataset.paths, path / split if split else path)
            placing.refuse_unwritable_images(places, spec)
            manifest = json.dumps(dict(zip(stems, places, strict=True)), ensure_ascii=False)
            (folder / MANIFEST).write_text(manifest, encoding="utf-8")
        else:
            placing.place_images(dataset, folder / "data", images=images)
        unlabelled = (dataset.targets == UNKNOWN).all(axis=1)
        labels = {
            stem: None if unlabelled[i] else np.flatnonzero(dataset.targets[i] == PRESENT).tolist()
            for i, stem in enumerate(stems)
        }
        document = {"classes": list(dataset.vocabulary), "labels": labels}
        (folder / LABELS_FILE).write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return placing.unknown_note(dataset.targets[~unlabelled])


def _read_samples(path: Path, split: str, spec: str, *, options: ReadOptions) -> Dataset:
    """Read `samples.json`.

    A split is a tag of samples. `tags_column` names the field of labels (`tags`: the samples' tags). A sample whose
    field is null was not labelled.
    """
    file = path / SAMPLES_FILE
    samples = _samples(file, spec)
    field, kind, notes = _field(samples, options.tags_column, f"{spec}: {file}")
    labels = [
        _sample_labels(sample.get(field), f"{file}, samples[{i}], {field!r}")
        for i, sample in enumerate(samples)
    ]
    picked = _of_tag(samples, split, spec)
    if kind not in {"Classification", "Classifications", TAGS}:
        notes.append("labels are those of objects; where the objects are is not read.")
    return labelled_dataset(
        [
            (
                image_key(str(samples[i]["filepath"]), f"{file}, samples[{i}]"),
                None if (names := labels[i]) is None else dict.fromkeys(names, PRESENT),
            )
            for i in picked
        ],
        spec=spec,
        root=path,
        layout=f"FiftyOne's field {field!r} ({kind})",
        options=options,
        names=sorted({name for found in labels for name in found or ()}),
        unlabelled=f"samples have nothing in {field!r}, nobody labelled them",
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
    there = {tag for one in tags for tag in one if isinstance(tag, str)}
    raise InputError(f"{spec}: {unknown_name('split', split, [*there, 'all'])} A split is a tag of samples.")
