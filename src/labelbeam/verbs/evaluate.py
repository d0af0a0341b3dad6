"""`labelbeam evaluate`: a run on labelled images; every number with its protocol and its interval."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labelbeam.errors import InputError
from labelbeam.verbs.option_groups import DECIDE, READ, Differences, takes_options

if TYPE_CHECKING:
    from labelbeam.data.dataset import Example


@takes_options("asked", DECIDE, panel="How labels are decided")
@takes_options("read", READ, panel="How the data is read")
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
    from labelbeam.answers.prediction import predictions_of
    from labelbeam.joints.asked_tagger import asked_tagger
    from labelbeam.joints.choices import reading_of
    from labelbeam.joints.evaluation import evaluate_features
    from labelbeam.joints.features import readable_features
    from labelbeam.joints.run_directory import versions
    from labelbeam.joints.score_table import (
        intervals,
        refuse_one_file_for_two,
        require_folder,
        show_scores,
        write_json,
    )
    from labelbeam.joints.spec import open_dataset
    from labelbeam.metrics import evaluation

    if k is not None and not asked.keys().isdisjoint(("decide", "threshold", "tuned_for", "abstain")):
        raise InputError(
            "--k decides by ranking, --decide, --threshold, --tuned-for and --abstain in other ways; exactly one "
            "decision protocol is possible. Leave one out."
        )
    if seed < 0:
        raise InputError(f"--seed must be 0 or more, given {seed}.")
    for option, path in (("--out", out), ("--predictions", predictions), ("--truth", truth)):
        require_folder(option, path)
    refuse_one_file_for_two({"--out": out, "--predictions": predictions, "--truth": truth})
    tagger = asked_tagger(runs, asked)
    trained, decision = tagger.run, tagger.run.config.decision
    dataset = open_dataset(data, options=reading_of(trained.config.read, data, read))
    dataset, features, notes = readable_features(dataset, trained.encoder, flips=False)
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
    if bootstrap:
        result["intervals"] = intervals(comparison, resamples=bootstrap, seed=seed)
    if predictions is not None:
        said = predictions_of(
            dataset.images,
            measured.answers,
            decision=decision,
            vocabulary=trained.vocabulary,
            thresholds=measured.thresholds,
            all_scores=True,
        )
        _write_lines(predictions, (one.to_json() for one in said))
    if truth is not None:
        _write_lines(truth, (_truth_line(dataset.example(i)) for i in range(len(dataset))))
    if out is not None:
        write_json(out, result)
    if json_:
        typer.echo(json.dumps(result, ensure_ascii=False))
    elif out is None:
        show_scores(result)


def _truth_line(example: "Example") -> str:
    line = {"image": example.image, "labels": example.present, "unknown": example.unknown}
    return json.dumps(line, ensure_ascii=False)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    from labelbeam.data.whole_file import written_whole

    with written_whole(path) as part, part.open("w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)
