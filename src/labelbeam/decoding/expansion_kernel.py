"""Numba kernels of best-first search and of frontier sampling, for additive models.

Fast twins of `expansion` and `sampling`, which say what is computed; as in `beam_kernel`, a softmax is a
dot product of exponentials kept per prefix and per image. Compiled on first use, then read from a cache.
"""

from typing import no_type_check

import numba
import numpy as np
from jaxtyping import Float, Int, UInt64

from labelbeam.decoding.beam_kernel import SAFE_SPAN, ImageWeights, dot_from, log_normaliser
from labelbeam.decoding.expansion import Expansion
from labelbeam.decoding.sampling import Frontier, uniforms
from labelbeam.decoding.trie import PrefixTrie


class CompiledExpansion(Expansion):
    """`Expansion` with its loops compiled; see there."""

    def __init__(self, trie: PrefixTrie, image_rows: Float[np.ndarray, "images width"], budget: int) -> None:
        super().__init__(trie, image_rows, budget)
        self.image = ImageWeights(image_rows)

    def top(
        self, images: Int[np.ndarray, " active"]
    ) -> tuple[Int[np.ndarray, " active"], Int[np.ndarray, " active"], Float[np.ndarray, " active"]]:
        """Return each image's most probable continuation; as `Expansion.top`."""
        entries, values, ties = (
            np.zeros(len(images), np.int64),
            np.empty(len(images)),
            np.zeros(len(images), bool),
        )
        _top(self.best, self.counts, images, entries, values, ties)
        if ties.any():  # equal log-probabilities are rare: the plain twin compares the sequences
            entries[ties] = super().top(images[ties])[0]
        labels = np.empty(len(images), dtype=np.int64)
        _label_of_best(self.rest, images, entries, values, labels)
        return entries, labels, values

    def take(
        self,
        images: Int[np.ndarray, " active"],
        entries: Int[np.ndarray, " active"],
        labels: Int[np.ndarray, " active"],
        values: Float[np.ndarray, " active"],
    ) -> None:
        """Take continuations out of `rest`; as `Expansion.take`."""
        _take(self.rest, self.best, self.open_mass, images, entries, labels, values)

    def fill(
        self,
        images: Int[np.ndarray, " active"],
        entries: Int[np.ndarray, " active"],
        nodes: Int[np.ndarray, " active"],
    ) -> None:
        """Compute the continuations of new entries; as `Expansion.fill`."""
        trie, image = self.trie, self.image
        ends = np.empty(len(images))
        _fill(
            (trie.rows, trie.weights, trie.peaks, trie.spans, trie.labels),
            (image.rows, image.weights, image.peaks, image.spans),
            (self.rest, self.best, self.totals, self.parents, self.labels, self.depths),
            (self.mass, self.open_mass),
            (images, entries, nodes),
            ends,
            trie.step.allowed == "canonical",
            trie.step.allowed == "paper",
        )
        self.offer(images, entries, ends)


@numba.njit(cache=True, nogil=True)
@no_type_check
def _top(best, counts, images, out_entries, out_values, out_ties):
    for k in range(len(images)):
        row = best[images[k]]
        value, entry, tie = -np.inf, 0, False
        for e in range(counts[images[k]]):
            if row[e] > value:
                value, entry, tie = row[e], e, False
            elif row[e] == value and value > -np.inf:
                tie = True
        out_entries[k], out_values[k], out_ties[k] = entry, value, tie


@numba.njit(cache=True, nogil=True)
@no_type_check
def _label_of_best(rest, images, entries, values, out_labels):
    for k in range(len(images)):
        row = rest[images[k], entries[k]]
        label = 0
        while label < len(row) - 1 and row[label] != values[k]:
            label += 1
        out_labels[k] = label


@numba.njit(cache=True, nogil=True)
@no_type_check
def _take(rest, best, open_mass, images, entries, labels, values):
    for k in range(len(images)):
        i, e = images[k], entries[k]
        rest[i, e, labels[k]] = -np.inf
        value = -np.inf
        for label in range(rest.shape[2]):
            if rest[i, e, label] > value:
                value = rest[i, e, label]
        best[i, e] = value
        open_mass[i] -= np.exp(values[k])


@numba.njit(cache=True, nogil=True)
@no_type_check
def _fill(trie, image, tree, sums, at, ends, canonical, paper):
    rows, weights, peaks, spans, last_labels = trie
    image_rows, image_weights, image_peaks, image_spans = image
    rest, best, totals, parents, labels, depths = tree
    mass, open_mass = sums
    images, entries, nodes = at
    end = rows.shape[1] - 1
    for k in range(len(images)):
        i, e, node = images[k], entries[k], nodes[k]
        first = last_labels[node] + 1 if canonical else 0
        total, prefix = totals[i, e], np.exp(totals[i, e])
        safe = spans[node] + image_spans[i] <= SAFE_SPAN
        if safe:
            heap = np.float64(dot_from(weights[node], image_weights[i], first))
            norm = np.float64(peaks[node]) + image_peaks[i] + np.log(heap)
            scale = prefix / heap
        else:
            norm = log_normaliser(rows[node], image_rows[i], first)
            scale = 0.0
        greatest, met = -np.inf, 0.0
        for label in range(first):
            rest[i, e, label] = -np.inf
        for label in range(first, end):
            step = np.float64(rows[node, label]) + image_rows[i, label] - norm
            log_prob = total + min(step, 0.0)
            rest[i, e, label] = log_prob
            if log_prob > greatest:
                greatest = log_prob
            if safe:
                share = scale * np.float64(weights[node, label] * image_weights[i, label])
            else:
                share = prefix * np.exp(step)
            mass[i, label] += share
            met += share
        best[i, e] = greatest
        open_mass[i] += met
        if paper:  # a label that the prefix has already is not met anew
            entry = e
            for label in range(end):
                share = np.exp(rest[i, e, label])
                entry = e
                while depths[i, entry] > 0:
                    if labels[i, entry] == label:
                        mass[i, label] -= share
                        break
                    entry = parents[i, entry]
        ends[k] = total + min(np.float64(rows[node, end]) + image_rows[i, end] - norm, 0.0)


class CompiledFrontier(Frontier):
    """`Frontier` with its loops compiled and without a table of masses; see there."""

    def __init__(self, tree: Expansion) -> None:
        self.tree = tree
        self._canonical = tree.trie.step.allowed == "canonical"
        count, entries = tree.best.shape
        self._by_entry = np.zeros((count, entries))
        self.masses = np.zeros(count)
        self.undecided = np.zeros((count, tree.trie.num_labels))
        _frontier(
            (tree.rest, tree.parents, tree.labels, tree.depths, tree.counts),
            self._by_entry, self.masses, self.undecided, tree.trie.longest, self._canonical,
        )  # fmt: skip

    def draw(
        self, images: Int[np.ndarray, " active"], keys: UInt64[np.ndarray, "active samples"]
    ) -> tuple[Int[np.ndarray, "active samples"], Int[np.ndarray, "active samples"]]:
        """Draw open continuations in proportion to their mass, stratified; as `Frontier.draw`."""
        tree, samples = self.tree, keys.shape[1]
        points = uniforms(keys.reshape(-1), 0).reshape(keys.shape)
        points = (np.arange(samples) + points) / samples
        entries, labels = np.zeros(keys.shape, np.int32), np.zeros(keys.shape, np.int32)
        _draw(tree.rest, self._by_entry, tree.counts, self._canonical, images, points, entries, labels)
        return entries, labels


IMPROBABLE = -60.0
"""Continuations below this log-probability are left out of sums of mass: together less than 1e-20."""


@numba.njit(cache=True, nogil=True)
@no_type_check
def _frontier(tree, by_entry, masses, undecided, longest, canonical):
    rest, parents, labels, depths, counts = tree
    num_labels = rest.shape[2]
    last = num_labels - 1 if canonical else num_labels
    anew = np.empty(num_labels)
    has = np.empty(num_labels, dtype=np.bool_)
    for i in range(len(counts)):
        anew[:] = 0.0
        for e in range(counts[i]):
            if depths[i, e] + 1 >= longest:
                continue
            if not canonical:
                has[:] = False
                entry = e
                while depths[i, entry] > 0:
                    has[labels[i, entry]] = True
                    entry = parents[i, entry]
            heap = 0.0
            for label in range(last):
                if rest[i, e, label] > IMPROBABLE:
                    share = np.exp(rest[i, e, label])
                    heap += share
                    if canonical or not has[label]:
                        anew[label] += share
            by_entry[i, e] = heap
            masses[i] += heap
            if not canonical:
                for label in range(num_labels):
                    if has[label]:
                        anew[label] += heap
        before = 0.0
        for label in range(num_labels):
            if canonical:
                undecided[i, label] = before
                before += anew[label]
            else:
                undecided[i, label] = max(masses[i] - anew[label], 0.0)


@numba.njit(cache=True, nogil=True)
@no_type_check
def _draw(rest, by_entry, counts, canonical, images, points, out_entries, out_labels):
    last = rest.shape[2] - 1 if canonical else rest.shape[2]
    for k in range(len(images)):
        i, total = images[k], 0.0
        for e in range(counts[i]):
            total += by_entry[i, e]
        drawn, passed, samples = 0, 0.0, points.shape[1]
        final_entry, final_label = 0, 0
        for e in range(counts[i]):
            if by_entry[i, e] == 0.0:
                continue
            if drawn < samples and passed + by_entry[i, e] < points[k, drawn] * total:
                passed += by_entry[i, e]
                continue
            for label in range(last):
                if rest[i, e, label] > IMPROBABLE:
                    passed += np.exp(rest[i, e, label])
                    final_entry, final_label = e, label
                    while drawn < samples and passed >= points[k, drawn] * total:
                        out_entries[k, drawn], out_labels[k, drawn] = e, label
                        drawn += 1
        while drawn < samples:  # rounding of the last sum
            out_entries[k, drawn], out_labels[k, drawn] = final_entry, final_label
            drawn += 1


def continue_samples_compiled(
    tree: CompiledExpansion,
    images: Int[np.ndarray, " items"],
    entries: Int[np.ndarray, " items"],
    labels: Int[np.ndarray, " items"],
    keys: UInt64[np.ndarray, " items"],
) -> Float[np.ndarray, "items labels"]:
    """Continue samples to END; as `sampling.continue_samples`."""
    trie, image = tree.trie, tree.image
    paths, lengths = tree.prefixes(images, entries, labels)
    nodes = trie.find(paths, lengths)
    canonical, paper = trie.step.allowed == "canonical", trie.step.allowed == "paper"
    gained = np.zeros((len(images), trie.num_labels), dtype=np.float32)
    has = np.zeros((len(images) if paper else 0, trie.num_labels), dtype=bool)
    for t in range(paths.shape[1] if paper else 0):
        at = np.flatnonzero(lengths > t)
        has[at, paths[at, t]] = True
    items = np.arange(len(images))
    for step in range(1, trie.longest + 1):
        outcomes = np.empty(len(items), dtype=np.int32)
        _sample(
            (trie.rows, trie.weights, trie.peaks, trie.spans, trie.labels),
            (image.rows, image.weights, image.peaks, image.spans),
            (items, images, nodes, uniforms(keys[items], step)),
            gained, has, outcomes, canonical,
        )  # fmt: skip
        going = (outcomes < trie.num_labels) & (trie.depths[nodes] + 1 < trie.longest)
        if canonical:
            going &= outcomes != trie.num_labels - 1
        items, outcomes = items[going], outcomes[going]
        if not len(items):
            break
        if paper:
            has[items, outcomes] = True
        nodes = trie.extend(nodes[going], outcomes)
    return gained.astype(np.float64)


@numba.njit(cache=True, nogil=True)
@no_type_check
def _sample(trie, image, at, gained, has, outcomes, canonical):
    rows, weights, _, spans, last_labels = trie
    image_rows, image_weights, _, image_spans = image
    items, images, nodes, points = at
    count = rows.shape[1]
    probs = np.empty(count)
    for k in range(len(items)):
        item, node = items[k], nodes[k]
        i = images[item]
        first = last_labels[node] + 1 if canonical else 0
        safe = spans[node] + image_spans[i] <= SAFE_SPAN
        norm = 0.0 if safe else log_normaliser(rows[node], image_rows[i], first)
        total = 0.0
        for j in range(first, count):
            if safe:
                probs[j] = np.float64(weights[node, j] * image_weights[i, j])
            else:
                probs[j] = np.exp(np.float64(rows[node, j]) + image_rows[i, j] - norm)
            total += probs[j]
        point, passed, outcome = points[k] * total, 0.0, count - 1
        found = False
        for j in range(first, count):
            passed += probs[j]
            if not found and passed >= point and probs[j] > 0.0:
                outcome, found = j, True
            if j < count - 1 and (len(has) == 0 or not has[item, j]):
                gained[item, j] += probs[j] / total
        outcomes[k] = outcome
