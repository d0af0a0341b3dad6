"""The most probable label sets of each image, in falling order: best-first search that goes on after the first.

A finished path that is more probable than everything still open is next in the order, for certain. Under `canonical`
a path is a set. Knows the trie and image rows; `expansion` holds the tree.
"""

import numpy as np
from jaxtyping import Float

from labelbeam.decoding.backend import choose_backend
from labelbeam.decoding.best_first import batch_size, can_compile, check_budget, new_expansion
from labelbeam.decoding.paths import check_image_rows, in_halves
from labelbeam.decoding.trie import PrefixTrie

ListedSets = list[tuple[tuple[int, ...], float]]
"""Label sets of an image with their probabilities, the most probable first."""


def likely_sets(
    trie: PrefixTrie,
    image_rows: Float[np.ndarray, "images width"],
    *,
    count: int,
    mass: float = 1.0,
    budget: int = 1000,
    backend: str | None = None,
) -> list[ListedSets]:
    """List each image's most probable paths until there are enough, or they hold enough probability.

    Args:
        trie: prefixes of the label model.
        image_rows: float32, one row per image.
        count: most paths per image.
        mass: probability after which no more are wanted.
        budget: most prefixes to expand per image.
        backend: `numpy` or `numba`; None: the fastest that is installed and can do it.

    Returns:
        Per image, paths with their probabilities, falling; fewer than `count` where the mass was reached, where there
        are no more, or where the budget was spent: what is listed is certain to be first.

    Raises:
        InputError: a budget below 1; otherwise as `beam_search`.

    Example:
        >>> from labelbeam.decoding.step import TableStep
        >>> trie = PrefixTrie(TableStep({(): [2.0, 1.0, 0.0], (0,): [0.0, 3.0, 0.0]}, num_labels=2))
        >>> [path for path, _ in likely_sets(trie, np.zeros((1, 3), np.float32), count=3)[0]]
        [(0, 1), (1,), ()]
    """
    rows = np.ascontiguousarray(image_rows, dtype=np.float32)
    check_image_rows(trie, rows)
    check_budget(budget)
    chosen = choose_backend(backend, compiled=can_compile(trie))
    listed: list[ListedSets] = []
    for first in range(0, len(rows), size := batch_size(trie, budget)):
        parts = in_halves(
            trie,
            lambda part: _listed(trie, part, count=count, mass=mass, budget=budget, backend=chosen),
            rows[first : first + size],
        )
        listed += [one for part in parts for one in part]
    return listed


def _listed(
    trie: PrefixTrie,
    image_rows: Float[np.ndarray, "images width"],
    *,
    count: int,
    mass: float,
    budget: int,
    backend: str,
) -> list[ListedSets]:
    tree = new_expansion(trie, image_rows, budget, backend)
    active = np.arange(len(image_rows))
    least = np.full(len(image_rows), -np.inf)  # finished paths above this are certain
    for expanded in range(1, budget + 1):
        entries, labels, values = tree.top(active)
        least[active] = values
        finished = tree.end_log_probs[active, :expanded]
        sure = finished > values[:, None]
        held = np.where(sure, np.exp(finished), 0.0).sum(axis=1)
        going = (sure.sum(axis=1) < count) & (held < mass) & (values > -np.inf)
        active, entries, labels, values = active[going], entries[going], labels[going], values[going]
        if not len(active) or expanded == budget:
            break
        tree.expand(active, entries, labels, values)
    listed = []
    for image, lowest in enumerate(least):
        log_probs = tree.end_log_probs[image]
        order = np.argsort(-log_probs, kind="stable")[: int((log_probs > lowest).sum())][:count]
        listed.append([(tuple(tree.path_of(image, int(e))), float(np.exp(log_probs[e]))) for e in order])
    return listed
