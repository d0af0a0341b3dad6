"""Which labels may follow a prefix, and how many labels a path may have.

Probabilities are always the softmax over the allowed outcomes, masked before normalising, so these rules
are part of the distribution. Knows prefixes as ids only; `decoding.trie` applies the masks once per prefix.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from labelbeam.decoding.step import AllowedRule
from labelbeam.errors import InputError

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
        num_labels: number of labels.
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
