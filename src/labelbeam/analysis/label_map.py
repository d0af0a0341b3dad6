"""The label space on paper: label embeddings in two dimensions, and the way of a query point among them.

By principal components, whose signs are fixed, so that the same run always gives the same picture. Two dimensions
of sixty-four: `explained` says how much of the spread they show. Knows points; knows no names and no model.

Source:
    Wang et al. 2016, Figure 2: the query point is the image's point plus what the recurrence adds; the label whose
    embedding suits it best is said next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from labelbeam.analysis.neighbors import MEASURES
from labelbeam.errors import InputError, unknown_name


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Label embeddings in the plane of their first two principal components.

    Attributes:
        points: float64 [labels 2].
        measure: `cosine` (vectors are taken at length 1, as neighbours by cosine see them) or `dot` (as they are).
        center: what is subtracted before projecting.
        axes: float64 [2 embedding], orthonormal.
        explained: share of the labels' spread (variance) along each axis.
    """

    points: Float[np.ndarray, "labels 2"]
    measure: str
    center: Float[np.ndarray, " embedding"]
    axes: Float[np.ndarray, "2 embedding"]
    explained: tuple[float, float]

    def place(self, vectors: Float[np.ndarray, "points embedding"]) -> Float[np.ndarray, "points 2"]:
        """Return where further points of the embedding space lie on the map."""
        placed: np.ndarray = (_directions(vectors, self.measure) - self.center) @ self.axes.T
        return placed

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the map as plain values."""
        return {
            "measure": self.measure,
            "explained": [round(share, 6) for share in self.explained],
            "labels": [
                {"label": name, "x": round(float(x), 6), "y": round(float(y), 6)}
                for name, (x, y) in zip(names, self.points, strict=True)
            ],
        }


def label_map(embeddings: Float[np.ndarray, "labels embedding"], *, measure: str = "cosine") -> LabelMap:
    """Lay label embeddings out in a plane.

    Args:
        embeddings: one row per label, END left out.
        measure: `cosine` or `dot`; see `LabelMap`.

    Raises:
        InputError: an unknown measure, fewer than 2 labels, or embeddings of fewer than 2 numbers.

    Source:
        Principal components (Pearson 1901). An axis points to where the label farthest out along it lies.

    Example:
        >>> found = label_map(np.array([[0.0, 1.0], [0.0, -3.0], [1.0, 2.0]]), measure="dot")
        >>> found.points.round(1).tolist(), round(sum(found.explained), 6)
        ([[-0.9, 0.5], [3.0, -0.1], [-2.1, -0.4]], 1.0)
    """
    if measure not in MEASURES:
        raise unknown_name("measure", measure, MEASURES)
    if min(embeddings.shape) < 2:
        raise InputError(
            f"a map needs at least 2 labels and embeddings of at least 2 numbers, given {embeddings.shape}."
        )
    vectors = _directions(embeddings, measure)
    center = vectors.mean(axis=0)
    _, sizes, axes = np.linalg.svd(vectors - center, full_matrices=False)
    axes = axes[:2]
    points = (vectors - center) @ axes.T
    # The label farthest out decides the sign; of several within rounding, the first.
    reach = np.abs(points)
    farthest = (reach >= reach.max(axis=0) * (1 - 1e-6)).argmax(axis=0)
    signs = np.where(points[farthest, [0, 1]] < 0, -1.0, 1.0)
    total = float((sizes**2).sum()) or 1.0
    return LabelMap(
        points * signs,
        measure,
        center,
        axes * signs[:, None],
        (float(sizes[0] ** 2 / total), float(sizes[1] ** 2 / total)),
    )


@dataclass(frozen=True, eq=False)
class QueryWay:
    """How an image's query point moves while its labels are said.

    Attributes:
        said: label ids in path order; after the last one END is said.
        points: float64 [steps 2], before the first label, after it, …; one more than labels.
        chosen: probability of what was said at each step, END's last.
    """

    said: tuple[int, ...]
    points: Float[np.ndarray, "steps 2"]
    chosen: Float[np.ndarray, " steps"]

    def __post_init__(self) -> None:
        if not len(self.said) + 1 == len(self.points) == len(self.chosen):
            raise InputError("a way has one point and one probability more than labels.")

    def to_json(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Return the way as plain values, step by step."""
        said = [*(names[label] for label in self.said), None]
        return [
            {
                "x": round(float(x), 6),
                "y": round(float(y), 6),
                "says": label,
                "probability": round(float(p), 6),
            }
            for (x, y), label, p in zip(self.points, said, self.chosen, strict=True)
        ]


def _directions(vectors: Float[np.ndarray, "points embedding"], measure: str) -> np.ndarray:
    wide = vectors.astype(np.float64)
    if measure == "dot":
        return wide
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0)
