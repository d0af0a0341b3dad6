"""From a request to every number of a reproduction: train, ask, measure, compare; one object of plain values.

The values are the JSON file; `tables` lays them side by side with the paper's, the page shows them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.encoders.catalogue import build_encoder
from labelbeam.errors import InputError
from labelbeam.features.of_dataset import readable_features
from labelbeam.paper.measures import FREE, RANKED, TITLES, Measured, differences, measure, verdicts
from labelbeam.paper.paper_tables import MARKS, PAPER_TABLES, misfits, not_exactly_k
from labelbeam.paper.plan import CHOSEN_BY, Request, digest_of, open_split, truth_views
from labelbeam.paper.row_answers import RowAnswers, answers_of
from labelbeam.paper.rows import ROWS
from labelbeam.paper.training import TrainedRow, train_rows
from labelbeam.runs.run_directory import versions

FEW_CELLS = 4_000_000
"""Test images times labels up to which intervals take 1,000 draws by default; above it 200."""

MEASURE_SEED = 0


def reproduce(request: Request, *, command: str, report: Callable[[str], None]) -> dict[str, Any]:
    """Train and measure every row.

    Args:
        request: what the user asked for.
        command: how the user called this, for the result.
        report: gets a line for each step.

    Returns:
        Plain values, ready for JSON.

    Raises:
        InputError: data, encoder or folder cannot be used; test images that are training images.
    """
    if request.train_spec == request.test_spec:
        raise InputError(f"{request.train_spec}: these are training images and test images. Give two splits.")
    views, train = truth_views(request), open_split(request, request.train_spec)
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
    measured: list[Measured] = []
    for number, row in enumerate(trained):
        report(f"measuring {row.row}")
        answers = _answers(request, row, dataset, features[:, 0])
        for view, seen in views.items():
            measured += measure(
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


def _answers(request: Request, row: TrainedRow, dataset: Dataset, features: np.ndarray) -> list[RowAnswers]:
    test = digest_of(dataset)
    return [
        answers_of(
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
    request: Request,
    trained: Sequence[TrainedRow],
    measured: Sequence[Measured],
    dataset: Dataset,
    *,
    resamples: int,
    command: str,
    notes: Sequence[str],
) -> dict[str, Any]:
    main_view = measured[0].view
    pairs = differences(measured, view=main_view) if resamples else []
    free = differences(measured, view=main_view, ours=FREE) if resamples else []
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
        "chosen_by": CHOSEN_BY,
        "resamples": resamples,
        "rows": {
            row.row: {
                "name": ROWS[row.row].title,
                "chosen_configuration": row.chosen,
                "tried": [
                    {"settings": one["settings"], CHOSEN_BY: one["validation"].get(CHOSEN_BY)}
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
            one.row: one.per_class for one in measured if one.protocol == RANKED and one.view == main_view
        },
        "differences": [one.to_json() for one in pairs],
        "differences_from_no_repeat": [one.to_json() for one in free],
        "verdicts": [
            sentence.replace("exactly k labels", f"exactly {request.benchmark.k} labels")
            for sentence in verdicts(pairs, seeds=request.seeds)
        ],
        "paper": paper_values(request.benchmark.name, decided=_decided(request, blocks, main_view, dataset)),
        "remarks": list(request.benchmark.remarks),
        "command": command,
        "versions": versions(),
    }


def _key(one: Measured) -> str:
    return f"{one.protocol} | {one.view}"


def _decided(request: Request, blocks: Mapping[str, Any], view: str, dataset: Dataset) -> float | None:
    """Return labels decided per true label by exactly k; None without a k, or on other images than the paper's."""
    k = blocks[f"{RANKED} | {view}"].get("k")
    true = int((dataset.targets == 1).sum())
    return None if k is None or not request.on_official_splits else k * len(dataset) / true


def paper_values(name: str, *, decided: float | None) -> dict[str, Any] | None:
    """Return the paper's table as plain values, with what does not fit in it; None where it has none.

    Args:
        name: of the benchmark.
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
    if protocol == RANKED:
        return "ranking measures" if k is None else f"exact-{k}: the {k} best-ranked labels"
    words = TITLES[protocol]
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
