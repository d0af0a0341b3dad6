"""Splits of multi-label data in which every part has its share of every label.

Used by training (a validation part), by cross-validation and by `labelbeam data split`. Images that belong
together (one patient, one burst) can be kept together. Knows nothing of images; unknown labels count as not
present here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Int8

from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import PRESENT

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
    parts = _deal(units, shares, np.random.default_rng(seed))
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

    Attributes:
        sizes: images of each unit.
        labels: labels of the units' images, unit by unit, each as often as images have it.
        ends: int64 [units+1]; unit `u` has the labels from `ends[u]` up to `ends[u + 1]`.
        of_image: the unit of each image; None where they are the same.
    """

    sizes: np.ndarray
    labels: np.ndarray
    ends: np.ndarray
    of_image: np.ndarray | None

    def labels_of(self, picked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the labels of units, one after another, and the position in `picked` of the unit of each."""
        counts = np.diff(self.ends)[picked]
        owner = np.repeat(np.arange(len(picked)), counts)
        first = np.cumsum(counts) - counts
        return self.labels[self.ends[picked][owner] + np.arange(len(owner)) - first[owner]], owner


def _units(present: np.ndarray, groups: np.ndarray | None) -> _Units:
    units, labels = np.nonzero(present)
    if groups is None:
        sizes, of_image = np.ones(len(present), dtype=np.int64), None
    else:
        _, of_image, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        order = np.argsort(of_image[units], kind="stable")
        units, labels = of_image[units][order], labels[order]
    return _Units(sizes, labels, np.searchsorted(units, np.arange(len(sizes) + 1)), of_image)


def _deal(units: _Units, shares: list[float], rng: np.random.Generator) -> np.ndarray:
    """Return the part of each unit."""
    num_units, num_parts = len(units.sizes), len(shares)
    order = rng.permutation(num_units)
    tie = rng.random((num_units, num_parts))
    labels, owner = units.labels_of(order)
    # The units of each label in random order, and how many of their images have it.
    pairs, counts = np.unique(labels * num_units + owner, return_counts=True)
    holders, starts = (
        order[pairs % num_units],
        np.searchsorted(pairs, np.arange(labels.max(initial=-1) + 2) * num_units),
    )
    left = total = np.bincount(labels)
    dealt = np.zeros((len(total), num_parts), dtype=np.int64)
    sizes = units.sizes.tolist()
    wanted = [share * sum(sizes) for share in shares]
    part_of = np.full(num_units, -1)
    while left.any():
        rarest = int(np.where(left, left, left.max() + 1).argmin())
        at = slice(starts[rarest], starts[rarest + 1])
        is_open = part_of[holders[at]] < 0
        members, having = holders[at][is_open], counts[at][is_open]
        most_first = np.argsort(-having, kind="stable")  # ties stay in random order
        members, having = members[most_first], having[most_first]
        wishes = [
            share * total[rarest] - there for share, there in zip(shares, dealt[rarest].tolist(), strict=True)
        ]
        for unit, count in zip(members.tolist(), having.tolist(), strict=True):
            part = _neediest(wishes, wanted, tie[unit])
            part_of[unit] = part
            wishes[part] -= count
            wanted[part] -= sizes[unit]
        labels, owner = units.labels_of(members)
        now = np.bincount(labels * num_parts + part_of[members][owner], minlength=dealt.size).reshape(
            dealt.shape
        )
        dealt += now
        left = left - now.sum(axis=1)
    without = order[part_of[order] < 0]
    for unit in without[np.argsort(-units.sizes[without], kind="stable")].tolist():
        part = part_of[unit] = _neediest(wanted, tie[unit])
        wanted[part] -= sizes[unit]
    return part_of


def _moved(units: _Units, shares: list[float], part_of: np.ndarray) -> np.ndarray:
    """Return the parts after single groups were moved where that brings labels and sizes nearer to their shares.

    Dealing out never takes back; large groups make that matter. What falls is the sum over parts of squared
    surplus divided by the whole count, of labels and of images alike.
    """
    num_labels = 1 + int(units.labels.max(initial=-1))
    columns, counts = [], []
    for labels, size in zip(np.split(units.labels, units.ends[1:-1]), units.sizes.tolist(), strict=True):
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


def _neediest(wishes: list[float], *later: Sequence[float] | np.ndarray) -> int:
    """Return the part with the greatest wish; later wishes decide between equal ones."""
    greatest = max(wishes)
    if wishes.count(greatest) == 1:
        return wishes.index(greatest)
    by_part = list(zip(wishes, *later, strict=True))
    return by_part.index(max(by_part))


@dataclass(frozen=True)
class LabelBalance:
    """One label in one part, where they do not agree.

    Attributes:
        part: the part's name.
        images: images of the part that have it.
        wanted: images that would be its share.
        total: images of all parts that have it.
    """

    label: str
    part: str
    images: int
    wanted: float
    total: int

    @property
    def deviation(self) -> float:
        """Share of the label's images in this part minus the wanted share."""
        return (self.images - self.wanted) / self.total


@dataclass(frozen=True, eq=False)
class SplitBalance:
    """Parts of a split and the labels in them.

    Attributes:
        parts: names of the parts.
        fractions: wanted share of each part, sum 1.
        images: images of each part.
        positives: images that have a label, [parts labels].

    Raises:
        InputError: shapes that do not fit.
    """

    labels: tuple[str, ...]
    parts: tuple[str, ...]
    fractions: tuple[float, ...]
    images: tuple[int, ...]
    positives: Int[np.ndarray, "parts labels"]

    def __post_init__(self) -> None:
        num_parts = len(self.parts)
        shapes = (len(self.fractions), len(self.images), self.positives.shape)
        if shapes != (num_parts, num_parts, (num_parts, len(self.labels))):
            raise InputError(f"{num_parts} parts and {len(self.labels)} labels do not fit shapes {shapes}.")

    @property
    def deviations(self) -> Float[np.ndarray, "parts labels"]:
        """Share of each label's images that a part has, minus the part's wanted share; NaN without images."""
        total = self.positives.sum(axis=0)
        shares = self.positives / np.where(total, total, np.nan)
        return shares - np.array(self.fractions)[:, None]

    @property
    def off(self) -> Float[np.ndarray, "parts labels"]:
        """Images that a part has of a label, minus its share in images; below 1 it could hardly be better."""
        return self.positives - np.array(self.fractions)[:, None] * self.positives.sum(axis=0)

    @property
    def mean_deviation(self) -> float:
        """Mean absolute deviation of a label's share, over parts and labels that an image has; 0 without any."""
        return _or_zero(np.abs(self.deviations), np.mean)

    @property
    def max_deviation(self) -> float:
        """Largest absolute deviation of a label's share; 0 without any label that an image has."""
        return _or_zero(np.abs(self.deviations), np.max)

    def worst(self, count: int = 10) -> list[LabelBalance]:
        """Return the labels and parts that are the most images off, worst first, those within 1 left out."""
        off, totals = np.abs(self.off), self.positives.sum(axis=0)
        order = np.lexsort((np.arange(off.size), -off.ravel()))
        found = []
        for part, label in zip(*np.unravel_index(order[:count], off.shape), strict=True):
            if off[part, label] >= 1:
                wanted = self.fractions[part] * float(totals[label])
                images, total = int(self.positives[part, label]), int(totals[label])
                found.append(LabelBalance(self.labels[label], self.parts[part], images, wanted, total))
        return found

    def without(self) -> dict[str, list[str]]:
        """Return for each part the labels that some image has, but none of the part's."""
        somewhere = self.positives.sum(axis=0) > 0
        return {
            part: [self.labels[j] for j in np.flatnonzero(somewhere & (self.positives[p] == 0))]
            for p, part in enumerate(self.parts)
        }

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values; shares and deviations as fractions."""
        deviations = self.deviations
        return {
            "images": sum(self.images),
            "labels": len(self.labels),
            "mean_deviation": self.mean_deviation,
            "max_deviation": self.max_deviation,
            "parts": [
                {
                    "part": part,
                    "images": self.images[p],
                    "share": self.images[p] / sum(self.images),
                    "wanted_share": self.fractions[p],
                    "mean_deviation": _or_zero(np.abs(deviations[p]), np.mean),
                    "max_deviation": _or_zero(np.abs(deviations[p]), np.max),
                    "labels_without_images": self.without()[part],
                }
                for p, part in enumerate(self.parts)
            ],
            "per_label": {
                label: {
                    "images": int(self.positives[:, j].sum()),
                    "per_part": {part: int(self.positives[p, j]) for p, part in enumerate(self.parts)},
                }
                for j, label in enumerate(self.labels)
            },
            "worst": [{**vars(one), "deviation": one.deviation} for one in self.worst()],
        }


def balance_of(
    targets: Int8[np.ndarray, "images labels"],
    labels: Sequence[str],
    parts: Mapping[str, np.ndarray],
    fractions: Sequence[float],
) -> SplitBalance:
    """Count the labels in the parts of a split.

    Example:
        >>> targets = np.array([[1], [1], [1], [0]], dtype=np.int8)
        >>> balance = balance_of(targets, ["cat"], {"a": np.array([0, 1]), "b": np.array([2, 3])}, [0.5, 0.5])
        >>> balance.positives.tolist(), round(balance.max_deviation, 3)
        ([[2], [1]], 0.167)
    """
    positives = np.array([(targets[rows] == PRESENT).sum(axis=0) for rows in parts.values()], dtype=np.int64)
    images = tuple(len(rows) for rows in parts.values())
    return SplitBalance(tuple(labels), tuple(parts), tuple(map(float, fractions)), images, positives)


def _or_zero(values: np.ndarray, reduce: Any) -> float:
    finite = values[~np.isnan(values)]
    return float(reduce(finite)) if len(finite) else 0.0
