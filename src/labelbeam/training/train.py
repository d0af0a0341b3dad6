"""Training a run: from a configuration to a run directory."""

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float
from safetensors import SafetensorError
from torch import nn

from labelbeam.data.dataset import Dataset
from labelbeam.decoding.search import Search
from labelbeam.encoders.catalogue import build_encoder
from labelbeam.encoders.encoder import (
    Encoder,
    EncoderConfig,
    accelerator_for,
    accelerators,
    given_features,
    place_on,
)
from labelbeam.encoders.image_encoder import ImageEncoder
from labelbeam.encoders.lite import usual_encoder
from labelbeam.errors import InputError
from labelbeam.features.extract import disk_of_maps, readable_features
from labelbeam.heads.arrays_torch import Trainable, trained
from labelbeam.heads.nearest_neighbours_torch import NearestNeighbours
from labelbeam.heads.registry import HEADS
from labelbeam.labels.vocabulary import ABSENT, PRESENT
from labelbeam.metrics.evaluation import evaluate
from labelbeam.predict.decision import Decision
from labelbeam.predict.label_model import label_model_answerer
from labelbeam.runs.build import build_answerer, build_head, start_head, stored_config
from labelbeam.runs.choices import (
    MOST_TRAINING_IMAGES,
    calibrate,
    with_estimate,
    with_promises,
    with_quick_scores,
)
from labelbeam.runs.config import RunConfig, to_plain, weight_of_unknown
from labelbeam.runs.evaluation import evaluate_features
from labelbeam.runs.recipe import (
    FINETUNING,
    HEADS_BY_SIZE,
    DataSize,
    Recipe,
    build_optimiser,
    empty_sets,
    format_recipe,
    merged,
    one_head,
    recipe_for,
)
from labelbeam.runs.run_directory import Run, Suggester, save_run, versions
from labelbeam.runs.tagger import Tagger
from labelbeam.training.batches import (
    FeatureBatches,
    about_nothing,
    doubts,
    easiest_labels_first,
    prepare_batches,
    training_data,
)
from labelbeam.training.learning import Rows, remember, size_of
from labelbeam.training.learning import tune as try_configurations
from labelbeam.training.loop import RESUME, Batches, Progress, fit, mean_nats
from labelbeam.training.suggester import train_suggester

# Lines that a person reads of a training: one per epoch, and those on top of a run's config.yaml.

SHOWN = ("mAP_area", "OF1", "CF1", "subset_accuracy", "log_likelihood")
"""Validation scores that a run's config.yaml opens with."""


def epoch_line(row: Mapping[str, Any], epochs: int) -> str:
    """Return what an epoch says of itself.

    Args:
        epochs: how many there will be at most.

    Example:
        >>> epoch_line({"epoch": 2, "train_nats": 1.5}, 10)
        'epoch 2/10  train_nats 1.500'
    """
    numbers = "  ".join(f"{name} {value:.3f}" for name, value in row.items() if name != "epoch")
    return f"epoch {row['epoch']}/{epochs}  {numbers}"


def opening_lines(command: str, epochs: int, best: int, metrics: Mapping[str, Any]) -> Sequence[str]:
    """Return command, machine, versions, epochs and validation scores of a finished training.

    Args:
        command: how the user called it; may be empty.
        best: the one that was kept.
        metrics: validation scores; may be empty.
    """
    lines = [f"command: {command}"] if command else []
    found = versions()
    lines.append(
        f"machine: {found['machine']}, {found['threads']} threads, python {found['python']}, "
        f"torch {found['torch']}"
    )
    lines.append(f"epochs: {epochs}, best {best}")
    shown = [
        f"{name} {metrics[name]:.3f}"
        for name in SHOWN
        if isinstance(metrics.get(name), float) and math.isfinite(metrics[name])
    ]
    return [*lines, f"validation: {', '.join(shown)}"] if shown else lines


# Training a run: from a configuration to a run directory.
#
# Data, encoder, features, head, loop, validation: each is a noun of its own; here they meet.

SUGGESTER = "suggester"
"""Folder of the unfinished training of the second mechanism, inside the run's."""


FREE: Mapping[str, Any] = {"search": {"score": "per-label", "estimate_nothing": True}}
"""What held-out images may decide, as differences of a configuration: scores that cost no search, and whether the
share of images that show nothing is found from the images."""


@dataclass(frozen=True)
class Trained:
    """What a training made.

    Attributes:
        metrics: validation scores with their protocol, plain values; empty without validation.
        best_epoch: the epoch that was kept.
        notes: sentences for the user.
        written: whether this process wrote the run; of several processes the first does, and only it knows metrics
            and calibration.
    """

    run: Run
    metrics: dict[str, Any]
    epochs: int
    best_epoch: int
    notes: tuple[str, ...]
    written: bool = True


def train_run(
    config: RunConfig,
    folder: Path,
    *,
    command: str = "",
    anew: bool = False,
    configured: Callable[[Mapping[str, Any]], RunConfig] | None = None,
    tune: int | None = None,
    usual_precision: bool = False,
    report: Callable[[str], None] = lambda line: None,
    datasets: tuple[Dataset, Dataset | None] | None = None,
    keep: bool = True,
) -> Trained:
    """Train what a configuration describes and write the run directory.

    Goes on where an interrupted training of the same settings stopped.

    Args:
        folder: the run directory to fill; made if it is not there.
        command: how the user called this, for config.yaml.
        anew: forget an interrupted training in the folder; done only once data and encoder are in order.
        configured: from what the data say (`runs.recipe`) to the configuration that is trained; None: `config` is.
        tune: how many configurations are tried inside the training part; None: the rule's is taken.
        usual_precision: whether an encoder is trained in the precision that suits the device (no other was asked for).
        report: called with each line that a person may want to read.
        datasets: training and validation images that are there already, in place of what the configuration names.
        keep: whether the run is written; otherwise the folder holds only what an interruption would need.

    Raises:
        InputError: anything wrong with the data, the encoder, the options, an unfinished training of
            other settings in the folder, or a folder that cannot be written.
    """
    place = place_on(accelerators())
    if config.train_encoder and usual_precision:
        config = replace(config, recipe=replace(config.recipe, precision=place.precision))
    accelerator = _accelerator(config)
    if not accelerator.is_main_process:
        report = _silent
    train, held_out, aside = training_data(config, datasets)
    config = _with_usual_encoder(config, train, report)
    config = _with_grid(config, train, tune=tune)
    encoder = _encoder(config, train)
    if train.features is None:
        report(f"pictures are encoded on {place}.")
    large = disk_of_maps(encoder, len(train), flips=config.flips, limit=config.grid_limit)
    if large and not config.train_encoder:
        report(large)
    _make_folder(folder)
    config = _by_data(config, configured, train, encoder, tune=tune, report=report)
    about_nothing(config, train)  # refuses a share that no model could be shifted by, before hours are spent
    if config.order == "easiest":
        train, held_out = easiest_labels_first(config, train, held_out, encoder)
        aside = None if aside is None else aside.with_vocabulary(train.vocabulary.names)
    head = build_head(
        config,
        num_labels=len(train.vocabulary),
        feature_size=encoder.num_features,
        channels=encoder.map_shape.channels if encoder.map_shape else 0,
    )
    start_head(head, train.targets)
    if config.head_first and (anew or not (folder / RESUME).exists()):
        _teach_head(config, head, train, held_out, encoder, accelerator, report)
    with accelerator.local_main_process_first():  # the others find the features in the cache
        model, train_batches, held_out_batches, notes = prepare_batches(
            config, train, held_out, encoder, head, accelerator
        )
    apart = held_out.notes if held_out is not None and config.validation is not None else ()
    weight = weight_of_unknown(config, len(train.vocabulary))
    for note in (*train.notes, *apart, *notes, *doubts(train, weight), *about_nothing(config, train)):
        report(note)
    if anew:
        _forget(folder)

    learning = encoder.module if config.train_encoder and isinstance(encoder, ImageEncoder) else None
    settings = _settings(config, encoder)
    progress = remembered(head, train_batches) or _fitted(
        model,
        build_optimiser(config.recipe, head, learning),
        train_batches,
        held_out_batches,
        config=config,
        folder=folder,
        settings=settings,
        accelerator=accelerator,
        report=report,
    )
    counts = tuple(int(n) for n in (train.targets == PRESENT).sum(axis=0))
    config = stored_config(config)
    run = Run(config, train.vocabulary, counts, encoder, trained(head))
    if isinstance(encoder, ImageEncoder):
        encoder.module.cpu().eval()
    if isinstance(train_batches, FeatureBatches) and isinstance(held_out_batches, FeatureBatches):
        suggester = _suggester(
            run,
            train_batches,
            held_out_batches,
            folder=folder / SUGGESTER,
            settings=settings,
            accelerator=accelerator,
            report=report,
        )
        run = replace(run, suggester=suggester)
    run = replace(run, history=tuple(progress.history))
    if accelerator.is_main_process:
        if held_out is not None:
            # What the user says stands.
            free = None if configured is None else configured(FREE).search
            run = _judged(run, train, held_out, free=free, report=report)
        if aside is not None:
            run = _promising(run, aside, held_out)
            report(f"{len(aside)} images of {aside.spec} kept aside: promises are proven on them.")
        if keep:
            save_run(
                run,
                folder,
                opening=opening_lines(command, progress.epoch, progress.best_epoch, dict(run.metrics)),
            )
        _forget(folder)
    return Trained(
        run,
        dict(run.metrics),
        progress.epoch,
        progress.best_epoch,
        (*train.notes, *notes),
        written=accelerator.is_main_process,
    )


def _accelerator(config: RunConfig) -> Accelerator:
    """Return the processes and devices to train on; there must be an image for each process in every batch."""
    accelerator = accelerator_for(config.recipe.precision)
    if config.recipe.batch_size < accelerator.num_processes:
        raise InputError(
            f"--batch-size {config.recipe.batch_size} counts the images of all processes together, and there are "
            f"{accelerator.num_processes}. Give at least as many."
        )
    return accelerator


def _by_data(
    config: RunConfig,
    configured: Callable[[Mapping[str, Any]], RunConfig] | None,
    train: Dataset,
    encoder: Encoder,
    *,
    tune: int | None,
    report: Callable[[str], None],
) -> RunConfig:
    """Return the configuration that fits the data: the rule's, or the best of some that are tried."""
    if tune and (configured is None or config.train_encoder):
        raise InputError("--tune is for the recipe 'default' and frozen encoders or vectors. Leave it out.")
    if configured is None:
        return config
    if config.train_encoder:
        if config.head in HEADS_BY_SIZE and (config.encoder.name != "tiny" or config.encoder.weights):
            size = DataSize(len(train), encoder.num_features, len(train.vocabulary))
            tuned = merged(recipe_for(size, config.head, local=config.local.name != "none"), FINETUNING)
            tuned = merged(merged(one_head(config, size), tuned), empty_sets(config, train.targets))
            return replace(configured(tuned), encoder=config.encoder)
        return replace(config, label_model=configured(empty_sets(config, train.targets)).label_model)
    labels = len(train.vocabulary)
    size = DataSize(len(train), encoder.num_features, labels)
    if train.features is not None:
        size = size_of(train.features, labels)
    by_data: Mapping[str, Any] = recipe_for(size, config.head, local=config.local.name != "none")
    unsaid, own = empty_sets(config, train.targets), one_head(config, size)
    if tune:
        if train.features is not None:
            rows: Rows = train.features
        else:
            train, features, _ = readable_features(train, encoder, flips=False)
            rows = features[:, 0]
        by_data = try_configurations(
            lambda tried: configured(merged(merged(own, tried), unsaid)),
            size,
            rows,
            train.targets,
            count=tune,
            seed=config.seed,
            report=report,
        ).differences
    by_data = merged(merged(own, by_data), unsaid)
    fitted = replace(configured(by_data), encoder=config.encoder)
    if "recipe" in by_data and not tune:
        report(format_recipe(size, fitted.recipe, fitted.scaling, fitted.members))
    return fitted


def _with_usual_encoder(config: RunConfig, train: Dataset, report: Callable[[str], None]) -> RunConfig:
    """Return the configuration with an encoder named, where pictures are to be read and the user named none."""
    if train.features is not None or config.encoder.name or config.encoder.weights is not None:
        return config
    name = usual_encoder() or ("tiny" if config.train_encoder else "")
    if name:
        report(
            f"encoder: {name} (none was named; --encoder dinov2 or siglip see more, where the hub can be reached)."
        )
    return replace(config, encoder=replace(config.encoder, name=name))


GRID = 11
"""Places a side of the maps that local evidence is taken from, where no other number is given."""


def _with_grid(config: RunConfig, train: Dataset, *, tune: int | None) -> RunConfig:
    """Return the configuration with a grid, where there is to be local evidence.

    Raises:
        InputError: data without pictures, or configurations to be tried, for local evidence.
    """
    if config.local.name == "none":
        return config
    train.refuse_without_pictures(f"local evidence (--local {config.local.name})")
    if tune:
        raise InputError(
            f"--tune tries heads on pooled vectors, --local {config.local.name} needs maps. Leave one out."
        )
    return replace(
        config, encoder=replace(config.encoder, grid=config.encoder.grid or GRID * config.encoder.tiles)
    )


def _encoder(config: RunConfig, train: Dataset) -> Encoder:
    """Return the encoder, or what stands in its place where the data are vectors.

    One that knows nothing must be trained too.
    """
    if train.features is not None:
        if config.encoder != EncoderConfig():
            raise InputError(
                f"{train.spec} holds vectors, which no encoder reads. Leave --encoder and its options out."
            )
        if config.train_encoder:
            train.refuse_without_pictures("training an encoder (--finetune)")
        return given_features(train.features)
    encoder = build_encoder(config.encoder)
    if not config.train_encoder and config.encoder.name == "tiny" and config.encoder.weights is None:
        raise InputError(
            "encoder 'tiny' has no pretrained weights, so its features would be those of random numbers. "
            "Train it too (--finetune), give it weights (--weights), or name a pretrained encoder ('vgg16')."
        )
    return encoder


def _forget(folder: Path) -> None:
    """Remove what a training keeps only to go on after an interruption."""
    (folder / RESUME).unlink(missing_ok=True)
    shutil.rmtree(folder / SUGGESTER, ignore_errors=True)


def _fitted(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    train: Batches,
    held_out: Batches | None,
    *,
    config: RunConfig,
    folder: Path,
    settings: str,
    accelerator: Accelerator,
    report: Callable[[str], None],
) -> Progress:
    """Train the model, or what an interrupted training left to do; say so where its file cannot be used.

    Raises:
        InputError: as `training.loop.fit`; a checkpoint that is damaged or cannot be written.
    """
    try:
        return fit(
            model,
            optimiser,
            train,
            recipe=config.recipe,
            validate=None if held_out is None else _validation(held_out, accelerator.device),
            folder=folder,
            seed=config.seed,
            settings=settings,
            accelerator=accelerator,
            learned=config.head_first,
            after_epoch=lambda row: report(epoch_line(row, config.recipe.epochs)),
        )
    except SafetensorError as error:
        raise InputError(
            f"{folder / RESUME} is damaged or cannot be written ({error}). If the disk is full, make room and run "
            "again, with --resume where an epoch was done; if the file is damaged, start anew with --overwrite."
        ) from error


def _teach_head(
    config: RunConfig,
    head: Trainable,
    train: Dataset,
    held_out: Dataset | None,
    encoder: Encoder,
    accelerator: Accelerator,
    report: Callable[[str], None],
) -> None:
    """Let the head learn from the frozen encoder's features, by the recipe of a frozen encoder."""
    size = DataSize(len(train), encoder.num_features, len(train.vocabulary))
    recipe = Recipe(**recipe_for(size, config.head, local=config.local.name != "none")["recipe"])
    frozen = replace(config, train_encoder=False, head_first=False, recipe=recipe)
    with accelerator.local_main_process_first():
        model, batches, judge, _ = prepare_batches(frozen, train, held_out, encoder, head, accelerator)
    report(f"the head learns first, from the frozen encoder's features: at most {recipe.epochs} epochs.")
    done = fit(
        model,
        build_optimiser(recipe, head),
        batches,
        recipe=recipe,
        validate=None if judge is None else _validation(judge, accelerator.device),
        folder=None,
        seed=config.seed,
        settings="",
        accelerator=accelerator,
    )
    report(f"then both learn; its epoch {done.best_epoch} of {done.epoch} is where they start.")


def _suggester(
    run: Run,
    train: FeatureBatches,
    held_out: FeatureBatches,
    *,
    folder: Path,
    settings: str,
    accelerator: Accelerator,
    report: Callable[[str], None],
) -> Suggester | None:
    """Train the second mechanism for suggestions of a label model; None for other heads, or where it is not wanted."""
    answerer = label_model_answerer(build_answerer(run.head, run.config))
    # An any-subset head leaves unknown labels out; where none is known to be absent it would learn to say them all.
    if not run.config.suggester or answerer is None or run.config.read.missing_tags == "unlikely":
        return None
    return train_suggester(
        run.config,
        train,
        held_out,
        answerer,
        accelerator=accelerator,
        folder=folder,
        settings=settings,
        report=report,
    )


def _judged(
    run: Run, train: Dataset, held_out: Dataset, *, free: Search | None, report: Callable[[str], None]
) -> Run:
    """Return the run with what held-out images decide: its scores, measures, and calibration, where one is wanted.

    Args:
        free: the search with all that they may decide, where the user does not say otherwise; None: they may not.
    """
    held_out, features, _ = readable_features(held_out, run.encoder, flips=False)
    choices = [
        (with_quick_scores, free is not None and free.score == "per-label"),
        (with_estimate, free is not None and free.estimate_nothing),
    ]
    for choose, may in choices:
        run, found = choose(run, features[:, 0], held_out.targets) if may else (run, "")
        if found:
            report(found)
    run = replace(run, metrics=_validation_metrics(run, held_out, features[:, 0]))
    # Against tags alone every label would be certain.
    if not run.config.calibrate or not (held_out.targets == ABSENT).any():
        return run
    rows = np.unique(np.linspace(0, len(train) - 1, MOST_TRAINING_IMAGES).astype(int))
    _, seen, _ = readable_features(train.subset(rows), run.encoder, flips=False)
    return replace(run, calibration=calibrate(run, features[:, 0], held_out.targets, seen[:, 0]))


def _promising(run: Run, aside: Dataset, held_out: Dataset | None) -> Run:
    """Return the run with what images prove that it has not seen; validation images say where tests begin."""
    aside, features, _ = readable_features(aside, run.encoder, flips=False)
    guide = None
    if held_out is not None:
        held_out, seen, _ = readable_features(held_out, run.encoder, flips=False)
        guide = (seen[:, 0], held_out.targets)
    return with_promises(run, features[:, 0], aside.targets, data=aside.spec, guide=guide)


def _silent(line: str) -> None:
    """Report nothing: of several processes only the first one reports."""


def remembered(head: Trainable, batches: Batches) -> Progress | None:
    """Give a head that learns nothing its training images; None for a head that learns."""
    if HEADS[head.head_name].learns or not isinstance(batches, FeatureBatches):
        return None
    return remember(cast(NearestNeighbours, head), batches)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the folder {folder} cannot be made ({error.strerror}). Choose another --out."
        ) from error


def _validation_metrics(
    run: Run, held_out: Dataset, features: Float[np.ndarray, "images features"]
) -> dict[str, Any]:
    """Return every score of a run on held-out images, with its protocol, as plain values.

    Nothing is calibrated here, no threshold tuned: they would have seen the images that judge them.
    """
    own = run.config.decision
    rule = "path" if own.rule == "promise" else own.rule
    decision = Decision(rule=rule, threshold=own.threshold)
    comparison = evaluate_features(Tagger(run), held_out, features).comparison(decision)
    return {"data": held_out.spec, "seed": run.config.seed, **evaluate(comparison).to_json()}


def _validation(batches: Batches, device: torch.device) -> Callable[[nn.Module], dict[str, float]]:
    return lambda model: {"val_nats": mean_nats(model, batches, device=device)}


def _settings(config: RunConfig, encoder: Encoder) -> str:
    """What two halves of a resumed training must share: everything but the patience."""
    fixed = replace(config, recipe=replace(config.recipe, patience=0))
    return json.dumps(
        [to_plain(fixed), encoder.config, encoder.identity, versions()], sort_keys=True, default=str
    )
