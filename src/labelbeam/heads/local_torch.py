"""Local evidence in training: one linear layer at every place of the encoder's last map, pooled label by label."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelbeam.heads.local import (
    QUERIES,
    TOGETHER,
    csra_of_tensor,
    log_sum_exp_of_tensor,
    query_attention_of_tensor,
)
from labelbeam.heads.options import LocalOptions

POOLED: Mapping[str, Callable[[Tensor, LocalOptions], Tensor]] = {
    "csra": csra_of_tensor,
    "log-sum-exp": log_sum_exp_of_tensor,
}
"""By name, from scores [batch places labels] to scores [batch labels]."""


class LocalScores(nn.Module):
    """Rows with a map [batch row] to one number per label.

    Places are scaled channel by channel, to mean zero and variance one over all places of the training images. Nothing
    is scaled place by place: it is folded into the weights, which are a thousandth of the numbers of a batch's maps.

    Args:
        num_labels: how many numbers there are.
        after: numbers of the pooled vector, behind which a row's map begins.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, num_labels: int, channels: int, options: LocalOptions, *, after: int) -> None:
        super().__init__()
        self.channels, self.options, self.after = channels, options, after
        self.weight = nn.Parameter(torch.zeros(num_labels, channels))
        # From nothing, all places count alike, as in an average.
        queries = options.name == QUERIES
        self.query = nn.Parameter(torch.zeros(num_labels, channels)) if queries else None
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    def fit(self, rows: Float[np.ndarray, "images row"]) -> None:
        """Take mean and deviation of every channel over all places of training images."""
        total, squares, places = np.zeros(self.channels), np.zeros(self.channels), 0
        for first in range(0, len(rows), TOGETHER):
            values = (
                rows[first : first + TOGETHER, self.after :].astype(np.float32).reshape(-1, self.channels)
            )
            total += values.sum(axis=0, dtype=np.float64)
            squares += np.einsum("pc,pc->c", values, values).astype(np.float64)
            places += len(values)
        mean = total / places
        deviation = np.sqrt(np.maximum(squares / places - mean**2, 0.0))
        floor = max(0.01 * float(deviation.mean()), 1e-6)
        self.mean.copy_(torch.from_numpy(mean))
        self.deviation.copy_(torch.from_numpy(np.maximum(deviation, floor)))

    def forward(self, rows: Float[Tensor, "batch row"]) -> Float[Tensor, "batch labels"]:
        """Return each label's local score."""
        maps = rows[:, self.after :].float().unflatten(1, (-1, self.channels))  # [batch places channels]
        share = 1 / self.deviation  # of a channel's numbers, [channels] or [batch 1 channels]
        if self.training and self.options.dropout:
            # A channel is dropped at all places of an image, as from its average.
            share = share * nn.functional.dropout(
                maps.new_ones(len(maps), 1, self.channels), self.options.dropout
            )
        weight = self.weight * share  # [(batch) labels channels]
        scores = maps @ weight.mT - (weight @ self.mean).unsqueeze(-2)
        if self.query is None:
            return POOLED[self.options.name](scores, self.options)
        queried = maps @ (self.query * share).mT * (self.options.temperature / self.channels)
        return query_attention_of_tensor(scores, queried)


def local_scores(
    options: LocalOptions | None, num_labels: int, channels: int, *, after: int
) -> LocalScores | None:
    """Return the module that the options name, None where they name none."""
    if options is None or options.name == "none":
        return None
    return LocalScores(num_labels, channels, options, after=after)


def row_size(head: Any, features: Tensor) -> int:
    """Return how many numbers a row has that a head reads: those of the pooled vector, and a map of whatever grid."""
    size: int = head.scaling.feature_size
    local: LocalScores | None = getattr(head, "local", None)
    if local is None or features.ndim != 2:
        return size
    behind = features.shape[1] - size
    return features.shape[1] if behind > 0 and behind % local.channels == 0 else size + local.channels
