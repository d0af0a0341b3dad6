"""What a report shows of the run itself: where it comes from, how its training went, how it is calibrated.

Between the run directory and the report; plain values out. Draws nothing.
"""

import csv
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from labelbeam.data.dataset import Dataset
from labelbeam.errors import InputError
from labelbeam.features.extract import readable_features
from labelbeam.formats.registry import maybe_incomplete
from labelbeam.metrics.intervals import shares_of
from labelbeam.parsing import read_json
from labelbeam.runs.evaluation import Evaluation, evaluate_features
from labelbeam.runs.run_directory import Run, load_run, versions
from labelbeam.runs.tagger import Tagger

SCORES_ANSWERED = 4_000_000
"""Scores (images times labels) that a report computes where no number of images is given: a minute or two."""


def drawn_images(dataset: Dataset, num_labels: int, *, most: int | None, seed: int) -> Dataset:
    """Return the images that a report answers for: all, or some drawn at random, in the order of the data.

    Args:
        most: images, at most; None: as many as have `SCORES_ANSWERED` scores.

    Example:
        >>> from labelbeam.labels.vocabulary import Vocabulary
        >>> names, targets = tuple(f"{i}.jpg" for i in range(100)), np.zeros((100, 1), dtype=np.int8)
        >>> data = Dataset("csv:a.csv", Path("."), names, Vocabulary(("cat",)), targets)
        >>> len(drawn_images(data, 1, most=None, seed=0)), len(drawn_images(data, 1, most=10, seed=0))
        (100, 10)
    """
    most = max(1, SCORES_ANSWERED // num_labels) if most is None else most
    if len(dataset) <= most:
        return dataset
    return dataset.subset(np.sort(np.random.default_rng(seed).choice(len(dataset), size=most, replace=False)))


@dataclass(frozen=True)
class Section:
    """A section of the page that stands by itself: its file, and a row of `report.report.SECTIONS`.

    Attributes:
        name: of its values in the JSON, and its address on the page.
        heading: on the page.
        ask: from a run that has answered to plain values; an `InputError` is the sentence that stands in their place.
        template: Jinja's, of what is below the heading; it has `found`, the values, and everything is escaped.
    """

    name: str
    heading: str
    ask: Callable[["Subject"], Any]
    template: str


@dataclass(frozen=True)
class Subject:
    """A run with its answers for the data.

    Attributes:
        features: single precision [images features].
    """

    folder: Path
    tagger: Tagger
    evaluation: Evaluation
    features: Float32[np.ndarray, "images features"]


def subject_of(folder: Path, dataset: Dataset, *, loaded: Run | None = None) -> Subject:
    """Load a run and answer for labelled images.

    Args:
        dataset: labelled images; those that cannot be read are left out, and noted.
        loaded: the run of the folder, where the caller has it.

    Raises:
        InputError: not a run, or data that do not fit it.
    """
    run = loaded or load_run(folder)
    tagger = Tagger(run)
    kept, features, notes = readable_features(dataset, run.encoder, flips=False)
    maybe = [note for note in (maybe_incomplete(dataset),) if note]
    measured = evaluate_features(tagger, kept, features[:, 0], notes=(*kept.notes, *maybe, *notes))
    return Subject(folder, tagger, measured, features[:, 0].astype(np.float32))


def about(
    ours: Subject,
    rival: Subject | None,
    training: Dataset | None,
    *,
    given: int,
    answered: int,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Return what was measured, on what, and with what.

    Args:
        training: the images it was trained on; None: they cannot be read here.
        answered: of these, how many were looked at, drawn at random where they are fewer.
        resamples: of the images, for the scores' intervals.
    """
    config, data = ours.tagger.run.config, ours.evaluation.dataset
    encoder = ours.tagger.run.encoder.config
    seen: set[Path] = set() if training is None else {path.resolve() for path in training.paths}
    return {
        "run": str(ours.folder),
        "head": config.head,
        "encoder": encoder["arguments"].get("model") or encoder["architecture"],
        "training_data": config.data,
        "training_seed": config.seed,
        "data": data.spec,
        "data_protocol": dict(data.protocol),
        "images": len(data),
        "images_given": given,
        "images_drawn": answered if answered < given else None,
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
        versions = read_json(folder / "versions.json")
    except InputError:
        return None
    return versions if isinstance(versions, dict) else None


def training_log(folder: Path, missing: dict[str, str]) -> list[dict[str, float | None]] | None:
    """Return the rows of log.csv; cells that hold no finite number are null.

    Args:
        missing: gets a sentence under `training` where there is no log.
    """
    try:
        with (folder / "log.csv").open(encoding="utf-8", newline="") as file:
            rows = [{str(name): _finite(cell) for name, cell in row.items()} for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError):
        rows = []
    if not rows:
        missing["training"] = "There is no training curve: the run has no log.csv."
    return rows or None


def _finite(cell: str) -> float | None:
    value = float(cell) if cell else math.nan
    return value if math.isfinite(value) else None


def calibration_of(ours: Subject, missing: dict[str, str]) -> dict[str, Any]:
    """Return reliability with Wilson's intervals of the bins, and what calibration the run has.

    Args:
        missing: gets a sentence under `calibration` where there is none.
    """
    report = ours.evaluation.reliability()
    values = dict(report.to_json())
    pooled = report.pooled
    if len(pooled.count):
        shares = shares_of(np.rint(pooled.present * pooled.count).astype(np.int64), pooled.count)
        values["pooled"] = {
            "ece": pooled.ece,
            "bins": [
                {"score": float(score), "count": int(count), "share": shares.to_dict(i)}
                for i, (score, count) in enumerate(zip(pooled.score, pooled.count, strict=True))
            ],
        }
    answers, calibration = ours.evaluation.answers, ours.tagger.calibration
    values["calibrated"] = answers.calibrated
    values["probabilities"] = answers.calibrated or not bool(np.isnan(answers.log_probs).any())
    values["method"], values["images"], values["thresholds"] = None, None, None
    if calibration is None:
        missing["calibration"] = ours.tagger.note or "The run was not calibrated: no validation images."
        return values
    names = ours.tagger.labels
    values |= {"method": calibration.scores.method, "images": calibration.images}
    values["thresholds"] = {
        objective: dict(zip(names, values, strict=True))  # type: ignore[call-overload]
        for objective, values in calibration.thresholds.to_json().items()
    }
    return values
