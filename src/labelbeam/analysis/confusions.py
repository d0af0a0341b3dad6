"""Which label is emitted where which other one is missed.

A confusion of x with y: an image has x, which was not decided, and has not y, which was. Knows matrices only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int8

from labelbeam.analysis.cooccurrence import ROWS, holm
from labelbeam.analysis.hypergeometric import two_sided_log_p
from labelbeam.errors import InputError
from labelbeam.labels.targets import ABSENT, PRESENT


@dataclass(frozen=True)
class Confusion:
    """A label missed with another one emitted in error.

    Attributes:
        missed: id of the label that the images have.
        wrong: id of the label that was decided instead.
        images: how many images.
        expected: how many by chance, given how often each of the two mistakes is made.
        log_p_adjusted: natural logarithm of Fisher's p, Holm-corrected for all pairs that were tested.
    """

    missed: int
    wrong: int
    images: int
    expected: float
    log_p_adjusted: float

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "missed": names[self.missed],
            "wrong": names[self.wrong],
            "images": self.images,
            "expected": round(self.expected, 4),
            "log10_p_adjusted": round(self.log_p_adjusted / float(np.log(10)), 3) + 0.0,
        }


def confusions(
    truth: Int8[np.ndarray, "images labels"],
    decided: Bool[np.ndarray, "rows columns"],
    *,
    alpha: float = 0.05,
) -> list[Confusion]:
    """Return confusions that are made more often than the two mistakes would meet by chance.

    Args:
        truth: 1 present, 0 absent, -1 unknown (never a mistake).
        decided: the decided sets.
        alpha: the corrected p must be below it.

    Returns:
        The confusions, those on the most images first; equal ones by ids.

    Raises:
        InputError: decided sets of another shape.

    Example:
        >>> truth = np.array([[1, 0]] * 10 + [[0, 0]] * 30, dtype=np.int8)
        >>> decided = np.array([[False, True]] * 10 + [[False, False]] * 30)
        >>> found = confusions(truth, decided)
        >>> [(one.missed, one.wrong, one.images, one.expected) for one in found]
        [(0, 1, 10, 2.5)]
    """
    if decided.shape != truth.shape:
        raise InputError(f"truth {truth.shape} and decided sets {decided.shape} must be of the same shape.")
    num_images, num_labels = truth.shape
    met = np.zeros((num_labels, num_labels), dtype=np.int64)
    missed, wrong = np.zeros(num_labels, dtype=np.int64), np.zeros(num_labels, dtype=np.int64)
    for start in range(0, num_images, ROWS):
        rows, sets = truth[start : start + ROWS], decided[start : start + ROWS]
        lost, added = (rows == PRESENT) & ~sets, (rows == ABSENT) & sets
        missed += lost.sum(axis=0)
        wrong += added.sum(axis=0)
        met += (lost.T.astype(np.float32) @ added.astype(np.float32)).astype(np.int64)
    possible = (missed[:, None] > 0) & (wrong > 0)
    np.fill_diagonal(possible, False)
    x, y = np.nonzero(possible)
    if not len(x):
        return []
    both, total = met[x, y], np.full(len(x), num_images)
    adjusted = holm(two_sided_log_p(both, missed[x], wrong[y], total))
    expected = missed[x] * wrong[y] / num_images
    chosen = np.flatnonzero((adjusted < np.log(alpha)) & (both > expected))
    chosen = chosen[np.argsort(-both[chosen], kind="stable")]
    return [
        Confusion(int(x[i]), int(y[i]), int(both[i]), float(expected[i]), float(adjusted[i])) for i in chosen
    ]
