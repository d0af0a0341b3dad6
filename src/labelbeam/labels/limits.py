"""Limits on counts of labels, and which of them contradict each other: the fewest that no set of labels keeps together.

What rules (`labels.rules`) mean. Decided here by propagation and search, independently of the machine that searches of
label models run on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

MOST_ROUNDS = 300
"""Afterwards an irreducible contradiction is good enough, though a shorter one may exist."""


@dataclass(frozen=True)
class Limit:
    """low <= (labels of `plus` in the set) - (labels of `minus` in the set) <= high.

    Attributes:
        plus: label ids, ascending.
        minus: other label ids, ascending.
        low: at least.
        high: at most.

    Example:
        >>> Limit((3,), (1,), 0, 1).broken_by(np.array([[0, 1, 0, 0], [0, 1, 0, 1]], dtype=bool)).tolist()
        [True, False]
    """

    plus: tuple[int, ...]
    minus: tuple[int, ...]
    low: int
    high: int

    @property
    def labels(self) -> tuple[int, ...]:
        """All labels that it is about."""
        return self.plus + self.minus

    def broken_by(self, sets: Bool[np.ndarray, "sets labels"]) -> Bool[np.ndarray, " sets"]:
        """Tell which sets break it."""
        count = sets[:, list(self.plus)].sum(axis=1) - sets[:, list(self.minus)].sum(axis=1, dtype=np.int64)
        return (count < self.low) | (count > self.high)


def satisfiable(limits: Iterable[Limit]) -> bool:
    """Tell whether some set of labels keeps limits.

    Example:
        >>> one_of = Limit((0, 1), (), 1, 1)
        >>> satisfiable([one_of]), satisfiable([one_of, Limit((0,), (), 0, 0), Limit((1,), (), 0, 0)])
        (True, False)
    """
    terms = [
        ([*((label, 1) for label in one.plus), *((label, -1) for label in one.minus)], one.low, one.high)
        for one in limits
    ]
    waiting: list[dict[int, int]] = [{}]  # partial sets: label -> 0 or 1
    while waiting:
        values = waiting.pop()
        if not _propagated(terms, values):
            continue
        label = _undecided(terms, values)
        if label is None:
            return True
        waiting += [{**values, label: 1}, {**values, label: 0}]
    return False


def _propagated(terms: list, values: dict[int, int]) -> bool:
    """Decide what limits force, in place; False where one cannot be kept any more."""
    changed = True
    while changed:
        changed = False
        for labels, low, high in terms:
            total = least = most = 0
            free = []
            for label, sign in labels:
                value = values.get(label)
                if value is None:
                    free.append((label, sign))
                    least, most = least + min(sign, 0), most + max(sign, 0)
                else:
                    total += sign * value
            if total + most < low or total + least > high:
                return False
            if free and (total + most == low or total + least == high):
                for label, sign in free:
                    values[label] = int((sign > 0) == (total + most == low))
                changed = True
    return True


def _undecided(terms: list, values: dict[int, int]) -> int | None:
    """Return a label to decide next; None where leaving all others out keeps every limit."""
    for labels, low, high in terms:
        if not low <= sum(sign * values.get(label, 0) for label, sign in labels) <= high:
            return next((label for label, _ in labels if label not in values), None)
    return None


def smallest_contradiction(rules: Sequence[Sequence[Limit]]) -> list[int] | None:
    """Return the positions of the fewest rules that no set keeps together; None where a set keeps all.

    Whatever contradicts must hold a rule of every set of rules whose removal leaves the others satisfiable. The
    fewest rules that do (a hitting set) are tried; where they can be kept, they show another such set.

    Source:
        Ignatiev, Previti, Liffiton, Marques-Silva, Smallest MUS Extraction with Minimal Hitting Set Dualization,
        CP 2015.
    """

    def kept(chosen: Iterable[int]) -> bool:
        return satisfiable(limit for i in chosen for limit in rules[i])

    everything = list(range(len(rules)))
    if kept(everything):
        return None
    removals: list[frozenset[int]] = []
    for _ in range(MOST_ROUNDS):
        tried = _smallest_hitting(removals)
        if not kept(tried):
            return sorted(tried)
        grown = list(tried)
        for i in everything:
            if i not in tried and kept([*grown, i]):
                grown.append(i)
        removals.append(frozenset(everything) - frozenset(grown))
    needed = everything
    for i in everything:
        if not kept(left := [j for j in needed if j != i]):
            needed = left
    return needed


def _smallest_hitting(sets: Sequence[frozenset[int]]) -> list[int]:
    """Return the fewest numbers of which every set holds one."""

    def within(chosen: list[int], size: int) -> list[int] | None:
        missed = min((one for one in sets if one.isdisjoint(chosen)), key=len, default=None)
        if missed is None:
            return chosen
        if size == 0:
            return None
        for i in sorted(missed):
            if (found := within([*chosen, i], size - 1)) is not None:
                return found
        return None

    for size in range(len(sets) + 1):
        if (found := within([], size)) is not None:
            return found
    raise AssertionError("a set without numbers cannot be hit")
