"""Truth and decisions to integer counts, and counts to precision, recall, F1 and set accuracy."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from labelbeam.labels.vocabulary import LabelSets, Targets

# Counts add over batches and machines, and carry any leading axes, so that the same reduction gives a score and its
# thousand bootstrap resamples.

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
    truth: Targets,
    decisions: LabelSets,
    *,
    outside: Int[np.ndarray, " images"] | None = None,
    weights: Int[np.ndarray, "resamples images"] | None = None,
) -> Counts:
    """Count right, decided and true labels; an unknown label is neither right nor wrong.

    Args:
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


# Every function keeps the leading axes of its counts, so a score and its resamples come from the same lines. A value
# that is not defined is NaN (a file of results says null and why).


def _ratio(numerator: ArrayLike, denominator: ArrayLike, *, empty: float) -> np.ndarray:
    """Divide; where the denominator is zero the value is `empty`."""
    above, below = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    value = np.full(np.broadcast_shapes(above.shape, below.shape), empty)
    return np.divide(above, below, out=value, where=below != 0)


def harmonic_mean(
    precision: Float[np.ndarray, "*shape"], recall: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """F1 = 2 P R / (P + R); 0 where both are 0, NaN where one is.

    Source: paper section 4. It says "geometrical average"; every row of its tables is the harmonic mean.

    Example:
        >>> harmonic_mean(np.array([0.5]), np.array([1.0])).round(3).tolist()
        [0.667]
    """
    return _ratio(2 * precision * recall, precision + recall, empty=0.0)


def overall_precision(counts: Counts) -> Float[np.ndarray, "*resamples"]:
    """O-P = sum_c TP_c / sum_c N_c, labels outside the truth in N; 0 where nothing is decided.

    Source: paper section 4.
    """
    decided = counts.predicted.sum(axis=-1) + counts.outside
    return _ratio(counts.true_positives.sum(axis=-1), decided, empty=0.0)


def overall_recall(counts: Counts) -> Float[np.ndarray, "*resamples"]:
    """O-R = sum_c TP_c / sum_c G_c; NaN where no image has a label.

    Source: paper section 4.
    """
    return _ratio(counts.true_positives.sum(axis=-1), counts.positives.sum(axis=-1), empty=np.nan)


def class_precision(counts: Counts) -> Float[np.ndarray, "*resamples labels"]:
    """P_c = TP_c / N_c; 0 for a label that is never decided.

    Source: paper section 4; the zero rule is ML-GCN's `util.py`.
    """
    return _ratio(counts.true_positives, counts.predicted, empty=0.0)


def class_recall(counts: Counts) -> Float[np.ndarray, "*resamples labels"]:
    """R_c = TP_c / G_c; NaN for a label without a positive.

    Source: paper section 4.
    """
    return _ratio(counts.true_positives, counts.positives, empty=np.nan)


def class_f1(counts: Counts) -> Float[np.ndarray, "*resamples labels"]:
    """F1_c = 2 TP_c / (N_c + G_c), the F1 of P_c and R_c; NaN for a label without a positive."""
    f1 = _ratio(2 * counts.true_positives, counts.predicted + counts.positives, empty=np.nan)
    return np.where(counts.positives > 0, f1, np.nan)


def mean_over(
    values: Float[np.ndarray, "*resamples labels"], included: Bool[np.ndarray, "*resamples labels"]
) -> Float[np.ndarray, "*resamples"]:
    """Average over the included labels; NaN where there is none.

    Example:
        >>> float(mean_over(np.array([1.0, np.nan, 0.5]), np.array([True, False, True])))
        0.75
    """
    total = np.where(included, values, 0.0).sum(axis=-1)
    return _ratio(total, included.sum(axis=-1), empty=np.nan)


def mean_class_precision(counts: Counts) -> Float[np.ndarray, "*resamples"]:
    """C-P = mean of P_c over labels with a positive; a label never decided brings 0.

    Source: paper section 4.
    """
    return mean_over(class_precision(counts), counts.positives > 0)


def mean_class_recall(counts: Counts) -> Float[np.ndarray, "*resamples"]:
    """C-R = mean of R_c over labels with a positive.

    Source: paper section 4.
    """
    return mean_over(class_recall(counts), counts.positives > 0)


def mean_class_f1(counts: Counts) -> Float[np.ndarray, "*resamples"]:
    """Mean of F1_c over labels with a positive.

    Differs from C-F1, the F1 of C-P and C-R; it is scikit-learn's and image-to-set's "macro F1".
    """
    return mean_over(class_f1(counts), counts.positives > 0)


def subset_accuracy(counts: Counts) -> Float[np.ndarray, "*resamples"]:
    """Share of images whose decided set equals the true set; NaN without images."""
    return _ratio(counts.exact_sets, counts.images, empty=np.nan)


def mean_labels_true(counts: Counts) -> Float[np.ndarray, "*resamples"]:
    """Present labels per image; NaN without images."""
    return _ratio(counts.positives.sum(axis=-1), counts.images, empty=np.nan)


def mean_labels_predicted(counts: Counts) -> Float[np.ndarray, "*resamples"]:
    """Decided labels per image, those outside the truth included; NaN without images."""
    return _ratio(counts.predicted.sum(axis=-1) + counts.outside, counts.images, empty=np.nan)
