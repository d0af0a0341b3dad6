"""The any-subset head: a sigmoid per label that is told what is known of the other labels.

Beside the features it reads, for every label, one of three states: known present, known absent, not known. In training
labels are revealed at random, in evaluation and tagging none is, which makes it a sigmoid head; asked with evidence, it
gives p(label | image, evidence) in one pass, without a search. It learns each conditional by itself: nothing makes
them conditionals of one joint distribution. Knows no search and no label name.
"""

import torch
from jaxtyping import Float, Int8
from torch import Tensor, nn

from labelbeam.errors import InputError
from labelbeam.heads.options import SigmoidOptions
from labelbeam.labels.targets import ABSENT, PRESENT, UNKNOWN
from labelbeam.models.feature_scaling import FeatureScaling
from labelbeam.models.sigmoid_head import SigmoidHead


class AnySubsetHead(SigmoidHead):
    """A two-layer sigmoid head whose hidden layer also reads which labels are known, and how.

    With nothing known it is a `SigmoidHead` and answers as one.

    Raises:
        InputError: no hidden layer; then labels could not interact.
    """

    def __init__(self, num_labels: int, scaling: FeatureScaling, options: SigmoidOptions) -> None:
        if not options.hidden_size:
            raise InputError(
                "the head 'any-subset' needs a hidden layer, given hidden_size 0. "
                "Leave sigmoid.hidden_size out (512), or take --head sigmoid."
            )
        super().__init__(num_labels, scaling, options)
        # The second half of the first layer's weights: features and states, concatenated, are its input.
        self.from_known = nn.Linear(2 * num_labels, options.hidden_size, bias=False)

    def logits(
        self, features: Float[Tensor, "batch features"], known: Int8[Tensor, "batch labels"] | None = None
    ) -> Float[Tensor, "batch labels"]:
        """Return one logit per label, given what is known of the labels.

        Args:
            features: encoder features.
            known: 1 known present, 0 known absent, -1 not known; None: nothing is known.
        """
        hidden = self.before[:2](self.scaling(features))  # [batch hidden], ReLU still to come
        if known is not None:
            states = torch.cat((known == PRESENT, known == ABSENT), dim=1)  # [batch 2*labels]
            hidden = hidden + self.from_known(states.to(hidden.dtype))
        return self.last(self.before[2:](hidden))

    def forward(
        self, features: Float[Tensor, "batch features"], targets: Int8[Tensor, "batch labels"]
    ) -> Float[Tensor, " batch"]:
        """Return the loss per image in nats: binary cross-entropy of the labels that were not revealed.

        In training each image draws a rate, and each of its known labels is revealed at that rate, whether it is
        present or absent. The loss of the others is scaled up to all known labels, so that the rate does not
        change its magnitude. Out of training nothing is revealed: -log p(set | image) as a sigmoid head has it.

        Args:
            features: encoder features.
            targets: 1 present, 0 absent, -1 unknown (never revealed, left out of the sum).
        """
        known = targets != UNKNOWN
        if not self.training:
            return super().forward(features, targets)
        rates = torch.rand(len(targets), 1, device=targets.device)
        asked = known & (torch.rand(targets.shape, device=targets.device) >= rates)
        logits = self.logits(features, targets.masked_fill(asked, UNKNOWN))
        losses = nn.functional.binary_cross_entropy_with_logits(
            logits, (targets == PRESENT).to(logits.dtype), reduction="none"
        )
        share = asked.sum(dim=1) / known.sum(dim=1).clamp(min=1)  # of the known labels; 0: nothing to learn
        return losses.masked_fill(~asked, 0.0).sum(dim=1) / share.clamp(min=1 / self.num_labels)
