"""Beam search over the prefix trie, batched over images, with the paper's set of finished candidates.

Per image it holds S(t), the live paths, and C, the finished ones; an image leaves the batch when its search stops. The
arithmetic of a step is plain NumPy, for any label model; `beam_kernel` has it in Numba, for additive models.
"""

import itertools
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from labelbeam.decoding.paths import NO_LABEL, BeamPaths, best_first_order, checked_rows, in_halves, joined
from labelbeam.decoding.search import Search, choose_backend
from labelbeam.decoding.trie import ROOT, PrefixTrie

FIRST_ROOM = 16
"""Labels of a path that arrays have room for at first."""


def beam_search(
    trie: PrefixTrie,
    image_rows: Float[np.ndarray, "images width"],
    options: Search | None = None,
    *,
    backend: str | None = None,
) -> BeamPaths:
    """Search the most probable label paths of each image.

    Args:
        trie: prefixes of the label model; it grows, and its answers do not depend on what it holds.
        image_rows: float32, one row per image, as wide as the trie's rows.
        options: width, END and stop rules; default: width 10.
        backend: `numpy` or `numba`; None: the fastest that is installed and can do it.

    Returns:
        Up to N finished paths per image, best first; equal log-probabilities by label sequence. Under stop
        `best` only the first is certain to be the best that this beam can find.

    Raises:
        InputError: rows of another width, or not finite; a backend that cannot do it; a trie limit too
            small for the beams of one image.

    Source:
        Paper section 3.3.

    Example:
        >>> from labelbeam.decoding.step import TableStep
        >>> trie = PrefixTrie(TableStep({(): [2.0, 1.0, 0.0], (0,): [0.0, 3.0, 0.0]}, num_labels=2))
        >>> beam_search(trie, np.zeros((1, 3), np.float32), Search(beam_width=2)).best(0)
        (0, 1)
    """
    options = options or Search()
    rows = checked_rows(trie, image_rows)
    chosen = choose_backend(backend, compiled=trie.step.additive)
    return joined(in_halves(trie, lambda part: _search(trie, part, options, chosen), rows))


def greedy_search(
    trie: PrefixTrie, image_rows: Float[np.ndarray, "images width"], *, backend: str | None = None
) -> BeamPaths:
    """Follow the most probable outcome until it is END: `beam_search` of width 1 in which END competes.

    Source:
        Paper section 3.3, which rejects it: one wrong first label spoils the rest.
    """
    return beam_search(trie, image_rows, Search(beam_width=1, end="competes"), backend=backend)


def _search(
    trie: PrefixTrie, image_rows: Float[np.ndarray, "images width"], options: Search, backend: str
) -> BeamPaths:
    if backend == "numba":
        from labelbeam.decoding import beam_kernel

        step: StepArrays = beam_kernel.StepKernel(trie, image_rows, options)
    else:
        step = StepArrays(trie, image_rows, options)
    state = BeamState.start(len(image_rows), options.beam_width, trie.longest)
    for depth in itertools.count():
        state.make_room(depth, trie.longest)
        parents, labels, live = step.advance(state, depth)
        if not len(state.images):
            break
        nodes = np.zeros(live.shape, dtype=np.int32)
        nodes[live] = trie.extend(parents[live], labels[live])
        state.nodes = nodes
    found = state.finished
    labels = np.full((*found.lengths.shape, trie.longest), NO_LABEL, dtype=np.int32)
    labels[:, :, : found.labels.shape[2]] = found.labels
    return replace(found, labels=labels)


@dataclass
class BeamState:
    """Live paths of the images still searched, and finished paths of all.

    Attributes:
        images: int64 [active], positions in the batch.
        nodes: int32 [active width], trie node of each live path.
        log_probs: float64 [active width], nats, descending; -inf where there are fewer live paths.
        labels: int32 [active width room].
        finished: C of every image, best first, its paths in as much room.
        scores: float64 [images width], what C is ordered by.
    """

    images: Int[np.ndarray, " active"]
    nodes: Int[np.ndarray, "active width"]
    log_probs: Float[np.ndarray, "active width"]
    labels: Int[np.ndarray, "active width room"]
    finished: BeamPaths
    scores: Float[np.ndarray, "images width"]

    @classmethod
    def start(cls, count: int, width: int, longest: int) -> "BeamState":
        """Return the state before the first step: one live path per image, the empty one."""
        log_probs = np.full((count, width), -np.inf)
        log_probs[:, 0] = 0.0
        room = min(longest, FIRST_ROOM)
        return cls(
            images=np.arange(count),
            nodes=np.full((count, width), ROOT, dtype=np.int32),
            log_probs=log_probs,
            labels=np.full((count, width, room), NO_LABEL, dtype=np.int32),
            finished=BeamPaths(
                np.full((count, width, room), NO_LABEL, dtype=np.int32),
                np.full((count, width), NO_LABEL, dtype=np.int32),
                np.full((count, width), -np.inf),
            ),
            scores=np.full((count, width), -np.inf),
        )

    def make_room(self, depth: int, longest: int) -> None:
        """Let paths have more than `depth` labels, as far as they may: few are as long as the longest allowed."""
        room = self.labels.shape[2]
        if room > depth or room == longest:
            return
        more = ((0, 0), (0, 0), (0, min(room, longest - room)))
        self.labels = np.pad(self.labels, more, constant_values=NO_LABEL)
        self.finished = replace(
            self.finished, labels=np.pad(self.finished.labels, more, constant_values=NO_LABEL)
        )

    def keep(self, going: Bool[np.ndarray, " active"]) -> None:
        """Let the other images leave the batch."""
        if not going.all():
            self.images = self.images[going]
            self.nodes = self.nodes[going]
            self.log_probs = self.log_probs[going]
            self.labels = self.labels[going]


class StepArrays:
    """One step of beam search for a batch, in NumPy arrays.

    Args:
        image_rows: float32, one row per image of the batch.
    """

    def __init__(
        self, trie: PrefixTrie, image_rows: Float[np.ndarray, "images width"], options: Search
    ) -> None:
        self.trie = trie
        self.image_rows = image_rows
        self.options = options

    def advance(
        self, state: BeamState, depth: int
    ) -> tuple[
        Int[np.ndarray, "going width"], Int[np.ndarray, "going width"], Bool[np.ndarray, "going width"]
    ]:
        """Finish paths into C, extend the others and keep the N best; images without live paths leave.

        Args:
            state: paths of `depth` labels; changed in place.
            depth: number of labels of the live paths.

        Returns:
            Of each new live path of the images that stay: parent node, label, and whether it is there.
        """
        end = self.trie.num_labels
        totals = self._totals(state)  # [active width outcomes]
        if self.options.end == "always":
            self._finish(state, totals[:, :, end], state.labels, depth)
            totals = totals[:, :, :end]
        slots, outcomes, log_probs = self._best(totals, state.labels)
        labels = np.take_along_axis(state.labels, slots[:, :, None], axis=1)
        ended = outcomes == end
        if ended.any():
            self._finish(state, np.where(ended, log_probs, -np.inf), labels, depth)
            log_probs[ended] = -np.inf
        log_probs[log_probs <= self._bounds(state)[:, None]] = -np.inf
        order = np.argsort(-log_probs, axis=1, kind="stable")
        slots, outcomes = (
            np.take_along_axis(slots, order, axis=1),
            np.take_along_axis(outcomes, order, axis=1),
        )
        parents = np.take_along_axis(state.nodes, slots, axis=1)
        state.log_probs = np.take_along_axis(log_probs, order, axis=1)
        state.labels = np.take_along_axis(labels, order[:, :, None], axis=1)
        live = state.log_probs > -np.inf
        if depth < self.trie.longest:
            state.labels[:, :, depth] = np.where(live, outcomes, NO_LABEL)
        going = live[:, 0].copy()
        state.keep(going)
        return parents[going], outcomes[going], live[going]

    def _totals(self, state: BeamState) -> Float[np.ndarray, "active width outcomes"]:
        active, width = state.nodes.shape
        rows = np.repeat(self.image_rows[state.images], width, axis=0)
        nodes = state.nodes.reshape(-1)
        log_probs = self.trie.log_probs(nodes, rows)
        if self.trie.rules is not None:
            log_probs[~self.trie.live[nodes]] = -np.inf
        return state.log_probs[:, :, None] + np.minimum(log_probs, 0.0).reshape(
            active, width, self.trie.num_labels + 1
        )

    def _best(
        self, totals: Float[np.ndarray, "active width outcomes"], labels: Int[np.ndarray, "active width room"]
    ) -> tuple[
        Int[np.ndarray, "active width"], Int[np.ndarray, "active width"], Float[np.ndarray, "active width"]
    ]:
        active, width, outcomes = totals.shape
        flat = totals.reshape(active, width * outcomes)
        count = min(width, flat.shape[1])
        chosen = np.argpartition(-flat, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(flat, chosen, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        chosen, values = np.take_along_axis(chosen, order, axis=1), np.take_along_axis(values, order, axis=1)
        least = values[:, -1:]
        boundary = ((flat == least).sum(axis=1) > (values == least).sum(axis=1)) & (least[:, 0] > -np.inf)
        inside = ((values[:, 1:] == values[:, :-1]) & (values[:, 1:] > -np.inf)).any(axis=1)
        for i in np.flatnonzero(boundary | inside):  # equal log-probabilities: by label sequence
            contenders = np.flatnonzero(flat[i] >= least[i, 0])
            contenders = contenders[flat[i, contenders] > -np.inf]
            ranked = sorted(
                contenders.tolist(),
                key=lambda j, i=i: (  # type: ignore[misc]
                    -flat[i, j],
                    [
                        *labels[i, j // outcomes].tolist(),
                        NO_LABEL if j % outcomes == self.trie.num_labels else j % outcomes,
                    ],
                ),
            )[:count]
            chosen[i, : len(ranked)] = ranked
            values[i, : len(ranked)] = flat[i, ranked]
        padded = np.full((active, width), -np.inf)
        padded[:, :count] = values
        slots = np.zeros((active, width), dtype=np.int64)
        slots[:, :count] = chosen // outcomes
        ids = np.zeros((active, width), dtype=np.int64)
        ids[:, :count] = chosen % outcomes
        return slots, ids, padded

    def _finish(
        self,
        state: BeamState,
        log_probs: Float[np.ndarray, "active width"],
        labels: Int[np.ndarray, "active width room"],
        depth: int,
    ) -> None:
        """Merge paths that end here into C, of which the N best stay."""
        images, width, finished = state.images, self.options.beam_width, state.finished
        better = (log_probs > -np.inf).any(axis=1)
        if not better.any():
            return
        images, log_probs, labels = images[better], log_probs[better], labels[better]
        scores = log_probs / self.options.penalty(depth + 1)
        all_scores = np.concatenate([state.scores[images], scores], axis=1)
        all_labels = np.concatenate([finished.labels[images], labels], axis=1)
        all_log_probs = np.concatenate([finished.log_probs[images], log_probs], axis=1)
        lengths = np.where(log_probs > -np.inf, depth, NO_LABEL).astype(np.int32)
        all_lengths = np.concatenate([finished.lengths[images], lengths], axis=1)
        order = best_first_order(all_scores, all_labels)[:, :width]
        state.scores[images] = np.take_along_axis(all_scores, order, axis=1)
        finished.log_probs[images] = np.take_along_axis(all_log_probs, order, axis=1)
        finished.lengths[images] = np.take_along_axis(all_lengths, order, axis=1)
        kept = np.take_along_axis(all_labels, order[:, :, None], axis=1)
        kept[finished.lengths[images] == NO_LABEL] = NO_LABEL
        finished.labels[images] = kept

    def _bounds(self, state: BeamState) -> Float[np.ndarray, " active"]:
        """Return the log-probability that a live path must exceed for its best continuation to matter."""
        column = 0 if self.options.stop == "best" else self.options.beam_width - 1
        return state.scores[state.images, column] * self.options.penalty(self.trie.longest + 1)
