"""Answers of a label model: search for the path, marginals with bounds for the scores."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
from jaxtyping import Float, Int

from labelbeam.decoding.beam import beam_search, greedy_search
from labelbeam.decoding.best_first import best_paths, likely_sets
from labelbeam.decoding.likelihood import MOST_ORDERED, set_log_prob
from labelbeam.decoding.marginals import label_marginals
from labelbeam.decoding.paths import NO_LABEL, BeamPaths, in_halves
from labelbeam.decoding.search import Search
from labelbeam.decoding.set_samples import SetSamples, sample_sets
from labelbeam.decoding.step import LabelStep, PathLength, allowed_outcomes
from labelbeam.decoding.trie import ROOT, PrefixTrie
from labelbeam.errors import InputError
from labelbeam.heads.label_model import TrainedLabelModel
from labelbeam.labels.rules import Limit
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN, ByLabel, Features, PerImage, Targets
from labelbeam.predict.answers import Answerer, Answers
from labelbeam.predict.set_lists import MOST_SETS

# Log-likelihoods of label sets of which some labels are unknown: those leave the softmax at every step.

# A set is predicted in label order (`canonical`, `paper`): one path. The model's own likelihood, whatever length a
# search forces.

BLOCK = 1024
"""Images followed side by side; bounds the work space."""


def known_log_prob(
    step: LabelStep, image_rows: Float[np.ndarray, "images width"], targets: Targets
) -> PerImage:
    """Return log p(true labels in label order, then END | image), unknown labels conditioned away.

    Each distinct prefix of a block of images is computed once.

    Returns:
        float64, nats.

    Example:
        >>> from labelbeam.decoding.step import TableStep
        >>> targets = np.array([[1, 0], [1, -1]], dtype=np.int8)
        >>> known_log_prob(TableStep({}, num_labels=2), np.zeros((2, 3), np.float32), targets).round(3).tolist()
        [-1.792, -0.693]
    """
    blocks = [slice(first, first + BLOCK) for first in range(0, len(targets), BLOCK)]
    return np.concatenate([np.zeros(0), *(_of_block(step, image_rows[at], targets[at]) for at in blocks)])


def _of_block(step: LabelStep, image_rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
    num_labels, present = targets.shape[1], targets == PRESENT
    sizes = present.sum(axis=1)
    present_ids = np.argsort(~present, axis=1, kind="stable")  # the present labels come first, by rising id
    total = np.zeros(len(targets))
    going, at = np.arange(len(targets)), np.zeros(len(targets), dtype=np.int64)
    (states, rows), prefixes = step.start(), np.zeros((1, 0), dtype=np.int32)
    for t in range(int(sizes.max(initial=0)) + 1):
        allowed = _allowed(step, prefixes)[at]
        allowed[:, :num_labels] &= targets[going] != UNKNOWN
        logits = np.where(allowed, step.combine(rows[at], image_rows[going]), -np.inf)
        outcomes = np.where(sizes[going] == t, num_labels, present_ids[going, min(t, num_labels - 1)])
        total[going] += _log_softmax(logits.astype(np.float64))[np.arange(len(going)), outcomes]
        further = sizes[going] > t
        going, at, outcomes = going[further], at[further], outcomes[further]
        if not len(going):
            break
        keys, new = np.unique(at * num_labels + outcomes, return_inverse=True)
        labels = keys % num_labels
        states, rows = step.step(states[keys // num_labels], labels)
        prefixes = np.concatenate((prefixes[keys // num_labels], labels[:, None].astype(np.int32)), axis=1)
        at = new
    return total


def _allowed(step: LabelStep, prefixes: Int[np.ndarray, "prefixes depth"]) -> np.ndarray:
    longest = PathLength(0, None if step.allowed != "paper" else prefixes.shape[1] + 1)
    return allowed_outcomes(prefixes, rule=step.allowed, num_labels=step.num_labels, length=longest)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits - logits.max(axis=1, keepdims=True)
    normalised: np.ndarray = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return normalised


# The same reading of unknown labels as above, for models that may say a set in any order (`no-repeat`). Follows every
# order of one image's set, level by level.


def known_orders_log_prob(
    step: LabelStep, image_rows: Float[np.ndarray, "images width"], targets: Targets
) -> PerImage:
    """Return log of the sum, over all orders of an image's labels, of p(labels in this order, then END | image).

    Args:
        step: a label model under `no-repeat`.

    Returns:
        float64, nats.

    Raises:
        InputError: a set with too many labels to sum over their orders.

    Example:
        >>> from labelbeam.decoding.step import TableStep
        >>> step = TableStep({}, num_labels=3, allowed="no-repeat")
        >>> targets = np.array([[1, 1, 0], [1, 1, -1]], dtype=np.int8)
        >>> np.exp(known_orders_log_prob(step, np.zeros((2, 4), np.float32), targets)).round(3).tolist()
        [0.083, 0.333]
    """
    most = int((targets == PRESENT).sum(axis=1).max(initial=0))
    if most > MOST_ORDERED:
        raise InputError(
            f"a set of {most} labels has too many orders to sum over; at most {MOST_ORDERED} labels are."
        )
    rows = np.ascontiguousarray(image_rows, dtype=np.float32)
    return np.array([_of_image(step, row[None], known) for row, known in zip(rows, targets, strict=True)])


def _of_image(step: LabelStep, image_row: np.ndarray, targets: np.ndarray) -> float:
    present_ids = np.flatnonzero(targets == PRESENT)
    states, rows = step.start()
    prefixes: list[tuple[int, ...]] = [()]
    log_probs = np.zeros(1)  # of the prefixes
    for length in range(len(present_ids) + 1):
        allowed = np.tile(np.append(targets != UNKNOWN, True), (len(prefixes), 1))  # [prefixes outcomes]
        for i, prefix in enumerate(prefixes):
            allowed[i, list(prefix)] = False
        logits = step.combine(rows, np.repeat(image_row, len(prefixes), axis=0)).astype(np.float64)
        logits = np.where(allowed, logits, -np.inf)
        nats = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        if length == len(present_ids):
            break
        longer = list(permutations(present_ids.tolist(), length + 1))
        place = {prefix: i for i, prefix in enumerate(prefixes)}
        parents = np.array([place[prefix[:-1]] for prefix in longer])
        labels = np.array([prefix[-1] for prefix in longer])
        log_probs = log_probs[parents] + nats[parents, labels]
        states, rows = step.step(states[parents], labels)
        prefixes = longer
    return float(np.logaddexp.reduce(log_probs + nats[:, -1]))


# The paper does not say which number per label made its MAP@10 and VOC numbers; both readings are in use. Neither is a
# probability that a label is present: at each step the labels compete.


def first_step_scores(trie: PrefixTrie, image_rows: Float[np.ndarray, "images width"]) -> ByLabel:
    """Return the probability of each label at the first step."""
    roots = np.full(len(image_rows), ROOT, dtype=np.int32)
    return np.exp(trie.log_probs(roots, image_rows))[:, : trie.num_labels]


def max_step_scores(
    trie: PrefixTrie, image_rows: Float[np.ndarray, "images width"], paths: Sequence[tuple[int, ...]]
) -> ByLabel:
    """Return the highest probability that each label had at any step of each image's path.

    Source:
        Dutta et al. 2020 (multi-order RNN) and Chen et al. 2018 (category-wise maximum over steps).
    """

    def of_batch(rows: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        trie.start_batch()
        nodes = np.full(len(rows), ROOT, dtype=np.int32)
        scores = np.exp(trie.log_probs(nodes, rows))[:, : trie.num_labels]
        for labels in tokens.T:
            going = np.flatnonzero(labels != NO_LABEL)
            nodes[going] = trie.extend(nodes[going], labels[going], keep=nodes)
            step = np.exp(trie.log_probs(nodes[going], rows[going]))[:, : trie.num_labels]
            scores[going] = np.maximum(scores[going], step)
        return scores

    longest = max((len(path) for path in paths), default=0)
    tokens = np.full((len(paths), longest), NO_LABEL, dtype=np.int64)
    for image, path in enumerate(paths):
        tokens[image, : len(path)] = path
    return np.concatenate(in_halves(trie, of_batch, image_rows, tokens))


# Keeps one prefix trie for all images it ever answers for; what the trie holds never changes an answer.


class LabelModelAnswerer:
    """Answers from a `TrainedLabelModel`."""

    def __init__(self, head: TrainedLabelModel, search: Search, limits: tuple[Limit, ...] = ()) -> None:
        """Make a trie for a head.

        Raises:
            InputError: as `PrefixTrie`; scores that rules cannot condition, or that the head does not have.
        """
        head = head.with_prior(search.nothing)
        if search.score == "per-label":
            head.require_per_label()
            if limits or search.min_labels or search.max_labels is not None:
                search = replace(search, score="marginal")
        self.search, self.step, self.limits = search, head, limits
        if limits and search.score in ("max-step", "first-step"):
            raise InputError(
                f"rules condition p(label | image); the score {search.score!r} is another number. Use marginal or beam."
            )
        length = PathLength(search.min_labels, search.max_labels)
        self.trie = PrefixTrie(head, byte_limit=search.trie_bytes, length=length, limits=limits)

    def answer(self, features: Features) -> Answers:
        """Return path, certificate and scores of images, by the methods that `search` names.

        Raises:
            InputError: the trie's byte limit is below what one image needs.
        """
        search, rows = self.search, self.step.image_rows(features)
        found = self._beam(rows) if search.method != "exact" else None
        # One search gives the certified path and the marginals; the beam's path replaces the former.
        marginals = None
        if search.score == "marginal":
            # Every image draws the same numbers (stream 0): alone or in a batch it gets the same score.
            marginals = label_marginals(
                self.trie,
                rows,
                expansions=search.expansions,
                samples=search.samples,
                stderr=search.stderr,
                seed=search.seed,
                streams=np.zeros(len(rows), dtype=np.int64),
            )
            scores, low, high, stderr = marginals.score, marginals.low, marginals.high, marginals.stderr
        if found is not None:
            paths, exact = [found.best(i) for i in range(len(rows))], np.zeros(len(rows), dtype=bool)
            log_probs = found.log_probs[:, 0].astype(np.float64)
        else:
            certified = (
                marginals.paths if marginals else best_paths(self.trie, rows, budget=search.expansions)
            )
            paths = [certified.path(i) for i in range(len(rows))]
            log_probs, exact = certified.log_probs, certified.exact
        if marginals is None:
            scores = self._other_scores(features, rows, found, paths)
            low, high, stderr = scores, scores, np.zeros_like(scores)
        scores, low, high, stderr = (column.astype(np.float32) for column in (scores, low, high, stderr))
        return Answers(
            scores,
            low,
            high,
            stderr,
            paths,
            log_probs,
            exact,
            lambda block: self._sets(rows[block]),
            limits=self.limits,
            kept=marginals.kept if marginals is not None and self.limits else None,
            # Under the other rules a set has many paths, and its probability is their sum.
            list_sets=(lambda block, mass: likely_sets(self.trie, rows[block], count=MOST_SETS, mass=mass))
            if self.step.allowed == "canonical"
            else None,
        )

    def set_log_prob(self, features: Features, targets: Targets) -> PerImage:
        """Return log p(true set | image), nats: exact under `canonical`; unknown labels leave the softmax.

        Under `no-repeat` the probabilities of all orders of a set are summed.

        Raises:
            InputError: under `no-repeat`, a set with too many labels to sum over their orders; under rules, whose
                probability is known within bounds only.
        """
        if self.limits:
            raise InputError("under rules a label model's likelihood is known within bounds only.")
        rows = self.step.image_rows(features)
        if self.step.allowed != "no-repeat":
            return known_log_prob(self.step, rows, targets)
        doubtful = (targets == UNKNOWN).any(axis=1)  # the others share the trie
        log_probs = np.empty(len(targets))
        log_probs[~doubtful] = set_log_prob(self.trie, rows[~doubtful], targets[~doubtful])
        log_probs[doubtful] = known_orders_log_prob(self.step, rows[doubtful], targets[doubtful])
        return log_probs

    def _sets(self, rows: np.ndarray) -> SetSamples:
        """Return weighted label sets; every image draws the same numbers, as for its marginals."""
        search = self.search
        return sample_sets(
            self.trie,
            rows,
            expansions=search.expansions,
            samples=max(search.samples, 1),
            seed=search.seed,
            streams=np.zeros(len(rows), dtype=np.int64),
        )

    def _beam(self, rows: np.ndarray) -> BeamPaths:
        search = self.search
        if search.method == "greedy":
            return greedy_search(self.trie, rows)
        return beam_search(self.trie, rows, search)

    def _other_scores(
        self, features: np.ndarray, rows: np.ndarray, found: BeamPaths | None, paths: list[tuple[int, ...]]
    ) -> np.ndarray:
        if self.search.score == "per-label":
            return self.step.per_label_scores(features)
        if self.search.score == "beam":
            return beam_scores(found if found is not None else self._beam(rows), self.trie.num_labels)
        if self.search.score == "max-step":
            return max_step_scores(self.trie, rows, paths)
        return first_step_scores(self.trie, rows)


def label_model_answerer(answerer: Answerer) -> LabelModelAnswerer | None:
    """Return an answerer that searches, as such; None for one that does not: of another head, or an ensemble's."""
    return answerer if isinstance(answerer, LabelModelAnswerer) else None


def beam_scores(found: BeamPaths, num_labels: int) -> ByLabel:
    """Return for each label the share of the beam's finished probability that is on paths with it.

    Source:
        Reading (a) of "which per-label score", as Kumar et al. 2013 do for classifier chains: truncated,
        so a label on no finished path has score 0.
    """
    log_probs = np.where(np.isfinite(found.log_probs), found.log_probs, -np.inf)
    shares = np.exp(log_probs - log_probs.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    scores = np.zeros((len(found), num_labels))
    images, paths, steps = np.nonzero(found.labels >= 0)
    on_path = np.zeros((*shares.shape, num_labels), dtype=bool)  # a repeated label counts once
    on_path[images, paths, found.labels[images, paths, steps]] = True
    scores[:] = (shares[:, :, None] * on_path).sum(axis=1)
    return np.clip(scores, 0.0, 1.0)
