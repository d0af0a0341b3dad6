"""What a report says of the run itself: where it comes from, how its training went, how it is calibrated."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from labelbeam.charts.scatter import even_ticks
from labelbeam.data.dataset import Dataset
from labelbeam.errors import InputError
from labelbeam.features.of_dataset import readable_features
from labelbeam.formats.registry import maybe_incomplete
from labelbeam.metrics.intervals import shares_of
from labelbeam.parsing import read_json
from labelbeam.runs.evaluation import Evaluation, evaluate_features
from labelbeam.runs.run_directory import Run, load_run, versions
from labelbeam.runs.tagger import Tagger

# What a report says of the run itself: where it comes from, how its training went, how it is calibrated.
#
# Between the run directory and the report; plain values out. Draws nothing.

SCORES_ANSWERED = 4_000_000
"""A report answers for so many images that there are so many scores, where it is not told a number: a minute or two."""


def drawn_images(dataset: Dataset, num_labels: int, *, most: int | None, seed: int) -> Dataset:
    """Return the images that a report answers for: all, or some drawn at random, in the order of the data.

    Args:
        dataset: labelled images.
        num_labels: of the run.
        most: images, at most; None: as many as have `SCORES_ANSWERED` scores.
        seed: of the draw.

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
        folder: of the run.
        tagger: it.
        evaluation: its answers beside the truth.
        features: single precision [images features].
    """

    folder: Path
    tagger: Tagger
    evaluation: Evaluation
    features: Float32[np.ndarray, "images features"]


def subject_of(folder: Path, dataset: Dataset, *, loaded: Run | None = None) -> Subject:
    """Load a run and answer for labelled images.

    Args:
        folder: of the run.
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
        ours: the run.
        rival: the run beside it.
        training: the images it was trained on; None: they cannot be read here.
        given: images of the data.
        answered: of these, how many were looked at, drawn at random where they are fewer.
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
        told = read_json(folder / "versions.json")
    except InputError:
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
                {"score": float(score), "count": int(count), "share": shares.to_dict(i)}
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


# How training went: a line per column of the log, by epoch; the best epoch stands out.
#
# Positions are in percent and letters in pixels. Everything a user wrote is escaped. Knows nothing of files.

HIGH, FOOT = 200, 26


def learning_curve(
    epochs: Sequence[float],
    lines: Mapping[str, Sequence[float | None]],
    *,
    title: str,
    best: float | None = None,
) -> str:
    """Return lines over epochs.

    Args:
        epochs: rising.
        lines: by name, at most four, one value per epoch; None: not measured.
        title: for readers of screens.
        best: epoch that gets an upright line; None: no line.
    """
    values = [value for line in lines.values() for value in line if value is not None]
    if not values or len(epochs) < 2:
        return ""
    ticks = even_ticks(min(0.0, *values), max(values))
    low, high = ticks[0], ticks[-1]
    span, wide = (high - low) or 1.0, (epochs[-1] - epochs[0]) or 1.0

    def x(epoch: float) -> float:
        return 100 * (epoch - epochs[0]) / wide

    def y(value: float) -> float:
        return HIGH * (1 - (value - low) / span) + 8

    parts = []
    for value in ticks:
        parts.append(f'<line class="grid" x1="0" x2="100%" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text class="quiet" x="-8" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    shown = dict.fromkeys((epochs[0], epochs[len(epochs) // 2], epochs[-1]))
    parts += [
        f'<text class="quiet" x="{x(epoch):.2f}%" y="{HIGH + FOOT}" text-anchor="middle">{epoch:g}</text>'
        for epoch in shown
    ]
    if best is not None:
        at = f"{x(best):.2f}%"
        parts.append(f'<line class="best" x1="{at}" x2="{at}" y1="8" y2="{HIGH + 8}"/>')
    for number, (name, line) in enumerate(lines.items()):
        known = [(epoch, value) for epoch, value in zip(epochs, line, strict=True) if value is not None]
        points = " ".join(f"{10 * x(epoch):.1f},{y(value):.1f}" for epoch, value in known)
        parts.append(
            f'<svg width="100%" height="{HIGH + 8}" viewBox="0 0 1000 {HIGH + 8}" preserveAspectRatio="none">'
            f'<polyline class="learning l{number}" points="{points}"/></svg>'
        )
        parts += [
            f'<circle class="s{number}" cx="{x(epoch):.2f}%" cy="{y(value):.1f}" r="3"><title>'
            f"{escape(f'{name}, epoch {epoch:g}: {value:.4g}')}</title></circle>"
            for epoch, value in known
        ]
    return (
        f'<svg class="chart learning-curve" role="img" width="100%" height="{HIGH + FOOT + 8}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


# Are probabilities what they say? Share of present labels against the probability given to them.
#
# Takes bins; knows nothing of models or files.

SIDE, EDGE = 320, 40


@dataclass(frozen=True)
class ReliabilityBin:
    """Scores that lie close together.

    Attributes:
        score: their mean, in [0, 1].
        share: how many of them are of present labels, as a fraction.
        low: lower end of the share's interval.
        high: upper end.
        count: how many they are.
    """

    score: float
    share: float
    low: float
    high: float
    count: int


def reliability(bins: Sequence[ReliabilityBin], *, title: str) -> str:
    """Return a reliability diagram: on the diagonal, probabilities are what they say.

    Args:
        bins: by rising score; the area of a disc grows with the bin's count, from a least size.
        title: for readers of screens.

    Source:
        DeGroot and Fienberg 1983; Niculescu-Mizil and Caruana 2005.
    """
    most = max((one.count for one in bins), default=1)
    parts = [f'<line class="diagonal" x1="{_x(0.0)}" y1="{_y(0.0)}" x2="{_x(1.0)}" y2="{_y(1.0)}"/>']
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<line class="grid" x1="{_x(0.0)}" x2="{_x(1.0)}" y1="{_y(tick)}" y2="{_y(tick)}"/>')
        parts.append(
            f'<text class="quiet" x="{EDGE - 6}" y="{_y(tick) + 4:g}" text-anchor="end">{tick:g}</text>'
        )
        parts.append(
            f'<text class="quiet" x="{_x(tick)}" y="{SIDE + 26}" text-anchor="middle">{tick:g}</text>'
        )
    for one in bins:
        radius = 3 + 5 * (one.count / most) ** 0.5
        hint = f"said {one.score:.3f}, is {one.share:.3f} ({one.low:.3f} to {one.high:.3f}) of {one.count:,}"
        parts.append(
            f'<g><title>{escape(hint)}</title><line class="span" x1="{_x(one.score)}" x2="{_x(one.score)}" '
            f'y1="{_y(one.low)}" y2="{_y(one.high)}"/>'
            f'<circle class="dot" cx="{_x(one.score)}" cy="{_y(one.share)}" r="{radius:.1f}"/></g>'
        )
    parts.append(
        f'<text class="quiet" x="{_x(1.0)}" y="{SIDE + 44}" text-anchor="end">probability said →</text>'
    )
    parts.append(f'<text class="quiet" x="{_x(0.0) + 6}" y="{_y(1.0) + 14:g}">↑ share present</text>')
    width, height = SIDE + EDGE + 16, SIDE + 50
    return (
        f'<svg class="chart reliability" role="img" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _x(value: float) -> float:
    return round(EDGE + SIDE * value, 2)


def _y(value: float) -> float:
    return round(10 + SIDE * (1 - value), 2)
