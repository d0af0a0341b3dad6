"""The simplest answer to a click: scores of a sigmoid head, re-weighted by which labels go together.

Every known label multiplies the odds of every other one by how much likelier it is beside that label, as if known
labels were independent given the asked one (naive Bayes). Knows scores and target matrices, no image and no model.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int8

from labelbeam.errors import InputError
from labelbeam.heads.chow_liu import check_evidence, check_smoothing, pair_counts
from labelbeam.labels.vocabulary import ABSENT, PRESENT

LEAST = 1e-7
"""Scores are kept this far from 0 and 1, where odds are not defined."""


@dataclass(frozen=True)
class CooccurrenceReweighting:
    """Log likelihood ratios of known labels, by the label that is asked for.

    Attributes:
        if_present: [labels labels], log P(a | l) / P(a | not l): row a is known to be present, column l is asked.
        if_absent: [labels labels], log P(not a | l) / P(not a | not l).
    """

    if_present: Float[np.ndarray, "labels labels"]
    if_absent: Float[np.ndarray, "labels labels"]

    @classmethod
    def fit(
        cls, targets: Int8[np.ndarray, "images labels"], *, smoothing: float = 1.0
    ) -> "CooccurrenceReweighting":
        """Count training images: P(a | l) = (n_al + s f_a) / (n_l + s), likewise P(a | not l).

        Args:
            targets: 1 present, 0 absent, -1 unknown (not counted).
            smoothing: s, imagined images on either side, in which a is as frequent as overall (f_a).

        Raises:
            InputError: no image, or smoothing that is not above 0.
        """
        check_smoothing(smoothing)
        counts = pair_counts(targets)
        imagined = smoothing * counts.frequencies[:, None]
        # The same images on both sides of the division: those in which a and l are known.
        with_l = (counts.both + imagined) / (counts.first.T + smoothing)
        without = (counts.first - counts.both + imagined) / (counts.images - counts.first.T + smoothing)
        return cls(np.log(with_l) - np.log(without), np.log1p(-with_l) - np.log1p(-without))

    def reweighted(
        self,
        scores: Float[np.ndarray, "rows columns"],
        known: Int8[np.ndarray, "images labels"],
        *,
        strength: float = 1.0,
    ) -> Float[np.ndarray, "images labels"]:
        """Return odds(l | image, known) = odds(l | image) * (product of the known labels' ratios)^strength.

        Args:
            scores: p(l | image), in [0, 1].
            known: 1 accepted, 0 rejected, -1 not known.
            strength: 1 believes every ratio; 0 returns the scores. To be chosen on validation images: known labels
                are not independent, and the image has told part of it already.

        Returns:
            float64 probabilities; 1 and 0 for accepted and rejected labels.

        Raises:
            InputError: evidence that does not fit, scores outside [0, 1], or a negative strength.

        Example:
            >>> targets = np.array([[1, 1]] * 3 + [[0, 0]] * 3, dtype=np.int8)
            >>> pairs = CooccurrenceReweighting.fit(targets)
            >>> given = np.array([[1, -1], [0, -1]], dtype=np.int8)
            >>> pairs.reweighted(np.full((2, 2), 0.5), given).round(3).tolist()
            [[1.0, 0.875], [0.0, 0.125]]
        """
        check_evidence(known, len(self.if_present))
        if scores.shape != known.shape or not ((scores >= 0) & (scores <= 1)).all():
            raise InputError(f"scores must be {known.shape} of probabilities, given {scores.shape}.")
        if not 0 <= strength < np.inf:
            raise InputError(f"strength is {strength}; it must be at least 0 (no re-weighting).")
        p = np.clip(scores.astype(np.float64), LEAST, 1 - LEAST)
        ratios = (known == PRESENT) @ self.if_present + (known == ABSENT) @ self.if_absent
        log_odds = np.log(p) - np.log1p(-p) + strength * ratios
        reweighted = 0.5 * (1 + np.tanh(log_odds / 2))  # the logistic function; this one does not overflow
        return np.where(known == PRESENT, 1.0, np.where(known == ABSENT, 0.0, reweighted))
