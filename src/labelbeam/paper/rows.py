"""The rows of a reproduction's tables: the head that is trained for each, and the configurations tried."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.demo import head_config
from labelbeam.errors import InputError, unknown_name
from labelbeam.heads.registry import HEADS
from labelbeam.runs.config import OF_HEADS, RunConfig, configure


@dataclass(frozen=True)
class Row:
    """What is trained for one line of the tables.

    Attributes:
        title: as tables and page name it.
        head: a name of `runs.config.HEADS`.
        settings: nested differences from that head's recipe, the same in all of the row's configurations.
    """

    title: str
    head: str
    settings: Mapping[str, Any] = field(default_factory=dict)


ANY_ORDER: Mapping[str, Any] = {"allowed": "no-repeat"}
"""Of label models that no order binds: any label that is not in the set yet may come next."""

IN_THE_TABLE: Mapping[str, Row] = {
    "knn": Row("KNN", "knn"),
    "softmax": Row("Softmax", "softmax"),
    "warp": Row("WARP", "warp"),
    "sigmoid": Row("Binary cross-entropy", "sigmoid"),
    "no-rnn": Row("No RNN", "no-rnn"),
    "cnn-rnn": Row("CNN-RNN", "cnn-rnn"),
    "asymmetric": Row("Asymmetric loss", "asymmetric"),
    "sigmoid-mlp": Row("BCE, two layers", "sigmoid-mlp"),
    "any-subset": Row("Any-subset head", "any-subset"),
    "chow-liu": Row("Chow-Liu tree", "chow-liu"),
}
"""The rows that are trained where none is asked for: the paper's first, then rivals that came later or are ours."""

ORDERS_AND_LOSSES: Mapping[str, Row] = {
    "order-rare": Row("CNN-RNN, rare first", "cnn-rnn", {"order": "rare"}),
    "order-random": Row("CNN-RNN, a random order for each seed", "cnn-rnn", {"order": "random"}),
    "order-easiest": Row("CNN-RNN, easiest first", "cnn-rnn", {"order": "easiest"}),
    "no-repeat": Row("CNN-RNN, frequent first, free to differ", "cnn-rnn", {"label_model": ANY_ORDER}),
    "order-shuffle": Row(
        "CNN-RNN, shuffled every batch", "cnn-rnn", {"order": "shuffle", "label_model": ANY_ORDER}
    ),
    **{
        f"loss-{loss}": Row(f"CNN-RNN, {title}", "cnn-rnn", {"label_model": {**ANY_ORDER, "loss": loss}})
        for loss, title in (
            ("mla", "aligned (MLA)"),
            ("pla", "aligned (PLA)"),
            ("remaining-set", "remaining set"),
        )
    },
}
"""The paper's model in other label orders and under losses that prescribe none (research/rivals.md). `no-repeat`
differs from `cnn-rnn` only in what may come next: the reference for those below it."""

ROWS: Mapping[str, Row] = {**IN_THE_TABLE, **ORDERS_AND_LOSSES}


def rows_named(text: str | None) -> tuple[str, ...]:
    """Return the rows that a text `a,b` names, in the order of the tables.

    Args:
        text: names of `ROWS`, `all` for every one; None: those of `IN_THE_TABLE`.

    Raises:
        InputError: an unknown row, or none.

    Example:
        >>> rows_named("cnn-rnn,softmax")
        ('softmax', 'cnn-rnn')
    """
    if text is None:
        return tuple(IN_THE_TABLE)
    asked = [name.strip() for name in text.split(",") if name.strip()]
    for name in asked:
        if name not in (*ROWS, "all"):
            raise unknown_name("row", name, (*ROWS, "all"))
    if not asked:
        raise InputError(f"--rows names no row. Give some of: {', '.join(ROWS)}; or all.")
    return tuple(name for name in ROWS if name in asked or "all" in asked)


# Every row gets the same number of configurations. The first is the fixed recipe; the others are drawn from the same
# lists for every head that learns.

MANY_IMAGES = 20_000
"""Training images from which `LARGE` is laid over the default recipe, which was found on 765."""

LARGE: Mapping[str, Any] = {
    "flips": False,
    "label_model": {"feature_dropout": 0.3, "projection_dropout": 0.3},
    "sigmoid": {"feature_dropout": 0.3},
    "recipe": {"weight_decay": 0.3, "batch_size": 256, "epochs": 30},
}
"""What `runs.config` advises for many times as many images: regularise less, take larger batches. Not chosen by
measurement, since no such data set was at hand; `--configurations` searches around it."""

RATE_FACTORS, DECAY_FACTORS, DROPOUTS = (1 / 3, 1.0, 3.0), (1 / 3, 1.0, 3.0), (0.3, 0.5, 0.7)
NEIGHBOURS, WEIGHTINGS = (5, 10, 20, 50, 100), ("cosine", "equal")

Settings = Mapping[str, Any]
"""Nested differences from a head's fixed recipe."""


def configurations(base: RunConfig, count: int) -> list[Settings]:
    """Return the configurations tried for a row: the fixed recipe first, then others, drawn with seed 0.

    Example:
        >>> len(configurations(configure(head="sigmoid"), 4)), configurations(configure(head="sigmoid"), 1)
        (4, [{}])
    """
    every: list[Settings]
    if not HEADS[base.head].learns:
        own = (base.neighbours.neighbours, base.neighbours.weighting)
        every = [
            {"neighbours": {"neighbours": k, "weighting": weighting}}
            for k, weighting in product(NEIGHBOURS, WEIGHTINGS)
            if (k, weighting) != own
        ]
    else:
        part = HEADS[base.head].options[0]
        own_dropout = getattr(base, part).feature_dropout
        every = [
            {
                "recipe": {
                    "learning_rate": base.recipe.learning_rate * rate,
                    "weight_decay": base.recipe.weight_decay * decay,
                },
                part: {"feature_dropout": dropout},
            }
            for rate, decay, dropout in product(RATE_FACTORS, DECAY_FACTORS, DROPOUTS)
            if (rate, decay, dropout) != (1.0, 1.0, own_dropout)
        ]
    drawn = np.random.default_rng(0).permutation(len(every))[: max(count - 1, 0)]
    return [{}, *(every[i] for i in drawn)]


def row_config(
    row: Row,
    *,
    recipe: str,
    training_images: int,
    scenes: bool,
    options: Mapping[str, Any],
    settings: Settings,
    seed: int,
) -> RunConfig:
    """Return how one row is trained.

    Args:
        row: its head and its own settings.
        training_images: how many there are, which decides whether `LARGE` applies.
        scenes: whether the data are the drawn scenes, which have a recipe of their own (that of `labelbeam demo`).
        seed: of the training and of the validation split.

    Raises:
        InputError: options that do not fit together.
    """
    layers: list[Mapping[str, Any]] = [options, {"suggester": False, "seed": seed}, row.settings]
    if recipe == "default" and scenes:
        layers.insert(0, _used_by(row.head, _of_scenes(row.head)))
    elif recipe == "default" and training_images >= MANY_IMAGES:
        layers.insert(0, _used_by(row.head, LARGE))
    merged: dict[str, Any] = {}
    for layer in [*layers, settings]:
        merged = _laid_over(merged, layer)
    return configure(head=row.head, recipe=recipe, options=merged)


def _of_scenes(head: str) -> dict[str, Any]:
    """Return the demo's recipe of a head as nested options."""
    own = head_config(head, Path())
    part: dict[str, Any] = {
        "flips": False,
        "label_model": {
            "activation": own.label_model.activation,
            "image_hidden_size": own.label_model.image_hidden_size,
            "feature_dropout": own.label_model.feature_dropout,
            "projection_dropout": own.label_model.projection_dropout,
        },
        "sigmoid": {
            "feature_dropout": own.sigmoid.feature_dropout,
            "hidden_size": 512 if HEADS[head].differences.get("sigmoid") else 0,
        },
        "recipe": {
            name: getattr(own.recipe, name)
            for name in ("epochs", "batch_size", "learning_rate", "weight_decay", "patience")
        },
    }
    return part


def _used_by(head: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of nested options that a head has a use for; `labelbeam train` refuses the others."""
    row = HEADS[head]
    used = {*row.options, *row.reads, *(["recipe"] if row.learns else [])}
    return {
        part: value for part, value in options.items() if part in used or part not in (*OF_HEADS, "recipe")
    }


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested values with others laid over them."""
    merged = dict(below)
    for key, value in above.items():
        mine = merged.get(key)
        both = isinstance(mine, Mapping) and isinstance(value, Mapping)
        merged[key] = _laid_over(mine, value) if both and mine is not None else value
    return merged
