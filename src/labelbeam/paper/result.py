"""From a request to every number of a reproduction: train, ask, measure, compare; one object of plain values.

The values are the JSON file; `tables` lays them side by side with the paper's, the page shows them.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.demo import encoder_config
from labelbeam.encoders.catalogue import build_encoder
from labelbeam.errors import InputError
from labelbeam.features.extract import readable_features
from labelbeam.files import written_whole
from labelbeam.paper import measures
from labelbeam.paper import plan as plans
from labelbeam.paper.paper_tables import MARKS, PAPER_TABLES, misfits, not_exactly_k
from labelbeam.paper.rows import ROWS
from labelbeam.parsing import read_json
from labelbeam.progress import progress_bar
from labelbeam.runs.config import to_plain
from labelbeam.runs.run_directory import versions
from labelbeam.training.train import train_run

# Beside each run's folder stands a small JSON file with a digest of what decides the run: configuration, training
# labels, encoder weights. A finished run of the same digest is kept, an unfinished one goes on, another is replaced.

Report = Callable[[str], None]


@dataclass(frozen=True)
class TrainedRow:
    """A row, trained.

    Attributes:
        runs: of the chosen configuration, one per seed.
        tried: for each configuration its settings and its scores on the validation images.
        seconds: of all its trainings.
        command: that makes the first run by itself.
    """

    row: str
    runs: tuple[plans.PlannedRun, ...]
    tried: tuple[dict[str, Any], ...]
    seconds: float
    digests: tuple[str, ...]
    command: str

    @property
    def chosen(self) -> int:
        """Number of the configuration chosen."""
        return self.runs[0].configuration


def train_rows(request: plans.Request, train: Dataset, *, report: Report) -> list[TrainedRow]:
    """Train every row: its configurations with the first seed, then the best one with the others.

    Args:
        report: gets a line for each step.

    Raises:
        InputError: data, encoder or folder cannot be used.
    """
    if request.trains_encoder:
        report("training the encoder of the scenes, then freezing it")
        done = plans.encoder_folder(request) / "encoder.safetensors"
        if not (done.is_file() and (plans.encoder_folder(request) / "labels.json").is_file()):
            # Frozen features of a network trained end to end with a sigmoid head: no row is favoured that we train.
            with progress_bar("encoder", encoder_config().recipe.epochs) as advance:
                train_run(encoder_config(), plans.encoder_folder(request), report=_epochs_to(advance, report))
    labels, count = plans.digest_of(train), len(train)
    rows = []
    for number, row in enumerate(request.rows, 1):
        tried: list[dict[str, Any]] = []
        digests: dict[str, str] = {}
        seconds = 0.0
        candidates = plans.tries(request, row, training_images=count)
        for run in candidates:
            report(f"row {number} of {len(request.rows)}: {run.name}")
            outcome = _train(run, labels, recipe=request.recipe, report=report)
            digests[run.name], seconds = outcome["digest"], seconds + outcome["seconds"]
            tried.append({"settings": run.settings, "validation": outcome["validation"]})
        best = max(range(len(tried)), key=lambda i: (tried[i]["validation"].get(plans.CHOSEN_BY) or 0.0, -i))
        runs = [candidates[best]]
        for seed in range(1, request.seeds):
            run = plans.planned(
                *(request, row),
                configuration=best,
                settings=candidates[best].settings,
                seed=seed,
                training_images=count,
            )
            report(f"row {number} of {len(request.rows)}: {run.name}")
            outcome = _train(run, labels, recipe=request.recipe, report=report)
            digests[run.name], seconds = outcome["digest"], seconds + outcome["seconds"]
            runs.append(run)
        command = runs[0].command(request.recipe)
        rows.append(
            TrainedRow(
                row, tuple(runs), tuple(tried), seconds, tuple(digests[run.name] for run in runs), command
            )
        )
    return rows


def _train(run: plans.PlannedRun, labels: str, *, recipe: str, report: Report) -> dict[str, Any]:
    """Train a run, go on with it, or read its file; returns digest, seconds and validation scores."""
    folder, beside = run.folder, run.folder.with_name(run.folder.name + ".json")
    wanted = run_digest(run, labels)
    before = _read(beside)
    same = before.get("digest") == wanted
    if same and before.get("validation") is not None and (folder / "labels.json").is_file():
        return before
    folder.parent.mkdir(parents=True, exist_ok=True)
    spent = float(before.get("seconds", 0.0)) if same else 0.0
    _write(beside, {"digest": wanted, "seconds": spent, "validation": None})
    # Whatever else the folder holds was made by another configuration and would be taken for this one's.
    (folder / "labels.json").unlink(missing_ok=True)
    started = time.monotonic()
    with progress_bar(run.name, run.config.recipe.epochs) as advance:
        done = train_run(
            run.config, folder, command=run.command(recipe), anew=not same, report=_epochs_to(advance, report)
        )
    outcome = {
        "digest": wanted,
        "seconds": spent + time.monotonic() - started,
        "epochs": done.best_epoch,
        "validation": {
            name: value
            for name, value in done.metrics.items()
            if isinstance(value, float) and not isinstance(value, bool)
        },
    }
    _write(beside, outcome)
    return outcome


def _epochs_to(advance: Callable[[int], None], report: Report) -> Report:
    """Return what takes a training's lines: epochs move the progress bar, everything else is reported."""
    return lambda line: advance(1) if line.startswith("epoch ") else report(line)


def run_digest(run: plans.PlannedRun, labels: str) -> str:
    """Return a text that is another one when anything that decides a run is another."""
    own = to_plain(replace(run.config, encoder=replace(run.config.encoder, weights=None)))
    text = json.dumps([own, labels, plans.weights_digest(run.config)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(path: Path) -> dict[str, Any]:
    try:
        outcome = read_json(path)
    except InputError:
        return {}
    return outcome if isinstance(outcome, dict) else {}


def _write(path: Path, outcome: dict[str, Any]) -> None:
    with written_whole(path) as part:
        part.write_text(json.dumps(outcome, indent=1) + "\n", encoding="utf-8")


FEW_CELLS = 4_000_000
"""Test images times labels up to which intervals take 1,000 draws by default; above it 200."""

MEASURE_SEED = 0


def reproduce(request: plans.Request, *, command: str, report: Callable[[str], None]) -> dict[str, Any]:
    """Train and measure every row.

    Args:
        command: how the user called this, for the result.
        report: gets a line for each step.

    Returns:
        Plain values, ready for JSON.

    Raises:
        InputError: data, encoder or folder cannot be used; test images that are training images.
    """
    if request.train_spec == request.test_spec:
        raise InputError(f"{request.train_spec}: these are training images and test images. Give two splits.")
    views, train = plans.truth_views(request), plans.open_split(request, request.train_spec)
    require_disjoint(train, next(iter(views.values())))
    trained = train_rows(request, train, report=_once(report))
    main_view, dataset = next(iter(views.items()))
    encoder = build_encoder(trained[0].runs[0].config.encoder)
    report(f"features of {dataset.spec}")
    dataset, features, notes = readable_features(dataset, encoder, flips=False)
    views = _readable(views, dataset)
    resamples = request.bootstrap
    if resamples is None:
        resamples = 1000 if len(dataset) * len(dataset.vocabulary) <= FEW_CELLS else 200
    measured: list[measures.Measured] = []
    for number, row in enumerate(trained):
        report(f"measuring {row.row}")
        answers = _answers(request, row, dataset, features[:, 0])
        for view, seen in views.items():
            measured += measures.measure(
                row.row,
                [one.of_rows(_rows_of(seen, dataset)) for one in answers],
                seen,
                view=view,
                main=view == main_view,
                k=request.benchmark.k,
                resamples=resamples,
                seed=MEASURE_SEED,
                of_seeds=number,
            )
    return _values(request, trained, measured, dataset, resamples=resamples, command=command, notes=notes)


def _once(report: Callable[[str], None]) -> Callable[[str], None]:
    """Return what reports each sentence once: every row reads the same data and would say the same of them."""
    reported: set[str] = set()

    def say(line: str) -> None:
        if line not in reported:
            reported.add(line)
            report(line)

    return say


def _answers(
    request: plans.Request, row: TrainedRow, dataset: Dataset, features: np.ndarray
) -> list[measures.RowAnswers]:
    test = plans.digest_of(dataset)
    return [
        measures.answers_of(
            run.folder,
            dataset,
            features,
            k=request.benchmark.k,
            kept=request.out / "answers" / f"{run.name}.safetensors",
            digest=f"{digest} {test} {request.benchmark.k}",
        )
        for run, digest in zip(row.runs, row.digests, strict=True)
    ]


def _readable(views: Mapping[str, Dataset], dataset: Dataset) -> dict[str, Dataset]:
    """Return every reading of the images that could be read; no columns but the main reading's."""
    there = set(dataset.images)
    found = {}
    for view, seen in views.items():
        if seen.vocabulary.names != dataset.vocabulary.names:
            seen = seen.with_vocabulary(dataset.vocabulary.names)
        found[view] = seen.subset(i for i, image in enumerate(seen.images) if image in there)
    return found


def _rows_of(seen: Dataset, dataset: Dataset) -> np.ndarray:
    place = {image: i for i, image in enumerate(dataset.images)}
    return np.array([place[image] for image in seen.images], dtype=np.int64)


def _values(
    request: plans.Request,
    trained: Sequence[TrainedRow],
    measured: Sequence[measures.Measured],
    dataset: Dataset,
    *,
    resamples: int,
    command: str,
    notes: Sequence[str],
) -> dict[str, Any]:
    main_view = measured[0].view
    pairs = measures.differences(measured, view=main_view) if resamples else []
    free = measures.differences(measured, view=main_view, ours=measures.FREE) if resamples else []
    train_config = trained[0].runs[0].config
    blocks: dict[str, Any] = {}
    for one in measured:
        blocks.setdefault(_key(one), {"view": one.view, "protocol": one.protocol, **one.block})
    numbers: dict[str, dict[str, Any]] = {}
    for one in measured:
        numbers.setdefault(_key(one), {})[one.row] = one.to_json()
    return {
        "benchmark": request.benchmark.name,
        "title": request.benchmark.title,
        "k": request.benchmark.k,
        "data": {
            "train": request.train_spec,
            "test": request.test_spec,
            "official_splits": request.on_official_splits,
            "test_images": len(dataset),
            "labels": len(dataset.vocabulary),
            "mean_labels": float((dataset.targets == 1).sum(axis=1).mean()),
            "protocol": dict(dataset.protocol),
            "notes": [*dataset.notes, *notes],
        },
        "encoder": {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(train_config.encoder).items()
        },
        "recipe": request.recipe,
        "seeds": request.seeds,
        "configurations": request.configurations,
        "chosen_by": plans.CHOSEN_BY,
        "resamples": resamples,
        "rows": {
            row.row: {
                "name": ROWS[row.row].title,
                "chosen_configuration": row.chosen,
                "tried": [
                    {"settings": one["settings"], plans.CHOSEN_BY: one["validation"].get(plans.CHOSEN_BY)}
                    for one in row.tried
                ],
                "training_seconds": row.seconds,
                "runs": [str(run.folder) for run in row.runs],
                "command": row.command,
            }
            for row in trained
        },
        "main_view": main_view,
        "protocols": blocks,
        "measured": numbers,
        "per_class": {
            one.row: one.per_class
            for one in measured
            if one.protocol == measures.RANKED and one.view == main_view
        },
        "differences": [one.to_json() for one in pairs],
        "differences_from_no_repeat": [one.to_json() for one in free],
        "verdicts": [
            sentence.replace("exactly k labels", f"exactly {request.benchmark.k} labels")
            for sentence in measures.verdicts(pairs, seeds=request.seeds)
        ],
        "paper": paper_values(request.benchmark.name, decided=_decided(request, blocks, main_view, dataset)),
        "remarks": list(request.benchmark.remarks),
        "command": command,
        "versions": versions(),
    }


def _key(one: measures.Measured) -> str:
    return f"{one.protocol} | {one.view}"


def _decided(request: plans.Request, blocks: Mapping[str, Any], view: str, dataset: Dataset) -> float | None:
    """Return labels decided per true label by exactly k; None without a k, or on other images than the paper's."""
    k = blocks[f"{measures.RANKED} | {view}"].get("k")
    true = int((dataset.targets == 1).sum())
    return None if k is None or not request.on_official_splits else k * len(dataset) / true


def paper_values(name: str, *, decided: float | None) -> dict[str, Any] | None:
    """Return the paper's table as plain values, with what does not fit in it; None where it has none.

    Args:
        decided: labels decided per true label by exactly k, of the test images at hand; None: not known.
    """
    table = PAPER_TABLES.get(name)
    if table is None:
        return None
    return {
        "title": table.title,
        "numbers": list(table.numbers),
        "rows": [
            {
                "method": row.method,
                "head": row.head,
                "source": row.source,
                "printed": dict(row.printed),
                "marks": {number: row.mark_of(number) for number in row.printed},
                "doubt": row.doubt,
            }
            for row in table.rows
        ],
        "marks": dict(MARKS),
        "misfits": [asdict(one) for one in misfits(table)],
        "not_exactly_k": [] if decided is None else not_exactly_k(table, decided=decided),
        "remarks": list(table.remarks),
    }


def protocol_title(protocol: str, k: int | None) -> str:
    """Return a protocol's name in a table.

    Example:
        >>> protocol_title("path-k", 3)
        'path-3: paths forced to exactly 3 labels'
    """
    if protocol == measures.RANKED:
        return "ranking measures" if k is None else f"exact-{k}: the {k} best-ranked labels"
    words = measures.TITLES[protocol]
    if k is not None:
        words = (
            words.replace("top-k", f"top-{k}")
            .replace("k labels", f"{k} labels")
            .replace("k best", f"{k} best")
        )
        protocol = (
            protocol.replace("top-k", f"top-{k}")
            .replace("path-k", f"path-{k}")
            .replace("up-to-k", f"up-to-{k}")
        )
    return f"{protocol}: {words}"


def require_disjoint(train: Dataset, test: Dataset) -> None:
    """Refuse test images that are training images.

    Raises:
        InputError: an image is in both.
    """
    shared = sorted(set(train.paths) & set(test.paths))
    if shared:
        raise InputError(
            f"{len(shared)} images of {test.spec} are training images of {train.spec} too ({shared[0].name}, …). "
            "Every row would be flattered; give splits without common images."
        )
