"""Numba kernels of marginals under rules, for additive models: the fast twin of `ruled_estimate`.

Compiled on first use, then read from a cache.
"""

from typing import no_type_check

import numba
import numpy as np
from jaxtyping import Float, Int, UInt64

from labelbeam.decoding.beam_kernel import SAFE_SPAN, log_normaliser
from labelbeam.decoding.expansion_kernel import CompiledExpansion, sub_key
from labelbeam.decoding.random_numbers import sub_keys
from labelbeam.decoding.ruled_estimate import RuledMasses
from labelbeam.decoding.sampling_kernel import IMPROBABLE, _race


def ruled_masses_compiled(tree: CompiledExpansion) -> RuledMasses:
    """Return what a search under rules has met; as `ruled_estimate.ruled_masses`."""
    images, num_labels = tree.mass.shape
    finished, finished_with = np.zeros(images), np.zeros((images, num_labels))
    open_with, gaining = np.zeros((2, images, num_labels)), np.zeros((2, images, num_labels))
    open_ = np.zeros((2, images))
    _masses(
        (tree.rest, tree.parents, tree.labels, tree.depths, tree.counts, tree.end_log_probs, tree.settled),
        finished, finished_with, open_, open_with, gaining, tree.trie.longest,
    )  # fmt: skip
    return RuledMasses(finished, finished_with, open_, open_with, gaining)


@numba.njit(cache=True, nogil=True)
@no_type_check
def _masses(tree, finished, finished_with, open_, open_with, gaining, longest):
    rest, parents, labels, depths, counts, ends, settled = tree
    num_labels = rest.shape[2]
    met = np.empty(2)
    for i in range(len(counts)):
        for e in range(counts[i]):
            done, met[:] = np.exp(ends[i, e]), 0.0
            full = depths[i, e] + 1 >= longest
            for label in range(num_labels):
                if rest[i, e, label] <= IMPROBABLE:
                    continue
                share = np.exp(rest[i, e, label])
                if full or label == num_labels - 1:
                    finished_with[i, label] += share
                    done += share
                else:
                    kind = 1 if settled[i, e, label] else 0
                    gaining[kind, i, label] += share
                    met[kind] += share
            entry = e
            while depths[i, entry] > 0:
                label = labels[i, entry]
                finished_with[i, label] += done
                open_with[0, i, label] += met[0]
                open_with[1, i, label] += met[1]
                entry = parents[i, entry]
            finished[i] += done
            open_[0, i] += met[0]
            open_[1, i] += met[1]
        for kind in range(2):  # only greater ids can follow
            before = 0.0
            for label in range(num_labels):
                share = gaining[kind, i, label]
                open_with[kind, i, label] += share
                gaining[kind, i, label] = before
                before += share


def continue_under_rules_compiled(
    tree: CompiledExpansion,
    trust: Float[np.ndarray, " all_images"],
    images: Int[np.ndarray, " items"],
    entries: Int[np.ndarray, " items"],
    labels: Int[np.ndarray, " items"],
    keys: UInt64[np.ndarray, " items"],
) -> tuple[Float[np.ndarray, " items"], Float[np.ndarray, "items labels"]]:
    """Continue samples to END by outcomes that can still keep the rules; as `continue_under_rules`."""
    trie, image = tree.trie, tree.image
    nodes = trie.find(*tree.prefixes(images, entries, labels))
    has = tree.sets(images, entries, labels)
    settled = tree.settled[images, entries, labels]
    weights, of_items = np.ones(len(images)), trust[images]
    of_labels = -np.where(settled, 1.0, of_items)[:, None] * has
    prefix_keys = sub_keys(tree.keys[images, entries], labels)
    items = np.arange(len(images))
    while True:
        going = (trie.depths[nodes] < trie.longest) & (trie.labels[nodes] != trie.num_labels - 1)
        items, nodes = items[going], nodes[going]
        outcomes = np.empty(len(items), dtype=np.int32)
        _advance(
            (trie.rows, trie.weights, trie.spans, trie.labels, trie.live, trie.settled),
            (image.rows, image.weights, image.spans),
            (items, images, nodes, keys, prefix_keys),
            (weights, of_labels, has, settled, of_items), outcomes, trie.num_labels,
        )  # fmt: skip
        going = outcomes < trie.num_labels
        items, outcomes = items[going], outcomes[going]
        if not len(items):
            of_labels += weights[:, None] * has
            return weights, of_labels
        nodes = trie.extend(nodes[going], outcomes)


@numba.njit(cache=True, nogil=True)
@no_type_check
def _advance(trie, image, at, state, outcomes, end):
    rows, row_weights, spans, last_labels, live, settles = trie
    image_rows, image_weights, image_spans = image
    items, images, nodes, keys, prefix_keys = at
    weights, of_labels, has, settled, trust = state
    masses = np.empty(end + 1)
    for k in range(len(items)):
        item, node = items[k], nodes[k]
        i = images[item]
        first = last_labels[node] + 1
        safe = spans[node] + image_spans[i] <= SAFE_SPAN
        norm = 0.0 if safe else log_normaliser(rows[node], image_rows[i], first)
        total, kept = 0.0, 0.0
        for j in range(first, end + 1):
            if safe:
                masses[j] = row_weights[node, j] * image_weights[i, j]
            else:
                masses[j] = np.exp(np.float64(rows[node, j]) + image_rows[i, j] - norm)
            total += masses[j]
            if live[node, j]:
                kept += masses[j]
            else:
                masses[j] = 0.0
        outcome = _race(masses, first, end + 1, prefix_keys[item] + keys[item])
        outcomes[k] = outcome
        prefix_keys[item] = sub_key(prefix_keys[item], outcome)
        weights[item] *= kept / total
        scale = weights[item] * (1.0 if settled[item] else trust[item])
        tail = 0.0
        for j in range(end, first - 1, -1):
            tail += masses[j]
            if j <= outcome and j < end and tail > 0.0:
                of_labels[item, j] += scale * masses[j] / tail
        if outcome < end:
            of_labels[item, outcome] -= scale
            has[item, outcome] = True
            settled[item] |= settles[node, outcome]
