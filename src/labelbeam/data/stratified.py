"""Splits of multi-label data in which every part has its share of every label.

Used by training (a validation part), by cross-validation and by `labelbeam data split`. Images that belong
together (one patient, one burst) can be kept together. Knows nothing of images; unknown labels count as not
present here.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Int, Int8

from labelbeam.errors import InputError
from labelbeam.labels.targets import PRESENT

_ROUNDS = 20
"""Passes over the groups at most; in practice a few bring all there is."""


def split(
    targets: Int8[np.ndarray, "images labels"],
    fractions: Sequence[float],
    *,
    seed: int,
    groups: Int[np.ndarray, " images"] | None = None,
) -> list[np.ndarray]:
    """Split images into parts of given sizes, the positives of each label in the same proportions.

    The rarest label that still has unassigned images is dealt out first, each image to the part that lacks
    most of that label, then to the part that lacks most images, then at random. The sizes of the parts follow
    from the labels: they come out near the fractions, not exactly. Groups are dealt out as wholes, the one
    with most of the label first, because what is left over must fit the small gaps; then single ones are moved
    while that brings labels nearer to their shares.

    Args:
        targets: PRESENT (1), ABSENT (0), UNKNOWN (-1).
        fractions: share of each part, above 0, with sum 1.
        seed: of the random ties; the same seed gives the same parts.
        groups: numbers; images with the same number go to the same part. None: each image on its own.

    Returns:
        For each part the indices of its images, int64, ascending; every image is in exactly one.

    Raises:
        InputError: fewer than two fractions, one that is not above 0, a sum that is not 1, or more parts than
            images or groups.

    Source:
        Sechidis, Tsoumakas, Vlahavas, On the Stratification of Multi-Label Data, ECML PKDD 2011, algorithm 1.
        The groups are ours.

    Example:
        >>> targets = np.array([[1, 0]] * 4 + [[0, 1]] * 4, dtype=np.int8)
        >>> [int(targets[part, 0].sum()) for part in split(targets, (0.5, 0.5), seed=0)]
        [2, 2]
    """
    units = _units(targets == PRESENT, groups)
    shares = _check(len(units.sizes), fractions, of="images" if groups is None else "groups")
    parts = np.array(_deal(units, shares, np.random.default_rng(seed)), dtype=np.int64)
    if units.of_image is not None:
        parts = _moved(units, shares, parts)[units.of_image]
    return [np.flatnonzero(parts == part) for part in range(len(shares))]


def folds(
    targets: Int8[np.ndarray, "images labels"],
    num_folds: int,
    *,
    seed: int,
    groups: Int[np.ndarray, " images"] | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return stratified folds for cross-validation.

    Args:
        targets: PRESENT (1), ABSENT (0), UNKNOWN (-1).
        num_folds: at least 2.
        seed: as in `split`.
        groups: as in `split`.

    Returns:
        For each fold the indices of its training and of its held-out images, int64, ascending.

    Raises:
        InputError: fewer than 2 folds, or more than images or groups.

    Example:
        >>> targets = np.array([[1, 0]] * 4 + [[0, 1]] * 4, dtype=np.int8)
        >>> [(len(train), len(held_out)) for train, held_out in folds(targets, 4, seed=0)]
        [(6, 2), (6, 2), (6, 2), (6, 2)]
    """
    if num_folds < 2:
        raise InputError(f"cross-validation needs at least 2 folds, given {num_folds}.")
    parts = split(targets, [1 / num_folds] * num_folds, seed=seed, groups=groups)
    everything = np.arange(len(targets))
    return [(np.setdiff1d(everything, part, assume_unique=True), part) for part in parts]


@dataclass(frozen=True)
class _Units:
    """What is dealt out: images, or groups of them.

    Plain lists: single elements of NumPy arrays cost ten times as much to reach.

    Attributes:
        sizes: images of each unit.
        labels: for each unit the labels of its images, each as often as images have it.
        of_image: the unit of each image; None where they are the same.
    """

    sizes: list[int]
    labels: list[list[int]]
    of_image: np.ndarray | None


def _units(present: np.ndarray, groups: np.ndarray | None) -> _Units:
    units, labels = np.nonzero(present)
    if groups is None:
        sizes, of_image = np.ones(len(present), dtype=np.int64), None
    else:
        _, of_image, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        order = np.argsort(of_image[units], kind="stable")
        units, labels = of_image[units][order], labels[order]
    ends = np.searchsorted(units, np.arange(len(sizes) + 1)).tolist()
    flat = labels.tolist()
    return _Units(sizes.tolist(), [flat[start:stop] for start, stop in pairwise(ends)], of_image)


def _deal(units: _Units, shares: list[float], rng: np.random.Generator) -> list[int]:
    """Return the part of each unit."""
    order = rng.permutation(len(units.sizes)).tolist()
    tie = rng.random((len(units.sizes), len(shares))).tolist()
    holders: dict[int, dict[int, int]] = defaultdict(dict)
    for unit in order:
        for label in units.labels[unit]:
            counts = holders[label]
            counts[unit] = counts.get(unit, 0) + 1
    left = {label: sum(counts.values()) for label, counts in holders.items()}
    wanted_of_label = {label: [share * count for share in shares] for label, count in left.items()}
    wanted = [share * sum(units.sizes) for share in shares]
    part_of = [-1] * len(units.sizes)
    while left:
        rarest = min(left, key=lambda label: (left[label], label))
        counts, wishes = holders[rarest], wanted_of_label[rarest]
        for unit in sorted(counts, key=counts.__getitem__, reverse=True):  # stable: ties stay in random order
            if part_of[unit] >= 0:
                continue
            part = part_of[unit] = _neediest(wishes, wanted, tie[unit])
            wanted[part] -= units.sizes[unit]
            for label in units.labels[unit]:
                left[label] -= 1
                wanted_of_label[label][part] -= 1
        left = {label: count for label, count in left.items() if count}
    for unit in sorted(order, key=units.sizes.__getitem__, reverse=True):
        if part_of[unit] < 0:
            part = part_of[unit] = _neediest(wanted, tie[unit])
            wanted[part] -= units.sizes[unit]
    return part_of


def _moved(units: _Units, shares: list[float], part_of: np.ndarray) -> np.ndarray:
    """Return the parts after single groups were moved where that brings labels and sizes nearer to their shares.

    Dealing out never takes back; large groups make that matter. What falls is the sum over parts of squared
    surplus divided by the whole count, of labels and of images alike.
    """
    num_labels = 1 + max((max(labels) for labels in units.labels if labels), default=-1)
    columns, counts = [], []
    for labels, size in zip(units.labels, units.sizes, strict=True):
        column, count = np.unique(
            [*labels, *[num_labels] * size], return_counts=True
        )  # the last counts images
        columns.append(column)
        counts.append(count)
    held = np.zeros((len(shares), num_labels + 1))
    for unit, part in enumerate(part_of):
        held[part, columns[unit]] += counts[unit]
    totals = np.maximum(held.sum(axis=0), 1)
    surplus = held - np.array(shares)[:, None] * held.sum(axis=0)
    part_of = part_of.copy()
    for _ in range(_ROUNDS):
        moved = 0
        for unit, part in enumerate(part_of):
            column, count = columns[unit], counts[unit]
            weight = count / totals[column]
            # (s + c)^2 - s^2 = 2sc + c^2 for the part it goes to, (s - c)^2 - s^2 for the part it leaves.
            gains = (2 * surplus[:, column] + count) @ weight
            gains += (count - 2 * surplus[part, column]) @ weight
            gains[part] = 0
            best = int(gains.argmin())
            if gains[best] < -1e-9:
                surplus[part, column] -= count
                surplus[best, column] += count
                part_of[unit] = best
                moved += 1
        if not moved:
            break
    return part_of


def _check(num_units: int, fractions: Sequence[float], *, of: str) -> list[float]:
    shares = [float(fraction) for fraction in fractions]
    if len(shares) < 2 or min(shares) <= 0 or not abs(sum(shares) - 1) <= 1e-6:
        raise InputError(f"fractions must be at least two numbers above 0 with sum 1; given {shares}.")
    if len(shares) > num_units:
        raise InputError(f"{num_units} {of} cannot be split into {len(shares)} parts. Use fewer parts.")
    return shares


def _neediest(*wishes: list[float]) -> int:
    """Return the part with the greatest wish; later wishes decide between equal ones."""
    by_part = list(zip(*wishes, strict=True))
    return by_part.index(max(by_part))
