"""What a report says of the run itself: where it comes from, how its training went, how it is calibrated.

Between the run directory and the report; plain values out. Draws nothing.
"""

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from labelbeam.analysis.shares import shares_of
from labelbeam.data.dataset import Dataset
from labelbeam.joints.evaluation import Evaluation, evaluate_features
from labelbeam.joints.features import readable_features
from labelbeam.joints.run_directory import load_run, versions
from labelbeam.joints.tagger import Tagger


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
    features: Float32[np.ndarray, "images features"]


def subject_of(folder: Path, dataset: Dataset) -> Subject:
    """Load a run and answer for labelled images.

    Args:
        folder: of the run.
        dataset: labelled images; those that cannot be read are left out, and noted.

    Raises:
        InputError: not a run, or data that do not fit it.
    """
    run = load_run(folder)
    tagger = Tagger(run)
    kept, features, notes = readable_features(dataset, run.encoder, flips=False)
    measured = evaluate_features(tagger, kept, features[:, 0], notes=(*kept.notes, *notes))
    return Subject(folder, tagger, measured, features[:, 0].astype(np.float32))


def about(
    ours: Subject, rival: Subject | None, training: Dataset | None, *, resamples: int, seed: int
) -> dict[str, Any]:
    """Return what was measured, on what, and with what.

    Args:
        ours: the run.
        rival: the run beside it.
        training: the images it was trained on; None: they cannot be read here.
        resamples: of the images, for the scores' intervals.
        seed: of everything random.
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


def training_log(folder: Path, missing: dict[str, str]) -> list[dict[str, float | None]] | None:
    """Return the rows of log.csv; cells that hold no finite number are null.

    Args:
        folder: of the run.
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
        ours: the run.
        missing: gets a sentence under `calibration` where there is none.
    """
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
