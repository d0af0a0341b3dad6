"""k nearest neighbours: a label is as probable as it is frequent among the training images most alike.

    p(l | image) = (sum over neighbours of w y_l + s f_l) / (sum over neighbours of w + s)

Nothing is learned: the head remembers the training images' features, in half precision, in the run. Alikeness is the
cosine of scaled features. Labels are independent given the image, as for a sigmoid head. Knows no label name.
"""

from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int8
from torch import Tensor, nn

from labelbeam.errors import InputError
from labelbeam.heads.options import NeighbourOptions
from labelbeam.heads.scaling_torch import Features, FeatureScaling, Nats, Targets, check_sizes
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN

BLOCK = 256  # images at a time: bounds the memory of similarities to all training images


class NearestNeighbours(nn.Module):
    """Remembers training images and answers from those most alike.

    Source:
        The baseline "KNN" of Wang et al. 2016, Table 1 (by Chua et al. 2009, NUS-WIDE, which ranks labels by their
        votes; weights and smoothing are ours, and make the votes probabilities).
    """

    remembered: Tensor
    known: Tensor
    frequencies: Tensor

    head_name: ClassVar[str] = "knn"

    def __init__(
        self,
        num_labels: int,
        num_features: int,
        options: NeighbourOptions | None = None,
        *,
        scaling: str = "none",
    ) -> None:
        super().__init__()
        check_sizes(num_labels, num_features)
        self.num_labels, self.options = num_labels, options or NeighbourOptions()
        self.scaling = FeatureScaling(scaling, num_features)
        self.register_buffer("remembered", torch.zeros(0, num_features, dtype=torch.float16))
        self.register_buffer("known", torch.zeros(0, num_labels, dtype=torch.int8))
        self.register_buffer("frequencies", torch.full((num_labels,), 0.5))

    def start_from(self, targets: Int8[Tensor, "images labels"]) -> None:
        """Leave everything to `remember`."""

    @torch.no_grad()
    def remember(self, features: Features, targets: Targets) -> None:
        """Take training images, in place of any before; the scaling has been fitted."""
        blocks = [self._direction(block).half() for block in features.split(BLOCK)]
        self.remembered, self.known = torch.cat(blocks), targets.clone()
        present, observed = (targets == PRESENT).sum(dim=0) + 1.0, (targets != UNKNOWN).sum(dim=0) + 2.0
        self.frequencies = present / observed

    def logits(self, features: Features) -> Float[Tensor, "batch labels"]:
        """Return the log-odds of p(l | image).

        Raises:
            InputError: nothing was remembered.
        """
        if not len(self.remembered):
            raise InputError("the nearest-neighbour head remembers no image. Call remember(…) first.")
        return torch.cat([torch.logit(self._votes(block)) for block in features.split(BLOCK)])

    def forward(self, features: Features, targets: Targets) -> Nats:
        """Return -log p(set | image) per image in nats, unknown labels left out."""
        losses = nn.functional.binary_cross_entropy_with_logits(
            self.logits(features), (targets == PRESENT).float(), reduction="none"
        )
        return losses.masked_fill(targets == UNKNOWN, 0.0).sum(dim=1)

    def _direction(self, features: Tensor) -> Float[Tensor, "batch features"]:
        return nn.functional.normalize(self.scaling(features), dim=1)

    def _votes(self, features: Tensor) -> Float[Tensor, "batch labels"]:
        cosines = self._direction(features) @ self.remembered.float().T  # [batch images]
        nearest = cosines.topk(min(self.options.neighbours, len(self.remembered)), dim=1)
        equal = self.options.weighting == "equal"
        weights = torch.ones_like(nearest.values) if equal else nearest.values.clamp(min=0)
        states = self.known[nearest.indices]  # [batch neighbours labels]
        voted = torch.einsum("bn,bnl->bl", weights, (states == PRESENT).float())
        in_all = torch.einsum("bn,bnl->bl", weights, (states != UNKNOWN).float())
        smoothing = self.options.smoothing
        return (voted + smoothing * self.frequencies) / (in_all + smoothing)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        """Make room for as many images as the stored head remembers; how many is nowhere else."""
        for name in ("remembered", "known"):
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, getattr(self, name).new_empty(len(stored), getattr(self, name).shape[1]))
        super()._load_from_state_dict(state_dict, prefix, *rest)
