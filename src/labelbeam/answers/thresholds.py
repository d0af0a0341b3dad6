"""One threshold per label, tuned on validation images for the share of images whose whole set is right.

With thousands of images, the strongest decision that knows each label by itself: what a sigmoid head is given in
comparisons. With hundreds the thresholds fit the images' accidents; `whole_set_thresholds` holds them back.
"""

import numpy as np
from jaxtyping import Bool, Float, Int8

from labelbeam.errors import InputError
from labelbeam.labels.targets import PRESENT, UNKNOWN

MOST_CANDIDATES = 64
"""Thresholds tried per label and pass: quantiles of its scores."""


def tune_thresholds(
    scores: Float[np.ndarray, "images labels"],
    targets: Int8[np.ndarray, "images labels"],
    *,
    passes: int = 5,
    restarts: int = 8,
    seed: int = 0,
) -> Float[np.ndarray, " labels"]:
    """Find thresholds by coordinate ascent: one label after the other, until none can be improved alone.

    A local search from 0.5 and from random thresholds; it may miss the optimum.

    Args:
        scores: of validation images, in [0, 1].
        targets: 1 present, 0 absent, -1 unknown (never wrong).
        passes: most rounds over the labels from one start.
        restarts: random starts beside 0.5.
        seed: decides the random starts.

    Returns:
        Thresholds; a label is decided where its score is at least its threshold.

    Raises:
        InputError: no image, or scores and targets of different shapes.

    Example:
        >>> scores = np.array([[0.3], [0.2], [0.1]])
        >>> tuned = tune_thresholds(scores, np.array([[1], [1], [0]], dtype=np.int8))
        >>> (scores >= tuned).ravel().tolist()
        [True, True, False]
    """
    if scores.shape != targets.shape or not len(scores):
        raise InputError(f"scores {scores.shape} and targets {targets.shape} must describe the same images.")
    candidates = [_candidates(column) for column in scores.T]
    random = np.random.default_rng(seed)
    starts = [np.full(scores.shape[1], 0.5)]
    starts += [np.array([random.choice(options) for options in candidates]) for _ in range(restarts)]
    climbed = [_climb(scores, targets, start, candidates, passes) for start in starts]
    return max(climbed, key=lambda pair: pair[1])[0]  # the first of equals, so 0.5's own ascent before others


def _candidates(column: np.ndarray) -> np.ndarray:
    """Midpoints between distinct scores, at most MOST_CANDIDATES, then never and always."""
    distinct = np.unique(column)
    middles = (distinct[1:] + distinct[:-1]) / 2
    if len(middles) > MOST_CANDIDATES:
        middles = np.unique(np.quantile(middles, np.linspace(0, 1, MOST_CANDIDATES)))
    return np.concatenate((middles, [0.5, 0.0, 1.1]))


def _climb(
    scores: np.ndarray, targets: np.ndarray, start: np.ndarray, candidates: list[np.ndarray], passes: int
) -> tuple[np.ndarray, float]:
    thresholds, known, present = start.copy(), targets != UNKNOWN, targets == PRESENT
    wrong: Bool[np.ndarray, "images labels"] = ((scores >= thresholds) != present) & known
    mistakes = wrong.sum(axis=1)
    for _ in range(passes):
        before = (mistakes == 0).sum()
        for j, options in enumerate(candidates):
            others_right = mistakes - wrong[:, j] == 0
            tried = ((scores[:, j, None] >= options) != present[:, j, None]) & known[:, j, None]
            right = (others_right[:, None] & ~tried).sum(axis=0)
            best = int(right.argmax())
            if right[best] > (mistakes == 0).sum():
                mistakes += tried[:, best].astype(int) - wrong[:, j]
                wrong[:, j], thresholds[j] = tried[:, best], options[best]
        if (mistakes == 0).sum() == before:
            break
    return thresholds, float((mistakes == 0).mean())
