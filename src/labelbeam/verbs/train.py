"""`labelbeam train`: images and labels to a run directory."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from labelbeam.errors import InputError


def train(
    data: Annotated[str, typer.Option(help="Training data, FORMAT:PATH#SPLIT, e.g. csv:tags.csv.")],
    out: Annotated[Path, typer.Option(help="Folder of the run, made here.")],
    val: Annotated[str | None, typer.Option(help="Validation data; default: held out of --data.")] = None,
    val_fraction: Annotated[
        float | None,
        typer.Option(help="Share of --data held out; 0: none, train all epochs.  [default: 0.15]"),
    ] = None,
    head: Annotated[str, typer.Option(help="cnn-rnn, no-rnn, sigmoid or sigmoid-mlp.")] = "cnn-rnn",
    encoder: Annotated[
        str | None,
        typer.Option(help="tiny, vgg16, squeezenet1_1, dinov2, siglip, convnext or any timm model."),
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="The encoder's weights, .safetensors or .pth.")] = None,
    recipe: Annotated[
        str, typer.Option(help="default, or paper (RMSprop and the paper's numbers).")
    ] = "default",
    finetune: Annotated[bool, typer.Option("--finetune", help="Train the encoder too, end to end.")] = False,
    size: Annotated[int | None, typer.Option(help="Side of the encoder's input, pixels.")] = None,
    pooling: Annotated[
        str | None, typer.Option(help="Of the encoder's last map: avg, max, avg+max, …")
    ] = None,
    order: Annotated[str | None, typer.Option(help="Label order: frequent, rare, random or shuffle.")] = None,
    difficult: Annotated[
        str | None, typer.Option(help="VOC's difficult objects: unknown, absent or present.")
    ] = None,
    delimiter: Annotated[str | None, typer.Option(help="CSV: what separates labels in a cell.")] = None,
    encoding: Annotated[str | None, typer.Option(help="CSV: encoding of the file, e.g. cp932.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images, at most.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Learning rate of the head.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step.")] = None,
    precision: Annotated[str | None, typer.Option(help="no, bf16 or fp16.")] = None,
    seed: Annotated[int, typer.Option(help="Decides every random number.")] = 0,
    config: Annotated[Path | None, typer.Option(help="YAML file with differences from the defaults.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="One difference, e.g. label_model.cell=paper-gated.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted training in --out.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that is in --out.")] = False,
) -> None:
    """Train a tagger on your images; an interrupted training goes on with --resume."""
    from labelbeam.joints.config import configure
    from labelbeam.joints.training import train_run
    from labelbeam.training.loop import RESUME

    options: dict[str, Any] = {"data": data, "seed": seed}
    if finetune:
        # Features of a network that changes have no fixed mean and deviation.
        options |= {"train_encoder": True, "scaling": "none"}
    for keys, value in (
        ("validation", val),
        ("validation_fraction", val_fraction),
        ("order", order),
        ("encoder.name", encoder if encoder or not weights else ""),
        ("encoder.weights", None if weights is None else str(weights)),
        ("encoder.size", size),
        ("encoder.pooling", pooling),
        ("read.difficult", difficult),
        ("read.delimiter", delimiter),
        ("read.encoding", encoding),
        ("recipe.epochs", epochs),
        ("recipe.learning_rate", learning_rate),
        ("recipe.batch_size", batch_size),
        ("recipe.precision", precision),
    ):
        if value is not None:
            first, _, second = keys.partition(".")
            if second:
                options.setdefault(first, {})[second] = value
            else:
                options[first] = value
    resolved = configure(head=head, recipe=recipe, file=config, settings=settings or (), options=options)
    _clear(out, RESUME, resume=resume, overwrite=overwrite)
    trained = train_run(
        resolved,
        out,
        command=shlex.join(["labelbeam", *sys.argv[1:]]),
        report=lambda line: print(line, file=sys.stderr),
    )
    print(f"{out}: epoch {trained.best_epoch} of {trained.epochs} kept")
    for name in ("mAP_area", "OF1", "CF1", "subset_accuracy", "MAP@10", "log_likelihood"):
        value = trained.metrics.get(name)
        if value is not None:
            print(f"  {name:16} {value:.3f}  (validation)")


def _clear(out: Path, resume_file: str, *, resume: bool, overwrite: bool) -> None:
    """Refuse to lose what is in the folder; make room where the user said so."""
    if (out / resume_file).exists():
        if overwrite:
            (out / resume_file).unlink()
        elif not resume:
            raise InputError(
                f"{out} holds an unfinished training. Add --resume to go on, or --overwrite to start anew."
            )
    elif resume:
        raise InputError(f"--resume: {out} holds no unfinished training ({resume_file} is not there).")
    elif (out / "labels.json").exists():
        if not overwrite:
            raise InputError(f"{out} holds a finished run. Choose another --out, or add --overwrite.")
        # The old run stays usable until the new one's files replace its own.
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not a run of labelbeam. Choose another --out.")
