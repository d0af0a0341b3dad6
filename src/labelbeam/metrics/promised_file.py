"""What lines of predictions say beside labels: which images nobody is to look at, and in which lists of sets.

As `tag --unseen` and `tag --sets-among` write them, or anybody: `"unseen": true`, and `"sets": [{"labels": [...]}]`.
In the data path: prediction file, truth -> **promised file** -> `predict.promise_check`.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN
from labelbeam.metrics.prediction_file import Line, Truth, read_lines, shown


def read_unseen(path: Path, truth: Truth) -> Bool[np.ndarray, " images"]:
    """Return of which images of a truth the lines say that nobody needs to look at them.

    Raises:
        InputError: no line says it of any image, or a line says something else than true or false.
    """
    row = {image: i for i, image in enumerate(truth.images)}
    found, said = np.zeros(len(row), dtype=bool), False
    for line in read_lines(path):
        if "unseen" not in line.content or line.image not in row:
            continue
        if not isinstance(value := line.content["unseen"], bool):
            raise InputError(f"{line.where}: 'unseen' must be true or false, given {shown(value)}.")
        found[row[line.image]], said = value, True
    if not said:
        raise InputError(
            f"{path}: no line has 'unseen', so nothing says which images nobody looks at. `labelbeam tag --unseen 0.95`"
            " writes it."
        )
    return found


def read_listed(path: Path, truth: Truth) -> tuple[Bool[np.ndarray, " images"], Int[np.ndarray, " images"]]:
    """Return for each image of a truth whether its set is among those listed, and how many are listed.

    Labels that the truth does not know of an image are passed over.

    Raises:
        InputError: an image without a list, or a list that is none of sets.
    """
    row = {image: i for i, image in enumerate(truth.images)}
    found, sizes = np.zeros(len(row), dtype=bool), np.full(len(row), -1)
    for line in read_lines(path):
        if line.image not in row or "sets" not in line.content:
            continue
        targets = truth.targets[row[line.image]]
        wanted, unknown = (
            {name for name, one in zip(truth.names, targets, strict=True) if one == value}
            for value in (PRESENT, UNKNOWN)
        )
        listed = _sets(line)
        found[row[line.image]] = any(set(one) - unknown == wanted for one in listed)
        sizes[row[line.image]] = len(listed)
    if (sizes < 0).any():
        image = truth.images[int((sizes < 0).argmax())]
        raise InputError(
            f"{path}: {int((sizes < 0).sum())} images have no 'sets', such as {image!r}. `labelbeam tag --sets-among "
            "0.9` writes them."
        )
    return found, sizes


def _sets(line: Line) -> list[list[str]]:
    entries = line.content["sets"]
    if not isinstance(entries, list) or not all(isinstance(one, dict) and "labels" in one for one in entries):
        raise InputError(
            f"{line.where}: 'sets' must be a list of {{\"labels\": [names]}}, given {shown(entries)}."
        )
    return [Line(line.where, line.image, one).label_list("labels") for one in entries]
