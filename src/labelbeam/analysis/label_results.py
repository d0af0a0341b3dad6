"""Precision and recall of every label, and what they go with: frequency, size of the objects, predictability, kind.

Counts first: everything here is a reduction of true positives, decided and present counts per label. Knows numbers
by label; where sizes and predictabilities come from is elsewhere (`formats.object_areas`, `predictability`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from labelbeam.analysis.shares import Shares, shares_of
from labelbeam.errors import InputError
from labelbeam.metrics.counts import count

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
            names: of the labels.
            traits: further columns, such as `kind` or `training_images`; NaN becomes null.
        """
        rows = [
            {
                "label": name,
                "present": int(self.present[j]),
                "decided": int(self.decided[j]),
                "right": int(self.right[j]),
                "precision": self.precision.told(j),
                "recall": self.recall.told(j),
                **{trait: _plain(values[j]) for trait, values in (traits or {}).items()},
            }
            for j, name in enumerate(names)
        ]
        return sorted(rows, key=lambda row: -row["present"])


def label_results(
    truth: Int8[np.ndarray, "images labels"], decided: Bool[np.ndarray, "images labels"]
) -> LabelResults:
    """Count right and wrong decisions by label, with Wilson's intervals.

    Args:
        truth: 1 present, 0 absent, -1 unknown (not counted).
        decided: the decided sets.

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
        results: by label.
        kinds: of each label; None where nobody said.

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
                "precision": shares_of(right, decided).told(0),
                "recall": shares_of(right, present).told(0),
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
        high: upper end.
    """

    labels: int
    rho: float | None
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        told = {
            name: None if (value := getattr(self, name)) is None else round(value, 4)
            for name in ("rho", "low", "high")
        }
        return {"labels": self.labels, **told}


def rank_association(
    trait: Float[np.ndarray, " labels"],
    score: Float[np.ndarray, " scores"],
    *,
    rng: np.random.Generator,
    resamples: int = 1000,
) -> Association:
    """Correlate a trait of labels with a score of theirs.

    Args:
        trait: one number per label; NaN: not known.
        score: one number per label; NaN: not defined.
        rng: seeded by the caller.
        resamples: of the labels.

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
