"""Per-label scores of a sequence model: marginals with hard bounds, an estimate and its standard error.

p(l | image) lies between the mass of all prefixes met that contain l, and that plus the mass of open
prefixes that may still gain it. Between the bounds the estimate is the certain mass plus the sampled share
of the open mass. The paper leaves open where per-label scores come from (C.1 row 15); this is our answer.
Knows the trie and image rows; `expansion` grows the tree, `sampling` continues what it leaves open.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from labelbeam.decoding.backend import choose_backend
from labelbeam.decoding.batch import check_image_rows, in_halves
from labelbeam.decoding.best_first import (
    CertifiedPaths,
    batch_size,
    certificates,
    check_budget,
    new_expansion,
)
from labelbeam.decoding.expansion import Expansion
from labelbeam.decoding.sampling import Frontier, continue_samples, sample_keys
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.errors import InputError

NEGLIGIBLE = 1e-6
"""Bounds closer than this are called exact; single precision does not tell more."""


@dataclass(frozen=True)
class Marginals:
    """Marginal probability of every label of every image.

    Attributes:
        score: float64 [images labels], the estimate, within the bounds.
        low: float64 [images labels], hard lower bound (single-precision rounding, below 1e-6, apart).
        high: float64 [images labels], hard upper bound.
        stderr: float64 [images labels], standard error of the estimate before it is clipped to the bounds;
            0 where nothing was sampled because nothing is open.
        exact: bool [images], the bounds of every label are closer than NEGLIGIBLE.
        paths: the best path that the same search met, with its certificate and number of expansions.
    """

    score: Float[np.ndarray, "images labels"]
    low: Float[np.ndarray, "images labels"]
    high: Float[np.ndarray, "images labels"]
    stderr: Float[np.ndarray, "images labels"]
    exact: Bool[np.ndarray, " images"]
    paths: CertifiedPaths

    def __len__(self) -> int:
        return len(self.score)


def label_marginals(
    trie: PrefixTrie,
    image_rows: Float[np.ndarray, "images width"],
    *,
    expansions: int = 200,
    samples: int = 200,
    seed: int = 0,
    streams: Int[np.ndarray, " streams"] | None = None,
    backend: str | None = None,
) -> Marginals:
    """Bound and estimate p(label | image) for every label.

    Args:
        trie: prefixes of the label model.
        image_rows: float32, one row per image.
        expansions: most prefixes to expand per image, best first. More of them never widen a bound.
        samples: continuations sampled per image of what is left open, at least 2; 0: none, the score is
            then the middle of the bounds and the standard error half their distance.
        seed: of the samples; the same seed gives the same scores, whatever the batch.
        streams: a number per image that makes its samples independent of other images'. Default: all
            images share their random numbers, so that scores of one label compare well between images.
        backend: `numpy` or `numba`; None: the fastest that is installed and can do it.

    Returns:
        Scores, bounds, standard errors, and the best path of each image.

    Raises:
        InputError: a budget below 1, a single sample, streams of another number than the images;
            otherwise as `beam_search`.

    Example:
        >>> from labelbeam.decoding.table import TableStep
        >>> trie = PrefixTrie(TableStep({}, num_labels=2))  # every outcome equally probable
        >>> found = label_marginals(trie, np.zeros((1, 3), np.float32))
        >>> found.score.round(3).tolist(), bool(found.exact[0])
        ([[0.333, 0.5]], True)
    """
    rows = np.ascontiguousarray(image_rows, dtype=np.float32)
    check_image_rows(trie, rows)
    check_budget(expansions)
    if samples < 0 or samples == 1:
        raise InputError(
            f"a standard error needs at least 2 samples (0: bounds only), given samples={samples}."
        )
    if streams is not None and len(streams) != len(rows):
        raise InputError(f"streams must have one number per image, {len(rows)}; given {len(streams)}.")
    chosen = choose_backend(backend, additive=trie.step.additive)
    image_streams = np.zeros(len(rows), dtype=np.int64) if streams is None else streams
    size = batch_size(trie, max(expansions, samples))
    parts: list[Marginals] = []
    for first in range(0, len(rows), size):
        batch, keys = (
            rows[first : first + size],
            sample_keys(seed, image_streams[first : first + size], samples),
        )
        trees = in_halves(trie, lambda part: _expand(trie, part, expansions, chosen), batch)
        for tree in trees:
            parts.append(_marginals(tree, keys[: len(tree.counts)], chosen))
            keys = keys[len(tree.counts) :]
    return _joined(parts, trie)


def _expand(
    trie: PrefixTrie, image_rows: Float[np.ndarray, "images width"], budget: int, backend: str
) -> Expansion:
    tree = new_expansion(trie, image_rows, budget, backend)
    active = np.arange(len(image_rows))
    for _ in range(budget - 1):
        entries, labels, values = tree.top(active)
        going = (values > -np.inf) & (tree.open_mass[active] > NEGLIGIBLE / 10)
        active, entries, labels, values = active[going], entries[going], labels[going], values[going]
        if not len(active):
            break
        tree.expand(active, entries, labels, values)
    return tree


def _marginals(tree: Expansion, keys: np.ndarray, backend: str) -> Marginals:
    trie, samples = tree.trie, keys.shape[1]
    if backend == "numba":
        from labelbeam.decoding.expansion_kernel import CompiledFrontier, continue_samples_compiled

        frontier: Frontier = CompiledFrontier(tree)
        walk: Callable[..., np.ndarray] = continue_samples_compiled
    else:
        frontier, walk = Frontier(tree), continue_samples
    low = np.clip(tree.mass, 0.0, 1.0)
    high = np.clip(tree.mass + frontier.undecided, low, 1.0)
    exact = (high - low).max(axis=1) <= NEGLIGIBLE
    score = (low + high) / 2
    stderr = (high - low) / 2
    sampled = np.flatnonzero(~exact & (frontier.masses > 0))
    if samples and len(sampled):
        entries, labels = frontier.draw(sampled, keys[sampled])
        items = (np.repeat(sampled, samples), entries.ravel(), labels.ravel(), keys[sampled].ravel())
        blocks = in_halves(trie, lambda *part: walk(tree, *part), *items)
        gained = np.concatenate(blocks).reshape(len(sampled), samples, -1)
        masses = frontier.masses[sampled, None]
        score[sampled] = np.clip(low[sampled] + masses * gained.mean(axis=1), low[sampled], high[sampled])
        variance = gained.var(axis=1, ddof=1)
        # Samples that all agree, or hardly any that could have gained the label, show no variance by chance.
        # As in an Agresti-Coull interval one more sample, in the undecided share, is imagined to disagree
        # with probability 1/2.
        share = np.minimum(frontier.undecided[sampled] / masses, 1.0)
        variance += share / 2 / (samples * share + 2)
        stderr[sampled] = np.minimum(masses * np.sqrt(variance / samples), stderr[sampled])
    if samples:
        stderr[exact] = 0.0
    everyone = np.arange(len(low))
    entries, labels, values = tree.top(everyone)
    certified = tree.certified(everyone, entries, labels, values)
    paths = certificates(tree, certified, np.maximum(values, tree.path_log_prob), backend)
    return Marginals(score, low, high, stderr, exact, paths)


def _joined(parts: list[Marginals], trie: PrefixTrie) -> Marginals:
    """Return the answers of consecutive batches as one."""
    if not parts:
        none, nobody = np.zeros((0, trie.num_labels)), np.zeros(0, dtype=np.int32)
        path = CertifiedPaths(
            np.zeros((0, trie.longest), np.int32),
            nobody,
            np.zeros(0),
            nobody.astype(bool),
            np.zeros(0),
            nobody,
        )
        return Marginals(none, none, none, none, nobody.astype(bool), path)
    paths = CertifiedPaths(
        np.concatenate([part.paths.labels for part in parts]),
        np.concatenate([part.paths.lengths for part in parts]),
        np.concatenate([part.paths.log_probs for part in parts]),
        np.concatenate([part.paths.exact for part in parts]),
        np.concatenate([part.paths.upper for part in parts]),
        np.concatenate([part.paths.expansions for part in parts]),
    )
    return Marginals(
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.low for part in parts]),
        np.concatenate([part.high for part in parts]),
        np.concatenate([part.stderr for part in parts]),
        np.concatenate([part.exact for part in parts]),
        paths,
    )
