"""Log-sum-exp pooling of a label's scores over the places of a map: between their average and their maximum.

    s_p = w . x_p                                       the label's score at place p
    z   = 1 / temperature * log mean_p exp(temperature * s_p)

A small temperature gives the average, a large one the maximum. Knows no torch, only arrays and, by their own methods,
tensors.

Source:
    Pinheiro and Collobert, "From Image-level to Pixel-level Labeling with Convolutional Networks", CVPR 2015,
    equation 1.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from labelbeam.heads.options import LocalOptions

if TYPE_CHECKING:
    from torch import Tensor


def log_sum_exp(
    scores: Float[np.ndarray, "images places labels"], options: LocalOptions
) -> Float[np.ndarray, "images places labels"]:
    """Return what each place adds to a label's score: its share of the exponentials, of the score.

    Args:
        scores: of each label at each place.
        options: the temperature.

    Example:
        >>> options = LocalOptions("log-sum-exp", temperature=1.0)
        >>> log_sum_exp(np.array([[[0.0], [9.0]]]), options).sum().round(3)  # 9 - log 2
        np.float64(8.307)
    """
    highest = scores.max(axis=1, keepdims=True)
    powers = np.exp(options.temperature * (scores - highest))
    score = highest + np.log(powers.mean(axis=1, keepdims=True)) / options.temperature
    parts: np.ndarray = powers / powers.sum(axis=1, keepdims=True) * score
    return parts


def log_sum_exp_of_tensor(scores: "Tensor", options: LocalOptions) -> "Tensor":
    """Return the scores [batch labels] from those at each place [batch places labels]; the twin of `log_sum_exp`."""
    total = (options.temperature * scores).logsumexp(dim=1)
    return (total - math.log(scores.shape[1])) / options.temperature
