"""Beam search over the prefix trie, batched over images, with the paper's set of finished candidates.

Knows a trie and image rows; not the model behind the trie nor what is done with the paths. Per image it
holds S(t), the live paths, and C, the finished ones; an image leaves the batch when its search stops. The
arithmetic of a step is in `beam_arrays` (plain NumPy, any model) and `beam_kernel` (Numba, additive models).
"""

import numpy as np
from jaxtyping import Float

from labelbeam.decoding import beam_arrays
from labelbeam.decoding.backend import choose_backend
from labelbeam.decoding.paths import NO_LABEL, BeamPaths, check_image_rows, in_halves
from labelbeam.decoding.search import Search
from labelbeam.decoding.trie import PrefixTrie


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
    rows = np.ascontiguousarray(image_rows, dtype=np.float32)
    check_image_rows(trie, rows)
    chosen = choose_backend(backend, compiled=trie.step.additive)
    found = in_halves(trie, lambda part: _search(trie, part, options, chosen), rows)
    width, first = options.beam_width, 0
    labels = np.full((len(rows), width, trie.longest), NO_LABEL, dtype=np.int32)
    for paths in found:
        labels[first : first + len(paths), :, : paths.labels.shape[2]] = paths.labels
        first += len(paths)
    return BeamPaths(
        labels,
        np.concatenate([paths.lengths for paths in found] or [np.zeros((0, width), np.int32)]),
        np.concatenate([paths.log_probs for paths in found] or [np.zeros((0, width))]),
    )


def greedy_search(
    trie: PrefixTrie, image_rows: Float[np.ndarray, "images width"], *, backend: str | None = None
) -> BeamPaths:
    """Follow the most probable outcome until it is END: beam search of width 1 in which END competes.

    Args:
        trie: prefixes of the label model.
        image_rows: float32, one row per image.
        backend: as in `beam_search`.

    Returns:
        One path per image.

    Raises:
        InputError: as `beam_search`.

    Source:
        Paper section 3.3, which rejects it: one wrong first label spoils the rest.
    """
    return beam_search(trie, image_rows, Search(beam_width=1, end="competes"), backend=backend)


def _search(
    trie: PrefixTrie, image_rows: Float[np.ndarray, "images width"], options: Search, backend: str
) -> BeamPaths:
    if backend == "numba":
        from labelbeam.decoding import beam_kernel

        step: beam_arrays.StepArrays = beam_kernel.StepKernel(trie, image_rows, options)
    else:
        step = beam_arrays.StepArrays(trie, image_rows, options)
    state = beam_arrays.BeamState.start(len(image_rows), options.beam_width, trie.longest)
    for depth in range(trie.longest + 1):
        state.make_room(depth, trie.longest)
        parents, labels, live = step.advance(state, depth)
        if not len(state.images):
            break
        nodes = np.zeros(live.shape, dtype=np.int32)
        nodes[live] = trie.extend(parents[live], labels[live])
        state.nodes = nodes
    return state.finished
