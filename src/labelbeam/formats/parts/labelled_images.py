"""Images with what a file says of their labels, by name, to a data set: the last step of several readers.

Names are cleaned, ids become columns, what a file does not say becomes what the format means by that. Of rows by
the million, `tables.labelled_rows` does the same. Knows no layout.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.data.options import ReadOptions
from labelbeam.data.presence import settle
from labelbeam.errors import InputError
from labelbeam.formats.parts.summary import understood
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
    layout: str,
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
        layout: how the labels are written, in words for the user.
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
    images = tuple(image for image, _ in said)
    dataset = Dataset(
        spec=spec,
        root=root,
        images=images,
        vocabulary=Vocabulary(tuple(column)),
        targets=targets,
        notes=(understood(images, tuple(column), targets, layout), *notes, *variants_note(column)),
    )
    return settle(dataset, options)
