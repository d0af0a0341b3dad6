"""How a model is trained: optimiser, rates, lengths. The numbers; the loop is in `training.loop`."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Int8

from labelbeam.errors import InputError, unknown_name
from labelbeam.heads.registry import HEADS
from labelbeam.labels.vocabulary import ABSENT

if TYPE_CHECKING:
    import torch
    from torch import nn

    from labelbeam.runs.config import RunConfig

OPTIMISERS = ("adamw", "rmsprop", "sgd")
SCHEDULES = ("constant", "cosine")
PRECISIONS = ("no", "bf16", "fp16")


@dataclass(frozen=True)
class Recipe:
    """Everything about the optimisation; a named recipe is one of these.

    Raises:
        InputError: a name or number outside what is allowed; all problems at once.
    """

    optimiser: str = "adamw"
    """`adamw`, `rmsprop` (the paper's) or `sgd`."""
    learning_rate: float = 1e-3
    """The rate of the head; after the warm-up where there is one."""
    encoder_rate: float = 0.1
    """The encoder's rate as a fraction of the head's, where the encoder is trained too."""
    local_rate: float = 1.0
    """The rate of local evidence, and of the biases beside it, as a multiple of the head's."""
    momentum: float = 0.9
    """RMSprop's and SGD's momentum, AdamW's beta1."""
    smoothing: float = 0.99
    """RMSprop's alpha, AdamW's beta2 is 0.999 whatever this is."""
    weight_decay: float = 1e-4
    """Decoupled for AdamW, added to the gradient for RMSprop and SGD; biases and normalisations have none."""
    batch_size: int = 128
    """Images per step, over all processes."""
    epochs: int = 60
    """Passes over the training images, at most."""
    patience: int = 10
    """Epochs without a better validation score before training stops; 0 never stops early."""
    clip_norm: float = 5.0
    """Gradients are scaled down to this norm; 0 leaves them."""
    schedule: str = "cosine"
    """`constant`, or `cosine` down to zero over `epochs`."""
    warmup: float = 0.0
    """Fraction of all steps over which the rate rises from zero."""
    average: float = 0.0
    """Share of the running average of all parameters that an update keeps, such as 0.99; that average is what is
    judged and kept (Polyak and Juditsky 1992). 0: none is made."""
    precision: str = "no"
    """`no` (single precision), `bf16` or `fp16`: mixed precision by Accelerate."""

    def __post_init__(self) -> None:
        for name, allowed in (("optimiser", OPTIMISERS), ("schedule", SCHEDULES), ("precision", PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise unknown_name(name, getattr(self, name), allowed)
        problems = [
            f"{field.name} is {getattr(self, field.name)}, must not be negative"
            for field in fields(self)
            if field.type in (int, float) and not getattr(self, field.name) >= 0
        ]
        problems += [
            f"{name} must be at least 1" for name in ("batch_size", "epochs") if getattr(self, name) < 1
        ]
        problems += [
            f"{name} must be below 1"
            for name in ("momentum", "smoothing", "average")
            if getattr(self, name) >= 1
        ]
        if problems:
            raise InputError("training recipe: " + "; ".join(problems) + ".")

    def rate_at(self, step: int, steps_in_all: int) -> float:
        """Return the learning rate of step `step` of `steps_in_all`, as a fraction of `learning_rate`.

        Example:
            >>> recipe = Recipe(schedule="cosine", warmup=0.1)
            >>> [round(recipe.rate_at(step, 100), 2) for step in (0, 9, 55, 100)]
            [0.1, 1.0, 0.5, 0.0]
        """
        rising = self.warmup * steps_in_all
        if step < rising:
            return (step + 1) / rising
        if self.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1.0, steps_in_all - rising)))

    def refitted(self, epoch: int) -> "Recipe":
        """Return the recipe that trains, without anything held out, as far as this one had come after an epoch.

        As far: as much learning rate in total. A cosine over as many epochs as were chosen has half of it, when the
        choice fell while the rate was still high.

        Example:
            >>> [Recipe(epochs=50).refitted(epoch).epochs for epoch in (8, 25, 50)]
            [16, 41, 50]
        """
        rates = [self.rate_at(2 * one + 1, 2 * self.epochs) for one in range(self.epochs)]  # mid-epoch
        share = sum(rates[:epoch]) / sum(rates)
        return replace(self, epochs=max(1, round(self.epochs * share)), patience=0)


def build_optimiser(
    recipe: Recipe, head: "nn.Module", encoder: "nn.Module | None" = None
) -> "torch.optim.Optimizer":
    """Build the optimiser over the head's parameters, and the encoder's where it is trained too.

    Matrices decay, vectors (biases, normalisations) do not. Each group keeps its share of the rate under
    "share", which the loop multiplies with the scheduled rate.
    """
    import torch

    groups = [*_groups(head.parameters(), recipe, 1.0)]
    if getattr(head, "local", None) is not None:
        places = {id(one) for one in cast(Any, head).local.parameters()}
        apart = [one for one in head.parameters() if one.ndim <= 1 or id(one) in places]
        kept = [one for one in head.parameters() if one.ndim > 1 and id(one) not in places]
        groups = [*_groups(kept, recipe, 1.0), *_groups(apart, recipe, recipe.local_rate)]
    if encoder is not None:
        groups += _groups(encoder.parameters(), recipe, recipe.encoder_rate)
    rate = recipe.learning_rate
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=rate, betas=(recipe.momentum, 0.999), fused=True)
    if recipe.optimiser == "rmsprop":
        return torch.optim.RMSprop(groups, lr=rate, alpha=recipe.smoothing, momentum=recipe.momentum)
    return torch.optim.SGD(groups, lr=rate, momentum=recipe.momentum)


def _groups(parameters: "Iterable[nn.Parameter]", recipe: Recipe, share: float) -> list[dict]:
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim > 1]
    vectors = [parameter for parameter in trained if parameter.ndim <= 1]
    return [
        {"params": chosen, "weight_decay": decay, "share": share}
        for chosen, decay in ((matrices, recipe.weight_decay), (vectors, 0.0))
        if chosen
    ]


# The default recipe by what the data say: how long, in which steps and how strongly regularised a head is trained.
#
# One rule for photographs and vectors. What it rests on:
#
# - Updates, not epochs, bring a head there: about `UPDATES` of them, in batches of a `BATCHES`-th of the rows, and
#   every row at least `LEAST_EPOCHS` times. Label models of vectors have half as many, of batches twice as large: as
#   good (emotions, inside its training part: 2.147 nats against 2.145) in half the time; not words, which are rare
#   each (medical: 1.40 nats against 1.27), nor sigmoid heads, whose updates cost little (birds: 2.44, 2.38).
# - AdamW forgets over 1 / (rate * decay) updates. Kept as a share of the whole training, that time needs no new value
#   where rows or batches change (Wang and Aitchison 2024, arXiv 2405.13698); `decay` is whole training over it.
# - How much is dropped and forgotten follows from the rows that there are for each feature: below 1 a head learns its
#   rows by heart, above 20 hardly. Of words, those count that a row has: a text of 13 words out of 1,449 says as much
#   as 13 features.
# - Features that are mostly zeros (words) are not divided each by its own deviation: a word that no training row has
#   would count a thousandfold; one deviation scales them all. For label models those between -1 and 1 stay as they
#   are, and labels have logits of their own: with hundreds of rare words, what a word says of a label is most of it.
#
# Measured inside the training parts of the public sets (docs/public_sets.md) and, for photographs, by
# `research/voc_cross_validation.py`. Knows no data set, only its size.

UPDATES, BATCHES, LEAST_EPOCHS = 1050, 24, 15

FINETUNING: Mapping[str, Any] = {
    "head_first": True,
    "crop": 0.5,
    "recipe": {
        "batch_size": 32,
        "epochs": 8,
        "learning_rate": 6e-4,
        "encoder_rate": 1.0,
        "weight_decay": 0.05,
        "warmup": 0.1,
        "average": 0.98,
        "patience": 0,
    },
}
"""A pretrained encoder is trained further with the head that its frozen features taught (docs/training.md)."""

LOCAL_UPDATES, LOCAL_RATE, LOCAL_SHARE = 400, 4.8e-3, 16.0
"""With local evidence: fewer updates, its rate, and how many times the rest's that is. At one rate for both the pooled
vector learns its rows by heart before places have a say (docs/training.md)."""

REDUNDANT = 64
"""Features below which fewer are dropped: a handful holds no copies of what is dropped."""

MANY_LABELS, WIDE = 64, 128
"""Labels above which those of vectors are embedded in more than the paper's 64 numbers, and in how many."""

MEMBERS, MANY_ROWS, HIDDEN = 4, 10_000, 1024
"""Heads that learn vectors side by side, and the rows from which one is enough: what a training finds in few rows
depends on its random numbers. The label models among them share the hidden units of one, unless features are words."""

OWN_LOGITS = 0.1
"""Weight of the labels' own cross-entropy (`per_label`) where vectors are learned: where labels hardly depend on each
other it is worth what a weight of 1 is, and where they do it costs little of what that would."""

MANY_A_FEATURE = 20
"""Rows for each feature above which a head hardly learns its rows by heart."""

HEADS_BY_SIZE = ("cnn-rnn", "no-rnn", "sigmoid", "sigmoid-mlp", "any-subset")
"""Heads whose recipe follows from the data; the baselines keep the one that was chosen for each."""


@dataclass(frozen=True)
class DataSize:
    """What a recipe depends on.

    Attributes:
        rows: to be trained on.
        features: of a row.
        labels: that there are.
        sparse: whether most features are zero in most rows.
        small: whether all features lie between -1 and 1, as words that are there or not do.
        vectors: whether the rows came as features, not as pictures.
        active: features of a row that are not zero, on average; 0: all.
    """

    rows: int
    features: int
    labels: int
    sparse: bool = False
    small: bool = False
    vectors: bool = False
    active: float = 0.0

    @property
    def per_feature(self) -> float:
        """Rows for each feature; where most features are zero, for each that a row has."""
        return self.rows / (self.active if self.sparse and self.active else self.features)

    @property
    def members(self) -> int:
        """How many heads learn side by side."""
        return MEMBERS if self.vectors and self.rows < MANY_ROWS else 1


@dataclass(frozen=True)
class Strength:
    """How strongly a head is regularised.

    Attributes:
        name: in words.
        feature_dropout: chance of dropping a feature.
        dropout: of dropping a hidden unit or a number of a projection.
        decay: the whole training over the time in which AdamW forgets.
        learning_rate: of the label model and of two-layer heads.
    """

    name: str
    feature_dropout: float
    dropout: float
    decay: float
    learning_rate: float


STRONG = Strength("strong", 0.7, 0.5, 3.15, 1e-3)
MIDDLE = Strength("middle", 0.5, 0.5, 1.0, 2e-3)
LIGHT = Strength("light", 0.3, 0.3, 0.3, 2e-3)


def strength_for(size: DataSize) -> Strength:
    """Return how strongly heads are regularised, by rows per feature.

    Example:
        >>> [strength_for(DataSize(rows, 100, 5)).name for rows in (50, 500, 5000)]
        ['strong', 'middle', 'light']
    """
    return STRONG if size.per_feature < 1 else MIDDLE if size.per_feature <= MANY_A_FEATURE else LIGHT


def recipe_for(
    size: DataSize, head: str, *, strength: Strength | None = None, length: float = 1.0, local: bool = False
) -> dict[str, Any]:
    """Return the default recipe as differences, as `runs.config.configure` takes them; empty for other heads.

    Args:
        size: of the training data.
        head: a name of `runs.config.HEADS`.
        strength: None: `strength_for(size)`.
        length: of the training, as a multiple of the rule's.
        local: whether the head takes local evidence.

    Example:
        >>> recipe_for(DataSize(650, 1280, 20), "cnn-rnn")["recipe"]
        {'batch_size': 32, 'epochs': 50, 'learning_rate': 0.001, 'weight_decay': 3.0, 'patience': 12}
    """
    if head not in HEADS_BY_SIZE:
        return {}
    strength = strength or strength_for(size)
    label_model = head in ("cnn-rnn", "no-rnn")
    larger = 2 if label_model and size.vectors and not size.sparse else 1
    batch = min(256, max(16 * larger, 2 ** round(math.log2(max(1, larger * size.rows / BATCHES)))))
    per_epoch = math.ceil(size.rows / batch)
    updates = LOCAL_UPDATES if local else UPDATES / larger
    epochs = max(1, round(length * max(LEAST_EPOCHS, updates / per_epoch)))
    rate = LOCAL_RATE if local else 3e-3 if head == "sigmoid" else strength.learning_rate
    recipe: dict[str, Any] = {
        "batch_size": batch,
        "epochs": epochs,
        "learning_rate": rate,
        "weight_decay": round(strength.decay / (rate * epochs * per_epoch), 4),
        "patience": max(10, epochs // 4),
    }
    if local:
        recipe |= {"learning_rate": rate / LOCAL_SHARE, "local_rate": LOCAL_SHARE}
    values: dict[str, Any] = {"recipe": recipe}
    members = size.members if label_model or head in ("sigmoid", "sigmoid-mlp") else 1
    if members > 1:
        values["members"] = members
    if size.sparse:
        values["scaling"] = "none" if size.small and label_model else "common"
    dropped = {"feature_dropout": round(strength.feature_dropout * min(1.0, size.features / REDUNDANT), 3)}
    if label_model:
        values["label_model"] = {
            **dropped,
            "image_hidden_dropout": strength.dropout,
            "projection_dropout": strength.dropout,
            **({"per_label": 1.0 if size.sparse else OWN_LOGITS} if size.vectors else {}),
            **({"image_hidden_size": HIDDEN // members} if members > 1 and not size.sparse else {}),
            # A short list of labels needs no more; the paper's 512 are for 80 and 81, and are most of the time.
            "hidden_size": 128 if size.labels < 16 else 512 if size.labels > 64 and not size.vectors else 256,
            **({"embedding_size": WIDE} if size.vectors and size.labels > MANY_LABELS else {}),
        }
    else:
        values["sigmoid"] = {**dropped, **({} if head == "sigmoid" else {"hidden_dropout": strength.dropout})}
    return values


def some_empty(targets: Int8[np.ndarray, "images labels"]) -> bool:
    """Tell whether a training image shows none of the labels; one whose labels are unknown is no such image."""
    return bool((targets == ABSENT).all(axis=1).any())


def empty_sets(config: "RunConfig", targets: Int8[np.ndarray, "images labels"]) -> dict[str, Any]:
    """Return where a label model has p(empty set) from, as differences: not from training images that do not say it."""
    if not HEADS[config.head].searches or config.label_model.loss != "sequence" or some_empty(targets):
        return {}
    return {"label_model": {"nothing": "independent"}}


def one_head(config: "RunConfig", size: DataSize) -> dict[str, Any]:
    """Return what makes a label model of photographs rank labels as sigmoid heads do, as differences.

    Not of vectors, whose weight of the labels' own logits `recipe_for` knows; not with local evidence, where its
    sets were worse (docs/training.md); not where labels come in any order, for which z is no exact chain. Measured:
    research/per_label.md.
    """
    wanted = HEADS[config.head].searches and not size.vectors and config.local.name == "none"
    if not wanted or config.label_model.allowed != "canonical":
        return {}
    return {"label_model": {"activation": "identity", "per_label": 1.0, "per_label_detached": True}}


def merged(values: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return differences with others laid over them; nested ones key by key.

    Example:
        >>> merged({"seed": 1, "recipe": {"epochs": 5}}, {"recipe": {"patience": 0}})
        {'seed': 1, 'recipe': {'epochs': 5, 'patience': 0}}
    """
    laid = dict(values)
    for key, value in more.items():
        both = isinstance(value, Mapping) and isinstance(laid.get(key), Mapping)
        laid[key] = merged(laid[key], value) if both else value
    return laid


def format_recipe(size: DataSize, recipe: Recipe, scaling: str = "", members: int = 1) -> str:
    """Return what was chosen and why, in a sentence.

    Args:
        size: of the training data.
        recipe: that is trained by; what the user asked for is in it.
        scaling: of the features.
        members: heads that learn side by side.
    """
    words = {"none": "and stay as they are", "common": "so one deviation scales them all"}.get(scaling, "")
    zeros = f"; features are mostly zeros, {words}" if size.sparse and words else ""
    few = f"; of so few rows {members} heads learn side by side and answer as one" if members > 1 else ""
    return (
        f"recipe for {size.rows:,} rows, {size.features:,} features and {size.labels:,} labels: "
        f"{strength_for(size).name} regularisation ({size.per_feature:.2g} rows a feature), batches of "
        f"{recipe.batch_size}, at most {recipe.epochs} epochs, rate {recipe.learning_rate:g}, weight decay "
        f"{recipe.weight_decay:g}{zeros}{few}."
    )
