"""How a model is trained: optimiser, rates, lengths. The numbers; the loop is in `training.loop`."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from labelbeam.errors import InputError, unknown_name

if TYPE_CHECKING:
    import torch
    from torch import nn

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
            f"{name} must be below 1" for name in ("momentum", "smoothing") if getattr(self, name) >= 1
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


def build_optimiser(
    recipe: Recipe, head: "nn.Module", encoder: "nn.Module | None" = None
) -> "torch.optim.Optimizer":
    """Build the optimiser over the head's parameters, and the encoder's where it is trained too.

    Matrices decay, vectors (biases, normalisations) do not. Each group keeps its share of the rate under
    "share", which the loop multiplies with the scheduled rate.
    """
    import torch

    groups = [*_groups(head.parameters(), recipe, 1.0)]
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
