"""Answers of heads whose labels are independent, under rules: exact, as without.

The rules of a label model are kept inside its searches (`predict.label_model`); here are the heads that need no search,
and how scores of either kind are decided so that the decided set keeps the rules.
"""

import numpy as np

from labelbeam.decoding.independent import ruled_labels
from labelbeam.decoding.set_samples import SetSamples
from labelbeam.heads.label_scores import TrainedSigmoid
from labelbeam.heads.nearest_neighbours import TrainedNeighbours
from labelbeam.labels.arrays import ByLabel, Features, LabelSets, PerImage, PerLabel, Targets
from labelbeam.labels.rules import Limit
from labelbeam.predict.answers import Answers, SigmoidAnswerer

SAMPLES = 400
"""Sets drawn per image where a decision asks for sets."""


class RuledSigmoidAnswerer(SigmoidAnswerer):
    """Answers from independent log-odds, conditioned on limits; the most probable set that keeps them is exact."""

    def __init__(self, head: TrainedSigmoid | TrainedNeighbours, limits: tuple[Limit, ...]) -> None:
        super().__init__(head)
        self.limits, self.ruled = limits, ruled_labels(limits, head.num_labels)

    def answer(self, features: Features) -> Answers:
        """Return conditioned probabilities (their own bounds), and as path the most probable set, by falling score."""
        log_present, log_absent = self._log_probs(features)
        scores = self.ruled.marginals(log_present, log_absent).astype(np.float32)
        decided = self.ruled.most_probable(log_present, log_absent)
        paths = [
            tuple(int(label) for label in order[row[order]])
            for row, order in zip(decided, np.argsort(-scores, axis=1, kind="stable"), strict=True)
        ]
        uniform = np.random.default_rng(0).random(
            (SAMPLES, scores.shape[1])
        )  # the same numbers for every image

        def sample_sets(block: slice) -> SetSamples:
            sets = self.ruled.samples(log_present[block], log_absent[block], uniform)
            return SetSamples(sets, np.full(sets.shape[:2], 1 / SAMPLES))

        return Answers(
            scores,
            scores,
            scores,
            np.zeros_like(scores),
            paths,
            np.where(decided, log_present, log_absent).sum(axis=1),
            np.ones(len(scores), dtype=bool),
            sample_sets,
            limits=self.limits,
            kept=np.exp(self.ruled.log_mass(log_present, log_absent)),
        )

    def set_log_prob(self, features: Features, targets: Targets) -> PerImage:
        """Return log p(true set | image, the rules are kept), nats; -inf where the truth breaks them."""
        log_present, log_absent = self._log_probs(features)
        agreeing = self.ruled.log_mass(
            np.where(targets == 0, -np.inf, log_present), np.where(targets == 1, -np.inf, log_absent)
        )
        return agreeing - self.ruled.log_mass(log_present, log_absent)


def sets_above(scores: ByLabel, thresholds: float | PerLabel, limits: tuple[Limit, ...]) -> LabelSets:
    """Return the sets that keep limits and have the greatest sum of scores over thresholds.

    Without limits that is every label whose score reaches its threshold.
    """
    if not limits:
        return scores >= thresholds
    above = scores.astype(np.float64) - thresholds
    return ruled_labels(limits, scores.shape[1]).most_probable(above, np.zeros_like(above))


def conditioned_scores(scores: ByLabel, evidence: Targets, limits: tuple[Limit, ...]) -> ByLabel:
    """Return scores of independent labels, conditioned on limits and on labels that are known.

    Args:
        scores: p(label | image), or given evidence.
        evidence: 1 present, 0 absent, -1 nothing known.
        limits: some set keeps them and agrees with the evidence.
    """
    with np.errstate(divide="ignore"):
        log_present, log_absent = np.log(scores), np.log1p(-scores)
    log_present = np.where(evidence == 1, 0.0, np.where(evidence == 0, -np.inf, log_present))
    log_absent = np.where(evidence == 0, 0.0, np.where(evidence == 1, -np.inf, log_absent))
    return ruled_labels(limits, scores.shape[1]).marginals(log_present, log_absent)
