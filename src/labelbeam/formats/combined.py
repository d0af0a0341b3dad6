"""Several data sets as one, `folder:photos + keywords:photos`: what is said of a photograph in any of them.

A label is present where any says so, and absent where one says so and none the contrary; what a person decided in a
project counts before all others. Of a photograph without keywords, `keywords:` says nothing. Knows no format.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, Vocabulary

PLUS = " + "
"""Between the parts of an argument."""


def combine(parts: Sequence[Dataset], spec: str) -> Dataset:
    """Return several data sets as one; the same file is one image, by its place.

    Args:
        parts: the data sets; a later project counts more than an earlier one.
        spec: the argument that named them.

    Raises:
        InputError: vectors, which are no files.
    """
    if any(part.features is not None for part in parts):
        raise InputError(f"{spec}: vectors are no files, and cannot be combined with others.")
    names = sorted({name for part in parts for name in part.vocabulary})
    column = {name: j for j, name in enumerate(names)}
    rows: dict[Path, np.ndarray] = {}
    paths: dict[Path, Path] = {}
    contradicted = 0
    # Projects last: their word is a person's.
    for part in sorted(parts, key=_is_project):
        columns = [column[name] for name in part.vocabulary]
        for i in range(len(part)):
            path = part.path(i)
            place = path.parent.resolve() / path.name
            paths.setdefault(place, path)
            row = rows.setdefault(place, np.full(len(names), UNKNOWN, dtype=np.int8))
            said = part.targets[i]
            if part.spec.startswith("keywords:") and not (said == PRESENT).any():
                said = np.where(said == ABSENT, UNKNOWN, said)
            before = row[columns]
            if _is_project(part):
                contradicted += int(((before == PRESENT) & (said == ABSENT)).sum())
                row[columns] = np.where(said == UNKNOWN, before, said)
            else:
                row[columns] = np.maximum(before, said)
    order = sorted(rows, key=str)
    several = sum(len(part) for part in parts) - len(order)
    notes = [note for part in parts for note in part.notes]
    notes.append(f"combined: {len(order):,} images, {several:,} of them in more than one part.")
    if contradicted:
        notes.append(
            f"{contradicted:,} labels were rejected in a project: absent, whatever the other parts say."
        )
    return Dataset(
        spec=spec,
        root=Path(),
        images=tuple(paths[place].as_posix() for place in order),
        vocabulary=Vocabulary(tuple(names)),
        targets=np.array([rows[place] for place in order], dtype=np.int8),
        notes=tuple(notes),
    )


def _is_project(part: Dataset) -> bool:
    return part.spec.startswith("project:")
