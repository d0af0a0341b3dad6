"""The most probable path of each image, with a certificate: best-first search over prefixes.

The log-probability of a path never rises as it grows, so once a finished path is at least as probable as
every prefix still waiting, no path can beat it. Knows the trie and image rows; `expansion` holds the tree.
Under `canonical` a set has one path, so the certificate covers the set; under `no-repeat` it covers the
path: a set's probability is the sum of its paths, and the set of the best path need not be the best set.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from labelbeam.decoding.backend import choose_backend
from labelbeam.decoding.beam import beam_search
from labelbeam.decoding.expansion import Expansion
from labelbeam.decoding.likelihood import path_log_prob
from labelbeam.decoding.paths import check_image_rows, in_halves
from labelbeam.decoding.search import Search
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
        trie: prefixes of the label model.
        image_rows: float32, one row per image.
        budget: most prefixes to expand per image, at least 1 (the empty one).
        backend: `numpy` or `numba`; None: the fastest that is installed and can do it.

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
    rows = np.ascontiguousarray(image_rows, dtype=np.float32)
    check_image_rows(trie, rows)
    check_budget(budget)
    chosen = choose_backend(backend, compiled=can_compile(trie))
    found = _in_batches(trie, rows, min(budget, FIRST_BUDGET), chosen)
    left = np.flatnonzero(~found.exact)
    if budget > FIRST_BUDGET and len(left):  # the few that need more start again, in smaller batches
        more = _in_batches(trie, rows[left], budget, chosen)
        for name in ("labels", "lengths", "log_probs", "exact", "upper", "expansions"):
            getattr(found, name)[left] = getattr(more, name)
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


def _in_batches(
    trie: PrefixTrie, rows: Float[np.ndarray, "images width"], budget: int, backend: str
) -> CertifiedPaths:
    parts: list[CertifiedPaths] = []
    for first in range(0, len(rows), size := batch_size(trie, budget)):
        batch = rows[first : first + size]
        parts += in_halves(trie, lambda part: _search(trie, part, budget, backend), batch)
    return CertifiedPaths(
        np.concatenate([part.labels for part in parts] or [np.zeros((0, trie.longest), np.int32)]),
        np.concatenate([part.lengths for part in parts] or [np.zeros(0, np.int32)]),
        np.concatenate([part.log_probs for part in parts] or [np.zeros(0)]),
        np.concatenate([part.exact for part in parts] or [np.zeros(0, bool)]),
        np.concatenate([part.upper for part in parts] or [np.zeros(0)]),
        np.concatenate([part.expansions for part in parts] or [np.zeros(0, np.int32)]),
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
    """Return the tree of a batch, expanded best first.

    Args:
        trie: prefixes of the label model.
        image_rows: float32, one row per image.
        budget: most entries per image.
        backend: `numpy` or `numba`.
        gap: stop, too, where no more mass is open and the best path is certified; None: only where next to
            nothing is open.

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
    everyone = np.arange(len(image_rows))
    tree.run(everyone, budget, least_open=-np.inf, gap=np.inf)
    entries, labels, values = tree.top(everyone)
    return certificates(tree, tree.certified(everyone, entries, labels, values), values)


def certificates(
    tree: Expansion, exact: Bool[np.ndarray, " images"], open_: Float[np.ndarray, " images"]
) -> CertifiedPaths:
    """Return the best finished paths of a tree; where none is finished yet, none with log-probability -inf.

    Args:
        tree: the search.
        exact: where the best finished path is certified.
        open_: the greatest log-probability of what is left open.
    """
    labels, lengths = tree.best_finished()
    log_probs = tree.path_log_prob
    upper = np.where(exact, log_probs, open_ + tree.most_rounding())
    return CertifiedPaths(labels, lengths, log_probs, exact, upper, tree.counts)
