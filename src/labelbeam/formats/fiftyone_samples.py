"""FiftyOne's own export, `FiftyOneDataset`: `samples.json` and `data/`, with label fields and tags of samples.

Under `fiftyone`, which finds the folder. Reads one field of classifications, or the set of the labels of one of
detections; knows nothing of pixels, and does not need FiftyOne.

Source:
    FiftyOne user guide, "FiftyOneDataset"; `fiftyone/utils/data/exporters.py`, `FiftyOneDatasetExporter` and
    `LegacyFiftyOneDatasetExporter`.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.documents import read_json
from labelbeam.formats.labelled_images import labelled_dataset
from labelbeam.formats.nearby_images import NearbyImages
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN

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


def read_samples(path: Path, split: str, spec: str, *, options: ReadOptions) -> Dataset:
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
        _labels(sample.get(field), f"{file}, samples[{i}], {field!r}") for i, sample in enumerate(samples)
    ]
    picked = _of_split(samples, split, spec)
    near = NearbyImages(path, spec)
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
                near.key(path, str(samples[i]["filepath"]), where=f"{file}, samples[{i}]"),
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


def _labels(value: object, where: str) -> list[str] | None:
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


def _of_split(samples: list[dict[str, Any]], split: str, spec: str) -> list[int]:
    tags = [tags if isinstance(tags := sample.get(TAGS), list) else [] for sample in samples]
    if split in {"", "all"}:
        return list(range(len(samples)))
    if rows := [i for i, one in enumerate(tags) if split in one]:
        return rows
    known = {tag for one in tags for tag in one if isinstance(tag, str)}
    raise InputError(f"{spec}: {unknown_name('split', split, [*known, 'all'])} A split is a tag of samples.")
