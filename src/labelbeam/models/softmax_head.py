"""The paper's first baseline: one softmax over the labels, taught each image's labels in equal shares.

    L = -sum over l in G of (1 / |G|) log softmax(s)_l        G: the image's labels

Its score is p(a label drawn at random from the image's labels is l): labels compete, so an image with four labels gives
each 1/4. It ranks; it is not p(label | image). Knows no search and no label name.
"""

import torch
from jaxtyping import Float, Int8
from torch import Tensor

from labelbeam.labels.targets import PRESENT, UNKNOWN
from labelbeam.models.ranking_head import RankingHead


class SoftmaxHead(RankingHead):
    """A softmax over labels.

    Source:
        Gong et al. 2013, Deep convolutional ranking for multilabel image annotation, Section 3.2.1 (after Guillaumin
        et al. 2009); the baseline "Softmax" of Wang et al. 2016, Tables 1 to 3.
    """

    @torch.no_grad()
    def start_from(self, targets: Int8[Tensor, "images labels"]) -> None:
        """Start from each label's share of all labels that training images have, one added to each."""
        super().start_from(targets)
        counts = (targets == PRESENT).sum(dim=0) + 1.0
        self.last.bias.copy_((counts / counts.sum()).log())

    def forward(
        self, features: Float[Tensor, "batch features"], targets: Int8[Tensor, "batch labels"]
    ) -> Float[Tensor, " batch"]:
        """Return the cross-entropy per image in nats; 0 for an image without labels, which teaches nothing.

        Args:
            features: encoder features.
            targets: 1 present, 0 absent, -1 unknown (leaves the image's softmax).
        """
        present = targets == PRESENT
        # An image of which nothing is known has no softmax; nothing is masked there, and nothing counted.
        hidden = (targets == UNKNOWN) & present.any(dim=1, keepdim=True)
        log_probs = self.logits(features).masked_fill(hidden, -torch.inf).log_softmax(dim=1)
        shares = present.sum(dim=1).clamp(min=1)
        return -log_probs.masked_fill(~present, 0.0).sum(dim=1) / shares
