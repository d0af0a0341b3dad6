"""Class-specific residual attention: a label's average over the places of a map, and more of where it is strongest.

    s_p = w . x_p                                       the label's score at place p
    z   = mean_p s_p + weight * sum_p softmax_p(temperature * s_p) * s_p

No parameter beyond a linear head's; with weight 0 it is one on the averaged map. Knows no torch, only arrays and, by
their own methods, tensors.

Source:
    Zhu and Wu, "Residual Attention: A Simple but Effective Method for Multi-Label Recognition", ICCV 2021, equations 2
    to 6 (arXiv 2108.02456), with one temperature; their logits are not normalised by the length of w.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from labelbeam.heads.options import LocalOptions

if TYPE_CHECKING:
    from torch import Tensor


def csra(
    scores: Float[np.ndarray, "images places labels"], options: LocalOptions
) -> Float[np.ndarray, "images places labels"]:
    """Return what each place adds to a label's score: summed over places they are it.

    Args:
        scores: of each label at each place.
        options: weight and temperature.

    Example:
        >>> csra(np.array([[[0.0], [1.0]]]), LocalOptions("csra", weight=0.0))[0, :, 0].tolist()
        [0.0, 0.5]
    """
    attention = np.exp(options.temperature * (scores - scores.max(axis=1, keepdims=True)))
    attention /= attention.sum(axis=1, keepdims=True)
    parts: np.ndarray = scores * (1 / scores.shape[1] + options.weight * attention)
    return parts


def csra_of_tensor(scores: "Tensor", options: LocalOptions) -> "Tensor":
    """Return the scores [batch labels] from those at each place [batch places labels]; the twin of `csra`, summed."""
    attention = (options.temperature * scores).softmax(dim=1)
    return (scores * (1 / scores.shape[1] + options.weight * attention)).sum(dim=1)
