"""The label space of a run: neighbours of labels, of images and of label sets, and its map in two dimensions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from labelbeam.errors import InputError, unknown_name
from labelbeam.labels.vocabulary import Features
from labelbeam.neighbors.neighbors import (
    MEASURES,
    image_points,
    label_points,
    label_set_point,
    nearest,
    query_points,
    space_of,
)
from labelbeam.predict.answers import Answerer
from labelbeam.predict.label_model import label_model_answerer
from labelbeam.runs.build import build_answerer
from labelbeam.runs.run_directory import Run
from labelbeam.runs.tagger import Tagger

# By principal components, whose signs are fixed, so that the same run always gives the same picture. Two dimensions of
# sixty-four: `explained` says how much of the spread they show.
#
# Source: Wang et al. 2016, Figure 2: the query point is the image's point plus what the recurrence adds; the label
# whose embedding suits it best comes next.


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
    """How an image's query point moves while its path grows.

    Attributes:
        labels: label ids in path order; END follows the last one.
        points: float64 [steps 2], before the first label, after it, …; one more than labels.
        chosen: probability of each of them at its step, END's last.
    """

    labels: tuple[int, ...]
    points: Float[np.ndarray, "steps 2"]
    chosen: Float[np.ndarray, " steps"]

    def __post_init__(self) -> None:
        if not len(self.labels) + 1 == len(self.points) == len(self.chosen):
            raise InputError("a way has one point and one probability more than labels.")

    def to_json(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Return the way as plain values, step by step."""
        outcomes = [*(names[label] for label in self.labels), None]
        return [
            {
                "x": round(float(x), 6),
                "y": round(float(y), 6),
                "says": label,
                "probability": round(float(p), 6),
            }
            for (x, y), label, p in zip(self.points, outcomes, self.chosen, strict=True)
        ]


def _directions(vectors: Float[np.ndarray, "points embedding"], measure: str) -> np.ndarray:
    wide = vectors.astype(np.float64)
    if measure == "dot":
        return wide
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0)


SPACES = ("features", "joint")
"""Where images are compared: as the encoder sees them, or as the label model does."""


@dataclass(frozen=True)
class Named:
    """Something near a query, or high on a list, by name.

    Attributes:
        name: label or image.
        value: similarity, or score.
    """

    name: str
    value: float


@dataclass(frozen=True)
class ImageNeighbors:
    """The labels nearest to an image by its vector alone, beside a classifier's best.

    Attributes:
        near: labels by similarity to h(U_I I), before any label.
        beside: the classifier's labels by score; None where there is none.
        beside_head: the classifier's head; empty where there is none.
        reason: why there is no classifier.

    Source:
        Wang et al. 2016, Table 6.
    """

    near: tuple[Named, ...]
    beside: tuple[Named, ...] | None
    beside_head: str = ""
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        values: dict[str, Any] = {"near": _entries(self.near, "label", "similarity")}
        values["beside"] = None if self.beside is None else _entries(self.beside, "label", "score")
        values |= {"beside_head": self.beside_head} if self.beside_head else {}
        return values | ({"reason": self.reason} if self.reason else {})


def label_neighbors(
    run: Run, labels: Sequence[str] = (), *, count: int = 5, measure: str = "cosine"
) -> dict[str, tuple[Named, ...]]:
    """Return the nearest labels of labels.

    Args:
        run: of a head that has a point per label.
        labels: names; none: every label of the run.
        measure: `cosine` or `dot`.

    Raises:
        InputError: an unknown label or measure, or a head without label points.

    Source:
        Wang et al. 2016, Table 5.
    """
    names, points = run.vocabulary.names, label_points(run)
    found = {}
    for i in [run.vocabulary.id_of(label) for label in labels] or range(len(names)):
        near = nearest(points[i], points, count=count, measure=measure, leave_out=i)
        found[names[i]] = tuple(Named(names[one.row], one.similarity) for one in near)
    return found


def image_neighbors(
    run: Run,
    features: Float[np.ndarray, " features"],
    *,
    count: int = 5,
    measure: str = "cosine",
    beside: Run | None = None,
) -> ImageNeighbors:
    """Return the labels near an image, beside the best labels of a classifier on the same features.

    Args:
        measure: `cosine` or `dot`.
        beside: a run with the same encoder; the paper's is of `--head softmax`.

    Raises:
        InputError: `run` has no joint space, an unknown measure, or `beside` has another encoder.
    """
    names = run.vocabulary.names
    query = image_points(run, features[None])[0]
    near = nearest(query, label_points(run), count=count, measure=measure)
    named = tuple(Named(names[one.row], one.similarity) for one in near)
    if beside is None:
        return ImageNeighbors(
            named,
            None,
            reason="no classifier to compare with: train one with --head softmax on the same data.",
        )
    same = [(one.encoder.source, one.encoder.num_features) for one in (run, beside)]
    if same[0] != same[1]:
        raise InputError(
            "the two runs must have the same encoder and transform, so that both see the same features; these "
            f"differ: {run.encoder.config} and {beside.encoder.config}. Train both with the same --encoder."
        )
    scores = build_answerer(beside.head, beside.config).answer(features[None]).scores[0]
    best = np.argsort(-scores, kind="stable")[:count]
    others = tuple(Named(beside.vocabulary.names[i], float(scores[i])) for i in best)
    return ImageNeighbors(named, others, beside.config.head)


def images_near(
    run: Run,
    images: Sequence[str],
    features: Features,
    *,
    image: Float[np.ndarray, " features"] | None = None,
    labels: Sequence[str] = (),
    space: str | None = None,
    count: int = 5,
    measure: str = "cosine",
    leave_out: int | None = None,
) -> tuple[Named, ...]:
    """Return the images nearest to an image or to a set of labels.

    Args:
        images: names of the images to choose from.
        features: theirs, as the run's encoder gives them (cached, half precision will do).
        image: features of the query image; one of `image` and `labels` is given.
        labels: names of the query's label set; compared in the joint space.
        space: `features` (default for an image) or `joint`.
        measure: `cosine` or `dot`.
        leave_out: row of the query image itself, where it is among them.

    Raises:
        InputError: not exactly one query, an unknown label, space or measure, a label set asked for among features,
            or no joint space where it is needed.
    """
    if (image is None) == (not labels):
        raise InputError("give either an image or labels to find images near it; exactly one of the two.")
    space = space or ("joint" if labels else "features")
    if space not in SPACES:
        raise unknown_name("space", space, SPACES)
    if labels and space == "features":
        raise InputError(
            "labels have no point among an encoder's features; leave out --space, or give joint."
        )
    if labels:
        query = label_set_point(run, [run.vocabulary.id_of(label) for label in labels])
    elif image is not None:
        query = image.astype(np.float32) if space == "features" else image_points(run, image[None])[0]
    points = features if space == "features" else image_points(run, features)
    near = nearest(query, points, count=count, measure=measure, leave_out=leave_out)
    return tuple(Named(images[one.row], one.similarity) for one in near)


@dataclass(frozen=True)
class LabelSpace:
    """The map of a run's labels and, for an image, the way of its query point.

    Attributes:
        map: labels in the plane.
        counts: training images of each.
        way: the image's; None without one.
    """

    map: LabelMap
    names: tuple[str, ...]
    counts: tuple[int, ...]
    way: QueryWay | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values: every number of the picture."""
        values = self.map.to_json(self.names)
        for row, count in zip(values["labels"], self.counts, strict=True):
            row["training_images"] = count
        return values | {"way": None if self.way is None else self.way.to_json(self.names)}


def label_space(
    tagger: Tagger, features: Float[np.ndarray, " features"] | None = None, *, measure: str = "cosine"
) -> LabelSpace:
    """Lay a run's labels out in a plane, with the way of an image's query point.

    Args:
        features: of an image; its most probable path is followed.
        measure: `cosine` (directions) or `dot` (as the model sees them; query points may lie far outside).

    Raises:
        InputError: a head without label points, an image for a head without a joint space, an unknown measure, or
            fewer than two labels.

    Source:
        Wang et al. 2016, Figure 2.
    """
    run = tagger.run
    plane = label_map(label_points(run), measure=measure)
    way = None
    if features is not None:
        space_of(run)
        path = tuple(tagger.answer(features[None]).paths[0])
        points = plane.place(query_points(run, features, path))
        way = QueryWay(path, points, _chosen(tagger.answerer, features, path))
    return LabelSpace(plane, run.vocabulary.names, run.counts, way)


def _chosen(
    answerer: Answerer, features: Float[np.ndarray, " features"], path: tuple[int, ...]
) -> Float[np.ndarray, " steps"]:
    """Return the probability of each label of a path at its step, END's last."""
    searched = label_model_answerer(answerer)
    if searched is None:
        raise InputError("only a label model says labels step by step.")
    trie, row = searched.trie, searched.step.image_rows(features[None])
    trie.start_batch()
    lengths = np.arange(len(path) + 1)
    prefixes = np.tile(np.array(path, dtype=np.int32), (len(lengths), 1)).reshape(len(lengths), len(path))
    nodes = trie.find(prefixes, lengths)
    log_probs = trie.log_probs(nodes, np.repeat(row, len(lengths), axis=0))
    chosen: np.ndarray = np.exp(log_probs[lengths, [*path, trie.num_labels]].astype(np.float64))
    return chosen


def _entries(entries: Sequence[Named], kind: str, number: str) -> list[dict[str, Any]]:
    return [{kind: one.name, number: round(one.value, 6)} for one in entries]
