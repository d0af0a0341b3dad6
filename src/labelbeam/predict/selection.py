"""Which images of a whole batch nobody needs to look at: conformal selection, a statement on average.

`Promises.keep_unseen` finds a cut that holds with confidence for images one at a time, and needs many calibration
images for it. Over a batch that is there as a whole, the expected share of wrong sets among those selected can be kept
with few: every image gets a p-value of "its set is wrong", and Benjamini-Hochberg selects. Knows no file and no model.

Source:
    Jin and Candès, Selection by Prediction with Conformal p-values, JMLR 24 (244), 2023; the p-values with the wrong
    calibration images alone are theirs with the "clip" score. Bates, Candès, Lei, Romano, Sesia, Annals of Statistics
    2023, for the dependence of p-values that share calibration images.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from labelbeam.labels.arrays import PerLabel
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN
from labelbeam.predict.fitness import ALPHA
from labelbeam.predict.promise_kinds import set_probability

if TYPE_CHECKING:
    from labelbeam.predict.promises import Sample


def wrong_p_values(
    wrong: Float[np.ndarray, " errors"], images: int, sure: Float[np.ndarray, " batch"]
) -> Float[np.ndarray, " batch"]:
    """Return conformal p-values of "the decided set is wrong": small where it is surer than most that were.

    Args:
        wrong: how probable the decided set was, of calibration images whose set is wrong; -inf for odd ones.
        sure: how probable the decided set is, of the images of a batch; -inf for odd ones.

    Example:
        >>> wrong_p_values(np.array([0.2, 0.5]), 9, np.array([0.9, 0.5, 0.1])).tolist()
        [0.1, 0.2, 0.3]
    """
    above = len(wrong) - np.searchsorted(np.sort(wrong), sure, side="left")
    return np.asarray((above + 1) / (images + 1))


def selected_p_value(p_values: Float[np.ndarray, " batch"], level: float) -> float:
    """Return the greatest p-value that Benjamini-Hochberg selects; 0 where it selects none.

    Example:
        >>> selected_p_value(np.array([0.01, 0.02, 0.9]), 0.05), selected_p_value(np.array([0.04, 0.9]), 0.05)
        (0.02, 0.0)
    """
    rising = np.sort(p_values)
    passing = np.flatnonzero(rising <= level * np.arange(1, len(rising) + 1) / max(len(rising), 1) + 1e-12)
    return float(rising[passing[-1]]) if len(passing) else 0.0


def selection_cut(
    target: float, sample: "Sample", thresholds: PerLabel | None, sure: Float[np.ndarray, " batch"]
) -> float:
    """Return how probable a decided set of this batch must be, so that nobody needs to look at it.

    Of the images that are so sure and not odd, the share `target` at least has exactly its true labels, on average over
    calibrations and batches (a batch of which none is selected counts as without an error).

    Args:
        target: in (0, 1).
        thresholds: that decide sets; None: by path.
        sure: how probable the decided sets of the batch are (`set_probability`); -inf for odd images.

    Returns:
        The cut; infinite where none is selected.
    """
    sets = sample.paths if thresholds is None else sample.scores >= thresholds
    of_sample = set_probability(sample.scores, sets, sample.log_probs if thresholds is None else None)
    of_sample = np.where(sample.fits <= ALPHA, -np.inf, of_sample)
    wrong = ((sets != (sample.truth == PRESENT)) & (sample.truth != UNKNOWN)).any(axis=1)
    p_values = wrong_p_values(of_sample[wrong], len(sample), sure)
    chosen = (p_values <= selected_p_value(p_values, 1 - target)) & (sure > -np.inf)
    return float(sure[chosen].min()) if chosen.any() else math.inf
