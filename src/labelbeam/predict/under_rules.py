"""Answers of heads whose labels are independent, under rules: exact, as without.

The rules of a label model are kept inside its searches (`predict.label_model`); here are the heads that need no search,
and how scores of either kind are decided so that the decided set keeps the rules.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Float64

from labelbeam.decoding.rule_machine import DEAD, Layers, groups_of, layers_of
from labelbeam.decoding.set_samples import SetSamples
from labelbeam.errors import InputError
from labelbeam.heads.label_scores import TrainedSigmoid
from labelbeam.heads.nearest_neighbours import TrainedNeighbours
from labelbeam.labels.rules import Limit
from labelbeam.labels.vocabulary import ByLabel, Features, LabelSets, PerImage, PerLabel, Targets
from labelbeam.predict.answers import Answers, SigmoidAnswerer

# Independent labels under rules: the most probable set that keeps them, marginals, samples, all exact.
#
# Where labels are independent given the image, p(set) is a product over labels, and what rules forbid only needs the
# state of `rule_machine.Layers`: sums and maxima over all sets that keep the rules run from layer to layer, last label
# first. Cost per image: twice the machine's states.

IMPOSSIBLE = -1e300
"""In place of minus infinity where a difference is taken."""

CELLS_AT_ONCE = 4_000_000
"""Numbers held at a time (32 MB); results do not depend on it."""


@lru_cache(maxsize=8)
def ruled_labels(limits: tuple[Limit, ...], num_labels: int) -> "RuledLabels":
    """Return `RuledLabels`, those of lately asked limits from memory."""
    return RuledLabels(limits, num_labels)


class RuledLabels:
    """Sets of independent labels that keep limits.

    Args:
        limits: what sets must keep; at least one.

    Raises:
        InputError: no set keeps the limits, or limits that are too entangled.

    Example:
        >>> half = np.log(np.full((1, 2), 0.5))
        >>> one_of = RuledLabels([Limit((0, 1), (), 1, 1)], 2)
        >>> one_of.most_probable(np.log([[0.9, 0.8]]), np.log([[0.1, 0.2]])).tolist()
        [[True, False]]
        >>> one_of.log_mass(half, half).round(3).tolist(), one_of.marginals(half, half).round(3).tolist()
        ([-0.693], [[0.5, 0.5]])
    """

    def __init__(self, limits: Sequence[Limit], num_labels: int) -> None:
        self.num_labels = num_labels
        everything = set(range(num_labels))
        # Groups one after the other, so that a limit on all labels meets the states of one group at a time.
        order: list[int] = []
        for group in groups_of([one for one in limits if set(one.plus) != everything]):
            order += sorted({label for limit in group for label in limit.labels})
        if any(set(one.plus) == everything for one in limits):
            order += sorted(everything - set(order))
        layers = layers_of(order, limits)
        if layers is None:
            raise InputError("no set of labels keeps the rules.")
        self._layers: Layers = layers
        self.free = np.array(sorted(everything - set(order)), dtype=np.int64)
        """Labels that no limit is about."""
        self._at_once = max(1, CELLS_AT_ONCE // sum(len(one) for one in layers.settled))

    def log_mass(
        self, log_present: Float[np.ndarray, "images labels"], log_absent: Float[np.ndarray, "images labels"]
    ) -> Float64[np.ndarray, " images"]:
        """Return the log-probability that a set keeps the limits.

        Args:
            log_present: log p(label | image); -inf where the label is rejected.
            log_absent: log p(not label | image); -inf where it is accepted. Both 0 where it does not count.
        """
        free = np.logaddexp(log_present[:, self.free], log_absent[:, self.free]).sum(axis=1)
        blocks = [
            self._backward(log_present[at], log_absent[at], np.logaddexp)[0][:, 0]
            for at in self._blocks(len(free))
        ]
        return free + np.concatenate([np.zeros(0), *blocks])

    def most_probable(
        self, log_present: Float[np.ndarray, "images labels"], log_absent: Float[np.ndarray, "images labels"]
    ) -> Bool[np.ndarray, "images labels"]:
        """Return the sets with the greatest sum of `log_present` of their labels and `log_absent` of the others.

        Any numbers do, so that it also finds the set with the greatest sum of scores. Of equals: the one that holds
        the label that is decided first.
        """
        sets = log_present >= log_absent
        for at in self._blocks(len(sets)):
            best = self._backward(log_present[at], log_absent[at], np.maximum)
            self._walk(
                log_present[at], log_absent[at], best, sets[at], lambda t, present, absent: present >= absent
            )
        return sets

    def marginals(
        self, log_present: Float[np.ndarray, "images labels"], log_absent: Float[np.ndarray, "images labels"]
    ) -> Float64[np.ndarray, "images labels"]:
        """Return p(label | image, the limits are kept)."""
        found = 1 / (1 + np.exp(np.minimum(log_absent - log_present, 700.0))).astype(np.float64)
        for at in self._blocks(len(found)):
            masses = self._backward(log_present[at], log_absent[at], np.logaddexp)
            there: np.ndarray = np.ones((len(masses[0]), 1))  # p(state | image, the limits are kept)
            for t, label in enumerate(self._layers.labels):
                mass = np.maximum(masses[t], IMPOSSIBLE)  # of states that the evidence excludes
                going = [
                    there * np.exp(one - mass)
                    for one in self._choices(t, masses[t + 1], log_present[at], log_absent[at])
                ]
                found[at, label] = going[1].sum(axis=1)
                reached = np.zeros(masses[t + 1].shape)
                for step, shares in zip(self._layers.next[t], going, strict=True):
                    lives = step != DEAD
                    np.add.at(reached.T, step[lives], shares.T[lives])
                there = reached
        return np.clip(found, 0.0, 1.0)

    def samples(
        self,
        log_present: Float[np.ndarray, "images labels"],
        log_absent: Float[np.ndarray, "images labels"],
        uniform: Float[np.ndarray, "samples labels"],
    ) -> Bool[np.ndarray, "images samples labels"]:
        """Draw sets from the conditioned distribution.

        Args:
            log_present: log p(label | image).
            log_absent: log p(not label | image).
            uniform: numbers in (0, 1), the same for every image.
        """
        images, samples = len(log_present), len(uniform)
        sets = uniform < 1 / (1 + np.exp(np.minimum(log_absent - log_present, 700.0)))[:, None]
        drawn = np.tile(uniform, (images, 1))
        present, absent = (np.repeat(one, samples, axis=0) for one in (log_present, log_absent))
        flat = sets.reshape(images * samples, -1)
        for at in self._blocks(len(flat)):
            masses = self._backward(present[at], absent[at], np.logaddexp)
            part = drawn[at]
            self._walk(
                present[at], absent[at], masses, flat[at],
                lambda t, yes, no, part=part: np.log(part[:, self._layers.labels[t]]) < yes - np.logaddexp(yes, no),
            )  # fmt: skip
        return flat.reshape(sets.shape)

    def _blocks(self, count: int) -> list[slice]:
        return [slice(first, first + self._at_once) for first in range(0, count, self._at_once)]

    def _choices(
        self, t: int, later: np.ndarray, log_present: np.ndarray, log_absent: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return, for each state before label t, the value where it is absent and where it is present."""
        label = self._layers.labels[t]
        padded = np.concatenate((later, np.full((len(later), 1), -np.inf)), axis=1)  # DEAD is the last column
        absent, present = self._layers.next[t]
        return log_absent[:, label, None] + padded[:, absent], log_present[:, label, None] + padded[
            :, present
        ]

    def _backward(self, log_present: np.ndarray, log_absent: np.ndarray, join: np.ufunc) -> list[np.ndarray]:
        """Return, per layer, the sum or maximum over all completions of each state, [images states]."""
        values = [np.zeros((len(log_present), 1))]
        for t in range(len(self._layers.labels) - 1, -1, -1):
            values.append(join(*self._choices(t, values[-1], log_present, log_absent)))
        return values[::-1]

    def _walk(self, log_present, log_absent, values, sets, takes) -> None:  # type: ignore[no-untyped-def]
        """Decide label by label from the first; write what is taken into the sets."""
        everyone, state = np.arange(len(sets)), np.zeros(len(sets), dtype=np.int64)
        for t, label in enumerate(self._layers.labels):
            absent, present = self._choices(t, values[t + 1], log_present, log_absent)
            taken = takes(t, present[everyone, state], absent[everyone, state])
            sets[:, label] = taken
            state = self._layers.next[t][taken.astype(np.int64), state]


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
