"""The tree of prefixes that best-first search has expanded, for a batch of images.

`best_first` and `marginals` drive it. An expanded prefix is an entry; its continuations by a label wait in
`rest` until they are expanded themselves; its continuation by END is a finished path. Entries hold label
sequences, not trie nodes, so a trie that drops nodes loses nothing. This module has the state and plain
NumPy arithmetic for any model; `expansion_kernel` has the same compiled, for nearly all.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from labelbeam.decoding.paths import NO_LABEL
from labelbeam.decoding.random_numbers import EMPTY_PREFIX, sub_keys
from labelbeam.decoding.trie import MISSING, ROOT, Ids, PrefixTrie

Nats = Float[np.ndarray, " items"]
"""Log-probabilities, one per item."""


class Expansion:
    """Expanded prefixes of a batch of images, with the certain part of every label's marginal.

    Attributes:
        rest: float64 [images entries labels], log-probability of continuations not expanded; -inf: none.
        best: float64 [images entries], the greatest of `rest`.
        totals: float64 [images entries], log-probability of the prefix.
        parents: int32 [images entries], entry of the prefix one label shorter.
        labels: int32 [images entries], last label.
        depths: int32 [images entries], number of labels.
        keys: uint64 [images entries], a hash of the prefix.
        counts: int32 [images], entries in use.
        mass: float64 [images labels], probability of all prefixes met so far that contain the label.
        open_mass: float64 [images], probability of the continuations not expanded.
        end_log_probs: float64 [images entries], log-probability of the path that END makes of the entry.
        end_mass: float64 [images], probability of all those paths.
        rounding: float64 [images entries], how far log-probabilities of the entry's continuations may be off:
            `PrefixTrie.rounding`, summed along the path.
        settled: bool [images entries labels], whether the trie's rules are kept whatever follows a continuation; only
            under rules.
        path_entry: int32 [images], entry that is the best finished path when END follows it.
        path_log_prob: float64 [images], its log-probability, -inf while no path is finished.
    """

    def __init__(self, trie: PrefixTrie, image_rows: Float[np.ndarray, "images width"], budget: int) -> None:
        count, entries = len(image_rows), budget
        self.trie = trie
        self.image_rows = image_rows
        # Rows are written when an entry is made; until then an empty array takes no memory.
        self.rest = np.empty((count, entries, trie.num_labels))
        self.best = np.full((count, entries), -np.inf)
        self.totals = np.zeros((count, entries))
        self.parents = np.full((count, entries), MISSING, dtype=np.int32)
        self.labels = np.full((count, entries), NO_LABEL, dtype=np.int32)
        self.depths = np.zeros((count, entries), dtype=np.int32)
        self.keys = np.full((count, entries), EMPTY_PREFIX)
        self.nodes = np.full((count, entries), MISSING, dtype=np.int32)
        self.counts = np.zeros(count, dtype=np.int32)
        self.mass = np.zeros((count, trie.num_labels))
        self.open_mass = np.ones(count)
        self.end_log_probs = np.full((count, entries), -np.inf)
        self.end_mass = np.zeros(count)
        self.rounding = np.zeros((count, entries))
        self.settled = np.empty((count, entries, trie.num_labels if trie.rules else 0), dtype=bool)
        self._sizes = np.abs(image_rows).max(axis=1)
        self.path_entry = np.zeros(count, dtype=np.int32)
        self.path_log_prob = np.full(count, -np.inf)
        self._evictions = trie.evictions

    def most_rounding(self) -> Float[np.ndarray, " images"]:
        """Return how far any log-probability, and so the logarithm of any sum of probabilities, may be off; nats."""
        return self.rounding.max(axis=1) + 2.0**-40  # sums of up to 2^12 numbers in double

    def path_of(self, image: int, entry: int) -> list[int]:
        """Return the labels of an entry."""
        labels: list[int] = []
        while self.depths[image, entry]:
            labels.append(int(self.labels[image, entry]))
            entry = int(self.parents[image, entry])
        return labels[::-1]

    def start(self, images: Ids) -> None:
        """Expand the empty prefix of images that have no entry yet."""
        nodes = np.full(len(images), ROOT, dtype=np.int32)
        nothing = np.full(len(images), NO_LABEL, dtype=np.int32)
        self._append(images, nothing, nothing, np.zeros(len(images)), nodes)

    def top(self, images: Ids) -> tuple[Ids, Ids, Nats]:
        """Return each image's most probable continuation: entry, label, log-probability (-inf: none is left).

        Equal log-probabilities are decided by label sequence.
        """
        best = self.best[images]
        entries = best.argmax(axis=1)
        values = best[np.arange(len(images)), entries]
        tied = ((best == values[:, None]).sum(axis=1) > 1) & (values > -np.inf)
        for k in np.flatnonzero(tied):
            image = int(images[k])
            entries[k] = min(
                np.flatnonzero(best[k] == values[k]).tolist(),
                key=lambda e, image=image: [  # type: ignore[misc]
                    *self.path_of(image, e), int(self.rest[image, e].argmax())
                ],
            )  # fmt: skip
        return entries, self.rest[images, entries].argmax(axis=1), values

    def certified(self, images: Ids, entries: Ids, labels: Ids, values: Nats) -> np.ndarray:
        """Tell for which images the best finished path comes before everything that is left (what `top` gives)."""
        done = self.path_log_prob[images] > values
        done |= values == -np.inf
        for k in np.flatnonzero(~done & (self.path_log_prob[images] == values)):
            image = int(images[k])
            prefix = [*self.path_of(image, int(entries[k])), int(labels[k])]
            done[k] = self.path_of(image, int(self.path_entry[image])) < prefix
        return done

    def expand(self, images: Ids, entries: Ids, labels: Ids, values: Nats) -> None:
        """Make entries of continuations, one of each of distinct images: entry, label and log-probability.

        Raises:
            TrieFullError: the trie cannot hold the prefixes of this round.
        """
        nodes = self._nodes(images, entries, labels)
        self.take(images, entries, labels, values)
        self._append(images, entries.astype(np.int32), labels.astype(np.int32), values, nodes)

    def run(self, active: Ids, budget: int, *, least_open: float, gap: float, relative: bool = False) -> None:
        """Expand images, the most probable continuation of each, until each stops.

        An image stops where no more than `least_open` is open, where no more than `gap` is and its best path is
        certified, where nothing is left, and where it has `budget` entries.

        With `relative` both are shares of what the finished paths have.

        Raises:
            TrieFullError: the trie cannot hold the prefixes of a round.
        """
        while len(active):
            active = self.run_once(active, budget, least_open=least_open, gap=gap, relative=relative)

    def run_once(
        self, active: Ids, budget: int, *, least_open: float, gap: float, relative: bool = False
    ) -> Int[np.ndarray, " going"]:
        """Expand one continuation of each image that does not stop; return those images."""
        entries, labels, values = self.top(active)
        whole = self.end_mass[active] if relative else 1.0
        going = (values > -np.inf) & (self.open_mass[active] > least_open * whole)
        near = np.flatnonzero(going & (self.open_mass[active] <= gap * whole))
        going[near] = ~self.certified(active[near], entries[near], labels[near], values[near])
        going &= self.counts[active] < budget
        active = active[going]
        if len(active):
            self.expand(active, entries[going], labels[going], values[going])
        return active

    def take(self, images: Ids, entries: Ids, labels: Ids, values: Nats) -> None:
        """Take continuations out of `rest`."""
        self.rest[images, entries, labels] = -np.inf
        self.best[images, entries] = self.rest[images, entries].max(axis=1)
        self.open_mass[images] -= np.exp(values)

    def fill(self, images: Ids, entries: Ids, nodes: Ids) -> None:
        """Compute the continuations of new entries."""
        end = self.trie.num_labels
        totals = self.totals[images, entries]
        steps = self.trie.log_probs(nodes, self.image_rows[images], np.float64)
        log_probs = totals[:, None] + np.minimum(steps, 0.0)
        if self.trie.rules is not None:
            log_probs[~self.trie.live[nodes]] = -np.inf
        self.rest[images, entries] = log_probs[:, :end]
        self.best[images, entries] = log_probs[:, :end].max(axis=1)
        masses = np.exp(log_probs[:, :end])
        self.open_mass[images] += masses.sum(axis=1)
        if self.trie.step.allowed == "paper":  # a label that the prefix has already is not met anew
            for k, (image, entry) in enumerate(zip(images.tolist(), entries.tolist(), strict=True)):
                masses[k, self.path_of(image, entry)] = 0.0
        self.mass[images] += masses
        self.offer(images, entries, log_probs[:, end])

    def offer(self, images: Ids, entries: Ids, log_probs: Nats) -> None:
        """Record finished paths, as the best ones of their images where they are; ties by label sequence."""
        self.end_log_probs[images, entries] = log_probs
        self.end_mass[images] += np.exp(log_probs)
        before = self.path_log_prob[images]
        better = log_probs > before
        for k in np.flatnonzero((log_probs == before) & (before > -np.inf)):
            image = int(images[k])
            better[k] = self.path_of(image, int(entries[k])) < self.path_of(
                image, int(self.path_entry[image])
            )
        self.path_entry[images[better]] = entries[better]
        self.path_log_prob[images[better]] = log_probs[better]

    def _append(self, images: Ids, parents: Ids, labels: Ids, totals: Nats, nodes: Ids) -> None:
        entries = self.counts[images]
        self.parents[images, entries] = parents
        self.labels[images, entries] = labels
        self.totals[images, entries] = totals
        self.depths[images, entries] = np.where(labels == NO_LABEL, 0, self.depths[images, parents] + 1)
        self.nodes[images, entries] = nodes
        self.rounding[images, entries] = self.trie.rounding(
            nodes, self.image_rows[images], self._sizes[images]
        )
        labelled = labels != NO_LABEL
        at, e = images[labelled], entries[labelled]
        self.rounding[at, e] += self.rounding[at, parents[labelled]]
        self.keys[at, e] = sub_keys(self.keys[at, parents[labelled]], labels[labelled])
        self.counts[images] += 1
        self.open_mass[images[~labelled]] = 0.0
        if self.trie.rules is not None:
            self.settled[images, entries] = self.trie.settled[nodes]
        self.fill(images, entries, nodes)

    def _nodes(self, images: Ids, entries: Ids, labels: Ids) -> Ids:
        """Return trie nodes of continuations; remembered parents serve until the trie drops something."""
        self.forget_evicted()
        parents = self.nodes[images, entries]
        if (parents == MISSING).any():
            nodes = self.trie.find(*self.prefixes(images, entries, labels))
        else:
            nodes = self.trie.extend(parents, labels)
        self.forget_evicted()
        return nodes

    def forget_evicted(self) -> None:
        """Forget which nodes the entries are where the trie has dropped some since."""
        if self.trie.evictions != self._evictions:
            self.nodes[:] = MISSING
            self._evictions = self.trie.evictions

    def prefixes(self, images: Ids, entries: Ids, labels: Ids) -> tuple[Int[np.ndarray, "items depth"], Ids]:
        """Return the label sequences of continuations, padded, and their lengths."""
        depths = self.depths[images, entries]
        lengths = depths + 1
        paths = np.full((len(images), int(lengths.max(initial=0))), NO_LABEL, dtype=np.int32)
        paths[np.arange(len(images)), depths] = labels
        at = entries.copy()
        for t in range(paths.shape[1] - 2, -1, -1):
            has = np.flatnonzero(depths > t)
            paths[has, t] = self.labels[images[has], at[has]]
            at[has] = self.parents[images[has], at[has]]
        return paths, lengths

    def sets(self, images: Ids, entries: Ids, labels: Ids) -> Bool[np.ndarray, "items labels"]:
        """Return the label sets of continuations; of the entries themselves where the label is NO_LABEL."""
        paths, _ = self.prefixes(images, entries, labels)
        sets = np.zeros((len(paths), self.trie.num_labels), dtype=bool)
        for ids in paths.T:
            has = np.flatnonzero(ids != NO_LABEL)
            sets[has, ids[has]] = True
        return sets

    def best_finished(self) -> tuple[Int[np.ndarray, "images longest"], Int[np.ndarray, " images"]]:
        """Return the best finished path of every image, padded, and its length; the empty path if none is."""
        everyone = np.arange(len(self.counts))
        lengths = self.depths[everyone, self.path_entry]
        nothing = np.full(len(everyone), NO_LABEL, dtype=np.int32)
        found, _ = self.prefixes(everyone, self.path_entry, nothing)
        paths = np.full((len(everyone), self.trie.longest + 1), NO_LABEL, dtype=np.int32)
        paths[:, : found.shape[1]] = found
        return paths[:, : self.trie.longest], lengths
