"""Which pairs of labels look alike: to the model, by its label vectors, and on the images that have them.

Of labels that exclude each other these are the near-synonyms: annotators choose one of the two names for one thing.
Knows points, features and matrices; knows no names and no models.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Int8

from labelbeam.labels.targets import PRESENT

LEAST_IMAGES = 5
"""Images of a label from which on its mean feature says something."""


@dataclass(frozen=True, eq=False)
class LookAlikes:
    """Pairs of labels that look alike.

    Attributes:
        pairs: int64 [pairs 2], label ids, the most alike images first.
        by_vectors: cosine of the two label vectors; NaN where the model has none.
        by_images: cosine of the two mean features, the mean of all images taken off.
        least_vectors: what `by_vectors` had to reach; NaN likewise.
        least_images: what `by_images` had to reach.
    """

    pairs: Int[np.ndarray, "pairs 2"]
    by_vectors: Float[np.ndarray, " pairs"]
    by_images: Float[np.ndarray, " pairs"]
    least_vectors: float
    least_images: float


def look_alikes(
    pairs: Int[np.ndarray, "pairs 2"],
    *,
    points: Float[np.ndarray, "labels width"] | None,
    features: Float[np.ndarray, "images features"],
    targets: Int8[np.ndarray, "images labels"],
    share: float = 0.1,
) -> LookAlikes:
    """Return those of some pairs that are more alike than nearly all pairs of labels, both ways.

    Args:
        pairs: candidates, such as labels that exclude each other.
        points: a vector per label, of the model; None: it has none, images alone decide.
        features: of images.
        targets: their labels: 1 present, 0 absent, -1 unknown.
        share: of all pairs of labels whose similarity is defined, that may be as similar.

    Example:
        >>> points = np.array([[1.0, 0.1], [1.0, 0.0], [-1.0, 0.2], [-1.0, -3.0]])
        >>> targets = np.repeat(np.eye(4, dtype=np.int8), 5, axis=0)
        >>> found = look_alikes(
        ...     np.array([[0, 1], [0, 2]]), points=points, features=targets @ points, targets=targets, share=0.2
        ... )
        >>> found.pairs.tolist()
        [[0, 1]]
    """
    present = (targets == PRESENT).astype(np.float32)  # [images labels]
    counts = present.sum(axis=0)
    centred = features.astype(np.float32) - features.mean(axis=0, dtype=np.float64).astype(np.float32)
    means = (present.T @ centred) / np.maximum(counts, 1)[:, None]  # [labels features]
    means[counts < LEAST_IMAGES] = np.nan
    images, least_images = _cosines(means, share)
    vectors, least_vectors = np.full(images.shape, np.nan), np.nan
    if points is not None:
        vectors, least_vectors = _cosines(points.astype(np.float32), share)
    a, b = pairs[:, 0], pairs[:, 1]
    alike = images[a, b] >= least_images  # a NaN reaches nothing
    if points is not None:
        alike &= vectors[a, b] >= least_vectors
    chosen = np.flatnonzero(alike)
    chosen = chosen[np.argsort(-images[a, b][chosen], kind="stable")]
    a, b = a[chosen], b[chosen]
    return LookAlikes(pairs[chosen], vectors[a, b], images[a, b], float(least_vectors), float(least_images))


def _cosines(
    points: Float[np.ndarray, "labels width"], share: float
) -> tuple[Float[np.ndarray, "labels labels"], float]:
    """Return the cosines of every two points, and what the most similar share of the pairs reaches."""
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    directions = points / np.where(lengths > 0, lengths, np.nan)
    cosines = (directions @ directions.T).astype(np.float64)
    every = cosines[np.triu_indices(len(points), 1)]
    defined = every[~np.isnan(every)]
    return cosines, float(np.quantile(defined, 1 - share)) if len(defined) else np.nan
