"""What is done to an encoder's features before a head reads them; fitted in training, kept with the head."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from labelbeam.heads.tensors import Tensors

SMALLEST = np.float32(1e-12)
"""Least length that features are divided by."""


@dataclass(frozen=True)
class Scaling:
    """Scales features.

    Attributes:
        name: one of `heads.options.ScalingName`.
        mean: of the training features; 0 unless the name is `standardize`.
        deviation: likewise; 1.
    """

    name: str
    mean: Float32[np.ndarray, " features"]
    deviation: Float32[np.ndarray, " features"]

    @classmethod
    def of(cls, tensors: Tensors, name: str, num_features: int | None) -> "Scaling":
        """Take the scaling's arrays.

        Raises:
            InputError: one is missing, or is of another number of features.
        """
        mean = tensors.take("scaling.mean", num_features)
        return cls(name, mean, tensors.take("scaling.deviation", len(mean)))

    @property
    def num_features(self) -> int:
        """How many features an image has."""
        return len(self.mean)

    def __call__(
        self, features: Float[np.ndarray, "images features"]
    ) -> Float32[np.ndarray, "images features"]:
        """Return the scaled features.

        Args:
            features: as the encoder gives them, any precision.

        Example:
            >>> Scaling("l2", np.zeros(2, np.float32), np.ones(2, np.float32))(np.array([[3.0, 4.0]])).tolist()
            [[0.6000000238418579, 0.800000011920929]]
        """
        features = features.astype(np.float32)
        return directions(features) if self.name == "l2" else (features - self.mean) / self.deviation


def directions(rows: Float32[np.ndarray, "rows numbers"]) -> Float32[np.ndarray, "rows numbers"]:
    """Return rows at length 1; zeros stay zeros."""
    lengths = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return rows / np.maximum(lengths, SMALLEST)
