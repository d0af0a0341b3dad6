"""What a run is trained on: images read and held out, label order, batches of features or of pixels."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float, Int, Int8
from torch import Tensor, nn

from labelbeam.data.dataset import Dataset
from labelbeam.data.feature_rows import FeatureRows
from labelbeam.data.images import read_rgb
from labelbeam.data.stratified import split
from labelbeam.encoders.encoder import Encoder
from labelbeam.encoders.image_encoder import ImageEncoder
from labelbeam.encoders.preprocess import Preprocess, resized_window
from labelbeam.errors import InputError
from labelbeam.features.extract import accepted_rows, readable_features, readable_images
from labelbeam.formats.registry import for_learning, open_dataset
from labelbeam.heads.arrays_torch import Trainable
from labelbeam.heads.label_model import NO_NOTHING
from labelbeam.heads.local_torch import LocalScores
from labelbeam.heads.registry import HEADS
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, order_labels
from labelbeam.runs.config import RunConfig
from labelbeam.runs.evaluation import refuse_strangers, some
from labelbeam.runs.recipe import some_empty
from labelbeam.training.loop import Batches

# Training batches from features that are there already: order and views are drawn from (seed, epoch).


@dataclass(frozen=True)
class FeatureBatches:
    """Batches of cached features.

    Attributes:
        features: float16 or float32 [images views features]; a view is what the encoder says of the image
            as it is, of its mirror image, …; one is drawn per image and epoch. Or the rows of a file of vectors, which
            are read batch by batch.
        targets: 1 present, 0 absent, -1 unknown.
        batch_size: images per step over all processes.
        seed: with the epoch's number, decides order and views.
        process: number of this process.
        processes: how many there are; each takes every `processes`-th image of a batch.
    """

    features: Float[np.ndarray, "images views features"] | FeatureRows
    targets: Int8[np.ndarray, "images labels"]
    batch_size: int
    seed: int
    process: int = 0
    processes: int = 1

    def __len__(self) -> int:
        return math.ceil(len(self.features) / self.batch_size)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (features float32 [batch features], targets int8 [batch labels]) in this epoch's order."""
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(len(self.features))
        num_views = 1 if isinstance(self.features, FeatureRows) else self.features.shape[1]
        views = random.integers(num_views, size=len(order))
        order = filled(order, batch_size=self.batch_size, processes=self.processes)
        for first in range(0, len(order), self.batch_size):
            rows = order[first : first + self.batch_size][self.process :: self.processes]
            if isinstance(self.features, FeatureRows):
                features = self.features[rows]
            else:
                features = self.features[rows, views[rows]]
            yield _single(features), torch.from_numpy(self.targets[rows].copy())

    @property
    def flat(self) -> Float[np.ndarray, "rows features"] | FeatureRows:
        """Every view of every image, for statistics."""
        if isinstance(self.features, FeatureRows):
            return self.features
        return self.features.reshape(-1, self.features.shape[-1])

    def averaged(self) -> Float[np.ndarray, "images features"]:
        """Return the images as validation sees them, in single precision; a copy."""
        return torch.cat([features for features, _ in self.in_order()]).numpy()

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield every image once, in the order given, its views averaged: how validation sees them."""
        for first in range(0, len(self.features), self.batch_size):
            rows = slice(first, first + self.batch_size)
            features = self.features[rows].astype(np.float32)
            yield (
                torch.from_numpy(features.mean(axis=1) if features.ndim == 3 else features),
                torch.from_numpy(self.targets[rows].copy()),
            )


def _single(features: np.ndarray) -> Tensor:
    """Return features in single precision; halves are widened by torch, which does it four times as fast."""
    if features.dtype == np.float16:
        return torch.from_numpy(np.asarray(features)).float()
    return torch.from_numpy(features.astype(np.float32))


def filled(order: Int[np.ndarray, " images"], *, batch_size: int, processes: int) -> Int[np.ndarray, " more"]:
    """Return an epoch's order with so many images in its last batch that every process has one.

    Args:
        order: rows in the order of the epoch.
        batch_size: images per step over all processes, at least as many as there are processes.

    Example:
        >>> filled(np.arange(5), batch_size=4, processes=3).tolist()
        [0, 1, 2, 3, 4, 0, 1]
        >>> filled(np.arange(7), batch_size=4, processes=3).tolist()
        [0, 1, 2, 3, 4, 5, 6]
    """
    last = len(order) % batch_size or batch_size
    return np.resize(order, len(order) + max(0, processes - last))


# Training batches of pixels, for encoders that are trained: decoded in parallel, mirrored at random.
#
# Pictures that together fit into `KEEP_BYTES` are decoded once; others once an epoch.

KEEP_BYTES = 2**30


class ImageBatches:
    """Batches of (float32 [batch 3 size size], int8 [batch labels]), the same for the same epoch."""

    def __init__(
        self,
        paths: Sequence[Path],
        targets: Int8[np.ndarray, "images labels"],
        preprocess: Preprocess,
        *,
        batch_size: int,
        seed: int,
        flips: bool,
        threads: int = 2,
        process: int = 0,
        processes: int = 1,
        crop: float = 1.0,
    ) -> None:
        """Prepare batches; nothing is read yet.

        Args:
            targets: 1 present, 0 absent, -1 unknown.
            batch_size: images per step over all processes.
            seed: with the epoch's number, decides order and mirroring.
            flips: whether every second picture, at random, is mirrored.
            processes: how many there are; each takes every `processes`-th image of a batch.
            crop: smallest share of its area that a training picture is cut to, at random; 1: the encoder's transform.
        """
        self.paths, self.targets, self.preprocess = paths, targets, preprocess
        self.batch_size, self.seed, self.flips, self.threads = batch_size, seed, flips, threads
        self.process, self.processes = process, processes
        self.crop = crop
        self.kept: Tensor | None = None

    def __len__(self) -> int:
        return math.ceil(len(self.paths) / self.batch_size)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of an epoch.

        Raises:
            UnreadableImage: a file cannot be decoded.
        """
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(len(self.paths))
        mirrored = random.random(len(order)) < (0.5 if self.flips else 0.0)
        windows = None if self.crop == 1 else random_windows(random, len(order), self.crop)
        order = filled(order, batch_size=self.batch_size, processes=self.processes)
        yield from self._batches(order, mirrored, windows)

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield every image once, in the order given, none mirrored.

        Raises:
            UnreadableImage: a file cannot be decoded.
        """
        yield from self._batches(np.arange(len(self.paths)), np.zeros(len(self.paths), dtype=bool))

    def _batches(
        self, order: np.ndarray, mirrored: np.ndarray, windows: np.ndarray | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        with ThreadPoolExecutor(self.threads) as pool:
            few = len(self.paths) * 3 * self.preprocess.size**2 <= KEEP_BYTES
            if windows is None and self.kept is None and few:
                self.kept = torch.stack(list(pool.map(self._pixels, range(len(self.paths)))))
            for first in range(0, len(order), self.batch_size):
                rows = order[first : first + self.batch_size][self.process :: self.processes]
                if windows is not None:
                    pixels = torch.stack(list(pool.map(self._cut, rows.tolist(), windows[rows])))
                elif self.kept is not None:
                    pixels = self.kept[torch.from_numpy(rows)]
                else:
                    pixels = torch.stack(list(pool.map(self._pixels, rows.tolist())))
                flip = torch.from_numpy(mirrored[rows])[:, None, None, None]
                pixels = torch.where(flip, pixels.flip(3), pixels)
                yield self.preprocess.normalize(pixels), torch.from_numpy(self.targets[rows].copy())

    def _pixels(self, row: int) -> Tensor:
        return torch.from_numpy(self.preprocess.resized(read_rgb(self.paths[row])))

    def _cut(self, row: int, window: np.ndarray) -> Tensor:
        rgb = read_rgb(self.paths[row], at_least=self.preprocess.enough)
        height, width = rgb.shape[:2]
        top, left, tall, wide = (window * (height, width, height, width)).astype(int)
        cut = rgb[top : top + max(1, tall), left : left + max(1, wide)]
        side = self.preprocess.size
        whole = (0, 0, side, side)
        return torch.from_numpy(
            resized_window(cut, (side, side), whole, interpolation=self.preprocess.interpolation)
        )


def random_windows(random: np.random.Generator, count: int, least: float) -> Float[np.ndarray, "count 4"]:
    """Return parts of pictures to train on: top, left, height and width, as shares of the picture's sides.

    The area is between `least` and 1 of the picture's; sides change their proportion by up to 4 : 3.

    Source:
        Szegedy et al. 2015, Going deeper with convolutions, section 6 (there from 8 % of the area; less would cut
        what a label says of the whole picture).

    Example:
        >>> windows = random_windows(np.random.default_rng(0), 1000, 0.5)
        >>> bool((windows >= 0).all() and (windows[:, :2] + windows[:, 2:] <= 1 + 1e-9).all())
        True
        >>> float((windows[:, 2] * windows[:, 3]).round(3).min())
        0.5
    """
    area = random.uniform(least, 1.0, count)
    stretch = np.exp(random.uniform(-math.log(4 / 3), math.log(4 / 3), count) / 2)
    stretch = np.clip(stretch, np.sqrt(area), 1 / np.sqrt(area))  # neither side beyond the picture's
    sides = np.stack([np.sqrt(area) * stretch, np.sqrt(area) / stretch], axis=1)
    return np.concatenate([random.uniform(size=(count, 2)) * (1 - sides), sides], axis=1)


# What a run is trained on: images read, some held out, columns in label order, and doubts reported before the
# wait.
#
# The first step of `training.train`. Trains nothing.

MOST_HELD_OUT = 20_000
"""Rows held out where a share of many would be more; scores of so many are sharp to a third of a point."""

MANY_UNKNOWN = 0.2
"""Above this share of unknown labels, conditioning on their absence is too rough an approximation."""


def training_data(
    config: RunConfig, datasets: tuple[Dataset, Dataset | None] | None = None
) -> tuple[Dataset, Dataset | None, Dataset | None]:
    """Return training, validation and calibration images, their columns sorted in label order.

    Calibration images are those that promises are proven on: they have no part in the order of labels either.

    Args:
        config: names them, and says how they are read, split and sorted.
        datasets: those that are there already, in place of what the configuration names.

    Raises:
        InputError: the data cannot be read, is too small to be split, or has no label.
    """
    train, held_out = datasets or (
        open_dataset(config.data, options=for_learning(config.data, config.read)),
        None,
    )
    aside = None
    if config.promise_data is not None:
        aside = _other_data(config, config.promise_data, train)
        _refuse_shared(train, aside, "calibration")
    elif config.promise_fraction > 0:
        fractions = (1 - config.promise_fraction, config.promise_fraction)
        rows, kept = split(train.targets, fractions, seed=config.seed + 1)
        train, aside = train.subset(np.sort(rows)), train.subset(np.sort(kept))
    if held_out is not None or (datasets is None and config.validation is not None):
        held_out = _other_data(config, config.validation or "", train, held_out)
    elif config.validation_fraction > 0:
        if len(train) < 10:
            raise InputError(
                f"{config.data} has {len(train)} images, too few to hold some out for validation. Give --val "
                "SPEC, or --val-fraction 0 to train without validation."
            )
        held = min(config.validation_fraction, MOST_HELD_OUT / len(train))
        fractions = (1 - held, held)
        rows, held_out_rows = split(train.targets, fractions, seed=config.seed)
        train, held_out = train.subset(np.sort(rows)), train.subset(np.sort(held_out_rows))
    if config.read.missing_tags != "unlikely":
        _refuse_positive_only(train)
    if aside is not None and not (aside.targets == ABSENT).any():
        raise InputError(
            f"{aside.spec}: of no image is it known what is absent, so nothing can be promised: any label would look "
            "right. Name images that are fully labelled (--calibrate SPEC)."
        )
    if not (train.targets == PRESENT).any():
        raise InputError(f"{config.data}: no image has a label, so there is nothing to learn.")
    order = order_labels(train.targets, config.order, seed=order_seed(config))
    names = train.vocabulary.names_of(order.tolist())
    held_out, aside = (None if one is None else one.with_vocabulary(names) for one in (held_out, aside))
    return train.with_vocabulary(names), held_out, aside


def never_absent(train: Dataset) -> list[str]:
    """Return labels that some image has and none is known to be without, while of others it is unknown."""
    present, unknown = ((train.targets == value).any(axis=0) for value in (PRESENT, UNKNOWN))
    lost = present & unknown & ~(train.targets == ABSENT).any(axis=0)
    return [name for name, one in zip(train.vocabulary, lost, strict=True) if one]


def _refuse_positive_only(train: Dataset) -> None:
    """Refuse data from which a model could only learn to say everything of every image.

    Raises:
        InputError: no image is known to be without any label that some image has.
    """
    some = int((train.targets == PRESENT).any(axis=0).sum())
    if some and len(never_absent(train)) == some:
        raise InputError(
            f"{train.spec}: of none of its {some} labels is an image known to be without it, so all that can be "
            "learned is to say every label of every image. Say what is absent (in a table, 0; --absent names another "
            "value), give data in which a label that is not listed is absent, or take missing tags for weak evidence "
            "(--missing-tags unlikely)."
        )


def _refuse_shared(train: Dataset, other: Dataset, what: str) -> None:
    """Refuse images that are trained on as well: nothing can be proven on them.

    Raises:
        InputError: an image file is in both.
    """
    trained = set(map(str, train.paths))
    if shared := [path for path in map(str, other.paths) if path in trained]:
        raise InputError(
            f"{len(shared)} of the {len(other)} {what} images of {other.spec} are among the training images of "
            f"{train.spec} ({shared[0]}). Nothing can be promised of images that were learned by heart; name others."
        )


def order_seed(config: RunConfig) -> int:
    """Return the seed of the label order."""
    return config.seed if config.order_seed is None else config.order_seed


def easiest_labels_first(
    config: RunConfig, train: Dataset, held_out: Dataset | None, encoder: Encoder
) -> tuple[Dataset, Dataset | None]:
    """Sort the columns anew, by how easily the encoder's features predict labels."""
    readable, features, _ = readable_features(train, encoder, flips=config.flips)
    order = order_labels(readable.targets, config.order, seed=order_seed(config), features=features[:, 0])
    names = train.vocabulary.names_of(order.tolist())
    return train.with_vocabulary(names), None if held_out is None else held_out.with_vocabulary(names)


def _other_data(config: RunConfig, spec: str, train: Dataset, held_out: Dataset | None = None) -> Dataset:
    """Return validation or calibration images, with a note of labels that the training images do not have."""
    # `min_images` is about the training data: labels that are rare here are no less labels. Whoever names images to
    # judge by has them fully labelled, whatever is missing among the training images.
    if held_out is None:
        reading = replace(config.read, min_images=0, missing_tags="absent")
        held_out = open_dataset(spec, options=for_learning(spec, reading))
        if config.read.missing_tags != "absent":
            note = f"{spec} is taken to be fully labelled: what is not tagged there is absent."
            held_out = replace(held_out, notes=(*held_out.notes, note))
    refuse_strangers(held_out, train.vocabulary, of=config.data)
    if strange := sorted(set(held_out.vocabulary) - set(train.vocabulary)):
        note = f"labels of {held_out.spec} that {config.data} does not have, not looked at: {some(strange)}"
        held_out = replace(held_out, notes=(*held_out.notes, note))
    return held_out


def doubts(train: Dataset, weight: float = 0.0) -> list[str]:
    """Say what a user should know before waiting for the training.

    Args:
        weight: of an unknown label as absent.
    """
    found = []
    if weight:
        return [f"a missing tag counts as absent with weight {weight:.3g} (--set missing_weight=…)."]
    unknown = float((train.targets == UNKNOWN).mean())
    if unknown > MANY_UNKNOWN:
        found.append(
            f"{unknown:.0%} of the labels are unknown. The label model conditions on their absence, which is "
            "too rough for so many: --head sigmoid is the better choice."
        )
    never = [
        name
        for name, n in zip(train.vocabulary, (train.targets == PRESENT).sum(axis=0), strict=True)
        if n == 0
    ]
    if always := never_absent(train):
        found.append(
            "labels that no training image is known to be without, so nothing is learned but to predict them: "
            f"{', '.join(always[:20])}. Leave them out (--deny), or say where they are absent."
        )
    if never:
        found.append(f"labels that no training image has, never to be predicted: {', '.join(never[:20])}")
    return found


def about_nothing(config: RunConfig, train: Dataset) -> list[str]:
    """Say what becomes of photographs that show none of the labels, where no training image is such.

    Raises:
        InputError: a share of such photographs (`--nothing`) for a model that learned it from training images.
    """
    if not HEADS[config.head].searches:
        return []
    own = config.label_model.nothing == "independent"
    if config.search.nothing is not None and not own:
        raise InputError(NO_NOTHING)
    if some_empty(train.targets):
        return []
    if not own:
        return [
            "no training image shows none of the labels, so this model always finds one: for photographs that may show "
            "none, add some such images, or --set label_model.nothing=independent."
        ]
    return [
        "no training image shows none of the labels, so this run hardly expects such a photograph. Where validation "
        "images say that it can, tag and evaluate find out how many of theirs are such; else say which share: --nothing"
        " 0.2, or --nothing estimate (docs/training.md)."
    ]


# Batches and model of a training: features of a frozen encoder and a head, or pixels and both as one model.
#
# Between the data set above and the loop (`training.loop`). Trains nothing.

Rows = FeatureRows | np.ndarray
"""Features of a data set: its own, or those of an encoder [images views features]."""

Prepared = tuple[nn.Module, Batches, Batches | None, list[str]]
"""The model, this process's training batches, held-out batches, and sentences about images that were left out."""


class EndToEnd(nn.Module):
    """Encoder and head as one model: pixels and targets to nats per image.

    Args:
        encoder: to be trained.
        head: on top of it.
        keep_statistics: whether the means and deviations of the encoder's normalisations stay as they are: those of
            the million images that it has learned from are better than those of a few small batches.
    """

    def __init__(self, encoder: nn.Module, head: Trainable, *, keep_statistics: bool = False) -> None:
        super().__init__()
        self.encoder, self.head, self.keep_statistics = encoder, head, keep_statistics

    def train(self, mode: bool = True) -> "EndToEnd":
        """Go to training, or to evaluation."""
        super().train(mode)
        if self.keep_statistics:
            for one in self.encoder.modules():
                if isinstance(one, nn.modules.batchnorm._BatchNorm):
                    one.eval()
        return self

    def forward(self, pixels: Tensor, targets: Tensor) -> Tensor:
        """Return nats per image."""
        return self.head(self.encoder(pixels.contiguous(memory_format=torch.channels_last)), targets)


def prepare_batches(
    config: RunConfig,
    train: Dataset,
    held_out: Dataset | None,
    encoder: Encoder,
    head: Trainable,
    accelerator: Accelerator,
) -> Prepared:
    """Prepare batches of a frozen encoder's features, or of pixels where the encoder is trained too.

    Args:
        held_out: validation images; None: there are none.
        encoder: frozen, or to be trained.
        head: to be trained; over a frozen encoder its scaling is fitted here.
        accelerator: which part of each batch this process takes.

    Raises:
        InputError: no image at all can be read, or the cache cannot be written.
    """
    if config.train_encoder and isinstance(encoder, ImageEncoder):
        return _pixel_batches(config, train, held_out, encoder, head, accelerator)
    return _feature_batches(config, train, held_out, encoder, head, accelerator)


def _feature_batches(
    config: RunConfig,
    train: Dataset,
    held_out: Dataset | None,
    encoder: Encoder,
    head: Trainable,
    accelerator: Accelerator,
) -> Prepared:
    """The features are found in the cache or made now; the model is the head alone."""
    size, notes, more = config.recipe.batch_size, list[str](), list[str]()
    if train.features is not None:
        features: Rows = accepted_rows(train, encoder)
    else:
        train, features, notes = readable_features(
            train, encoder, flips=config.flips, limit=config.grid_limit
        )
    batches = FeatureBatches(
        features, train.targets, size, config.seed, accelerator.process_index, accelerator.num_processes
    )
    head.scaling.fit(batches.flat)
    local = getattr(head, "local", None)
    if isinstance(local, LocalScores):
        local.fit(cast(np.ndarray, batches.flat))
    if held_out is None:
        return head, batches, None, notes
    if held_out.features is not None:
        features = accepted_rows(held_out, encoder)
    else:
        held_out, features, more = readable_features(held_out, encoder, flips=False, limit=config.grid_limit)
    return head, batches, FeatureBatches(features, held_out.targets, size, config.seed), notes + more


def _pixel_batches(
    config: RunConfig,
    train: Dataset,
    held_out: Dataset | None,
    encoder: ImageEncoder,
    head: Trainable,
    accelerator: Accelerator,
) -> Prepared:
    """The model is encoder and head, trained end to end."""

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
            crop=config.crop,
        )

    train, notes = readable_images(train)
    ours = batches(train, accelerator.process_index, accelerator.num_processes)
    model = EndToEnd(encoder.module, head, keep_statistics=config.head_first)
    if held_out is None:
        return model, ours, None, notes
    held_out, more = readable_images(held_out)
    return model, ours, batches(held_out), notes + more
