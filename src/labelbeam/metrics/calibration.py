"""Reliability of scores as probabilities: data of the plot, expected calibration error, bin by bin.

Bins hold (nearly) equally many scores. Knows nothing of files or pictures. In the data path: truth + scores ->
**calibration** -> a plot, a table, JSON.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN, ByLabel, PerImage, Targets

BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Scores against what came true, in bins of increasing score.

    Attributes:
        score: mean score of each bin.
        present: share of the bin's labels that are present.
        count: number of scores in the bin, at least 1.
    """

    score: Float[np.ndarray, " bins"]
    present: Float[np.ndarray, " bins"]
    count: Int[np.ndarray, " bins"]

    @property
    def ece(self) -> float:
        """Expected calibration error: |mean score - share present|, averaged over the scores; NaN without any.

        Source:
            Naeini, Cooper, Hauskrecht, AAAI 2015; equal-mass bins as Nixon et al. 2019 advise. Positive even for
            perfect scores, the more the fewer scores a bin holds.
        """
        if not len(self.count):
            return float("nan")
        return float(np.average(np.abs(self.score - self.present), weights=self.count))

    def to_json(self) -> dict[str, object]:
        """Return plain values; the error is null without any score."""
        return {
            "ece": self.ece if len(self.count) else None,
            "bins": [
                {"score": float(score), "present": float(present), "count": int(count)}
                for score, present, count in zip(self.score, self.present, self.count, strict=True)
            ],
        }


@dataclass(frozen=True)
class CalibrationReport:
    """Reliability of all labels pooled, and of each.

    Attributes:
        pooled: every label of every image.
    """

    pooled: Reliability
    per_label: dict[str, Reliability]

    @property
    def mean_label_ece(self) -> float:
        """The labels' own errors averaged; pooling hides errors of opposite sign, this does not."""
        errors = [one.ece for one in self.per_label.values() if len(one.count)]
        return float(np.mean(errors)) if errors else float("nan")

    def to_json(self) -> dict[str, object]:
        """Return plain values."""
        return {
            "pooled": self.pooled.to_json(),
            "mean_label_ece": self.mean_label_ece if len(self.pooled.count) else None,
            "per_label": {name: one.to_json() for name, one in self.per_label.items()},
        }


def reliability(
    scores: Float[np.ndarray, " scores"], present: Bool[np.ndarray, " truths"], *, bins: int = BINS
) -> Reliability:
    """Put scores into equal-mass bins; equal scores stay together, so there may be fewer bins.

    Raises:
        InputError: bins below 1, or scores and truths of different numbers.

    Example:
        >>> found = reliability(np.array([0.1, 0.2, 0.7, 0.9]), np.array([False, False, True, True]), bins=2)
        >>> found.score.round(2).tolist(), found.present.tolist(), round(found.ece, 3)
        ([0.15, 0.8], [0.0, 1.0], 0.175)
    """
    if bins < 1:
        raise InputError(f"the number of bins is {bins}; give at least 1.")
    if len(scores) != len(present):
        raise InputError(f"{len(scores)} scores and {len(present)} truths; give one truth per score.")
    order = np.argsort(scores, kind="stable")
    ranked = scores[order].astype(np.float64)
    # A score goes where the first of its equals falls.
    first = np.searchsorted(ranked, ranked, side="left")
    _, bin_of = np.unique(first * bins // max(len(ranked), 1), return_inverse=True)
    count = np.bincount(bin_of)
    held = np.maximum(count, 1)
    return Reliability(
        np.bincount(bin_of, weights=ranked) / held,
        np.bincount(bin_of, weights=present[order].astype(np.float64)) / held,
        count.astype(np.int64),
    )


def calibration_report(truth: Targets, scores: ByLabel, names: Sequence[str]) -> CalibrationReport:
    """Measure how far scores are probabilities, pooled and per label.

    Args:
        truth: 1 present, 0 absent, -1 unknown (left out).

    Raises:
        InputError: arrays that do not fit.
    """
    if truth.shape != scores.shape or truth.shape[1] != len(names):
        raise InputError(
            f"truth {truth.shape}, scores {scores.shape} and {len(names)} names must describe the same."
        )
    observed, present = truth != -1, truth == 1
    return CalibrationReport(
        reliability(scores[observed], present[observed]),
        {
            name: reliability(scores[observed[:, j], j], present[observed[:, j], j])
            for j, name in enumerate(names)
        },
    )


# Log-loss of per-label probabilities, over the labels that are not evidence.

PROBABLE = 1e-4
"""Probabilities are kept this far from 0 and 1 before their logarithm is taken: samples give exact zeros."""


def remaining_nats(scores: ByLabel, targets: Targets, evidence: Targets) -> PerImage:
    """Return -log p(label is as it is), summed over the labels of each image that are asked for, in nats.

    Args:
        scores: p(label | image, evidence), in [0, 1].
        targets: 1 present, 0 absent, -1 unknown (not asked for).
        evidence: -1 where the label is no evidence; other labels are not asked for.

    Raises:
        InputError: the three differ in shape.

    Example:
        >>> scores, targets = np.array([[0.5, 0.9]]), np.array([[1, 1]], dtype=np.int8)
        >>> remaining_nats(scores, targets, np.array([[-1, 1]], dtype=np.int8)).round(3).tolist()
        [0.693]
    """
    if not scores.shape == targets.shape == evidence.shape:
        raise InputError(
            f"scores {scores.shape}, targets {targets.shape} and evidence {evidence.shape} differ in shape."
        )
    p = np.clip(scores.astype(np.float64), PROBABLE, 1 - PROBABLE)
    losses = -np.log(np.where(targets == PRESENT, p, 1 - p))
    asked = (evidence == UNKNOWN) & (targets != UNKNOWN)
    return np.where(asked, losses, 0.0).sum(axis=1)
