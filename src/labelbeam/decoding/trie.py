"""The prefix trie: what the label model says of a prefix, computed once and shared by all images.

A node is a label prefix with its state, its row and the table of its children. Nodes are made in batches
when a search first needs them; the trie keeps within a byte limit by dropping nodes of the batches longest
ago, the deepest first, so a node never outlives its parent. What was dropped is computed again when
needed: the limit changes the time a search takes, not its answer. Beside a node stands the state of the rules that
sets must keep (`rule_machine`): they cut outcomes and leave probabilities as they are. Knows a `LabelStep`, the rule
of allowed outcomes, the path length and limits; no images and no search. Searches of several threads take turns
(`lock`).
"""

from collections.abc import Sequence
from threading import RLock

import numpy as np
from jaxtyping import Bool, Float, Int

from labelbeam.decoding.rule_machine import RuleMachine
from labelbeam.decoding.step import LabelStep, PathLength, allowed_outcomes, check_step
from labelbeam.errors import InputError
from labelbeam.labels.rules import Limit

DEFAULT_BYTE_LIMIT = 512 * 2**20
LONG_PATH = 64
"""Labels of a path for which there must be space, where more are allowed; should one be longer and not fit, the
search says so."""
Ids = Int[np.ndarray, " items"]
"""Images, entries of a search, labels or nodes, one per item."""
ROOT = 0
MISSING = -1
EVICTED_SHARE = 4
"""At least one node in so many goes when the trie is full, so that making room is rare."""


class TrieFullError(Exception):
    """The nodes that a batch needs at the same time exceed the byte limit; the search halves its batch."""


class PrefixTrie:
    """Label prefixes and what a `LabelStep` computed for them.

    Attributes:
        length: how many labels a path may have; part of the distribution.
        num_labels: number of labels; END is the outcome `num_labels`.
        longest: the most labels of a path.
        rows: float32 [nodes width]; if additive, -inf where an outcome is not allowed.
        weights: float32 [nodes width], `exp(row - peak)`, 0 where not allowed; if additive, else [0 0].
        peaks: float32 [nodes], the greatest allowed number of a row (additive only).
        spans: float32 [nodes], greatest minus least allowed number of a row (additive only).
        rules: the machine of the limits that sets must keep; None: there are none.
        rule_states: int32 [nodes groups], its state at each node (only under rules).
        live: bool [nodes outcomes], whether a set that keeps the limits can still follow (only under rules).
        settled: bool [nodes labels], whether every set keeps the limits once the label follows (only under rules).
        children: int32 [nodes labels], MISSING where a child does not exist.
        lock: held while a batch is searched (`paths.in_halves`), so that threads may share a trie and get the
            answers they would get alone; hold it where you call `start_batch`, `find` or `extend` yourself.
        batch: how many batches of images were begun.
        created: nodes computed since the start; what a search costs in steps of the label model.
        evictions: how many times room was made; while it does not change, node ids stay what they are.

    Args:
        byte_limit: bytes of all node arrays together, tables of children included. Memory is taken as
            nodes are made, never more than this. Work space of a single search step is not counted.
        length: how many labels a path may have.
        limits: what sets must keep; searches then leave out all others.

    Raises:
        InputError: a step that no search can use, a length out of reach, a byte limit below a few nodes, or limits
            that no set keeps or that a model without a fixed label order cannot be searched under.

    Example:
        >>> from labelbeam.decoding.step import TableStep
        >>> trie = PrefixTrie(TableStep({}, num_labels=3))
        >>> trie.extend(np.array([0]), np.array([2])).tolist(), trie.num_nodes
        ([1], 2)
    """

    def __init__(
        self,
        step: LabelStep,
        *,
        byte_limit: int = DEFAULT_BYTE_LIMIT,
        length: PathLength | None = None,
        limits: Sequence[Limit] = (),
    ) -> None:
        check_step(step)
        self.lock = RLock()
        self.step = step
        self.length = length or PathLength()
        self.num_labels = step.num_labels
        self.longest = self.length.longest(step.allowed, step.num_labels)
        self.rules = _machine(limits, step, self.length.minimum, self.longest) if limits else None
        groups = len(self.rules.start) if self.rules else 0
        state, row = step.start()
        outcomes = self.num_labels + 1
        numbers = state.shape[1] + row.shape[1] * (1 + step.additive) + 2 * step.additive + self.num_labels
        self.bytes_per_node = 4 * numbers + (0 if step.additive else outcomes) + 4 + 4 + 4 + 8 + 4
        self.bytes_per_node += 4 * groups + outcomes + self.num_labels if self.rules else 0
        self.byte_limit = byte_limit
        capacity = byte_limit // self.bytes_per_node
        least = min(self.longest, LONG_PATH) + 2
        if capacity < least:
            raise InputError(
                f"a trie limit of {byte_limit:,} bytes holds {capacity} prefixes of {self.bytes_per_node:,} "
                f"bytes, but one path may need {least}. "
                f"Give at least {least * self.bytes_per_node:,} bytes."
            )
        capacity = min(capacity, np.iinfo(np.int32).max - 1)
        # Pages of an empty array are taken when first written, so the arrays grow without being copied.
        self.states = np.empty((capacity, state.shape[1]), dtype=np.float32)
        self.rows = np.empty((capacity, row.shape[1]), dtype=np.float32)
        self.weights = np.empty((capacity, row.shape[1]) if step.additive else (0, 0), dtype=np.float32)
        self.peaks = np.empty(capacity if step.additive else 0, dtype=np.float32)
        self.spans = np.empty(capacity if step.additive else 0, dtype=np.float32)
        self.masks = np.empty((0, 0) if step.additive else (capacity, outcomes), dtype=bool)
        self.rule_states = np.empty((capacity if self.rules else 0, groups), dtype=np.int32)
        self.live = np.empty((capacity if self.rules else 0, outcomes), dtype=bool)
        self.settled = np.empty((capacity if self.rules else 0, self.num_labels), dtype=bool)
        self.children = np.empty((capacity, self.num_labels), dtype=np.int32)
        self.parents = np.empty(capacity, dtype=np.int32)
        self.labels = np.empty(capacity, dtype=np.int32)
        self.depths = np.empty(capacity, dtype=np.int32)
        self.last_used = np.empty(capacity, dtype=np.int64)
        self._free = np.empty(capacity, dtype=np.int32)  # ids given back by eviction, a stack
        self._num_free = 0
        self._high_water = 0  # ids from here on were never used
        self.batch = 0
        self.created = 0
        self.evictions = 0
        self.parents[ROOT], self.labels[ROOT], self.depths[ROOT] = ROOT, MISSING, 0
        self._take_ids(1)
        self._fill(np.array([ROOT]), state, row)

    @property
    def num_nodes(self) -> int:
        """How many prefixes the trie holds, the empty one included."""
        return self._high_water - self._num_free

    @property
    def nbytes(self) -> int:
        """Bytes of the nodes that were ever in use at the same time; never above the limit."""
        return self._high_water * self.bytes_per_node

    @property
    def capacity(self) -> int:
        """How many nodes the byte limit allows."""
        return len(self.parents)

    def start_batch(self) -> None:
        """Begin a batch of images: nodes used from now on count as used more recently than all others."""
        self.batch += 1
        self.last_used[ROOT] = self.batch

    def extend(self, nodes: Ids, labels: Ids, keep: Int[np.ndarray, " kept"] | None = None) -> Ids:
        """Return the children of nodes by label; those that do not exist are computed in one step.

        Args:
            nodes: node ids of the current batch (reached from the root since `start_batch`).
            keep: further nodes that must not be dropped while room is made.

        Returns:
            int32 node ids; equal pairs of node and label give equal ids.

        Raises:
            TrieFullError: these nodes, their ancestors and `keep` do not fit into the byte limit.
            InputError: the label model returned NaN.
        """
        found = self.children[nodes, labels]
        missing = np.flatnonzero(found == MISSING)
        if len(missing):
            keys = nodes[missing].astype(np.int64) * self.num_labels + labels[missing]
            unique, inverse = np.unique(keys, return_inverse=True)
            pinned = [nodes, found[found != MISSING]] + ([] if keep is None else [keep])
            self._make_room(len(unique), np.concatenate(pinned))
            ids = self._take_ids(len(unique))
            self.parents[ids] = unique // self.num_labels
            self.labels[ids] = unique % self.num_labels
            self.compute(ids)
            found[missing] = ids[inverse]
        self.last_used[found] = self.batch
        return found

    def compute(self, ids: Int[np.ndarray, " prefixes"]) -> None:
        """Compute nodes whose ids, parents and labels are set, in one step of the label model.

        Raises:
            InputError: the label model returned NaN.
        """
        parents, labels = self.parents[ids], self.labels[ids]
        self.depths[ids] = self.depths[parents] + 1
        states, rows = self.step.step(self.states[parents], labels)
        if np.isnan(rows).any():
            self._give_back(ids)
            raise InputError(
                "the label model returned NaN for a prefix. Its weights are damaged: train again."
            )
        self.children[parents, labels] = ids
        self._fill(ids, states, rows)

    def find(
        self, paths: Int[np.ndarray, "paths depth"], lengths: Int[np.ndarray, " paths"]
    ) -> Int[np.ndarray, " paths"]:
        """Return the nodes of prefixes (the first `lengths[i]` labels of row i), level by level from the root.

        Raises:
            TrieFullError: the prefixes and their ancestors do not fit into the byte limit.
            InputError: the label model returned NaN.
        """
        nodes = np.full(len(paths), ROOT, dtype=np.int32)
        for t in range(int(lengths.max(initial=0))):
            going = np.flatnonzero(lengths > t)
            nodes[going] = self.extend(nodes[going], paths[going, t], keep=nodes)
        return nodes

    def log_probs(
        self,
        nodes: Int[np.ndarray, " pairs"],
        image_rows: Float[np.ndarray, "pairs width"],
        dtype: type[np.floating] = np.float32,
    ) -> Float[np.ndarray, "pairs outcomes"]:
        """Return the log-probability of every label and END after a prefix, given an image.

        Args:
            image_rows: the image row that belongs to each.
            dtype: of the softmax: float64 where a bound rests on it.

        Returns:
            -inf where an outcome is not allowed; each row's probabilities sum to 1.

        Source:
            Paper section 3.1, `s(t) = U_l^T x_t` and its softmax; the mask is this project's.
        """
        if self.step.additive:
            logits = self.rows[nodes].astype(dtype) + image_rows
        else:
            logits = self.step.combine(self.rows[nodes], image_rows).astype(dtype)
            logits[~self.masks[nodes]] = -np.inf
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        if self.step.additive and logits.shape[1] > self.num_labels + 1:  # END stands twice, once as -inf
            logits[:, -2] = logits[:, -2:].max(axis=1)
            logits = logits[:, :-1]
        return logits

    def rounding(
        self, nodes: Ids, image_rows: Float[np.ndarray, "items width"], sizes: Float[np.ndarray, " items"]
    ) -> Float[np.ndarray, " items"]:
        """Return how far log-probabilities after a prefix may be from those of the numbers that were meant.

        A row r and an image row v are the meant numbers rounded to single precision, so off by at most u|r| and u|v|,
        u = 2^-24. A logit z = r + v is then off by at most d = u (R + V), R and V being the greatest |r| and |v|. In
        log p = z - log sum exp z either term moves by at most d, since log sum exp moves no more than the
        logit that moves most: 2 d in all. Computed in double, this adds at most 2^-52 (4 (R + V) + outcomes).
        Where a model combines the rows itself (not additive), R + V is the greatest |z|, and its logits are the
        meant ones rounded.

        The result is float64, in nats; `sizes` is V of each image row.
        """
        if self.step.additive:
            peaks = self.peaks[nodes].astype(np.float64)
            size = np.maximum(np.abs(peaks), np.abs(peaks - self.spans[nodes]))
            size += sizes
        else:
            size = np.abs(self.step.combine(self.rows[nodes], image_rows)).max(axis=1).astype(np.float64)
        return (2.0**-23 + 2.0**-50) * size + 2.0**-52 * (self.num_labels + 1)

    def path_of(self, node: int) -> tuple[int, ...]:
        """Return the labels from the root to a node."""
        labels: list[int] = []
        while node != ROOT:
            labels.append(int(self.labels[node]))
            node = int(self.parents[node])
        return tuple(reversed(labels))

    def _fill(
        self,
        ids: Int[np.ndarray, " prefixes"],
        states: Float[np.ndarray, "prefixes state"],
        rows: Float[np.ndarray, "prefixes width"],
    ) -> None:
        self.states[ids] = states
        self.children[ids] = MISSING
        self.last_used[ids] = self.batch
        self.created += len(ids)
        allowed = self._allowed(ids)
        if self.rules is not None:
            self._fill_rules(ids, allowed)
        if not self.step.additive:
            self.rows[ids] = rows
            self.masks[ids] = allowed
            return
        if rows.shape[1] > allowed.shape[1]:  # END stands twice; a prefix has one of them
            allowed = np.concatenate((allowed, allowed[:, -1:]), axis=1) & (rows > -np.inf)
        masked = np.where(allowed, rows, np.float32(-np.inf))
        peaks = masked.max(axis=1)
        self.rows[ids] = masked
        self.peaks[ids] = peaks
        self.spans[ids] = peaks - np.where(allowed, rows, np.float32(np.inf)).min(axis=1)
        self.weights[ids] = np.exp(masked - peaks[:, None])

    def _fill_rules(
        self, ids: Int[np.ndarray, " prefixes"], allowed: Bool[np.ndarray, "prefixes outcomes"]
    ) -> None:
        """Write the states of the rules, and which outcomes both the model and the rules allow."""
        assert self.rules is not None
        if len(ids) == 1 and ids[0] == ROOT:
            self.rule_states[ROOT] = self.rules.start
        else:
            self.rule_states[ids] = self.rules.advance(self.rule_states[self.parents[ids]], self.labels[ids])
        states, depths = self.rule_states[ids], self.depths[ids]
        self.live[ids] = allowed & self.rules.live(states, depths)
        self.settled[ids] = self.rules.settles(states, depths)

    def _allowed(self, ids: Int[np.ndarray, " prefixes"]) -> Bool[np.ndarray, "prefixes outcomes"]:
        allowed = np.empty((len(ids), self.num_labels + 1), dtype=bool)
        depths = self.depths[ids]
        for depth in np.unique(depths):
            at = np.flatnonzero(depths == depth)
            prefixes = np.empty((len(at), depth), dtype=np.int32)
            nodes = ids[at]
            for t in reversed(range(depth)):
                prefixes[:, t] = self.labels[nodes]
                nodes = self.parents[nodes]
            allowed[at] = allowed_outcomes(
                prefixes, rule=self.step.allowed, num_labels=self.num_labels, length=self.length
            )
        return allowed

    def _take_ids(self, count: int) -> Int[np.ndarray, " ids"]:
        reused = min(count, self._num_free)
        self._num_free -= reused
        old = self._free[self._num_free : self._num_free + reused]
        new = np.arange(self._high_water, self._high_water + count - reused, dtype=np.int32)
        self._high_water += count - reused
        return np.concatenate([old, new])

    def _give_back(self, ids: Int[np.ndarray, " ids"]) -> None:
        self._free[self._num_free : self._num_free + len(ids)] = ids
        self._num_free += len(ids)
        self.last_used[ids] = np.iinfo(np.int64).max  # a free id never looks old

    def _make_room(self, count: int, pinned: Int[np.ndarray, " nodes"]) -> None:
        room = self.capacity - self.num_nodes
        if count <= room:
            return
        age = self.last_used[: self._high_water].copy()
        nodes = np.unique(pinned)
        while len(nodes):  # a node that stays needs its ancestors
            age[nodes] = np.iinfo(np.int64).max
            nodes = np.unique(self.parents[nodes[nodes != ROOT]])
        age[ROOT] = np.iinfo(np.int64).max
        candidates = np.flatnonzero(age != np.iinfo(np.int64).max)
        if len(candidates) < count - room:
            raise TrieFullError
        # A parent is at least as recent as its children and less deep, so children always go before it.
        order = np.lexsort((-self.depths[candidates], age[candidates]))
        evicted = candidates[order[: max(count - room, self.capacity // EVICTED_SHARE)]]
        self.children[self.parents[evicted], self.labels[evicted]] = MISSING
        self._give_back(evicted.astype(np.int32))
        self.evictions += 1


def _machine(limits: Sequence[Limit], step: LabelStep, least: int, most: int) -> RuleMachine:
    if step.allowed != "canonical":
        raise InputError(
            f"rules need a model that says labels in a fixed order; this one was trained under {step.allowed!r}, where "
            "any label may still follow: hardly a prefix can be cut, and a set is spread over many paths. Train with a "
            "fixed label order (the default, 'canonical')."
        )
    return RuleMachine(limits, step.num_labels, least=least, most=most)
