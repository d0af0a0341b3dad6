"""`labelbeam evaluate` and `labelbeam score`: a run's or anybody's predictions against the truth, with protocol."""

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labelbeam.cli.options import DECIDE, READ, Differences, say_json, takes_options
from labelbeam.errors import InputError

if TYPE_CHECKING:
    from labelbeam.data.dataset import Example
    from labelbeam.metrics.comparison import Comparison
    from labelbeam.metrics.prediction_file import Truth

# `labelbeam evaluate`: a run on labelled images; every number with its protocol and its interval.


@takes_options(asked=(DECIDE, "How labels are decided"), read=(READ, "How the data is read"))
def evaluate(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN…", help="Folder of a trained run; several answer as one.")
    ],
    data: Annotated[str, typer.Option(help="Labelled images, FORMAT:PATH#SPLIT.")],
    k: Annotated[int | None, typer.Option(help="Decide exactly K labels per image, by ranking.")] = None,
    bootstrap: Annotated[
        int, typer.Option(help="Resamples of the images for 95 % intervals; 0: none.")
    ] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the resampling.")] = 0,
    predictions: Annotated[
        Path | None, typer.Option(help="Also write the predictions (JSON Lines, for `labelbeam score`).")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Also write the truth (JSON Lines, for `labelbeam score`).")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the JSON object to this file.")] = None,
    *,
    read: Differences,
    asked: Differences,
) -> None:
    """Evaluate a run: P, R, F1, mAP, MAP@10, set accuracy and log-likelihood of held-out images."""
    from labelbeam.features.extract import readable_features
    from labelbeam.formats.registry import for_learning, open_dataset
    from labelbeam.metrics import evaluation
    from labelbeam.metrics.score_table import (
        intervals,
        refuse_one_file_for_two,
        require_folder,
        show_scores,
        write_json,
    )
    from labelbeam.predict.prediction import predictions_of
    from labelbeam.predict.promises import check_lines
    from labelbeam.runs.choices import reading_of
    from labelbeam.runs.evaluation import evaluate_features
    from labelbeam.runs.run_directory import versions
    from labelbeam.runs.tagger import OF_DECISION, asked_tagger, estimates_nothing, nothing_as_seen

    if k is not None and not asked.keys().isdisjoint(OF_DECISION):
        raise InputError(
            "--k decides by ranking; --decide, --threshold, --tuned-for, --abstain and promises in other ways; exactly "
            "one decision protocol is possible. Leave one out."
        )
    if seed < 0:
        raise InputError(f"--seed must be 0 or more, given {seed}.")
    for option, path in (("--out", out), ("--predictions", predictions), ("--truth", truth)):
        require_folder(option, path)
    refuse_one_file_for_two({"--out": out, "--predictions": predictions, "--truth": truth})
    tagger = asked_tagger(runs, asked, may_estimate=True)
    trained, decision = tagger.run, tagger.run.config.decision
    dataset = open_dataset(data, options=for_learning(data, reading_of(trained.config.read, data, read)))
    dataset, features, notes = readable_features(dataset, trained.encoder, flips=False)
    if (k is None or "nothing" in asked) and estimates_nothing(tagger, asked):
        tagger = nothing_as_seen(tagger, features[:, 0], asked)
    measured = evaluate_features(tagger, dataset, features[:, 0], notes=(*dataset.notes, *notes))
    comparison = measured.comparison(decision, k=k)
    result: dict[str, Any] = {
        "run": str(runs[0]) if len(runs) == 1 else [str(run) for run in runs],
        "head": trained.config.head,
        "data": dataset.spec,
        "data_protocol": dict(dataset.protocol),
        "search": asdict(tagger.run.config.search),
        "calibrated": measured.answers.calibrated,
        "reliability": measured.reliability().to_json(),
        "versions": versions(),
        **evaluation.evaluate(comparison).to_json(),
    }
    checks = measured.promise_checks(decision, comparison)
    if checks:
        result["promises"] = checks
    if bootstrap:
        result["intervals"] = intervals(comparison, resamples=bootstrap, seed=seed)
    if predictions is not None:
        answered = predictions_of(
            dataset.images,
            measured.answers,
            decision=decision,
            vocabulary=trained.vocabulary,
            thresholds=measured.thresholds,
            all_scores=True,
            nothing=tagger.run.config.search.nothing,
        )
        _write_lines(predictions, (one.to_json() for one in answered))
    if truth is not None:
        _write_lines(truth, (_truth_line(dataset.example(i)) for i in range(len(dataset))))
    if out is not None:
        write_json(out, result)
    if json_:
        say_json(result)
    elif out is None:
        show_scores(result, more=check_lines(checks))


def _truth_line(example: "Example") -> str:
    line = {"image": example.image, "labels": example.present, "unknown": example.unknown}
    return json.dumps(line, ensure_ascii=False)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    from labelbeam.files import written_whole

    with written_whole(path) as part, part.open("w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


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
    promise: Annotated[
        str | None,
        typer.Option(help="Was it kept? precision=0.95, recall=0.9, label-precision=…, label-recall=…"),
    ] = None,
    unseen: Annotated[
        float | None,
        typer.Option(help='Of the images whose lines say `"unseen": true`, are so many exactly right?'),
    ] = None,
    sets_among: Annotated[
        float | None, typer.Option(help="Is the true set among the `sets` of its line so often?")
    ] = None,
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
    from labelbeam.metrics.evaluation import evaluate
    from labelbeam.metrics.file_comparison import read_listed, read_unseen
    from labelbeam.metrics.prediction_file import read_truth
    from labelbeam.metrics.score_table import intervals, require_folder, show_scores, write_json
    from labelbeam.predict.promises import Promise, check_lines, check_listed, check_promise, check_unseen

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
    checks = {} if promise is None else {"labels": check_promise(Promise.parse(promise), ours)}
    for name, share in (("--unseen", unseen), ("--sets-among", sets_among)):
        if share is not None and not 0 < share < 1:
            raise InputError(f"{name} is {share:g}; it must lie between 0 and 1, such as 0.9.")
    if unseen is not None:
        checks["unseen"] = check_unseen(unseen, read_unseen(pred, known), ours)
    if sets_among is not None:
        checks["sets"] = check_listed(sets_among, *read_listed(pred, known))
    if checks:
        result["promises"] = checks
    if out is not None:
        write_json(out, result)
    elif json_:
        say_json(result)
    else:
        show_scores(result, per_class=per_class, more=check_lines(checks))


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

    from labelbeam.metrics.evaluation import evaluate
    from labelbeam.metrics.intervals import paired_bootstrap

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
