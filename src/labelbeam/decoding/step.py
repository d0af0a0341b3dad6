"""The step: all that a search knows of a label model.

A label model maps a prefix of labels to a state and a row of numbers, and a prefix row and an image row to
the logits of every label and END. The image never enters the state, so a prefix is computed once for all
images. Knows no LSTM, no image, no search; models implement it, `decoding.trie` calls it.
"""

from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from labelbeam.errors import InputError, unknown_name

AllowedRule = Literal["canonical", "no-repeat", "paper"]
"""Which outcomes may follow a prefix, by name (`decoding.allowed` has the rules)."""


@runtime_checkable
class LabelStep(Protocol):
    """One step of a label model, batched over prefixes; float32 NumPy in and out.

    END is the outcome `num_labels`. With `additive` the logits are `rows + image_rows`, both as wide as
    there are outcomes: searches then never call `combine`. Otherwise (h = ReLU) rows are joint embeddings
    and `combine` turns them into logits.

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
    if step.additive and row.shape[1] != step.num_labels + 1:
        raise InputError(
            f"an additive step has one number per label and END in a row, {step.num_labels + 1}; "
            f"given rows of {row.shape[1]}. Set additive=False and give combine()."
        )
