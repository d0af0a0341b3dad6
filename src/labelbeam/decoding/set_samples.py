"""A weighted sample of the label sets of each image, for decisions over sets.

The paths that best-first search finishes are there with their exact probabilities; what it leaves open is
there as sampled completions, which share its probability equally. So a mean over the rows, by their weights,
of any function of a set estimates its expectation under the model, and only the open part of it varies. Knows
the trie and image rows; `expansion` grows the tree, `sampling` continues it; decisions read the arrays.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64

from labelbeam.decoding.best_first import batch_size, can_compile, check_budget, expanded
from labelbeam.decoding.expansion import Expansion
from labelbeam.decoding.paths import NO_LABEL, checked_rows, in_halves
from labelbeam.decoding.random_numbers import check_streams, sample_keys
from labelbeam.decoding.sampling import Keys, draw_continuations, sampled_steps
from labelbeam.decoding.search import choose_backend
from labelbeam.decoding.trie import Ids, PrefixTrie
from labelbeam.errors import InputError


@dataclass(frozen=True)
class SetSamples:
    """Label sets of every image with weights. A set may stand in several rows.

    Attributes:
        sets: bool [images samples labels]: first the finished paths, most probable prefix first, then the
            sampled completions; rows that were not needed are empty and have weight 0.
        weights: float64 [images samples], not negative, summing to 1 for each image.

    Example:
        >>> found = SetSamples(np.array([[[True, False], [True, True]]]), np.array([[0.75, 0.25]]))
        >>> found.marginals().tolist()
        [[1.0, 0.25]]
    """

    sets: Bool[np.ndarray, "images samples labels"]
    weights: Float[np.ndarray, "images samples"]

    def __len__(self) -> int:
        return len(self.sets)

    def marginals(self) -> Float[np.ndarray, "images labels"]:
        """Return the weight of the sets that hold each label; `label_marginals` estimates it more sharply."""
        return np.einsum("is,isl->il", self.weights, self.sets)


def sample_sets(
    trie: PrefixTrie,
    image_rows: Float[np.ndarray, "images width"],
    *,
    expansions: int = 200,
    samples: int = 200,
    seed: int = 0,
    streams: Int[np.ndarray, " streams"] | None = None,
    backend: str | None = None,
) -> SetSamples:
    """Sample p(set | image): finished paths exactly, the rest of the probability by completions.

    Args:
        expansions: most prefixes to expand per image, best first.
        samples: completions sampled per image of what is left open, at least 1.
        seed: of the samples; the same seed gives the same rows, whatever the batch.
        streams: a number per image that makes its samples independent of other images'. Default: all
            images share their random numbers.
        backend: as in `beam_search`.

    Returns:
        `expansions + samples` rows per image, a byte per row and label: give images in blocks.

    Raises:
        InputError: a budget below 1, streams of another number than the images; otherwise as `beam_search`.

    Example:
        >>> from labelbeam.decoding.step import TableStep
        >>> trie = PrefixTrie(TableStep({}, num_labels=2))  # every outcome equally probable
        >>> found = sample_sets(trie, np.zeros((1, 3), np.float32), expansions=4, samples=1)
        >>> found.sets[0].astype(int).tolist(), found.weights.round(3).tolist()
        ([[0, 0], [1, 0], [0, 1], [1, 1], [0, 0]], [[0.333, 0.167, 0.333, 0.167, 0.0]])
    """
    rows = checked_rows(trie, image_rows)
    check_budget(expansions)
    if samples < 1:
        raise InputError(f"sets of what is left open need at least 1 sample, given samples={samples}.")
    keys = sample_keys(seed, check_streams(streams, len(rows)), 1)[:, 0]
    chosen = choose_backend(backend, compiled=can_compile(trie))
    sets = np.zeros((len(rows), expansions + samples, trie.num_labels), dtype=bool)
    weights = np.zeros(sets.shape[:2])
    first, size = 0, batch_size(trie, expansions + samples)
    for start in range(0, len(rows), size):  # the trees of one batch at a time: they are large
        batch = rows[start : start + size]
        for tree in in_halves(trie, lambda part: expanded(trie, part, expansions, chosen), batch):
            part = slice(first, first := first + len(tree.counts))
            _fill_finished(tree, sets[part], weights[part])
            _fill_sampled(tree, keys[part], sets[part, expansions:], weights[part, expansions:])
    weights /= weights.sum(axis=1, keepdims=True)  # single-precision rounding
    return SetSamples(sets, weights)


def _fill_finished(
    tree: Expansion,
    sets: Bool[np.ndarray, "images samples labels"],
    weights: Float[np.ndarray, "images samples"],
) -> None:
    """Write the paths that END makes of the entries."""
    images, entries = np.nonzero(np.isfinite(tree.end_log_probs))
    weights[images, entries] = np.exp(tree.end_log_probs[images, entries])
    sets[images, entries] = tree.sets(images, entries, np.full(len(images), NO_LABEL, dtype=np.int32))


def _fill_sampled(
    tree: Expansion,
    keys: UInt64[np.ndarray, " images"],
    sets: Bool[np.ndarray, "images samples labels"],
    weights: Float[np.ndarray, "images samples"],
) -> None:
    """Write sampled completions of the continuations that are not expanded."""
    samples = sets.shape[1]
    drawn, images = [], []
    for image in range(len(keys)):
        rest = np.exp(tree.rest[image, : tree.counts[image]])
        if open_mass := rest.sum():
            drawn.append(draw_continuations(rest, tree.keys[image], keys[image], samples))
            images.append(image)
            weights[image] = open_mass / samples
    if not images:
        return
    items = (np.repeat(images, samples), *(np.concatenate(column) for column in zip(*drawn, strict=True)))
    blocks = in_halves(tree.trie, lambda *part: _completions(tree, *part), *items)
    sets[images] = np.concatenate([block[0] for block in blocks]).reshape(len(images), *sets.shape[1:])
    weights[images] *= np.concatenate([block[1] for block in blocks]).reshape(len(images), samples)


def _completions(
    tree: Expansion, images: Ids, entries: Ids, labels: Ids, keys: Keys
) -> tuple[Bool[np.ndarray, "items labels"], Float[np.ndarray, " items"]]:
    """Return the sets in which continuations end when the model goes on with them, and their weights.

    Under rules a step draws from what can still keep them, and its weight is the probability of that.
    """
    sets, weights = tree.sets(images, entries, labels), np.ones(len(images))
    for items, _, probs, outcomes in sampled_steps(tree, images, entries, labels, keys):
        further = outcomes < tree.trie.num_labels
        sets[items[further], outcomes[further]] = True
        if tree.trie.rules is not None:
            weights[items] *= probs.sum(axis=1)
    return sets, weights
