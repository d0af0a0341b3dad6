"""`labelbeam score`: scores for anybody's predictions, from two JSON Lines files.

Needs no model and imports no torch. Knows only how to ask and how to show: reading, counting and resampling
are nouns of `labelbeam.metrics`.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labelbeam.errors import InputError

if TYPE_CHECKING:
    from labelbeam.metrics.comparison import Comparison
    from labelbeam.metrics.truth_file import Truth


def score(
    truth: Annotated[Path, typer.Option(help='True labels, one {"image", "labels", "unknown"} a line.')],
    pred: Annotated[
        Path,
        typer.Option(help="Predictions: lines with `labels` (best first), `scores`, or as `tag` writes."),
    ],
    k: Annotated[int | None, typer.Option(help="Decide exactly K labels per image, by ranking.")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Decide every label with at least this score.")
    ] = None,
    sets: Annotated[
        bool, typer.Option("--sets", help="Decide the sets as given (default where every line has `labels`).")
    ] = False,
    min_score: Annotated[
        float | None,
        typer.Option(help="With --k: of the K best only those with at least this score (ML-GCN's top-k)."),
    ] = None,
    missing: Annotated[
        str, typer.Option(help="An image without a prediction: `error`, or `empty` (nothing is predicted).")
    ] = "error",
    versus: Annotated[
        Path | None, typer.Option(help="Rival predictions of the same images, for a paired bootstrap test.")
    ] = None,
    bootstrap: Annotated[
        int | None,
        typer.Option(help="Resamples of the images for 95 % intervals (1000 with --versus, else none)."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the resampling.")] = 0,
    per_class: Annotated[
        bool, typer.Option("--per-class", help="Show every label (JSON always holds them).")
    ] = False,
    json_: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else; fractions in [0, 1].")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write the JSON object to this file instead of printing.")
    ] = None,
) -> None:
    """Score predictions against the truth: P, R, F1, mAP, MAP@10, set accuracy, under one named protocol."""
    from labelbeam.joints.score_table import intervals, require_folder, show_scores, write_json
    from labelbeam.metrics.evaluation import evaluate
    from labelbeam.metrics.truth_file import read_truth

    if seed < 0:
        raise InputError(f"--seed must be 0 or more, given {seed}.")
    require_folder("--out", out)
    known = read_truth(truth)
    asked = {"k": k, "threshold": threshold, "sets": sets, "min_score": min_score}
    ours = _compare(known, pred, missing=missing, asked=asked)
    result = evaluate(ours).to_json()
    if versus is not None:
        theirs = _compare(known, versus, missing=missing, asked=asked)
        result["versus"] = _versus(ours, theirs, file=str(versus), resamples=bootstrap or 1000, seed=seed)
    if bootstrap:
        result["intervals"] = intervals(ours, resamples=bootstrap, seed=seed)
    if out is not None:
        write_json(out, result)
    elif json_:
        typer.echo(json.dumps(result, ensure_ascii=False))
    else:
        show_scores(result, per_class=per_class)


def _compare(truth: "Truth", path: Path, *, missing: str, asked: dict[str, Any]) -> "Comparison":
    from labelbeam.metrics.file_comparison import choose_protocol, compare_files
    from labelbeam.metrics.prediction_file import read_predictions

    lowest = asked["threshold"] if asked["threshold"] is not None else asked["min_score"]
    depth = max(10, asked["k"] or 0)
    predictions = read_predictions(path, truth, missing=missing, depth=depth, threshold=lowest)
    return compare_files(truth, predictions, protocol=choose_protocol(predictions, **asked))


def _versus(
    ours: "Comparison", theirs: "Comparison", *, file: str, resamples: int, seed: int
) -> dict[str, Any]:
    import numpy as np

    from labelbeam.metrics.bootstrap import paired_bootstrap
    from labelbeam.metrics.evaluation import evaluate

    same_rule = replace(ours.protocol, decided_by=None) == replace(theirs.protocol, decided_by=None)
    if not same_rule:
        raise InputError(
            f"--versus compares under one protocol; the first file is scored by {ours.protocol.name!r} "
            f"({ours.protocol.rule}), {file} by {theirs.protocol.name!r} "
            f"({theirs.protocol.rule}). Give --k or --threshold."
        )
    found = paired_bootstrap(ours, theirs, rng=np.random.default_rng(seed), resamples=resamples)
    return {
        "file": file,
        "method": "paired percentile bootstrap over images; p is one-sided: small where the first is greater",
        "resamples": resamples,
        "confidence": 0.95,
        "seed": seed,
        "scores": evaluate(theirs).values,
        "differences": {name: asdict(difference) for name, difference in found.items()},
    }
