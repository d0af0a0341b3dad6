"""The rival: a sigmoid per label on the same features, linear or with one hidden layer.

It models each label alone: p(set | image) is a product. Where that is enough, it is the better tool, and it
is trained, saved, evaluated and served by the same verbs as the label model.
"""

import torch
from jaxtyping import Float, Int8
from torch import Tensor, nn

from labelbeam.heads.options import SigmoidOptions
from labelbeam.labels.targets import PRESENT, UNKNOWN
from labelbeam.models.feature_scaling import FeatureScaling


class LabelScores(nn.Module):
    """Features [batch features] to one number per label: the network that several heads share.

    What the numbers mean, and the loss that gives them the meaning, is the subclass's.
    """

    def __init__(self, num_labels: int, scaling: FeatureScaling, options: SigmoidOptions) -> None:
        super().__init__()
        self.num_labels, self.scaling, self.options = num_labels, scaling, options
        layers: list[nn.Module] = [nn.Dropout(options.feature_dropout)]
        width = scaling.feature_size
        if options.hidden_size:
            layers += [nn.Linear(width, options.hidden_size), nn.ReLU(), nn.Dropout(options.hidden_dropout)]
            width = options.hidden_size
        self.before = nn.Sequential(*layers)
        self.last = nn.Linear(width, num_labels)
        # A standardized input cannot say "most labels are absent"; starting from no opinion and the labels'
        # own frequencies (`start_from`) spares the hundreds of steps a bias needs to get there.
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    @torch.no_grad()
    def start_from(self, targets: Int8[Tensor, "images labels"]) -> None:
        """Set the biases to the log-odds of the labels' training frequencies, one image added to each side."""
        present, known = (targets == PRESENT).sum(dim=0) + 1.0, (targets != UNKNOWN).sum(dim=0) + 2.0
        self.last.bias.copy_(torch.logit(present / known))

    def logits(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch labels"]:
        """Return one number per label, unbounded."""
        return self.last(self.before(self.scaling(features)))


class SigmoidHead(LabelScores):
    """One probability per label, each by itself."""

    def forward(
        self, features: Float[Tensor, "batch features"], targets: Int8[Tensor, "batch labels"]
    ) -> Float[Tensor, " batch"]:
        """Return -log p(set | image) per image in nats: binary cross-entropy summed over the known labels.

        Args:
            features: encoder features.
            targets: 1 present, 0 absent, -1 unknown (left out of the sum).
        """
        present = (targets == PRESENT).float()
        losses = nn.functional.binary_cross_entropy_with_logits(
            self.logits(features), present, reduction="none"
        )
        return losses.masked_fill(targets == UNKNOWN, 0.0).sum(dim=1)
