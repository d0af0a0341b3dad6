"""The step: all that a search knows of a label model; which labels may follow a prefix.

A label model maps a prefix of labels to a state and a row of numbers, and a prefix row and an image row to the logits
of every label and END. The image never enters the state, so a prefix is computed once for all images. Probabilities
are the softmax over the allowed outcomes, masked before normalising, so which are allowed is part of the distribution.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args, runtime_checkable
from zlib import crc32

import numpy as np
from jaxtyping import Bool, Float, Int

from labelbeam.errors import InputError, unknown_name

AllowedRule = Literal["canonical", "no-repeat", "paper"]
"""Which outcomes may follow a prefix, by name (`allowed_outcomes` below has the rules)."""


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

    A step that is not additive may have `outputs`, float32 [outcomes embedding]: where `combine` multiplies
    max(0, row + image row) by it, except for the empty prefix and for numbers of a row behind the embedding, and, if
    `offsets`, adds those of the image row to the labels' logits. Compiled searches then do so themselves.
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


class TableStep:
    """A `LabelStep` for tests and examples: a table of logits by prefix, or drawn at random per prefix.

    Args:
        table: logits of every label and END by prefix; other prefixes have logits 0, or random ones.
        num_labels: number of labels, at most 255.
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


PAPER_MAX_LABELS = 20
"""Where a path ends at the latest under `paper`, whose paths may go on for ever (COCO has up to 18 labels)."""


@dataclass(frozen=True)
class PathLength:
    """How many labels a path has, as a named protocol: any number, at least k, or exactly k ("path-k").

    Below `minimum` END is masked out before normalising; at `maximum` END is the only outcome, so it is
    certain. Labels from which `minimum` could not be reached any more are masked like END. The result is a
    distribution of its own, renormalised step by step: not the unconstrained one conditioned on the length.

    Attributes:
        minimum: fewest labels of a path.
        maximum: most labels of a path; None: as many as the rule allows (`paper`: 20).

    Raises:
        InputError: negative, or the minimum above the maximum.

    Source:
        The paper imposes a minimum on NUS-WIDE (`docs`: C.1 row 13); exactly k is minimum = maximum = k.

    Example:
        >>> PathLength.exactly(3)
        PathLength(minimum=3, maximum=3)
    """

    minimum: int = 0
    maximum: int | None = None

    def __post_init__(self) -> None:
        if self.minimum < 0 or (self.maximum is not None and self.maximum < self.minimum):
            raise InputError(
                f"path length must be 0 <= minimum <= maximum, given minimum={self.minimum}, "
                f"maximum={self.maximum}. Leave maximum out for no upper limit."
            )

    @classmethod
    def exactly(cls, k: int) -> "PathLength":
        """Return the protocol "path-k": every path has k labels."""
        return cls(k, k)

    def longest(self, rule: AllowedRule, num_labels: int) -> int:
        """Return the most labels that a path can have under a rule.

        Raises:
            InputError: the minimum cannot be reached because labels do not repeat under the rule.
        """
        most = PAPER_MAX_LABELS if self.maximum is None else self.maximum
        if rule == "paper":
            return max(most, self.minimum) if self.maximum is None else most
        if self.minimum > num_labels:
            raise InputError(
                f"a path of at least {self.minimum} labels was asked for, but there are {num_labels} and "
                f"none repeats under {rule!r}. Ask for at most {num_labels}."
            )
        return num_labels if self.maximum is None else min(self.maximum, num_labels)


def allowed_outcomes(
    prefixes: Int[np.ndarray, "prefixes depth"], *, rule: AllowedRule, num_labels: int, length: PathLength
) -> Bool[np.ndarray, "prefixes outcomes"]:
    """Tell which labels, and whether END (last column), may follow each prefix.

    Args:
        prefixes: label ids, all of the same number of labels, in path order.
        rule: `canonical`: greater ids than the last one; `no-repeat`: labels not in the prefix; `paper`: all.
        length: fewest and most labels of a path.

    Returns:
        True where the outcome is allowed; every row has one.

    Raises:
        InputError: the length cannot be reached under the rule.

    Example:
        >>> allowed_outcomes(np.array([[1]]), rule="canonical", num_labels=3, length=PathLength()).astype(int)
        array([[0, 0, 1, 1]])
    """
    count, depth = prefixes.shape
    allowed = np.ones((count, num_labels + 1), dtype=bool)
    labels = np.arange(num_labels)
    if rule == "canonical" and depth:
        allowed[:, :num_labels] = labels > prefixes[:, -1:]
    elif rule == "no-repeat":
        for t in range(depth):
            allowed[np.arange(count), prefixes[:, t]] = False
    if rule == "canonical":  # labels after which too few are left to reach the minimum
        allowed[:, :num_labels] &= num_labels - 1 - labels >= length.minimum - depth - 1
    allowed[:, num_labels] = depth >= length.minimum
    if depth >= length.longest(rule, num_labels):
        allowed[:] = False
        allowed[:, num_labels] = True
    return allowed
