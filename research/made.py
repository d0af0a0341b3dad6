"""MADE: an autoencoder of label sets, masked so that each label's chance is read from the labels before it alone.

Exact by construction: one pass gives every conditional of a set, in label order. Knows target matrices in label order;
knows no pixels, features or heads.
"""

from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int8
from nade import check_sets
from torch import Tensor, nn

from labelbeam.errors import InputError


class MADE(nn.Module):
    """The masked autoencoder for distribution estimation, one order and one draw of masks.

    D labels, letters of the source; m(k) is the last input that unit k may see:
        h(x) = g(b + (W * M^W) x)                                    M^W_{k,d} = 1 where m(k) >= d; deeper layers alike
        p(x_d = 1 | x_{<d}) = sigmoid(c + (V * M^V) h(x) + (A * M^A) x)   M^V_{d,k} = 1 where d > m(k); M^A: below
                                                                     the diagonal

    Args:
        num_labels: D, columns in label order.
        hidden_sizes: units of each hidden ReLU layer, first to last.
        dropout: chance of dropping each hidden unit.
        generator: draws m(k), uniformly from 1 to D-1.

    Source:
        Germain et al. 2015, MADE: Masked Autoencoder for Distribution Estimation, eq. 8 to 13 and, for direct
        connections A, Section 4.2. Their ensembles over orders and masks are left out.
    """

    def __init__(
        self,
        num_labels: int,
        hidden_sizes: tuple[int, ...],
        *,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if num_labels < 2 or min(hidden_sizes, default=0) < 1:
            raise InputError(
                f"MADE needs at least two labels and a hidden layer of at least one unit, given {num_labels} and "
                f"{hidden_sizes}."
            )
        self.num_labels = num_labels
        d = torch.arange(1, num_labels + 1)
        m = [d, *(torch.randint(1, num_labels, (size,), generator=generator) for size in hidden_sizes)]
        self.hidden = nn.ModuleList(Masked(after[:, None] >= before) for before, after in pairwise(m))
        self.V = Masked(d[:, None] > m[-1])
        self.A = Masked(d[:, None] > d)
        self.dropout = nn.Dropout(dropout)

    def forward(self, targets: Int8[Tensor, "batch labels"]) -> Float[Tensor, " batch"]:
        """Return -log p(set) in nats.

        Args:
            targets: 1 present, 0 absent, columns in label order.

        Raises:
            InputError: another number of labels, or an unknown one.
        """
        check_sets(targets, self.num_labels)
        x = targets.float()
        h = x
        for layer in self.hidden:
            h = self.dropout(torch.relu(layer(h)))
        logits = self.V(h) + self.A(x)  # [batch labels]
        return nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=1)


class Masked(nn.Linear):
    """A linear layer some of whose weights are 0 for good.

    Args:
        mask: [outputs inputs], which weights may be other than 0.
    """

    mask: Tensor

    def __init__(self, mask: Bool[Tensor, "outputs inputs"]) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask)

    def forward(self, inputs: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        """Return (W * M) inputs + b."""
        return nn.functional.linear(inputs, self.weight * self.mask, self.bias)
