"""What the open part of a search still gains, estimated by samples: in one round, or until that is precise enough.

Between `sampling`, which draws and continues samples, and `marginals`, which adds the certain part. Each image decides
by its own samples how many it needs, so neither batch nor trie changes an estimate.

Under rules it is about the distribution conditioned on them. What a search has met splits into mass that is finished
and keeps them, mass that is open and sure to keep them, and mass that is open and may or may not. Bounds follow from
the three; samples, continued by outcomes that can still keep the rules and weighted by the probability of those, tell
what becomes of the open mass. Where rules hardly bind, weights are nearly 1 and the estimate is as sharp as without.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64

from labelbeam.decoding.expansion import Expansion
from labelbeam.decoding.paths import in_halves
from labelbeam.decoding.random_numbers import sample_keys
from labelbeam.decoding.sampling import (
    Frontier,
    Keys,
    add_samples,
    contained,
    continue_samples,
    hazards,
    sampled_steps,
)
from labelbeam.decoding.trie import Ids

PILOT = 16
"""Samples of the first round; they tell how many are needed."""

MOST_TIMES = 4
"""A round has at most so many times the samples of the one before, because few samples judge the need badly."""

LEAST_MORE = 8
"""Fewest samples more than in the round before, lest a precision just missed costs many rounds."""

IMAGINED = 0.25
"""Variance of a sample that says yes or no by the throw of a coin."""

LEAST_INFORMATIVE = 8
"""Labels of which at least so many samples are expected to be informative are estimated from those alone, times
the share of the open mass that may gain the label, which is known exactly; others from all samples."""


class OpenEstimate:
    """Sampled estimate, per image and label, of the share of the open mass that gains the label.

    Attributes:
        frontier: what the search left open.
        gained: float64 [images labels]; 0 where none was drawn.
        stderr: float64 [images labels], standard error of `gained`; infinite where none was drawn.
        samples: int64 [images], on which the estimate rests.

    Args:
        backend: `numpy` or `numba`.
    """

    def __init__(self, tree: Expansion, backend: str) -> None:
        self.tree = tree
        if backend == "numba" and tree.trie.step.additive:
            from labelbeam.decoding import sampling_kernel as kernel

            self.frontier: Frontier = kernel.CompiledFrontier(tree)  # type: ignore[arg-type]
            self._walk: Callable[..., np.ndarray] = kernel.continue_samples_compiled
            self._add: Callable[..., None] = kernel.add_samples_compiled
        else:
            self.frontier, self._walk, self._add = Frontier(tree), continue_samples, add_samples
        shape = self.frontier.undecided.shape
        self.samples = np.zeros(shape[0], dtype=np.int64)
        self.gained = np.zeros(shape)
        self.stderr = np.full(shape, np.inf)

    def run(
        self,
        images: Ids,
        *,
        samples: int,
        stderr: float | None,
        seed: int,
        streams: Int[np.ndarray, " images"],
    ) -> None:
        """Sample images with open mass.

        Args:
            samples: most samples of each, at least 2.
            stderr: stop where no label's standard error, as a probability, is above it; None: draw all.
            streams: of the random numbers of all images of the tree.

        Raises:
            InputError: the trie cannot hold what a single sample needs.
        """
        keys = sample_keys(seed, streams, 1)[:, 0]
        wanted = np.full(len(images), samples if stderr is None else min(PILOT, samples))
        while len(images):
            self._sample(images, wanted, keys)
            if stderr is None:
                break
            widest = self.stderr[images].max(axis=1)
            aim = stderr / self.frontier.masses[images]
            n = self.samples[images]
            wanted = np.clip(_needed(widest, n, aim), n + LEAST_MORE, MOST_TIMES * n)
            wanted = np.minimum(wanted, samples)
            going = (widest > aim) & (n < samples)
            images, wanted = images[going], wanted[going]

    def _sample(self, images: Ids, counts: Ids, keys: UInt64[np.ndarray, " images"]) -> None:
        """Estimate anew from so many samples; most of their prefixes are those of fewer samples."""
        of, entries, labels, item_keys = self.frontier.draw(images, counts, keys[images])
        walk = partial(self._walk, self.tree)
        gained = np.concatenate(in_halves(self.tree.trie, walk, of, entries, labels, item_keys))
        if self.tree.trie.step.allowed == "canonical":  # only greater labels are still to be gained
            informative = np.arange(gained.shape[1]) > labels[:, None]
        else:
            informative = ~self.tree.sets(of, entries, labels)
        totals = np.zeros((3, len(images), gained.shape[1]))
        self._add(gained, informative, np.repeat(np.arange(len(images)), counts), totals)
        self._conclude(images, counts, totals)

    def _conclude(self, images: Ids, counts: Ids, totals: Float[np.ndarray, "3 items labels"]) -> None:
        sums, squares, informative = totals
        self.samples[images] = counts
        n = counts[:, None]
        share = np.minimum(self.frontier.undecided[images] / self.frontier.masses[images, None], 1.0)
        mean = sums / np.maximum(informative, 1)
        spread = np.maximum(squares - informative * mean * mean, 0.0)
        # Few samples may agree by chance. As in an Agresti-Coull interval p is pulled towards 1/2, and one more
        # sample is imagined that says yes or no by the throw of a coin.
        p = (informative * mean + 0.5) / (informative + 1)
        variance = spread / np.maximum(informative - 1, 1) + IMAGINED / (informative + 1)
        # Decided by what is expected, not by what was drawn, lest the estimate be biased.
        enough = n * share >= LEAST_INFORMATIVE
        self.gained[images] = np.where(enough, share * mean, sums / n)
        among_informative = share * share * variance / np.maximum(informative, 1)
        among_all = share * (variance + (1 - share) * p * p) / n
        self.stderr[images] = np.sqrt(np.where(enough, among_informative, among_all))


def _needed(
    widest: Float[np.ndarray, " active"], n: Int[np.ndarray, " active"], aim: Float[np.ndarray, " active"]
) -> Int[np.ndarray, " active"]:
    """Return how many samples should bring the greatest standard error of n samples down to the aim.

    The number N solves variance / N + IMAGINED / N^2 = aim^2, with the variance that n samples showed.
    """
    variance = np.maximum(widest**2 * n - IMAGINED / (n + 1), 0.0)
    return np.ceil((variance + np.sqrt(variance**2 + 4 * IMAGINED * aim**2)) / (2 * aim**2)).astype(np.int64)


LEAST_EFFECTIVE = 20
"""Fewer effective samples say little of a share: at 20 the standard error of one half is 0.11."""

CLOSE_BOUNDS = 0.05
"""Where every label's bounds are this close, the scores are good whatever the samples say."""

UNKNOWN_ERROR = 1e3
"""Standard error of what too few effective samples say: more are drawn as long as there may be more."""


@dataclass(frozen=True)
class RuledMasses:
    """Mass that a search under rules has met; continuations after which END is certain count as finished.

    Attributes:
        finished: float64 [images], keeps the rules.
        finished_with: float64 [images labels], its part with each label.
        open: float64 [2 images], not expanded: may or may not keep the rules, and keeps them whatever follows.
        open_with: float64 [2 images labels], its part with each label.
        gaining: float64 [2 images labels], its part without the label that may still gain it.
    """

    finished: Float[np.ndarray, " images"]
    finished_with: Float[np.ndarray, "images labels"]
    open: Float[np.ndarray, "2 images"]
    open_with: Float[np.ndarray, "2 images labels"]
    gaining: Float[np.ndarray, "2 images labels"]

    def bounds(self) -> tuple[Float[np.ndarray, "images labels"], Float[np.ndarray, "images labels"]]:
        """Return hard bounds of p(l | image, rules).

        With A, A_l the mass that certainly keeps the rules (all, already with l), G_l the part of A that may gain l, U,
        U_l the mass that may or may not keep them and V_l the part of U that may gain l, p lies in
        [A_l / (A + U - U_l), (A_l + G_l + U_l + V_l) / (A + U_l + V_l)].
        """
        A, A_l = self.finished + self.open[1], self.finished_with + self.open_with[1]
        lost = np.maximum(self.open[0][:, None] - self.open_with[0], 0.0)
        most = self.open_with[0] + self.gaining[0]
        low = ratio(A_l, A[:, None] + lost)
        high = ratio(A_l + self.gaining[1] + most, A[:, None] + most)
        return low, np.clip(high, low, 1.0)


def ruled_masses(tree: Expansion) -> RuledMasses:
    """Return what a search under rules has met."""
    count = int(tree.counts.max(initial=0))
    there = np.arange(count) < tree.counts[:, None]
    masses = np.exp(np.where(there[:, :, None], tree.rest[:, :count], -np.inf))  # [images entries labels]
    contains = contained(tree, count)
    closed = np.zeros(masses.shape, dtype=bool)
    closed[tree.depths[:, :count] + 1 >= tree.trie.longest] = True
    closed[:, :, -1] = True  # rules need a fixed order
    ends = np.where(there, np.exp(tree.end_log_probs[:, :count]), 0.0)
    of_end = np.einsum("ie,iel->il", ends, contains)
    settled = tree.settled[:, :count]
    parts = [np.where(one, masses, 0.0) for one in (closed, ~closed & ~settled, ~closed & settled)]
    holding = [np.einsum("iel,ie->il", contains, one.sum(axis=2)) + one.sum(axis=1) for one in parts]
    by_label = np.stack([one.sum(axis=1) for one in parts[1:]])
    return RuledMasses(
        ends.sum(axis=1) + parts[0].sum(axis=(1, 2)),
        of_end + holding[0],
        by_label.sum(axis=2),
        np.stack(holding[1:]),
        np.cumsum(by_label, axis=2) - by_label,
    )


def continue_under_rules(
    tree: Expansion,
    trust: Float[np.ndarray, " all_images"],
    images: Ids,
    entries: Ids,
    labels: Ids,
    keys: Keys,
) -> tuple[Float[np.ndarray, " items"], Float[np.ndarray, "items labels"]]:
    """Continue samples (as `sampled_steps`) to END by outcomes that can still keep the rules.

    A sample's weight w is the product of its steps' probabilities of such outcomes. What it says of a label is w where
    it has it, less c times two things that are known: that the prefix has the label, and how much the draw of a step
    differs from its probability. The first is added again by who asks (`RuledMasses.open_with`), the second is 0 on
    average; with c near the expected weight little is left to chance. c is 1 where the rules are settled.

    `trust` is c where the rules are not settled, for each image of the tree: the share of the open mass that is
    expected to keep the rules. Any number is right, a good one is precise.

    Returns:
        The weights, whose expectation is the probability that the rules are kept; and those of each label, float64.

    Raises:
        TrieFullError: the prefixes of this block do not fit into the trie.
    """
    trie, ids = tree.trie, np.arange(tree.trie.num_labels)
    has = tree.sets(images, entries, labels)
    settled = tree.settled[images, entries, labels]
    weights, trust = np.ones(len(images)), trust[images]
    of_labels = -np.where(settled, 1.0, trust)[:, None] * has
    for items, nodes, probs, outcomes in sampled_steps(tree, images, entries, labels, keys):
        weights[items] *= probs.sum(axis=1)
        scale = weights[items] * np.where(settled[items], 1.0, trust[items])
        of_labels[items] += scale[:, None] * np.where(ids <= outcomes[:, None], hazards(probs), 0.0)
        further = outcomes < len(ids)
        drawn, item = outcomes[further], items[further]
        of_labels[item, drawn] -= scale[further]
        has[item, drawn] = True
        settled[item] |= trie.settled[nodes[further], drawn]
    return weights, of_labels + weights[:, None] * has


class RuledEstimate(OpenEstimate):
    """Sampled estimate of p(l | image, rules); `stderr` times the open mass is its standard error.

    Attributes:
        masses: what the search has met.
        score: float64 [images labels]; NaN where none was drawn.
        kept: float64 [images], probability that the rules are kept; NaN where none was drawn.
    """

    def __init__(self, tree: Expansion, backend: str) -> None:
        super().__init__(tree, backend)
        if backend == "numba" and tree.trie.step.additive:
            from labelbeam.decoding.sampling_kernel import (
                continue_under_rules_compiled,
                ruled_masses_compiled,
            )

            self.masses = ruled_masses_compiled(tree)  # type: ignore[arg-type]
            self._continue = continue_under_rules_compiled
        else:
            self.masses = ruled_masses(tree)
            self._continue = continue_under_rules
        finished, open_ = self.masses.finished, self.masses.open.sum(axis=0)
        decided = np.maximum(1.0 - open_, finished)
        self._trust = np.divide(finished, decided, out=np.ones_like(finished), where=decided > 0)
        self.score = np.full(self.stderr.shape, np.nan)
        self.kept = np.full(len(finished), np.nan)

    def _sample(self, images: Ids, counts: Ids, keys: UInt64[np.ndarray, " images"]) -> None:
        """Estimate anew from so many samples; most of their prefixes are those of fewer samples."""
        of, entries, labels, item_keys = self.frontier.draw(images, counts, keys[images])

        def walk(*part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return self._continue(self.tree, self._trust, *part)  # type: ignore[arg-type]

        blocks = in_halves(self.tree.trie, walk, of, entries, labels, item_keys)
        weights, of_labels = (np.concatenate(one) for one in zip(*blocks, strict=True))
        first, masses = np.concatenate(([0], np.cumsum(counts)[:-1])), self.masses
        n, mass = counts.astype(np.float64), self.frontier.masses[images]
        weight = np.add.reduceat(weights, first) / n
        trust = self._trust[images, None]
        known = masses.finished_with + masses.open_with[1]
        above = known[images] + trust * masses.open_with[0][images]
        above += mass[:, None] * np.add.reduceat(of_labels, first, axis=0) / n[:, None]
        kept = masses.finished[images] + mass * weight
        share = np.clip(ratio(above, kept[:, None]), 0.0, 1.0)
        # Delta method: the error of a ratio is that of (with the label) - share * (all), over all.
        left = of_labels - np.repeat(share, counts, axis=0) * weights[:, None]
        mean = np.add.reduceat(left, first, axis=0) / n[:, None]
        left -= np.repeat(mean, counts, axis=0)
        variance = np.add.reduceat(np.square(left, out=left), first, axis=0) / (n - 1)[:, None]
        variance += (IMAGINED * weight**2 / (n + 1))[:, None]  # few samples may agree by chance
        effective = ratio(np.add.reduceat(weights, first) ** 2, np.add.reduceat(weights**2, first))
        error = np.sqrt(variance / n[:, None]) / np.maximum(kept, 1e-300)[:, None]
        error[(effective < LEAST_EFFECTIVE) | (kept <= 0)] = UNKNOWN_ERROR
        self.samples[images], self.score[images], self.kept[images] = counts, share, kept
        self.stderr[images] = error


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Divide; 0 where the denominator is not above 0."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def trusted(stderr: Float[np.ndarray, "images labels"], gap: np.ndarray) -> Bool[np.ndarray, " images"]:
    """Tell for which images the samples, or else the bounds, say enough."""
    return (stderr.max(axis=1, initial=0.0) < UNKNOWN_ERROR) | (gap.max(axis=1, initial=0.0) <= CLOSE_BOUNDS)
