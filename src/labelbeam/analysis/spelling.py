"""Names that differ in a letter or two: candidates for misspellings.

Short names are left alone (cat and car are two things), and so are names whose digits differ (route 1, route 2).
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

ONE_FROM = 5
"""Letters from which a letter too many, too few, or swapped with its neighbour is reported."""

OTHER_FROM = 7
"""Letters from which a letter in the place of another is: in short names it makes another word (horse, house)."""

TWO_FROM = 9
"""Letters from which two such slips are; from `SAME_FROM` on where both names have the same letters."""

SAME_FROM = 6

TOO_LONG = 60
"""Longer names are sentences; they are not compared."""


def similar_names(names: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """Yield pairs of names that differ in a letter or two, without comparing all pairs.

    Args:
        names: folded names; equal ones are not reported.

    Yields:
        Positions (first, second) and the distance: letters inserted, deleted, replaced, or swapped with their
        neighbour.

    Source:
        Candidates share a form with up to two letters deleted (symmetric deletion; Mor and Fraenkel 1982).

    Example:
        >>> list(similar_names(["bicycle", "bycicle", "bicyle", "cat", "car"]))
        [(0, 1, 2), (0, 2, 1)]
    """
    by_form: dict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(names):
        if ONE_FROM <= len(name) <= TOO_LONG:
            for form in _deletions(name, 2 if len(name) >= SAME_FROM else 1):
                by_form[form].append(i)
    candidates = {pair for group in by_form.values() if len(group) > 1 for pair in combinations(group, 2)}
    for i, j in sorted(candidates):
        distance = edit_distance(names[i], names[j])
        if 0 < distance <= _allowed(names[i], names[j]) and _digits(names[i]) == _digits(names[j]):
            yield i, j, distance


def _allowed(a: str, b: str) -> int:
    """Return the largest distance at which two names are reported."""
    same_letters = sorted(a) == sorted(b)
    if max(len(a), len(b)) >= TWO_FROM or (same_letters and len(a) >= SAME_FROM):
        return 2
    return 1 if len(a) != len(b) or same_letters or len(a) >= OTHER_FROM else 0


def _deletions(name: str, most: int) -> set[str]:
    forms = {name}
    for _ in range(most):
        forms |= {form[:i] + form[i + 1 :] for form in forms for i in range(len(form))}
    return forms


def _digits(name: str) -> list[str]:
    return re.findall(r"\d+", name)


def edit_distance(a: str, b: str) -> int:
    """Return the number of letters inserted, deleted, replaced, or swapped with their neighbour.

    Source:
        Damerau 1964; each part of a text is changed once at most ("optimal string alignment").

    Example:
        >>> edit_distance("bicycle", "bycicle"), edit_distance("horse", "hrose")
        (2, 1)
    """
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, letter in enumerate(a, start=1):
        row = [i]
        for j, other in enumerate(b, start=1):
            cost = min(last[j] + 1, row[-1] + 1, last[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == b[j - 2] and a[i - 2] == other:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return last[-1]
