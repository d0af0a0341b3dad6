"""Exact log-likelihoods of given paths and of given label sets, through the trie.

Under `canonical` a set has one path, its ids in ascending order. Under `no-repeat` its probability is the
sum over all orders. Under `paper` a set has infinitely many paths and no likelihood is offered. Knows the
trie and image rows; nothing of images or names.
"""

from functools import partial
from itertools import permutations

import numpy as np
from jaxtyping import Float, Int

from labelbeam.decoding.paths import NO_LABEL, checked_rows, in_batches
from labelbeam.decoding.trie import ROOT, PrefixTrie
from labelbeam.errors import InputError

MOST_ORDERED = 7
"""Labels of a set whose orders are summed: 7! = 5,040 paths per image."""

PATHS_TOGETHER = 4096
"""Paths that are followed side by side; bounds the work space."""


def path_log_prob(
    trie: PrefixTrie, image_rows: Float[np.ndarray, "paths width"], paths: Int[np.ndarray, "paths depth"]
) -> Float[np.ndarray, " paths"]:
    """Return the log-probability of paths, END included.

    Args:
        image_rows: float32, the row of the image that each path is for.
        paths: label ids in path order, -1 behind the end.

    Returns:
        float64, nats; -inf for a path that the rule or the length does not allow.

    Raises:
        InputError: rows of another width or not finite, or an id that is no label.

    Source:
        Paper section 3.3: the product over t of P(l_t | I, l_1 .. l_{t-1}).

    Example:
        >>> from labelbeam.decoding.step import TableStep
        >>> trie = PrefixTrie(TableStep({}, num_labels=2))
        >>> path_log_prob(trie, np.zeros((1, 3), np.float32), np.array([[0, -1]])).round(3).tolist()
        [-1.792]
    """
    rows = checked_rows(trie, image_rows)
    if paths.size and (paths.min() < NO_LABEL or paths.max() >= trie.num_labels):
        raise InputError(
            f"a path may hold label ids 0 to {trie.num_labels - 1} and -1 behind its end, "
            f"given {int(paths.min())} to {int(paths.max())}."
        )
    lengths = np.where(paths == NO_LABEL, 0, np.arange(1, paths.shape[1] + 1)).max(axis=1, initial=0)
    if (paths == NO_LABEL).sum() != (paths.shape[1] - lengths).sum():
        raise InputError("a path has -1 between its labels; -1 may only stand behind its end.")
    items = (rows, paths.astype(np.int32), lengths)
    return np.concatenate(in_batches(trie, partial(_follow, trie), PATHS_TOGETHER, *items))


def set_log_prob(
    trie: PrefixTrie, image_rows: Float[np.ndarray, "images width"], targets: Int[np.ndarray, "images labels"]
) -> Float[np.ndarray, " images"]:
    """Return the log-probability of one label set per image.

    Args:
        targets: multi-hot, 1 where the label is in the set, 0 where not.

    Returns:
        float64 [images], nats; -inf where the path length forbids the set.

    Raises:
        InputError: targets of another shape or other values; the rule `paper`; under `no-repeat` a set of
            more than 7 labels; otherwise as `path_log_prob`.

    Example:
        >>> from labelbeam.decoding.step import TableStep
        >>> trie = PrefixTrie(TableStep({}, num_labels=2, allowed="no-repeat"))
        >>> set_log_prob(trie, np.zeros((1, 3), np.float32), np.array([[1, 1]])).round(3).tolist()  # 2 / 6
        [-1.099]
    """
    shape = (len(image_rows), trie.num_labels)
    if targets.shape != shape or (targets.size and not np.isin(targets, (0, 1)).all()):
        raise InputError(
            f"targets must be {shape} of 0 and 1, given {targets.shape}. "
            "Images with unknown labels have no set likelihood: leave them out."
        )
    if trie.step.allowed == "paper":
        raise InputError(
            "a set has infinitely many paths under the rule 'paper', so no likelihood. "
            "Train with 'canonical' or 'no-repeat'."
        )
    sizes = targets.sum(axis=1).astype(np.int64)
    if trie.step.allowed == "canonical":
        return path_log_prob(trie, image_rows, _ascending(targets, sizes))
    if sizes.max(initial=0) > MOST_ORDERED:
        raise InputError(
            f"under 'no-repeat' a set's orders are summed, for up to {MOST_ORDERED} labels; image "
            f"{int(sizes.argmax())} has {int(sizes.max())}. Leave such images out or train with 'canonical'."
        )
    sums = [_sum_over_orders(trie, image_rows[[i]], np.flatnonzero(row)) for i, row in enumerate(targets)]
    return np.array(sums, dtype=np.float64)


def _ascending(
    targets: Int[np.ndarray, "images labels"], sizes: Int[np.ndarray, " images"]
) -> Int[np.ndarray, "images depth"]:
    """Return the ids of multi-hot rows in ascending order, NO_LABEL behind them."""
    paths = np.full((len(targets), int(sizes.max(initial=0))), NO_LABEL, dtype=np.int32)
    images, labels = np.nonzero(targets)
    paths[images, np.arange(len(images)) - np.repeat(np.cumsum(sizes) - sizes, sizes)] = labels
    return paths


def _sum_over_orders(
    trie: PrefixTrie, image_row: Float[np.ndarray, "1 width"], labels: Int[np.ndarray, " depth"]
) -> np.float64:
    paths = np.array(list(permutations(labels)), dtype=np.int32)
    log_probs = path_log_prob(trie, np.repeat(image_row, len(paths), axis=0), paths)
    return np.logaddexp.reduce(log_probs)


def _follow(
    trie: PrefixTrie,
    image_rows: Float[np.ndarray, "paths width"],
    paths: Int[np.ndarray, "paths depth"],
    lengths: Int[np.ndarray, " paths"],
) -> Float[np.ndarray, " paths"]:
    totals = np.zeros(len(paths))
    nodes = np.full(len(paths), ROOT, dtype=np.int32)
    going = np.arange(len(paths))
    for t in range(paths.shape[1] + 1):
        log_probs = trie.log_probs(nodes, image_rows[going], np.float64)
        ended = lengths[going] == t
        outcomes = np.full(len(going), trie.num_labels)
        if t < paths.shape[1]:
            outcomes[~ended] = paths[going[~ended], t]
        steps = log_probs[np.arange(len(going)), outcomes]
        totals[going] += np.minimum(steps, 0.0)
        further = ~ended & (steps > -np.inf)
        going, nodes, outcomes = going[further], nodes[further], outcomes[further]
        if not len(going):
            break
        nodes = trie.extend(nodes, outcomes)
    return totals
