"""An inspection of labelled data: one object of plain values that the text, the JSON and the page all show.

Opens the data sets, lets the analyses look, and says in sentences what deserves a look. Trains nothing and
imports no torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from labelbeam.data.dataset import Dataset
from labelbeam.data.options import DEFAULTS, ReadOptions
from labelbeam.errors import InputError
from labelbeam.joints.inspected_images import inspected_images
from labelbeam.joints.inspected_labels import inspected_labels
from labelbeam.joints.spec import FORMATS, open_dataset, parse_spec

PAIRS = 200
"""Pairs of labels listed in each direction, at most."""


def open_splits(specs: Sequence[str], *, options: ReadOptions = DEFAULTS) -> dict[str, Dataset]:
    """Open the data sets of a report and name them.

    Image files that are missing are a finding here, not an error, unless the option `missing` was set.

    Args:
        specs: data set arguments; the first is the one that is described in detail.
        options: switches of the readers.

    Returns:
        The data sets by name: the part behind `#` where that tells them apart, else the whole argument.

    Raises:
        InputError: an argument given twice, or whatever the reader finds wrong.
    """
    if twice := sorted({spec for spec in specs if list(specs).count(spec) > 1}):
        raise InputError(f"{twice[0]} is given twice. Name each data set once.")
    parsed = [parse_spec(spec) for spec in specs]
    splits = [one.split for one in parsed]
    told_apart = all(splits) and len(set(splits)) == len(splits)
    opened = {}
    for spec, one in zip(specs, parsed, strict=True):
        kept = options
        if "missing" in FORMATS[one.format].options and options.missing == DEFAULTS.missing:
            kept = replace(options, missing="keep")
        opened[one.split if told_apart else spec] = open_dataset(spec, options=kept)
    return opened


def inspect_data(splits: Mapping[str, Dataset], *, images: bool = True, pairs: int = PAIRS) -> dict[str, Any]:
    """Look through data sets.

    Args:
        splits: data sets by name, as `open_splits` gives them.
        images: open the image files too, to find unreadable ones and duplicates.
        pairs: pairs of labels listed in each direction, at most.

    Returns:
        Plain values, ready for JSON; `docs/inspect.md` explains them. `findings` are sentences, the gravest
        first.
    """
    found = inspected_labels(splits, most_pairs=pairs)
    found |= inspected_images(splits, read=images)
    return {"findings": _findings(found), **found}


def _findings(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what deserves a look, in sentences: `bad` spoils training or scores, `look` may be meant."""
    told: list[tuple[str, str, str]] = []
    copies = found["duplicates"]
    for leak in copies["leaks"]:
        later, earlier = leak["split"], leak["copies_in"]
        if count := leak["exact"]:
            told.append(
                (
                    "bad",
                    "duplicates",
                    f"Leakage: {_n(count, 'image')} of {later} {_are(count)} in {earlier} too.",
                )
            )
        if count := leak["near"]:
            alike = f"{_n(count, 'image')} of {later} {_look(count)} the same as one of {earlier}"
            told.append(("look", "duplicates", f"Possible leakage: {alike}."))
    if count := len(found["images"]["unreadable"]):
        told.append(("bad", "images", f"{_n(count, 'image file')} cannot be read."))
    if count := copies["exact_with_different_labels"]:
        told.append(
            ("bad", "duplicates", f"{_n(count, 'group')} of exact copies {_have(count)} different labels.")
        )
    if count := copies["near_with_different_labels"]:
        told.append(
            (
                "look",
                "duplicates",
                f"{_n(count, 'group')} of images that look the same {_have(count)} different labels.",
            )
        )
    for name, labels in found["labels_only_in"].items():
        if labels:
            told.append(("look", "labels", f"{_n(len(labels), 'label')} only in {name}: {_some(labels)}."))
    within = copies["exact"] + copies["near"] - copies["across_splits"]
    if within:
        told.append(("look", "duplicates", f"{_n(within, 'group')} of copies inside one split."))
    if count := len(found["images"].get("blank", ())):
        told.append(("look", "images", f"{_n(count, 'picture')} of one plain colour."))
    if count := len(found["names"]):
        told.append(("look", "names", f"{_n(count, 'name')} or groups of names look odd."))
    for data in found["data"]:
        if count := len(data["images_without_labels"]):
            share = f"{100 * count / data['images']:.1f} %"
            told.append(
                ("look", "sizes", f"{_n(count, 'image')} of {data['name']} without a label ({share}).")
            )
        if data["unknown"]:
            share = f"{100 * data['unknown'] / (data['images'] * data['labels']):.2g} %"
            told.append(("look", "labels", (
                f"{share} of the labels of {data['name']} are unknown, on {_n(data['images_with_unknown'], 'image')}."
            )))  # fmt: skip
    if labels := found["labels_with_one_image"]:
        told.append(("look", "labels", f"{_n(len(labels), 'label')} on one image only: {_some(labels)}."))
    if labels := found["labels_never_present"]:
        told.append(("look", "labels", f"{_n(len(labels), 'label')} on no image: {_some(labels)}."))
    if count := found["implications"]["mutual_pairs"]:
        told.append(
            ("look", "implications", f"{_n(count, 'pair')} of labels (nearly) always occur together.")
        )
    if count := found["implications"]["count"]:
        told.append(
            (
                "look",
                "implications",
                f"In {_n(count, 'ordered pair')} of labels the first may imply the second.",
            )
        )
    told.sort(key=lambda one: one[0])  # "bad" before "look", else in this order
    return [{"weight": weight, "section": section, "text": text} for weight, section, text in told]


def _n(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _look(count: int) -> str:
    return "looks" if count == 1 else "look"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _some(labels: Sequence[str]) -> str:
    return ", ".join(labels[:5]) + (", …" if len(labels) > 5 else "")
