"""What a model says of a batch of images, in the same columns for every kind of head, and for several models as one.

Between decoding and decisions in the data path. Knows no model, no file and no label name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64, Int

from labelbeam.decoding.best_first import ListedSets
from labelbeam.decoding.search import Search
from labelbeam.decoding.set_samples import SetSamples
from labelbeam.errors import InputError
from labelbeam.heads.label_scores import TrainedRanking, TrainedSigmoid, TrainedTree, log_sigmoid
from labelbeam.heads.nearest_neighbours import TrainedNeighbours
from labelbeam.labels.rules import Limit
from labelbeam.labels.vocabulary import UNKNOWN, ByLabel, Features, LabelSets, PerImage, Targets

if TYPE_CHECKING:
    from labelbeam.predict.promises import Promises


@dataclass(frozen=True)
class Answers:
    """Scores with bounds, and the most probable path found, of some images.

    Attributes:
        scores: p(label | image) in [0, 1], float32 [images labels].
        low: hard lower bounds of the scores.
        high: hard upper bounds of the scores.
        stderr: standard errors of the scores' sampled parts; 0 where nothing was sampled.
        paths: label ids in the order in which they were predicted; one tuple per image.
        log_probs: log p(path | image), nats, float64 [images]; NaN where the model ranks and has no such thing.
        exact: whether the path is certified to be the most probable one.
        sample_sets: weighted label sets of a slice of the images, made when asked for; None where labels are
            independent given the image, so that the scores say all there is to say of sets.
        calibrated: whether the scores went through maps fitted on validation images (`predict.calibration`).
        fits: share of validation images at least as odd as each image (`predict.fitness`), in (0, 1]; None where
            the run was not calibrated.
        limits: rules that every path and every sampled set keeps, and that scores, not `log_probs`, are conditioned on.
        kept: p(the rules are kept | image) as the model sees it; None where there are no rules or nobody measured.
        list_sets: the most probable sets of a slice of the images, falling, until they hold so much probability; None
            where `set_lists.independent_sets` of the scores serves.
        promises: what the run can promise of its decisions; None: nothing.
    """

    scores: ByLabel
    low: ByLabel
    high: ByLabel
    stderr: ByLabel
    paths: Sequence[tuple[int, ...]]
    log_probs: PerImage
    exact: Bool[np.ndarray, " images"]
    sample_sets: Callable[[slice], SetSamples] | None = None
    calibrated: bool = False
    fits: PerImage | None = None
    limits: tuple[Limit, ...] = ()
    kept: PerImage | None = None
    list_sets: Callable[[slice, float], list[ListedSets]] | None = None
    promises: "Promises | None" = None

    def path_sets(self) -> LabelSets:
        """Return the sets of labels on the paths."""
        sets = np.zeros(self.scores.shape, dtype=bool)
        for image, path in enumerate(self.paths):
            sets[image, list(path)] = True
        return sets


@runtime_checkable
class Answerer(Protocol):
    """A trained head that answers; features in, answers out."""

    def answer(self, features: Features) -> Answers:
        """Answer for images, from their features."""
        ...

    def set_log_prob(self, features: Features, targets: Targets) -> PerImage:
        """Return log p(true set | image) in nats; unknown labels (-1) are conditioned away or left out."""
        ...


# `scores` are comparable over images and say which label comes first; none is p(label | image) until a calibration on
# validation images makes it one. The path is the head's conventional set, best first; it has no probability (NaN), and
# nothing certifies it.


class RankingAnswerer:
    """Answers from a `TrainedRanking`."""

    def __init__(self, head: TrainedRanking) -> None:
        self.head = head

    def answer(self, features: Features) -> Answers:
        """Return ranking scores (their own bounds), and as path the labels that the head decides, by falling score."""
        scores = self.head.scores(features)
        decided = self.head.decided(scores)
        paths = [
            tuple(int(label) for label in order[row[order]])
            for row, order in zip(decided, np.argsort(-scores, axis=1, kind="stable"), strict=True)
        ]
        return Answers(
            scores,
            scores,
            scores,
            np.zeros_like(scores),
            paths,
            np.full(len(scores), np.nan),
            np.zeros(len(scores), dtype=bool),
        )

    def set_log_prob(self, features: Features, targets: Targets) -> PerImage:
        """Refuse: a ranking has no probability of a set.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"the head {self.head.name!r} ranks labels; its scores are not p(label | image), so a set has no "
            "probability. For one, train --head sigmoid."
        )


# Answers of a sigmoid head, or of nearest neighbours: every label by itself, so everything is exact at once.


class SigmoidAnswerer:
    """Answers from a head that gives independent log-odds; the most probable set holds the labels with p >= 1/2."""

    def __init__(self, head: TrainedSigmoid | TrainedNeighbours) -> None:
        self.head = head

    def answer(self, features: Features) -> Answers:
        """Return probabilities (their own bounds), and as path the most probable set, by falling score."""
        log_present, log_absent = self._log_probs(features)
        scores = np.exp(log_present).astype(np.float32)
        decided = log_present >= log_absent
        paths = [
            tuple(int(label) for label in order[row[order]])
            for row, order in zip(decided, np.argsort(-scores, axis=1, kind="stable"), strict=True)
        ]
        log_probs = np.where(decided, log_present, log_absent).sum(axis=1)
        nothing = np.zeros_like(scores)
        return Answers(scores, scores, scores, nothing, paths, log_probs, np.ones(len(scores), dtype=bool))

    def set_log_prob(self, features: Features, targets: Targets) -> PerImage:
        """Return the log-probability of the true sets, nats; unknown labels are summed out exactly."""
        log_present, log_absent = self._log_probs(features)
        terms = np.where(targets == 1, log_present, np.where(targets == 0, log_absent, 0.0))
        return terms.sum(axis=1)

    def _log_probs(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return log p(present) and log p(absent), float64 [images labels]."""
        logits = self.head.logits(features).astype(np.float64)
        return log_sigmoid(logits), log_sigmoid(-logits)


# Answers of a tree head: scores, the most probable set and set likelihoods, all exact in a pass over the tree.


class TreeAnswerer:
    """Answers from a `TrainedTree`; of `search` only the number and the seed of sampled sets matter."""

    def __init__(self, head: TrainedTree, search: Search) -> None:
        self.head, self.search = head, search

    def answer(self, features: Features) -> Answers:
        """Return marginals (their own bounds), and as path the most probable set, by falling marginal."""
        unary = self._unary(features)
        scores = self.head.marginals(unary).astype(np.float32)
        decided = self.head.most_probable(unary)
        log_probs = self.head.log_partition(unary, decided.astype(np.int8)) - self.head.log_partition(unary)
        paths = [
            tuple(int(label) for label in order[row[order]])
            for row, order in zip(decided, np.argsort(-scores, axis=1, kind="stable"), strict=True)
        ]
        return Answers(
            scores,
            scores,
            scores,
            np.zeros_like(scores),
            paths,
            log_probs,
            np.ones(len(scores), dtype=bool),
            lambda block: self._sets(unary[block]),
        )

    def set_log_prob(self, features: Features, targets: Targets) -> PerImage:
        """Return the log-probability of the true sets, nats; unknown labels are summed out exactly."""
        unary = self._unary(features)
        return self.head.log_partition(unary, targets) - self.head.log_partition(unary)

    def _sets(self, unary: np.ndarray) -> SetSamples:
        """Return equally weighted label sets; every image draws the same numbers."""
        samples = max(self.search.samples, 1)
        uniform = np.random.default_rng(self.search.seed).random((samples, self.head.num_labels))
        sets = self.head.sample(unary, uniform)
        return SetSamples(sets, np.full(sets.shape[:2], 1 / samples))

    def _unary(self, features: np.ndarray) -> Float64[np.ndarray, "images labels"]:
        return self.head.logits(features).astype(np.float64)


# Made for models of the same labels in different orders. Everything is the mixture's own: scores are the means of the
# members' scores, p(set) the mean of theirs. The path is the best, under the mixture, of the members' own most probable
# sets: a search among few, so nothing certifies it.


@dataclass(frozen=True)
class Member:
    """One model of an ensemble.

    Attributes:
        columns: for each label of the ensemble, the member's column of it.
    """

    answerer: Answerer
    columns: Int[np.ndarray, " labels"]


@dataclass(frozen=True)
class EnsembleAnswerer:
    """Answers from several models of the same labels and the same features.

    Raises:
        InputError: no member, or columns that are not the same labels sorted anew.

    Source:
        Read et al. 2011, Classifier chains for multi-label classification (ensembles of random orders, there by votes);
        "order ensembles" of Wang et al. 2016, Section 3.
    """

    members: Sequence[Member]

    def __post_init__(self) -> None:
        if not self.members:
            raise InputError("an ensemble needs at least one model.")
        num_labels = len(self.members[0].columns)
        for member in self.members:
            if sorted(member.columns.tolist()) != list(range(num_labels)):
                raise InputError(f"every member must have the same {num_labels} labels, each once.")

    def answer(self, features: Features) -> Answers:
        """Return the mixture's scores and the best of the members' paths, by falling score.

        Raises:
            InputError: a member that has no probability of a set (it ranks labels, or sums over the orders of too many
                labels).
        """
        found = [member.answerer.answer(features) for member in self.members]
        columns = [member.columns for member in self.members]

        def mean(name: str) -> np.ndarray:
            parts = [getattr(one, name)[:, c] for one, c in zip(found, columns, strict=True)]
            return np.stack(parts).mean(axis=0, dtype=np.float64)

        scores = mean("scores").astype(np.float32)
        # Sampled parts of different members are drawn apart: their variances add.
        stderr = np.sqrt(
            np.mean([one.stderr[:, c] ** 2 for one, c in zip(found, columns, strict=True)], axis=0)
            / len(found)
        )
        sets = np.stack([one.path_sets()[:, c] for one, c in zip(found, columns, strict=True)])
        log_probs = np.stack([self.set_log_prob(features, one.astype(np.int8)) for one in sets])
        best = log_probs.argmax(axis=0)
        images = np.arange(len(scores))
        samplers = all(one.sample_sets is not None for one in found)
        paths = [
            tuple(int(label) for label in order[row[order]])
            for row, order in zip(sets[best, images], np.argsort(-scores, axis=1, kind="stable"), strict=True)
        ]
        return Answers(
            scores,
            mean("low").astype(np.float32),
            mean("high").astype(np.float32),
            stderr.astype(np.float32),
            paths,
            log_probs[best, images],
            np.zeros(len(scores), dtype=bool),
            (lambda block: self._sets(found, block)) if samplers else None,
        )

    def set_log_prob(self, features: Features, targets: Targets) -> PerImage:
        """Return log of the mean of p(true set | image), nats; what members do with unknown labels is theirs.

        Raises:
            InputError: a member that has no such probability.
        """
        log_probs = []
        for member in self.members:
            sorted_targets = np.full_like(targets, UNKNOWN)
            sorted_targets[:, member.columns] = targets
            log_probs.append(member.answerer.set_log_prob(features, sorted_targets))
        mixed: np.ndarray = np.logaddexp.reduce(log_probs, axis=0) - np.log(len(self.members))
        return mixed

    def _sets(self, found: Sequence[Answers], block: slice) -> SetSamples:
        """Return the members' weighted sets side by side."""
        parts = [one.sample_sets(block) for one in found if one.sample_sets is not None]
        sets = [part.sets[:, :, member.columns] for part, member in zip(parts, self.members, strict=True)]
        weights = np.concatenate([part.weights for part in parts], axis=1) / len(parts)
        return SetSamples(np.concatenate(sets, axis=1), weights)
