"""Continuing the frontier of a search by sampling: plain NumPy, for any label model.

A search leaves continuations that it did not expand. Samples of them, drawn in proportion to their mass
and continued to END, tell how much of that mass still gains each label. Drawing is stratified (sample j of
n falls into the j-th n-th of the mass), and a step of a sample adds the probability with which a label
comes next instead of whether it came: both keep the estimate unbiased and make it less variable. Random
numbers are a hash of (seed, stream of the image, sample, step), so they do not depend on the batch. Knows
`Expansion` and the trie; `marginals` drives it; `expansion_kernel` has the same compiled.
"""

import numpy as np
from jaxtyping import Float, Int, UInt64

from labelbeam.decoding.expansion import Expansion

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def _mix(numbers: UInt64[np.ndarray, "..."]) -> UInt64[np.ndarray, "..."]:
    """Return a bijective scrambling of 64-bit numbers (the finaliser of splitmix64)."""
    mixed = (numbers ^ (numbers >> np.uint64(30))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
    return mixed ^ (mixed >> np.uint64(31))


def sample_keys(
    seed: int, streams: Int[np.ndarray, " images"], samples: int
) -> UInt64[np.ndarray, "images samples"]:
    """Return the key of every sample, from which `uniforms` draws.

    Args:
        seed: chosen by the caller.
        streams: a number per image; equal streams give equal random numbers.
        samples: samples per image.

    Returns:
        uint64 [images samples].
    """
    image_keys = _mix(streams.astype(np.uint64) + _mix(np.array([seed % 2**64], dtype=np.uint64)) + _GOLDEN)
    return _mix(image_keys[:, None] + np.arange(1, samples + 1, dtype=np.uint64) * _GOLDEN)


def uniforms(keys: UInt64[np.ndarray, " items"], step: int) -> Float[np.ndarray, " items"]:
    """Return one uniform number per key, strictly between 0 and 1, for a step of its sample.

    Example:
        >>> uniforms(sample_keys(0, np.array([7]), 2)[0], 1).round(3).tolist()
        [0.535, 0.083]
    """
    mixed = _mix(keys + np.array([step], dtype=np.uint64) * _MIX_2)
    return ((mixed >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


class Frontier:
    """What a search left open, image by image.

    Continuations after which END is certain are closed: nothing about them is undecided.

    Attributes:
        masses: float64 [images], probability of the open continuations.
        undecided: float64 [images labels], probability of those that lack the label and may still gain it.
    """

    def __init__(self, tree: Expansion) -> None:
        self.tree = tree
        used = tree.rest[:, : int(tree.counts.max(initial=0))]
        there = np.arange(used.shape[1]) < tree.counts[:, None]
        self._open = np.exp(np.where(there[:, :, None], used, -np.inf))  # [images entries labels]
        self._open[tree.depths[:, : used.shape[1]] + 1 >= tree.trie.longest] = 0.0
        canonical = tree.trie.step.allowed == "canonical"
        if canonical:
            self._open[:, :, -1] = 0.0
        by_label = self._open.sum(axis=1)  # [images labels]
        self.masses = by_label.sum(axis=1)
        if canonical:  # only greater ids can follow
            self.undecided = np.cumsum(by_label, axis=1) - by_label
        else:
            contains = self._contains()
            by_entry = self._open.sum(axis=2)
            before = np.einsum("iel,ie->il", contains, by_entry)
            anew = np.where(contains, 0.0, self._open).sum(axis=1)
            self.undecided = np.maximum(self.masses[:, None] - before - anew, 0.0)

    def _contains(self) -> np.ndarray:
        """Return bool [images entries labels]: whether the entry has the label."""
        tree, (count, entries, num_labels) = self.tree, self._open.shape
        contains = np.zeros((count, entries, num_labels), dtype=bool)
        for e in range(1, entries):
            has = np.flatnonzero(tree.counts > e)
            contains[has, e] = contains[has, tree.parents[has, e]]
            contains[has, e, tree.labels[has, e]] = True
        return contains

    def draw(
        self, images: Int[np.ndarray, " active"], keys: UInt64[np.ndarray, "active samples"]
    ) -> tuple[Int[np.ndarray, "active samples"], Int[np.ndarray, "active samples"]]:
        """Draw open continuations in proportion to their mass, stratified.

        Args:
            images: images whose open mass is not 0.
            keys: of their samples.

        Returns:
            Entries and labels, int32 [active samples].
        """
        samples = keys.shape[1]
        entries = np.empty(keys.shape, dtype=np.int32)
        labels = np.empty(keys.shape, dtype=np.int32)
        num_labels = self._open.shape[2]
        for k, image in enumerate(images.tolist()):
            heaped = np.cumsum(self._open[image].reshape(-1))
            points = (np.arange(samples) + uniforms(keys[k], 0)) / samples * heaped[-1]
            drawn = np.minimum(
                np.searchsorted(heaped, points), np.flatnonzero(np.diff(heaped, prepend=0.0))[-1]
            )
            entries[k], labels[k] = drawn // num_labels, drawn % num_labels
        return entries, labels


def continue_samples(
    tree: Expansion,
    images: Int[np.ndarray, " items"],
    entries: Int[np.ndarray, " items"],
    labels: Int[np.ndarray, " items"],
    keys: UInt64[np.ndarray, " items"],
) -> Float[np.ndarray, "items labels"]:
    """Continue samples to END and return, per label, the probability with which it was gained on the way.

    Args:
        tree: the search whose frontier was sampled.
        images: image of each sample.
        entries: entry that the sample continues.
        labels: label that it continues it by.
        keys: its random numbers.

    Returns:
        float64; summed over the steps, the probability that the label comes next, labels of the prefix
        excepted. Its expectation is the probability that the label is gained.

    Raises:
        TrieFullError: the prefixes of this block do not fit into the trie.
    """
    trie = tree.trie
    paths, lengths = tree.prefixes(images, entries, labels)
    nodes = trie.find(paths, lengths)
    gained = np.zeros((len(images), trie.num_labels))
    has = np.zeros((len(images) if trie.step.allowed == "paper" else 0, trie.num_labels), dtype=bool)
    for t in range(paths.shape[1] if len(has) else 0):
        at = np.flatnonzero(lengths > t)
        has[at, paths[at, t]] = True
    items = np.arange(len(images))
    for step in range(1, trie.longest + 1):
        probs = np.exp(trie.log_probs(nodes, tree.image_rows[images[items]]).astype(np.float64))
        coming = probs[:, : trie.num_labels]
        gained[items] += np.where(has[items], 0.0, coming) if len(has) else coming
        heaped = np.cumsum(probs, axis=1)
        points = uniforms(keys[items], step) * heaped[:, -1]
        outcomes = (heaped < points[:, None]).sum(axis=1)
        going = (outcomes < trie.num_labels) & (trie.depths[nodes] + 1 < trie.longest)
        if trie.step.allowed == "canonical":
            going &= outcomes != trie.num_labels - 1
        items, outcomes = items[going], outcomes[going].astype(np.int32)
        if not len(items):
            break
        if len(has):
            has[items, outcomes] = True
        nodes = trie.extend(nodes[going], outcomes)
    return gained
