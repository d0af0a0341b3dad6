"""How well the parts of a split hold their shares of each label.

From targets and parts to numbers, for people and as JSON. Knows nothing of how the parts were made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Int8

from labelbeam.errors import InputError
from labelbeam.labels.targets import PRESENT


@dataclass(frozen=True)
class LabelBalance:
    """One label in one part, where they do not agree.

    Attributes:
        label: its name.
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
        labels: label names.
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

    Args:
        targets: PRESENT (1), ABSENT (0), UNKNOWN (-1).
        labels: names of the columns.
        parts: name to indices of its images.
        fractions: wanted share of each part.

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
    known = values[~np.isnan(values)]
    return float(reduce(known)) if len(known) else 0.0
