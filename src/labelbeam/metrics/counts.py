"""Truth and decisions to integer counts: the one place where right and wrong are told apart.

Counts add over batches and machines, and carry any leading axes, so that the same reduction gives a score
and its thousand bootstrap resamples. Knows nothing of rankings, protocols or files. In the data path:
truth + decisions -> **counts** -> `ratios`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Int8

ROWS_AT_ONCE = 4096
"""Images per matrix product: bounds the float64 copies to a few MB per 100 labels."""


@dataclass(frozen=True)
class Counts:
    """How many labels were right, decided and true, over a set of images.

    Attributes:
        true_positives: TP_c, images where label c is decided and present.
        predicted: N_c, images where label c is decided and known (present or absent).
        positives: G_c, images where label c is present.
        outside: decided labels that the truth does not know at all; wrong, in no class.
        exact_sets: images whose decided set equals the true one (unknown labels left out).
        images: images counted.

    Example:
        >>> truth = np.array([[1, 0], [1, -1]], dtype=np.int8)
        >>> counts = count(truth, np.array([[True, True], [True, True]]))
        >>> counts.true_positives.tolist(), counts.predicted.tolist(), int(counts.exact_sets)
        ([2, 0], [2, 1], 1)
        >>> (counts + counts).positives.tolist()
        [4, 0]
    """

    true_positives: Int[np.ndarray, "*resamples labels"]
    predicted: Int[np.ndarray, "*resamples labels"]
    positives: Int[np.ndarray, "*resamples labels"]
    outside: Int[np.ndarray, "*resamples"]
    exact_sets: Int[np.ndarray, "*resamples"]
    images: Int[np.ndarray, "*resamples"]

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.true_positives + other.true_positives,
            self.predicted + other.predicted,
            self.positives + other.positives,
            np.asarray(self.outside + other.outside),
            np.asarray(self.exact_sets + other.exact_sets),
            np.asarray(self.images + other.images),
        )


def count(
    truth: Int8[np.ndarray, "images labels"],
    decisions: Bool[np.ndarray, "images labels"],
    *,
    outside: Int[np.ndarray, " images"] | None = None,
    weights: Int[np.ndarray, "resamples images"] | None = None,
) -> Counts:
    """Count right, decided and true labels; an unknown label is neither right nor wrong.

    Args:
        truth: 1 present, 0 absent, -1 unknown.
        decisions: True where the label is in the image's decided set.
        outside: per image, decided labels that have no column (default none).
        weights: how often each image is drawn in each resample; without it every image counts once.

    Returns:
        The counts, [labels] each, or [resamples labels] with weights.

    Source: paper section 4, evaluation metrics (TP_c, N_c, G_c); the unknown rule is ours.
    """
    extra = np.zeros(len(truth), dtype=np.int64) if outside is None else outside.astype(np.int64)
    positive = truth == 1
    decided = decisions & (truth != -1)
    exact = (decided == positive).all(axis=1) & (extra == 0)
    per_image = np.stack([extra, exact, np.ones_like(extra)], axis=1)  # [images 3]
    totals = [_total(what, weights) for what in (positive & decided, decided, positive, per_image)]
    return Counts(*totals[:3], *(np.asarray(totals[3][..., i]) for i in range(3)))


def _total(what: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Sum rows, each taken as often as its weight says; float64 products of integers are exact here."""
    if weights is None:
        return what.sum(axis=0, dtype=np.int64)
    total = np.zeros((len(weights), what.shape[1]))
    for start in range(0, len(what), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        total += weights[:, rows].astype(np.float64) @ what[rows].astype(np.float64)
    return np.rint(total).astype(np.int64)
