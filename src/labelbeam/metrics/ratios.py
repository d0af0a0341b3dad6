"""Counts to scores: precision, recall, F1, overall and per class; set accuracy. Three lines each.

Every function keeps the leading axes of its counts, so a score and its resamples come from the same lines.
A value that is not defined is NaN (a file of results says null and why). Knows nothing of where the counts
come from. In the data path: `counts` -> **ratios** -> `evaluation`.
"""

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from labelbeam.metrics.counts import Counts


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
