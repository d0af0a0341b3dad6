"""A sigmoid head's network on top of a tree of labels, as arrays; the twin of `heads.tree_torch`.

    p(set | image) = T(y) exp(sum_l s_l y_l) / Z(image)

All is exact in two passes over the tree: up, the sums (or maxima) over everything below a label; down, the marginals,
or the most probable set. Unknown labels are summed out.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int8

from labelbeam.errors import InputError
from labelbeam.heads.label_scores import TrainedScores, log_sigmoid
from labelbeam.heads.tensors import Tensors
from labelbeam.labels.vocabulary import ABSENT, PRESENT


class TrainedTree(TrainedScores):
    """A conditional random field on a tree, its pairs fixed; the network's numbers are its unary scores s."""

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

    def log_partition(
        self,
        unary: Float64[np.ndarray, "images labels"],
        evidence: Int8[np.ndarray, "images labels"] | None = None,
    ) -> Float64[np.ndarray, " images"]:
        """Return the log of the sum over all sets, or over those that agree with the evidence.

        Args:
            unary: s.
            evidence: 1 present, 0 absent, -1 summed out; None: none.
        """
        beliefs = self._beliefs(unary, evidence, np.logaddexp)
        roots = self._levels[0]
        below = beliefs[:, roots] + self._log_given[roots, 0]
        return np.logaddexp(below[..., 0], below[..., 1]).sum(axis=1)

    def marginals(self, unary: Float64[np.ndarray, "images labels"]) -> Float64[np.ndarray, "images labels"]:
        """Return p(l | image) of every label."""
        from_above = self._log_odds(self._beliefs(unary, None, np.logaddexp))  # [images labels 2]
        present = np.exp(log_sigmoid(from_above))  # given the parent absent, present
        probs = np.empty(unary.shape)
        for level in self._levels:
            above = probs[:, self._parent[level]] if level is not self._levels[0] else 0.0
            probs[:, level] = present[:, level, 0] * (1 - above) + present[:, level, 1] * above
        return probs

    def most_probable(self, unary: Float64[np.ndarray, "images labels"]) -> Bool[np.ndarray, "images labels"]:
        """Return the most probable set."""
        better = self._log_odds(self._beliefs(unary, None, np.maximum)) > 0
        return self._from_the_roots(better[:, None])[:, 0]

    def sample(
        self,
        unary: Float64[np.ndarray, "images labels"],
        uniform: Float64[np.ndarray, "samples labels"],
    ) -> Bool[np.ndarray, "images samples labels"]:
        """Draw sets, roots first.

        Args:
            unary: s.
            uniform: numbers in [0, 1), the same for all images: a sample does not depend on the batch.
        """
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
