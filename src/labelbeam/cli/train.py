"""`labelbeam train`, `export`, `extend-labels`: images and labels to a run; without PyTorch; with more labels."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperOption

from labelbeam.cli.options import ENCODER, READ, Differences, SharedOption, say, takes_options
from labelbeam.errors import InputError

if TYPE_CHECKING:
    from labelbeam.runs.config import RunConfig


TRAINING = "How it is trained"

IMAGES = (
    SharedOption("data", str, "Training data, FORMAT:PATH#SPLIT, e.g. csv:tags.csv."),
    SharedOption("validation", str, "Validation data; default: held out of --data.", ("--val",)),
    SharedOption(
        "validation_fraction",
        float,
        "Share of --data held out; 0: none, train all epochs (default: 0.15)",
        ("--val-fraction",),
    ),
    SharedOption(
        "promise_data",
        str,
        "Images that training never sees, on which promises are proven (`tag --promise`).",
        ("--calibrate",),
    ),
    SharedOption(
        "promise_fraction",
        float,
        "Or this share of --data is kept aside for that, such as 0.2.",
        ("--calibrate-fraction",),
    ),
)
"""Which images are for what, `runs.config.RunConfig`."""

OWN = (
    SharedOption("order", str, "Label order: frequent, rare, random, easiest or shuffle."),
    SharedOption("seed", int, "Decides every random number (default: 0)"),
    SharedOption("grid_limit", float, "Most GB of disk for the maps that --local needs (default: 20)"),
)

STEPS = (
    SharedOption("epochs", int, "Passes over the training images, at most."),
    SharedOption("learning_rate", float, "Learning rate of the head."),
    SharedOption("batch_size", int, "Images per step."),
    SharedOption("precision", str, "no, bf16 or fp16."),
)
"""Of the recipe."""


class NamesHeads(TyperCommand):
    """Names the heads of the registry in `--help`; nothing else imports them for it."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        from labelbeam.heads.registry import HEADS

        for option in self.params:
            if isinstance(option, TyperOption) and option.name == "head":
                option.help = f"{', '.join(HEADS)} (default: {next(iter(HEADS))})"
        super().format_help(ctx, formatter)


@takes_options(
    images=(IMAGES, None),
    training=(OWN, TRAINING),
    steps=(STEPS, TRAINING),
    encoder=(ENCODER, "Encoder"),
    read=(READ, "How the data is read"),
)
def train(
    out: Annotated[Path, typer.Option(help="Folder of the run, made here.")],
    *,
    images: Differences,
    head: Annotated[str | None, typer.Option(help="Name of the head.")] = None,
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
        bool, typer.Option("--finetune", help="Train the encoder too, end to end.", rich_help_panel=TRAINING)
    ] = False,
    local: Annotated[
        str | None,
        typer.Option(
            help="What places of the picture add to the scores: csra, log-sum-exp, query-attention (default: none); "
            "small objects are found better.",
            rich_help_panel=TRAINING,
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
    training: Differences,
    steps: Differences,
    read: Differences,
    encoder: Differences,
) -> None:
    """Train a tagger on your images; an interrupted training goes on with --resume."""
    from labelbeam.runs.config import configure, refuse_unused
    from labelbeam.training.loop import RESUME
    from labelbeam.training.train import train_run

    options: dict[str, Any] = {**images, **training, "read": read, "encoder": encoder, "recipe": steps}
    if nothing is not None:
        options |= {"search": {"nothing": nothing}}
    if local is not None:
        options |= {"local": {"name": local}}
    if finetune:
        options |= {"train_encoder": True}

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
            usual_precision="precision" not in steps,
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


@takes_options(read=(READ, "How the data is read"))
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
