"""Trained heads that give one number per label from the features: sigmoid heads, the any-subset head, rankings.

The twins of the torch heads, as arrays; what the numbers mean is each class's.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64

from labelbeam.errors import InputError
from labelbeam.heads.label_model import relu
from labelbeam.heads.local import Local
from labelbeam.heads.options import LocalOptions, SigmoidOptions
from labelbeam.heads.tensors import Scaling, Tensors
from labelbeam.labels.vocabulary import ABSENT, PRESENT, Features, LabelSets, Targets

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
            num_labels: how many labels the run has.
            num_features: what the encoder gives; None: what the arrays say.
            local: of the training; None: no local evidence.

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

    def logits(self, features: Features) -> Float32[np.ndarray, "images labels"]:
        """Return one number per label, unbounded."""
        blocks = [features[first : first + BLOCK] for first in range(0, max(1, len(features)), BLOCK)]
        logits = np.concatenate([self._last(self._before(block)) for block in blocks])
        return logits if self.local is None else logits + self.local.scores(features)

    @property
    def label_points(self) -> Float32[np.ndarray, "labels width"]:
        """The weights of the last layer: a point per label, near where labels look alike to the head."""
        return self.last

    def before_last(self, features: Features) -> Float32[np.ndarray, "images width"]:
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

    def conditional(self, features: Features, evidence: Targets) -> Float64[np.ndarray, "images labels"]:
        """Return p(label | image, evidence) of every label; 1 and 0 for those accepted and rejected (-1: neither)."""
        logits = self.before_last_given(features, evidence) @ self.last.T + self._bias
        probs = np.exp(log_sigmoid(logits.astype(np.float64)))
        return np.where(evidence == PRESENT, 1.0, np.where(evidence == ABSENT, 0.0, probs))

    def before_last_given(
        self, features: Features, evidence: Targets
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

    def __init__(self, *arrays: Any, name: RankingName, **options: Any) -> None:
        """Take a head's arrays, as `TrainedScores`."""
        self.name = name
        super().__init__(*arrays, **options)

    def _take(self, tensors: Tensors, hidden_size: int) -> None:
        self.labels_per_image = int(tensors.take("labels_per_image", dtype=np.int64))

    def scores(self, features: Features) -> Float32[np.ndarray, "images labels"]:
        """Return ranking scores in [0, 1]; higher comes first. The softmax's sum to 1."""
        logits = self.logits(features)
        if self.name != "softmax":
            return np.exp(log_sigmoid(logits.astype(np.float64))).astype(np.float32)  # 0.5 where a logit is 0
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)

    def decided(self, scores: Float32[np.ndarray, "images labels"]) -> LabelSets:
        """Return the label set: the `labels_per_image` best (equal scores by rising id); of `asymmetric`, p >= 1/2."""
        if self.name == "asymmetric":
            return scores >= 0.5
        best = np.argsort(-scores, axis=1, kind="stable")[:, : self.labels_per_image]
        decided = np.zeros(scores.shape, dtype=bool)
        np.put_along_axis(decided, best, True, axis=1)
        return decided


Unary = Float64[np.ndarray, "images labels"]


class TrainedTree(TrainedScores):
    """A conditional random field on a tree, its pairs fixed; the network's numbers are its unary scores s.

        p(set | image) = T(y) exp(sum_l s_l y_l) / Z(image)

    All is exact in two passes over the tree: up, the sums (or maxima) over everything below a label; down, the
    marginals, or the most probable set. Unknown labels are summed out.
    """

    def _take(self, tensors: Tensors, hidden_size: int) -> None:
        self._parent = tensors.take("parent", self.num_labels, dtype=np.int64)
        self._log_given = tensors.take("log_given", self.num_labels, 2, 2).astype(np.float64)
        if self.num_labels and not -1 <= self._parent.min() <= self._parent.max() < self.num_labels:
            raise InputError("the tree's parents must be label ids, or -1 for a root.")
        self._levels = []
        at = self._parent < 0
        while at.any():
            self._levels.append(np.flatnonzero(at))
            at = np.isin(self._parent, self._levels[-1])
        if sum(map(len, self._levels)) < self.num_labels:
            raise InputError("the tree's parents are no tree: some labels are their own ancestors.")

    def log_partition(self, unary: Unary, evidence: Targets | None = None) -> Float64[np.ndarray, " images"]:
        """Return the log of the sum over all sets, or over those that agree with the evidence (-1: summed out)."""
        beliefs = self._beliefs(unary, evidence, np.logaddexp)
        roots = self._levels[0]
        below = beliefs[:, roots] + self._log_given[roots, 0]
        return np.logaddexp(below[..., 0], below[..., 1]).sum(axis=1)

    def marginals(self, unary: Unary) -> Float64[np.ndarray, "images labels"]:
        """Return p(l | image) of every label."""
        from_above = self._log_odds(self._beliefs(unary, None, np.logaddexp))  # [images labels 2]
        present = np.exp(log_sigmoid(from_above))  # given the parent absent, present
        probs = np.empty(unary.shape)
        for level in self._levels:
            above = probs[:, self._parent[level]] if level is not self._levels[0] else 0.0
            probs[:, level] = present[:, level, 0] * (1 - above) + present[:, level, 1] * above
        return probs

    def most_probable(self, unary: Unary) -> LabelSets:
        """Return the most probable set."""
        better = self._log_odds(self._beliefs(unary, None, np.maximum)) > 0
        return self._from_the_roots(better[:, None])[:, 0]

    def sample(
        self, unary: Unary, uniform: Float64[np.ndarray, "samples labels"]
    ) -> Bool[np.ndarray, "images samples labels"]:
        """Draw sets, roots first, by numbers in [0, 1) that all images share: no sample depends on the batch."""
        present = np.exp(log_sigmoid(self._log_odds(self._beliefs(unary, None, np.logaddexp))))
        return self._from_the_roots(uniform[:, :, None] < present[:, None])

    def _from_the_roots(self, chosen: np.ndarray) -> np.ndarray:
        """Return sets, from what each label is given its parent's two values, [images sets labels 2]."""
        sets = np.zeros(chosen.shape[:3], dtype=bool)
        for level in self._levels:
            above = sets[:, :, self._parent[level]]  # of a root: any, its two values are equal
            sets[:, :, level] = np.where(above, chosen[:, :, level, 1], chosen[:, :, level, 0])
        return sets

    def _log_odds(self, beliefs: np.ndarray) -> np.ndarray:
        """Return each label's log-odds given its parent's value, [images labels 2]."""
        pairs = beliefs[:, :, None] + self._log_given  # [images labels 2 2], rows: the parent's value
        return pairs[..., 1] - pairs[..., 0]

    def _beliefs(self, unary: np.ndarray, evidence: np.ndarray | None, over: np.ufunc) -> np.ndarray:
        """Return, for both values of each label, the log of the sum (or maximum) over everything below it."""
        beliefs = np.stack((np.zeros_like(unary), unary), axis=2)
        if evidence is not None:
            beliefs[np.stack((evidence == PRESENT, evidence == ABSENT), axis=2)] = -np.inf
        for level in reversed(self._levels[1:]):
            pairs = beliefs[:, level, None] + self._log_given[level]
            below = over(pairs[..., 0], pairs[..., 1])  # [images level 2]
            for k, parent in enumerate(self._parent[level]):
                beliefs[:, parent] += below[:, k]
        return beliefs
