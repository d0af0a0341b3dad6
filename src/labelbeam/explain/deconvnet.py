"""Deconvnet: the way back through convolutions, ReLUs and max pooling that Zeiler and Fergus describe.

A deconvnet is backpropagation with another ReLU. Max pooling's gradient goes to the place the maximum came from (the
switch), a convolution's gradient is its transposed filter; only ReLU differs: on the way back it is applied
to what comes back, wherever the input of the forward pass was. So the network runs as it is, with its ReLUs
exchanged while it runs; no copy of it is built. A network with any other non-linearity is refused.

Knows no label and no head: what is sent back comes from `explain.methods`.

Source: Zeiler and Fergus, ECCV 2014, Section 2.1.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

from labelbeam.errors import InputError

RELU = frozenset({"relu", "relu_"})
"""Functions that are exchanged; in place or not, their result is a new tensor."""

INVERTIBLE = frozenset(
    {
        *("conv2d", "linear", "batch_norm", "max_pool2d", "max_pool2d_with_indices", "boolean_dispatch"),
        *(
            "avg_pool2d",
            "adaptive_avg_pool2d",
            "mean",
            "sum",
            "amax",
            "cat",
            "add",
            "__add__",
            "add_",
            "iadd",
        ),
        *("__iadd__", "__radd__", "flatten", "reshape", "view", "permute", "transpose", "contiguous"),
        *("__getitem__", "squeeze", "unsqueeze", "pad", "_pad", "dropout", "dropout_", "identity", "to"),
        *("size", "dim", "numel", "detach", "requires_grad_", "float", "clone", "chunk", "split", "stride"),
    }
)
"""What a deconvnet passes: filters, sums, selections and pooling. Batch normalisation in evaluation is a filter."""


class _DeconvolvedRelu(torch.autograd.Function):
    """ReLU forward, and ReLU again on the way back, whatever came in."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        return maps.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0].clamp(min=0)


class Deconvnet(TorchFunctionMode):
    """While it is entered, ReLUs deconvolve, and other non-linearities are refused.

    Attributes:
        active: whether it does anything; the part of a network above a feature map needs no deconvnet.

    Raises:
        InputError: the network calls a function that a deconvnet has no way back through.

    Example:
        >>> pixels = torch.tensor([-1.0, 2.0], requires_grad=True)
        >>> with Deconvnet():
        ...     maps = torch.relu(pixels)
        >>> torch.autograd.grad(maps, pixels, torch.tensor([3.0, -1.0]))[0].tolist()
        [3.0, 0.0]
    """

    def __init__(self) -> None:
        super().__init__()
        self.active = True

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Exchange ReLU; pass what has a way back; refuse the rest."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", str(func))
        if not self.active or name in ("__get__", "__set__"):
            return func(*args, **kwargs)
        if name in RELU:
            return _DeconvolvedRelu.apply(args[0] if args else kwargs["input"])
        if name not in INVERTIBLE:
            raise InputError(
                f"a deconvnet goes through ReLU and max pooling only; this encoder also uses {name!r}. "
                "Use --method grad-cam or gradient-input (auto takes what fits)."
            )
        return func(*args, **kwargs)


def deconvolved(
    maps: Float[Tensor, "1 channels h w"],
    pixels: Float[Tensor, "1 colours height width"],
    seed: Float[Tensor, "1 channels h w"],
) -> Float[Tensor, "1 colours height width"]:
    """Send a seed back from a feature map to the pixels.

    Args:
        maps: a feature map computed from `pixels` under `Deconvnet`; its graph is kept.
        pixels: what it was computed from; requires gradients.
        seed: what is sent back. ReLU would mix up signs: send the positive and the negative part apart.
    """
    return torch.autograd.grad(maps, pixels, seed, retain_graph=True)[0]
