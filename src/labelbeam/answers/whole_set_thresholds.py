"""Thresholds for whole sets on few validation images: `thresholds.tune_thresholds`, drawn towards one for all.

Tuned freely on 150 photographs they lose four points of subset accuracy against 0.5 for every label
(docs/decisions.md).
"""

import numpy as np
from jaxtyping import Float, Int8

from labelbeam.answers.f1_thresholds import GRID, STRENGTHS, drawn_towards
from labelbeam.answers.thresholds import tune_thresholds
from labelbeam.data.stratified import folds
from labelbeam.labels.targets import PRESENT, UNKNOWN

MOST_CHOOSING = 4000
"""Images that the strength is chosen on, the first ones."""


def whole_set_thresholds(
    scores: Float[np.ndarray, "images labels"], targets: Int8[np.ndarray, "images labels"], *, seed: int = 0
) -> Float[np.ndarray, " labels"]:
    """Tune a threshold per label for the share of images whose whole set is right.

    A label's threshold is drawn towards the best one for all labels, the more, the fewer positives it has, or all
    the way: whichever reaches most in 5-fold cross-validation; of equals the strongest.

    Args:
        scores: of validation images, in [0, 1].
        targets: 1 present, 0 absent, -1 unknown (never wrong).
        seed: of the folds.

    Raises:
        InputError: no image, or scores and targets of different shapes.
    """
    strengths = (np.inf, *reversed(STRENGTHS))
    best: float = np.inf
    if len(scores) >= 5:
        some, true = scores[:MOST_CHOOSING], targets[:MOST_CHOOSING]
        right = np.zeros(len(strengths))
        for fitted, held_out in folds(true, 5, seed=seed):
            for_all, own, positives = _both(some[fitted], true[fitted])
            for i, strength in enumerate(strengths):
                tuned = drawn(for_all, own, positives, strength)
                right[i] += _whole(some[held_out] >= tuned, true[held_out]).sum()
        best = strengths[int(right.argmax())]
    return drawn(*_both(scores, targets), best)


def drawn(for_all: float, own: np.ndarray, positives: np.ndarray, strength: float) -> np.ndarray:
    """Return thresholds drawn towards the one for all labels; infinite strength: it alone."""
    if np.isinf(strength):
        return np.full(len(own), for_all)
    return drawn_towards(for_all, own, positives, strength=strength)


def _both(scores: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the best threshold for all labels, each label's own, and the labels' positives."""
    own = np.minimum(tune_thresholds(scores, targets, restarts=0), 1.0)
    right = [_whole(scores >= threshold, targets).sum() for threshold in GRID]
    # The middle of the best ones: a share of few images is the same over long stretches.
    best = np.flatnonzero(np.array(right) == max(right))
    return float(GRID[best[len(best) // 2]]), own, (targets == PRESENT).sum(axis=0)


def _whole(decided: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return ((decided == (targets == PRESENT)) | (targets == UNKNOWN)).all(axis=1)
