"""Numba kernels of best-first search, for additive models and those whose h is ReLU.

Fast twin of `expansion`, which says what is computed. In double precision, unlike `beam_kernel`: bounds rest on it.
Each image goes on by itself until it stops or needs a prefix that the trie does not hold; those of all images are
then computed together. Compiled on first use, then read from a cache.
"""

from functools import cached_property
from typing import no_type_check

import numba
import numpy as np
from jaxtyping import Float

from labelbeam.decoding.beam_kernel import ImageWeights, end_logit
from labelbeam.decoding.expansion import Expansion, Nats
from labelbeam.decoding.random_numbers import GOLDEN, MIX_1, MIX_2
from labelbeam.decoding.search import in_parts
from labelbeam.decoding.trie import MISSING, Ids, PrefixTrie

STOPPED, WAITS, TIED = 0, 1, 2
"""How an image left the kernel: done, for a prefix that the trie does not hold, for a tie that sequences decide."""


class CompiledExpansion(Expansion):
    """`Expansion` with its loops compiled; see there."""

    def __init__(self, trie: PrefixTrie, image_rows: Float[np.ndarray, "images width"], budget: int) -> None:
        super().__init__(trie, image_rows, budget)
        none = np.zeros((0, 0), np.float32)
        self._outputs = none if trie.step.additive else np.ascontiguousarray(getattr(trie.step, "outputs"))  # noqa: B009  a part of some steps only
        self._offsets = bool(getattr(trie.step, "offsets", False))

    @cached_property
    def image(self) -> ImageWeights:
        """What kernels of sampling need of image rows (additive models)."""
        return ImageWeights(self.image_rows)

    def run(self, active: Ids, budget: int, *, least_open: float, gap: float, relative: bool = False) -> None:
        """Expand images best first until each stops; as `Expansion.run`."""
        while len(active):
            self.forget_evicted()
            nodes = np.full(len(active), MISSING, np.int32)
            status = self._advance(active, nodes, budget, least_open, gap, relative)
            waiting, tied = active[status == WAITS], active[status == TIED]
            if len(waiting):
                # The new prefix is given to the kernel rather than looked up: a full trie may drop its parent.
                entries, labels, _ = self.top(waiting)
                nodes = self._nodes(waiting, entries, labels)
                status = self._advance(waiting, nodes, budget, least_open, gap, relative)
                tied = np.concatenate((tied, waiting[status == TIED]))
                waiting = waiting[status == WAITS]
            if len(tied):
                tied = self.run_once(tied, budget, least_open=least_open, gap=gap, relative=relative)
            active = np.concatenate((waiting, tied))

    def _advance(
        self, images: Ids, nodes: Ids, budget: int, least_open: float, gap: float, relative: bool
    ) -> Ids:
        """Expand images until each stops, waits or is tied; `nodes` are those of their first continuations."""
        trie, status = self.trie, np.empty(len(images), np.int64)
        canonical, paper = trie.step.allowed == "canonical", trie.step.allowed == "paper"

        def work(part: slice) -> None:
            _advance(
                (trie.rows, trie.labels, trie.live, trie.settled, trie.masks, trie.children, trie.last_used),
                (trie.peaks, trie.spans, self._outputs, self.image_rows, self._sizes),
                (self.rest, self.best, self.totals, self.parents, self.labels, self.depths),
                (self.keys, self.nodes, self.counts, self.rounding, self.end_log_probs),
                (self.mass, self.open_mass, self.end_mass, self.settled, self.path_entry, self.path_log_prob),
                (images[part], nodes[part], status[part]),
                (
                    budget,
                    least_open,
                    gap,
                    relative,
                    trie.batch,
                    canonical,
                    paper,
                    self._offsets,
                    trie.num_labels,
                ),
            )

        in_parts(work, len(images), size=16 * self._outputs.size + 64 * trie.num_labels)
        return status

    def top(self, images: Ids) -> tuple[Ids, Ids, Nats]:
        """Return each image's most probable continuation; as `Expansion.top`."""
        entries, ties = np.zeros(len(images), np.int64), np.zeros(len(images), bool)
        values = np.empty(len(images))
        _top(self.best, self.counts, images, entries, values, ties)
        if ties.any():  # equal log-probabilities are rare: the plain twin compares the sequences
            entries[ties] = super().top(images[ties])[0]
        labels = np.empty(len(images), dtype=np.int64)
        _label_of_best(self.rest, images, entries, values, labels)
        return entries, labels, values


@numba.njit(cache=True, nogil=True, inline="always")
@no_type_check
def _greatest(row, count):
    """Return the greatest of the first numbers, its place, and whether it stands there twice."""
    value, place, tie = -np.inf, 0, False
    for e in range(count):
        if row[e] > value:
            value, place, tie = row[e], e, False
        elif row[e] == value and value > -np.inf:
            tie = True
    return value, place, tie


@numba.njit(cache=True, nogil=True)
@no_type_check
def _top(best, counts, images, out_entries, out_values, out_ties):
    for k in range(len(images)):
        value, entry, tie = _greatest(best[images[k]], counts[images[k]])
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
def sub_key(key, label):
    """Return the key of a label after a prefix; as `random_numbers.sub_keys`."""
    mixed = key + (np.uint64(label) + np.uint64(1)) * GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * MIX_2
    return mixed ^ (mixed >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
@no_type_check
def _path_of(parents, labels, depths, entry):
    path = np.empty(depths[entry], dtype=np.int32)
    for t in range(len(path) - 1, -1, -1):
        path[t] = labels[entry]
        entry = parents[entry]
    return path


@numba.njit(cache=True, nogil=True)
@no_type_check
def _sorts_before(parents, labels, depths, one, other):
    """Tell whether the prefix of an entry comes before that of another one."""
    a, b = _path_of(parents, labels, depths, one), _path_of(parents, labels, depths, other)
    for t in range(min(len(a), len(b))):
        if a[t] != b[t]:
            return a[t] < b[t]
    return len(a) < len(b)


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"}, inline="always")
@no_type_check
def _dot(joint, column):
    total = np.float32(0)
    for k in range(len(joint)):
        total += joint[k] * column[k]
    return total


@numba.njit(cache=True, nogil=True)
@no_type_check
def _logits_of(row, image_row, outputs, offsets, allowed, first, joint, logits):
    """Write the allowed logits from a label on, -inf for the others; return the greatest absolute one.

    Without `outputs` rows are logits, and END may stand twice.
    """
    end, greatest = len(logits) - 1, 0.0
    if len(outputs):
        for k in range(len(joint)):
            joint[k] = max(row[k] + image_row[k], np.float32(0))
    for outcome in range(first, end + 1):
        if len(outputs):
            logits[outcome] = _dot(joint, outputs[outcome]) if allowed[outcome] else -np.inf
            if offsets and outcome < end:
                logits[outcome] += image_row[len(joint) + outcome]
        elif outcome == end:
            logits[outcome] = end_logit(row, image_row, end)
        else:
            logits[outcome] = np.float64(row[outcome]) + image_row[outcome]
        if logits[outcome] > -np.inf:
            greatest = max(greatest, abs(logits[outcome]))
    return greatest


@numba.njit(cache=True, nogil=True)
@no_type_check
def _advance(trie, logit_parts, tree, more, sums, at, limits):
    rows, last_labels, is_live, is_settled, masks, children, last_used = trie
    peaks, spans, outputs, image_rows, sizes = logit_parts
    rest, best, totals, parents, labels, depths = tree
    keys, entry_nodes, counts, rounding, end_log_probs = more
    mass, open_mass, end_mass, settled, path_entry, path_log_prob = sums
    images, first_nodes, status = at
    budget, least_open, gap, relative, batch, canonical, paper, offsets, end = limits
    ruled, relu = len(is_live) > 0, len(outputs) > 0
    joint = np.empty(outputs.shape[1], dtype=np.float32)
    logits = np.empty(end + 1)
    shares = np.empty_like(logits)
    everything = np.ones(1, dtype=np.bool_)
    for k in range(len(images)):
        i, given = images[k], first_nodes[k]
        while True:
            value, entry, tie = _greatest(best[i], counts[i])
            whole = end_mass[i] if relative else 1.0
            if value == -np.inf or open_mass[i] <= least_open * whole:
                status[k] = STOPPED
                break
            certain = path_log_prob[i] > value
            if tie or (path_log_prob[i] == value and open_mass[i] <= gap * whole):
                status[k] = TIED
                break
            if (certain and open_mass[i] <= gap * whole) or counts[i] >= budget:
                status[k] = STOPPED
                break
            label = 0
            while label < end - 1 and rest[i, entry, label] != value:
                label += 1
            node, given = given, MISSING
            if node == MISSING and entry_nodes[i, entry] != MISSING:
                node = children[entry_nodes[i, entry], label]
            if node == MISSING:
                status[k] = WAITS
                break
            last_used[node] = batch
            rest[i, entry, label] = -np.inf
            greatest = -np.inf
            for other in range(end):
                greatest = max(greatest, rest[i, entry, other])
            best[i, entry] = greatest
            prefix = np.exp(value)
            open_mass[i] -= prefix
            e = counts[i]
            counts[i] += 1
            parents[i, e], labels[i, e], totals[i, e] = entry, label, value
            depths[i, e] = depths[i, entry] + 1
            entry_nodes[i, e] = node
            keys[i, e] = sub_key(keys[i, entry], label)
            first = last_labels[node] + 1 if canonical else 0
            # fmt: off
            size = _logits_of(
                rows[node], image_rows[i], outputs, offsets, masks[node] if relu else everything, first, joint, logits
            )
            # fmt: on
            if not relu:
                peak = np.float64(peaks[node])
                size = max(abs(peak), abs(peak - np.float64(spans[node]))) + sizes[i]
            rounding[i, e] = (2.0**-23 + 2.0**-50) * size + 2.0**-52 * (end + 1) + rounding[i, entry]
            peak = -np.inf
            for outcome in range(first, end + 1):
                peak = max(peak, logits[outcome])
            heap = 0.0
            for outcome in range(first, end + 1):
                shares[outcome] = np.exp(logits[outcome] - peak)
                heap += shares[outcome]
            norm, scale = peak + np.log(heap), prefix / heap
            greatest, met = -np.inf, 0.0
            for other in range(first):
                rest[i, e, other] = -np.inf
            for other in range(first, end):
                if logits[other] == -np.inf or (ruled and not is_live[node, other]):
                    rest[i, e, other] = -np.inf
                    continue
                log_prob = value + min(logits[other] - norm, 0.0)
                rest[i, e, other] = log_prob
                greatest = max(greatest, log_prob)
                share = scale * shares[other]
                mass[i, other] += share
                met += share
            best[i, e] = greatest
            open_mass[i] += met
            if paper:  # a label that the prefix has already is not met anew
                for other in set(_path_of(parents[i], labels[i], depths[i], e)):
                    mass[i, other] -= np.exp(rest[i, e, other])
            finished = value + min(logits[end] - norm, 0.0)
            if ruled and not is_live[node, end]:
                finished = -np.inf
            end_log_probs[i, e] = finished
            end_mass[i] += np.exp(finished)
            if ruled:
                settled[i, e] = is_settled[node]
            if finished > path_log_prob[i] or (
                finished == path_log_prob[i]
                and finished > -np.inf
                and _sorts_before(parents[i], labels[i], depths[i], e, path_entry[i])
            ):
                path_entry[i], path_log_prob[i] = e, finished
