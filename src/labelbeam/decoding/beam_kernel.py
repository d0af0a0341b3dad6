"""One step of beam search as a Numba kernel, for additive models: the fast twin of `beam`.

With additive rows a softmax needs no exponential: `exp(row - peak)` is kept per prefix and per image, the
normaliser is their dot product, and only the labels that are kept pay a logarithm. Where the numbers of a
prefix and an image together span more than SAFE_SPAN nats the products could underflow, and that pair is
done in log space. Knows the trie's arrays and the options; `beam` drives it. Compiled on first use, then
read from the compiler's cache.
"""

from typing import no_type_check

import numba
import numpy as np
from jaxtyping import Bool, Float, Int

from labelbeam.decoding.beam import BeamState, StepArrays
from labelbeam.decoding.paths import NO_LABEL
from labelbeam.decoding.search import Search, in_parts
from labelbeam.decoding.trie import PrefixTrie

SAFE_SPAN = 80.0
"""exp(-80) is 1.8e-35: products of two weights stay far above float32's least normal number, 1.2e-38."""


class ImageWeights:
    """What a kernel keeps of image rows: exponentials, the greatest number, and the span.

    Args:
        rows: float32 [images outcomes], finite.
    """

    def __init__(self, rows: Float[np.ndarray, "images outcomes"]) -> None:
        self.rows = rows
        self.peaks = rows.max(axis=1)
        self.spans = self.peaks - rows.min(axis=1)
        self.weights = np.exp(rows - self.peaks[:, None])


class StepKernel(StepArrays):
    """One step of beam search for a batch, compiled; takes the place of `beam.StepArrays`.

    Args:
        trie: prefixes of an additive label model.
        image_rows: float32, one row per image of the batch.
    """

    def __init__(
        self, trie: PrefixTrie, image_rows: Float[np.ndarray, "images width"], options: Search
    ) -> None:
        super().__init__(trie, image_rows, options)
        self.image = ImageWeights(image_rows)

    def advance(
        self, state: BeamState, depth: int
    ) -> tuple[
        Int[np.ndarray, "going width"], Int[np.ndarray, "going width"], Bool[np.ndarray, "going width"]
    ]:
        """Finish paths into C, extend the others and keep the N best; as `StepArrays.advance`."""
        trie, options, finished, image = self.trie, self.options, state.finished, self.image
        shape = state.nodes.shape
        slots = np.zeros(shape, dtype=np.int32)
        outcomes = np.full(shape, NO_LABEL, dtype=np.int32)
        log_probs = np.full(shape, -np.inf)
        labels = np.empty_like(state.labels)

        def advance(part: slice) -> None:
            _advance(
                (trie.rows, trie.weights, trie.peaks, trie.spans, trie.labels, trie.live),
                (image.rows, image.weights, image.peaks, image.spans),
                (state.images[part], state.nodes[part], state.log_probs[part], state.labels[part]),
                (finished.labels, finished.lengths, finished.log_probs, state.scores),
                (slots[part], outcomes[part], log_probs[part], labels[part]),
                depth,
                trie.step.allowed == "canonical",
                options.end == "competes",
                0 if options.stop == "best" else options.beam_width - 1,
                options.penalty(depth + 1),
                options.penalty(trie.longest + 1),
                trie.num_labels,
            )

        in_parts(advance, len(state.images), size=options.beam_width * image.rows.shape[1])
        parents = np.take_along_axis(state.nodes, slots, axis=1)
        state.log_probs, state.labels = log_probs, labels
        live = log_probs > -np.inf
        going = live[:, 0].copy()
        state.keep(going)
        return parents[going], outcomes[going], live[going]


@numba.njit(cache=True, nogil=True, inline="always")
@no_type_check
def comes_first(a, a_last, b, b_last, depth):
    """Tell whether path a[:depth] + [a_last] sorts before b[:depth] + [b_last]; NO_LABEL ends a path."""
    for t in range(depth):
        if a[t] != b[t]:
            return a[t] < b[t]
    return a_last < b_last


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
@no_type_check
def dot_from(weights, others, first):
    """Return the dot product of two rows from a position on."""
    total = np.float32(0)
    for j in range(first, len(weights)):
        total += weights[j] * others[j]
    return total


@numba.njit(cache=True, nogil=True)
@no_type_check
def log_normaliser(row, other, first):
    """Return log of the sum of exp(row + other) from a position on, without underflow."""
    peak = -np.inf
    for j in range(first, len(row)):
        peak = max(peak, np.float64(row[j]) + other[j])
    total = 0.0
    for j in range(first, len(row)):
        total += np.exp(np.float64(row[j]) + other[j] - peak)
    return peak + np.log(total)


@numba.njit(cache=True, nogil=True, inline="always")
@no_type_check
def end_logit(row, other, end):
    """Return the logit of END, which may stand twice in a row, once as -inf."""
    logit = np.float64(row[end]) + other[end]
    if len(row) > end + 1:
        logit = max(logit, np.float64(row[end + 1]) + other[end + 1])
    return logit


@numba.njit(cache=True, nogil=True)
@no_type_check
def _finish(labels, lengths, log_probs, scores, path, depth, log_prob, score):
    """Insert a path into the candidates of an image, which are sorted by (score, sequence)."""
    width = len(scores)
    place = width
    while place > 0:
        k = place - 1
        if scores[k] > score:
            break
        if scores[k] == score and lengths[k] >= 0:
            shared = min(lengths[k], depth)
            for t in range(shared):
                if labels[k, t] != path[t]:
                    first = labels[k, t] < path[t]
                    break
            else:
                first = lengths[k] <= depth
            if first:
                break
        place -= 1
    if place == width:
        return
    for k in range(width - 1, place, -1):
        labels[k] = labels[k - 1]
        lengths[k], log_probs[k], scores[k] = lengths[k - 1], log_probs[k - 1], scores[k - 1]
    labels[place, :depth] = path[:depth]
    labels[place, depth:] = NO_LABEL
    lengths[place], log_probs[place], scores[place] = depth, log_prob, score


@numba.njit(cache=True, nogil=True)
@no_type_check
def _advance(
    trie, image, live, finished, out, depth, canonical, competes, bound_place, penalty, last_penalty, end
):
    """Advance every active image by one step; see `beam.StepArrays` for the same in plain NumPy."""
    rows, weights, peaks, spans, last_labels, is_live = trie
    ruled = len(is_live) > 0
    image_rows, image_weights, image_peaks, image_spans = image
    images, nodes, log_probs, labels = live
    done_labels, done_lengths, done_log_probs, scores = finished
    out_slots, out_outcomes, out_log_probs, out_labels = out
    active, width = nodes.shape
    last = end + 1 if competes else end
    norms = np.empty(width)  # log-normaliser of each live path
    scales = np.empty(width)  # turns a product of weights into a probability relative to the best live path
    top = np.empty(width)
    for a in range(active):
        i = images[a]
        count = 0
        for b in range(width):
            if log_probs[a, b] == -np.inf:
                break
            count += 1
            node = nodes[a, b]
            first = last_labels[node] + 1 if canonical else 0
            if spans[node] + image_spans[i] > SAFE_SPAN:
                norms[b] = log_normaliser(rows[node], image_rows[i], first)
                scales[b] = -1.0
            else:
                total = np.float64(dot_from(weights[node], image_weights[i], first))
                norms[b] = np.float64(peaks[node]) + image_peaks[i] + np.log(total)
                scales[b] = np.exp(log_probs[a, b] - log_probs[a, 0]) / total
            if not competes and (not ruled or is_live[node, end]):
                step = end_logit(rows[node], image_rows[i], end) - norms[b]
                if step > -np.inf:
                    log_prob = log_probs[a, b] + min(step, 0.0)
                    _finish(
                        done_labels[i], done_lengths[i], done_log_probs[i], scores[i],
                        labels[a, b], depth, log_prob, log_prob / penalty,
                    )  # fmt: skip
        bound = scores[i, bound_place] * last_penalty
        # Rounding must not drop what the exact test below keeps; under `competes` endings below it count too.
        floor = -1.0 if competes else np.exp(bound - log_probs[a, 0]) * (1.0 - 1e-6)
        kept = 0
        for b in range(count):
            node = nodes[a, b]
            first = last_labels[node] + 1 if canonical else 0
            for outcome in range(first, last):
                if outcome == end and rows.shape[1] > end + 1:
                    step = end_logit(rows[node], image_rows[i], end) - norms[b]
                    value = np.exp(step + log_probs[a, b] - log_probs[a, 0])
                elif scales[b] >= 0.0:
                    value = np.float64(weights[node, outcome] * image_weights[i, outcome]) * scales[b]
                else:
                    value = np.exp(
                        np.float64(rows[node, outcome]) + image_rows[i, outcome] - norms[b]
                        + log_probs[a, b] - log_probs[a, 0]
                    )  # fmt: skip
                if value <= floor or value == 0.0 or (kept == width and value < top[width - 1]):
                    continue
                if ruled and not is_live[node, outcome]:
                    continue
                name = NO_LABEL if outcome == end else outcome
                place = kept if kept < width else width
                while place > 0:
                    k = place - 1
                    if top[k] > value:
                        break
                    if top[k] == value:
                        rival = out_outcomes[a, k]
                        rival_name = NO_LABEL if rival == end else rival
                        if comes_first(labels[a, out_slots[a, k]], rival_name, labels[a, b], name, depth):
                            break
                    place -= 1
                if place == width:
                    continue
                kept = min(kept + 1, width)
                for k in range(kept - 1, place, -1):
                    top[k] = top[k - 1]
                    out_slots[a, k], out_outcomes[a, k] = out_slots[a, k - 1], out_outcomes[a, k - 1]
                top[place] = value
                out_slots[a, place], out_outcomes[a, place] = b, outcome
        if competes:
            for k in range(kept):
                if out_outcomes[a, k] == end:
                    b = out_slots[a, k]
                    step = end_logit(rows[nodes[a, b]], image_rows[i], end) - norms[b]
                    log_prob = log_probs[a, b] + min(step, 0.0)
                    _finish(
                        done_labels[i], done_lengths[i], done_log_probs[i], scores[i],
                        labels[a, b], depth, log_prob, log_prob / penalty,
                    )  # fmt: skip
            bound = scores[i, bound_place] * last_penalty
        alive = 0
        for k in range(kept):
            b, outcome = out_slots[a, k], out_outcomes[a, k]
            step = np.float64(rows[nodes[a, b], outcome]) + image_rows[i, outcome] - norms[b]
            log_prob = log_probs[a, b] + min(step, 0.0)
            if outcome == end or not log_prob > bound:
                continue
            out_slots[a, alive], out_outcomes[a, alive], out_log_probs[a, alive] = b, outcome, log_prob
            out_labels[a, alive, :depth] = labels[a, b, :depth]
            out_labels[a, alive, depth] = outcome
            out_labels[a, alive, depth + 1 :] = NO_LABEL
            alive += 1
        out_labels[a, alive:] = NO_LABEL
