"""How predictable each label is from an image's other labels, pixels aside.

What a model of labels could win at all: where this is near 0, knowing the others helps nobody. Estimated by the
Chow-Liu tree, out of sample, so it is a lower bound of what richer models could predict. Knows target matrices.
"""

import numpy as np
from jaxtyping import Float, Int8

from labelbeam.analysis.cooccurrence import ROWS
from labelbeam.errors import InputError
from labelbeam.labels.targets import ABSENT, PRESENT, UNKNOWN
from labelbeam.rivals.chow_liu import NO_PARENT, ChowLiuTree

LEAST_PROBABILITY = 1e-6


def predictability(
    targets: Int8[np.ndarray, "images labels"], *, seed: int = 0
) -> Float[np.ndarray, " labels"]:
    """Return the share of each label's entropy that the other labels take away.

    1 - H(l | others) / H(l), both as log-loss on images that the tree was not fitted to (two halves, each judged by
    the other's tree): 0 where the others say nothing, 1 where they say all; a little below 0 by chance.

    Args:
        targets: 1 present, 0 absent, -1 unknown: not judged, and silent about its neighbours in the tree.
        seed: decides the halves.

    Returns:
        float64; NaN for a label that every known image has, or none.

    Raises:
        InputError: fewer than 4 images.

    Source:
        The uncertainty coefficient (Theil 1972), also McFadden's pseudo-R2 (1974); Chow and Liu 1968 for the tree.

    Example:
        >>> random = np.random.default_rng(0).integers(0, 2, (4000, 1), dtype=np.int8)
        >>> coin = np.random.default_rng(1).integers(0, 2, (4000, 1), dtype=np.int8)
        >>> predictability(np.hstack((random, random, coin))).round(2).tolist()
        [1.0, 1.0, -0.0]
    """
    if len(targets) < 4:
        raise InputError(f"predictability needs at least 4 images, given {len(targets)}.")
    shuffled = np.random.default_rng(seed).permutation(len(targets))
    halves = np.sort(shuffled[::2]), np.sort(shuffled[1::2])
    alone, given = np.zeros(targets.shape[1]), np.zeros(targets.shape[1])
    for fitted, judged in (halves, halves[::-1]):
        tree = ChowLiuTree.fit(targets[fitted])
        for start in range(0, len(judged), ROWS):
            rows = targets[judged[start : start + ROWS]]
            alone += _nats(np.broadcast_to(tree.marginals, rows.shape), rows)
            given += _nats(conditional_on_others(tree, rows), rows)
    settled = targets != UNKNOWN
    varies = ((targets == PRESENT).any(axis=0)) & ((targets == ABSENT) & settled).any(axis=0)
    found = np.full(targets.shape[1], np.nan)
    found[varies] = 1 - given[varies] / alone[varies]
    return found


def conditional_on_others(
    tree: ChowLiuTree, targets: Int8[np.ndarray, "images labels"]
) -> Float[np.ndarray, "images labels"]:
    """Return p(label | all other labels) under a tree: its parent's and its children's values decide.

    A neighbour that is unknown says nothing (what lies behind it is not asked).
    """
    log_given = np.log(np.clip(tree.given, LEAST_PROBABILITY, None))
    present = (targets == PRESENT).astype(np.int64)
    prior = np.log(tree.marginals / (1 - tree.marginals))
    log_odds = np.zeros(targets.shape)
    for label, parent in enumerate(tree.parent):
        own = log_given[label, :, 1] - log_given[label, :, 0]  # by the parent's value
        if parent == NO_PARENT:
            log_odds[:, label] += prior[label]
            continue
        log_odds[:, label] += np.where(targets[:, parent] == UNKNOWN, prior[label], own[present[:, parent]])
        upward = log_given[label, 1] - log_given[label, 0]  # by this label's value
        log_odds[:, parent] += np.where(targets[:, label] == UNKNOWN, 0.0, upward[present[:, label]])
    probs: np.ndarray = 1 / (1 + np.exp(-np.clip(log_odds, -30, 30)))
    return probs


def _nats(probs: Float[np.ndarray, "images labels"], targets: np.ndarray) -> Float[np.ndarray, " labels"]:
    p = np.clip(probs, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    nats = np.where(targets == PRESENT, -np.log(p), np.where(targets == ABSENT, -np.log1p(-p), 0.0))
    total: np.ndarray = nats.sum(axis=0)
    return total
