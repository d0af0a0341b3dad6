"""Which labels or images are near a point: of the joint embedding space, or of an encoder's features.

Knows points and a measure; which space they are of is the caller's matter (`joints.embedding`).

Source:
    Wang et al. 2016, Tables 5 and 6. The paper does not state its distance; cosine is the default here, the
    dot product is what the model itself uses.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from labelbeam.errors import unknown_name

MEASURES = ("cosine", "dot")

AT_ONCE = 16_384
"""Points widened to single precision at a time."""


@dataclass(frozen=True)
class Neighbor:
    """A label or an image near the query.

    Attributes:
        row: of the points that were searched: a label's id, or an image's row.
        similarity: cosine in [-1, 1], or dot product.
    """

    row: int
    similarity: float


def nearest(
    query: Float[np.ndarray, " width"],
    points: Float[np.ndarray, "points width"],
    *,
    count: int,
    measure: str = "cosine",
    leave_out: int | None = None,
) -> list[Neighbor]:
    """Return the points that are most similar to a query.

    Args:
        query: a point of the same space: a label's embedding, an image's h(U_I I) or features, a label set's.
        points: one row per label (END left out) or image; half precision will do.
        count: how many neighbours.
        measure: `cosine` or `dot`.
        leave_out: the row that the query itself is.

    Returns:
        The most similar first; equal ones by row.

    Raises:
        InputError: the measure is unknown.

    Example:
        >>> points = np.array([[1.0, 0.0], [2.0, 0.1], [0.0, 1.0]])
        >>> [near.row for near in nearest(points[0], points, count=2, leave_out=0)]
        [1, 2]
    """
    similarity = similarities(query, points, measure=measure)
    if leave_out is not None:
        similarity[leave_out] = -np.inf
    order = np.argsort(-similarity, kind="stable")[: min(count, len(points) - (leave_out is not None))]
    return [Neighbor(int(row), float(similarity[row])) for row in order]


def similarities(
    query: Float[np.ndarray, " width"], points: Float[np.ndarray, "points width"], *, measure: str
) -> Float[np.ndarray, " points"]:
    """Return how similar each point is to a query; the cosine with a point of length 0 is 0.

    Raises:
        InputError: the measure is unknown.
    """
    if measure not in MEASURES:
        raise unknown_name("measure", measure, MEASURES)
    wide = np.float32 if points.dtype == np.float16 else points.dtype
    found = np.empty(len(points), dtype=np.result_type(wide, np.float32))
    own = query.astype(found.dtype)
    length = np.linalg.norm(own)
    for start in range(0, len(points), AT_ONCE):
        block = points[start : start + AT_ONCE].astype(wide, copy=False)
        close = block @ own
        if measure == "cosine":
            lengths = np.linalg.norm(block, axis=1) * length
            close = np.divide(close, lengths, out=np.zeros_like(close), where=lengths > 0)
        found[start : start + AT_ONCE] = close
    return found
