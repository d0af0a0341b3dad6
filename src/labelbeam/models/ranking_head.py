"""Heads whose scores rank labels and are not probabilities that a label is present.

Such a head can say which labels come first, and by convention decides as many as training images have on average
(the paper's protocol: k of every image). It has no p(set | image). Knows no search and no label name.
"""

import torch
from jaxtyping import Int8
from torch import Tensor

from labelbeam.heads.options import SigmoidOptions
from labelbeam.labels.targets import PRESENT
from labelbeam.models.feature_scaling import FeatureScaling
from labelbeam.models.sigmoid_head import LabelScores


class RankingHead(LabelScores):
    """One number per label that says which labels come first; subclasses fill `forward`."""

    labels_per_image: Tensor

    def __init__(self, num_labels: int, scaling: FeatureScaling, options: SigmoidOptions) -> None:
        super().__init__(num_labels, scaling, options)
        self.register_buffer("labels_per_image", torch.ones((), dtype=torch.int64))

    @torch.no_grad()
    def start_from(self, targets: Int8[Tensor, "images labels"]) -> None:
        """Start from the labels' frequencies, and keep how many labels training images have (rounded, at least 1)."""
        super().start_from(targets)
        mean = float((targets == PRESENT).sum(dim=1).double().mean())
        self.labels_per_image.fill_(max(1, round(mean)))
