"""A head learned from features in memory or in a mapped file, without a run directory: configuration in, head out.

What `labelbeam.sklearn`, the choice among configurations (`training.tuning`) and benchmarks share with
`training.train`, which adds pictures, folders and interruptions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
from accelerate import Accelerator
from jaxtyping import Float, Int, Int8

from labelbeam.data.feature_rows import FeatureRows
from labelbeam.encoders.encoder import accelerator_for
from labelbeam.heads.arrays_torch import trained
from labelbeam.heads.nearest_neighbours_torch import NearestNeighbours
from labelbeam.heads.registry import HEADS, Head
from labelbeam.labels.order import order_labels
from labelbeam.runs.build import build_head, start_head, stored_config
from labelbeam.runs.config import RunConfig
from labelbeam.runs.recipe import build_optimiser
from labelbeam.training.batches import FeatureBatches
from labelbeam.training.loop import Progress, fit, mean_nats

Rows = FeatureRows | Float[np.ndarray, "rows features"]


@dataclass(frozen=True)
class Learned:
    """A head with what is needed to read it.

    Attributes:
        head: the trained arrays.
        config: of that head: members have become one.
        order: for each of its columns, the column of the given targets.
        nats: mean -log p(set | features) of the held-out rows after the kept epoch; NaN without any.
        best_epoch: the epoch that was kept.
        history: a row for each epoch.
    """

    head: Head
    config: RunConfig
    order: Int[np.ndarray, " labels"]
    nats: float
    best_epoch: int
    history: list[dict[str, int | float]]


def learn(
    config: RunConfig,
    features: Rows,
    targets: Int8[np.ndarray, "rows labels"],
    held_out: tuple[Rows, Int8[np.ndarray, "held labels"]] | None = None,
    *,
    accelerator: Accelerator | None = None,
    after_epoch: Callable[[dict[str, int | float]], None] = lambda row: None,
) -> Learned:
    """Train a head.

    Args:
        config: head, order, recipe and seed; what it says of data and encoder is not looked at.
        features: a row for each example; rows of a file are read batch by batch.
        targets: 1 present, 0 absent, -1 unknown; columns in any order.
        held_out: features and targets that stop the training and decide which epoch is kept; None: the last is.
        accelerator: None: a new one, of the configuration's precision.
        after_epoch: called with each epoch's row of the log.

    Raises:
        InputError: the loss is not finite.
    """
    features, targets = as_rows(features), np.ascontiguousarray(targets, dtype=np.int8)
    seed = config.seed if config.order_seed is None else config.order_seed
    whole = features[:] if config.order == "easiest" else None
    order = np.asarray(order_labels(targets, config.order, seed=seed, features=whole), dtype=np.int64)
    head = build_head(config, num_labels=targets.shape[1], feature_size=features.num_features)
    head.scaling.fit(features)
    start_head(head, targets[:, order])
    size = config.recipe.batch_size
    batches = FeatureBatches(features, targets[:, order], size, config.seed)
    judge = None
    if held_out is not None:
        judge = FeatureBatches(
            as_rows(held_out[0]), np.asarray(held_out[1], np.int8)[:, order], 512, config.seed
        )
    if not HEADS[head.head_name].learns:
        progress = remember(cast(NearestNeighbours, head), batches)
    else:
        accelerator = accelerator or accelerator_for(config.recipe.precision)
        device = accelerator.device
        progress = fit(
            head,
            build_optimiser(config.recipe, head),
            batches,
            recipe=config.recipe,
            validate=None
            if judge is None
            else lambda model: {"val_nats": mean_nats(model, judge, device=device)},
            folder=None,
            seed=config.seed,
            settings="",
            accelerator=accelerator,
            after_epoch=after_epoch,
        )
    return Learned(
        trained(head),
        stored_config(config),
        order,
        progress.best_score if judge is not None else float("nan"),
        progress.best_epoch,
        progress.history,
    )


def remember(head: NearestNeighbours, batches: FeatureBatches) -> Progress:
    """Give a head that learns nothing its training images, unmirrored."""
    import torch

    values = batches.features[:] if isinstance(batches.features, FeatureRows) else batches.features[:, 0]
    head.remember(torch.from_numpy(np.ascontiguousarray(values)), torch.from_numpy(batches.targets.copy()))
    return Progress()


def as_rows(features: Rows) -> FeatureRows:
    """Return features as rows."""
    return features if isinstance(features, FeatureRows) else FeatureRows((features,))
