"""The recurrent cells of a label model, as arrays: what o(t) is, given the labels said so far.

The twins of `models.cells`, whose equations and letters they share. Every label's share of the gate vector is computed
once, when the model is loaded: a step is then one matrix product, for the state alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int

from labelbeam.heads.tensors import Tensors

GATES = 4


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)) in the precision of x; it neither warns nor overflows, however large x is.

    Example:
        >>> sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist()
        [0.0, 0.5, 1.0]
    """
    return 0.5 * np.tanh(0.5 * x) + 0.5


def row_products(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return rows @ matrix, every row multiplied by itself: the same bits, whatever rows stand beside it.

    So what a trie holds of a prefix does not depend on the prefixes that were computed with it, and answers do not
    depend on the images before. For a few rows it is also faster than one product; for many it takes twice as long.

    Args:
        rows: [rows inner].
        matrix: [inner columns].
    """
    products: np.ndarray = np.matmul(rows[:, None], matrix)[:, 0]
    return products


def relu(x: np.ndarray) -> np.ndarray:
    """Return x where it is positive, else 0."""
    return np.maximum(x, 0)


@dataclass(frozen=True)
class Gated:
    """The textbook LSTM and the paper's two readings of eq. 1: r = f r + i x with gates of label and state.

    Attributes:
        from_label: the share of every label in the gate vector i, f, x, o, biases included; START is the last row.
        from_state: the matrix of the recurrence.
        gate: what squashes the three gates.
        squash: what squashes the candidate, and the textbook's output.
        textbook: whether recurrence is on the gated output, which is squashed (LSTM), or on r (the paper).
    """

    from_label: Float32[np.ndarray, "read gates"]
    from_state: Float32[np.ndarray, "hidden gates"]
    gate: Callable[[np.ndarray], np.ndarray]
    squash: Callable[[np.ndarray], np.ndarray]
    textbook: bool

    @property
    def output_size(self) -> int:
        """Units."""
        return len(self.from_state)

    @property
    def state_size(self) -> int:
        """Units, twice where the output is part of the state."""
        return len(self.from_state) * (2 if self.textbook else 1)

    def start(self) -> tuple[Float32[np.ndarray, "1 output"], Float32[np.ndarray, "1 state"]]:
        """Return output and state once START is read."""
        return self.step(np.zeros((1, self.state_size), np.float32), np.array([-1]))

    def step(
        self, states: Float32[np.ndarray, "prefixes state"], labels: Int[np.ndarray, " prefixes"]
    ) -> tuple[Float32[np.ndarray, "prefixes output"], Float32[np.ndarray, "prefixes state"]]:
        """Return output and next state, one label read."""
        hidden = self.output_size
        before, r = states[:, :hidden], states[:, -hidden:]  # the same columns in the paper's cells
        gates = row_products(before, self.from_state)  # [prefixes 4*hidden]
        gates += self.from_label[labels]
        i, f, x, o = (gates[:, k * hidden : (k + 1) * hidden] for k in range(GATES))
        r = self.gate(f) * r + self.gate(i) * self.squash(x)
        if not self.textbook:
            return self.gate(o) * r, r
        output = self.gate(o) * self.squash(r)
        return output, np.concatenate((output, r), axis=1)


@dataclass(frozen=True)
class LabelSum:
    """No recurrence: o(t) is the sum of the label embeddings said so far, START's included.

    Attributes:
        embeddings: of every label; START is the last row.
    """

    embeddings: Float32[np.ndarray, "read embedding"]

    @property
    def output_size(self) -> int:
        """Numbers of an embedding."""
        return self.embeddings.shape[1]

    @property
    def state_size(self) -> int:
        """Numbers of an embedding."""
        return self.embeddings.shape[1]

    def start(self) -> tuple[Float32[np.ndarray, "1 output"], Float32[np.ndarray, "1 state"]]:
        """Return output and state once START is read."""
        return self.embeddings[-1:], self.embeddings[-1:]

    def step(
        self, states: Float32[np.ndarray, "prefixes state"], labels: Int[np.ndarray, " prefixes"]
    ) -> tuple[Float32[np.ndarray, "prefixes output"], Float32[np.ndarray, "prefixes state"]]:
        """Return output and next state, one label read."""
        total = states + self.embeddings[labels]
        return total, total


def cell_of(
    tensors: Tensors, name: str, embeddings: Float32[np.ndarray, "read embedding"], *, bias: bool
) -> Gated | LabelSum:
    """Take a cell's arrays.

    Args:
        tensors: of the label model.
        name: one of `heads.options.CellName`.
        embeddings: of every label, then START's.
        bias: whether gates have biases.

    Raises:
        InputError: an array is missing or of another shape.
    """
    if name == "none":
        return LabelSum(embeddings)
    from_state = tensors.take("cell.from_state.weight", None, None)
    hidden = from_state.shape[1]
    tensors.take("cell.from_state.weight", GATES * hidden, hidden)
    from_label = embeddings @ tensors.take("cell.from_label.weight", GATES * hidden, embeddings.shape[1]).T
    if bias:
        from_label += tensors.take("cell.from_label.bias", GATES * hidden)
    textbook = name == "lstm"
    return Gated(
        from_label,
        np.ascontiguousarray(from_state.T),
        relu if name == "paper" else sigmoid,
        np.tanh if textbook else relu,
        textbook,
    )
