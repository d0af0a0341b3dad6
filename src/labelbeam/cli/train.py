"""`labelbeam train`: images and labels to a run directory."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labelbeam.cli.options import ENCODER, READ, Differences, takes_options
from labelbeam.cli.say import say
from labelbeam.errors import InputError

if TYPE_CHECKING:
    from labelbeam.runs.config import RunConfig

TRAINING = "How it is trained"


@takes_options("encoder", ENCODER, panel="Encoder")
@takes_options("read", READ, panel="How the data is read")
def train(
    out: Annotated[Path, typer.Option(help="Folder of the run, made here.")],
    data: Annotated[
        str | None, typer.Option(help="Training data, FORMAT:PATH#SPLIT, e.g. csv:tags.csv.")
    ] = None,
    val: Annotated[str | None, typer.Option(help="Validation data; default: held out of --data.")] = None,
    val_fraction: Annotated[
        float | None,
        typer.Option(help="Share of --data held out; 0: none, train all epochs (default: 0.15)"),
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(help="Images that training never sees, on which promises are proven (`tag --promise`)."),
    ] = None,
    calibrate_fraction: Annotated[
        float | None, typer.Option(help="Or this share of --data is kept aside for that, such as 0.2.")
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            help="cnn-rnn, no-rnn, sigmoid, sigmoid-mlp, any-subset, or a rival: softmax, warp, asymmetric, "
            "chow-liu, knn (default: cnn-rnn)"
        ),
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="default, or paper (RMSprop and the paper's numbers).")
    ] = "default",
    config: Annotated[Path | None, typer.Option(help="YAML file with differences from the defaults.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="One difference, e.g. label_model.cell=paper-gated.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted training in --out.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that is in --out.")] = False,
    finetune: Annotated[
        bool,
        typer.Option("--finetune", help="Train the encoder too, end to end.", rich_help_panel=TRAINING),
    ] = False,
    local: Annotated[
        str | None,
        typer.Option(
            help="What places of the picture add to the scores: csra or log-sum-exp (default: none); small objects are "
            "found better.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    grid_limit: Annotated[
        float | None,
        typer.Option(
            help="Most GB of disk for the maps that --local needs (default: 20)", rich_help_panel=TRAINING
        ),
    ] = None,
    nothing: Annotated[
        float | None,
        typer.Option(
            help="Share of the photographs to come that show none of the labels, such as 0.2.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    tune: Annotated[
        int | None,
        typer.Option(
            help="Try so many configurations inside the training part, and train with the best.",
            min=1,
            rich_help_panel=TRAINING,
        ),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            help="Label order: frequent, rare, random, easiest or shuffle.", rich_help_panel=TRAINING
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Passes over the training images, at most.", rich_help_panel=TRAINING),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Learning rate of the head.", rich_help_panel=TRAINING)
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step.", rich_help_panel=TRAINING)] = None,
    precision: Annotated[str | None, typer.Option(help="no, bf16 or fp16.", rich_help_panel=TRAINING)] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Decides every random number (default: 0)", rich_help_panel=TRAINING),
    ] = None,
    *,
    read: Differences,
    encoder: Differences,
) -> None:
    """Train a tagger on your images; an interrupted training goes on with --resume."""
    from labelbeam.runs.config import configure, refuse_unused
    from labelbeam.training.loop import RESUME
    from labelbeam.training.train import train_run

    asked: dict[str, Any] = {
        "data": data,
        "validation": val,
        "validation_fraction": val_fraction,
        "promise_data": calibrate,
        "promise_fraction": calibrate_fraction,
        "order": order,
        "seed": seed,
        "grid_limit": grid_limit,
        "read": read,
        "encoder": encoder,
        "recipe": _given(
            epochs=epochs, learning_rate=learning_rate, batch_size=batch_size, precision=precision
        ),
    }
    if nothing is not None:
        asked |= {"search": {"nothing": nothing}}
    if local is not None:
        asked |= {"local": {"name": local}}
    if finetune:
        asked |= {"train_encoder": True}
    options = _given(**asked)

    def configured(by_data: Mapping[str, Any] | None = None) -> "RunConfig":
        return configure(
            head=head, recipe=recipe, file=config, settings=settings or (), options=options, by_data=by_data
        )

    resolved = configured()
    refuse_unused(resolved.head, settings=settings or (), options=options)
    if not resolved.data:
        raise InputError(
            "no training data is named. Give --data FORMAT:PATH#SPLIT, such as --data csv:tags.csv."
        )
    _refuse_to_lose(out, RESUME, resume=resume, overwrite=overwrite)
    try:
        trained = train_run(
            resolved,
            out,
            anew=overwrite,
            configured=configured if recipe == "default" else None,
            tune=tune,
            usual_precision=precision is None,
            command=shlex.join(["labelbeam", *sys.argv[1:]]),
            report=lambda line: say(line, err=True),
        )
    except KeyboardInterrupt:
        if (out / RESUME).exists():
            say(f"What is done is kept in {out}: go on with --resume.", err=True)
        raise
    if not trained.written:
        return
    say(f"{out}: epoch {trained.best_epoch} of {trained.epochs} kept")
    for name in ("mAP_area", "OF1", "CF1", "subset_accuracy", "MAP@10", "log_likelihood"):
        value = trained.metrics.get(name)
        if value is not None:
            say(f"  {name:16} {value:.3f}  (validation)")


def _given(**values: Any) -> dict[str, Any]:
    """Return the values that the user gave."""
    return {name: value for name, value in values.items() if value is not None}


def _refuse_to_lose(out: Path, resume_file: str, *, resume: bool, overwrite: bool) -> None:
    """Refuse to lose what is in the folder, unless the user asked for it."""
    unfinished = (out / resume_file).exists()
    if resume and overwrite:
        raise InputError("--resume goes on with what is in --out, --overwrite replaces it. Give one of them.")
    if resume and not unfinished:
        raise InputError(f"--resume: {out} holds no unfinished training ({resume_file} is not there).")
    if unfinished and not resume and not overwrite:
        raise InputError(
            f"{out} holds an unfinished training. Add --resume to go on, or --overwrite to start anew."
        )
    if unfinished:
        return
    if (out / "labels.json").exists():
        if not overwrite:
            raise InputError(f"{out} holds a finished run. Choose another --out, or add --overwrite.")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not a run of labelbeam. Choose another --out.")
