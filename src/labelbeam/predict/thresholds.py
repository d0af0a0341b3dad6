"""Thresholds tuned on validation images: for F1 over labels, images or all predictions, and for whole sets."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from labelbeam.data.stratified import folds
from labelbeam.errors import InputError, unknown_name
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN, ByLabel, LabelSets, PerImage, PerLabel, Targets
from labelbeam.predict.score_maps import log_odds, probability, stored_numbers, stored_part

# Each rule is tuned for one of the field's F1s, and is the better decision for that one only.

GRID = np.arange(1, 100) / 100
"""Thresholds tried where there is one for all labels."""

STRENGTHS = (5.0, 10.0, 20.0, 50.0)
"""Positives that the threshold for all labels is worth, tried in cross-validation. Neither 0 nor infinity: on a few
hundred images cross-validation is too unsure of itself to be trusted with them."""


def of1_threshold(scores: ByLabel, targets: Targets) -> float:
    """Return the one threshold with the greatest O-F1, the F1 of all decisions pooled.

    Example:
        >>> of1_threshold(np.array([[0.4], [0.3], [0.1]]), np.array([[1], [1], [0]], dtype=np.int8))
        0.11
    """
    right, decided, present = (one.sum(axis=-1, keepdims=True) for one in _counts(scores, targets, GRID))
    return float(GRID[_f1(right, decided, present).argmax()])


def label_f1_threshold(scores: ByLabel, targets: Targets) -> float:
    """Return the one threshold with the greatest mean of the labels' own F1s."""
    right, decided, present = _counts(scores, targets, GRID)
    return float(GRID[_f1(right, decided, present)[:, present > 0].sum(axis=1).argmax()])


def example_f1_threshold(scores: ByLabel, targets: Targets) -> float:
    """Return the one threshold with the greatest mean of the images' F1s; of two empty sets F1 is 1."""
    means = [example_f1(scores >= threshold, targets).mean() for threshold in GRID]
    return float(GRID[int(np.argmax(means))])


def example_f1(decided: LabelSets, targets: Targets) -> PerImage:
    """Return each image's F1, 2 |both| / (|decided| + |present|); 1 where both are empty, unknown left out.

    Example:
        >>> example_f1(np.array([[True, True], [False, False]]), np.array([[1, 0], [0, 0]], dtype=np.int8)).round(2)
        array([0.67, 1.  ])
    """
    known, present = targets != UNKNOWN, targets == PRESENT
    both = (decided & present).sum(axis=1)
    sizes = (decided & known).sum(axis=1) + present.sum(axis=1)
    return np.where(sizes == 0, 1.0, 2 * both / np.maximum(sizes, 1))


def label_f1_thresholds(scores: ByLabel, targets: Targets, *, seed: int = 0) -> tuple[PerLabel, float]:
    """Tune a threshold per label for the label's own F1, rare labels drawn towards the one for all labels.

    A label with n positives gets the average, on log-odds, of its own best threshold (weight n) and of
    `label_f1_threshold` (weight `strength`). The strength is the one of STRENGTHS with the greatest mean of the
    labels' F1s in 5-fold cross-validation, counts pooled over the folds; of equals the strongest.

    Args:
        scores: of validation images, in [0, 1].
        targets: 1 present, 0 absent, -1 unknown (left out).
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


def drawn_thresholds(scores: ByLabel, targets: Targets, *, strength: float) -> PerLabel:
    """Return each label's best threshold for its F1, drawn towards the one for all labels.

    Args:
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
    for_all: float, own: PerLabel, positives: Int[np.ndarray, " labels"], *, strength: float
) -> PerLabel:
    """Return the labels' own thresholds averaged with one for all, on log-odds.

    Args:
        for_all: weighs `strength` positives.

    Example:
        >>> own, positives = np.array([0.9, 0.9]), np.array([0, 10])
        >>> drawn_towards(0.5, own, positives, strength=10.0).round(2).tolist()
        [0.5, 0.75]
    """
    weight = positives / (positives + strength)
    return probability(weight * log_odds(own) + (1 - weight) * log_odds(np.array([for_all])))


def _own_threshold(scores: PerImage, present: Bool[np.ndarray, " images"], for_all: float) -> float:
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


# With thousands of images, the strongest decision that knows each label by itself: what a sigmoid head is given in
# comparisons. With hundreds the thresholds fit the images' accidents; `whole_set_thresholds` holds them back.

MOST_PASSES = 5
"""Rounds over the labels from one start."""

MOST_CANDIDATES = 64
"""Thresholds tried per label and pass: quantiles of its scores."""


def tune_thresholds(scores: ByLabel, targets: Targets, *, restarts: int = 8) -> PerLabel:
    """Find thresholds by coordinate ascent: one label after the other, until none can be improved alone.

    A local search from 0.5 and from random thresholds; it may miss the optimum.

    Args:
        scores: of validation images, in [0, 1].
        targets: 1 present, 0 absent, -1 unknown (never wrong).
        restarts: random starts beside 0.5.

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
    random = np.random.default_rng(0)
    starts = [np.full(scores.shape[1], 0.5)]
    starts += [np.array([random.choice(options) for options in candidates]) for _ in range(restarts)]
    climbed = [_climb(scores, targets, start, candidates) for start in starts]
    return max(climbed, key=lambda pair: pair[1])[0]  # the first of equals, so 0.5's own ascent before others


def _candidates(column: np.ndarray) -> np.ndarray:
    """Midpoints between distinct scores, at most MOST_CANDIDATES, then never and always."""
    distinct = np.unique(column)
    middles = (distinct[1:] + distinct[:-1]) / 2
    if len(middles) > MOST_CANDIDATES:
        middles = np.unique(np.quantile(middles, np.linspace(0, 1, MOST_CANDIDATES)))
    return np.concatenate((middles, [0.5, 0.0, 1.1]))


def _climb(
    scores: np.ndarray, targets: np.ndarray, start: np.ndarray, candidates: list[np.ndarray]
) -> tuple[np.ndarray, float]:
    thresholds, known, present = start.copy(), targets != UNKNOWN, targets == PRESENT
    wrong: LabelSets = ((scores >= thresholds) != present) & known
    mistakes = wrong.sum(axis=1)
    for _ in range(MOST_PASSES):
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


# Tuned freely on 150 photographs they lose four points of subset accuracy against 0.5 for every label
# (docs/decisions.md).

MOST_CHOOSING = 4000
"""Images that the strength is chosen on, the first ones."""


def whole_set_thresholds(scores: ByLabel, targets: Targets, *, seed: int = 0) -> PerLabel:
    """Tune a threshold per label for the share of images whose whole set is right.

    A label's threshold is drawn towards the best one for all labels, the more, the fewer positives it has, or all
    the way: whichever reaches most in 5-fold cross-validation; of equals the strongest.

    Args:
        scores: of validation images, in [0, 1].
        targets: 1 present, 0 absent, -1 unknown (never wrong).

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


# The thresholds of a run, tuned on its validation images: one set for each thing they can be tuned for. A `Decision`
# says which are used. Knows no file.

OBJECTIVES = ("of1", "example-f1", "label-f1", "subset-accuracy")
"""What thresholds can be tuned for: `of1`, one threshold for the F1 of all decisions pooled; `example-f1`,
one for the mean of the images' F1s; `label-f1`, one per label for its own F1 (so for C-F1), rare labels drawn
towards one for all; `subset-accuracy`, one per label for the share of images whose whole set is right."""

MOST = 1.1
"""A threshold above 1 decides a label never."""


@dataclass(frozen=True)
class TunedThresholds:
    """Thresholds by what they are tuned for, one per label (all the same where there is one for all).

    Attributes:
        of1, example_f1, label_f1, subset_accuracy: see `OBJECTIVES`; in [0, 1.1].

    Raises:
        InputError: lists of different lengths.
    """

    of1: tuple[float, ...]
    example_f1: tuple[float, ...]
    label_f1: tuple[float, ...]
    subset_accuracy: tuple[float, ...]

    def __post_init__(self) -> None:
        if len({len(self.of1), len(self.example_f1), len(self.label_f1), len(self.subset_accuracy)}) > 1:
            raise InputError("tuned thresholds must be as many for each of the things they are tuned for.")

    def of(self, objective: str) -> PerLabel:
        """Return the thresholds tuned for a name of `OBJECTIVES`.

        Raises:
            InputError: another name.
        """
        if objective not in OBJECTIVES:
            raise unknown_name("thing to tune thresholds for", objective, OBJECTIVES)
        return np.array(getattr(self, _attribute(objective)))

    def to_json(self) -> dict[str, object]:
        """Return plain values for a file."""
        return {objective: list(getattr(self, _attribute(objective))) for objective in OBJECTIVES}

    @classmethod
    def from_json(cls, values: object, *, num_labels: int) -> "TunedThresholds":
        """Read back what `to_json` gave.

        Raises:
            InputError: damaged values, or another number of labels.
        """
        part = stored_part(values, part="thresholds", keys=OBJECTIVES)
        return cls(
            *(
                stored_numbers(part[name], what=f"thresholds: {name}", least=0.0, most=MOST, count=num_labels)
                for name in OBJECTIVES
            )
        )


def fit_thresholds(scores: ByLabel, targets: Targets, *, seed: int = 0) -> TunedThresholds:
    """Tune for everything.

    Args:
        scores: of validation images, calibrated if decisions will see them calibrated.
        targets: 1 present, 0 absent, -1 unknown (left out).

    Raises:
        InputError: no image, or scores and targets of different shapes.
    """
    whole_sets = whole_set_thresholds(scores, targets, seed=seed)
    labels = scores.shape[1]
    return TunedThresholds(
        of1=(of1_threshold(scores, targets),) * labels,
        example_f1=(example_f1_threshold(scores, targets),) * labels,
        label_f1=tuple(label_f1_thresholds(scores, targets, seed=seed)[0].tolist()),
        subset_accuracy=tuple(whole_sets.tolist()),
    )


def _attribute(objective: str) -> str:
    return objective.replace("-", "_")
