"""What each row scores under each protocol, on the same draws of the same images.

A protocol here is a rule that decides sets together with a reading of the true labels; each has a name of its own, so
that no two kinds of number can meet in one column. Knows no file but those that hold what runs said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.joints.reproduction.said import Said
from labelbeam.metrics.comparison import Comparison, compare
from labelbeam.metrics.evaluation import evaluate
from labelbeam.metrics.protocols import Protocol
from labelbeam.metrics.resampled import Resampled, resample

RANKED = "ranked"
"""Key of the protocol that ranks by score: exactly k labels, or, where the paper has no k, no decision at all."""

TITLES: Mapping[str, str] = {
    RANKED: "ranked by score",
    "path-k": "paths forced to exactly k labels",
    "path-up-to-k": "paths of at most k labels",
    "top-k-and-threshold": 'later papers\' "top-k": among the k best AND at least one half',
    "path": "the most probable set",
    "tuned-sets": "thresholds tuned on validation images for whole sets",
    "tuned-of1": "one threshold tuned on validation images for O-F1",
}
"""Protocols by key; the first is measured under every reading of the truth, the others under the main one."""

LATER_THRESHOLD = 0.5


@dataclass(frozen=True)
class Measured:
    """One row under one protocol.

    Attributes:
        row: its name.
        protocol: a key of `TITLES`.
        view: name of the reading of the truth.
        numbers: over seeds and images.
        block: the protocol as `metrics` states it, ceilings included.
        per_class: by label the mean over seeds of support, precision, recall and APs.
    """

    row: str
    protocol: str
    view: str
    numbers: Resampled
    block: Mapping[str, Any]
    per_class: Mapping[str, Mapping[str, float | None]]

    def to_json(self) -> dict[str, Any]:
        """Return every number with its interval, as plain values."""
        told: dict[str, Any] = {}
        for name, value in self.numbers.value.items():
            ends = self.numbers.interval(name) if self.numbers.drawn else None
            told[name] = {"value": value} | ({} if ends is None else asdict(ends))
            if name in self.numbers.over_seeds:
                told[name]["deviation_over_seeds"] = self.numbers.over_seeds[name]
        return told


def measure(
    row: str,
    said: Sequence[Said],
    dataset: Dataset,
    *,
    view: str,
    main: bool,
    k: int | None,
    resamples: int,
    seed: int,
    of_seeds: int,
) -> list[Measured]:
    """Measure a row under every protocol that it can be judged by.

    Args:
        row: its name.
        said: of its trainings, one per seed.
        dataset: images and truth; the columns and images of `said`.
        view: name of this reading of the truth.
        main: whether it is the main reading, under which all protocols are measured.
        k: of the paper's protocol.
        resamples: draws of the images; 0: no intervals.
        seed: of these draws.
        of_seeds: of the draws of training seeds, another for each row.
    """
    by_protocol: dict[str, list[Comparison]] = {}
    for one in said:
        for name, comparison in _comparisons(one, dataset, k=k, main=main).items():
            by_protocol.setdefault(name, []).append(comparison)
    found = []
    for name, comparisons in by_protocol.items():
        scores = [evaluate(comparison) for comparison in comparisons]
        per_class = {
            label: {
                key: _mean([getattr(one.per_class[label], key) for one in scores])
                for key in ("support", "precision", "recall", "ap_area", "ap_voc10", "ap_voc11")
            }
            for label in (dataset.vocabulary if name == RANKED else ())
        }
        numbers = resample(comparisons, resamples=resamples, seed=seed, of_seeds=of_seeds)
        found.append(Measured(row, name, view, numbers, scores[0].protocol, per_class))
    return found


def _mean(values: Sequence[float | int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _comparisons(said: Said, dataset: Dataset, *, k: int | None, main: bool) -> dict[str, Comparison]:
    """Return what was said beside the truth, by protocol."""
    truth, names = dataset.targets, dataset.vocabulary.names
    scores = said.scores.astype(np.float64)
    ranked = Protocol("none") if k is None else Protocol("exact-k", k=k)
    found = {RANKED: compare(truth, names, protocol=ranked, scores=scores)}
    if not main:
        return found
    if k is not None:
        later = Protocol("top-k-and-threshold", k=k, threshold=LATER_THRESHOLD)
        found["top-k-and-threshold"] = _without_ranking(
            compare(truth, names, protocol=later, scores=said.probabilities.astype(np.float64))
        )
    rules = (
        ("path-k", said.forced, None if k is None else Protocol("path-k", k=k)),
        ("path-up-to-k", said.capped, Protocol("sets", decided_by=f"paths of at most {k} labels")),
        ("path", said.path, Protocol("sets", decided_by="path")),
        ("tuned-sets", said.tuned_sets, Protocol("sets", decided_by="threshold tuned for subset-accuracy")),
        ("tuned-of1", said.tuned_of1, Protocol("sets", decided_by="threshold tuned for of1")),
    )
    for name, decisions, protocol in rules:
        if decisions is not None and protocol is not None:
            likelihood = said.log_likelihood if name == "path" else None
            found[name] = compare(
                truth, names, protocol=protocol, decisions=decisions, log_likelihood=likelihood
            )
    return found


def _without_ranking(comparison: Comparison) -> Comparison:
    """Leave out what the ranking protocol says already, which is most of the work of a draw."""
    return Comparison(
        comparison.names,
        comparison.truth,
        Protocol("top-k-and-threshold", k=comparison.protocol.k, threshold=comparison.protocol.threshold),
        comparison.decisions,
        comparison.outside,
        reasons={"ranking": "see the ranking protocol.", "scores": "see the ranking protocol."},
    )
