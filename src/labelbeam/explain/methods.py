"""From targets to maps: what in the picture raises each number, by deconvnet, Grad-CAM or gradients."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from labelbeam.errors import InputError, unknown_name
from labelbeam.heads.local import Local

# Found by running the network once and looking at what its modules return; no architecture is known by name.


@dataclass(frozen=True)
class LastMap:
    """Where an encoder's last feature map is.

    Attributes:
        module: the submodule that returns it.
        channels_last: whether it returns `[batch h w channels]`, as Swin does.
    """

    module: nn.Module
    channels_last: bool


@dataclass(frozen=True)
class Cut:
    """An encoder run on one picture, cut at its last feature map.

    Attributes:
        pixels: the picture; requires gradients.
        below: the map as computed from the pixels `[1 channels h w]`.
        maps: the same numbers, with no past `[1 channels h w]`; requires gradients.
        features: computed from `maps`.
    """

    pixels: Float[Tensor, "1 3 height width"]
    below: Float[Tensor, "1 channels h w"]
    maps: Float[Tensor, "1 channels h w"]
    features: Float[Tensor, "1 features"]


def last_map(encoder: nn.Module, pixels: Float[Tensor, "1 3 height width"]) -> LastMap | None:
    """Find the last module whose output is a feature map; None where the features come from tokens instead.

    Args:
        encoder: pixels to features, in evaluation mode.
        pixels: a picture it can look at.
    """
    found: list[nn.Module] = []

    def look(module: nn.Module, _: object, output: object) -> None:
        if not isinstance(output, Tensor):
            return
        if output.ndim == 4 and output.shape[2] > 1 and _width(module, output) > 1:
            found.append(module)
        elif output.ndim == 3 and output.shape[1] > 1:  # [batch tokens channels]
            found.clear()

    def _width(module: nn.Module, output: Tensor) -> int:
        return output.shape[1] if channels_last else output.shape[3]

    channels_last = getattr(encoder, "output_fmt", "NCHW") == "NHWC"
    hooks = [module.register_forward_hook(look) for module in encoder.modules() if module is not encoder]
    try:
        with torch.inference_mode():
            encoder(pixels)
    finally:
        for hook in hooks:
            hook.remove()
    return LastMap(found[-1], channels_last) if found else None


def cut_at(
    encoder: nn.Module, place: LastMap, pixels: Float[Tensor, "1 3 height width"], *, deconvnet: bool
) -> Cut:
    """Run an encoder on a picture, cut at its last feature map; what is above the map has plain gradients.

    Args:
        place: what `last_map` found.
        deconvnet: whether the way back below the map is a deconvnet's.

    Raises:
        InputError: a deconvnet is asked for and the encoder has no such way back.
    """
    mode = Deconvnet() if deconvnet else None
    seen: list[tuple[Tensor, Tensor]] = []

    def cut(module: nn.Module, _: object, output: Tensor) -> Tensor:
        if mode is not None:
            mode.active = False
        leaf = output.detach().clone().requires_grad_()
        seen[:] = [(output, leaf)]
        return leaf

    pixels = pixels.detach().clone().requires_grad_()
    hook = place.module.register_forward_hook(cut)
    try:
        with torch.enable_grad(), mode or nullcontext():
            features = encoder(pixels)
    finally:
        hook.remove()
    below, leaf = seen[0]
    return Cut(pixels, below, leaf, features)


# A deconvnet is backpropagation with another ReLU. Max pooling's gradient goes to the place the maximum came from (the
# switch), a convolution's gradient is its transposed filter; only ReLU differs: on the way back it is applied to what
# comes back, wherever the input of the forward pass was. So the network runs as it is, with its ReLUs exchanged while
# it runs; no copy of it is built. A network with any other non-linearity is refused.
#
# Source: Zeiler and Fergus, ECCV 2014, Section 2.1.

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


# Methods, chosen by what head and encoder are made of. Each gives two maps per target, `supporting` and `opposing`, of
# the size of the encoder's input, not below 0.

METHODS = ("auto", "local", "deconvnet", "grad-cam", "gradient-input")
"""`auto` (default): the model's own map where it has local evidence (`local_maps`), else a deconvnet where the network
is made of ReLU and max pooling only, else Grad-CAM where it has a feature map, else gradients times input."""

Targets = Callable[[Float[Tensor, "1 features"]], Float[Tensor, " steps"]]
"""Features of the image to the numbers that are explained."""

SMOOTHING = 1 / 40
"""Standard deviation of the blur of pixel maps, as a share of the side: a pixel's share is noise."""


def explained(
    encoder: nn.Module, pixels: Float[Tensor, "1 3 size size"], targets: Targets, *, method: str = "auto"
) -> tuple[str, Float[Tensor, "steps 2 size size"]]:
    """Return the method that was used and the maps of every target.

    Args:
        pixels: one picture as the encoder gets it.
        method: one of `METHODS`.

    Returns:
        The method's name, and for each target `[supporting opposing]`, not below 0, in no unit: comparable
        within a target, not between methods.

    Raises:
        InputError: an unknown method, or one that the encoder has no way back for.
    """
    check_method(method)
    place = None if method == "gradient-input" else last_map(encoder, pixels)
    if place is None:
        if method in ("deconvnet", "grad-cam"):
            raise InputError(
                f"{method} needs an encoder with a feature map [channels h w]; this one works on tokens. "
                "Use --method gradient-input."
            )
        return "gradient-input", gradient_input(encoder, pixels, targets)
    if method == "auto":
        method = "deconvnet" if _deconvolves(encoder, place, pixels) else "grad-cam"
    cut = cut_at(encoder, place, pixels, deconvnet=method == "deconvnet")
    if method == "grad-cam":
        return method, grad_cam(cut, targets, channels_last=place.channels_last)
    return method, deconvnet(cut, targets)


def check_method(method: str) -> None:
    """Refuse an unknown method.

    Raises:
        InputError: it is not one of `METHODS`; the nearest is proposed.
    """
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)


def local_maps(
    local: Local, row: Float[np.ndarray, "1 row"], labels: tuple[int, ...], *, size: int
) -> Float[Tensor, "steps 2 size size"]:
    """Return what each place of the picture added to labels' scores, and took from them: no estimate, the model's own.

    END has no score of its own there: what speaks against it is what places add to labels, each by its probability.

    Args:
        row: of the image, its map included.
        labels: label ids; one beyond the labels stands for END.
    """
    parts = torch.from_numpy(local.at_places(row)[0].T.copy())  # [labels places]
    side = math.isqrt(parts.shape[1])
    chance = torch.sigmoid(parts.sum(dim=1, keepdim=True))
    against_end = -(chance * parts.clamp(min=0)).sum(dim=0)
    chosen = torch.stack([parts[one] if one < len(parts) else against_end for one in labels])
    # Bilinear: a smoother enlargement would show support beside places that oppose.
    maps = nn.functional.interpolate(
        chosen.view(-1, 1, side, side), size=(size, size), mode="bilinear", align_corners=False
    )
    return torch.cat((maps.clamp(min=0), (-maps).clamp(min=0)), dim=1)


def deconvnet(cut: Cut, targets: Targets) -> Float[Tensor, "steps 2 size size"]:
    """Send each activation's contribution to a target back to the pixels, for and against apart.

    The seed is `A * d target / d A`: what each number A of the last feature map adds to the target, to first order.
    Its positive part is sent back for the map `supporting`, its negative part, as a positive number, for `opposing`.
    A pixel's number is the sum of its channels' absolute values, smoothed.
    """
    maps = []
    for grad in _gradients(targets(cut.features), cut.maps):
        contribution = cut.maps.detach() * grad  # [1 channels h w]
        parts = (contribution.clamp(min=0), (-contribution).clamp(min=0))
        maps += [deconvolved(cut.below, cut.pixels, part)[0].abs().sum(dim=0) for part in parts]
    return smoothed(torch.stack(maps)).unflatten(0, (-1, 2))


def grad_cam(
    cut: Cut, targets: Targets, *, channels_last: bool = False
) -> Float[Tensor, "steps 2 size size"]:
    """Weigh the channels of the last feature map by their average gradient, and enlarge the sum.

    Source: Selvaraju et al., ICCV 2017, equations 1 and 2; `supporting` is their map, `opposing` the negative
    part that their ReLU discards (their "counterfactual explanation").
    """
    activation = cut.maps.detach()
    cams = []
    for grad in _gradients(targets(cut.features), cut.maps):
        if channels_last:
            cams.append((activation * grad.mean((1, 2), keepdim=True)).sum(dim=3))
        else:
            cams.append((activation * grad.mean((2, 3), keepdim=True)).sum(dim=1))
    cam = torch.stack(cams)  # [steps 1 h w]
    cam = nn.functional.interpolate(cam, size=cut.pixels.shape[2:], mode="bicubic", align_corners=False)
    return torch.cat((cam.clamp(min=0), (-cam).clamp(min=0)), dim=1)


def gradient_input(
    encoder: nn.Module, pixels: Float[Tensor, "1 3 size size"], targets: Targets
) -> Float[Tensor, "steps 2 size size"]:
    """Multiply each pixel by the target's gradient: what it adds, to first order, against a picture of the mean.

    Source: Shrikumar et al., 2016.
    """
    pixels = pixels.detach().clone().requires_grad_()
    with torch.enable_grad():
        features = encoder(pixels)
    maps = []
    for grad in _gradients(targets(features), pixels):
        product = (pixels.detach() * grad)[0].sum(dim=0)
        maps += [product.clamp(min=0), (-product).clamp(min=0)]
    return smoothed(torch.stack(maps)).unflatten(0, (-1, 2))


def smoothed(
    maps: Float[Tensor, "maps height width"], *, share: float = SMOOTHING
) -> Float[Tensor, "maps height width"]:
    """Blur maps with a Gaussian; away from the border sums stay as they are.

    Args:
        share: standard deviation, as a share of the shorter side.

    Example:
        >>> one = torch.zeros(1, 9, 9)
        >>> one[0, 4, 4] = 1.0
        >>> round(float(smoothed(one, share=0.1).sum()), 4)
        1.0
    """
    deviation = share * min(maps.shape[1:])
    reach = min(max(1, round(3 * deviation)), min(maps.shape[1:]) - 1)
    at = torch.arange(-reach, reach + 1, dtype=maps.dtype, device=maps.device)
    bell = torch.exp(-0.5 * (at / deviation) ** 2)
    bell = bell / bell.sum()
    padded = nn.functional.pad(maps[:, None], (reach,) * 4, mode="reflect")
    rows = nn.functional.conv2d(padded, bell.view(1, 1, 1, -1))
    return nn.functional.conv2d(rows, bell.view(1, 1, -1, 1))[:, 0]


def _gradients(values: Tensor, where: Tensor) -> list[Tensor]:
    """Return d value / d where for each value."""
    return [torch.autograd.grad(value, where, retain_graph=True)[0] for value in values]


def _deconvolves(encoder: nn.Module, place: LastMap, pixels: Tensor) -> bool:
    try:
        cut_at(encoder, place, pixels, deconvnet=True)
    except InputError:
        return False
    return True
