"""From scores and paths to the decided label set: by the path, by thresholds, or for the best expected F1.

Each rule is the better one for another measure; docs/decisions.md has them side by side.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from labelbeam.answers.answers import Answers
from labelbeam.answers.expected_f1 import (
    best_f1_sets,
    sized_marginals_of_independent,
    sized_marginals_of_samples,
)
from labelbeam.answers.tuned_thresholds import OBJECTIVES, TunedThresholds
from labelbeam.errors import InputError, unknown_name

RULES = ("path", "threshold", "expected-f1")

DECIDED_TOGETHER = 256
"""Images whose sampled sets are in memory at a time; results do not depend on it."""


@dataclass(frozen=True)
class Decision:
    """Which labels are decided.

    Raises:
        InputError: an unknown rule or objective, a threshold outside [0, 1], or `abstain` outside [0, 1).
    """

    rule: str = "path"
    """`path` (default): the labels of the most probable path, which is the most probable set under
    `canonical`; best for whole sets. `threshold`: every label whose score reaches its threshold.
    `expected-f1`: the set with the greatest expected F1 of the image under the model's distribution over
    sets; best for the mean of the images' F1s."""
    threshold: float = 0.5
    """Least score of a decided label, for the rule `threshold`, where `tuned_for` is not given."""
    tuned_for: str | None = None
    """Take the run's thresholds instead, tuned on its validation images for this: `of1`, `example-f1` (one
    threshold each), `label-f1` or `subset-accuracy` (one per label)."""
    abstain: float = 0.0
    """Decide nothing for images that fit no better than this share of the run's validation images: 0.05 refuses
    at most 5 % of images like them (`answers.fitness`). 0 (default): never."""

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise unknown_name("decision rule", self.rule, RULES)
        if not 0 <= self.threshold <= 1:
            raise InputError(f"the threshold is {self.threshold}; scores lie in [0, 1], so must it.")
        if not 0 <= self.abstain < 1:
            raise InputError(f"abstain is {self.abstain}; it must be at least 0 (never) and below 1.")
        if self.tuned_for is not None and self.tuned_for not in OBJECTIVES:
            raise unknown_name("thing to tune thresholds for", self.tuned_for, OBJECTIVES)

    @property
    def name(self) -> str:
        """The rule as results name it."""
        name = self.rule
        if self.rule == "threshold":
            name += f" tuned for {self.tuned_for}" if self.tuned_for else f" {self.threshold:g}"
        return f"{name}, nothing where fits <= {self.abstain:g}" if self.abstain else name

    def decide(
        self, answers: Answers, thresholds: TunedThresholds | None = None
    ) -> Bool[np.ndarray, "images labels"]:
        """Return the decided sets.

        Args:
            answers: of some images, calibrated if the thresholds were tuned on calibrated scores.
            thresholds: what the run's calibration holds; None: it has none.

        Raises:
            InputError: tuned thresholds are asked for and there are none, or not one per label; expected F1 is asked
                of scores that only rank; abstaining is asked for and the run was not calibrated.
        """
        sets = self._decide(answers, thresholds)
        if self.abstain:
            if answers.fits is None:
                raise InputError(
                    "abstaining is asked for, but nothing says how odd an image may be: that is measured on "
                    "validation images when a training ends. Train with validation data, or leave abstain out."
                )
            sets = sets & (answers.fits > self.abstain)[:, None]
        return sets

    def _decide(
        self, answers: Answers, thresholds: TunedThresholds | None
    ) -> Bool[np.ndarray, "images labels"]:
        if self.rule == "path":
            return answers.path_sets()
        if self.rule == "expected-f1":
            if len(answers.scores) and np.isnan(answers.log_probs).all() and not answers.calibrated:
                raise InputError(
                    "expected-f1 needs probabilities, and this head's scores only rank labels. Train with validation "
                    "data, which calibrates them, or decide by --threshold."
                )
            return expected_f1_sets(answers)
        if self.tuned_for is None:
            return answers.scores >= self.threshold
        if thresholds is None:
            raise InputError(
                f"thresholds tuned for {self.tuned_for} are asked for, but the run has none: they are tuned on "
                "validation images when a training ends. Train with validation data, or give --threshold."
            )
        tuned = thresholds.of(self.tuned_for)
        if len(tuned) != answers.scores.shape[1]:
            raise InputError(f"there are {len(tuned)} thresholds for {answers.scores.shape[1]} labels.")
        return answers.scores >= tuned


def expected_f1_sets(answers: Answers) -> Bool[np.ndarray, "images labels"]:
    """Return the sets with the greatest expected F1: under sampled sets, or exactly for independent labels."""
    sets = np.zeros(answers.scores.shape, dtype=bool)
    for first in range(0, len(sets), DECIDED_TOGETHER):
        block = slice(first, first + DECIDED_TOGETHER)
        if answers.sample_sets is None:
            marginals = sized_marginals_of_independent(answers.scores[block])
        else:
            samples = answers.sample_sets(block)
            marginals = sized_marginals_of_samples(samples.sets, samples.weights)
        sets[block] = best_f1_sets(marginals).sets
    return sets
