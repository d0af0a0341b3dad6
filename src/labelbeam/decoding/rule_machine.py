"""A state machine that walks along label order and knows at every label whether limits can still be kept.

A label is decided absent or present after another. What matters of the labels decided so far is, for each limit, its
count: limits that hold whatever follows are forgotten, counts from which no set can be reached any more are removed,
from the last label backwards. So a state that is left can be completed: cutting a prefix whose state is gone cuts
exactly. Limits that share no label do not know of each other; each such group has a machine of its own (`Layers`),
and the state of a prefix is one number per group. Knows ids and `Limit`s; no model, no trie, no image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from labelbeam.errors import InputError
from labelbeam.labels.rules import Limit

DEAD = -1
SETTLED = np.iinfo(np.int16).max
"""In place of a count: the limit holds whatever follows."""

MOST_STATES = 500_000
"""Of a group of limits; more are refused."""


@dataclass(frozen=True)
class Layers:
    """The machine of one group of limits, layer by layer: a layer's states are those before one of its labels.

    Attributes:
        labels: label ids, in the order in which they are decided.
        next: for each label int32 [2 states]: the state of the next layer if it is absent, and if it is present; DEAD
            where limits could not be kept any more. The last layer has one state.
        settled: for each layer, the last included, bool [states]: every completion keeps the limits.
    """

    labels: tuple[int, ...]
    next: tuple[Int[np.ndarray, "2 _"], ...]
    settled: tuple[Bool[np.ndarray, " _"], ...]


def layers_of(labels: Sequence[int], limits: Sequence[Limit]) -> Layers | None:
    """Build the machine of limits.

    Args:
        labels: all that the limits are about, in the order in which they are decided.
        limits: at least one.

    Returns:
        The machine; None where no set keeps the limits.

    Raises:
        InputError: it would have more than MOST_STATES states.
    """
    signs = np.zeros((len(limits), len(labels)), dtype=np.int16)
    position = {label: t for t, label in enumerate(labels)}
    for r, limit in enumerate(limits):
        signs[r, [position[one] for one in limit.plus]] = 1
        signs[r, [position[one] for one in limit.minus]] = -1
    low, high = (np.array([getattr(one, name) for one in limits]) for name in ("low", "high"))
    # What labels from t on can still add, at most and at least.
    most = np.cumsum(np.maximum(signs, 0)[:, ::-1], axis=1)[:, ::-1]
    least = np.cumsum(np.minimum(signs, 0)[:, ::-1], axis=1)[:, ::-1]
    most, least = (np.pad(one, ((0, 0), (0, 1))) for one in (most, least))

    def judged(counts: np.ndarray, t: int) -> Bool[np.ndarray, " states"]:
        """Mark in place what is settled before label t; tell which states no limit forbids."""
        is_open = counts != SETTLED
        alive = ((counts + most[:, t] >= low) & (counts + least[:, t] <= high)) | ~is_open
        counts[(counts + least[:, t] >= low) & (counts + most[:, t] <= high) & is_open] = SETTLED
        return alive.all(axis=1)

    counts = np.zeros((1, len(limits)), dtype=np.int16)
    if not judged(counts, 0)[0]:
        return None
    steps, settled, total = [], [(counts == SETTLED).all(axis=1)], 1
    for t in range(len(labels)):
        present = np.where(counts == SETTLED, SETTLED, counts + signs[:, t]).astype(np.int16)
        both = np.concatenate((counts, present))
        alive = judged(both, t + 1)
        following = np.full(len(both), DEAD, dtype=np.int32)
        counts, following[alive] = _distinct(both[alive])
        steps.append(following.reshape(2, -1))
        settled.append((counts == SETTLED).all(axis=1))
        total += len(counts)
        if total > MOST_STATES:
            raise InputError(
                f"{len(limits)} rules over {len(labels)} labels are too entangled: following them takes more than "
                f"{MOST_STATES:,} states. Leave some out, or make the counts in them smaller."
            )
    return _pruned(tuple(labels), steps, settled)


def _distinct(rows: np.ndarray) -> tuple[np.ndarray, Int[np.ndarray, " rows"]]:
    """Return the distinct rows and, for each row, which of them it is."""
    found, which = np.unique(np.ascontiguousarray(rows), axis=0, return_inverse=True)
    return found, which.reshape(-1).astype(np.int32)


def _pruned(labels: tuple[int, ...], steps: list[np.ndarray], settled: list[np.ndarray]) -> Layers | None:
    """Remove states from which no set can be completed."""
    alive = np.ones(len(settled[-1]), dtype=bool)
    for t in reversed(range(len(steps))):
        new_ids = np.where(alive, np.cumsum(alive) - 1, DEAD)
        settled[t + 1] = settled[t + 1][alive]
        step = np.where(steps[t] == DEAD, DEAD, np.append(new_ids, DEAD)[steps[t]])
        alive = (step != DEAD).any(axis=0)
        steps[t] = np.ascontiguousarray(step[:, alive]).astype(np.int32)
    return Layers(labels, tuple(steps), tuple(settled)) if alive.any() else None


def groups_of(limits: Sequence[Limit]) -> list[list[Limit]]:
    """Return limits that share labels, directly or through others, together; the group of the least label first."""
    group_of: dict[int, list[Limit]] = {}
    for limit in limits:
        met = {id(group_of[label]): group_of[label] for label in limit.labels if label in group_of}
        joined = [limit, *(one for group in met.values() for one in group)]
        for one in joined:
            for label in one.labels:
                group_of[label] = joined
    return list({id(group): group for _, group in sorted(group_of.items())}.values())


class RuleMachine:
    """Limits for searches in label order: states of prefixes, and which outcomes limits allow after them.

    Limits on the number of all labels have no state: a prefix knows its length. How many labels each group may still
    add is known for every state, so it is known whether the number can be reached.

    Attributes:
        start: int32 [groups], the state of the empty prefix.

    Args:
        least: fewest labels of a path, by the model's own path length.
        most: most labels of a path.

    Raises:
        InputError: no set keeps the limits at such lengths, or limits that are too entangled.

    Example:
        >>> machine = RuleMachine([Limit((0, 2), (), 1, 1)], num_labels=3)
        >>> machine.live(machine.start[None], np.array([0])).astype(int)  # END would leave out both
        array([[1, 1, 1, 0]])
        >>> after = machine.advance(machine.start[None], np.array([0]))
        >>> machine.live(after, np.array([1])).astype(int)
        array([[1, 1, 0, 1]])
    """

    def __init__(
        self, limits: Sequence[Limit], num_labels: int, *, least: int = 0, most: int | None = None
    ) -> None:
        self.num_labels = num_labels
        everything = set(range(num_labels))
        of_size = [one for one in limits if set(one.plus) == everything and num_labels > 1]
        others = [one for one in limits if one not in of_size]
        self.least = max([least, *(one.low for one in of_size)])
        self.most = min([num_labels if most is None else most, *(one.high for one in of_size)])
        self._sized = self.least > 0 or self.most < num_labels
        groups = [layers_of(sorted({i for one in g for i in one.labels}), g) for g in groups_of(others)]
        ranges = [None if layers is None else _ranges(layers) for layers in groups]
        if self._sized and any(one is None for one in ranges) and all(one is not None for one in groups):
            # A group can add some numbers of labels and not one between them: then lengths need states, too.
            size = Limit(tuple(range(num_labels)), (), self.least, self.most)
            groups = [layers_of(range(num_labels), [*others, size])]
            self.least, self.most, self._sized = 0, num_labels, False
            ranges = [_ranges(layers) if layers is not None else None for layers in groups]
        if self.least > self.most or any(layers is None for layers in groups):
            raise self._unkept(least, most)
        self._number([layers for layers in groups if layers is not None], ranges)
        if not self.live(self.start[None], np.zeros(1, dtype=np.int64)).any():
            raise self._unkept(least, most)

    def _unkept(self, least: int, most: int | None) -> InputError:
        length = f"{least} to {self.num_labels if most is None else most} labels"
        return InputError(
            f"no set of {length} keeps the rules. Change min_labels or max_labels of the search, or a rule."
        )

    def _number(self, groups: list[Layers], ranges: list) -> None:
        """Give every state of every group a number of its own."""
        self._groups, self._first = groups, []
        total = 0
        settled: list[np.ndarray] = []
        lowest: list[np.ndarray] = []
        highest: list[np.ndarray] = []
        for layers, bounds in zip(groups, ranges, strict=True):
            sizes = [len(one) for one in layers.settled]
            self._first.append(total + np.concatenate(([0], np.cumsum(sizes))))
            total += sum(sizes)
            settled += layers.settled
            for t, size in enumerate(sizes):
                lowest.append(bounds[t][0] if bounds else np.zeros(size, np.int64))
                highest.append(bounds[t][1] if bounds else np.zeros(size, np.int64))
        self.start = np.array([first[0] for first in self._first], dtype=np.int32)
        self._settled = np.concatenate(settled or [np.zeros(0, bool)])
        self._lowest = np.concatenate(lowest or [np.zeros(0, np.int64)])
        self._highest = np.concatenate(highest or [np.zeros(0, np.int64)])
        bound = np.zeros(self.num_labels + 1, dtype=np.int64)
        for layers in groups:
            bound[list(layers.labels)] = 1
        free = np.concatenate((1 - bound[:-1], [0]))
        self._free_after = np.cumsum(free[::-1])[::-1] - free  # [outcomes], labels of no group after each
        self._row_of = np.full(
            total, DEAD, dtype=np.int32
        )  # states that were asked about have a row of outcomes
        self._rows = np.empty((0, self.num_labels + 1), dtype=np.int32)
        self._num_rows = 0

    def live(
        self, states: Int[np.ndarray, "prefixes groups"], depths: Int[np.ndarray, " prefixes"]
    ) -> Bool[np.ndarray, "prefixes outcomes"]:
        """Tell which outcomes can follow prefixes so that some set keeps the limits.

        Args:
            states: of prefixes that can be completed.

        Returns:
            Of labels up to the last one of a prefix it says nothing: label order does.
        """
        after = self._after(states)  # [prefixes groups outcomes]
        live = (after != DEAD).all(axis=1)
        if self._sized:
            there = np.maximum(after, 0)
            count = depths[:, None] + (np.arange(self.num_labels + 1) < self.num_labels)
            live &= count + self._lowest[there].sum(axis=1) <= self.most
            live &= count + self._highest[there].sum(axis=1) + self._free_after >= self.least
        return live

    def settles(
        self, states: Int[np.ndarray, "prefixes groups"], depths: Int[np.ndarray, " prefixes"]
    ) -> Bool[np.ndarray, "prefixes labels"]:
        """Tell after which labels every completion keeps the limits; labels that are not live are not asked for."""
        after = np.maximum(self._after(states)[:, :, :-1], 0)
        settled = self._settled[after].all(axis=1)
        if self._sized:
            count = depths[:, None] + 1
            settled &= count >= self.least
            settled &= count + self._highest[after].sum(axis=1) + self._free_after[:-1] <= self.most
        return settled

    def advance(
        self, states: Int[np.ndarray, "prefixes groups"], labels: Int[np.ndarray, " prefixes"]
    ) -> Int[np.ndarray, "prefixes groups"]:
        """Return the states of prefixes with one label more; the labels are live."""
        self._fill(states)
        return self._rows[self._row_of[states], labels[:, None]]

    def _after(self, states: np.ndarray) -> Int[np.ndarray, "prefixes groups outcomes"]:
        self._fill(states)
        return self._rows[self._row_of[states]]

    def _fill(self, states: np.ndarray) -> None:
        """Compute the rows of states that were not asked about before."""
        for state in np.unique(states[self._row_of[states] == DEAD]).tolist():
            if self._num_rows == len(self._rows):
                more = np.empty((max(64, 2 * len(self._rows)), self.num_labels + 1), dtype=np.int32)
                more[: self._num_rows] = self._rows[: self._num_rows]
                self._rows = more
            self._rows[self._num_rows] = self._row(state)
            self._row_of[state] = self._num_rows
            self._num_rows += 1

    def _row(self, state: int) -> Int[np.ndarray, " outcomes"]:
        """Return the state after each outcome: labels of the group before it are absent."""
        g = int(np.searchsorted([first[0] for first in self._first], state, side="right")) - 1
        layers, first = self._groups[g], self._first[g]
        t = int(np.searchsorted(first, state, side="right")) - 1
        row, at, begin = np.full(self.num_labels + 1, DEAD, dtype=np.int32), state - int(first[t]), 0
        for t in range(t, len(layers.labels)):  # noqa: B020
            label = layers.labels[t]
            row[begin:label] = first[t] + at
            if (present := layers.next[t][1, at]) != DEAD:
                row[label] = first[t + 1] + present
            at, begin = int(layers.next[t][0, at]), label + 1
            if at == DEAD:
                return row
        row[begin:] = first[-2] + at
        return row


def _ranges(layers: Layers) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """Return per layer how many labels each state can still add, at least and at most.

    None where some state cannot add every number between.
    """
    counts = np.ones((1, 1), dtype=bool)  # [states numbers]
    found = [(np.zeros(1, np.int64), np.zeros(1, np.int64))]
    for step in reversed(layers.next):
        padded = np.pad(counts, ((0, 1), (1, 1)))  # a dead state adds nothing
        counts = padded[step[0], 1:] | padded[step[1], :-1]
        lowest = counts.argmax(axis=1)
        highest = counts.shape[1] - 1 - counts[:, ::-1].argmax(axis=1)
        if (counts.sum(axis=1) != highest - lowest + 1).any():
            return None
        found.append((lowest, highest))
    return found[::-1]
