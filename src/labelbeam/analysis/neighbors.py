"""Which labels are near each other in the joint embedding space, and which are near an image.

Source:
    Wang et al. 2016, Tables 5 and 6. The paper does not state its distance; cosine is the default here, the
    dot product is what the model itself uses.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from labelbeam.errors import unknown_name

MEASURES = ("cosine", "dot")


@dataclass(frozen=True)
class Neighbor:
    """A label near the query.

    Attributes:
        label: id of the label.
        similarity: cosine in [-1, 1], or dot product.
    """

    label: int
    similarity: float


def nearest_labels(
    query: Float[np.ndarray, " embedding"],
    embeddings: Float[np.ndarray, "labels embedding"],
    *,
    count: int,
    measure: str = "cosine",
    leave_out: int | None = None,
) -> list[Neighbor]:
    """Return the labels whose embeddings are most similar to a query point.

    Args:
        query: a label's embedding, or an image's point h(U_I I).
        embeddings: one row per label, END left out.
        count: how many neighbours.
        measure: `cosine` or `dot`.
        leave_out: id of the label that the query is.

    Returns:
        The most similar first; equal ones by id.

    Raises:
        InputError: the measure is unknown.

    Example:
        >>> points = np.array([[1.0, 0.0], [2.0, 0.1], [0.0, 1.0]])
        >>> [n.label for n in nearest_labels(points[0], points, count=2, leave_out=0)]
        [1, 2]
    """
    if measure not in MEASURES:
        raise unknown_name("measure", measure, MEASURES)
    similarity = embeddings @ query
    if measure == "cosine":
        lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(query)
        similarity = np.divide(similarity, lengths, out=np.zeros_like(similarity), where=lengths > 0)
    order = np.argsort(-similarity, kind="stable")
    return [Neighbor(int(i), float(similarity[i])) for i in order if i != leave_out][:count]
