"""A sigmoid head's network on top of a tree of labels: unary scores from the image, pairs from label statistics.

    p(set | image) = T(y) exp(sum_l s_l y_l) / Z(image)

T is a distribution over label sets in which each label depends on one other, fixed before training (a Chow-Liu tree of
the training labels); s = network(image). The network learns beside the tree, by the exact likelihood, so that what the
tree says is not counted twice. All is exact in one pass over the tree: Z by sums, the most probable set by maxima; the
derivative of log Z by s_l is p(l | image), that of the maximum is the label's place in the set. Unknown labels are
summed out. Knows no search and no label name.
"""

import torch
from jaxtyping import Bool, Float, Int, Int8
from torch import Tensor

from labelbeam.errors import InputError
from labelbeam.heads.options import SigmoidOptions
from labelbeam.labels.targets import ABSENT, PRESENT
from labelbeam.models.feature_scaling import FeatureScaling
from labelbeam.models.sigmoid_head import LabelScores


class TreeHead(LabelScores):
    """A conditional random field on a tree, its pairs fixed.

    Source:
        Chow and Liu 1968 (the tree); Lafferty, McCallum, Pereira 2001 (conditional random fields); Darwiche 2003, A
        differential approach to inference in Bayesian networks (marginals as derivatives).
    """

    parent: Tensor
    log_given: Tensor

    def __init__(self, num_labels: int, scaling: FeatureScaling, options: SigmoidOptions) -> None:
        super().__init__(num_labels, scaling, options)
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
        known: Int8[Tensor, "batch labels"] | None = None,
        *,
        maximum: bool = False,
    ) -> Float[Tensor, " batch"]:
        """Return the log of the sum over all sets, or over those that agree with what is known.

        Args:
            unary: s.
            known: 1 present, 0 absent, -1 summed out; None: nothing is known.
            maximum: the greatest term instead of the sum.
        """
        beliefs = self._beliefs(unary, known, maximum=maximum)
        roots = self._levels()[0]
        return _over(beliefs[:, roots] + self.log_given[roots, 0], maximum=maximum).sum(dim=1)

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

    def marginals(
        self,
        unary: Float[Tensor, "batch labels"],
        known: Int8[Tensor, "batch labels"] | None = None,
    ) -> Float[Tensor, "batch labels"]:
        """Return p(l | image, known): the derivative of log Z over the sets that agree with what is known.

        Args:
            unary: s.
            known: 1 accepted, 0 rejected, -1 not known; None: nothing is known.
        """
        return self._derivative(unary, known, maximum=False)

    def most_probable(self, unary: Float[Tensor, "batch labels"]) -> Bool[Tensor, "batch labels"]:
        """Return the most probable set."""
        return self._derivative(unary, None, maximum=True) > 0.5

    @torch.no_grad()
    def sample(
        self, unary: Float[Tensor, "batch labels"], uniform: Float[Tensor, "samples labels"]
    ) -> Bool[Tensor, "batch samples labels"]:
        """Draw sets, roots first.

        Args:
            unary: s.
            uniform: numbers in [0, 1), the same for all images: a sample does not depend on the batch.
        """
        beliefs = self._beliefs(unary, None, maximum=False)
        from_below = beliefs[:, None, :, 1] - beliefs[:, None, :, 0]  # [batch 1 labels]
        log_odds = self.log_given[:, :, 1] - self.log_given[:, :, 0]  # [labels 2], by the parent's value
        drawn = torch.zeros(len(unary), *uniform.shape, dtype=torch.bool, device=unary.device)
        for level in self._levels():
            above = drawn[:, :, self.parent[level].clamp(min=0)]  # of a root: any, its rows are equal
            from_above = torch.where(above, log_odds[level, 1], log_odds[level, 0])
            drawn[:, :, level] = uniform[:, level] < torch.sigmoid(from_below[:, :, level] + from_above)
        return drawn

    def _levels(self) -> list[Tensor]:
        """Return the labels by depth, roots first."""
        levels, at = [], self.parent < 0
        while at.any():
            levels.append(at.nonzero()[:, 0])
            at = torch.isin(self.parent, levels[-1])
        return levels

    def _beliefs(
        self, unary: Tensor, known: Tensor | None, *, maximum: bool
    ) -> Float[Tensor, "batch labels 2"]:
        """Return, for both values of each label, the log of the sum (or maximum) over everything below it."""
        beliefs = torch.stack((torch.zeros_like(unary), unary), dim=2)
        if known is not None:
            ruled_out = torch.stack((known == PRESENT, known == ABSENT), dim=2)
            beliefs = beliefs.masked_fill(ruled_out, -torch.inf)
        for level in reversed(self._levels()[1:]):
            # [batch level 2 2], rows: the parent's value
            pairs = beliefs[:, level, None] + self.log_given[level]
            beliefs = beliefs.index_add(1, self.parent[level], _over(pairs, maximum=maximum))
        return beliefs

    def _derivative(
        self, unary: Tensor, known: Tensor | None, *, maximum: bool
    ) -> Float[Tensor, "batch labels"]:
        with torch.inference_mode(False), torch.enable_grad():
            at = unary.detach().clone().requires_grad_()
            total = self.log_partition(at, known, maximum=maximum).sum()
            return torch.autograd.grad(total, at)[0]


def _over(beliefs: Tensor, *, maximum: bool) -> Tensor:
    """Sum or maximum over a label's two values, in logs."""
    return beliefs.max(dim=-1).values if maximum else beliefs.logsumexp(dim=-1)
