"""From scores and paths to the decided label set: by the path, or by a threshold."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from labelbeam.answers.answers import Answers
from labelbeam.errors import InputError, unknown_name

RULES = ("path", "threshold")


@dataclass(frozen=True)
class Decision:
    """Which labels are decided.

    Raises:
        InputError: an unknown rule, or a threshold outside [0, 1].
    """

    rule: str = "path"
    """`path` (default): the labels of the most probable path, which is the most probable set under
    `canonical`. `threshold`: every label whose score reaches `threshold`."""
    threshold: float = 0.5
    """Least score of a decided label, for the rule `threshold`."""

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise unknown_name("decision rule", self.rule, RULES)
        if not 0 <= self.threshold <= 1:
            raise InputError(f"the threshold is {self.threshold}; scores lie in [0, 1], so must it.")

    @property
    def name(self) -> str:
        """The rule as results name it."""
        return "path" if self.rule == "path" else f"threshold {self.threshold:g}"

    def decide(self, answers: Answers) -> Bool[np.ndarray, "images labels"]:
        """Return the decided sets."""
        return answers.path_sets() if self.rule == "path" else answers.scores >= self.threshold
