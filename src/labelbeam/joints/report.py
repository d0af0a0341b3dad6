"""Everything that a report says of a run: one object of plain values, and the pictures that stand beside them.

Asks the evaluation and every analysis, and keeps a sentence where one of them has no answer. The values are the JSON
file beside the page; `pages.report_page` shows them. Draws nothing.
"""

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int8

from labelbeam.analysis.shares import shares_of
from labelbeam.data.dataset import Dataset
from labelbeam.errors import InputError
from labelbeam.joints.evaluation import Evaluation, evaluate_features
from labelbeam.joints.failures import Failures, failures, largest_areas
from labelbeam.joints.features import readable_features
from labelbeam.joints.label_error_files import label_errors_told, probable_label_errors
from labelbeam.joints.label_space import label_space
from labelbeam.joints.pair_learning import pair_learning
from labelbeam.joints.reported_images import ShownImage, shown_images
from labelbeam.joints.run_directory import load_run, versions
from labelbeam.joints.score_table import intervals
from labelbeam.joints.spec import open_dataset
from labelbeam.joints.tagger import Tagger
from labelbeam.joints.visible_search import visible_search
from labelbeam.metrics.bootstrap import paired_bootstrap
from labelbeam.metrics.evaluation import evaluate

Say = Callable[[str], None]

ERRORS_SHOWN = 20


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


@dataclass(frozen=True)
class Subject:
    """A run with its answers for the data.

    Attributes:
        folder: of the run.
        tagger: it.
        evaluation: its answers beside the truth.
        features: single precision [images features].
    """

    folder: Path
    tagger: Tagger
    evaluation: Evaluation
    features: np.ndarray


def report_on(
    run: Path,
    dataset: Dataset,
    *,
    beside: Path | None = None,
    images: int = 6,
    resamples: int = 1000,
    seed: int = 0,
    say: Say = lambda stage: None,
) -> Report:
    """Measure a run on labelled images in every way there is.

    Args:
        run: its folder.
        dataset: labelled images that it was not trained on.
        beside: a rival's folder.
        images: how many are shown with their attention; the first half are the worst, the others drawn.
        resamples: of the images, for intervals.
        seed: of everything random.
        say: told what comes next, a few words.

    Raises:
        InputError: not a run, data that do not fit it, or a rival that could not read the same images.
    """
    say("answers")
    ours = _subject(run, dataset)
    rival = None if beside is None else _subject(beside, dataset)
    missing: dict[str, str] = {}
    say("scores and intervals")
    scores = _scores(ours, rival, resamples=resamples, seed=seed)
    reading = _training_data(ours, missing)
    targets = None if reading is None else reading.with_vocabulary(ours.tagger.labels).targets
    say("labels and failures")
    found = _failures(ours, targets, missing, resamples=resamples, seed=seed)
    say("pairs of labels")
    pairs = None
    if targets is None:
        missing["pairs"] = "Pairs are not compared: " + missing["training_data"]
    else:
        pairs = _part("pairs", missing, lambda: _pairs(ours, rival, targets, missing, resamples, seed))
    errors = _part("label_errors", missing, lambda: _label_errors(ours.evaluation))
    space = _part("label_space", missing, lambda: label_space(ours.tagger).to_json())
    say("images")
    shown = shown_images(
        ours.tagger, ours.evaluation, found.worst, count=images, seed=seed, missing=missing, say=say
    )
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
        "about": _about(ours, rival, reading, resamples=resamples, seed=seed),
        "training": _training(run, missing),
        "scores": scores,
        "calibration": _calibration(ours, missing),
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


def _subject(folder: Path, dataset: Dataset) -> Subject:
    run = load_run(folder)
    tagger = Tagger(run)
    kept, features, notes = readable_features(dataset, run.encoder, flips=False)
    measured = evaluate_features(tagger, kept, features[:, 0], notes=(*kept.notes, *notes))
    return Subject(folder, tagger, measured, features[:, 0].astype(np.float32))


def _part(name: str, missing: dict[str, str], ask: Callable[[], Any]) -> Any:
    """Return an answer; None where there is none, with the reason kept."""
    try:
        return ask()
    except InputError as error:
        missing[name] = str(error)
        return None


def _scores(ours: Subject, rival: Subject | None, *, resamples: int, seed: int) -> dict[str, Any]:
    mine = ours.evaluation.comparison(ours.tagger.run.config.decision)
    told = dict(evaluate(mine).to_json())
    if resamples:
        told["intervals"] = intervals(mine, resamples=resamples, seed=seed)
    if rival is None:
        return told
    theirs = rival.evaluation.comparison(rival.tagger.run.config.decision)
    versus: dict[str, Any] = {"run": str(rival.folder), "scores": evaluate(theirs).values}
    if resamples:
        found = paired_bootstrap(mine, theirs, rng=np.random.default_rng(seed), resamples=resamples)
        versus["method"] = (
            "paired percentile bootstrap over images; p is one-sided: small where the first is greater"
        )
        versus["differences"] = {name: asdict(one) for name, one in found.items()}
    return told | {"versus": versus}


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
        resamples=max(resamples, 2),
    )


def _pairs(
    ours: Subject,
    rival: Subject | None,
    targets: Int8[np.ndarray, "training labels"],
    missing: dict[str, str],
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    def compared(other: Subject | None) -> dict[str, Any]:
        return pair_learning(
            ours.evaluation,
            ours.tagger.run.config.decision,
            training_targets=targets,
            rival=None if other is None else other.evaluation,
            rival_decision=None if other is None else other.tagger.run.config.decision,
            seed=seed,
            resamples=max(resamples, 2),
        ).to_json()

    if rival is not None and (found := _part("rival_pairs", missing, lambda: compared(rival))):
        return dict(found)
    return compared(None)


def _label_errors(evaluation: Evaluation) -> dict[str, Any]:
    return label_errors_told(evaluation, probable_label_errors(evaluation), most=ERRORS_SHOWN)


def _calibration(ours: Subject, missing: dict[str, str]) -> dict[str, Any]:
    """Return reliability with Wilson's intervals of the bins, and what calibration the run has."""
    report = ours.evaluation.reliability()
    told = dict(report.to_json())
    pooled = report.pooled
    if len(pooled.count):
        shares = shares_of(np.rint(pooled.present * pooled.count).astype(np.int64), pooled.count)
        told["pooled"] = {
            "ece": pooled.ece,
            "bins": [
                {"score": float(score), "count": int(count), "share": shares.told(i)}
                for i, (score, count) in enumerate(zip(pooled.score, pooled.count, strict=True))
            ],
        }
    answers, calibration = ours.evaluation.answers, ours.tagger.calibration
    told["calibrated"] = answers.calibrated
    told["probabilities"] = answers.calibrated or not bool(np.isnan(answers.log_probs).any())
    told["method"], told["images"], told["thresholds"] = None, None, None
    if calibration is None:
        missing["calibration"] = ours.tagger.note or "The run was not calibrated: no validation images."
        return told
    names = ours.tagger.labels
    told |= {"method": calibration.scores.method, "images": calibration.images}
    told["thresholds"] = {
        objective: dict(zip(names, values, strict=True))  # type: ignore[call-overload]
        for objective, values in calibration.thresholds.to_json().items()
    }
    return told


def _about(
    ours: Subject, rival: Subject | None, training: Dataset | None, *, resamples: int, seed: int
) -> dict[str, Any]:
    config, data = ours.tagger.run.config, ours.evaluation.dataset
    seen: set[Path] = set() if training is None else {path.resolve() for path in training.paths}
    return {
        "run": str(ours.folder),
        "head": config.head,
        "encoder": config.encoder.name,
        "training_data": config.data,
        "training_seed": config.seed,
        "data": data.spec,
        "data_protocol": dict(data.protocol),
        "images": len(data),
        "images_in_training_data": None
        if training is None
        else sum(path.resolve() in seen for path in data.paths),
        "labels": len(ours.tagger.labels),
        "search": asdict(config.search),
        "decision": asdict(config.decision),
        "beside": None if rival is None else str(rival.folder),
        "beside_head": None if rival is None else rival.tagger.run.config.head,
        "bootstrap": resamples,
        "seed": seed,
        "versions": versions(),
        "trained_with": _trained_with(ours.folder),
    }


def _trained_with(folder: Path) -> Mapping[str, str] | None:
    try:
        told = json.loads((folder / "versions.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) else None


def _training(folder: Path, missing: dict[str, str]) -> list[dict[str, float | None]] | None:
    """Return the rows of log.csv; empty cells are null."""
    try:
        with (folder / "log.csv").open(encoding="utf-8", newline="") as file:
            rows = [
                {str(name): float(cell) if cell else None for name, cell in row.items()}
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, TypeError):
        rows = []
    if not rows:
        missing["training"] = "There is no training curve: the run has no log.csv."
    return rows or None
