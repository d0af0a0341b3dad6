"""The part of an inspection that opens image files, or goes through vectors: sizes, and copies, also across splits.

Between the analyses and their JSON form. Without opening files it still says which are missing, and which are
in two splits.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.data.finder import lost_images
from labelbeam.encoders.encoder import given_features
from labelbeam.inspect import duplicates
from labelbeam.labels.vocabulary import ABSENT, PRESENT
from labelbeam.progress import progress_bar

SIDES = (0, 64, 128, 256, 384, 512, 768, 1024, 1536, 2048, 4096)
"""Lower ends of the bins of the longer side, pixels."""


class Place(NamedTuple):
    """Where an image is listed.

    Attributes:
        split: name of its split in the report.
        row: its row there.
        file: number of its file among the distinct files of all splits.
    """

    split: str
    row: int
    file: int


def inspected_images(splits: Mapping[str, Dataset], *, read: bool) -> dict[str, Any]:
    """Return what the image files say, as plain values."""
    places, files = _listed(splits)
    found: dict[str, Any] = {"read": read, "files": len(files)}
    if read:
        with progress_bar("reading images", len(files)) as advance:
            prints = duplicates.fingerprints([Path(file) for file in files], report=advance)
        found |= _read_part(places, prints, splits)
        contents = [one.content or str(file) for file, one in enumerate(prints)]
        groups = duplicates.duplicate_groups(prints)
    else:
        found["unreadable"] = _missing(splits)
        contents, groups = [str(file) for file in range(len(files))], []
    by_file: dict[int, list[Place]] = {}
    for place in places:
        by_file.setdefault(place.file, []).append(place)
    inside = {file for group in groups for file in group.members}
    groups += [
        duplicates.DuplicateGroup((file,), exact=True, likeness=1.0)
        for file, at in by_file.items()
        if len(at) > 1 and file not in inside
    ]
    rows = [
        _group_row(group, [place for file in group.members for place in by_file[file]], contents, splits)
        for group in groups
    ]
    return {"images": found, "duplicates": _duplicates_part(rows, list(splits))}


def inspected_vectors(splits: Mapping[str, Dataset]) -> dict[str, Any]:
    """Return what features in place of pictures say: their number and kind, constant ones, and equal rows.

    Raises:
        InputError: splits with features of different number or name.
    """
    first, *others = splits.values()
    for other in others:
        if first.features is not None and other.features is not None:
            given_features(first.features).accept(other.features, other.spec)
    numbers: dict[bytes, int] = {}
    places, lowest, highest = [], None, None
    for name, dataset in splits.items():
        row = 0
        for block in dataset.features.blocks() if dataset.features is not None else ():
            block = np.ascontiguousarray(block)
            low, high = block.min(axis=0), block.max(axis=0)
            lowest = low if lowest is None else np.minimum(lowest, low)
            highest = high if highest is None else np.maximum(highest, high)
            for vector in block:
                digest = blake2b(vector.tobytes(), digest_size=16).digest()
                places.append(Place(name, row, numbers.setdefault(digest, len(numbers))))
                row += 1
    by_content: dict[int, list[Place]] = {}
    for place in places:
        by_content.setdefault(place.file, []).append(place)
    contents = [str(number) for number in range(len(numbers))]
    rows = [
        _group_row(duplicates.DuplicateGroup((number,), exact=True, likeness=1.0), at, contents, splits)
        for number, at in by_content.items()
        if len(at) > 1
    ]
    features = first.features
    given = (
        {}
        if features is None
        else {"number": features.num_features, "dtype": str(features.dtype), "kind": features.kind}
    )
    constant = 0 if lowest is None else int((lowest == highest).sum())
    found = {
        "read": False,
        "files": len(places),
        "unreadable": [],
        "vectors": {**given, "constant": constant},
    }
    return {"images": found, "duplicates": _duplicates_part(rows, list(splits))}


def _missing(splits: Mapping[str, Dataset]) -> list[dict[str, str]]:
    return [
        {"split": name, "image": key, "reason": "no such file. Check the path."}
        for name, dataset in splits.items()
        for key in lost_images(dataset.root, dataset.images)
    ]


def _duplicates_part(rows: Sequence[Mapping[str, Any]], splits: Sequence[str]) -> dict[str, Any]:
    exact_differ = sum(row["exact_labels_differ"] for row in rows)
    return {
        "radius": duplicates.RADIUS,
        "least_likeness": duplicates.LIKENESS,
        "exact": sum(row["exact"] for row in rows),
        "near": sum(not row["exact"] for row in rows),
        "across_splits": sum(row["across_splits"] for row in rows),
        "exact_with_different_labels": exact_differ,
        "near_with_different_labels": sum(bool(row["labels_differ"]) for row in rows) - exact_differ,
        "leaks": _leaks(rows, splits),
        "groups": sorted(rows, key=lambda row: (not row["across_splits"], not row["labels_differ"])),
    }


def _listed(splits: Mapping[str, Dataset]) -> tuple[list[Place], list[str]]:
    """Return every image of every split, and the distinct files: one file may be listed in several splits."""
    numbers: dict[str, int] = {}
    places = []
    for name, dataset in splits.items():
        root = os.path.realpath(dataset.root)
        for row, image in enumerate(dataset.images):
            path = image if image.startswith("/") else f"{root}/{image}"
            if "./" in path or "//" in path:
                path = os.path.normpath(path)
            places.append(Place(name, row, numbers.setdefault(path, len(numbers))))
    return places, list(numbers)


def _read_part(
    places: Sequence[Place], prints: Sequence[duplicates.Fingerprint], splits: Mapping[str, Dataset]
) -> dict[str, Any]:
    good = [one for one in prints if not one.error]
    sides = np.array([max(one.width, one.height) for one in good], dtype=np.int64)
    return {
        "unreadable": [
            {**_place(place, splits), "reason": prints[place.file].error}
            for place in places
            if prints[place.file].error
        ],
        "blank": [_place(place, splits) for place in places if duplicates.is_blank(prints[place.file])],
        "kinds": dict(Counter(one.kind for one in good).most_common()),
        "width": _spread(one.width for one in good),
        "height": _spread(one.height for one in good),
        "bytes": _spread(one.num_bytes for one in good),
        "longer_side": [
            {"from": low, "below": high, "images": int(((sides >= low) & (sides < high)).sum())}
            for low, high in pairwise(SIDES)
        ]
        + [{"from": SIDES[-1], "below": None, "images": int((sides >= SIDES[-1]).sum())}],
    }


def _spread(values: Iterable[int]) -> dict[str, int] | None:
    """Return least, median and largest value; null where there is none."""
    ordered = sorted(values)
    if not ordered:
        return None
    return {"min": ordered[0], "median": ordered[len(ordered) // 2], "max": ordered[-1]}


def _place(place: Place, splits: Mapping[str, Dataset]) -> dict[str, str]:
    return {"split": place.split, "image": splits[place.split].images[place.row]}


def _group_row(
    group: duplicates.DuplicateGroup,
    places: Sequence[Place],
    contents: Sequence[str],
    splits: Mapping[str, Dataset],
) -> dict[str, Any]:
    """Return a group; in it, images with the same number under `bytes` are exact copies."""
    numbers: dict[str, int] = {}
    alike: dict[int, list[Place]] = {}
    images = []
    for place in places:
        number = numbers.setdefault(contents[place.file], len(numbers))
        alike.setdefault(number, []).append(place)
        labels = list(splits[place.split].example(place.row).present)
        images.append({**_place(place, splits), "bytes": number, "labels": labels})
    return {
        "exact": group.exact,
        "one_file": len(group.members) == 1,
        "likeness": round(group.likeness, 4),
        "mirrored": group.mirrored,
        "across_splits": len({place.split for place in places}) > 1,
        "labels_differ": _differing(places, splits),
        "exact_labels_differ": any(_differing(members, splits) for members in alike.values()),
        "images": images,
    }


def _differing(places: Sequence[Place], splits: Mapping[str, Dataset]) -> list[str]:
    """Return the labels that some of the copies have and others are known not to have."""
    present: set[str] = set()
    absent: set[str] = set()
    for place in places:
        dataset = splits[place.split]
        row, names = dataset.targets[place.row], dataset.vocabulary.names
        present |= {names[j] for j in np.flatnonzero(row == PRESENT)}
        absent |= {names[j] for j in np.flatnonzero(row == ABSENT)}
    return sorted(present & absent)


def _leaks(rows: Sequence[Mapping[str, Any]], splits: Sequence[str]) -> list[dict[str, Any]]:
    """Return, for each pair of splits, how many images of the later have a copy in the earlier."""
    found = []
    for earlier, later in combinations(splits, 2):
        exact = near = 0
        for row in rows:
            there = {one["bytes"] for one in row["images"] if one["split"] == earlier}
            mine = [one["bytes"] for one in row["images"] if one["split"] == later]
            same = sum(number in there for number in mine)
            exact += same
            near += (len(mine) - same) if there else 0
        if exact or near:
            found.append({"split": later, "copies_in": earlier, "exact": exact, "near": near})
    return found
