"""Local evidence as arrays: a score of each label at each place of the encoder's last map, and from them one an image.

A row of an encoder with a map holds its pooled vector, then the map place by place (`encoders.image_encoder`). The
twin of `heads.local_torch`, which trains it. Knows no torch, only arrays and, by their own methods, tensors.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float32

from labelbeam.heads.options import LocalOptions
from labelbeam.heads.tensors import Tensors

if TYPE_CHECKING:
    from torch import Tensor


# Log-sum-exp pooling of a label's scores over the places of a map: between their average and their maximum.
#
#     s_p = w . x_p                                       the label's score at place p
#     z   = 1 / temperature * log mean_p exp(temperature * s_p)
#
# A small temperature gives the average, a large one the maximum. Source:
#     Pinheiro and Collobert, "From Image-level to Pixel-level Labeling with Convolutional Networks", CVPR 2015,
#     equation 1.


def log_sum_exp(
    scores: Float[np.ndarray, "images places labels"], options: LocalOptions
) -> Float[np.ndarray, "images places labels"]:
    """Return what each place adds to a label's score: its share of the exponentials, of the score.

    Args:
        scores: of each label at each place.

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


# Class-specific residual attention: a label's average over the places of a map, and more of where it is strongest.
#
#     s_p = w . x_p                                       the label's score at place p
#     z   = mean_p s_p + weight * sum_p softmax_p(temperature * s_p) * s_p
#
# No parameter beyond a linear head's; with weight 0 it is one on the averaged map. Source:
#     Zhu and Wu, "Residual Attention: A Simple but Effective Method for Multi-Label Recognition", ICCV 2021, equations
#     2 to 6 (arXiv 2108.02456), with one temperature; their logits are not normalised by the length of w.


def csra(
    scores: Float[np.ndarray, "images places labels"], options: LocalOptions
) -> Float[np.ndarray, "images places labels"]:
    """Return what each place adds to a label's score: summed over places they are it.

    Args:
        scores: of each label at each place.

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


# Attention by a query of each label: places count by what the label looks for, not by how strong it is there.
#
#     a   = softmax_p(temperature * q . x_p / channels)           where the label looks
#     z   = sum_p a_p * (w . x_p)                                 the label's score there
#
# One cross-attention with one head, whose keys are the places themselves and whose values are the label's scores; as
# many parameters as two linear heads. Sources:
#     Liu et al., "Query2Label", 2021 (arXiv 2107.10834), section 3; Ridnik et al., "ML-Decoder", WACV 2023.
#     Theirs have several heads, a feed-forward layer behind, and a residual; these queries are not the embeddings U_l.
#     Divided by the channels, not by their root: what Adam has moved is correlated with what it sees (Yang et al.,
#     "Tensor Programs V", 2022, arXiv 2203.03466, section 4).


def query_attention(
    scores: Float[np.ndarray, "images places labels"], queried: Float[np.ndarray, "images places labels"]
) -> Float[np.ndarray, "images places labels"]:
    """Return what each place adds to a label's score: summed over places they are it.

    Args:
        scores: of each label at each place.
        queried: how much each place is what each label looks for, in log-odds between places.

    Example:
        >>> query_attention(np.array([[[2.0], [8.0]]]), np.log([[[3.0], [1.0]]]))[0, :, 0].tolist()
        [1.5, 2.0]
    """
    attention = np.exp(queried - queried.max(axis=1, keepdims=True))
    parts: np.ndarray = scores * attention / attention.sum(axis=1, keepdims=True)
    return parts


def query_attention_of_tensor(scores: "Tensor", queried: "Tensor") -> "Tensor":
    """Return the scores [batch labels] from both [batch places labels]; the twin of `query_attention`, summed."""
    return (scores * queried.softmax(dim=1)).sum(dim=1)


TOGETHER = 64
"""Maps multiplied at a time: bounds the memory of single-precision copies."""

PARTS: Mapping[str, Callable[[np.ndarray, LocalOptions], np.ndarray]] = {
    "csra": csra,
    "log-sum-exp": log_sum_exp,
}
"""By name, from scores [images places labels] to what each place adds, without a query."""

QUERIES = "query-attention"
"""The local evidence whose labels have queries."""


@dataclass(frozen=True)
class Local:
    """Local evidence, trained.

    Attributes:
        weight: of a place's numbers in each label's score there, [channels labels]; their scaling is in it.
        offset: added to each label's score at every place: what scaling takes away.
        options: how places are pooled.
        after: numbers of the pooled vector, behind which a row's map begins.
        query: of a place's numbers in what each label looks for, scaling and temperature in it; None: no queries.
    """

    weight: Float32[np.ndarray, "channels labels"]
    offset: Float32[np.ndarray, " labels"]
    options: LocalOptions
    after: int
    query: Float32[np.ndarray, "channels labels"] | None = None

    @classmethod
    def of(cls, tensors: Tensors, options: LocalOptions, num_labels: int, *, after: int) -> "Local | None":
        """Take the arrays; None where the options name no local evidence.

        Raises:
            InputError: an array is missing or of another shape.
        """
        if options.name == "none":
            return None
        weight = tensors.take("local.weight", num_labels, None)
        channels = weight.shape[1]
        mean, deviation = (tensors.take(f"local.{name}", channels) for name in ("mean", "deviation"))
        weight, query = weight / deviation, None
        if options.name == QUERIES:  # the mean is in all places alike, so it says nothing between them
            query = tensors.take("local.query", num_labels, channels) / deviation
            query = np.ascontiguousarray(query.T * np.float32(options.temperature / channels))
        return cls(np.ascontiguousarray(weight.T), -weight @ mean, options, after, query)

    def at_places(self, rows: Float[np.ndarray, "images row"]) -> Float32[np.ndarray, "images places labels"]:
        """Return what each place of the map adds to each label's score."""
        maps = rows[:, self.after :].astype(np.float32).reshape(len(rows), -1, len(self.weight))
        scores = maps @ self.weight + self.offset
        if self.query is not None:
            return query_attention(scores, maps @ self.query)
        return PARTS[self.options.name](scores, self.options)

    def scores(self, rows: Float[np.ndarray, "images row"]) -> Float32[np.ndarray, "images labels"]:
        """Return each label's local score: the sum of what the places add."""
        blocks = [rows[first : first + TOGETHER] for first in range(0, max(1, len(rows)), TOGETHER)]
        return np.concatenate([self.at_places(block).sum(axis=1) for block in blocks])
