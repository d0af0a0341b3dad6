"""Marginals of the distribution conditioned on rules: ratios of masses, with hard bounds and an estimate.

What a search under rules has met splits into mass that is finished and keeps them, mass that is open and sure to keep
them whatever follows, and mass that is open and may or may not. Bounds follow from the three; samples of the open mass,
continued by outcomes that can still keep the rules and weighted by the probability of those, tell what becomes of it.
Where rules hardly bind, weights are nearly 1 and the estimate is as sharp as without rules. `marginals` drives it;
`ruled_kernel` has its loops compiled.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64

from labelbeam.decoding.expansion import Expansion
from labelbeam.decoding.open_estimate import IMAGINED, OpenEstimate
from labelbeam.decoding.paths import in_halves
from labelbeam.decoding.sampling import contained, hazards, sampled_steps

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
        low = _ratio(A_l, A[:, None] + lost)
        high = _ratio(A_l + self.gaining[1] + most, A[:, None] + most)
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
    images: Int[np.ndarray, " items"],
    entries: Int[np.ndarray, " items"],
    labels: Int[np.ndarray, " items"],
    keys: UInt64[np.ndarray, " items"],
) -> tuple[Float[np.ndarray, " items"], Float[np.ndarray, "items labels"]]:
    """Continue samples to END by outcomes that can still keep the rules.

    A sample's weight w is the product of its steps' probabilities of such outcomes. What it says of a label is w where
    it has it, less c times two things that are known: that the prefix has the label, and how much the draw of a step
    differs from its probability. The first is added again by who asks (`RuledMasses.open_with`), the second is 0 on
    average; with c near the expected weight little is left to chance. c is 1 where the rules are settled.

    Args:
        tree: the search whose frontier was sampled.
        trust: the share of the open mass that is expected to keep the rules, c where they are not settled; any number
            is right, a good one is precise.
        images: image of each sample.
        entries: entry that the sample continues.
        labels: label that it continues it by.
        keys: of the samples, as `draw_continuations` gives them.

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
            from labelbeam.decoding.ruled_kernel import continue_under_rules_compiled, ruled_masses_compiled

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

    def _sample(
        self,
        images: Int[np.ndarray, " active"],
        counts: Int[np.ndarray, " active"],
        keys: UInt64[np.ndarray, " images"],
    ) -> None:
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
        share = np.clip(_ratio(above, kept[:, None]), 0.0, 1.0)
        # Delta method: the error of a ratio is that of (with the label) - share * (all), over all.
        left = of_labels - np.repeat(share, counts, axis=0) * weights[:, None]
        mean = np.add.reduceat(left, first, axis=0) / n[:, None]
        left -= np.repeat(mean, counts, axis=0)
        variance = np.add.reduceat(np.square(left, out=left), first, axis=0) / np.maximum(n - 1, 1)[:, None]
        variance += (IMAGINED * weight**2 / (n + 1))[:, None]  # few samples may agree by chance
        effective = _ratio(np.add.reduceat(weights, first) ** 2, np.add.reduceat(weights**2, first))
        error = np.sqrt(variance / n[:, None]) / np.maximum(kept, 1e-300)[:, None]
        error[(effective < LEAST_EFFECTIVE) | (kept <= 0)] = UNKNOWN_ERROR
        self.samples[images], self.score[images], self.kept[images] = counts, share, kept
        self.stderr[images] = error


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def trusted(stderr: Float[np.ndarray, "images labels"], gap: np.ndarray) -> Bool[np.ndarray, " images"]:
    """Tell for which images the samples, or else the bounds, say enough."""
    return (stderr.max(axis=1, initial=0.0) < UNKNOWN_ERROR) | (gap.max(axis=1, initial=0.0) <= CLOSE_BOUNDS)
