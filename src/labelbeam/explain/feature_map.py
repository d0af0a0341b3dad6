"""The last feature map of any image encoder, as a place to start from: the network cut in two there.

Found by running the network once and looking at what its modules return; no architecture is known by name.
Sits between the encoder and `explain.methods`.
"""

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelbeam.explain.deconvnet import Deconvnet


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
        encoder: pixels to features, in evaluation mode.
        place: what `last_map` found.
        pixels: the picture.
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
