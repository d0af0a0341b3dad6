"""Everything that a report says of a run: one object of plain values, and the pictures that stand beside them.

Asks the evaluation and every analysis, and keeps a sentence where one of them has no answer. The values are the JSON
file beside the page; `report.page` shows them. Draws nothing.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int8

from labelbeam.data.dataset import Dataset
from labelbeam.errors import InputError
from labelbeam.explain.explained_run import explain, explanation_dict
from labelbeam.explain.explanation import Explanation
from labelbeam.explain.search_tree import visible_search
from labelbeam.formats.registry import open_dataset
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN
from labelbeam.metrics.evaluation import evaluate
from labelbeam.metrics.intervals import paired_bootstrap
from labelbeam.metrics.score_table import intervals
from labelbeam.neighbors.label_space import label_space
from labelbeam.neighbors.neighbors import label_points
from labelbeam.progress import progress_bar
from labelbeam.report.label_errors import label_errors_dict, probable_label_errors
from labelbeam.report.mistakes import Failures, WorstImage, failures, largest_areas, truth_and_sets
from labelbeam.report.pairs import pair_learning
from labelbeam.report.promises import PROMISES
from labelbeam.report.run import (
    Section,
    Subject,
    about,
    calibration_of,
    drawn_images,
    subject_of,
    training_log,
)
from labelbeam.runs.evaluation import Evaluation
from labelbeam.runs.run_directory import load_run
from labelbeam.runs.tagger import Tagger

SECTIONS: tuple[Section, ...] = (PROMISES,)
"""Sections with a file of their own, in their order on the page."""

ERRORS_SHOWN = 20

RESAMPLES = 1000


@dataclass(frozen=True)
class ShownImage:
    """An image of a report.

    Attributes:
        row: in the evaluation.
        values: `image`, `why` (worst or random), `truth`, `unknown`, `labels` (score, bounds, whether decided and
            true), `path`, `log_prob`, `exact`, `explanation`; plain values.
        explanation: maps; None where the head or encoder cannot be explained.
    """

    row: int
    path: Path
    values: dict[str, Any]
    explanation: Explanation | None


SCORES_SHOWN = 8
"""Labels listed per image, at least; every true and every decided one is listed."""


def shown_images(
    tagger: Tagger,
    evaluation: Evaluation,
    worst: Sequence[WorstImage],
    *,
    count: int,
    seed: int,
    missing: dict[str, str],
) -> tuple[ShownImage, ...]:
    """Choose images, and gather their answers.

    Args:
        worst: candidates for the first half.
        count: how many, at most.
        seed: of the draw of the others.
        missing: gets a sentence under `attention` where nothing can be explained.
    """
    bad = [one.image for one in worst[: (count + 1) // 2]]
    others = np.setdiff1d(np.arange(len(evaluation.dataset)), bad)
    drawn = np.random.default_rng(seed).permutation(others)[: count - len(bad)]
    rows = [(row, "worst") for row in bad] + [(int(row), "random") for row in drawn]
    truth, decided = truth_and_sets(evaluation, tagger.run.config.decision)
    shown = []
    with progress_bar("images", len(rows)) as advance:
        for row, why in rows:
            path = evaluation.dataset.paths[row]
            explanation = None
            if "attention" not in missing:
                try:
                    explanation = explain(tagger.run, path)
                except InputError as error:
                    missing["attention"] = str(error)
            answer = _answer(evaluation, row, truth[row], decided[row])
            values = {"image": evaluation.dataset.images[row], "why": why, **answer}
            values["explanation"] = None if explanation is None else explanation_dict(explanation)
            shown.append(ShownImage(row, path, values, explanation))
            advance(1)
    return tuple(shown)


def _answer(evaluation: Evaluation, row: int, truth: np.ndarray, decided: np.ndarray) -> dict[str, Any]:
    """Return truth, decided set, path, and the best labels' scores with bounds."""
    names, answers = evaluation.vocabulary.names, evaluation.answers
    ranked = np.argsort(-answers.scores[row], kind="stable")
    first = set(ranked[:SCORES_SHOWN].tolist())
    columns = {"score": answers.scores, "low": answers.low, "high": answers.high, "stderr": answers.stderr}
    log_prob = float(answers.log_probs[row])
    return {
        "truth": [names[j] for j in np.flatnonzero(truth == PRESENT)],
        "unknown": [names[j] for j in np.flatnonzero(truth == UNKNOWN)],
        "labels": [
            {
                "label": names[j],
                **{name: round(float(column[row, j]), 6) for name, column in columns.items()},
                "decided": bool(decided[j]),
                "truth": {PRESENT: True, UNKNOWN: None}.get(int(truth[j]), False),
            }
            for j in ranked.tolist()
            if j in first or decided[j] or truth[j] == PRESENT
        ],
        "path": list(evaluation.vocabulary.names_of(answers.paths[row])),
        "log_prob": None if np.isnan(log_prob) else round(log_prob, 6),
        "exact": bool(answers.exact[row]),
    }


@dataclass(frozen=True)
class Report:
    """A report, before it is drawn.

    Attributes:
        values: plain values, ready for JSON; `missing` has a sentence for every part that is null.
        images: the images shown, worst ones first.
        error_paths: files of the images of `values["label_errors"]`, in their order.
    """

    values: dict[str, Any]
    images: tuple[ShownImage, ...]
    error_paths: tuple[Path, ...]

    def to_json(self) -> dict[str, Any]:
        """Return every number of the page; JSON has no infinity: null."""
        values: dict[str, Any] = _finite(self.values)
        return values


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def report_on(
    run: Path,
    dataset: Dataset,
    *,
    beside: Path | None = None,
    images: int = 6,
    answer_at_most: int | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Report:
    """Measure a run on labelled images in every way there is.

    Args:
        dataset: labelled images that it was not trained on.
        images: how many are shown with their attention; the first half are the worst, the others drawn.
        answer_at_most: images that are answered for, drawn at random from more; None: as many as have
            `reported_run.SCORES_ANSWERED` scores.
        resamples: of the images, for intervals; 0: scores have none, pairs and correlations are judged by
            `RESAMPLES`.

    Raises:
        InputError: not a run, data that do not fit it, or a rival that could not read the same images.
    """
    loaded = load_run(run)
    drawn = drawn_images(dataset, len(loaded.vocabulary), most=answer_at_most, seed=seed)
    ours = subject_of(run, drawn, loaded=loaded)
    rival = None if beside is None else subject_of(beside, drawn)
    missing: dict[str, str] = {}
    judged = resamples or RESAMPLES  # a pair cannot be judged without an interval
    with progress_bar("scores and intervals", None):
        scores = _scores(ours, rival, resamples=resamples, seed=seed)
    reading = _training_data(ours, missing)
    targets = None if reading is None else reading.with_vocabulary(ours.tagger.labels).targets
    with progress_bar("labels, pairs and mistakes", None):
        found = _failures(ours, targets, missing, resamples=judged, seed=seed)
        pairs = None
        if targets is None:
            missing["pairs"] = "Pairs are not compared: " + missing["training_data"]
        else:
            pairs = _part("pairs", missing, lambda: _pairs(ours, rival, targets, missing, judged, seed))
        errors = _part("label_errors", missing, lambda: _label_errors(ours.evaluation))
        space = _part("label_space", missing, lambda: label_space(ours.tagger).to_json())
    shown = shown_images(ours.tagger, ours.evaluation, found.worst, count=images, seed=seed, missing=missing)
    search = None
    if shown:
        first = shown[0]
        search = _part(
            "search",
            missing,
            lambda: {
                "image": first.values["image"],
                **visible_search(ours.tagger, ours.features[first.row]).to_json(),
            },
        )
    values = {
        "about": about(
            *(ours, rival, reading), given=len(dataset), answered=len(drawn), resamples=resamples, seed=seed
        ),
        "training": training_log(run, missing),
        "scores": scores,
        "calibration": calibration_of(ours, missing),
        **{one.name: _part(one.name, missing, partial(one.ask, ours)) for one in SECTIONS},
        "failures": found.to_json(),
        "pairs": pairs,
        "label_space": space,
        "label_errors": errors,
        "images": [one.values for one in shown],
        "search": search,
        "missing": missing,
    }
    where = dict(zip(ours.evaluation.dataset.images, ours.evaluation.dataset.paths, strict=True))
    paths = tuple(where[one["image"]] for one in (errors or {"errors": []})["errors"])
    return Report(values, shown, paths)


def _part(name: str, missing: dict[str, str], ask: Callable[[], Any]) -> Any:
    """Return an answer; None where there is none, with the reason kept."""
    try:
        return ask()
    except InputError as error:
        missing[name] = str(error)
        return None


def _scores(ours: Subject, rival: Subject | None, *, resamples: int, seed: int) -> dict[str, Any]:
    mine = ours.evaluation.comparison(ours.tagger.run.config.decision)
    scores = dict(evaluate(mine).to_json())
    if resamples:
        scores["intervals"] = intervals(mine, resamples=resamples, seed=seed)
    if rival is None:
        return scores
    theirs = rival.evaluation.comparison(rival.tagger.run.config.decision)
    versus: dict[str, Any] = {"run": str(rival.folder), "scores": evaluate(theirs).values}
    if resamples:
        found = paired_bootstrap(mine, theirs, rng=np.random.default_rng(seed), resamples=resamples)
        versus["method"] = (
            "paired percentile bootstrap over images; p is one-sided: small where the first is greater"
        )
        versus["differences"] = {name: asdict(one) for name, one in found.items()}
    return scores | {"versus": versus}


def _training_data(ours: Subject, missing: dict[str, str]) -> Dataset | None:
    """Open the images that the run was trained on; labels are all that is wanted of them."""
    config = ours.tagger.run.config
    if not config.data:
        missing["training_data"] = "the run does not say what it was trained on."
        return None
    try:
        return open_dataset(config.data, options=config.read)
    except InputError as error:
        missing["training_data"] = f"the training data cannot be read here ({error})"
        return None


def _failures(
    ours: Subject,
    targets: Int8[np.ndarray, "training labels"] | None,
    missing: dict[str, str],
    *,
    resamples: int,
    seed: int,
) -> Failures:
    areas = _part("sizes", missing, lambda: largest_areas(ours.evaluation.dataset, ours.tagger.labels))
    return failures(
        ours.evaluation,
        ours.tagger.run.config.decision,
        training_images=ours.tagger.run.counts,
        training_targets=targets,
        areas=areas,
        seed=seed,
        resamples=resamples,
    )


def _pairs(
    ours: Subject,
    rival: Subject | None,
    targets: Int8[np.ndarray, "training labels"],
    missing: dict[str, str],
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    try:
        points = label_points(ours.tagger.run)
    except InputError:  # nearest neighbours have no vector per label; images alone say what looks alike
        points = None

    def compared(other: Subject | None) -> dict[str, Any]:
        return pair_learning(
            ours.evaluation,
            ours.tagger.run.config.decision,
            training_targets=targets,
            rival=None if other is None else other.evaluation,
            rival_decision=None if other is None else other.tagger.run.config.decision,
            features=ours.features,
            points=points,
            seed=seed,
            resamples=resamples,
        ).to_json()

    if rival is not None and (found := _part("rival_pairs", missing, lambda: compared(rival))):
        return dict(found)
    return compared(None)


def _label_errors(evaluation: Evaluation) -> dict[str, Any]:
    return label_errors_dict(evaluation, probable_label_errors(evaluation, most=ERRORS_SHOWN))
