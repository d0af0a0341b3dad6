"""`labelbeam export` and `labelbeam extend-labels`: a run in files that need no PyTorch; a run with more labels."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from labelbeam.cli.options import READ, Differences, say, takes_options
from labelbeam.errors import InputError

# `labelbeam export`: a run in files that need no PyTorch.


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    out: Annotated[
        Path, typer.Option(help="The folder to appear; tag, suggest and evaluate take it as a run.")
    ],
    to: Annotated[
        str,
        typer.Option(help="onnx or openvino (the encoder as a graph), or numpy (features in, no encoder)."),
    ] = "onnx",
    precision: Annotated[
        str, typer.Option(help="Of the graph: float32, or int8 (faster, rounded; needs --calibrate).")
    ] = "float32",
    calibrate: Annotated[
        str | None, typer.Option(help="Photographs that int8 is measured on, FORMAT:PATH#SPLIT.")
    ] = None,
    rules: Annotated[
        Path | None, typer.Option(help="File of rules that every answer of the export keeps.")
    ] = None,
) -> None:
    """Write a run in files that need no PyTorch: the encoder as a graph, the rest as arrays."""
    from labelbeam.formats.registry import open_dataset
    from labelbeam.runs.export import export_run

    paths = () if calibrate is None else open_dataset(calibrate).paths
    exported = export_run(run, out, to=to, precision=precision, calibrate=paths, rules=rules)
    size = sum(file.stat().st_size for file in out.iterdir()) / 1e6
    say(
        f"{out}: {exported.config.head}, {len(exported.vocabulary)} labels, to {to} ({precision}), {size:.1f} MB"
    )


# `labelbeam extend-labels`: a trained run with more labels; what it knew stays as it was.


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
    from dataclasses import asdict, replace

    from labelbeam.formats.registry import open_dataset
    from labelbeam.runs.choices import reading_of
    from labelbeam.runs.extending import extend_run
    from labelbeam.runs.run_directory import load_run, save_run

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
    save_run(replace(found.run, metrics=metrics), out, opening=[f"command: {command}"])
    for note in (*dataset.notes, *found.notes):
        say(note, err=True)
    say(f"{out}: {len(found.added)} more labels, {len(found.run.vocabulary)} in all")
    for one in found.added:
        say(
            f"  {one.label:20} on {one.present} of {one.images} images; AP {one.average_precision:.3f} on images not "
            f"learned from (chance {one.present / one.images:.3f})"
        )
    say(f"  scores of the other labels changed by {found.moved:.4f} on average")
