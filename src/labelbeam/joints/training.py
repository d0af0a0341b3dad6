"""Training a run: from a configuration to a run directory.

Data, encoder, features, head, loop, validation: each is a noun of its own; here they meet.
"""

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn

from labelbeam.answers.of_label_model import LabelModelAnswerer
from labelbeam.data.dataset import Dataset
from labelbeam.data.stratified import split
from labelbeam.encoders.catalogue import build_encoder
from labelbeam.encoders.image_encoder import ImageEncoder
from labelbeam.errors import InputError
from labelbeam.joints.build import Head, build_answerer, build_head, start_head
from labelbeam.joints.calibrating import MOST_TRAINING_IMAGES, calibrate
from labelbeam.joints.config import RunConfig
from labelbeam.joints.device import accelerator_for
from labelbeam.joints.evaluation import evaluate_features, refuse_strangers, some
from labelbeam.joints.features import readable_features, readable_images
from labelbeam.joints.plain_values import to_plain
from labelbeam.joints.run_directory import Run, save_run, versions
from labelbeam.joints.spec import open_dataset
from labelbeam.joints.suggester import train_suggester
from labelbeam.joints.tagger import Tagger
from labelbeam.labels.ordering import order_labels
from labelbeam.labels.targets import PRESENT, UNKNOWN
from labelbeam.metrics.evaluation import evaluate
from labelbeam.models.nearest_neighbours import NearestNeighbours
from labelbeam.training.batches import FeatureBatches
from labelbeam.training.checkpoint import Progress
from labelbeam.training.image_batches import ImageBatches
from labelbeam.training.loop import RESUME, Batches, fit, mean_nats
from labelbeam.training.recipe import build_optimiser

MANY_UNKNOWN = 0.2
"""Above this share of unknown labels, conditioning on their absence is too rough an approximation."""


@dataclass(frozen=True)
class Trained:
    """What a training made.

    Attributes:
        run: the model.
        metrics: validation scores with their protocol, plain values; empty without validation.
        epochs: epochs trained.
        best_epoch: the epoch that was kept.
        notes: sentences for the user.
    """

    run: Run
    metrics: dict[str, Any]
    epochs: int
    best_epoch: int
    notes: tuple[str, ...]


class EndToEnd(nn.Module):
    """Encoder and head as one model: pixels and targets to nats per image."""

    def __init__(self, encoder: nn.Module, head: Head) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, pixels: Tensor, targets: Tensor) -> Tensor:
        """Return nats per image."""
        return self.head(self.encoder(pixels), targets)


def train_run(
    config: RunConfig,
    folder: Path,
    *,
    command: str = "",
    anew: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> Trained:
    """Train what a configuration describes and write the run directory.

    Goes on where an interrupted training of the same settings stopped.

    Args:
        config: the resolved configuration.
        folder: the run directory to fill; made if it is not there.
        command: how the user called this, for config.yaml.
        anew: forget an interrupted training in the folder; done only once data and encoder are in order.
        report: told each line that a person may want to read.

    Raises:
        InputError: anything wrong with the data, the encoder, the options, an unfinished training of
            other settings in the folder, or a folder that cannot be written.
    """
    accelerator = accelerator_for(config.recipe.precision)
    train, held_out = training_data(config)
    encoder = build_encoder(config.encoder)
    if not config.train_encoder and config.encoder.name == "tiny" and config.encoder.weights is None:
        raise InputError(
            "encoder 'tiny' has no pretrained weights, so its features would be those of random numbers. "
            "Train it too (--finetune), give it weights (--weights), or name a pretrained encoder ('vgg16')."
        )
    _make_folder(folder)
    if config.order == "easiest":
        train, held_out = easiest_labels_first(config, train, held_out, encoder)
    head = build_head(config, num_labels=len(train.vocabulary), feature_size=encoder.num_features)
    start_head(head, train.targets)
    prepare = _pixel_batches if config.train_encoder else _feature_batches
    model, train_batches, held_out_batches, notes = prepare(
        config, train, held_out, encoder, head, accelerator
    )
    apart = held_out.notes if held_out is not None and config.validation is not None else ()
    for note in (*train.notes, *apart, *notes, *_doubts(train)):
        report(note)
    if anew:
        (folder / RESUME).unlink(missing_ok=True)
        shutil.rmtree(folder / "suggester", ignore_errors=True)

    try:
        progress = remembered(head, train_batches) or fit(
            model,
            build_optimiser(config.recipe, head, encoder.module if config.train_encoder else None),
            train_batches,
            recipe=config.recipe,
            validate=None if held_out_batches is None else _validation(held_out_batches, accelerator.device),
            folder=folder,
            seed=config.seed,
            settings=_settings(config, encoder),
            accelerator=accelerator,
            after_epoch=lambda row: report(_line(row, config.recipe.epochs)),
        )
    except SafetensorError as error:
        raise InputError(
            f"{folder / RESUME} is damaged or cannot be written ({error}). If the disk is full, make room and run "
            "again, with --resume where an epoch was done; if the file is damaged, start anew with --overwrite."
        ) from error
    counts = tuple(int(n) for n in (train.targets == PRESENT).sum(axis=0))
    run = Run(config, train.vocabulary, counts, encoder, head.cpu().eval())
    encoder.module.cpu().eval()
    answerer = build_answerer(run.head, config)
    if (
        config.suggester
        and isinstance(answerer, LabelModelAnswerer)
        and isinstance(train_batches, FeatureBatches)
        and isinstance(held_out_batches, FeatureBatches)
    ):
        suggester = train_suggester(
            config,
            train_batches,
            held_out_batches,
            answerer,
            accelerator=accelerator,
            folder=folder / "suggester",
            settings=_settings(config, encoder),
            report=report,
        )
        run = replace(run, suggester=suggester)
    metrics = {}
    if held_out is not None:
        held_out, features, _ = readable_features(held_out, encoder, flips=False)
        metrics = _validation_metrics(run, held_out, features[:, 0])
        if config.calibrate:
            rows = np.unique(np.linspace(0, len(train) - 1, MOST_TRAINING_IMAGES).astype(int))
            _, seen, _ = readable_features(train.subset(rows), encoder, flips=False)
            run = replace(run, calibration=calibrate(run, features[:, 0], held_out.targets, seen[:, 0]))
    if accelerator.is_main_process:
        opening = _opening(command, progress.epoch, progress.best_epoch, metrics)
        save_run(run, folder, metrics=metrics, opening=opening)
        (folder / RESUME).unlink(missing_ok=True)
        shutil.rmtree(folder / "suggester", ignore_errors=True)
    return Trained(run, metrics, progress.epoch, progress.best_epoch, (*train.notes, *notes))


def remembered(head: Head, batches: Batches) -> Progress | None:
    """Give a head that learns nothing its training images, unmirrored; None for a head that learns."""
    if not isinstance(head, NearestNeighbours) or not isinstance(batches, FeatureBatches):
        return None
    features = torch.from_numpy(np.ascontiguousarray(batches.features[:, 0]))
    head.remember(features, torch.from_numpy(batches.targets.copy()))
    return Progress()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the folder {folder} cannot be made ({error.strerror}). Choose another --out."
        ) from error


def training_data(config: RunConfig) -> tuple[Dataset, Dataset | None]:
    """Read training and validation images, their columns sorted in label order.

    Raises:
        InputError: the data cannot be read, is too small to be split, or has no label.
    """
    train = open_dataset(config.data, options=config.read)
    held_out = None
    if config.validation is not None:
        held_out = _validation_data(config, train)
    elif config.validation_fraction > 0:
        if len(train) < 10:
            raise InputError(
                f"{config.data} has {len(train)} images, too few to hold some out for validation. Give --val "
                "SPEC, or --val-fraction 0 to train without validation."
            )
        fractions = (1 - config.validation_fraction, config.validation_fraction)
        rows, held_out_rows = split(train.targets, fractions, seed=config.seed)
        train, held_out = train.subset(np.sort(rows)), train.subset(np.sort(held_out_rows))
    if not (train.targets == PRESENT).any():
        raise InputError(f"{config.data}: no image has a label, so there is nothing to learn.")
    order = order_labels(train.targets, config.order, seed=order_seed(config))
    names = train.vocabulary.names_of(order.tolist())
    return train.with_vocabulary(names), None if held_out is None else held_out.with_vocabulary(names)


def order_seed(config: RunConfig) -> int:
    """Return the seed of the label order."""
    return config.seed if config.order_seed is None else config.order_seed


def easiest_labels_first(
    config: RunConfig, train: Dataset, held_out: Dataset | None, encoder: ImageEncoder
) -> tuple[Dataset, Dataset | None]:
    """Sort the columns anew, by how easily the encoder's features tell labels."""
    readable, features, _ = readable_features(train, encoder, flips=config.flips)
    order = order_labels(readable.targets, config.order, seed=order_seed(config), features=features[:, 0])
    names = train.vocabulary.names_of(order.tolist())
    return train.with_vocabulary(names), None if held_out is None else held_out.with_vocabulary(names)


def _validation_data(config: RunConfig, train: Dataset) -> Dataset:
    """Read the validation images; what cannot be compared with the training's labels is told."""
    # `min_images` is about the training data: labels that are rare here are no less labels.
    held_out = open_dataset(config.validation or "", options=replace(config.read, min_images=0))
    refuse_strangers(held_out, train.vocabulary, of=config.data)
    if strange := sorted(set(held_out.vocabulary) - set(train.vocabulary)):
        note = f"labels of {held_out.spec} that {config.data} does not have, not looked at: {some(strange)}"
        held_out = replace(held_out, notes=(*held_out.notes, note))
    return held_out


def _feature_batches(
    config: RunConfig,
    train: Dataset,
    held_out: Dataset | None,
    encoder: ImageEncoder,
    head: Head,
    accelerator: Accelerator,
) -> tuple[nn.Module, Batches, Batches | None, list[str]]:
    """Batches of a frozen encoder's cached features; the model is the head alone."""
    train, features, notes = readable_features(train, encoder, flips=config.flips)
    head.scaling.fit(features.reshape(-1, features.shape[-1]))
    size = config.recipe.batch_size
    batches = FeatureBatches(
        features, train.targets, size, config.seed, accelerator.process_index, accelerator.num_processes
    )
    if held_out is None:
        return head, batches, None, notes
    held_out, held_out_features, more = readable_features(held_out, encoder, flips=False)
    return head, batches, FeatureBatches(held_out_features, held_out.targets, size, config.seed), notes + more


def _pixel_batches(
    config: RunConfig,
    train: Dataset,
    held_out: Dataset | None,
    encoder: ImageEncoder,
    head: Head,
    accelerator: Accelerator,
) -> tuple[nn.Module, Batches, Batches | None, list[str]]:
    """Batches of pixels; the model is encoder and head, trained end to end."""

    def batches(dataset: Dataset, process: int = 0, processes: int = 1) -> ImageBatches:
        return ImageBatches(
            dataset.paths,
            dataset.targets,
            encoder.preprocess,
            batch_size=config.recipe.batch_size,
            seed=config.seed,
            flips=config.flips,
            process=process,
            processes=processes,
        )

    train, notes = readable_images(train)
    ours = batches(train, accelerator.process_index, accelerator.num_processes)
    if held_out is None:
        return EndToEnd(encoder.module, head), ours, None, notes
    held_out, more = readable_images(held_out)
    return EndToEnd(encoder.module, head), ours, batches(held_out), notes + more


def _validation_metrics(
    run: Run, held_out: Dataset, features: Float[np.ndarray, "images features"]
) -> dict[str, Any]:
    """Return every score of a run on held-out images, with its protocol, as plain values.

    Nothing is calibrated here, no threshold tuned: they would have seen the images that judge them.
    """
    decision = replace(run.config.decision, tuned_for=None, abstain=0.0)
    comparison = evaluate_features(Tagger(run), held_out, features).comparison(decision)
    return {"data": held_out.spec, "seed": run.config.seed, **evaluate(comparison).to_json()}


def _validation(batches: Batches, device: torch.device) -> Callable[[nn.Module], dict[str, float]]:
    return lambda model: {"val_nats": mean_nats(model, batches, device=device)}


def _doubts(train: Dataset) -> list[str]:
    """Say what a user should know before waiting for the training."""
    doubts = []
    unknown = float((train.targets == UNKNOWN).mean())
    if unknown > MANY_UNKNOWN:
        doubts.append(
            f"{unknown:.0%} of the labels are unknown. The label model conditions on their absence, which is "
            "too rough for so many: --head sigmoid is the better choice."
        )
    never = [
        name
        for name, n in zip(train.vocabulary, (train.targets == PRESENT).sum(axis=0), strict=True)
        if n == 0
    ]
    if never:
        doubts.append(f"labels that no training image has, never to be predicted: {', '.join(never[:20])}")
    return doubts


def _settings(config: RunConfig, encoder: ImageEncoder) -> str:
    """What two halves of a resumed training must share: everything but the patience."""
    fixed = replace(config, recipe=replace(config.recipe, patience=0))
    return json.dumps([to_plain(fixed), encoder.config, versions()], sort_keys=True, default=str)


def _line(row: dict[str, Any], epochs: int) -> str:
    numbers = "  ".join(f"{name} {value:.3f}" for name, value in row.items() if name != "epoch")
    return f"epoch {row['epoch']}/{epochs}  {numbers}"


def _opening(command: str, epochs: int, best: int, metrics: dict[str, Any]) -> Sequence[str]:
    lines = [f"command: {command}"] if command else []
    told = versions()
    lines.append(
        f"machine: {told['machine']}, {told['threads']} threads, python {told['python']}, "
        f"torch {told['torch']}"
    )
    lines.append(f"epochs: {epochs}, best {best}")
    shown = [
        f"{name} {metrics[name]:.3f}"
        for name in ("mAP_area", "OF1", "CF1", "subset_accuracy", "log_likelihood")
        if isinstance(metrics.get(name), float) and math.isfinite(metrics[name])
    ]
    return [*lines, f"validation: {', '.join(shown)}"] if shown else lines
