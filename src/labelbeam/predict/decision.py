"""From scores and paths to the decided label set: by the path, by thresholds, or for the best expected F1."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from labelbeam.decoding.best_first import ListedSets
from labelbeam.decoding.set_samples import SetSamples
from labelbeam.errors import InputError, unknown_name
from labelbeam.labels.rules import Limit
from labelbeam.labels.vocabulary import ByLabel, LabelSets, PerImage, PerLabel
from labelbeam.predict.answers import Answers
from labelbeam.predict.conformal import CONFIDENCE
from labelbeam.predict.fitness import ALPHA
from labelbeam.predict.promise_kinds import selection_cut, set_probability
from labelbeam.predict.promises import Promise, Promises
from labelbeam.predict.set_lists import independent_sets, listed_until
from labelbeam.predict.thresholds import OBJECTIVES, TunedThresholds
from labelbeam.predict.under_rules import sets_above

# All that expected F1 needs of the distribution is p(label in the set, the set has s labels) and p(no label):
# `SizedMarginals`. They come from weighted samples of sets, or, where labels are independent given the image, exactly
# from the labels' probabilities.

NEGLIGIBLE = 1e-12
"""Set sizes that are together less probable than this are left out."""

CELLS_AT_ONCE = 4_000_000
"""Numbers held at a time (32 MB) while sets are chosen; results do not depend on it."""


@dataclass(frozen=True)
class SizedMarginals:
    """What expected F1 needs to know of a distribution over label sets, image by image.

    Attributes:
        joint: [i, l, s - 1] = p(label l is in the set and the set has s labels).
        empty: p(the set has no label).
    """

    joint: Float[np.ndarray, "images labels sizes"]
    empty: PerImage


@dataclass(frozen=True)
class BestF1:
    """Decided sets and what they are expected to reach.

    Attributes:
        sets: the set of each image with the greatest expected F1; of equals the smallest.
        values: its expected F1, in [0, 1].
    """

    sets: LabelSets
    values: PerImage


def sized_marginals_of_samples(
    sets: Bool[np.ndarray, "images samples labels"], weights: Float[np.ndarray, "images samples"]
) -> SizedMarginals:
    """Count weighted sets by label and size.

    Args:
        sets: label sets drawn from, or enumerating, each image's distribution.
        weights: their probabilities; each image's sum to 1.

    Example:
        >>> sets = np.array([[[True, False], [True, True]]])
        >>> sized_marginals_of_samples(sets, np.array([[0.75, 0.25]])).joint.tolist()
        [[[0.75, 0.25], [0.0, 0.25]]]
    """
    sizes = sets.sum(axis=2)  # [images samples]
    largest = int(sizes.max(initial=0))
    by_size = (sizes[:, :, None] == np.arange(1, largest + 1)) * weights[:, :, None]  # [images samples sizes]
    joint = sets.transpose(0, 2, 1).astype(np.float64) @ by_size
    return SizedMarginals(joint, np.where(sizes == 0, weights, 0.0).sum(axis=1).astype(np.float64))


def sized_marginals_of_independent(probs: ByLabel) -> SizedMarginals:
    """Compute them exactly where labels are independent given the image.

    The size of the set is then Poisson-binomial. Its distribution without label l follows from the full one by
    taking one factor out, from the end on which that does not amplify rounding.

    Example:
        >>> independent = sized_marginals_of_independent(np.array([[0.5, 0.5]]))
        >>> independent.joint.tolist(), independent.empty.tolist()
        ([[[0.25, 0.25], [0.25, 0.25]]], [0.25])
    """
    p = probs.astype(np.float64)
    images, labels = p.shape
    size = np.zeros((images, labels + 1))  # p(set has s labels), of the labels so far
    size[:, 0] = 1.0
    for label in range(labels):
        present = p[:, label, None]
        size[:, 1 : label + 2] = (
            size[:, 1 : label + 2] * (1 - present) + size[:, : label + 1] * present
        )  # the right-hand side is evaluated before anything is overwritten
        size[:, 0] *= 1 - p[:, label]
    tail = np.cumsum(size[:, ::-1], axis=1)[:, ::-1].max(axis=0, initial=0.0)  # p(at least s), worst image
    largest = max(int((tail > NEGLIGIBLE).sum()) - 1, 0)
    others = _without_each(p, size)
    return SizedMarginals(p[:, :, None] * others[:, :, :largest], size[:, 0])


def _without_each(
    p: ByLabel, size: Float[np.ndarray, "images sizes"]
) -> Float[np.ndarray, "images labels labels"]:
    """Return [i, l, s] = p(s labels other than l), s below the number of labels."""
    images, labels = p.shape
    up, down = np.zeros((2, images, labels, labels))
    likely = p > 0.5
    low, high = np.where(likely, 0.0, p), np.where(likely, p, 1.0)
    before = after = np.zeros((images, labels))
    for s in range(labels):
        # size[s] = (1 - p) without[s] + p without[s - 1], solved from below or from above.
        before = (size[:, s, None] - low * before) / (1 - low)
        up[:, :, s] = before
        top = labels - 1 - s
        after = (size[:, top + 1, None] - (1 - high) * after) / high
        down[:, :, top] = after
    return np.maximum(np.where(likely[:, :, None], down, up), 0.0)


def best_f1_sets(marginals: SizedMarginals) -> BestF1:
    """Find each image's set with the greatest expected F1.

    F1 of a decided and a true set is 2 |both| / (|decided| + |true|), and 1 where both are empty. With
    P[l, s] = p(l in the set, the set has s labels), deciding a set h of k labels is expected to reach
    sum over l in h of Delta[l, k], Delta[l, k] = sum over s of 2 P[l, s] / (s + k): for each k the k labels with the
    greatest Delta, then the best k; k = 0 reaches p(empty).

    Returns:
        Sets and their expected F1; labels that tie are taken in the order of their columns.

    Source:
        Dembczynski, Waegeman, Cheng, Hüllermeier, An Exact Algorithm for F-Measure Maximization, NeurIPS 2011
        (GFM); O(labels^2 (sizes + log labels)) per image.

    Example:
        >>> alike = SizedMarginals(np.full((1, 4, 1), 0.25), np.zeros(1))  # one of four labels, none likelier
        >>> best = best_f1_sets(alike)
        >>> best.sets.tolist(), best.values.round(3).tolist()
        ([[True, True, True, True]], [0.4])
    """
    images, labels, _ = marginals.joint.shape
    sets, values = np.zeros((images, labels), dtype=bool), np.zeros(images)
    at_once = max(1, CELLS_AT_ONCE // max(labels * labels, 1))
    for first in range(0, images, at_once):
        block = slice(first, first + at_once)
        sets[block], values[block] = _best_of_block(marginals.joint[block], marginals.empty[block])
    return BestF1(sets, values)


def best_f1_among(marginals: SizedMarginals, samples: SetSamples) -> LabelSets:
    """Return each image's sampled set with the greatest expected F1.

    Args:
        samples: the sets to choose from, those with a weight.

    Example:
        >>> sets = np.array([[[True, True], [True, False]]])
        >>> samples = SetSamples(sets, np.array([[0.4, 0.6]]))
        >>> best_f1_among(sized_marginals_of_samples(sets, samples.weights), samples).tolist()
        [[True, False]]
    """
    found = np.zeros((len(samples), samples.sets.shape[2]), dtype=bool)
    s = np.arange(1, marginals.joint.shape[2] + 1)
    for image, (sets, weights) in enumerate(zip(samples.sets, samples.weights, strict=True)):
        choices = np.unique(sets[weights > 0], axis=0)
        k = choices.sum(axis=1)
        delta = (2.0 / (s + k[:, None])) @ marginals.joint[image].T  # [choices labels]
        values = np.where(k == 0, marginals.empty[image], (delta * choices).sum(axis=1))
        found[image] = choices[values.argmax()]
    return found


def _best_of_block(joint: np.ndarray, empty: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    images, labels, sizes = joint.shape
    s, k = np.arange(1, sizes + 1), np.arange(1, labels + 1)
    W = 2.0 / (s + k[:, None])  # [decided sizes]
    delta = W @ joint.transpose(0, 2, 1)  # [images decided labels]
    totals = np.cumsum(-np.sort(-delta, axis=2), axis=2)
    reached = np.concatenate((empty[:, None], np.diagonal(totals, axis1=1, axis2=2)), axis=1)
    size = reached.argmax(axis=1)  # the smallest of equals
    rows = np.arange(images)
    values = np.clip(reached[rows, size], 0.0, 1.0)
    if not labels:
        return np.zeros((images, 0), dtype=bool), values
    chosen = delta[rows, np.maximum(size, 1) - 1]  # [images labels]
    ranks = np.argsort(np.argsort(-chosen, axis=1, kind="stable"), axis=1)
    return ranks < size[:, None], values


# Each rule is the better one for another measure; docs/decisions.md has them side by side.

RULES = ("path", "threshold", "expected-f1", "promise")

DECIDED_TOGETHER = 256
"""Images whose sampled sets are in memory at a time; results do not depend on it."""


@dataclass(frozen=True)
class Decision:
    """Which labels are decided.

    Raises:
        InputError: an unknown rule or objective, a threshold outside [0, 1], `abstain` outside [0, 1), a promise that
            is not understood, or one together with what breaks it.
    """

    rule: str = "path"
    """`path` (default): the labels of the most probable path, which is the most probable set under
    `canonical`; best for whole sets. `threshold`: every label whose score reaches its threshold.
    `expected-f1`: the set with the greatest expected F1 of the image under the model's distribution over
    sets; best for the mean of the images' F1s. `promise`: every label whose score reaches the threshold that keeps
    `promise`, proven on the run's calibration images (`predict.promises`)."""
    threshold: float = 0.5
    """Least score of a decided label, for the rule `threshold`, where `tuned_for` is not given."""
    tuned_for: str | None = None
    """Take the run's thresholds instead, tuned on its validation images for this: `of1`, `example-f1` (one
    threshold each), `label-f1` or `subset-accuracy` (one per label)."""
    abstain: float = 0.0
    """Decide nothing for images that fit no better than this share of the run's validation images: 0.05 refuses
    at most 5 % of images like them (`predict.fitness`). 0 (default): never."""
    promise: str | None = None
    """`precision=0.95`, `recall=0.9`, `label-precision=…` or `label-recall=…`, for the rule `promise`."""
    on_average: bool = False
    """Whether recall and `unseen` are promised on average over calibrations, rather than with confidence 95 %."""
    unseen: float | None = None
    """Say which images need nobody to look at them: of those, this share at least has exactly its true labels,
    with confidence 95 %; on average, where the images of a job are chosen together (`predict.promise_kinds`)."""
    sets_among: float | None = None
    """List label sets, the most probable first, so that the true set is among them with this probability."""

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise unknown_name("decision rule", self.rule, RULES)
        if not 0 <= self.threshold <= 1:
            raise InputError(f"the threshold is {self.threshold}; scores lie in [0, 1], so must it.")
        if not 0 <= self.abstain < 1:
            raise InputError(f"abstain is {self.abstain}; it must be at least 0 (never) and below 1.")
        if self.tuned_for is not None and self.tuned_for not in OBJECTIVES:
            raise unknown_name("thing to tune thresholds for", self.tuned_for, OBJECTIVES)
        if (self.rule == "promise") != (self.promise is not None):
            raise InputError(
                "the rule 'promise' and what is promised go together: give both, such as precision=0.95."
            )
        if self.abstain and self.promises_something:
            raise InputError(
                f"abstain {self.abstain:g} takes labels away again, which a promise does not allow for; odd images are "
                "marked with a promise anyway. Leave abstain out."
            )
        if self.unseen is not None and self.rule == "expected-f1":
            raise InputError("unseen is not known for expected-f1. Decide by path or threshold.")
        if self.unseen is not None and self.rule == "promise":
            raise InputError(
                "a promise of labels chooses its thresholds on the calibration images, so the same images prove "
                "nothing of the sets that these decide. Ask for --unseen by itself: with the path, or with a threshold."
            )
        self.promised()

    @property
    def promises_something(self) -> bool:
        """Whether calibration images are needed."""
        return (self.promise, self.unseen, self.sets_among) != (None, None, None)

    def promised(self) -> Promise | None:
        """Return the promise that the labels are decided by.

        Raises:
            InputError: it is not understood.
        """
        if self.promise is None:
            return None
        return Promise.parse(self.promise, confidence=None if self.on_average else CONFIDENCE)

    @property
    def name(self) -> str:
        """The rule as results name it."""
        name = self.rule
        if self.rule == "threshold":
            name += f" tuned for {self.tuned_for}" if self.tuned_for else f" {self.threshold:g}"
        if self.rule == "promise":
            name += f" {self.promised()}"
        return f"{name}, nothing where fits <= {self.abstain:g}" if self.abstain else name

    def decide(self, answers: Answers, thresholds: TunedThresholds | None = None) -> LabelSets:
        """Return the decided sets.

        Args:
            answers: of some images, calibrated if the thresholds were tuned on calibrated scores.
            thresholds: what the run's calibration holds; None: it has none.

        Raises:
            InputError: tuned thresholds are asked for and there are none, or not one per label; expected F1 is asked
                of scores that only rank; abstaining is asked for and the run was not calibrated; a promise that the
                run cannot keep.
        """
        sets = self._decide(answers, thresholds)
        if self.abstain:
            if answers.fits is None and answers.limits:
                raise InputError(
                    "how odd an image may be was measured without the rules. Leave abstain out, or the rules."
                )
            if answers.fits is None:
                raise InputError(
                    "abstaining is asked for, but nothing says how odd an image may be: that is measured on "
                    "validation images when a training ends. Train with validation data, or leave abstain out."
                )
            sets = sets & (answers.fits > self.abstain)[:, None]
        return sets

    def _decide(self, answers: Answers, thresholds: TunedThresholds | None) -> LabelSets:
        if self.rule == "path":
            return answers.path_sets()
        if self.rule == "expected-f1":
            if len(answers.scores) and np.isnan(answers.log_probs).all() and not answers.calibrated:
                raise InputError(
                    "expected-f1 needs probabilities, and this head's scores only rank labels. Train with validation "
                    "data, which calibrates them, or decide by --threshold."
                )
            return expected_f1_sets(answers)
        lowest = self._thresholds(answers.scores.shape[1], thresholds, answers.promises, answers.limits)
        return sets_above(answers.scores, lowest, answers.limits)

    def _thresholds(
        self,
        num_labels: int,
        thresholds: TunedThresholds | None,
        promises: Promises | None,
        limits: tuple[Limit, ...] = (),
    ) -> PerLabel:
        """Return each label's threshold, for the rules that have some."""
        if (promise := self.promised()) is not None:
            return required(promises).keep(promise).thresholds
        if self.tuned_for is None:
            return np.full(num_labels, self.threshold, dtype=np.float32)  # as scores are compared
        if limits:
            raise InputError(
                f"thresholds tuned for {self.tuned_for} were tuned without the rules. Give --threshold, or decide by "
                "path."
            )
        if thresholds is None:
            raise InputError(
                f"thresholds tuned for {self.tuned_for} are asked for, but the run has none: they are tuned on "
                "validation images when a training ends. Train with validation data, or give --threshold."
            )
        tuned = thresholds.of(self.tuned_for)
        if len(tuned) != num_labels:
            raise InputError(f"there are {len(tuned)} thresholds for {num_labels} labels.")
        return tuned

    def promise_lines(
        self, promises: Promises | None, thresholds: TunedThresholds | None, names: Sequence[str]
    ) -> list[str]:
        """Say what is promised and how it was proven, before any work; nothing where nothing is promised.

        Raises:
            InputError: a promise that cannot be kept.
        """
        if not self.promises_something:
            return []
        found, lines = required(promises), []
        images = f"{len(found.sample):,} calibration images of {found.data}"
        if (promise := self.promised()) is not None:
            kept = found.keep(promise)
            without = [name for name, one in zip(names, kept.promised, strict=True) if not one]
            line = f"promised: {promise}, proven on {images}"
            if without:
                fate = "never decided" if promise.kind == "label-precision" else "decided from 0.5 on"
                line += f"; nothing is promised of {len(without)} labels, which are {fate}: {', '.join(without[:10])}"
                line += " …" if len(without) > 10 else ""
            elif len(set(kept.thresholds.tolist())) == 1:
                line += f"; a label is decided from {kept.thresholds[0]:.3g} on"
            lines.append(line + ".")
        if self.unseen is not None:
            lines.append(self._unseen_line(found, thresholds, len(names), images))
        if self.sets_among is not None:
            most = found.keep_listed(self.sets_among)
            lines.append(
                f"promised: the true set is among those listed with probability {self.sets_among:g} on average, "
                f"proven on {images}; a list ends where it holds more than {most:.3g}."
            )
        return lines

    def _unseen_line(
        self, found: Promises, thresholds: TunedThresholds | None, num_labels: int, images: str
    ) -> str:
        assert self.unseen is not None
        if self.on_average:
            found.check_unseen_on_average(self.unseen)
            return (
                f"promised: of the images that nobody needs to look at, {self.unseen:g} have exactly the right labels "
                f"on average, by {images}; they are chosen when all images are tagged."
            )
        lowest = None if self.rule == "path" else self._thresholds(num_labels, thresholds, found)
        least = found.keep_unseen(self.unseen, self.name, lowest)
        return (
            f"promised: nobody needs to look at images whose set is at least {least:.3g} probable; "
            f"{self.unseen:g} of them have exactly the right labels with confidence {CONFIDENCE:g}, proven on "
            f"{images}."
        )

    def sure(self, answers: Answers, sets: LabelSets) -> PerImage:
        """Return how probable the decided sets are, what `unseen` goes by; -inf for odd images."""
        found = set_probability(answers.scores, sets, answers.log_probs if self.rule == "path" else None)
        return np.where(odd(answers), -np.inf, found)

    def unseen_cut(
        self,
        promises: Promises | None,
        num_labels: int,
        sure: Float[np.ndarray, " batch"],
        thresholds: TunedThresholds | None = None,
    ) -> float:
        """Return how sure an image must be, so that nobody needs to look at it.

        Args:
            sure: of all images of the batch; where the promise holds with confidence, they have no say.
            thresholds: as for `decide`.

        Raises:
            InputError: this cannot be promised.
        """
        found, target = required(promises), self.unseen or 0.0
        lowest = None if self.rule == "path" else self._thresholds(num_labels, thresholds, found)
        if not self.on_average:
            return found.keep_unseen(target, self.name, lowest)
        found.check_unseen_on_average(target)
        return selection_cut(target, found.sample, lowest, sure)

    def needs_nobody(
        self, answers: Answers, sets: LabelSets, thresholds: TunedThresholds | None = None
    ) -> Bool[np.ndarray, " images"]:
        """Return which images need nobody to look at them: sure enough, and not odd.

        Args:
            answers: of some images; on average over calibrations, of all images that are chosen among.
            thresholds: as for `decide`.

        Raises:
            InputError: this cannot be promised.
        """
        sure = self.sure(answers, sets)
        least = self.unseen_cut(answers.promises, answers.scores.shape[1], sure, thresholds)
        return (sure >= least) & (sure > -np.inf)

    def listed(self, answers: Answers) -> list[ListedSets]:
        """Return each image's list of sets that holds the true one as often as `sets_among` says.

        Raises:
            InputError: this cannot be promised.
        """
        most = required(answers.promises).keep_listed(self.sets_among or 0.0)
        everything = list_sets(answers, min(1.0, most + 1e-9))
        return [listed_until(one, most) for one in everything]


def required(promises: Promises | None) -> Promises:
    """Return the promises of a run that has some.

    Raises:
        InputError: it has none.
    """
    if promises is None:
        raise InputError(
            "a promise is asked for, but the run kept no calibration images aside for one, or is searched otherwise "
            "than they were. Train with --calibrate SPEC or --calibrate-fraction 0.2."
        )
    return promises


def odd(answers: Answers) -> Bool[np.ndarray, " images"]:
    """Return which images are so unlike the training's that no promise holds of them."""
    if answers.fits is None:
        return np.zeros(len(answers.scores), dtype=bool)
    return answers.fits <= ALPHA


def list_sets(answers: Answers, mass: float = 1.0) -> list[ListedSets]:
    """List the most probable sets of every image, by the model's joint where it has one that can be searched."""
    if answers.list_sets is None:
        return independent_sets(answers.scores, mass=mass)
    return answers.list_sets(slice(None), mass)


def expected_f1_sets(answers: Answers) -> LabelSets:
    """Return the sets with the greatest expected F1: under sampled sets, or exactly for independent labels.

    Under rules the best of the sampled sets, all of which keep them.
    """
    sets = np.zeros(answers.scores.shape, dtype=bool)
    for first in range(0, len(sets), DECIDED_TOGETHER):
        block = slice(first, first + DECIDED_TOGETHER)
        if answers.sample_sets is None:
            marginals = sized_marginals_of_independent(answers.scores[block])
        else:
            samples = answers.sample_sets(block)
            marginals = sized_marginals_of_samples(samples.sets, samples.weights)
            if answers.limits:  # the best set of all may break them
                sets[block] = best_f1_among(marginals, samples)
                continue
        sets[block] = best_f1_sets(marginals).sets
    return sets
