"""What a run is trained on: images read, some held out, columns in label order, and doubts told before the wait.

The first step of `joints.training`. Trains nothing.
"""

from dataclasses import replace

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.data.stratified import split
from labelbeam.encoders.image_encoder import ImageEncoder
from labelbeam.errors import InputError
from labelbeam.joints.config import RunConfig
from labelbeam.joints.evaluation import refuse_strangers, some
from labelbeam.joints.features import readable_features
from labelbeam.joints.spec import open_dataset
from labelbeam.labels.ordering import order_labels
from labelbeam.labels.targets import PRESENT, UNKNOWN

MANY_UNKNOWN = 0.2
"""Above this share of unknown labels, conditioning on their absence is too rough an approximation."""


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


def doubts(train: Dataset) -> list[str]:
    """Say what a user should know before waiting for the training."""
    found = []
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
    if never:
        found.append(f"labels that no training image has, never to be predicted: {', '.join(never[:20])}")
    return found
