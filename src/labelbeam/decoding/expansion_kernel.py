"""Numba kernels of best-first search, for additive models.

Fast twin of `expansion`, which says what is computed. In double precision, unlike `beam_kernel`: bounds rest on it.
Compiled on first use, then read from a cache.
"""

from typing import no_type_check

import numba
import numpy as np
from jaxtyping import Float, Int

from labelbeam.decoding.beam_kernel import ImageWeights, end_logit
from labelbeam.decoding.expansion import Expansion
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
        trie = self.trie
        ends = np.empty(len(images))
        _fill(
            (trie.rows, trie.labels, trie.live),
            self.image.rows,
            (self.rest, self.best, self.totals, self.parents, self.labels, self.depths),
            (self.mass, self.open_mass),
            (images, entries, nodes),
            ends,
            trie.step.allowed == "canonical",
            trie.step.allowed == "paper",
            trie.num_labels,
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
def _fill(trie, image_rows, tree, sums, at, ends, canonical, paper, end):
    rows, last_labels, is_live = trie
    ruled = len(is_live) > 0
    rest, best, totals, parents, labels, depths = tree
    mass, open_mass = sums
    images, entries, nodes = at
    width = rows.shape[1]  # END may stand twice
    shares = np.empty(width)
    for k in range(len(images)):
        i, e, node = images[k], entries[k], nodes[k]
        first = last_labels[node] + 1 if canonical else 0
        total, prefix = totals[i, e], np.exp(totals[i, e])
        peak = -np.inf
        for outcome in range(first, width):
            peak = max(peak, np.float64(rows[node, outcome]) + image_rows[i, outcome])
        heap = 0.0
        for outcome in range(first, width):
            shares[outcome] = np.exp(np.float64(rows[node, outcome]) + image_rows[i, outcome] - peak)
            heap += shares[outcome]
        norm = peak + np.log(heap)
        scale = prefix / heap
        greatest, met = -np.inf, 0.0
        for label in range(first):
            rest[i, e, label] = -np.inf
        for label in range(first, end):
            if ruled and not is_live[node, label]:
                rest[i, e, label] = -np.inf
                continue
            step = np.float64(rows[node, label]) + image_rows[i, label] - norm
            log_prob = total + min(step, 0.0)
            rest[i, e, label] = log_prob
            if log_prob > greatest:
                greatest = log_prob
            share = scale * shares[label]
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
        ends[k] = total + min(end_logit(rows[node], image_rows[i], end) - norm, 0.0)
        if ruled and not is_live[node, end]:
            ends[k] = -np.inf
