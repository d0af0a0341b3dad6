"""Where a run fails, and what failing goes with: the tables of a report and their parts of the page.

Between an evaluation and the analyses; each function answers one question and can be called alone. Results hold
plain numbers and names, and become JSON by `to_json`. Draws nothing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int8

from labelbeam.data.dataset import Dataset
from labelbeam.formats.registry import parse_spec
from labelbeam.labels.arrays import ByLabel, LabelSets, PerLabel, Targets
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
from labelbeam.report.mistakes import Confusion, WorstImage, confusions, summed_log_likelihood, worst_images
from labelbeam.runs.evaluation import Evaluation

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
