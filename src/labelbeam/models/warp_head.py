"""WARP: every present label above every absent one, by a margin; mistakes near the top of the ranking weigh most.

    L = sum over l in G of  w(r_l) / r_l * sum over absent n of max(0, 1 - s_l + s_n)
    w(r) = 1 + 1/2 + ... + 1/r,   r_l: the number of absent labels n with a positive hinge

The papers draw absent labels until one has a positive hinge and estimate r_l from the number of draws, to save time
with 100,000 labels. With the thousand labels at most that we expect, all are looked at: this is the expectation of a
draw with the rank known. Its score ranks and is not p(label | image). Knows no search and no label name.
"""

import torch
from jaxtyping import Float, Int8
from torch import Tensor

from labelbeam.heads.options import SigmoidOptions
from labelbeam.labels.targets import ABSENT, PRESENT
from labelbeam.models.feature_scaling import FeatureScaling
from labelbeam.models.ranking_head import RankingHead


class WarpHead(RankingHead):
    """A ranking by the weighted approximate-rank pairwise loss, exact instead of sampled.

    Source:
        Weston, Bengio, Usunier 2011, WSABIE, eq. 2 to 5 (weights 1/j); Gong et al. 2013, Section 3.2.3; the baseline
        "WARP" of Wang et al. 2016, Tables 1 to 3.
    """

    weights: Tensor

    def __init__(self, num_labels: int, scaling: FeatureScaling, options: SigmoidOptions) -> None:
        super().__init__(num_labels, scaling, options)
        ranks = torch.arange(1, num_labels + 1, dtype=torch.float32)
        per_rank = (1 / ranks).cumsum(dim=0) / ranks  # w(r) / r
        self.register_buffer("weights", torch.cat((torch.zeros(1), per_rank)), persistent=False)

    def forward(
        self, features: Float[Tensor, "batch features"], targets: Int8[Tensor, "batch labels"]
    ) -> Float[Tensor, " batch"]:
        """Return the loss per image (no nats); memory: labels x the present labels of the batch.

        Args:
            features: encoder features.
            targets: 1 present, 0 absent, -1 unknown (in no pair).
        """
        logits = self.logits(features)
        images, labels = (targets == PRESENT).nonzero(as_tuple=True)  # [pairs]
        hinges = (1 - logits[images, labels][:, None] + logits[images]).clamp(min=0)  # [pairs labels]
        hinges = hinges.masked_fill((targets != ABSENT)[images], 0.0)
        ranks = (hinges > 0).sum(dim=1)  # no gradient: the weight is taken as it is
        losses = self.weights[ranks].to(hinges.dtype) * hinges.sum(dim=1)  # [pairs]
        return logits.new_zeros(len(targets)).index_add(0, images, losses)
