"""Continuing the frontier of a search by sampling: plain NumPy, for any label model.

A search leaves continuations that it did not expand. Samples of them, drawn in proportion to their mass
and continued to END, tell how much of that mass still gains each label. Three things keep the estimate unbiased
and make it less variable or cheaper: drawing is stratified over the entries; a sample tells the probability
with which a label is gained instead of whether it was; and outcomes are drawn by `random_numbers.race` with
numbers that belong to prefixes, so images share prefixes. Knows `Expansion` and the trie; `marginals` and
`set_samples` drive it; `sampling_kernel` has the same compiled.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64

from labelbeam.decoding.expansion import Expansion
from labelbeam.decoding.random_numbers import race, sub_keys, uniforms
from labelbeam.decoding.trie import Ids

Keys = UInt64[np.ndarray, " items"]
"""Random numbers of prefixes or samples (`random_numbers`)."""


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
            contains = contained(tree, self._open.shape[1])
            by_entry = self._open.sum(axis=2)
            before = np.einsum("iel,ie->il", contains, by_entry)
            anew = np.where(contains, 0.0, self._open).sum(axis=1)
            self.undecided = np.maximum(self.masses[:, None] - before - anew, 0.0)

    def draw(
        self, images: Ids, counts: Ids, keys: Keys
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Draw open continuations of images in proportion to their mass.

        Args:
            images: images whose open mass is not 0.
            counts: how many samples of each, at least 1.
            keys: of this round of samples of each image.

        Returns:
            Images, entries, labels (int) and keys (uint64) of the samples, image by image.
        """
        drawn = [
            draw_continuations(self._open[image], self.tree.keys[image], keys[k], int(counts[k]))
            for k, image in enumerate(images.tolist())
        ]
        entries, labels, sample_keys = (np.concatenate(column) for column in zip(*drawn, strict=True))
        return np.repeat(images, counts), entries, labels, sample_keys


def contained(tree: Expansion, entries: int) -> Bool[np.ndarray, "images entries labels"]:
    """Return which labels each of the first entries has."""
    contains = np.zeros((len(tree.counts), entries, tree.trie.num_labels), dtype=bool)
    for e in range(1, entries):
        has = np.flatnonzero(tree.counts > e)
        contains[has, e] = contains[has, tree.parents[has, e]]
        contains[has, e, tree.labels[has, e]] = True
    return contains


def draw_continuations(
    masses: Float[np.ndarray, "entries labels"],
    prefix_keys: UInt64[np.ndarray, " all_entries"],
    key: np.uint64,
    samples: int,
) -> tuple[Int[np.ndarray, " samples"], Int[np.ndarray, " samples"], UInt64[np.ndarray, " samples"]]:
    """Draw continuations of one image in proportion to their mass.

    Sample j of n falls into the j-th n-th of the entries' mass. Among an entry's samples every label gets the whole
    part of its share; races decide about the fractions.

    Args:
        masses: of the continuations, not all 0.
        key: of this round of samples of the image.

    Returns:
        Entries, labels, and keys for going on. Keys are numbered from 0 for each continuation, so the only
        sample of a continuation, and it mostly is the only one, has the same key in every image.
    """
    heaped = np.cumsum(masses.sum(axis=1))
    numbers = np.arange(samples)
    points = (numbers + uniforms(sub_keys(np.full(samples, key), numbers), 0)) / samples * heaped[-1]
    last = np.flatnonzero(np.diff(heaped, prepend=0.0))[-1]  # of those with mass; rounding may pass it
    entries = np.minimum(np.searchsorted(heaped, points), last)
    labels, ranks = np.empty(samples, dtype=np.int64), np.empty(samples, dtype=np.int64)
    for entry in np.unique(entries):
        at = np.flatnonzero(entries == entry)
        shares = len(at) * masses[entry] / masses[entry].sum()
        whole = shares.astype(np.int64)
        numbers = np.arange(len(at) - whole.sum())
        left = sub_keys(np.full(len(numbers), key), numbers)
        raced = race(np.tile(shares - whole, (len(numbers), 1)), prefix_keys[entry] + left)
        labels[at] = np.sort(np.concatenate((np.repeat(np.arange(len(whole)), whole), raced)))
        ranks[at] = np.arange(len(at)) - np.searchsorted(labels[at], labels[at])
    return entries, labels, sub_keys(np.full(samples, key), ranks)


def sampled_steps(
    tree: Expansion, images: Ids, entries: Ids, labels: Ids, keys: Keys
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Continue samples, given as `Frontier.draw` returns them, step by step until END is drawn or certain.

    Yields:
        Positions [going] of the samples that are going on, their trie nodes, float64 probabilities [going outcomes] of
        what comes next (0 where rules cut it), and the outcomes that were drawn in proportion to them (END: the number
        of labels).

    Raises:
        TrieFullError: the prefixes of this block do not fit into the trie.
    """
    trie = tree.trie
    nodes = trie.find(*tree.prefixes(images, entries, labels))
    prefix_keys = sub_keys(tree.keys[images, entries], labels)
    items = np.arange(len(images))
    while True:
        going = trie.depths[nodes] < trie.longest
        if trie.step.allowed == "canonical":
            going &= trie.labels[nodes] != trie.num_labels - 1
        items, nodes = items[going], nodes[going]
        probs = np.exp(trie.log_probs(nodes, tree.image_rows[images[items]]).astype(np.float64))
        if trie.rules is not None:
            probs[~trie.live[nodes]] = 0.0
        outcomes = race(probs, prefix_keys[items] + keys[items])
        yield items, nodes, probs, outcomes
        going = outcomes < trie.num_labels
        items, outcomes = items[going], outcomes[going].astype(np.int32)
        if not len(items):
            break
        prefix_keys[items] = sub_keys(prefix_keys[items], outcomes)
        nodes = trie.extend(nodes[going], outcomes)


def hazards(probs: Float[np.ndarray, "items outcomes"]) -> Float[np.ndarray, "items labels"]:
    """Return the probability that each label is next if nothing before it is: under `canonical`, that it is gained.

    Example:
        >>> hazards(np.array([[0.5, 0.25, 0.25]]))
        array([[0.5, 0.5]])
    """
    tails = np.cumsum(probs[:, ::-1], axis=1)[:, ::-1]
    return np.divide(probs, tails, out=np.zeros_like(probs), where=tails > 0)[:, :-1]


def continue_samples(
    tree: Expansion, images: Ids, entries: Ids, labels: Ids, keys: Keys
) -> Float[np.ndarray, "items labels"]:
    """Continue samples (as `sampled_steps`) to END; return, per label, the probability with which it was gained.

    Returns:
        float64, 0 for labels of the continuation. Its expectation is the probability that the label is
        gained. Under `canonical` the probability given all that the sample decided about lesser labels;
        under other rules the sum over its steps of the probability that the label comes next.

    Raises:
        TrieFullError: the prefixes of this block do not fit into the trie.
    """
    num_labels = tree.trie.num_labels
    canonical, ids = tree.trie.step.allowed == "canonical", np.arange(num_labels)
    gained = np.zeros((len(images), num_labels))
    has = tree.sets(images, entries, labels)
    for items, _, probs, outcomes in sampled_steps(tree, images, entries, labels, keys):
        if canonical:  # labels up to the outcome are decided here and nowhere else
            gained[items] += np.where(ids <= outcomes[:, None], hazards(probs), 0.0)
            continue
        gained[items] += np.where(has[items], 0.0, probs[:, :num_labels])
        further = outcomes < num_labels
        has[items[further], outcomes[further]] = True
    return gained


def add_samples(
    gained: Float[np.ndarray, "items labels"],
    informative: Bool[np.ndarray, "items labels"],
    images: Int[np.ndarray, " items"],
    totals: Float[np.ndarray, "3 images labels"],
) -> None:
    """Add samples to the totals of their images, in place.

    Args:
        gained: from `continue_samples`.
        informative: whether the label was still to be gained when the sample was drawn; where not, `gained` is 0.
        totals: sums of what was gained and of its squares, and the number of informative samples.
    """
    for total, values in zip(totals, (gained, np.square(gained), informative), strict=True):
        np.add.at(total, images, values)
