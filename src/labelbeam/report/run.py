"""What a report shows of the run itself: where it comes from, how its training went, how it is calibrated.

Between the run directory and the report; plain values out. Draws nothing.
"""

import csv
import math
from collections.abc import Mapping
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
from labelbeam.predict.decision import Decision
from labelbeam.predict.promise_kinds import set_probability
from labelbeam.predict.promises import Promises, check_listed, check_unseen, plain_cut, plain_threshold
from labelbeam.predict.set_lists import listed_until, mass_before
from labelbeam.runs.choices import valid_promises
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


ASKED = ("precision=0.9", "recall=0.9")
UNSEEN, AMONG = 0.9, 0.9


def promises_of(ours: Subject) -> dict[str, Any]:
    """Return what became of promises, as plain values: the calibration images, and `of` promises one by one.

    Asked are those of the run's own decision and some usual ones. Each has what `check_unseen` says, or `refused` with
    the reason; `plain` is what the threshold that just reached the target on the calibration images does.

    Raises:
        InputError: the run kept no calibration images aside.
    """
    found, own = valid_promises(ours.tagger.run), ours.tagger.run.config.decision
    if found is None:
        raise InputError(
            "The run kept no images aside for promises. Train with --calibrate SPEC or --calibrate-fraction 0.2."
        )
    texts = list(dict.fromkeys([*([own.promise] if own.promise else []), *ASKED]))
    rows = [
        _of_labels(ours, found, text, on_average=own.on_average and text == own.promise) for text in texts
    ]
    rows.append(_of_unseen(ours, found, own.unseen or UNSEEN))
    rows.append(_of_sets(ours, found, own.sets_among or AMONG))
    return {"data": found.data, "images": len(found.sample), "of": rows}


def _of_labels(ours: Subject, found: Promises, text: str, *, on_average: bool) -> dict[str, Any]:
    decision = Decision(rule="promise", promise=text, on_average=on_average)
    promise = decision.promised()
    assert promise is not None
    values: dict[str, Any] = {"promise": str(promise), "target": promise.target, "plain": None}
    if not promise.kind.startswith("label-"):
        plain = Decision(
            rule="threshold", threshold=plain_threshold(promise.kind, promise.target, found.sample)
        )
        values["plain"] = _checked(ours, plain, decision)
    try:
        found.keep(promise)
    except InputError as error:
        return values | {"refused": str(error)}
    return values | _checked(ours, decision, decision)


def _checked(ours: Subject, decided_by: Decision, promised: Decision) -> dict[str, Any]:
    """Return what became of a promise where sets are decided so, and how many labels an image gets."""
    comparison = ours.evaluation.comparison(decided_by)
    found: dict[str, Any] = ours.evaluation.promise_checks(promised, comparison)["labels"]
    assert comparison.decisions is not None
    return found | {"size": float((comparison.decisions.sum(axis=1) + comparison.outside).mean())}


def _of_unseen(ours: Subject, found: Promises, target: float) -> dict[str, Any]:
    path, answers = Decision(unseen=target), ours.evaluation.answers
    comparison, sets = ours.evaluation.comparison(path), answers.path_sets()
    sure = set_probability(answers.scores, sets, answers.log_probs)
    plain = check_unseen(target, sure >= plain_cut(target, found.sample), comparison)
    values: dict[str, Any] = {"target": target, "plain": plain | {"size": plain["share_unseen"]}}
    try:
        found.keep_unseen(target, "path", None)
    except InputError as error:
        return {"promise": plain["promise"], **values, "refused": str(error)}
    checked = ours.evaluation.promise_checks(path, comparison)["unseen"]
    return values | checked | {"size": checked["share_unseen"]}


def _of_sets(ours: Subject, found: Promises, target: float) -> dict[str, Any]:
    decision, evaluation = Decision(sets_among=target), ours.evaluation
    truth = evaluation.dataset.with_vocabulary(evaluation.vocabulary.names).targets
    values: dict[str, Any] = {"target": target, "plain": None}
    try:
        most = found.keep_listed(target)
    except InputError as error:
        words = f"the true set is among those listed with probability {target:g} on average"
        return values | {"promise": words, "refused": str(error)}
    listed = decision.listed(evaluation.answers)
    checked = evaluation.promise_checks(decision, evaluation.comparison(Decision()))["sets"]
    quantile = float(np.quantile(found.sample.before, target, method="inverted_cdf"))
    cut = [listed_until(one, min(quantile, most)) for one in listed]
    held = np.isfinite(mass_before(cut, truth))
    shorter = check_listed(target, held, np.array([len(one) for one in cut]))
    plain = shorter | {"size": shorter["sets"]["mean"]}
    return values | checked | {"size": checked["sets"]["mean"], "plain": plain}
