"""Training the rows of a reproduction, one after the other; what is there and the same is used again.

Beside each run's folder stands a small JSON file with a digest of what decides the run: configuration, training
labels, encoder weights. A finished run of the same digest is kept, an unfinished one goes on, another is replaced.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from labelbeam.data.dataset import Dataset
from labelbeam.demo import encoder_config
from labelbeam.errors import InputError
from labelbeam.files import written_whole
from labelbeam.paper.plan import (
    CHOSEN_BY,
    PlannedRun,
    Request,
    digest_of,
    encoder_folder,
    planned,
    tries,
    weights_digest,
)
from labelbeam.parsing import read_json
from labelbeam.progress import progress_bar
from labelbeam.runs.config import to_plain
from labelbeam.training.train import train_run

Report = Callable[[str], None]


@dataclass(frozen=True)
class TrainedRow:
    """A row, trained.

    Attributes:
        row: its name.
        runs: of the chosen configuration, one per seed.
        tried: for each configuration its settings and its scores on the validation images.
        seconds: of all its trainings.
        digests: of the runs.
        command: that makes the first run by itself.
    """

    row: str
    runs: tuple[PlannedRun, ...]
    tried: tuple[dict[str, Any], ...]
    seconds: float
    digests: tuple[str, ...]
    command: str

    @property
    def chosen(self) -> int:
        """Number of the configuration chosen."""
        return self.runs[0].configuration


def train_rows(request: Request, train: Dataset, *, report: Report) -> list[TrainedRow]:
    """Train every row: its configurations with the first seed, then the best one with the others.

    Args:
        request: what the user asked for.
        train: its training images.
        report: gets a line for each step.

    Raises:
        InputError: data, encoder or folder cannot be used.
    """
    if request.trains_encoder:
        report("training the encoder of the scenes, then freezing it")
        done = encoder_folder(request) / "encoder.safetensors"
        if not (done.is_file() and (encoder_folder(request) / "labels.json").is_file()):
            # Frozen features of a network trained end to end with a sigmoid head: no row is favoured that we train.
            with progress_bar("encoder", encoder_config().recipe.epochs) as advance:
                train_run(encoder_config(), encoder_folder(request), report=_epochs_to(advance, report))
    labels, count = digest_of(train), len(train)
    rows = []
    for number, row in enumerate(request.rows, 1):
        tried: list[dict[str, Any]] = []
        digests: dict[str, str] = {}
        seconds = 0.0
        candidates = tries(request, row, training_images=count)
        for run in candidates:
            report(f"row {number} of {len(request.rows)}: {run.name}")
            outcome = _train(run, labels, recipe=request.recipe, report=report)
            digests[run.name], seconds = outcome["digest"], seconds + outcome["seconds"]
            tried.append({"settings": run.settings, "validation": outcome["validation"]})
        best = max(range(len(tried)), key=lambda i: (tried[i]["validation"].get(CHOSEN_BY) or 0.0, -i))
        runs = [candidates[best]]
        for seed in range(1, request.seeds):
            run = planned(
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


def _train(run: PlannedRun, labels: str, *, recipe: str, report: Report) -> dict[str, Any]:
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


def run_digest(run: PlannedRun, labels: str) -> str:
    """Return a text that is another one when anything that decides a run is another."""
    own = to_plain(replace(run.config, encoder=replace(run.config.encoder, weights=None)))
    text = json.dumps([own, labels, weights_digest(run.config)], sort_keys=True, default=str)
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
