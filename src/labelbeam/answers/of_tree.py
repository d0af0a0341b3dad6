"""Answers of a tree head: scores, the most probable set and set likelihoods, all exact in a pass over the tree."""

import numpy as np
import torch
from jaxtyping import Float, Int8
from torch import Tensor

from labelbeam.answers.answers import Answers
from labelbeam.answers.of_sigmoid import BLOCK
from labelbeam.answers.search import Search
from labelbeam.decoding.set_samples import SetSamples
from labelbeam.models.tree_head import TreeHead


class TreeAnswerer:
    """Answers from a `TreeHead`; of `search` only the number and the seed of sampled sets matter."""

    def __init__(self, head: TreeHead, search: Search) -> None:
        self.head, self.search = head.eval(), search

    def answer(self, features: Float[np.ndarray, "images features"]) -> Answers:
        """Return marginals (their own bounds), and as path the most probable set, by falling marginal."""
        unary = self._unary(features)
        scores = self.head.marginals(unary).cpu().numpy().astype(np.float32)
        decided = self.head.most_probable(unary)
        with torch.no_grad():
            known = decided.to(torch.int8)
            log_probs = self.head.log_partition(unary, known) - self.head.log_partition(unary)
        paths = [
            tuple(int(label) for label in order[row[order]])
            for row, order in zip(
                decided.cpu().numpy(), np.argsort(-scores, axis=1, kind="stable"), strict=True
            )
        ]
        return Answers(
            scores,
            scores,
            scores,
            np.zeros_like(scores),
            paths,
            log_probs.cpu().numpy(),
            np.ones(len(scores), dtype=bool),
            lambda block: self._sets(unary[block]),
        )

    @torch.no_grad()
    def set_log_prob(
        self, features: Float[np.ndarray, "images features"], targets: Int8[np.ndarray, "images labels"]
    ) -> Float[np.ndarray, " images"]:
        """Return the log-probability of the true sets, nats; unknown labels are summed out exactly."""
        unary = self._unary(features)
        known = torch.from_numpy(targets.copy()).to(unary.device)
        return (self.head.log_partition(unary, known) - self.head.log_partition(unary)).cpu().numpy()

    def _sets(self, unary: Tensor) -> SetSamples:
        """Return equally weighted label sets; every image draws the same numbers."""
        samples = max(self.search.samples, 1)
        generator = torch.Generator().manual_seed(self.search.seed)
        uniform = torch.rand(samples, self.head.num_labels, generator=generator, dtype=torch.float64)
        sets = self.head.sample(unary, uniform.to(unary.device)).cpu().numpy()
        return SetSamples(sets, np.full(sets.shape[:2], 1 / samples))

    @torch.no_grad()
    def _unary(self, features: np.ndarray) -> Float[Tensor, "images labels"]:
        device = self.head.scaling.mean.device
        blocks = [
            self.head.logits(torch.from_numpy(features[first : first + BLOCK].astype(np.float32)).to(device))
            for first in range(0, len(features), BLOCK)
        ]
        return torch.cat(blocks).double()
