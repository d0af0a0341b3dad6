"""The asymmetric loss: binary cross-entropy in which easy absent labels hardly count.

    L+ = -(1 - p)^gamma+ log p                 for present labels, p = sigmoid(s)
    L- = -p_m^gamma- log(1 - p_m)              for absent ones, p_m = max(p - m, 0)

With gamma- above gamma+ the best p for a label that is present in a share q of alike images lies above q, and absent
labels below the margin m have no gradient at all: the scores rank, they are not p(label | image).
Knows no search and no label name.
"""

import torch
from jaxtyping import Float, Int8
from torch import Tensor, nn

from labelbeam.heads.options import AsymmetricOptions, SigmoidOptions
from labelbeam.labels.targets import PRESENT, UNKNOWN
from labelbeam.models.feature_scaling import FeatureScaling
from labelbeam.models.ranking_head import RankingHead


class AsymmetricHead(RankingHead):
    """A sigmoid per label under the asymmetric loss; its set holds the labels with a score of at least 1/2.

    Source:
        Ridnik et al. 2021, Asymmetric loss for multi-label classification, eq. 3 to 6. The gradient goes through the
        weights too, as printed; their code has that as an option.
    """

    def __init__(
        self,
        num_labels: int,
        scaling: FeatureScaling,
        options: SigmoidOptions,
        asymmetric: AsymmetricOptions,
    ) -> None:
        super().__init__(num_labels, scaling, options)
        self.asymmetric = asymmetric

    def forward(
        self, features: Float[Tensor, "batch features"], targets: Int8[Tensor, "batch labels"]
    ) -> Float[Tensor, " batch"]:
        """Return the loss per image, summed over the known labels; with all three numbers 0 it is cross-entropy.

        Args:
            features: encoder features.
            targets: 1 present, 0 absent, -1 unknown (left out of the sum).
        """
        numbers, logits = self.asymmetric, self.logits(features)
        p = torch.sigmoid(logits)
        if_present = -nn.functional.logsigmoid(logits) * (1 - p) ** numbers.gamma_positive
        if numbers.margin:
            p_m = (p - numbers.margin).clamp(min=0)
            log_absent = torch.log1p(-p_m)
        else:  # log(1 - p) in the form that no large logit breaks
            p_m, log_absent = p, nn.functional.logsigmoid(-logits)
        # 0 ** 0 is 1: with gamma- = 0 every absent label counts. A p_m of 0 would have an infinite slope below 1.
        weights = p_m.clamp(min=1e-12) ** numbers.gamma_negative if numbers.gamma_negative else 1.0
        losses = torch.where(targets == PRESENT, if_present, -log_absent * weights)
        return losses.masked_fill(targets == UNKNOWN, 0.0).sum(dim=1)
