"""Recall against the size of the objects: the larger a label's largest object, the easier it should be found.

Source:
    Wang et al. 2016, Figure 8: recall rises with the area of the bounding boxes. There by label; here also by
    object, which does not mix up size with what is large.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from labelbeam.analysis.shares import Shares, shares_of
from labelbeam.errors import InputError
from labelbeam.labels.targets import PRESENT

EDGES = (0.0, 0.01, 0.04, 0.1, 0.25, 0.5, 1.0)
"""Shares of the image's area between which objects are counted together."""


@dataclass(frozen=True, eq=False)
class SizeRecall:
    """Recall of present labels by the area of their largest object.

    Attributes:
        edges: shares of the image's area, rising; bin i is (edges[i], edges[i + 1]].
        present: labels of images whose largest object is in the bin.
        found: of these, decided.
        recall: found / present.
        mean_area: by label, the mean area of its largest object over images that have it; NaN where none is known.
    """

    edges: tuple[float, ...]
    present: Int[np.ndarray, " bins"]
    found: Int[np.ndarray, " bins"]
    recall: Shares
    mean_area: Float[np.ndarray, " labels"]

    def to_json(self) -> list[dict[str, Any]]:
        """Return the bins as plain values."""
        return [
            {
                "area_above": self.edges[i],
                "area_at_most": self.edges[i + 1],
                "present": int(self.present[i]),
                "found": int(self.found[i]),
                "recall": self.recall.told(i),
            }
            for i in range(len(self.present))
        ]


def recall_by_size(
    truth: Int8[np.ndarray, "images labels"],
    decided: Bool[np.ndarray, "rows columns"],
    areas: Float[np.ndarray, "boxes columns"],
    *,
    edges: tuple[float, ...] = EDGES,
) -> SizeRecall:
    """Count found labels by the size of their largest object.

    Args:
        truth: 1 present, 0 absent, -1 unknown.
        decided: the decided sets.
        areas: area of the largest object as a share of the image, NaN where there is no box (`formats.object_areas`).
        edges: of the bins, rising, from 0.

    Raises:
        InputError: matrices of different shapes, or edges that do not rise.

    Example:
        >>> truth, decided = np.array([[1], [1]], dtype=np.int8), np.array([[True], [False]])
        >>> found = recall_by_size(truth, decided, np.array([[0.6], [0.005]]))
        >>> found.recall.value[[0, -1]].tolist(), round(float(found.mean_area[0]), 4)
        ([0.0, 1.0], 0.3025)
    """
    if not truth.shape == decided.shape == areas.shape:
        raise InputError(
            f"truth {truth.shape}, decided sets {decided.shape} and areas {areas.shape} must be of the same shape."
        )
    if len(edges) < 2 or any(low >= high for low, high in pairwise(edges)):
        raise InputError(f"the edges of the bins must rise, given {edges}.")
    counted = (truth == PRESENT) & ~np.isnan(areas)
    bins = np.clip(np.digitize(areas[counted], edges, right=True) - 1, 0, len(edges) - 2)
    present = np.bincount(bins, minlength=len(edges) - 1)
    found = np.bincount(bins, weights=decided[counted], minlength=len(edges) - 1).astype(np.int64)
    sums = np.where(counted, np.nan_to_num(areas), 0.0).sum(axis=0, dtype=np.float64)
    images = counted.sum(axis=0)
    mean = np.divide(sums, images, out=np.full(len(sums), np.nan), where=images > 0)
    return SizeRecall(edges, present, found, shares_of(found, present), mean)
