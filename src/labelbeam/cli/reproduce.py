"""`labelbeam reproduce` and `labelbeam demo`: the paper's tables beside ours; the main job on the drawn data set."""

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labelbeam.cli.options import ENCODER, READ, Differences, SharedOption, say, say_json, takes_options

if TYPE_CHECKING:
    from labelbeam.demo import Demo

# `labelbeam reproduce`: the paper's table of a benchmark beside ours, every row trained on the same features.

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
        "bootstrap", int, "Draws of the test images for intervals; 0: none (default: 1000, large data 200)."
    ),
)
"""`paper.plan.Request` on the command line."""


@takes_options(
    table=(TABLE, "What is trained"),
    encoder=(ENCODER, "Encoder"),
    read=(OF_BENCHMARKS, "How the data is read"),
)
def reproduce(
    benchmark: Annotated[
        str, typer.Argument(metavar="NAME", help="voc2007, coco2014, nuswide81, nuswide1000 or scenes.")
    ],
    root: Annotated[Path | None, typer.Option(help="Folder that holds the data (scenes need none).")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for runs, JSON and page (default: runs/reproduce-NAME).")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print commands, images and expected time here; write nothing.")
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
    from labelbeam.paper.plan import requested

    request = requested(benchmark, root=root, out=out, encoder=encoder, read=read, **table)
    if dry_run:
        from labelbeam.paper.expected_time import lines_of, plan_of

        say("measuring how fast this machine is, for some seconds", err=True)
        plan = plan_of(request)
        if json_:
            say_json(plan)
        else:
            say("\n".join(lines_of(plan)))
        return
    from labelbeam.paper.result import reproduce as reproduce_all
    from labelbeam.paper.tables import print_table, tables_of, write_files

    command = shlex.join(["labelbeam", *sys.argv[1:]])
    values = reproduce_all(request, command=command, report=lambda line: say(line, err=True))
    tables = tables_of(values)
    page, numbers = write_files(request.out, values, tables)
    if json_:
        say_json(values)
        return
    for one in tables:
        if not one.wide:
            print_table(one, width=None if sys.stdout.isatty() else 160)
    say("\n".join([*values["verdicts"], "", f"{page}: the page; {numbers}: every number."]))


# `labelbeam demo`: the main job on the embedded data set, in minutes, without any download.

HEADINGS = ["", "log-likelihood", "set right", "impossible", "nothing", "mAP", "O-F1", "MAP@10"]
WHY = (
    "Log-likelihood (nats per picture) and 'set right' (percent) are averaged over every set that a picture may "
    "carry, since this world's distribution is known. 'Nothing' (percent): pictures of nothing that got a label, and "
    "others that got none. mAP, O-F1 (one threshold for all labels, tuned on val) and MAP@10 depend on each label's "
    "own probability, which a sigmoid head can learn as well: a model of sets is not expected to win there, and does "
    "not. It wins where labels have to fit together."
)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the runs, the page and the numbers.")] = Path(
        "runs/demo"
    ),
) -> None:
    """Train and compare on drawn pictures whose best possible scores are known; one to three minutes on two cores."""
    from dataclasses import asdict

    from labelbeam.demo import HEADS, run_demo
    from labelbeam.files import written_whole
    from labelbeam.metrics.score_table import write_json

    started = time.monotonic()
    found = run_demo(out, report=lambda line: say(line, err=True))
    seconds = time.monotonic() - started
    closed = {
        name: {measure: found.gap_closed(name, measure) for measure in ("log_likelihood", "subset_accuracy")}
        for name in HEADS
    }
    rows = {name: asdict(row) for name, row in found.rows.items()}
    write_json(
        out / "demo.json",
        {
            "rows": rows,
            "decided_by": dict(found.decided_by),
            "gap_closed": closed,
            "sum_short": found.sum_short,
            "seconds": seconds,
            "versions": dict(found.versions),
        },
    )
    with written_whole(out / "index.html") as part:
        part.write_text(_page(found, closed), encoding="utf-8")
    _show(found, closed)
    say(f"\n{out / 'index.html'}: tagged pictures. {seconds:.0f} s.")


def _cells(found: "Demo") -> list[list[str]]:
    return [
        [
            name,
            f"{row.log_likelihood:.2f}",
            *(
                f"{100 * value:.1f}"
                for value in (row.subset_accuracy, row.impossible, row.nothing, row.mAP, row.OF1, row.MAP10)
            ),
        ]
        for name, row in found.rows.items()
    ]


def _closed(found: "Demo", closed: dict[str, dict[str, float]]) -> str:
    from labelbeam.demo import BAYES_JOINT

    ours = closed["CNN-RNN"]
    short = found.rows[BAYES_JOINT].log_likelihood - found.rows["No RNN"].log_likelihood
    return (
        f"CNN-RNN closes {100 * ours['log_likelihood']:.0f} % of the gap between knowing each label and knowing "
        f"the sets in log-likelihood, {100 * ours['subset_accuracy']:.0f} % in sets that are right. No RNN, which only "
        f"sums the labels so far, is {short:.2f} nats short of knowing the sets: who took a picture and on what "
        f"occasion say its album only together, and in this world any such sum is {found.sum_short:.2f} or more short."
    )


def _show(found: "Demo", closed: dict[str, dict[str, float]]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    table = Table(box=SIMPLE)
    for number, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for cells in _cells(found):
        table.add_row(*cells, style="bold" if cells[0] == "CNN-RNN" else "")
    console.print(table)
    console.print(_closed(found, closed))
    console.print(WHY, style="dim")


def _page(found: "Demo", closed: dict[str, dict[str, float]]) -> str:
    from labelbeam.charts.page import render
    from labelbeam.tagging.outputs import shown_cards

    cells = _cells(found)
    return render(
        "demo.html.jinja",
        headings=HEADINGS,
        cells=cells,
        ours=next(number for number, row in enumerate(cells) if row[0] == "CNN-RNN"),
        closed=_closed(found, closed),
        why=WHY,
        decided_by=found.decided_by,
        versions=found.versions,
        pictures=shown_cards(found.pictures, pixelated=True),
    )
