"""The rival in training: `torch.nn.LSTM` over a packed, length-sorted batch; the same model, weights and loss.

As a competent user would write it: sequences sorted by length and packed, no padding after the recurrence
either. Used by `benchmarks/training.py` and by the test of equal gradients.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from labelbeam.heads.label_model_torch import CNNRNN, LSTM
from labelbeam.heads.sequences_torch import PAD, sequences_of
from labelbeam.labels.vocabulary import UNKNOWN


class PackedLSTM(nn.Module):
    """A label model that runs the recurrence over every sequence of the batch; canonical orders, h the identity.

    Args:
        model: whose weights are copied; its cell must be `lstm`.
    """

    def __init__(self, model: CNNRNN) -> None:
        super().__init__()
        cell = model.cell
        if not isinstance(cell, LSTM):
            raise TypeError("only the textbook cell is torch.nn.LSTM")
        self.num_labels, self.scaling = model.num_labels, model.scaling
        self.U_l = nn.Parameter(model.U_l.detach().clone())
        self.start = nn.Parameter(model.start.detach().clone())
        self.U_o = nn.Linear(model.U_o.in_features, model.U_o.out_features, bias=False)
        self.U_I = nn.Linear(model.U_I.in_features, model.U_I.out_features, bias=False)
        self.lstm = nn.LSTM(self.U_l.shape[1], self.U_o.in_features)
        self.dropout = nn.Dropout(model.projection_dropout.p)
        self.to(self.U_l.dtype)
        with torch.no_grad():
            self.U_o.weight.copy_(model.U_o.weight)
            self.U_I.weight.copy_(model.U_I.weight)
            self.lstm.weight_ih_l0.copy_(cell.from_label.weight)
            self.lstm.weight_hh_l0.copy_(cell.from_state.weight)
            self.lstm.bias_ih_l0.copy_(cell.from_label.bias)
            self.lstm.bias_hh_l0.zero_()

    def forward(self, features: Tensor, targets: Tensor) -> Tensor:
        """Return the mean of -log p(set | image) over a batch."""
        sequences = sequences_of(targets)
        lengths = (sequences != PAD).sum(dim=1)
        order = lengths.argsort(descending=True)
        sequences, lengths = sequences[order], lengths[order]
        steps = torch.arange(sequences.shape[1])
        there = (steps[:, None] < lengths).flatten()  # step by step, as a packed sequence is laid out
        wanted = sequences.T.flatten()[there]  # [tokens]
        image = order.repeat(len(steps))[there]
        said = torch.cat((torch.full((1, len(order)), -1), sequences.T[:-1])).flatten()[there]
        table = torch.cat((self.U_l[:-1], self.start))  # row -1: START
        w = nn.functional.embedding(torch.where(said < 0, self.num_labels, said), table)
        per_step = (steps[:, None] < lengths).sum(dim=1)
        output = self.lstm(PackedSequence(w, per_step))[0].data
        I = self.dropout(self.U_I(self.scaling(features)))  # noqa: E741  the paper's letter
        logits = (self.dropout(self.U_o(output)) + nn.functional.embedding(image, I)) @ self.U_l.T
        forbidden = torch.arange(self.num_labels + 1) <= said[:, None]
        forbidden[:, :-1] |= (targets == UNKNOWN)[image]
        logits = logits.masked_fill(forbidden, -torch.inf)
        return nn.functional.cross_entropy(logits, wanted, reduction="sum") / len(targets)

    def gradients(self) -> dict[str, Tensor]:
        """Return the gradients under the names of `CNNRNN`'s parameters."""
        named = {
            "U_l": self.U_l,
            "start": self.start,
            "U_o.weight": self.U_o.weight,
            "U_I.weight": self.U_I.weight,
            "cell.from_label.weight": self.lstm.weight_ih_l0,
            "cell.from_state.weight": self.lstm.weight_hh_l0,
            "cell.from_label.bias": self.lstm.bias_ih_l0,
        }
        return {name: parameter.grad for name, parameter in named.items() if parameter.grad is not None}
