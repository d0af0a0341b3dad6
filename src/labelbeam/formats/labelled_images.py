"""Images with what a file says of their labels, by name, to a data set: the last step of several readers.

Names are cleaned, ids become columns, what a file does not say becomes what the format means by that. Also says,
for the writers, which names a file could not give back. Knows no layout.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.data.options import ReadOptions
from labelbeam.data.presence import settle
from labelbeam.errors import InputError
from labelbeam.formats.labelled_rows import image_key
from labelbeam.labels.hygiene import clean, refuse_reserved, variants_note
from labelbeam.labels.targets import ABSENT, PRESENT, UNKNOWN
from labelbeam.labels.vocabulary import Vocabulary

_STRENGTH = {PRESENT: 2, UNKNOWN: 1, ABSENT: 0}
"""Which value stays where two spellings of one name say different things."""

Said = Mapping[str, int]
"""Label name -> PRESENT, ABSENT or UNKNOWN; of other labels the file says nothing."""


def labelled_dataset(
    said: Sequence[tuple[str, Said]],
    *,
    spec: str,
    root: Path,
    names: Sequence[str] | None,
    unsaid: int | Sequence[int],
    understood: str,
    options: ReadOptions,
    notes: Iterable[str] = (),
) -> Dataset:
    """Build the data set that a reader returns.

    Args:
        said: image key and its labels, one each; names are cleaned here.
        spec: the argument that named the data set.
        root: folder that the keys are relative to.
        names: labels in the format's order; those that only images have come after them, sorted. None: all
            sorted.
        unsaid: what a label is of which nothing is said; one value, or one per image.
        understood: the layout, in words for the user.
        options: the reader's switches.
        notes: what else looked odd.

    Returns:
        The data set; its first note says what was understood.

    Raises:
        InputError: no image, no label at all, an image given twice, a reserved name, or whatever `settle` finds.
    """
    listed = [clean(name) for name in names or ()]
    column = {name: j for j, name in enumerate(dict.fromkeys(listed)) if name}
    cleaned = {name: clean(name) for name in {name for _, labels in said for name in labels}}
    for name in sorted(set(cleaned.values()) - column.keys() - {""}):
        column[name] = len(column)
    if not said:
        raise InputError(f"{spec}: no image is listed. Give another file or folder.")
    if not column:
        raise InputError(f"{spec}: no image has a label, so there is nothing to learn. Check the labels.")
    refuse_reserved(column, spec)
    targets = np.full((len(said), len(column)), ABSENT, dtype=np.int8)
    targets[:] = np.reshape(np.asarray(unsaid, dtype=np.int8), (-1, 1))
    for row, (_, labels) in zip(targets, said, strict=True):
        strongest: dict[str, int] = {}
        for name, value in labels.items():
            key = cleaned[name]
            if key and (key not in strongest or _STRENGTH[value] > _STRENGTH[strongest[key]]):
                strongest[key] = value
        for key, value in strongest.items():
            row[column[key]] = value
    dataset = Dataset(
        spec=spec,
        root=root,
        images=tuple(image for image, _ in said),
        vocabulary=Vocabulary(tuple(column)),
        targets=targets,
        notes=(*notes, *variants_note(column)),
    )
    return settle(replace(dataset, notes=(_summary(dataset, understood), *dataset.notes)), options)


def _summary(dataset: Dataset, understood: str) -> str:
    """Return the sentence that says what was understood."""
    labelled = (dataset.targets == PRESENT).any(axis=1)
    example = dataset.example(int(labelled.argmax()))
    without, unknown = int((~labelled).sum()), int((dataset.targets == UNKNOWN).sum())
    return (
        f"this is what I understood: {len(dataset):,} images, {len(dataset.vocabulary):,} labels, "
        f"{understood}, e.g. {example.image} -> {', '.join(example.present[:5]) or 'no label'}"
        + (f"; {without:,} images without a label" if without else "")
        + (f"; {unknown:,} labels of images are unknown." if unknown else ".")
    )


def refuse_unwritable(names: Iterable[str], spec: str, *, without: str = "", control: bool = True) -> None:
    """Raise an error where a name would not come back from the file that is about to be written.

    Args:
        names: labels.
        spec: what is to be written, for the message.
        without: characters that the format cannot hold inside a name.
        control: whether the format cannot hold control characters and lone surrogates.

    Raises:
        InputError: such a name, which is quoted.

    Example:
        >>> refuse_unwritable(["traffic light", "海"], "cvat:a.xml")
    """
    for name in names:
        bad = next((char for char in name if char in without or (control and not _is_text(char))), None)
        if bad is not None:
            raise InputError(
                f"{spec}: the label {name!r} holds {bad!r}, which this format cannot. Rename the label first."
            )
        if clean(name) != name:
            raise InputError(
                f"{spec}: the label {name!r} would be read back as {clean(name)!r} (composed Unicode, no "
                "blanks around it). Rename the label first."
            )
    refuse_reserved(names, spec)


def refuse_unwritable_images(images: Iterable[str], spec: str) -> None:
    """Raise an error for an image key that would not come back from a text file.

    Raises:
        InputError: a control character, a byte that is not UTF-8 or a backslash in a file name, which is quoted.
    """
    for image in images:
        if image_key(image) != image or not all(_is_text(char) for char in image):
            raise InputError(
                f"{spec}: the file name {image!r} holds a character that this format cannot. Rename the file."
            )


def key_inside(key: str, spec: str) -> str:
    """Return an image key that stays inside the folder that images are placed in.

    Raises:
        InputError: an absolute key, or one that climbs out.
    """
    if key.startswith("/") or ".." in key.split("/") or (len(key) > 1 and key[1] == ":"):
        raise InputError(
            f"{spec}: {key!r} leads out of the folder that images are placed in. Read the data set with the "
            "folder above all its images as its root, or write with --images keep."
        )
    return key


def unknown_note(count: int, written_as: str = "absent") -> tuple[str, ...]:
    """Return a note about unknown labels that the format cannot hold; none where there are none.

    Example:
        >>> unknown_note(2)
        ('2 unknown labels were written as absent, because the format has no word for unknown.',)
    """
    if not count:
        return ()
    return (
        f"{count:,} unknown labels were written as {written_as}, because the format has no word for unknown.",
    )


def _is_text(char: str) -> bool:
    """Return whether XML 1.0 can hold a character in an attribute as it is, and so can JSON and CSV."""
    code = ord(char)
    return (
        code >= 0x20 and not 0x7F <= code <= 0x9F and not 0xD800 <= code <= 0xDFFF and code & 0xFFFE != 0xFFFE
    )
