"""Points of a run's labels and images in the space where the model compares them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from labelbeam.errors import InputError
from labelbeam.features.extract import extract
from labelbeam.heads.label_model import LabelModelHead
from labelbeam.heads.nearest_neighbours import NearestNeighbours
from labelbeam.joints.run_directory import Run


def label_points(run: Run) -> Float[np.ndarray, "labels embedding"]:
    """Return one point per label: rows of U_l, or the weights of a sigmoid head's last layer (a classifier's kNN).

    Raises:
        InputError: a nearest-neighbour head, which has neither.
    """
    if isinstance(run.head, LabelModelHead):
        return run.head.U_l[:-1]
    if isinstance(run.head, NearestNeighbours):
        raise InputError("the head 'knn' compares images, not labels: it has no point per label.")
    return run.head.last


def image_point(run: Run, image: Path) -> Float[np.ndarray, " embedding"]:
    """Return an image's point h(U_I I), nothing said yet.

    Source:
        Wang et al. 2016, Table 6: the query has no recurrent term.

    Raises:
        InputError: the head is no label model, so that there is no joint space, or the image cannot be read.
    """
    space_of(run)
    return image_points(run, extract([image], run.encoder).values)[0]


def space_of(run: Run) -> LabelModelHead:
    """Return the label model of a run, which has a joint embedding space.

    Raises:
        InputError: another kind of head, which has none.
    """
    if not isinstance(run.head, LabelModelHead):
        raise InputError(
            f"--image needs a joint embedding space; the head of this run is {run.config.head!r}. "
            "Train with --head cnn-rnn."
        )
    return run.head


def image_points(
    run: Run, features: Float[np.ndarray, "images features"]
) -> Float[np.ndarray, "images embedding"]:
    """Return the points h(U_I I) of images from their features, nothing said yet.

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
    """Return how an image's query point x_t moves while the labels of a path are said.

    Args:
        run: of a label model.
        features: of the image.
        path: label ids in path order.

    Returns:
        x_0 (nothing said), x_1 (after the first label), …: one point more than labels.

    Raises:
        InputError: the head is no label model.

    Source:
        Wang et al. 2016, eq. 4: x_t = h(U_o o(t) + U_I I).
    """
    return space_of(run).joint_points(features[None], np.array(path, dtype=np.int64))
