"""k nearest neighbours as arrays: a label is as probable as it is frequent among the training images most alike.

    p(l | image) = (sum over neighbours of w y_l + s f_l) / (sum over neighbours of w + s)

The twin of `heads.nearest_neighbours_torch`, which remembers the images.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32

from labelbeam.errors import InputError
from labelbeam.heads.options import NeighbourOptions
from labelbeam.heads.tensors import Scaling, Tensors, directions
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN, Features

BLOCK = 256
"""Images at a time: bounds the memory of similarities to all training images."""


class TrainedNeighbours:
    """Answers from the remembered training images most alike.

    Attributes:
        arrays: by name, as they are stored.
        options: how neighbours vote.
        num_labels: how many labels the run has.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        options: NeighbourOptions,
        *,
        scaling: str,
        num_labels: int,
        num_features: int | None = None,
    ) -> None:
        """Take the remembered images; arguments as `label_scores.TrainedScores`.

        Raises:
            InputError: an array is missing, of another shape, or not expected; or no image is remembered.
        """
        tensors = Tensors(arrays)
        self.arrays, self.num_labels, self.options = arrays, num_labels, options
        self.scaling = Scaling.of(tensors, scaling, num_features)
        self._remembered = tensors.take("remembered", None, self.scaling.num_features, dtype=np.float16)
        self._known = tensors.take("known", len(self._remembered), num_labels, dtype=np.int8)
        self._frequencies = tensors.take("frequencies", num_labels)
        tensors.finish()

    @property
    def label_points(self) -> Float32[np.ndarray, "labels width"]:
        """Refuse: there is no point per label.

        Raises:
            InputError: always.
        """
        raise InputError("the head 'knn' compares images, not labels: it has no point per label.")

    def logits(self, features: Features) -> Float32[np.ndarray, "images labels"]:
        """Return the log-odds of p(l | image).

        Raises:
            InputError: no image is remembered.
        """
        if not len(self._remembered):
            raise InputError("the nearest-neighbour head remembers no image. Train it first.")
        blocks = [features[first : first + BLOCK] for first in range(0, max(1, len(features)), BLOCK)]
        probs = np.concatenate([self._votes(block) for block in blocks])
        return np.log(probs) - np.log1p(-probs)

    def _votes(self, features: np.ndarray) -> np.ndarray:
        cosines = directions(self.scaling(features)) @ self._remembered.astype(np.float32).T
        count = min(self.options.neighbours, len(self._remembered))
        nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]  # [images neighbours]
        near = np.take_along_axis(cosines, nearest, axis=1)
        weights = np.ones_like(near) if self.options.weighting == "equal" else np.maximum(near, 0)
        states = self._known[nearest]  # [images neighbours labels]
        voted = np.einsum("bn,bnl->bl", weights, (states == PRESENT).astype(np.float32))
        in_all = np.einsum("bn,bnl->bl", weights, (states != UNKNOWN).astype(np.float32))
        smoothing = np.float32(self.options.smoothing)
        return (voted + smoothing * self._frequencies) / (in_all + smoothing)
