"""A sigmoid head's network on top of a tree of labels: unary scores from the image, pairs from label statistics.

    p(set | image) = T(y) exp(sum_l s_l y_l) / Z(image)

T is a distribution over label sets in which each label depends on one other, fixed before training (a Chow-Liu tree of
the training labels); s = network(image). The network learns beside the tree, by the exact likelihood, so that what the
tree says is not counted twice. Z is exact in one pass over the tree; unknown labels are summed out. What a trained one
answers is `heads.tree`'s. Knows no search and no label name.
"""

from typing import ClassVar

import torch
from jaxtyping import Float, Int, Int8
from torch import Tensor

from labelbeam.errors import InputError
from labelbeam.heads.label_scores_torch import LabelScores
from labelbeam.heads.options import SigmoidOptions
from labelbeam.labels.vocabulary import ABSENT, PRESENT


class TreeHead(LabelScores):
    """A conditional random field on a tree, its pairs fixed.

    Source:
        Chow and Liu 1968 (the tree); Lafferty, McCallum, Pereira 2001 (conditional random fields).
    """

    parent: Tensor
    log_given: Tensor

    head_name: ClassVar[str] = "chow-liu"

    def __init__(
        self,
        num_labels: int,
        num_features: int,
        options: SigmoidOptions | None = None,
        *,
        scaling: str = "none",
    ) -> None:
        super().__init__(num_labels, num_features, options, scaling=scaling)
        # Until `set_tree`: no pair at all, every label as often present as absent.
        self.register_buffer("parent", torch.full((num_labels,), -1, dtype=torch.int64))
        self.register_buffer("log_given", torch.full((num_labels, 2, 2), 0.5).log())

    @torch.no_grad()
    def set_tree(self, parent: Int[Tensor, " labels"], given: Float[Tensor, "labels 2 2"]) -> None:
        """Take the pairs.

        Args:
            parent: of each label; -1 for a root.
            given: p(y_l = column | y_parent = row), above 0; a root's rows are equal.

        Raises:
            InputError: probabilities that are not above 0, or parents that go round in a circle.
        """
        if not (given > 0).all():
            raise InputError("a tree's probabilities must be above 0. Fit it with smoothing.")
        self.parent.copy_(parent)
        self.log_given.copy_(given.log())
        if sum(len(level) for level in self._levels()) < self.num_labels:
            raise InputError("these parents are no tree: some labels are their own ancestors.")

    @torch.no_grad()
    def start_from(self, targets: Int8[Tensor, "images labels"]) -> None:
        """Leave the biases at 0: the tree has the labels' frequencies."""

    def log_partition(
        self,
        unary: Float[Tensor, "batch labels"],
        evidence: Int8[Tensor, "batch labels"] | None = None,
    ) -> Float[Tensor, " batch"]:
        """Return the log of the sum over all sets, or over those that agree with the evidence.

        Args:
            unary: s.
            evidence: 1 present, 0 absent, -1 summed out; None: none.
        """
        beliefs = self._beliefs(unary, evidence)
        roots = self._levels()[0]
        return (beliefs[:, roots] + self.log_given[roots, 0]).logsumexp(dim=2).sum(dim=1)

    def forward(
        self, features: Float[Tensor, "batch features"], targets: Int8[Tensor, "batch labels"]
    ) -> Float[Tensor, " batch"]:
        """Return -log p(set | image) per image in nats; unknown labels are summed out exactly.

        Args:
            features: encoder features.
            targets: 1 present, 0 absent, -1 unknown.
        """
        unary = self.logits(features)
        return self.log_partition(unary) - self.log_partition(unary, targets)

    def _levels(self) -> list[Tensor]:
        """Return the labels by depth, roots first."""
        levels, at = [], self.parent < 0
        while at.any():
            levels.append(at.nonzero()[:, 0])
            at = torch.isin(self.parent, levels[-1])
        return levels

    def _beliefs(self, unary: Tensor, evidence: Tensor | None) -> Float[Tensor, "batch labels 2"]:
        """Return, for both values of each label, the log of the sum over everything below it."""
        beliefs = torch.stack((torch.zeros_like(unary), unary), dim=2)
        if evidence is not None:
            ruled_out = torch.stack((evidence == PRESENT, evidence == ABSENT), dim=2)
            beliefs = beliefs.masked_fill(ruled_out, -torch.inf)
        for level in reversed(self._levels()[1:]):
            # [batch level 2 2], rows: the parent's value
            pairs = beliefs[:, level, None] + self.log_given[level]
            beliefs = beliefs.index_add(1, self.parent[level], pairs.logsumexp(dim=3))
        return beliefs
