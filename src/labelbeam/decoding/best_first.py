"""The most probable path of each image, with a certificate, and those that follow it: best-first search over prefixes.

The log-probability of a path never rises as it grows, so once a finished path is at least as probable as
every prefix still waiting, no path can beat it. Knows the trie and image rows; `expansion` holds the tree.
Under `canonical` a set has one path, so the certificate covers the set; under `no-repeat` it covers the
path: a set's probability is the sum of its paths, and the set of the best path need not be the best set.
"""

from dataclasses import dataclass, fields
from itertools import chain

import numpy as np
from jaxtyping import Bool, Float, Int

from labelbeam.decoding.beam import beam_search
from labelbeam.decoding.expansion import Expansion
from labelbeam.decoding.likelihood import path_log_prob
from labelbeam.decoding.paths import checked_rows, in_batches, joined
from labelbeam.decoding.search import Search, choose_backend
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.errors import InputError

DEFAULT_BUDGET = 1000
"""Expansions per image; COCO-like models need about 17 at the median."""

FIRST_BUDGET = 64
"""Expansions of the first round, in large batches; few images need more."""

WORK_BYTES = 64 * 2**20
"""Bytes that the trees of a batch may take; batches are cut to it."""

NEGLIGIBLE = 1e-6
"""Open mass below this is called nothing; single precision does not tell more."""


@dataclass(frozen=True)
class CertifiedPaths:
    """The best path found for each image, and whether it is proven to be the best there is.

    Attributes:
        labels: int32 [images longest], label ids, -1 behind the end.
        lengths: int32 [images].
        log_probs: float64 [images], nats, END included.
        exact: bool [images]; True: no path is more probable (single-precision rounding apart).
        upper: float64 [images], no path's log-probability is above it, rounding included; equals `log_probs` where
            exact.
        expansions: int32 [images], prefixes expanded.
    """

    labels: Int[np.ndarray, "images longest"]
    lengths: Int[np.ndarray, " images"]
    log_probs: Float[np.ndarray, " images"]
    exact: Bool[np.ndarray, " images"]
    upper: Float[np.ndarray, " images"]
    expansions: Int[np.ndarray, " images"]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def paths(self) -> list[tuple[int, ...]]:
        """Each image's path: labels in path order."""
        return [self.path(image) for image in range(len(self))]

    def path(self, image: int) -> tuple[int, ...]:
        """Return an image's labels in path order."""
        return tuple(self.labels[image, : self.lengths[image]].tolist())


def best_paths(
    trie: PrefixTrie,
    image_rows: Float[np.ndarray, "images width"],
    *,
    budget: int = DEFAULT_BUDGET,
    backend: str | None = None,
) -> CertifiedPaths:
    """Search the most probable path of each image until it is proven or the budget is spent.

    Args:
        budget: most prefixes to expand per image, at least 1 (the empty one).
        backend: as in `beam_search`.

    Returns:
        Paths with certificates; equal log-probabilities by label sequence. Where the budget ran out, the
        best of the finished paths met so far, the greedy one and that of a beam of 10.

    Raises:
        InputError: a budget below 1; otherwise as `beam_search`.

    Example:
        >>> from labelbeam.decoding.step import TableStep
        >>> trie = PrefixTrie(TableStep({(): [2.0, 1.0, 0.0], (0,): [0.0, 3.0, 0.0]}, num_labels=2))
        >>> found = best_paths(trie, np.zeros((1, 3), np.float32))
        >>> found.path(0), bool(found.exact[0]), int(found.expansions[0])
        ((0, 1), True, 3)
    """
    rows = checked_rows(trie, image_rows)
    check_budget(budget)
    chosen = choose_backend(backend, compiled=can_compile(trie))

    def search(rows: Float[np.ndarray, "images width"], budget: int) -> CertifiedPaths:
        size = batch_size(trie, budget)
        return joined(in_batches(trie, lambda part: _search(trie, part, budget, chosen), size, rows))

    found = search(rows, min(budget, FIRST_BUDGET))
    left = np.flatnonzero(~found.exact)
    if budget > FIRST_BUDGET and len(left):  # the few that need more start again, in smaller batches
        more = search(rows[left], budget)
        for field in fields(CertifiedPaths):
            getattr(found, field.name)[left] = getattr(more, field.name)
    no_worse_than_beams(trie, rows, found, chosen)
    return found


def no_worse_than_beams(
    trie: PrefixTrie, rows: Float[np.ndarray, "images width"], found: CertifiedPaths, backend: str
) -> None:
    """Replace paths past the budget by greedy's or the default beam's where those are better, in place.

    What the search has bounded stays bounded, so a path above all that it left open is certified after all.
    """
    left = np.flatnonzero(~found.exact)
    if not len(left):
        return
    for options in (Search(beam_width=1, end="competes"), Search()):
        try:
            other = beam_search(trie, rows[left], options, backend=backend if trie.step.additive else None)
        except InputError:  # the trie's limit has room for a single path (greedy's), but not for a beam
            continue
        labels, lengths = other.labels[:, 0], other.lengths[:, 0]
        log_probs = np.where(lengths < 0, -np.inf, path_log_prob(trie, rows[left], labels))
        better = log_probs > found.log_probs[left]
        at = left[better]
        found.labels[at], found.lengths[at] = labels[better], lengths[better]
        found.log_probs[at] = log_probs[better]
    found.exact[left] = found.log_probs[left] > found.upper[left]
    found.upper[left] = np.where(
        found.exact[left], found.log_probs[left], np.maximum(found.log_probs[left], found.upper[left])
    )


def check_budget(budget: int) -> None:
    """Refuse a budget of expansions below 1.

    Raises:
        InputError: it is below 1.
    """
    if budget < 1:
        raise InputError(f"the budget of expansions must be at least 1, given {budget}.")


def batch_size(trie: PrefixTrie, budget: int) -> int:
    """Return how many images are searched together, so that their trees stay within WORK_BYTES."""
    return max(1, WORK_BYTES // (8 * budget * (trie.num_labels + 4)))


def can_compile(trie: PrefixTrie) -> bool:
    """Return whether the compiled tree knows a model's logits: additive ones, and those of a plain ReLU."""
    return trie.step.additive or getattr(trie.step, "outputs", None) is not None


def new_expansion(
    trie: PrefixTrie, image_rows: Float[np.ndarray, "images width"], budget: int, backend: str
) -> Expansion:
    """Return the tree of a batch, with the root expanded, in the arithmetic of a backend."""
    if backend == "numba":
        from labelbeam.decoding.expansion_kernel import CompiledExpansion

        tree: Expansion = CompiledExpansion(trie, image_rows, budget)
    else:
        tree = Expansion(trie, image_rows, budget)
    tree.start(np.arange(len(image_rows)))
    return tree


def expanded(
    trie: PrefixTrie,
    image_rows: Float[np.ndarray, "images width"],
    budget: int,
    backend: str,
    *,
    gap: float | None = None,
) -> Expansion:
    """Return the tree of a batch, expanded best first, up to `budget` entries per image.

    It stops where next to nothing is open and, with a gap, where no more mass is open and the best path is certified.

    Raises:
        TrieFullError: the trie cannot hold the prefixes of a round.
    """
    tree = new_expansion(trie, image_rows, budget, backend)
    # Under rules, what is left is judged beside what keeps them.
    tree.run(
        np.arange(len(image_rows)),
        budget,
        least_open=NEGLIGIBLE / 10,
        gap=-1.0 if gap is None else gap,
        relative=trie.rules is not None,
    )
    return tree


def _search(
    trie: PrefixTrie, image_rows: Float[np.ndarray, "images width"], budget: int, backend: str
) -> CertifiedPaths:
    tree = new_expansion(trie, image_rows, budget, backend)
    tree.run(np.arange(len(image_rows)), budget, least_open=-np.inf, gap=np.inf)
    return certificates(tree)


def certificates(tree: Expansion) -> CertifiedPaths:
    """Return the best finished paths of a tree; where none is finished yet, none with log-probability -inf."""
    everyone = np.arange(len(tree.counts))
    entries, labels, values = tree.top(everyone)
    exact = tree.certified(everyone, entries, labels, values)
    paths, lengths = tree.best_finished()
    log_probs = tree.path_log_prob
    upper = np.where(exact, log_probs, values + tree.most_rounding())
    return CertifiedPaths(paths, lengths, log_probs, exact, upper, tree.counts)


ListedSets = list[tuple[tuple[int, ...], float]]
"""Label sets of an image with their probabilities, the most probable first."""


def likely_sets(
    trie: PrefixTrie,
    image_rows: Float[np.ndarray, "images width"],
    *,
    count: int,
    mass: float = 1.0,
    budget: int = 1000,
    backend: str | None = None,
) -> list[ListedSets]:
    """List each image's most probable paths until there are enough, or they hold enough probability.

    Args:
        mass: probability after which no more are wanted.
        budget: most prefixes to expand per image.
        backend: as in `beam_search`.

    Returns:
        Per image, paths with their probabilities, falling; fewer than `count` where the mass was reached, where there
        are no more, or where the budget was spent: what is listed is certain to be first.

    Raises:
        InputError: a budget below 1; otherwise as `beam_search`.

    Example:
        >>> from labelbeam.decoding.step import TableStep
        >>> trie = PrefixTrie(TableStep({(): [2.0, 1.0, 0.0], (0,): [0.0, 3.0, 0.0]}, num_labels=2))
        >>> [path for path, _ in likely_sets(trie, np.zeros((1, 3), np.float32), count=3)[0]]
        [(0, 1), (1,), ()]
    """
    rows = checked_rows(trie, image_rows)
    check_budget(budget)
    chosen = choose_backend(backend, compiled=can_compile(trie))

    def listed(part: Float[np.ndarray, "images width"]) -> list[ListedSets]:
        return _listed(new_expansion(trie, part, budget, chosen), count, mass, budget)

    return list(chain(*in_batches(trie, listed, batch_size(trie, budget), rows)))


def _listed(tree: Expansion, count: int, mass: float, budget: int) -> list[ListedSets]:
    active = np.arange(len(tree.counts))
    least = np.full(len(active), -np.inf)  # finished paths above this are certain
    for expanded in range(1, budget + 1):
        entries, labels, values = tree.top(active)
        least[active] = values
        finished = tree.end_log_probs[active, :expanded]
        sure = finished > values[:, None]
        held = np.where(sure, np.exp(finished), 0.0).sum(axis=1)
        going = (sure.sum(axis=1) < count) & (held < mass) & (values > -np.inf)
        active, entries, labels, values = active[going], entries[going], labels[going], values[going]
        if not len(active) or expanded == budget:
            break
        tree.expand(active, entries, labels, values)
    listed = []
    for image, lowest in enumerate(least):
        log_probs = tree.end_log_probs[image]
        order = np.argsort(-log_probs, kind="stable")[: int((log_probs > lowest).sum())][:count]
        listed.append([(tuple(tree.path_of(image, int(e))), float(np.exp(log_probs[e]))) for e in order])
    return listed
