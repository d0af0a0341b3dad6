"""The arrays of a trained head by name, checked as they are taken, and the scaling of features before a head."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from labelbeam.errors import InputError


class Tensors:
    """Arrays by name, as `model.safetensors` has them; `take` gives one, `finish` refuses what is left."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays = arrays
        self._taken: set[str] = set()

    def take(self, name: str, *shape: int | None, dtype: type[np.generic] = np.float32) -> np.ndarray:
        """Return an array.

        Args:
            shape: its sizes; None where any size fits.
            dtype: what it is read as; stored may be another width of the same kind of number.

        Raises:
            InputError: there is none, or it has another shape or kind of numbers.
        """
        if name not in self._arrays:
            raise InputError(f"the array {name!r} is missing.")
        array = self._arrays[name]
        same_shape = len(array.shape) == len(shape) and all(
            wanted in (None, size) for wanted, size in zip(shape, array.shape, strict=True)
        )
        if not same_shape or array.dtype.kind != np.dtype(dtype).kind:
            wanted = " ".join("any" if size is None else str(size) for size in shape)
            raise InputError(
                f"the array {name!r} must be {np.dtype(dtype)} [{wanted}], it is {array.dtype} {list(array.shape)}."
            )
        self._taken.add(name)
        return array.astype(dtype, copy=False)

    def finish(self) -> None:
        """Refuse arrays that were not taken.

        Raises:
            InputError: there are some.
        """
        if left := sorted(set(self._arrays) - self._taken):
            raise InputError(f"it holds arrays that this kind of head does not have: {', '.join(left[:5])}.")


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

    def __call__(self, features: Float[np.ndarray, "images row"]) -> Float32[np.ndarray, "images features"]:
        """Return the scaled features; of rows with a map, those of the pooled vector.

        Args:
            features: as the encoder gives them, any precision.

        Example:
            >>> Scaling("l2", np.zeros(2, np.float32), np.ones(2, np.float32))(np.array([[3.0, 4.0]])).tolist()
            [[0.6000000238418579, 0.800000011920929]]
        """
        features = features[:, : len(self.mean)].astype(np.float32)
        return directions(features) if self.name == "l2" else (features - self.mean) / self.deviation


def directions(rows: Float32[np.ndarray, "rows numbers"]) -> Float32[np.ndarray, "rows numbers"]:
    """Return rows at length 1; zeros stay zeros."""
    lengths = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return rows / np.maximum(lengths, SMALLEST)
