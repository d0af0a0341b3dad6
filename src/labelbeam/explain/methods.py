"""From targets to maps: what in the picture raises each number, and what lowers it.

Three methods, chosen by what the encoder is made of. Each gives two maps per target, `supporting` and
`opposing`, of the size of the encoder's input, not below 0. Knows encoders as modules and targets as a function of
features; knows no label.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelbeam.errors import InputError, unknown_name
from labelbeam.explain.deconvnet import deconvolved
from labelbeam.explain.feature_map import Cut, LastMap, cut_at, last_map

METHODS = ("auto", "deconvnet", "grad-cam", "gradient-input")
"""`auto` (default): a deconvnet where the network is made of ReLU and max pooling only, else Grad-CAM where it has
a feature map, else gradients times input."""

Targets = Callable[[Float[Tensor, "1 features"]], Float[Tensor, " steps"]]
"""Features of the image to the numbers that are explained."""

SMOOTHING = 1 / 40
"""Standard deviation of the blur of pixel maps, as a share of the side: a pixel's share is noise."""


def explained(
    encoder: nn.Module, pixels: Float[Tensor, "1 3 size size"], targets: Targets, *, method: str = "auto"
) -> tuple[str, Float[Tensor, "steps 2 size size"]]:
    """Return the method that was used and the maps of every target.

    Args:
        encoder: pixels to features, in evaluation mode.
        pixels: one picture as the encoder gets it.
        targets: what is explained.
        method: one of `METHODS`.

    Returns:
        The method's name, and for each target `[supporting opposing]`, not below 0, in no unit: comparable
        within a target, not between methods.

    Raises:
        InputError: an unknown method, or one that the encoder has no way back for.
    """
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
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
        maps: what is blurred.
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
