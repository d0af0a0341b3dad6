"""Mistakes of a run: labels emitted for others, labels that look alike, the worst images; what failing goes with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from labelbeam.data.dataset import Dataset
from labelbeam.errors import InputError
from labelbeam.formats.registry import parse_spec
from labelbeam.inspect.cooccurrence import ROWS, holm, two_sided_log_p
from labelbeam.labels.vocabulary import (
    ABSENT,
    PRESENT,
    ByLabel,
    Features,
    LabelSets,
    PerImage,
    PerLabel,
    Targets,
)
from labelbeam.predict.decision import Decision
from labelbeam.report.label_results import (
    Association,
    LabelResults,
    SizeRecall,
    kind_of,
    label_results,
    predictability,
    rank_association,
    recall_by_size,
    results_by_kind,
)
from labelbeam.runs.evaluation import Evaluation

# A confusion of x with y: an image has x, which was not decided, and has not y, which was.


ALPHA = 0.05
"""A corrected p below it is beyond chance."""


@dataclass(frozen=True)
class Confusion:
    """A label missed with another one emitted in error.

    Attributes:
        missed: id of the label that the images have.
        wrong: id of the label that was decided instead.
        images: how many images.
        expected: how many by chance, given how often each of the two mistakes is made.
        log_p_adjusted: natural logarithm of Fisher's p, Holm-corrected for all pairs that were tested.
    """

    missed: int
    wrong: int
    images: int
    expected: float
    log_p_adjusted: float

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "missed": names[self.missed],
            "wrong": names[self.wrong],
            "images": self.images,
            "expected": round(self.expected, 4),
            "log10_p_adjusted": round(self.log_p_adjusted / float(np.log(10)), 3) + 0.0,
        }


def confusions(truth: Targets, decided: Bool[np.ndarray, "rows columns"]) -> list[Confusion]:
    """Return confusions that are made more often than the two mistakes would meet by chance.

    Args:
        truth: 1 present, 0 absent, -1 unknown (never a mistake).

    Returns:
        The confusions, those on the most images first; equal ones by ids.

    Raises:
        InputError: decided sets of another shape.

    Example:
        >>> truth = np.array([[1, 0]] * 10 + [[0, 0]] * 30, dtype=np.int8)
        >>> decided = np.array([[False, True]] * 10 + [[False, False]] * 30)
        >>> found = confusions(truth, decided)
        >>> [(one.missed, one.wrong, one.images, one.expected) for one in found]
        [(0, 1, 10, 2.5)]
    """
    if decided.shape != truth.shape:
        raise InputError(f"truth {truth.shape} and decided sets {decided.shape} must be of the same shape.")
    num_images, num_labels = truth.shape
    met = np.zeros((num_labels, num_labels), dtype=np.int64)
    missed, wrong = np.zeros(num_labels, dtype=np.int64), np.zeros(num_labels, dtype=np.int64)
    for start in range(0, num_images, ROWS):
        rows, sets = truth[start : start + ROWS], decided[start : start + ROWS]
        lost, added = (rows == PRESENT) & ~sets, (rows == ABSENT) & sets
        missed += lost.sum(axis=0)
        wrong += added.sum(axis=0)
        met += (lost.T.astype(np.float32) @ added.astype(np.float32)).astype(np.int64)
    possible = (missed[:, None] > 0) & (wrong > 0)
    np.fill_diagonal(possible, False)
    x, y = np.nonzero(possible)
    if not len(x):
        return []
    both, total = met[x, y], np.full(len(x), num_images)
    adjusted = holm(two_sided_log_p(both, missed[x], wrong[y], total))
    expected = missed[x] * wrong[y] / num_images
    chosen = np.flatnonzero((adjusted < np.log(ALPHA)) & (both > expected))
    chosen = chosen[np.argsort(-both[chosen], kind="stable")]
    return [
        Confusion(int(x[i]), int(y[i]), int(both[i]), float(expected[i]), float(adjusted[i])) for i in chosen
    ]


# Of labels that exclude each other these are the near-synonyms: annotators choose one of the two names for one thing.

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
    features: Features,
    targets: Targets,
    share: float = 0.1,
) -> LookAlikes:
    """Return those of some pairs that are more alike than nearly all pairs of labels, both ways.

    Args:
        pairs: candidates, such as labels that exclude each other.
        points: a vector per label, of the model; None: it has none, images alone decide.
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


@dataclass(frozen=True)
class WorstImage:
    """An image and what went wrong.

    Attributes:
        nats: -log p(true set | image).
        missed: ids of labels that it has and that were not decided.
        wrong: ids of labels that were decided and that it has not.
    """

    image: int
    nats: float
    missed: tuple[int, ...]
    wrong: tuple[int, ...]

    def to_json(self, images: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
        """Return it as plain values; JSON has no infinity: null."""
        return {
            "image": images[self.image],
            "nats": round(self.nats, 4) if np.isfinite(self.nats) else None,
            "missed": [names[j] for j in self.missed],
            "wrong": [names[j] for j in self.wrong],
        }


def worst_images(
    truth: Targets,
    decided: Bool[np.ndarray, "rows columns"],
    log_likelihood: Float[np.ndarray, " likelihoods"],
    *,
    count: int,
) -> list[WorstImage]:
    """Return the images whose true sets the model held least probable.

    Args:
        truth: 1 present, 0 absent, -1 unknown (never a mistake).
        log_likelihood: log p(true set | image), nats (`summed_log_likelihood` where a model gives none).
        count: how many, at most.

    Raises:
        InputError: columns of different lengths.

    Example:
        >>> truth, decided = np.array([[1, 0], [0, 1]], dtype=np.int8), np.array([[True, False], [True, False]])
        >>> worst_images(truth, decided, np.array([-0.1, -3.0]), count=1)
        [WorstImage(image=1, nats=3.0, missed=(1,), wrong=(0,))]
    """
    if decided.shape != truth.shape or len(log_likelihood) != len(truth):
        raise InputError(
            f"truth {truth.shape}, decided sets {decided.shape} and {len(log_likelihood)} log-likelihoods must be "
            "of the same images and labels."
        )
    order = np.argsort(log_likelihood, kind="stable")[:count]
    return [
        WorstImage(
            int(i),
            float(-log_likelihood[i]),
            tuple(np.flatnonzero((truth[i] == PRESENT) & ~decided[i]).tolist()),
            tuple(np.flatnonzero((truth[i] == ABSENT) & decided[i]).tolist()),
        )
        for i in order
    ]


def summed_log_likelihood(scores: ByLabel, truth: Targets) -> PerImage:
    """Return log p(true set | image) as if labels were independent given their scores, which are probabilities.

    Args:
        scores: p(label | image); kept within 1e-6 of 0 and 1.
        truth: 1 present, 0 absent, -1 unknown (left out).

    Example:
        >>> summed_log_likelihood(np.array([[0.5, 0.25]]), np.array([[1, -1]], dtype=np.int8)).round(3).tolist()
        [-0.693]
    """
    p = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
    terms = np.where(truth == PRESENT, np.log(p), np.where(truth == ABSENT, np.log1p(-p), 0.0))
    total: np.ndarray = terms.sum(axis=1)
    return total


# What failing goes with: each function answers one question; results are plain numbers and names.

TRAITS = ("training_images", "mean_area", "predictability")
"""What a label's recall may go with."""

NO_BOXES = "object sizes are known for voc2007, voc2012 and coco only."


CONFUSIONS_LISTED, WORST_LISTED = 50, 20


@dataclass(frozen=True, eq=False)
class Failures:
    """Where a run fails on labelled images.

    Attributes:
        names: of the run's labels, the columns of everything.
        decided_by: the rule that decided the sets.
        results: precision and recall of every label.
        kinds: `object`, `scene`, `activity` or None, by label (`label_results.kind_of`).
        traits: by name of `TRAITS`, one number per label; NaN where it is not known.
        associations: trait -> rank correlation with recall.
        sizes: recall by the size of the largest object; None without boxes.
        confused: missed labels with wrongly emitted ones, beyond chance.
        worst: the images whose true sets were held least probable.
        nats: what `worst` is ranked by: `model` (its own log-likelihood) or `scores` (labels as if independent).
        notes: why something is missing.
    """

    names: tuple[str, ...]
    images: tuple[str, ...]
    decided_by: str
    results: LabelResults
    kinds: tuple[str | None, ...]
    traits: dict[str, PerLabel]
    associations: dict[str, Association]
    sizes: SizeRecall | None
    confused: tuple[Confusion, ...]
    worst: tuple[WorstImage, ...]
    nats: str
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        columns: dict[str, Any] = {"kind": self.kinds, **self.traits}
        return {
            "images": len(self.images),
            "decided_by": self.decided_by,
            "labels": self.results.to_json(self.names, columns),
            "kinds": results_by_kind(self.results, self.kinds),
            "associations": {trait: one.to_json() for trait, one in self.associations.items()},
            "sizes": None if self.sizes is None else self.sizes.to_json(),
            "confusions": {
                "count": len(self.confused),
                "first": [one.to_json(self.names) for one in self.confused[:CONFUSIONS_LISTED]],
            },
            "worst_images": {
                "by": self.nats,
                "first": [one.to_json(self.images, self.names) for one in self.worst],
            },
            "notes": list(self.notes),
        }


def failures(
    evaluation: Evaluation,
    decision: Decision,
    *,
    training_images: tuple[int, ...] | None = None,
    training_targets: Int8[np.ndarray, "training labels"] | None = None,
    areas: ByLabel | None = None,
    seed: int = 0,
    resamples: int = 1000,
) -> Failures:
    """Find where a run fails.

    Args:
        training_images: of each of the run's labels (`run.counts`); None: not known.
        training_targets: training labels, columns in the run's order: says how predictable labels are from one another.
        areas: of the largest objects, columns in the run's order (`largest_areas`).
        resamples: of the labels, for the intervals of correlations.

    Raises:
        InputError: arrays that do not fit the evaluation.
    """
    truth, decided = truth_and_sets(evaluation, decision)
    results, notes = label_results(truth, decided), []
    rng = np.random.default_rng(seed)
    nothing = np.full(len(evaluation.vocabulary), np.nan)
    traits = dict.fromkeys(TRAITS, nothing)
    if training_images is not None:
        traits["training_images"] = np.array(training_images, dtype=np.float64)
    if training_targets is not None:
        traits["predictability"] = predictability(training_targets, seed=seed)
    else:
        notes.append("predictability of labels needs the training labels; none were given.")
    sizes = None
    if areas is not None:
        sizes = recall_by_size(truth, decided, areas)
        traits["mean_area"] = sizes.mean_area
    else:
        notes.append(NO_BOXES)
    likelihood, by = evaluation.log_likelihood, "model"
    if likelihood is None:
        likelihood, by = summed_log_likelihood(evaluation.answers.scores, truth), "scores"
    names = evaluation.vocabulary.names
    return Failures(
        names,
        evaluation.dataset.images,
        decision.name,
        results,
        tuple(kind_of(name) for name in names),
        traits,
        {
            trait: rank_association(values, results.recall.value, rng=rng, resamples=resamples)
            for trait, values in traits.items()
        },
        sizes,
        tuple(confusions(truth, decided)),
        tuple(worst_images(truth, decided, likelihood, count=WORST_LISTED)),
        by,
        tuple(notes),
    )


def truth_and_sets(evaluation: Evaluation, decision: Decision) -> tuple[Targets, LabelSets]:
    """Return truth and decided sets in the columns of the run's labels.

    Labels that the data lack are unknown; labels of the data that the run lacks are left out (the evaluation's notes
    name them).
    """
    truth = evaluation.dataset.with_vocabulary(evaluation.vocabulary.names).targets
    return truth, decision.decide(evaluation.answers, evaluation.thresholds)


def largest_areas(dataset: Dataset, names: tuple[str, ...]) -> ByLabel | None:
    """Return the size of each label's largest object on each image, as a share of the image's area.

    Args:
        dataset: of VOC or COCO; images may be a part of its split.

    Returns:
        float32, NaN where there is no such object; None for a format without boxes.

    Raises:
        InputError: annotations that are missing or damaged.
    """
    from labelbeam.formats.object_areas import coco_areas, voc_areas

    spec = parse_spec(dataset.spec)
    if spec.format in ("voc2007", "voc2012"):
        return voc_areas(dataset.root.parent, dataset.images, names)
    if spec.format == "coco" and spec.path is not None:
        return coco_areas(spec.path, spec.split, dataset.images, names)
    return None
