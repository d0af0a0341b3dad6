"""Answers of a tree head: scores, the most probable set and set likelihoods, all exact in a pass over the tree."""

import numpy as np
from jaxtyping import Float, Float64, Int8

from labelbeam.answers.answers import Answers
from labelbeam.answers.search import Search
from labelbeam.decoding.set_samples import SetSamples
from labelbeam.heads.tree import TreeHead


class TreeAnswerer:
    """Answers from a `TreeHead`; of `search` only the number and the seed of sampled sets matter."""

    def __init__(self, head: TreeHead, search: Search) -> None:
        self.head, self.search = head, search

    def answer(self, features: Float[np.ndarray, "images features"]) -> Answers:
        """Return marginals (their own bounds), and as path the most probable set, by falling marginal."""
        unary = self._unary(features)
        scores = self.head.marginals(unary).astype(np.float32)
        decided = self.head.most_probable(unary)
        log_probs = self.head.log_partition(unary, decided.astype(np.int8)) - self.head.log_partition(unary)
        paths = [
            tuple(int(label) for label in order[row[order]])
            for row, order in zip(decided, np.argsort(-scores, axis=1, kind="stable"), strict=True)
        ]
        return Answers(
            scores,
            scores,
            scores,
            np.zeros_like(scores),
            paths,
            log_probs,
            np.ones(len(scores), dtype=bool),
            lambda block: self._sets(unary[block]),
        )

    def set_log_prob(
        self, features: Float[np.ndarray, "images features"], targets: Int8[np.ndarray, "images labels"]
    ) -> Float[np.ndarray, " images"]:
        """Return the log-probability of the true sets, nats; unknown labels are summed out exactly."""
        unary = self._unary(features)
        return self.head.log_partition(unary, targets) - self.head.log_partition(unary)

    def _sets(self, unary: np.ndarray) -> SetSamples:
        """Return equally weighted label sets; every image draws the same numbers."""
        samples = max(self.search.samples, 1)
        uniform = np.random.default_rng(self.search.seed).random((samples, self.head.num_labels))
        sets = self.head.sample(unary, uniform)
        return SetSamples(sets, np.full(sets.shape[:2], 1 / samples))

    def _unary(self, features: np.ndarray) -> Float64[np.ndarray, "images labels"]:
        return self.head.logits(features).astype(np.float64)
