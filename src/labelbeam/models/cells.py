"""Recurrent cells over label embeddings: what o(t) is, given the labels said so far.

A cell sees label embeddings only; the image joins after it (`models.label_model`). Its state is one tensor
[batch state], so that a prefix trie can store it as bytes without knowing what is inside.

Letters are those of Wang et al. 2016, eq. 1: r the state, w the label embedding, x the candidate,
i, f, o the input, forget and output gates.
"""

from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelbeam.errors import unknown_name
from labelbeam.heads.options import CellName

GATES = 4
FORGET = 1  # which quarter of the gate vector is the forget gate, in every cell


class Cell(nn.Module):
    """A recurrent cell; subclasses fill `forward`.

    Attributes:
        state_size: numbers in a state.
        output_size: numbers in an output o(t).
    """

    def __init__(self, state_size: int, output_size: int) -> None:
        super().__init__()
        self.state_size, self.output_size = state_size, output_size
        # Knows the device; a cell need not have parameters.
        self.register_buffer("origin", torch.zeros(1), persistent=False)

    origin: Tensor

    def start(self, batch: int) -> Float[Tensor, "{batch} state"]:
        """Return the state before START is read: zeros."""
        return self.origin.new_zeros(batch, self.state_size)


class LSTM(Cell):
    """Textbook LSTM: sigmoid gates, tanh candidate and output, recurrence on the gated output."""

    def __init__(self, embedding_size: int, hidden_size: int, *, bias: bool = True) -> None:
        super().__init__(2 * hidden_size, hidden_size)
        self.from_label = nn.Linear(embedding_size, GATES * hidden_size, bias=bias)
        self.from_state = nn.Linear(hidden_size, GATES * hidden_size, bias=False)
        initialise_gates(self.from_label, self.from_state)

    def forward(
        self, w: Float[Tensor, "batch embedding"], state: Float[Tensor, "batch state"]
    ) -> tuple[Float[Tensor, "batch hidden"], Float[Tensor, "batch state"]]:
        """Read one label embedding; return the output o(t) and the next state."""
        output, r = state.chunk(2, dim=1)
        i, f, x, o = (self.from_label(w) + self.from_state(output)).chunk(GATES, dim=1)
        r = torch.sigmoid(f) * r + torch.sigmoid(i) * torch.tanh(x)
        output = torch.sigmoid(o) * torch.tanh(r)
        return output, torch.cat((output, r), dim=1)


class PaperLSTM(Cell):
    """The paper's eq. 1: recurrence on the cell state r(t-1), ReLU candidate, no squashing of the output.

    `literal` is the print: the same ReLU for the three gates, which are then unbounded. Differs from the
    print in o(t) = r(t) * o_t, whose right-hand side prints o(t) for the gate o_t.
    """

    def __init__(self, embedding_size: int, hidden_size: int, *, bias: bool = True, literal: bool) -> None:
        super().__init__(hidden_size, hidden_size)
        self.gate = torch.relu if literal else torch.sigmoid
        self.from_label = nn.Linear(embedding_size, GATES * hidden_size, bias=bias)
        self.from_state = nn.Linear(hidden_size, GATES * hidden_size, bias=False)
        initialise_gates(self.from_label, self.from_state)

    def forward(
        self, w: Float[Tensor, "batch embedding"], state: Float[Tensor, "batch state"]
    ) -> tuple[Float[Tensor, "batch hidden"], Float[Tensor, "batch state"]]:
        """Read one label embedding; return the output o(t) and the next state r(t)."""
        i, f, x, o = (self.from_label(w) + self.from_state(state)).chunk(GATES, dim=1)
        r = self.gate(f) * state + self.gate(i) * torch.relu(x)
        return self.gate(o) * r, r


class LabelSum(Cell):
    """No recurrence: o(t) is the sum of the label embeddings said so far, START included."""

    def __init__(self, embedding_size: int) -> None:
        super().__init__(embedding_size, embedding_size)

    def forward(
        self, w: Float[Tensor, "batch embedding"], state: Float[Tensor, "batch state"]
    ) -> tuple[Float[Tensor, "batch hidden"], Float[Tensor, "batch state"]]:
        """Add one label embedding; the output is the state."""
        total = state + w
        return total, total


def initialise_gates(from_label: nn.Linear, from_state: nn.Linear) -> None:
    """Draw gate weights uniformly within 1/sqrt(hidden), biases zero but the forget gate's, which is 1.

    The paper gives no initialisation; this is PyTorch's, with the forget bias of Jozefowicz et al. 2015.
    """
    hidden = from_state.in_features
    for linear in (from_label, from_state):
        nn.init.uniform_(linear.weight, -(hidden**-0.5), hidden**-0.5)
    if from_label.bias is not None:
        nn.init.zeros_(from_label.bias)
        from_label.bias.data[FORGET * hidden : (FORGET + 1) * hidden] = 1.0


def build_cell(name: str, embedding_size: int, hidden_size: int, *, bias: bool = True) -> Cell:
    """Build a cell by name.

    Raises:
        InputError: the name is not one of `CellName`.
    """
    if name == "lstm":
        return LSTM(embedding_size, hidden_size, bias=bias)
    if name in ("paper", "paper-gated"):
        return PaperLSTM(embedding_size, hidden_size, bias=bias, literal=name == "paper")
    if name == "none":
        return LabelSum(embedding_size)
    raise unknown_name("cell", name, get_args(CellName))
