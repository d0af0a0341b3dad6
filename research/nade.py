"""NADE: each label's chance from a hidden layer that adds up what the labels before it say.

Exact by construction, like the label model under `canonical`: a set is the product of its labels' conditionals in label
order. It differs in two things: the prefix is a sum before one squashing, no recurrence; and every label is a yes or no
of its own, no softmax over what comes next. Knows target matrices in label order; knows no pixels, features or heads.
"""

import torch
from jaxtyping import Float, Int8
from torch import Tensor, nn

from labelbeam.errors import InputError
from labelbeam.heads.sequences_torch import PAD, distinct_prefixes, sequences_of
from labelbeam.labels.vocabulary import ABSENT, PRESENT


class NADE(nn.Module):
    """The neural autoregressive distribution estimator.

    D labels, letters of the source:
        h_d = sigmoid(c + W_{.,<d} v_{<d})
        p(v_d = 1 | v_{<d}) = sigmoid(b_d + V_{d,.} h_d)

    Args:
        num_labels: D, columns in label order.
        hidden_size: units of h.

    Source:
        Larochelle and Murray 2011, The Neural Autoregressive Distribution Estimator, eq. 6 and 7. Weights here are not
        tied (V is not W transposed), as in the authors' later text (Uria et al. 2016).
    """

    def __init__(self, num_labels: int, hidden_size: int) -> None:
        super().__init__()
        if num_labels < 1 or hidden_size < 1:
            raise InputError(f"NADE needs labels and hidden units, given {num_labels} and {hidden_size}.")
        self.num_labels = num_labels
        self.W = nn.Parameter(torch.randn(num_labels, hidden_size) * hidden_size**-0.5)
        self.V = nn.Parameter(torch.randn(num_labels, hidden_size) * hidden_size**-0.5)
        self.c = nn.Parameter(torch.zeros(hidden_size))
        self.b = nn.Parameter(torch.zeros(num_labels))

    def forward(self, targets: Int8[Tensor, "batch labels"]) -> Float[Tensor, " batch"]:
        """Return -log p(set) in nats.

        h changes only where a label is present, so it is computed once per distinct prefix of present labels, and the
        labels said no to in between are a difference of two running sums.

        Args:
            targets: 1 present, 0 absent, columns in label order.

        Raises:
            InputError: another number of labels, or an unknown one.
        """
        check_sets(targets, self.num_labels)
        sequences = sequences_of(targets)
        prefixes = distinct_prefixes(sequences, self.num_labels)
        a = [self.c[None]]
        for parent, label in prefixes.levels:
            a.append(a[-1][parent] + self.W[label])
        logits = torch.sigmoid(torch.cat(a)) @ self.V.T + self.b  # [prefixes labels]
        log_no = -nn.functional.softplus(logits)
        # Up to, not including, each label; the last column is END, which says no to all that is left.
        said_no = nn.functional.pad(log_no.cumsum(dim=1), (1, 0))  # [prefixes labels+1]
        log_yes = nn.functional.pad(nn.functional.logsigmoid(logits), (0, 1))  # END says yes to nothing
        taught, following = sequences != PAD, sequences.clamp(min=0)
        before = nn.functional.pad(following[:, :-1] + 1, (1, 0))  # the first label still undecided
        before = torch.where(taught, before, 0)
        rows = prefixes.rows
        log_probs = said_no[rows, following] - said_no[rows, before] + log_yes[rows, following]
        return -log_probs.masked_fill(~taught, 0.0).sum(dim=1)


def check_sets(targets: Int8[Tensor, "batch columns"], num_labels: int) -> None:
    """Refuse targets that are no whole label sets.

    Raises:
        InputError: another number of labels, or an unknown one.
    """
    if targets.shape[1] != num_labels or not ((targets == PRESENT) | (targets == ABSENT)).all():
        raise InputError(
            f"label sets must be [images {num_labels}] of 1 (present) and 0 (absent), given {tuple(targets.shape)}. "
            "Images with unknown labels have no whole set: leave them out."
        )
