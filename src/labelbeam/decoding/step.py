"""The step: all that a search knows of a label model; and a model written down as a table."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, get_args, runtime_checkable
from zlib import crc32

import numpy as np
from jaxtyping import Float, Int

from labelbeam.errors import InputError, unknown_name

# The step: all that a search knows of a label model.
#
# A label model maps a prefix of labels to a state and a row of numbers, and a prefix row and an image row to
# the logits of every label and END. The image never enters the state, so a prefix is computed once for all
# images. Knows no LSTM, no image, no search; models implement it, `decoding.trie` calls it.

AllowedRule = Literal["canonical", "no-repeat", "paper"]
"""Which outcomes may follow a prefix, by name (`decoding.allowed` has the rules)."""


@runtime_checkable
class LabelStep(Protocol):
    """One step of a label model, batched over prefixes; float32 NumPy in and out.

    END is the outcome `num_labels`. With `additive` the logits are `rows + image_rows`, both as wide as
    there are outcomes: searches then never call `combine`. Otherwise (h = ReLU) rows are joint embeddings
    and `combine` turns them into logits.

    Additive rows may hold one number more: END again, for prefixes where the image decides about it by another
    number than elsewhere. A prefix's row then holds -inf in one of the two.

    Attributes:
        num_labels: number of labels, END not counted.
        allowed: the rule the model was trained with.
        additive: whether logits are the sum of a prefix row and an image row.
    """

    num_labels: int
    allowed: AllowedRule
    additive: bool

    def start(self) -> tuple[Float[np.ndarray, "1 state"], Float[np.ndarray, "1 width"]]:
        """Return the state and the row of the empty prefix."""
        ...

    def step(
        self, states: Float[np.ndarray, "prefixes state"], labels: Int[np.ndarray, " prefixes"]
    ) -> tuple[Float[np.ndarray, "prefixes state"], Float[np.ndarray, "prefixes width"]]:
        """Return state and row of each prefix extended by one label."""
        ...

    def combine(
        self, rows: Float[np.ndarray, "prefixes width"], image_rows: Float[np.ndarray, "prefixes width"]
    ) -> Float[np.ndarray, "prefixes outcomes"]:
        """Return the logits of every label and END for pairs of a prefix row and an image row."""
        ...


def check_step(step: LabelStep) -> None:
    """Refuse a step that no search can use.

    Raises:
        InputError: unknown rule, no labels, or rows of another width than `additive` implies.
    """
    if step.allowed not in get_args(AllowedRule):
        raise unknown_name("rule of allowed labels", str(step.allowed), get_args(AllowedRule))
    if step.num_labels < 1:
        raise InputError(f"a label model needs at least one label, given num_labels={step.num_labels}.")
    state, row = step.start()
    if state.ndim != 2 or row.ndim != 2 or len(state) != 1 or len(row) != 1:
        raise InputError(
            f"start() must give a state [1 state] and a row [1 width], given {state.shape} and {row.shape}."
        )
    if step.additive and row.shape[1] - step.num_labels not in (1, 2):
        raise InputError(
            f"an additive step has one number per label and END in a row, {step.num_labels + 1}; "
            f"given rows of {row.shape[1]}. Set additive=False and give combine()."
        )


# A label model written down as a table: for tests, examples and explanations on paper.
#
# Its state is the prefix itself. Knows nothing of training; takes the place of a trained `LabelStep`.


class TableStep:
    """A `LabelStep` read from a table of logits by prefix, or drawn at random per prefix.

    Args:
        table: logits of every label and END by prefix; other prefixes have logits 0, or random ones.
        num_labels: number of labels, at most 255.
        allowed: rule of allowed outcomes.
        seed: draw logits of prefixes outside the table from N(0, scale^2), the same ones for the same seed.
        scale: standard deviation of the random logits.
        max_depth: longest prefix that can be represented.

    Example:
        >>> step = TableStep({(): [0.0, 1.0, 2.0]}, num_labels=2)
        >>> step.start()[1].tolist()
        [[0.0, 1.0, 2.0]]
    """

    additive = True

    def __init__(
        self,
        table: Mapping[tuple[int, ...], Sequence[float]],
        *,
        num_labels: int,
        allowed: AllowedRule = "canonical",
        seed: int | None = None,
        scale: float = 1.0,
        max_depth: int = 24,
    ) -> None:
        self.table = dict(table)
        self.num_labels = num_labels
        self.allowed: AllowedRule = allowed
        self.seed = seed
        self.scale = scale
        self.max_depth = max_depth

    def start(self) -> tuple[Float[np.ndarray, "1 state"], Float[np.ndarray, "1 width"]]:
        """Return the empty prefix and its logits."""
        state = np.full((1, self.max_depth), -1, dtype=np.float32)
        return state, self._row(())[None]

    def step(
        self, states: Float[np.ndarray, "prefixes state"], labels: Int[np.ndarray, " prefixes"]
    ) -> tuple[Float[np.ndarray, "prefixes state"], Float[np.ndarray, "prefixes width"]]:
        """Return the prefixes extended by one label, and their logits."""
        states = states.copy()
        depths = (states >= 0).sum(axis=1)
        states[np.arange(len(states)), depths] = labels
        prefixes = [tuple(int(i) for i in row if i >= 0) for row in states]
        return states, np.stack([self._row(prefix) for prefix in prefixes])

    def combine(
        self, rows: Float[np.ndarray, "prefixes width"], image_rows: Float[np.ndarray, "prefixes width"]
    ) -> Float[np.ndarray, "prefixes outcomes"]:
        """Return the sum of both rows."""
        return rows + image_rows

    def _row(self, prefix: tuple[int, ...]) -> Float[np.ndarray, " width"]:
        if prefix in self.table:
            return np.asarray(self.table[prefix], dtype=np.float32)
        if self.seed is None:
            return np.zeros(self.num_labels + 1, dtype=np.float32)
        generator = np.random.default_rng([self.seed, crc32(bytes(prefix)), len(prefix)])
        return (self.scale * generator.standard_normal(self.num_labels + 1)).astype(np.float32)
