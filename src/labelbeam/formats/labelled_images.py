"""The last steps of every reader: images with labels, by name or number, to a data set that says how it was read.

Also what writers of boxes need to know of an image: its size. Knows no layout. Rows by the million go through
`formats.labelled_rows` instead.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int8
from PIL import Image

from labelbeam.data.dataset import Dataset, ReadOptions, settle
from labelbeam.data.image_bytes import image_bytes, open_regular, within_archive
from labelbeam.data.image_container import opened
from labelbeam.errors import InputError
from labelbeam.labels.names import clean, refuse_reserved, variants_note
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, Vocabulary

_CHUNK = 65_536
"""Images looked at together: beside a matrix of a gigabyte there is no room for another."""


def understood(
    images: Sequence[str], names: Sequence[str], targets: Int8[np.ndarray, "images labels"], layout: str
) -> str:
    """Return the first note of a data set: what was read, with an example, so that a misreading shows at once.

    Example:
        >>> understood(("a.jpg", "b.jpg"), ("cat",), np.array([[-1], [1]], dtype=np.int8), "one label a cell")
        'this is what I understood: 2 images, 1 labels, one label a cell, e.g. b.jpg -> cat; 1 images without a \
label; 1 labels of images are unknown.'
    """
    labelled = has_label(targets)
    i, without = int(labelled.argmax()), int((~labelled).sum())
    unknown = sum(
        int((targets[start : start + _CHUNK] == UNKNOWN).sum()) for start in range(0, len(targets), _CHUNK)
    )
    present = [names[j] for j in np.flatnonzero(targets[i] == PRESENT)[:5]]
    return (
        f"this is what I understood: {len(images):,} images, {len(names):,} labels, {layout}, "
        f"e.g. {images[i]} -> {', '.join(present) or 'no label'}"
        + (f"; {without:,} images without a label" if without else "")
        + (f"; {unknown:,} labels of images are unknown." if unknown else ".")
    )


def has_label(targets: Int8[np.ndarray, "images labels"]) -> Bool[np.ndarray, " images"]:
    """Return which images have a label, with little memory beside a large matrix.

    Example:
        >>> has_label(np.array([[0, 1], [0, -1]], dtype=np.int8)).tolist()
        [True, False]
    """
    found = np.zeros(len(targets), dtype=bool)
    for start in range(0, len(targets), _CHUNK):
        found[start : start + _CHUNK] = (targets[start : start + _CHUNK] == PRESENT).any(axis=1)
    return found


def names_of_numbers(value: object, classes: Sequence[str], where: str) -> list[str]:
    """Return the names of class numbers, each once.

    Raises:
        InputError: something else than numbers, or a number beyond the classes.

    Example:
        >>> names_of_numbers([1, 0, 1], ["cat", "dog"], "a.json")
        ['dog', 'cat']
    """
    if isinstance(value, list) and len(value) == len(classes) > 2 and {*map(str, value)} == {"0", "1"}:
        raise InputError(
            f"{where}: {str(value)[:60]} is a row of 0 and 1 for {len(classes)} classes; labels must be class numbers, "
            "those of what is present."
        )
    names: dict[str, None] = {}
    for number in value if isinstance(value, list) else [value]:
        if not isinstance(number, int) or isinstance(number, bool):
            raise InputError(f"{where}: labels must be class numbers, given {str(value)[:60]}.")
        if not 0 <= number < len(classes):
            raise InputError(f"{where}: class number {number}; there are {len(classes)} classes, from 0.")
        names[classes[number]] = None
    return list(names)


NO_SIZE = (0, 0)


def size_of(path: Path) -> tuple[int, int]:
    """Return width and height as the file says them, not turned by EXIF; `NO_SIZE` where it cannot be read.

    Only the file's head is read; of an image inside a tar archive, the whole.

    Example:
        >>> size_of(Path("nowhere.jpg"))
        (0, 0)
    """
    try:
        if within_archive(path):
            with opened(image_bytes(path)) as image:
                return image.size
        with open_regular(path) as file, opened(file) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return NO_SIZE


def box_notes(labels: int, unreadable: int) -> tuple[str, ...]:
    """Return what to know of `labels` boxes that were written, and of images whose size is not known."""
    notes = []
    if labels:
        notes.append(
            f"{labels:,} labels were written as objects whose box is the whole image, because the format wants boxes; "
            "do not train a detector on them."
        )
    if unreadable:
        notes.append(f"the sizes of {unreadable:,} images could not be read and were written as 0.")
    return tuple(notes)


_STRENGTH = {PRESENT: 2, UNKNOWN: 1, ABSENT: 0}
"""Which value stays where two spellings of one name say different things."""

Labels = Mapping[str, int]
"""Label name -> PRESENT, ABSENT or UNKNOWN; other labels are not mentioned."""


def labelled_dataset(
    labelled: Sequence[tuple[str, Labels | None]],
    *,
    spec: str,
    root: Path,
    layout: str,
    options: ReadOptions,
    names: Sequence[str] | None = None,
    unsaid: int | Sequence[int] = ABSENT,
    unlabelled: str = "",
    notes: Iterable[str] = (),
) -> Dataset:
    """Build the data set that a reader returns.

    Args:
        labelled: image key and its labels, one each; names are cleaned here. None: nobody labelled the image, so
            every label of it is unknown.
        spec: the argument that named the data set.
        root: folder that the keys are relative to.
        layout: how the labels are written, in words for the user.
        names: labels in the format's order; those that only images have come after them, sorted. None: all
            sorted.
        unsaid: what a label is that an image does not mention; one value, or one per image.
        unlabelled: what to say of images that nobody labelled, behind their number.

    Returns:
        The data set; its first note says what was understood.

    Raises:
        InputError: no image, no label at all, an image given twice, a reserved name, or whatever `settle` finds.
    """
    listed = [clean(name) for name in names or ()]
    column = {name: j for j, name in enumerate(name for name in dict.fromkeys(listed) if name)}
    cleaned = {name: clean(name) for name in {name for _, labels in labelled for name in labels or ()}}
    for name in sorted(set(cleaned.values()) - column.keys() - {""}):
        column[name] = len(column)
    if not labelled:
        raise InputError(f"{spec}: no image is listed. Give another file or folder.")
    if not column:
        raise InputError(f"{spec}: no image has a label, so there is nothing to learn. Check the labels.")
    targets = np.full((len(labelled), len(column)), ABSENT, dtype=np.int8)
    targets[:] = np.reshape(np.minimum(unsaid, options.unsaid).astype(np.int8), (-1, 1))
    nobody = 0
    for row, (_, labels) in zip(targets, labelled, strict=True):
        if labels is None:
            row[:] = UNKNOWN
            nobody += 1
            continue
        strongest: dict[str, int] = {}
        for name, value in labels.items():
            key = cleaned[name]
            if key and (key not in strongest or _STRENGTH[value] > _STRENGTH[strongest[key]]):
                strongest[key] = value
        for key, value in strongest.items():
            row[column[key]] = value
    if nobody and unlabelled:
        notes = [f"{nobody:,} {unlabelled}: every label of theirs is unknown.", *notes]
    return dataset_of_targets(
        [image for image, _ in labelled],
        tuple(column),
        targets,
        spec=spec,
        root=root,
        layout=layout,
        options=options,
        notes=notes,
    )


def dataset_of_targets(
    images: Sequence[str],
    names: Sequence[str],
    targets: Int8[np.ndarray, "images labels"],
    *,
    spec: str,
    root: Path,
    layout: str,
    options: ReadOptions,
    notes: Iterable[str] = (),
) -> Dataset:
    """Build the data set of a reader that has a matrix; arguments and errors as of `labelled_dataset`."""
    refuse_reserved(names, spec)
    dataset = Dataset(
        spec=spec,
        root=root,
        images=tuple(images),
        vocabulary=Vocabulary(tuple(names)),
        targets=targets,
        notes=(understood(images, names, targets, layout), *notes, *variants_note(names)),
    )
    return settle(dataset, options)


def with_labels_of_all(dataset: Dataset, names: Sequence[str], unsaid: int = ABSENT) -> Dataset:
    """Return a split with the labels of all splits, in their order, so that labels never depend on what is read.

    Such a label is `unsaid`; unknown of an image of which nobody said anything.

    Example:
        >>> data = Dataset("", Path(), ("a", "b"), Vocabulary(("cat",)), np.array([[1], [-1]], dtype=np.int8))
        >>> with_labels_of_all(data, ["ant", "cat"]).targets.tolist()
        [[0, 1], [-1, -1]]
    """
    every = list(dict.fromkeys([*names, *dataset.vocabulary]))
    if every == list(dataset.vocabulary):
        return dataset
    wider = dataset.with_vocabulary(every)
    silent = (dataset.targets == UNKNOWN).all(axis=1)
    new = [j for j, name in enumerate(every) if name not in set(dataset.vocabulary.names)]
    targets = wider.targets.copy()
    targets[np.ix_(~silent, new)] = unsaid
    if not new:
        return replace(wider, targets=targets)
    shown = ", ".join(every[j] for j in new[:5]) + (", …" if len(new) > 5 else "")
    note = f"{len(new)} labels are in other splits only: {shown}."
    return replace(wider, targets=targets, notes=(*dataset.notes, note))
