"""Lists of label sets in falling probability, and how far down a list the true set stands.

A label model's own joint distribution lists them by search (`decoding.best_first`); here is the list of labels that
are independent given the image, exact too. Knows no model and no file.
"""

import heapq
from collections.abc import Sequence

import numpy as np

from labelbeam.decoding.best_first import ListedSets
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN, ByLabel, PerImage, Targets

MOST_SETS = 100
"""Sets that a list holds at most; a true set further down counts as not listed."""


def independent_sets(scores: ByLabel, *, count: int = MOST_SETS, mass: float = 1.0) -> list[ListedSets]:
    """List the most probable sets of independent labels, exactly.

    A set is the most probable one with some labels flipped; flips cost the absolute log-odds, and subsets of flips are
    taken from a heap in rising cost.

    Args:
        mass: probability after which no more are wanted.

    Example:
        >>> [one for one, _ in independent_sets(np.array([[0.9, 0.6]]))[0]]
        [(0, 1), (0,), (1,), ()]
    """
    return [_of_image(np.asarray(row, dtype=np.float64), count, mass) for row in scores]


def _of_image(scores: np.ndarray, count: int, mass: float) -> ListedSets:
    p = np.clip(scores, 1e-12, 1 - 1e-12)
    costs = np.abs(np.log(p) - np.log1p(-p))
    order = np.argsort(costs, kind="stable")[:count]  # the k-th best set flips none but the k cheapest
    cost, best = costs[order], p >= 0.5
    log_prob = float(np.log(np.where(best, p, 1 - p)).sum())
    listed: ListedSets = []
    held = 0.0
    heap: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    while heap and len(listed) < count and held < mass:
        paid, flips = heapq.heappop(heap)
        chosen = best.copy()
        chosen[order[list(flips)]] ^= True
        listed.append((tuple(np.flatnonzero(chosen).tolist()), float(np.exp(log_prob - paid))))
        held += listed[-1][1]
        last = flips[-1] if flips else -1
        if last + 1 < len(cost):
            heapq.heappush(heap, (paid + cost[last + 1], (*flips, last + 1)))
            if flips:  # the dearest flip instead of the last one
                heapq.heappush(heap, (paid - cost[last] + cost[last + 1], (*flips[:-1], last + 1)))
    return listed


def mass_before(listed: Sequence[ListedSets], truth: Targets) -> PerImage:
    """Return the probability of the sets listed before the true one; infinite where it is not listed.

    Where labels are unknown, the first set that agrees with the known ones counts.
    """
    before = np.full(len(truth), np.inf)
    for image, (sets, true) in enumerate(zip(listed, truth, strict=True)):
        known, held = true != UNKNOWN, 0.0
        wanted = set(np.flatnonzero(true == PRESENT).tolist())
        for one, probability in sets:
            if {label for label in one if known[label]} == wanted:
                before[image] = held
                break
            held += probability
    return before


def listed_until(sets: ListedSets, most_before: float) -> ListedSets:
    """Return the sets of a list that have at most so much probability before them; the first one always has."""
    kept: ListedSets = []
    held = 0.0
    for one in sets:
        if held > most_before:
            break
        kept.append(one)
        held += one[1]
    return kept
