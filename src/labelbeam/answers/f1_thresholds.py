"""Thresholds tuned on validation images for F1: one for all labels, or one per label, drawn towards it.

Each rule is tuned for one of the field's F1s, and is the better decision for that one only. Knows scores and
targets; `tuned_thresholds` keeps what is found, `thresholds` tunes for whole sets.
"""

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from labelbeam.answers.score_maps import log_odds, probability
from labelbeam.data.stratified import folds
from labelbeam.labels.targets import PRESENT, UNKNOWN

GRID = np.arange(1, 100) / 100
"""Thresholds tried where there is one for all labels."""

STRENGTHS = (5.0, 10.0, 20.0, 50.0)
"""Positives that the threshold for all labels is worth, tried in cross-validation. Neither 0 nor infinity: on a few
hundred images cross-validation is too unsure of itself to be trusted with them."""


def of1_threshold(
    scores: Float[np.ndarray, "images labels"], targets: Int8[np.ndarray, "images labels"]
) -> float:
    """Return the one threshold with the greatest O-F1, the F1 of all decisions pooled.

    Example:
        >>> of1_threshold(np.array([[0.4], [0.3], [0.1]]), np.array([[1], [1], [0]], dtype=np.int8))
        0.11
    """
    right, decided, present = (one.sum(axis=-1, keepdims=True) for one in _counts(scores, targets, GRID))
    return float(GRID[_f1(right, decided, present).argmax()])


def label_f1_threshold(
    scores: Float[np.ndarray, "images labels"], targets: Int8[np.ndarray, "images labels"]
) -> float:
    """Return the one threshold with the greatest mean of the labels' own F1s."""
    right, decided, present = _counts(scores, targets, GRID)
    return float(GRID[_f1(right, decided, present)[:, present > 0].sum(axis=1).argmax()])


def example_f1_threshold(
    scores: Float[np.ndarray, "images labels"], targets: Int8[np.ndarray, "images labels"]
) -> float:
    """Return the one threshold with the greatest mean of the images' F1s; of two empty sets F1 is 1."""
    means = [example_f1(scores >= threshold, targets).mean() for threshold in GRID]
    return float(GRID[int(np.argmax(means))])


def example_f1(
    decided: Bool[np.ndarray, "images labels"], targets: Int8[np.ndarray, "images labels"]
) -> Float[np.ndarray, " images"]:
    """Return each image's F1, 2 |both| / (|decided| + |present|); 1 where both are empty, unknown left out.

    Example:
        >>> example_f1(np.array([[True, True], [False, False]]), np.array([[1, 0], [0, 0]], dtype=np.int8)).round(2)
        array([0.67, 1.  ])
    """
    known, present = targets != UNKNOWN, targets == PRESENT
    both = (decided & present).sum(axis=1)
    sizes = (decided & known).sum(axis=1) + present.sum(axis=1)
    return np.where(sizes == 0, 1.0, 2 * both / np.maximum(sizes, 1))


def label_f1_thresholds(
    scores: Float[np.ndarray, "images labels"], targets: Int8[np.ndarray, "images labels"], *, seed: int = 0
) -> tuple[Float[np.ndarray, " labels"], float]:
    """Tune a threshold per label for the label's own F1, rare labels drawn towards the one for all labels.

    A label with n positives gets the average, on log-odds, of its own best threshold (weight n) and of
    `label_f1_threshold` (weight `strength`). The strength is the one of STRENGTHS with the greatest mean of the
    labels' F1s in 5-fold cross-validation, counts pooled over the folds; of equals the strongest.

    Args:
        scores: of validation images, in [0, 1].
        targets: 1 present, 0 absent, -1 unknown (left out).
        seed: of the folds.

    Returns:
        The thresholds and the strength.
    """
    if len(scores) < 5:
        return drawn_thresholds(scores, targets, strength=np.inf), float("inf")
    counts = np.zeros((len(STRENGTHS), 3, scores.shape[1]))
    for fitted, held_out in folds(targets, 5, seed=seed):
        for i, strength in enumerate(STRENGTHS):
            tuned = drawn_thresholds(scores[fitted], targets[fitted], strength=strength)
            decided = (scores[held_out] >= tuned) & (targets[held_out] != UNKNOWN)
            present = targets[held_out] == PRESENT
            counts[i] += np.stack([one.sum(axis=0) for one in (decided & present, decided, present)])
    reached = _f1(counts[:, 0], counts[:, 1], counts[:, 2]).sum(axis=1)
    best = len(STRENGTHS) - 1 - int(reached[::-1].argmax())
    return drawn_thresholds(scores, targets, strength=STRENGTHS[best]), STRENGTHS[best]


def drawn_thresholds(
    scores: Float[np.ndarray, "images labels"],
    targets: Int8[np.ndarray, "images labels"],
    *,
    strength: float,
) -> Float[np.ndarray, " labels"]:
    """Return each label's best threshold for its F1, drawn towards the one for all labels.

    Args:
        scores: in [0, 1].
        targets: 1 present, 0 absent, -1 unknown (left out).
        strength: positives that the threshold for all labels is worth; infinite: it alone.
    """
    for_all = label_f1_threshold(scores, targets)
    if np.isinf(strength):
        return np.full(scores.shape[1], for_all)
    known, present = targets != UNKNOWN, targets == PRESENT
    positives = present.sum(axis=0)
    own = np.array(
        [_own_threshold(scores[rows, j], present[rows, j], for_all) for j, rows in enumerate(known.T)]
    )
    return drawn_towards(for_all, own, positives, strength=strength)


def drawn_towards(
    for_all: float,
    own: Float[np.ndarray, " labels"],
    positives: Int[np.ndarray, " labels"],
    *,
    strength: float,
) -> Float[np.ndarray, " labels"]:
    """Return the labels' own thresholds averaged with one for all, on log-odds.

    Args:
        for_all: weighs `strength` positives.
        own: each weighs its label's positives.
        positives: of each label.
        strength: above 0.

    Example:
        >>> own, positives = np.array([0.9, 0.9]), np.array([0, 10])
        >>> drawn_towards(0.5, own, positives, strength=10.0).round(2).tolist()
        [0.5, 0.75]
    """
    weight = positives / (positives + strength)
    return probability(weight * log_odds(own) + (1 - weight) * log_odds(np.array([for_all])))


def _own_threshold(
    scores: Float[np.ndarray, " images"], present: Bool[np.ndarray, " images"], for_all: float
) -> float:
    """Return the threshold with the greatest F1, in the middle between two scores; of equals the highest."""
    if not present.any():
        return for_all
    order = np.argsort(-scores, kind="stable")
    ranked, right = scores[order].astype(np.float64), np.cumsum(present[order])
    f1 = 2 * right / (np.arange(1, len(ranked) + 1) + right[-1])
    f1[:-1][ranked[:-1] == ranked[1:]] = 0.0  # equal scores are decided together
    last = int(f1.argmax())
    following = ranked[last + 1] if last + 1 < len(ranked) else 0.0
    return float((ranked[last] + following) / 2)


def _counts(
    scores: np.ndarray, targets: np.ndarray, thresholds: np.ndarray
) -> tuple[Int[np.ndarray, "cuts labels"], Int[np.ndarray, "cuts labels"], Int[np.ndarray, " labels"]]:
    """Return right and decided labels at each threshold, and present ones."""
    known, present = targets != UNKNOWN, targets == PRESENT
    right, decided = np.zeros((2, len(thresholds), scores.shape[1]), dtype=np.int64)
    for label in range(scores.shape[1]):
        column = scores[:, label].astype(np.float64)
        for rows, counts in ((present[:, label], right), (known[:, label], decided)):
            found = np.sort(column[rows])
            counts[:, label] = len(found) - np.searchsorted(found, thresholds, side="left")
    return right, decided, present.sum(axis=0)


def _f1(right: np.ndarray, decided: np.ndarray, present: np.ndarray) -> Float[np.ndarray, "..."]:
    """Return 2 right / (decided + present); 0 where nothing is decided or present."""
    return 2 * right / np.maximum(decided + present, 1)
