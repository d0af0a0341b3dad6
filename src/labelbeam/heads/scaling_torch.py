"""What is done to an encoder's features before a head reads them; fitted in training, kept with the head."""

from typing import Any, get_args

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from labelbeam.data.feature_rows import READ_TOGETHER, FeatureRows
from labelbeam.errors import InputError, unknown_name
from labelbeam.heads.local_torch import row_size
from labelbeam.heads.options import ScalingName

Features = Float[Tensor, "batch features"]
"""As the encoder gives them, any precision."""
Targets = Shaped[Tensor, "batch labels"]
"""int8: 1 present, 0 absent, -1 unknown."""
Nats = Float[Tensor, " batch"]
"""A loss per image."""


class FeatureScaling(nn.Module):
    """Scales features [batch features]; the fitted mean and deviation travel in the state dict."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, name: str, feature_size: int) -> None:
        super().__init__()
        if name not in get_args(ScalingName):
            raise unknown_name("feature scaling", name, get_args(ScalingName))
        self.name, self.feature_size = name, feature_size
        self.register_buffer("mean", torch.zeros(feature_size))
        self.register_buffer("deviation", torch.ones(feature_size))

    def fit(self, features: Float[np.ndarray, "images features"] | FeatureRows) -> None:
        """Take mean and deviation from training features; does nothing for `l2` and `none`.

        A feature that hardly varies keeps a deviation of 1 percent of the average one, so that a stray
        value at test time is not blown up.
        """
        if self.name not in ("standardize", "common"):
            return
        # In blocks: half-precision features of a large data set need not exist in single precision at once.
        total, squares = np.zeros(self.feature_size), np.zeros(self.feature_size)
        rows = len(features)
        for block in (features[first : first + READ_TOGETHER] for first in range(0, rows, READ_TOGETHER)):
            values = block[:, : self.feature_size].astype(np.float64)
            total += values.sum(axis=0)
            squares += (values**2).sum(axis=0)
        mean = total / len(features)
        deviation = np.sqrt(np.maximum(squares / len(features) - mean**2, 0.0))
        if self.name == "common":
            deviation = np.full_like(deviation, np.sqrt((deviation**2).mean()))
        floor = max(0.01 * float(deviation.mean()), 1e-6)
        self.mean.copy_(torch.from_numpy(mean))
        self.deviation.copy_(torch.from_numpy(np.maximum(deviation, floor)))

    def forward(self, features: Float[Tensor, "batch row"]) -> Float[Tensor, "batch features"]:
        """Return the scaled features, in single precision; of rows with a map, those of the pooled vector."""
        features = features[:, : self.feature_size].float()
        if self.name == "l2":
            return nn.functional.normalize(features, dim=1)
        return (features - self.mean).div_(self.deviation)  # one array less to write


def check_sizes(num_labels: int, num_features: int) -> None:
    """Check sizes.

    Raises:
        InputError: a number below 1.
    """
    for name, given in (("num_labels", num_labels), ("num_features", num_features)):
        if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 1:
            raise InputError(f"{name} must be a whole number of at least 1, given {given!r:.60}.")


def check_batch(head: Any, features: Tensor, targets: Tensor) -> Tensor:
    """Return the targets as int8.

    Raises:
        InputError: another width, other numbers of images, or floating-point targets that are not 1, 0 or -1.
    """
    wanted = (row_size(head, features), head.num_labels)
    given = tuple(features.shape), tuple(targets.shape)
    if features.ndim != 2 or targets.ndim != 2 or (features.shape[1], targets.shape[1]) != wanted:
        raise InputError(
            f"the model takes features [batch {wanted[0]}] and targets [batch {wanted[1]}], given {list(given[0])} and "
            f"{list(given[1])}."
        )
    if targets.is_floating_point() and not ((targets == 1) | (targets == 0) | (targets == -1)).all():
        raise InputError("targets must be 1 (present), 0 (absent) or -1 (unknown); other numbers were given.")
    if len(features) != len(targets):
        raise InputError(f"there are features of {len(features)} images and targets of {len(targets)}.")
    return targets.to(torch.int8)
