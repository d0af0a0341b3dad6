"""The truth of a scoring run, read from JSON Lines: `{"image": ..., "labels": [...], "unknown": [...]}`.

The label vocabulary is the union of what the file names, sorted by code point, which is also the order of
ties. Knows nothing of predictions.
In the data path: truth file -> **Truth** -> `prediction_file`, `comparison`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int8

from labelbeam.errors import InputError
from labelbeam.metrics.json_lines import read_lines


@dataclass(frozen=True)
class Truth:
    """True labels of images, as a file states them.

    Attributes:
        images: keys in file order; a key's position is its row.
        names: label names by code point; a name's position is its column.
        targets: 1 present, 0 absent, -1 unknown.
    """

    images: tuple[str, ...]
    names: tuple[str, ...]
    targets: Int8[np.ndarray, "images labels"]


def read_truth(path: Path) -> Truth:
    """Read a truth file.

    Args:
        path: JSON Lines, one image a line. `labels` may be empty; `unknown` may be left out.

    Returns:
        The truth; a label that a line does not name is absent from that image.

    Raises:
        InputError: a malformed line (see `read_lines`), no `labels`, a label both present and unknown,
            no image, or no label in the whole file.
    """
    present: list[list[str]] = []
    unknown: list[list[str]] = []
    images = []
    for line in read_lines(path):
        if "labels" not in line.content:
            given = ", ".join(line.content)
            raise InputError(
                f"{line.where}: the key 'labels' is missing; given keys: {given}. Use [] for no label."
            )
        has, open_ = (
            line.label_list("labels"),
            line.label_list("unknown") if "unknown" in line.content else [],
        )
        if both := sorted(set(has) & set(open_)):
            raise InputError(
                f"{line.where}: {both[0]!r} is in 'labels' and in 'unknown'; it can be in one of them."
            )
        images.append(line.image)
        present.append(has)
        unknown.append(open_)
    if not images:
        raise InputError(f"{path}: the truth has no image; give one JSON object a line.")
    names = sorted({name for row in (*present, *unknown) for name in row})
    if not names:
        raise InputError(f"{path}: no line of the truth names a label, so there is nothing to score.")
    column = {name: c for c, name in enumerate(names)}
    targets = np.zeros((len(images), len(names)), dtype=np.int8)
    for row, (has, open_) in enumerate(zip(present, unknown, strict=True)):
        targets[row, [column[name] for name in has]] = 1
        targets[row, [column[name] for name in open_]] = -1
    return Truth(tuple(images), tuple(names), targets)
