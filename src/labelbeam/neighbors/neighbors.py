"""Which labels or images are near a point: of the joint embedding space, or of an encoder's features.

Knows points and a measure; which space they are of is the caller's matter.

Source:
    Wang et al. 2016, Tables 5 and 6. The paper does not state its distance; cosine is the default here, the
    dot product is what the model itself uses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Float

from labelbeam.errors import InputError, unknown_name
from labelbeam.heads.label_model import TrainedLabelModel
from labelbeam.heads.registry import HEADS, require
from labelbeam.labels.vocabulary import Features
from labelbeam.runs.run_directory import Run

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


# Points of a run's labels and images in the space where the model compares them.


def label_points(run: Run) -> Float[np.ndarray, "labels embedding"]:
    """Return one point per label: rows of U_l, or the weights of a sigmoid head's last layer (a classifier's kNN).

    Raises:
        InputError: a nearest-neighbour head, which has neither.
    """
    require(run.config.head, "label_points", "points of labels")
    return run.head.label_points


def space_of(run: Run) -> TrainedLabelModel:
    """Return the label model of a run, which has a joint embedding space.

    Raises:
        InputError: another kind of head, which has none.
    """
    if not HEADS[run.config.head].searches:
        raise InputError(
            f"--image needs a joint embedding space; the head of this run is {run.config.head!r}. "
            "Train with --head cnn-rnn."
        )
    return cast(TrainedLabelModel, run.head)


def image_points(run: Run, features: Features) -> Float[np.ndarray, "images embedding"]:
    """Return the points h(U_I I) of images from their features, before any label.

    Raises:
        InputError: the head is no label model.
    """
    model = space_of(run)
    return model.h(model.image_vectors(features))


def label_set_point(run: Run, labels: Sequence[int]) -> Float[np.ndarray, " embedding"]:
    """Return the point of a set of labels: the mean of their embeddings, each at length 1.

    Raises:
        InputError: the head is no label model, or no label is given.
    """
    space_of(run)
    if not labels:
        raise InputError("a label set needs at least one label to have a point.")
    points = label_points(run)[list(labels)]
    mean: np.ndarray = (points / np.linalg.norm(points, axis=1, keepdims=True)).mean(axis=0)
    return mean


def query_points(
    run: Run, features: Float[np.ndarray, " features"], path: Sequence[int]
) -> Float[np.ndarray, "steps embedding"]:
    """Return how an image's query point x_t moves along the labels of a path.

    Args:
        path: label ids in path order.

    Returns:
        x_0 (no label), x_1 (after the first label), …: one point more than labels.

    Raises:
        InputError: the head is no label model.

    Source:
        Wang et al. 2016, eq. 4: x_t = h(U_o o(t) + U_I I).
    """
    return space_of(run).joint_points(features[None], np.array(path, dtype=np.int64))
