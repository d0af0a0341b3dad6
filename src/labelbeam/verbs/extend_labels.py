"""`labelbeam extend-labels`: a trained run with more labels; what it knew stays as it was."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from labelbeam.errors import InputError
from labelbeam.verbs.option_groups import READ, Differences, takes_options


@takes_options("read", READ, panel="How the data is read")
def extend_labels(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    data: Annotated[str, typer.Option(help="Images on which the new labels are known, FORMAT:PATH#SPLIT.")],
    out: Annotated[Path, typer.Option(help="The run directory to appear.")],
    label: Annotated[
        list[str] | None,
        typer.Option(help="A new label; repeat it for several (default: all that the run does not have)."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the folds that judge the new labels.", min=0)] = 0,
    *,
    read: Differences,
) -> None:
    """Add labels to a run without training it anew; images where a label is unknown do not count for it."""
    from dataclasses import asdict

    from labelbeam.joints.choices import reading_of
    from labelbeam.joints.extending import extend_run
    from labelbeam.joints.run_directory import load_run, save_run
    from labelbeam.joints.spec import open_dataset

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists. Choose another --out; the run that is extended stays as it is.")
    before = load_run(run)
    dataset = open_dataset(data, options=reading_of(before.config.read, data, read))
    found = extend_run(before, dataset, label or (), seed=seed)
    command = shlex.join(["labelbeam", *sys.argv[1:]])
    metrics = {
        "extended": {
            "from": str(run),
            "data": dataset.spec,
            "seed": seed,
            "labels": [asdict(one) for one in found.added],
            "moved": found.moved,
            "images": len(dataset),
        }
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the folder {out} cannot be made ({error.strerror}). Choose another --out."
        ) from error
    save_run(found.run, out, metrics=metrics, opening=[f"command: {command}"])
    for note in (*dataset.notes, *found.notes):
        print(note, file=sys.stderr)
    print(f"{out}: {len(found.added)} more labels, {len(found.run.vocabulary)} in all")
    for one in found.added:
        print(
            f"  {one.label:20} on {one.present} of {one.images} images; AP {one.average_precision:.3f} on images not "
            f"learned from (chance {one.present / one.images:.3f})"
        )
    print(f"  scores of the other labels changed by {found.moved:.4f} on average")
