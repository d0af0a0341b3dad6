"""Numba kernels of sampling, for additive models: fast twins of `sampling` and `open_estimate`.

As in `beam_kernel`, probabilities are products of exponentials kept per prefix and per image, here without a
normaliser: neither a race nor a hazard needs one. Compiled on first use, then read from a cache.
"""

from typing import no_type_check

import numba
import numpy as np
from jaxtyping import Float

from labelbeam.decoding.beam_kernel import SAFE_SPAN, log_normaliser
from labelbeam.decoding.expansion_kernel import CompiledExpansion, sub_key
from labelbeam.decoding.open_estimate import RuledMasses
from labelbeam.decoding.random_numbers import GOLDEN, MIX_1, MIX_2, sub_keys
from labelbeam.decoding.sampling import Frontier, Keys
from labelbeam.decoding.trie import Ids

IMPROBABLE = -60.0
"""Continuations below this log-probability are left out of sums of mass: together less than 1e-20."""


class CompiledFrontier(Frontier):
    """`Frontier` with its loops compiled and without a table of masses; see there."""

    def __init__(self, tree: CompiledExpansion) -> None:
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
        self, images: Ids, counts: Ids, keys: Keys
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Draw open continuations of images in proportion to their mass; as `Frontier.draw`."""
        tree, total = self.tree, int(counts.sum())
        entries, labels = np.zeros(total, np.int32), np.zeros(total, np.int32)
        item_keys = np.zeros(total, np.uint64)
        _draw(
            (tree.rest, self._by_entry, tree.counts, tree.keys),
            (images, counts, keys), (entries, labels, item_keys), self._canonical,
        )  # fmt: skip
        return np.repeat(images, counts), entries, labels, item_keys


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


@numba.njit(cache=True, nogil=True, inline="always")
@no_type_check
def _mix(number):
    mixed = (number ^ (number >> np.uint64(30))) * MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * MIX_2
    return mixed ^ (mixed >> np.uint64(31))


@numba.njit(cache=True, nogil=True, inline="always")
@no_type_check
def _as_uniform(mixed):
    return (np.float64(mixed >> np.uint64(11)) + 0.5) * 2.0**-53


@numba.njit(cache=True, nogil=True)
@no_type_check
def _race(masses, first, count, key):
    """Return the outcome, of those from `first` to before `count`, whose clock rings first."""
    winner, earliest = first, np.inf
    for j in range(first, count):
        number = _as_uniform(_mix(key + np.uint64(j + 1) * GOLDEN))
        if masses[j] > 0.0 and 1.0 - number < earliest * masses[j]:  # -log(u) is at least 1 - u
            clock = -np.log(number) / masses[j]
            if clock < earliest:
                winner, earliest = j, clock
    return winner


@numba.njit(cache=True, nogil=True)
@no_type_check
def _draw(tree, at, out, canonical):
    rest, by_entry, entry_counts, prefix_keys = tree
    images, counts, keys = at
    out_entries, out_labels, out_keys = out
    last = rest.shape[2] - 1 if canonical else rest.shape[2]
    masses = np.zeros(rest.shape[2])
    drawn = np.zeros(rest.shape[2], dtype=np.int64)
    item = 0
    for k in range(len(images)):
        i, samples = images[k], counts[k]
        total, final = 0.0, 0
        for e in range(entry_counts[i]):
            total += by_entry[i, e]
            if by_entry[i, e] > 0.0:
                final = e
        entry, passed = 0, by_entry[i, 0]
        for j in range(samples):
            point = (j + _as_uniform(_mix(sub_key(keys[k], j)))) / samples * total
            while passed < point and entry < final:
                entry += 1
                passed += by_entry[i, entry]
            out_entries[item + j] = entry
        stop = item + samples
        while item < stop:
            entry, first = out_entries[item], item
            while item < stop and out_entries[item] == entry:
                item += 1
            total = 0.0
            for label in range(last):
                improbable = rest[i, entry, label] <= IMPROBABLE
                masses[label] = 0.0 if improbable else np.exp(rest[i, entry, label])
                total += masses[label]
            left = item - first
            for label in range(last):  # whole parts of the shares
                share = (item - first) * masses[label] / total
                drawn[label] = np.int64(share)
                masses[label] = share - drawn[label]
                left -= drawn[label]
            for rank in range(left):
                drawn[_race(masses, 0, last, prefix_keys[i, entry] + sub_key(keys[k], rank))] += 1
            place = first
            for label in range(last):
                for rank in range(drawn[label]):
                    out_labels[place], out_keys[place] = label, sub_key(keys[k], rank)
                    place += 1


def continue_samples_compiled(
    tree: CompiledExpansion, images: Ids, entries: Ids, labels: Ids, keys: Keys
) -> Float[np.ndarray, "items labels"]:
    """Continue samples to END; as `sampling.continue_samples`, in single precision."""
    trie, image = tree.trie, tree.image
    canonical, paper = trie.step.allowed == "canonical", trie.step.allowed == "paper"
    nodes = trie.find(*tree.prefixes(images, entries, labels))
    gained = np.zeros((len(images), trie.num_labels), dtype=np.float32)
    has = tree.sets(images, entries, labels) if paper else np.zeros((0, trie.num_labels), dtype=bool)
    prefix_keys = sub_keys(tree.keys[images, entries], labels)
    items = np.arange(len(images))
    while True:
        going = trie.depths[nodes] < trie.longest
        if canonical:
            going &= trie.labels[nodes] != trie.num_labels - 1
        items, nodes = items[going], nodes[going]
        outcomes = np.empty(len(items), dtype=np.int32)
        _advance(
            (trie.rows, trie.weights, trie.spans, trie.labels),
            (image.rows, image.weights, image.spans),
            (items, images, nodes, keys, prefix_keys),
            gained, has, outcomes, canonical, trie.num_labels,
        )  # fmt: skip
        going = outcomes < trie.num_labels
        items, outcomes = items[going], outcomes[going]
        if not len(items):
            return gained
        nodes = trie.extend(nodes[going], outcomes)


@numba.njit(cache=True, nogil=True)
@no_type_check
def _advance(trie, image, at, gained, has, outcomes, canonical, end):
    """Draw what comes next in each sample, add what that step says of its labels, and move its prefix key on.

    Samples hold a label already, so a second END, which the empty prefix alone has, is not looked at.
    """
    rows, weights, spans, last_labels = trie
    image_rows, image_weights, image_spans = image
    items, images, nodes, keys, prefix_keys = at
    masses = np.empty(rows.shape[1])
    for k in range(len(items)):
        item, node = items[k], nodes[k]
        i = images[item]
        first = last_labels[node] + 1 if canonical else 0
        if spans[node] + image_spans[i] <= SAFE_SPAN:
            for j in range(first, end + 1):
                masses[j] = weights[node, j] * image_weights[i, j]
        else:
            norm = log_normaliser(rows[node], image_rows[i], first)
            for j in range(first, end + 1):
                masses[j] = np.exp(np.float64(rows[node, j]) + image_rows[i, j] - norm)
        outcome = _race(masses, first, end + 1, prefix_keys[item] + keys[item])
        outcomes[k] = outcome
        prefix_keys[item] = sub_key(prefix_keys[item], outcome)
        if canonical:
            tail = 0.0
            for j in range(end, first - 1, -1):
                tail += masses[j]
                if j <= outcome and j < end and tail > 0.0:
                    gained[item, j] = masses[j] / tail
            continue
        total = 0.0
        for j in range(end + 1):
            total += masses[j]
        for j in range(end):
            if len(has) == 0 or not has[item, j]:
                gained[item, j] += masses[j] / total
        if len(has) and outcome < end:
            has[item, outcome] = True


@numba.njit(cache=True, nogil=True)
@no_type_check
def add_samples_compiled(gained, informative, images, totals):
    """Add samples to the totals of their images, in place; as `sampling.add_samples`."""
    for k in range(len(images)):
        i = images[k]
        for label in range(gained.shape[1]):
            if informative[k, label]:
                value = np.float64(gained[k, label])
                totals[0, i, label] += value
                totals[1, i, label] += value * value
                totals[2, i, label] += 1.0


def ruled_masses_compiled(tree: CompiledExpansion) -> RuledMasses:
    """Return what a search under rules has met; as `open_estimate.ruled_masses`."""
    images, num_labels = tree.mass.shape
    finished, finished_with = np.zeros(images), np.zeros((images, num_labels))
    open_with, gaining = np.zeros((2, images, num_labels)), np.zeros((2, images, num_labels))
    open_ = np.zeros((2, images))
    _ruled_masses(
        (tree.rest, tree.parents, tree.labels, tree.depths, tree.counts, tree.end_log_probs, tree.settled),
        finished, finished_with, open_, open_with, gaining, tree.trie.longest,
    )  # fmt: skip
    return RuledMasses(finished, finished_with, open_, open_with, gaining)


@numba.njit(cache=True, nogil=True)
@no_type_check
def _ruled_masses(tree, finished, finished_with, open_, open_with, gaining, longest):
    rest, parents, labels, depths, counts, ends, settled = tree
    num_labels = rest.shape[2]
    met = np.empty(len(open_))
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
    images: Ids,
    entries: Ids,
    labels: Ids,
    keys: Keys,
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
        _advance_ruled(
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
def _advance_ruled(trie, image, at, state, outcomes, end):
    rows, row_weights, spans, last_labels, live, settles = trie
    image_rows, image_weights, image_spans = image
    items, images, nodes, keys, prefix_keys = at
    weights, of_labels, has, settled, trust = state
    masses = np.empty(rows.shape[1])
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
