"""A head learned from features, and a configuration chosen inside the training part: some are tried, the best kept.

What `labelbeam.sklearn`, `training.train` (which adds pictures, folders, interruptions) and benchmarks share: features
in memory or a mapped file and a configuration in, a head out. The first configuration that is tried is the rule's own
(`runs.recipe`), so that trying one is choosing nothing; then what changes most: strength and whether labels have logits
of their own, length, depth. Small data are judged by three folds, large ones
by a part of a draw. Knows no file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
from accelerate import Accelerator
from jaxtyping import Float, Int, Int8

from labelbeam.data.feature_rows import FeatureRows
from labelbeam.data.stratified import split
from labelbeam.encoders.encoder import accelerator_for
from labelbeam.errors import InputError
from labelbeam.heads.arrays_torch import trained
from labelbeam.heads.nearest_neighbours_torch import NearestNeighbours
from labelbeam.heads.registry import HEADS, Head
from labelbeam.labels.vocabulary import order_labels
from labelbeam.runs.build import build_head, start_head, stored_config
from labelbeam.runs.config import RunConfig
from labelbeam.runs.recipe import (
    LIGHT,
    MIDDLE,
    STRONG,
    DataSize,
    build_optimiser,
    merged,
    recipe_for,
    strength_for,
)
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
    held_out: tuple[FeatureRows | Float[np.ndarray, "held features"], Int8[np.ndarray, "held labels"]]
    | None = None,
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


MOST_ROWS = 5000
"""Rows that configurations are compared on, at most; the best of them is the best of more."""

STRENGTHS = 3
"""So many are tried first; of the best, a label model is tried with logits of the labels' own, or without them."""

FOLDED_BELOW = 100
"""Below so many rows, a single held-out part would choose by chance."""


@dataclass(frozen=True)
class Tried:
    """A configuration and how it did.

    Attributes:
        differences: as `configure` takes them.
        nats: mean -log p(set | features) of held-out rows.
        best_epoch: after which the held-out rows were predicted best, on average.
        others: all that were tried, by name, with their nats.
    """

    name: str
    differences: Mapping[str, Any]
    nats: float
    best_epoch: int
    others: Mapping[str, float] = field(default_factory=dict)


def candidates(size: DataSize, head: str, count: int, *, seed: int = 0) -> list[tuple[str, dict[str, Any]]]:
    """Return configurations to try, the rule's own first.

    Args:
        head: a name of `runs.config.HEADS`, one whose recipe follows from the data.
        count: how many; beyond the listed ones they are drawn at random.

    Raises:
        InputError: no configuration is asked for, or the head has nothing to choose.

    Example:
        >>> [name for name, _ in candidates(DataSize(400, 72, 6), "cnn-rnn", 4)]
        ['middle', 'light', 'strong', 'middle, half as long']
    """
    if count < 1:
        raise InputError(f"--tune {count}: at least 1 configuration must be tried.")
    own = strength_for(size)
    others = sorted((one for one in (LIGHT, MIDDLE, STRONG) if one != own), key=(LIGHT, MIDDLE, STRONG).index)
    values = recipe_for(size, head, strength=own)
    if not values:
        raise InputError(
            f"--tune chooses for cnn-rnn, no-rnn and the sigmoid heads, not for {head!r}. Leave it out."
        )
    listed = [(one.name, recipe_for(size, head, strength=one)) for one in (own, *others)]
    listed += [
        (f"{own.name}, half as long", recipe_for(size, head, length=0.5)),
        (f"{own.name}, twice as long", recipe_for(size, head, length=2.0)),
    ]
    if head in ("cnn-rnn", "no-rnn"):
        name, h = ("additive", "identity") if size.vectors else ("h = ReLU", "relu")  # the other one
        listed += [
            (f"{own.name}, {name}", merged(values, {"label_model": {"activation": h}})),
            (f"{own.name}, no hidden layer", merged(values, {"label_model": {"image_hidden_size": 0}})),
        ]
    random = np.random.default_rng(seed)
    while len(listed) < count:
        one = (STRONG, MIDDLE, LIGHT)[random.integers(3)]
        length, factor = 2.0 ** random.uniform(-1, 1), 2.0 ** random.uniform(-1, 1)
        values = recipe_for(size, head, strength=one, length=length)
        values["recipe"]["learning_rate"] = round(values["recipe"]["learning_rate"] * factor, 6)
        listed.append(
            (f"{one.name}, {length:.2g} times as long, rate {values['recipe']['learning_rate']:g}", values)
        )
    return listed[:count]


def tune(
    configured: Callable[[Mapping[str, Any]], RunConfig],
    size: DataSize,
    features: Rows,
    targets: Int8[np.ndarray, "rows labels"],
    *,
    count: int,
    seed: int = 0,
    report: Callable[[str], None] = lambda line: None,
) -> Tried:
    """Try configurations on held-out rows and return the best.

    Args:
        configured: from differences to a configuration; what the user asked for wins over them there.
        features: of the training data, and nothing else.
        targets: likewise.
        count: configurations.
        seed: decides folds, draws and trainings.
        report: called with how each did.

    Raises:
        InputError: as `candidates`; fewer than 12 rows.
    """
    rows = as_rows(features)
    if len(rows) < 12:
        raise InputError(f"--tune needs rows to hold out, and there are {len(rows)}. Leave it out.")
    head = configured({}).head
    drawn = np.random.default_rng(seed).permutation(len(rows))[:MOST_ROWS]
    drawn.sort()
    parts = parts_of(targets[drawn], seed)
    found: list[Tried] = []
    waiting = candidates(size, head, count, seed=seed)
    while len(found) < count:
        name, differences = waiting.pop(0)
        if len(found) == STRENGTHS and head in ("cnn-rnn", "no-rnn"):
            best = min(found, key=lambda one: one.nats)
            own = configured(best.differences).label_model.per_label > 0
            name = f"{best.name}, {'no ' if own else ''}labels' own logits"
            differences = merged(best.differences, {"label_model": {"per_label": 0.0 if own else 1.0}})
        config = replace(configured(differences), members=1)  # several of the best are better still
        learned = [_judged(config, rows, targets, drawn, *part) for part in parts]
        shares = [len(drawn[part[1]]) for part in parts]
        nats = float(np.average([one.nats for one in learned], weights=shares))
        epoch = max(1, round(float(np.mean([one.best_epoch for one in learned]))))
        found.append(Tried(name, differences, nats, epoch))
        report(f"tried: {name}: {nats:.3f} nats on held-out rows (epoch {epoch} of {config.recipe.epochs})")
    best = min(found, key=lambda one: one.nats)
    report(f"chosen of {count}: {best.name}.")
    return replace(best, others={one.name: one.nats for one in found})


def parts_of(targets: Int8[np.ndarray, "rows labels"], seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return rows to train on and rows to judge on, once or in three folds."""
    if len(targets) >= FOLDED_BELOW:
        kept, held = split(targets, (0.75, 0.25), seed=seed)
        return [(kept, held)]
    folds = split(targets, (1 / 3,) * 3, seed=seed)
    return [(np.sort(np.concatenate(folds[:k] + folds[k + 1 :])), folds[k]) for k in range(3)]


def _judged(
    config: RunConfig,
    rows: FeatureRows,
    targets: Int8[np.ndarray, "rows labels"],
    drawn: np.ndarray,
    kept: np.ndarray,
    held: np.ndarray,
) -> Learned:
    train, judge = drawn[kept], drawn[held]
    return learn(config, rows.take(train), targets[train], (rows.take(judge), targets[judge]))


def size_of(features: Rows, num_labels: int) -> DataSize:
    """Return what a recipe depends on; what features are like is taken from the first few thousand rows."""
    rows = as_rows(features)
    block = rows[:4000]
    active = float((block != 0).mean())
    return DataSize(
        len(rows),
        rows.num_features,
        num_labels,
        sparse=active < 0.2,
        small=bool((np.abs(block) <= 1).all()),
        vectors=True,
        active=active * rows.num_features,
    )
