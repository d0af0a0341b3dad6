"""`labelbeam reproduce`: the paper's table of a benchmark beside ours, every row trained on the same features."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from labelbeam.verbs.option_groups import ENCODER, READ, Differences, SharedOption, takes_options

OF_BENCHMARKS = tuple(
    option for option in READ if option.field in ("difficult", "keep_unlabelled", "missing")
)
"""The benchmarks' formats have no other option; `--root` is the folder of the data here."""

TABLE = (
    SharedOption(
        "rows",
        str,
        "Only these rows, a,b: knn, softmax, warp, sigmoid, no-rnn, cnn-rnn, …; all: label orders and losses too.",
    ),
    SharedOption("seeds", int, "Trainings of each row (default: 1)."),
    SharedOption(
        "configurations",
        int,
        "Tried for each row, chosen on a validation part of the training split; 1 (default): the fixed recipe.",
    ),
    SharedOption("recipe", str, "default, or paper (RMSprop and the paper's numbers)."),
    SharedOption("train_split", str, "Instead of the official training split."),
    SharedOption("test_split", str, "Instead of the official test split."),
    SharedOption(
        "bootstrap",
        int,
        "Draws of the test images for intervals; 0: none (default: 1000, large data 200).",
    ),
)
"""`joints.reproduction.plan.Request` on the command line."""


@takes_options("table", TABLE, panel="What is trained")
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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print commands, images and expected time; write nothing.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    *,
    table: Differences,
    read: Differences,
    encoder: Differences,
) -> None:
    """Train and judge every row of a table of the paper on the same features; print paper and ours side by side.

    Run it again to go on after an interruption: rows that are trained already, with the same settings, are kept.
    """
    from labelbeam.joints.reproduction.plan import requested

    request = requested(benchmark, root=root, out=out, encoder=encoder, read=read, **table)
    if dry_run:
        from labelbeam.joints.reproduction.expected_time import lines_of, plan_of

        plan = plan_of(request)
        typer.echo(json.dumps(plan, ensure_ascii=False) if json_ else "\n".join(lines_of(plan)))
        return
    from labelbeam.joints.reproduction.files import write_files
    from labelbeam.joints.reproduction.result import reproduce as reproduce_all
    from labelbeam.joints.reproduction.tables import tables_of
    from labelbeam.pages.side_by_side import print_table

    command = shlex.join(["labelbeam", *sys.argv[1:]])
    values = reproduce_all(request, command=command, report=lambda line: typer.echo(line, err=True))
    tables = tables_of(values)
    page, numbers = write_files(request.out, values, tables)
    if json_:
        typer.echo(json.dumps(values, ensure_ascii=False, allow_nan=False))
        return
    for one in tables:
        if not one.wide:
            print_table(one, width=None if sys.stdout.isatty() else 160)
    typer.echo("\n".join([*values["verdicts"], "", f"{page}: the page; {numbers}: every number."]))
