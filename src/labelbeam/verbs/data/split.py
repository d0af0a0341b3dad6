"""`labelbeam data split`: a data set to train, validation and test parts or folds, every label in its share.

Knows only how to ask and how to show.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labelbeam.verbs.option_groups import READ, Differences, takes_options

if TYPE_CHECKING:
    from labelbeam.data.split_report import SplitBalance


@takes_options("read", READ, panel="How the data is read")
def split(
    data: Annotated[str, typer.Argument(help="Labelled images, FORMAT:PATH#SPLIT.")],
    out: Annotated[
        Path, typer.Option(help="CSV file to write, with a column `split`; csv:FILE#PART reads it.")
    ],
    parts: Annotated[
        str | None, typer.Option(help="Names and shares, such as train=0.8,val=0.1,test=0.1.")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(help="So many equal parts fold0, fold1, …; #not-fold0 is all but fold0.")
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            help="Keep images together: folder, match:REGEX (of the image's name) or column:NAME (of the CSV)."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides between equally good parts.")] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print the balance as one JSON object.")] = False,
    *,
    read: Differences,
) -> None:
    """Split images into parts that each have their share of every label."""
    from labelbeam.data.options import ReadOptions
    from labelbeam.errors import InputError
    from labelbeam.joints.spec import open_dataset
    from labelbeam.joints.splitting import plan_of, split_dataset, write_parts

    if seed < 0:
        raise InputError(f"--seed must be 0 or more, given {seed}.")
    if out.exists():
        raise InputError(f"{out} is there already; nothing is overwritten. Give another --out, or remove it.")
    plan = plan_of(parts=parts, folds=folds)
    options = ReadOptions(**read)
    dataset = open_dataset(data, options=options)
    found = split_dataset(dataset, plan, seed=seed, group_by=group_by, options=options)
    notes = (*dataset.notes, *write_parts(dataset, found.parts, out))
    if json_:
        told = {"data": data, "out": str(out), "seed": seed, "group_by": group_by, "groups": found.num_groups}
        typer.echo(json.dumps({**told, **found.balance.to_json(), "notes": notes}, ensure_ascii=False))
        return
    for note in notes:
        typer.echo(f"labelbeam: {note}", err=True)
    _show(found.balance, num_groups=found.num_groups)
    print(f"{out}: csv:{out}#{plan.names[0]}, …" + (f", csv:{out}#not-{plan.names[0]}" if folds else ""))


def _show(balance: "SplitBalance", *, num_groups: int | None) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    told = balance.to_json()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    table = Table(box=SIMPLE)
    table.add_column("part", no_wrap=True)
    for heading in ("images", "share", "wanted", "labels off by, mean", "at most", "labels without an image"):
        table.add_column(heading, justify="right")
    for part in told["parts"]:
        table.add_row(
            part["part"],
            f"{part['images']:,}",
            f"{part['share']:.2%}",
            f"{part['wanted_share']:.2%}",
            f"{part['mean_deviation']:.2%}",
            f"{part['max_deviation']:.2%}",
            str(len(part["labels_without_images"])),
        )
    console.print(table)
    if num_groups is not None:
        console.print(f"{num_groups:,} groups were kept together.")
    worst = balance.worst(5)
    if not worst:
        console.print("Every label is within one image of its share in every part.")
    for one in worst:
        console.print(
            f"{one.label}: {one.images:,} of {one.total:,} images in {one.part}, {one.wanted:,.1f} wanted",
            markup=False,
        )
