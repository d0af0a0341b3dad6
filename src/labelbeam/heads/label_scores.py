"""Trained heads that give one number per label from the features: sigmoid heads, the any-subset head, rankings.

The twins of the torch heads, as arrays; what the numbers mean is each class's.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int8

from labelbeam.errors import InputError
from labelbeam.heads.label_model import relu
from labelbeam.heads.local import Local
from labelbeam.heads.options import LocalOptions, SigmoidOptions
from labelbeam.heads.tensors import Scaling, Tensors
from labelbeam.labels.vocabulary import ABSENT, PRESENT

BLOCK = 8192
"""Images at a time: bounds the memory of single-precision copies."""

RankingName = Literal["softmax", "warp", "asymmetric"]


def log_sigmoid(x: np.ndarray) -> np.ndarray:
    """Return log(1 / (1 + exp(-x))), exact for x of any size.

    Example:
        >>> log_sigmoid(np.array([0.0, -1000.0])).round(3).tolist()
        [-0.693, -1000.0]
    """
    value: np.ndarray = -np.logaddexp(0, -x)
    return value


class TrainedScores:
    """A linear layer, or one with a hidden ReLU layer before it, from scaled features to a number per label.

    Attributes:
        arrays: by name, as they are stored.
        options: of the training.
        scaling: of features.
        num_labels: how many numbers an image gets.
        local: what places of the encoder's map add to them; None: nothing.
        last: the last layer's weights [labels width], a row per label.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        options: SigmoidOptions,
        *,
        scaling: str,
        num_labels: int,
        num_features: int | None = None,
        local: LocalOptions | None = None,
    ) -> None:
        """Take a head's arrays.

        Args:
            arrays: by name, as training stored them.
            options: of the training.
            scaling: its name.
            num_labels: how many labels the run has.
            num_features: what the encoder gives; None: what the arrays say.
            local: of the training; None: the head has no local evidence.

        Raises:
            InputError: an array is missing, of another shape, or not expected.
        """
        tensors, hidden_size = Tensors(arrays), options.hidden_size
        self.arrays, self.options, self.num_labels = arrays, options, num_labels
        self.scaling = Scaling.of(tensors, scaling, num_features)
        width = self.scaling.num_features
        self._hidden: tuple[np.ndarray, np.ndarray] | None = None
        if hidden_size:
            weight = tensors.take("before.1.weight", hidden_size, width)
            self._hidden, width = (weight.T, tensors.take("before.1.bias", hidden_size)), hidden_size
        self.last = tensors.take("last.weight", num_labels, width)
        self._bias = tensors.take("last.bias", num_labels)
        self.local = Local.of(tensors, local, num_labels, after=self.scaling.num_features) if local else None
        self._take(tensors, hidden_size)
        tensors.finish()

    def logits(self, features: Float[np.ndarray, "images features"]) -> Float32[np.ndarray, "images labels"]:
        """Return one number per label, unbounded."""
        blocks = [features[first : first + BLOCK] for first in range(0, max(1, len(features)), BLOCK)]
        logits = np.concatenate([self._last(self._before(block)) for block in blocks])
        return logits if self.local is None else logits + self.local.scores(features)

    @property
    def label_points(self) -> Float32[np.ndarray, "labels width"]:
        """The weights of the last layer: a point per label, near where labels look alike to the head."""
        return self.last

    def before_last(
        self, features: Float[np.ndarray, "images features"]
    ) -> Float32[np.ndarray, "images width"]:
        """Return what the last layer reads: hidden units, or the scaled features of a linear head."""
        values = self._before(features)
        return values if self._hidden is None else relu(values)

    def _take(self, tensors: Tensors, hidden_size: int) -> None:
        """Take what a subclass has beside the network."""

    def _before(self, features: np.ndarray) -> np.ndarray:
        """Return the hidden layer before its ReLU, or the scaled features."""
        values = self.scaling(features)
        return values if self._hidden is None else values @ self._hidden[0] + self._hidden[1]

    def _last(self, values: np.ndarray) -> np.ndarray:
        return (values if self._hidden is None else relu(values)) @ self.last.T + self._bias


class TrainedSigmoid(TrainedScores):
    """One probability per label, each by itself; the numbers are log-odds."""


class TrainedAnySubset(TrainedSigmoid):
    """A sigmoid head that takes evidence about the other labels."""

    def conditional(
        self, features: Float[np.ndarray, "images features"], evidence: Int8[np.ndarray, "images labels"]
    ) -> Float64[np.ndarray, "images labels"]:
        """Return p(label | image, evidence) of every label; 1 and 0 for the labels of the evidence.

        Args:
            features: encoder features.
            evidence: 1 accepted, 0 rejected, -1 neither.
        """
        logits = self.before_last_given(features, evidence) @ self.last.T + self._bias
        probs = np.exp(log_sigmoid(logits.astype(np.float64)))
        return np.where(evidence == PRESENT, 1.0, np.where(evidence == ABSENT, 0.0, probs))

    def before_last_given(
        self, features: Float[np.ndarray, "images features"], evidence: Int8[np.ndarray, "images labels"]
    ) -> Float32[np.ndarray, "images hidden"]:
        """Return the hidden units, given evidence: 1 accepted, 0 rejected, -1 neither."""
        states = np.concatenate((evidence == PRESENT, evidence == ABSENT), axis=1)  # [images 2*labels]
        hidden: np.ndarray = relu(self._before(features) + states.astype(np.float32) @ self._from_known)
        return hidden

    def _take(self, tensors: Tensors, hidden_size: int) -> None:
        if not hidden_size:
            raise InputError(
                "the head 'any-subset' needs a hidden layer, its configuration says hidden_size 0."
            )
        self._from_known = tensors.take("from_known.weight", hidden_size, 2 * self.num_labels).T


class TrainedRanking(TrainedScores):
    """A head whose scores rank labels and are not probabilities that a label is present.

    Attributes:
        name: how it was trained.
        labels_per_image: how many labels training images have on average, rounded.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        options: SigmoidOptions,
        *,
        name: RankingName,
        scaling: str,
        num_labels: int,
        num_features: int | None = None,
    ) -> None:
        """Take a head's arrays; arguments as `TrainedScores`.

        Raises:
            InputError: an array is missing, of another shape, or not expected.
        """
        self.name = name
        super().__init__(arrays, options, scaling=scaling, num_labels=num_labels, num_features=num_features)

    def _take(self, tensors: Tensors, hidden_size: int) -> None:
        self.labels_per_image = int(tensors.take("labels_per_image", dtype=np.int64))

    def scores(self, features: Float[np.ndarray, "images features"]) -> Float32[np.ndarray, "images labels"]:
        """Return ranking scores in [0, 1]; higher comes first. The softmax's sum to 1."""
        logits = self.logits(features)
        if self.name != "softmax":
            return np.exp(log_sigmoid(logits.astype(np.float64))).astype(np.float32)  # 0.5 where a logit is 0
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)

    def decided(self, scores: Float32[np.ndarray, "images labels"]) -> Bool[np.ndarray, "images labels"]:
        """Return the label set: the `labels_per_image` best (equal scores by rising id); of `asymmetric`, p >= 1/2."""
        if self.name == "asymmetric":
            return scores >= 0.5
        best = np.argsort(-scores, axis=1, kind="stable")[:, : self.labels_per_image]
        decided = np.zeros(scores.shape, dtype=bool)
        np.put_along_axis(decided, best, True, axis=1)
        return decided
