"""Precision and recall of every label, and what they go with: frequency, object size, predictability."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from labelbeam.errors import InputError
from labelbeam.heads.chow_liu import NO_PARENT, ChowLiuTree
from labelbeam.inspect.cooccurrence import ROWS
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, ByLabel, LabelSets, PerLabel, Targets
from labelbeam.metrics.counts import count
from labelbeam.metrics.intervals import Shares, shares_of

# What a model of labels could win at all: where this is near 0, knowing the others helps nobody. Estimated by the
# Chow-Liu tree, out of sample, so it is a lower bound of what richer models could predict.

LEAST_PROBABILITY = 1e-6


def predictability(targets: Targets, *, seed: int = 0) -> PerLabel:
    """Return the share of each label's entropy that the other labels take away.

    1 - H(l | others) / H(l), both as log-loss on images that the tree was not fitted to (two halves, each judged by
    the other's tree): 0 where the others say nothing, 1 where they say all; a little below 0 by chance.

    Args:
        targets: 1 present, 0 absent, -1 unknown: not judged, and silent about its neighbours in the tree.

    Returns:
        float64; NaN for a label that every known image has, or none.

    Raises:
        InputError: fewer than 4 images.

    Source:
        The uncertainty coefficient (Theil 1972), also McFadden's pseudo-R2 (1974); Chow and Liu 1968 for the tree.

    Example:
        >>> random = np.random.default_rng(0).integers(0, 2, (4000, 1), dtype=np.int8)
        >>> coin = np.random.default_rng(1).integers(0, 2, (4000, 1), dtype=np.int8)
        >>> predictability(np.hstack((random, random, coin))).round(2).tolist()
        [1.0, 1.0, -0.0]
    """
    if len(targets) < 4:
        raise InputError(f"predictability needs at least 4 images, given {len(targets)}.")
    shuffled = np.random.default_rng(seed).permutation(len(targets))
    halves = np.sort(shuffled[::2]), np.sort(shuffled[1::2])
    alone, given = np.zeros(targets.shape[1]), np.zeros(targets.shape[1])
    for fitted, judged in (halves, halves[::-1]):
        tree = ChowLiuTree.fit(targets[fitted])
        for start in range(0, len(judged), ROWS):
            rows = targets[judged[start : start + ROWS]]
            alone += _nats(np.broadcast_to(tree.marginals, rows.shape), rows)
            given += _nats(conditional_on_others(tree, rows), rows)
    settled = targets != UNKNOWN
    varies = ((targets == PRESENT).any(axis=0)) & ((targets == ABSENT) & settled).any(axis=0)
    found = np.full(targets.shape[1], np.nan)
    found[varies] = 1 - given[varies] / alone[varies]
    return found


def conditional_on_others(tree: ChowLiuTree, targets: Targets) -> ByLabel:
    """Return p(label | all other labels) under a tree: its parent's and its children's values decide.

    A neighbour that is unknown says nothing (what lies behind it is not asked).
    """
    log_given = np.log(np.clip(tree.given, LEAST_PROBABILITY, None))
    present = (targets == PRESENT).astype(np.int64)
    prior = np.log(tree.marginals / (1 - tree.marginals))
    log_odds = np.zeros(targets.shape)
    for label, parent in enumerate(tree.parent):
        own = log_given[label, :, 1] - log_given[label, :, 0]  # by the parent's value
        if parent == NO_PARENT:
            log_odds[:, label] += prior[label]
            continue
        log_odds[:, label] += np.where(targets[:, parent] == UNKNOWN, prior[label], own[present[:, parent]])
        upward = log_given[label, 1] - log_given[label, 0]  # by this label's value
        log_odds[:, parent] += np.where(targets[:, label] == UNKNOWN, 0.0, upward[present[:, label]])
    probs: np.ndarray = 1 / (1 + np.exp(-np.clip(log_odds, -30, 30)))
    return probs


def _nats(probs: ByLabel, targets: np.ndarray) -> PerLabel:
    p = np.clip(probs, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    nats = np.where(targets == PRESENT, -np.log(p), np.where(targets == ABSENT, -np.log1p(-p), 0.0))
    total: np.ndarray = nats.sum(axis=0)
    return total


# Source: Wang et al. 2016, Figure 8: recall rises with the area of the bounding boxes. There by label; here also by
# object, which does not mix up size with what is large.

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
    mean_area: PerLabel

    def to_json(self) -> list[dict[str, Any]]:
        """Return the bins as plain values."""
        return [
            {
                "area_above": self.edges[i],
                "area_at_most": self.edges[i + 1],
                "present": int(self.present[i]),
                "found": int(self.found[i]),
                "recall": self.recall.to_dict(i),
            }
            for i in range(len(self.present))
        ]


def recall_by_size(
    truth: Targets,
    decided: Bool[np.ndarray, "rows columns"],
    areas: Float[np.ndarray, "boxes columns"],
    *,
    edges: tuple[float, ...] = EDGES,
) -> SizeRecall:
    """Count found labels by the size of their largest object.

    Args:
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


LEAST_LABELS = 5
"""A rank correlation over fewer labels says nothing."""


@dataclass(frozen=True, eq=False)
class LabelResults:
    """How well each label was decided.

    Attributes:
        right: images where the label is decided and present.
        decided: images where it is decided and known.
        present: images that have it.
        precision: right / decided.
        recall: right / present.
    """

    right: Int[np.ndarray, " labels"]
    decided: Int[np.ndarray, " labels"]
    present: Int[np.ndarray, " labels"]
    precision: Shares
    recall: Shares

    def to_json(
        self, names: Sequence[str], traits: Mapping[str, Sequence[Any] | np.ndarray] | None = None
    ) -> list[dict[str, Any]]:
        """Return the labels as plain values, the most frequent first.

        Args:
            traits: further columns, such as `kind` or `training_images`; NaN becomes null.
        """
        rows = [
            {
                "label": name,
                "present": int(self.present[j]),
                "decided": int(self.decided[j]),
                "right": int(self.right[j]),
                "precision": self.precision.to_dict(j),
                "recall": self.recall.to_dict(j),
                **{trait: _plain(values[j]) for trait, values in (traits or {}).items()},
            }
            for j, name in enumerate(names)
        ]
        return sorted(rows, key=lambda row: -row["present"])


def label_results(truth: Targets, decided: LabelSets) -> LabelResults:
    """Count right and wrong decisions by label, with Wilson's intervals.

    Args:
        truth: 1 present, 0 absent, -1 unknown (not counted).

    Example:
        >>> truth = np.array([[1, 0], [1, 1], [0, -1]], dtype=np.int8)
        >>> found = label_results(truth, np.array([[True, True], [False, True], [True, True]]))
        >>> found.precision.value.tolist(), found.recall.value.tolist()
        ([0.5, 0.5], [0.5, 1.0])
    """
    counts = count(truth, decided)
    right, predicted, present = counts.true_positives, counts.predicted, counts.positives
    return LabelResults(right, predicted, present, shares_of(right, predicted), shares_of(right, present))


def results_by_kind(results: LabelResults, kinds: Sequence[str | None]) -> list[dict[str, Any]]:
    """Return precision and recall pooled over the labels of each kind, as plain values.

    Args:
        kinds: of each label; None: unknown.

    Example:
        >>> truth, decided = np.array([[1, 1, 0]], dtype=np.int8), np.array([[True, False, True]])
        >>> rows = results_by_kind(label_results(truth, decided), ["object", "object", None])
        >>> [(row["kind"], row["labels"], row["recall"]["value"]) for row in rows]
        [('object', 2, 0.5), (None, 1, None)]
    """
    rows = []
    for kind in sorted(set(kinds), key=lambda one: (one is None, one)):
        of = np.array([one == kind for one in kinds])
        right, decided, present = (
            np.array([column[of].sum()]) for column in (results.right, results.decided, results.present)
        )
        rows.append(
            {
                "kind": kind,
                "labels": int(of.sum()),
                "present": int(present[0]),
                "precision": shares_of(right, decided).to_dict(0),
                "recall": shares_of(right, present).to_dict(0),
            }
        )
    return rows


@dataclass(frozen=True)
class Association:
    """Spearman's rank correlation of a label's trait with its recall (or precision).

    Attributes:
        labels: labels that have both numbers.
        rho: in [-1, 1]; None with fewer than `LEAST_LABELS` labels, or where one of the two does not vary.
        low: lower end of the 95 % interval over resampled labels.
    """

    labels: int
    rho: float | None
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        numbers = {
            name: None if (value := getattr(self, name)) is None else round(value, 4)
            for name in ("rho", "low", "high")
        }
        return {"labels": self.labels, **numbers}


def rank_association(
    trait: PerLabel, score: Float[np.ndarray, " scores"], *, rng: np.random.Generator, resamples: int = 1000
) -> Association:
    """Correlate a trait of labels with a score of theirs.

    Args:
        trait: one number per label; NaN: not known.
        score: one number per label; NaN: not defined.

    Raises:
        InputError: another number of scores than of traits.

    Source:
        Spearman 1904, ties by mean rank; percentile bootstrap over labels, which are few: expect wide intervals.

    Example:
        >>> trait = np.arange(6.0)
        >>> rank_association(trait, -trait, rng=np.random.default_rng(0), resamples=50).rho
        -1.0
    """
    if trait.shape != score.shape:
        raise InputError(f"{len(trait)} traits and {len(score)} scores; one of each per label is needed.")
    both = np.flatnonzero(~np.isnan(trait) & ~np.isnan(score))
    rho = _spearman(trait[both], score[both]) if len(both) >= LEAST_LABELS else None
    if rho is None:
        return Association(len(both), None)
    drawn = []
    for _ in range(resamples):
        chosen = rng.choice(both, len(both))
        if (one := _spearman(trait[chosen], score[chosen])) is not None:
            drawn.append(one)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Association(len(both), rho, float(low), float(high))


def _spearman(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"]) -> float | None:
    ranks = [_mean_ranks(column) for column in (first, second)]
    centered = [column - column.mean() for column in ranks]
    sizes = [float(np.linalg.norm(column)) for column in centered]
    return float(centered[0] @ centered[1] / sizes[0] / sizes[1]) if min(sizes) > 0 else None


def _mean_ranks(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return ranks from 0; equal values share their mean rank."""
    _, place, sizes = np.unique(values, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(sizes) - (sizes + 1) / 2)[place]
    return ranks


def _plain(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else round(float(value), 6)
    return int(value) if isinstance(value, np.integer) else value


# What kind of thing a label names: a small table for the names of VOC, COCO and NUS-WIDE; other names have no kind, and
# nothing is guessed. The split of NUS-WIDE's 81 concepts is this project's own reading of their names.

NAMES_BY_KIND = {
    "object": """
    aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse, motorbike,
    person, pottedplant, sheep, sofa, train, tvmonitor, motorcycle, airplane, truck, traffic light, fire
    hydrant, stop sign, parking meter, bench, elephant, bear, zebra, giraffe, backpack, umbrella, handbag,
    tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
    surfboard, tennis racket, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
    broccoli, carrot, hot dog, pizza, donut, cake, couch, potted plant, bed, dining table, toilet, tv,
    laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock,
    vase, scissors, teddy bear, hair drier, toothbrush, elk, toy, computer, sign, flowers, plants, window,
    food, tattoo, birds, fox, flags, animal, map, vehicle, leaf, coral, plane, horses, tree, police, rocks,
    whales, fish, tiger, statue, cars, boats, swimmers
    """,
    "scene": """
    tower, nighttime, road, clouds, cityscape, airport, mountain, harbor, sky, railroad, house, water,
    bridge, lake, grass, glacier, frost, beach, sun, street, waterfall, sunset, moon, town, buildings, sand,
    castle, ocean, rainbow, reflection, valley, temple, garden, snow
    """,
    "activity": """
    wedding, running, sports, military, dancing, protest, fire, soccer, surf, earthquake
    """,
}

KINDS = {
    name.strip(): kind for kind, names in NAMES_BY_KIND.items() for name in " ".join(names.split()).split(",")
}
"""Label name -> `object`, `scene` (places, weather, light) or `activity` (events too)."""


def kind_of(name: str) -> str | None:
    """Return the kind of a label by its name; None where the table does not have it.

    Example:
        >>> kind_of("Traffic_Light"), kind_of("sunset"), kind_of("birthday")
        ('object', 'scene', None)
    """
    return KINDS.get(name.casefold().replace("_", " "))
