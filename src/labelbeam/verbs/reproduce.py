"""`labelbeam reproduce`: the paper's table of a benchmark beside ours, every row trained on the same features."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from labelbeam.errors import InputError
from labelbeam.verbs.option_groups import ENCODER, READ, Differences, takes_options

RESULT, PAGE = "reproduction.json", "index.html"


OF_BENCHMARKS = tuple(
    option for option in READ if option.field in ("difficult", "keep_unlabelled", "missing")
)
"""The benchmarks' formats have no other option; `--root` is the folder of the data here."""


@takes_options("encoder", ENCODER, panel="Encoder")
@takes_options("read", OF_BENCHMARKS, panel="How the data is read")
def reproduce(
    benchmark: Annotated[
        str, typer.Argument(metavar="NAME", help="voc2007, coco2014, nuswide81, nuswide1000 or scenes.")
    ],
    root: Annotated[Path | None, typer.Option(help="Folder that holds the data (scenes need none).")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for runs, JSON and page (default: runs/reproduce-NAME).")
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option(
            help="Only these rows, a,b: knn, softmax, warp, sigmoid, no-rnn, cnn-rnn, asymmetric, …"
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each row.")] = 1,
    configurations: Annotated[
        int,
        typer.Option(
            help="Tried for each row, chosen on a validation part of the training split; 1: the fixed recipe."
        ),
    ] = 1,
    recipe: Annotated[
        str, typer.Option(help="default, or paper (RMSprop and the paper's numbers).")
    ] = "default",
    train_split: Annotated[str | None, typer.Option(help="Instead of the official training split.")] = None,
    test_split: Annotated[str | None, typer.Option(help="Instead of the official test split.")] = None,
    bootstrap: Annotated[
        int | None,
        typer.Option(help="Draws of the test images for intervals; 0: none (default: 1000, large data 200)."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print commands, images and expected time; write nothing.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    *,
    read: Differences,
    encoder: Differences,
) -> None:
    """Train and judge every row of a table of the paper on the same features; print paper and ours side by side.

    Run it again to go on after an interruption: rows that are trained already, with the same settings, are kept.
    """
    from labelbeam.joints.reproduction.benchmarks import benchmark_named, rows_named
    from labelbeam.joints.reproduction.plan import Request

    wanted = benchmark_named(benchmark)
    if wanted.has_path and root is None:
        raise InputError(f"reproduce {benchmark} needs --root DIR, the folder that holds {wanted.title}.")
    if bootstrap is not None and (bootstrap == 1 or bootstrap < 0):
        raise InputError(
            f"--bootstrap {bootstrap}: an interval needs at least 2 draws; 1000 is usual, 0 gives none."
        )
    request = Request(
        wanted,
        root,
        out or Path("runs") / f"reproduce-{benchmark}",
        train_split=train_split,
        test_split=test_split,
        encoder=encoder,
        read=read,
        recipe=recipe,
        rows=rows_named(rows),
        seeds=seeds,
        configurations=configurations,
    )
    if dry_run:
        from labelbeam.joints.reproduction.expected_time import plan_of, print_plan

        plan = plan_of(request)
        if json_:
            typer.echo(json.dumps(plan, ensure_ascii=False))
        else:
            print_plan(plan)
        return
    from labelbeam.data.whole_file import written_whole
    from labelbeam.joints.reproduction.result import reproduce as reproduce_all
    from labelbeam.joints.reproduction.tables import tables_of
    from labelbeam.pages.reproduction_page import reproduction_page
    from labelbeam.pages.side_by_side import print_table

    command = shlex.join(["labelbeam", *sys.argv[1:]])
    values = reproduce_all(
        request,
        resamples=bootstrap,
        command=command,
        report=lambda line: print(line, file=sys.stderr, flush=True),
    )
    tables = tables_of(values)
    text = json.dumps(values, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    for file, content in ((RESULT, text), (PAGE, reproduction_page(values, tables))):
        with written_whole(request.out / file) as part:
            part.write_bytes(content.encode("utf-8", "backslashreplace" if file == RESULT else "replace"))
    if json_:
        typer.echo(json.dumps(values, ensure_ascii=False, allow_nan=False))
        return
    for table in tables:
        if not table.wide:
            print_table(table, width=None if sys.stdout.isatty() else 160)
    for sentence in values["verdicts"]:
        print(sentence)
    print(f"\n{request.out / PAGE}: the page; {request.out / RESULT}: every number.")
