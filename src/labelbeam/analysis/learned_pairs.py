"""Truth against prediction, pair by pair: which pairs of labels a model has learned, missed or invented.

A pair's association is its log odds ratio with 1/2 added to each cell; what is compared is the one of the decided
sets with the one of the truth, on the same images. Knows matrices; knows nothing of names or models.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from labelbeam.analysis.cooccurrence import examined_pairs, pair_counts
from labelbeam.errors import InputError
from labelbeam.labels.targets import PRESENT, UNKNOWN

KINDS = ("learned", "missed", "exaggerated", "invented")

MOST_PAIRS = 2000
"""Pairs whose intervals are computed, those with the least p first."""

IMAGINED = 1 / 8
"""Images added to each of the 16 counts; 1/2 to each cell of a table of two by two, as the point estimates have."""

TINY = 1e-280
"""Keeps sums of gamma numbers, which may be too small for a double, above 0."""

MOST_LABELS = 1000
"""Of more labels the most frequent ones are compared."""


@dataclass(frozen=True)
class LearnedPair:
    """A pair of labels, in the truth and in the predictions.

    Attributes:
        a: id of the first label.
        b: id of the second.
        known: images where both are known.
        true: images that have both.
        predicted: images for which both are decided.
        log_odds_true: association in the truth; 0 is chance.
        log_odds_predicted: association in the predictions.
        low: lower end of the 95 % interval of predicted minus true, for this pair by itself.
        high: upper end.
        kind: `learned`: associated in both, the difference is not beyond doubt. `missed`: associated in the truth, in
            the predictions less, beyond doubt. `exaggerated`: more, beyond doubt. `invented`: associated in the
            predictions only, and differing from the truth beyond doubt. Empty: the images cannot tell, or one of the
            labels is never decided.
    """

    a: int
    b: int
    known: int
    true: int
    predicted: int
    log_odds_true: float
    log_odds_predicted: float
    low: float
    high: float
    kind: str

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the pair as plain values."""
        return {
            "labels": [names[self.a], names[self.b]],
            "kind": self.kind or None,
            "images": {"known": self.known, "true": self.true, "predicted": self.predicted},
            "log_odds_true": round(self.log_odds_true, 4),
            "log_odds_predicted": round(self.log_odds_predicted, 4),
            "difference": round(self.log_odds_predicted - self.log_odds_true, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
        }


@dataclass(frozen=True)
class PairComparison:
    """Every pair that is associated in the truth or in the predictions.

    Attributes:
        labels: how many labels were compared.
        tested: pairs of labels that could occur together.
        left_out: associated pairs beyond `MOST_PAIRS`, without an interval.
        pairs: by falling difference from the truth, in standard errors.
    """

    labels: int
    tested: int
    left_out: int
    pairs: tuple[LearnedPair, ...]

    def of_kind(self, kind: str) -> tuple[LearnedPair, ...]:
        """Return the pairs of one kind; learned ones by the strength of their association in the truth."""
        pairs = [pair for pair in self.pairs if pair.kind == kind]
        if kind == "learned":
            pairs.sort(key=lambda pair: -abs(pair.log_odds_true))
        return tuple(pairs)

    def to_json(self, names: Sequence[str], *, most: int = 50) -> dict[str, Any]:
        """Return counts of every kind, and the first pairs of each, as plain values."""
        counts = {kind: len(self.of_kind(kind)) for kind in KINDS}
        return {
            "labels": self.labels,
            "tested": self.tested,
            "left_out": self.left_out,
            "undecided": sum(not pair.kind for pair in self.pairs),
            "counts": counts,
            **{kind: [pair.to_json(names) for pair in self.of_kind(kind)[:most]] for kind in KINDS},
        }


def compare_pairs(
    truth: Int8[np.ndarray, "images labels"],
    decided: Bool[np.ndarray, "rows columns"],
    *,
    rng: np.random.Generator,
    resamples: int = 1000,
    alpha: float = 0.05,
) -> PairComparison:
    """Compare which labels go together in the truth and in decided sets.

    Weighting images at random changes a pair through 16 sums alone (its four cells in the truth by its four in the
    predictions), so the paired bootstrap over images is a draw of these. The Bayesian one is taken, with 1/2 imagined
    image per cell: the plain one holds a pair that was never seen together to be impossible, without a doubt.

    Args:
        truth: 1 present, 0 absent, -1 unknown; a pair counts over the images where both are known.
        decided: the decided sets of the same images and labels.
        rng: seeded by the caller.
        resamples: of the images, per pair.
        alpha: a pair is associated where Fisher's p, Holm-corrected for all pairs, is below it.

    Raises:
        InputError: decided sets of another shape, or fewer than 2 resamples.

    Source:
        Rubin 1981, The Bayesian bootstrap: weights of the images are Dirichlet, so their sums by cell are gamma
        numbers up to scale. `cooccurrence.examined_pairs` for the tests.

    Example:
        >>> truth = np.array([[1, 1]] * 30 + [[0, 0]] * 30, dtype=np.int8)
        >>> alone = truth == 1
        >>> compare_pairs(truth, alone, rng=np.random.default_rng(0)).pairs[0].kind
        'learned'
    """
    if decided.shape != truth.shape:
        raise InputError(f"truth {truth.shape} and decided sets {decided.shape} must be of the same shape.")
    if resamples < 2:
        raise InputError(f"an interval needs at least 2 resamples, given {resamples}.")
    frequent = np.sort(np.argsort(-(truth == PRESENT).sum(axis=0), kind="stable")[:MOST_LABELS])
    truth, decided = truth[:, frequent], decided[:, frequent]
    predicted = np.where(truth == UNKNOWN, np.int8(UNKNOWN), decided.astype(np.int8))
    sides, tested = [], 0
    for targets in (truth, predicted):
        pairs = examined_pairs(pair_counts(targets))
        certain = pairs.log_p_adjusted < np.log(alpha)
        sides.append(
            {
                (a, b): (log_p, np.sign(log_odds))
                for a, b, log_p, log_odds in zip(
                    pairs.a[certain].tolist(),
                    pairs.b[certain].tolist(),
                    pairs.log_p[certain].tolist(),
                    pairs.log_odds[certain].tolist(),
                    strict=True,
                )
            }
        )
        tested = max(tested, len(pairs))

    def least_p(pair: tuple[int, int]) -> float:
        return min(side[pair][0] for side in sides if pair in side)

    associated = sorted({*sides[0], *sides[1]}, key=lambda pair: (least_p(pair), pair))
    found = []
    for a, b in associated[:MOST_PAIRS]:
        cells = _joint_cells(truth[:, [a, b]], predicted[:, [a, b]])
        in_truth, in_predicted = (float(side.get((a, b), (0.0, 0.0))[1]) for side in sides)
        pair, errors = _compared(cells, in_truth, in_predicted, rng=rng, resamples=resamples)
        found.append((errors, LearnedPair(int(frequent[a]), int(frequent[b]), *pair)))
    found.sort(key=lambda one: -one[0])
    return PairComparison(
        len(frequent), tested, max(0, len(associated) - MOST_PAIRS), tuple(pair for _, pair in found)
    )


def _joint_cells(
    truth: Int8[np.ndarray, "images 2"], predicted: Int8[np.ndarray, "images 2"]
) -> Int[np.ndarray, "4 4"]:
    """Count images by their cell in the truth (row) and in the predictions: neither, second, first, both."""
    known = (truth != UNKNOWN).all(axis=1)
    place = np.array([2, 1])
    rows, columns = (truth[known] == PRESENT) @ place, (predicted[known] == PRESENT) @ place
    return np.bincount(4 * rows + columns, minlength=16).reshape(4, 4)


def _compared(
    cells: Int[np.ndarray, "4 4"],
    in_truth: float,
    in_predicted: float,
    *,
    rng: np.random.Generator,
    resamples: int,
) -> tuple[tuple[int, int, int, float, float, float, float, str], float]:
    """Return what a pair's counts say, and its difference in standard errors."""
    known = int(cells.sum())
    drawn = rng.standard_gamma(cells + IMAGINED, size=(resamples, 4, 4)) + TINY
    true, predicted = (_log_odds(cells.sum(axis=axis) + 4 * IMAGINED) for axis in (1, 0))
    differences = _log_odds(drawn.sum(axis=1)) - _log_odds(drawn.sum(axis=2))
    low, high = np.percentile(differences, [2.5, 97.5])
    kind = ""
    _, second, first, together = cells.sum(axis=0)  # of the predictions
    if not (first + together and second + together):
        pass  # a label that is never decided goes with nothing: its log odds ratio is the 1/2 added to each cell
    elif in_truth:
        toward = sorted((in_truth * low, in_truth * high))
        if toward[1] < 0:
            kind = "missed"
        elif toward[0] > 0:
            kind = "exaggerated"
        elif in_predicted == in_truth:
            kind = "learned"
    elif min(in_predicted * low, in_predicted * high) > 0:
        kind = "invented"
    errors = abs(predicted - true) / max(float(differences.std()), 1e-9)
    both = int(cells[3].sum()), int(cells[:, 3].sum())
    told = (known, *both, float(true), float(predicted), float(low), float(high), kind)
    return told, float(errors)


def _log_odds(cells: Float[np.ndarray, "*resamples 4"]) -> Any:
    """Return log odds ratios of cells in the order neither, second, first, both."""
    logs = np.log(cells)
    return logs[..., 0] - logs[..., 1] - logs[..., 2] + logs[..., 3]
