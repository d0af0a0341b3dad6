"""The last feature map of any image encoder beside its pooled vector: where things are, not only that they are.

A CNN's map before pooling, or a ViT's patch tokens, pooled to a grid of at most so many places a side. Knows no label.
"""

import math
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelbeam.encoders.encoder import MapShape
from labelbeam.errors import InputError


class WithMap(nn.Module):
    """An encoder whose rows hold its pooled vector, then its last map place by place.

    Args:
        network: with `forward_features` (pixels to map or tokens) and `forward_head` (these to the pooled vector), as
            every model of timm and every network of `encoders.networks` has them.
        grid: places a side that the map is pooled to; one that has no more stays as it is.

    Example:
        >>> from labelbeam.encoders.networks import TinyEncoder
        >>> encoder = WithMap(TinyEncoder(width=16), grid=2).eval()
        >>> tuple(encoder(torch.zeros(1, 3, 64, 64)).shape)  # 32 pooled, then 2 x 2 places of 16 channels
        (1, 96)
    """

    def __init__(self, network: nn.Module, grid: int) -> None:
        super().__init__()
        self.network, self.grid = network, grid

    @property
    def output_fmt(self) -> str:
        """How the network lays its map out, in timm's words."""
        return str(getattr(self.network, "output_fmt", "NCHW"))

    def forward(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch row"]:
        """Return the pooled vector and the pooled map, side by side."""
        network = cast(Any, self.network)
        found = network.forward_features(pixels)
        maps = as_map(self.network, found)  # [batch channels h w]
        if maps.shape[2] > self.grid:
            maps = nn.functional.adaptive_avg_pool2d(maps, self.grid)
        places = maps.permute(0, 2, 3, 1).flatten(1)  # [batch grid*grid*channels]
        return torch.cat((network.forward_head(found), places), dim=1)


def as_map(network: nn.Module, found: object) -> Float[Tensor, "batch channels h w"]:
    """Return what `forward_features` gave as a map: patch tokens are put back to their places.

    Raises:
        InputError: the network has no square map.
    """
    if isinstance(found, Tensor) and found.ndim == 3:
        tokens = found[:, int(getattr(network, "num_prefix_tokens", 0)) :]
        side = math.isqrt(tokens.shape[1])
        if side * side == tokens.shape[1]:
            return tokens.transpose(1, 2).unflatten(2, (side, side))
    elif isinstance(found, Tensor) and found.ndim == 4:
        maps = found.permute(0, 3, 1, 2) if getattr(network, "output_fmt", "NCHW") == "NHWC" else found
        if maps.shape[2] == maps.shape[3]:
            return maps
    raise InputError(
        "this encoder has no square map of the picture, so there is no local evidence. Leave --local out, or take "
        "another --encoder."
    )


def with_map(network: nn.Module, grid: int, *, size: int) -> tuple[WithMap, MapShape]:
    """Return an encoder with its last map, and the map's shape.

    Args:
        network: in evaluation mode.
        grid: places a side, at most.
        size: side of its pictures, pixels.

    Raises:
        InputError: a grid below 1, or a network that has no map.
    """
    if grid < 1:
        raise InputError(
            f"--grid is the places a side of the map, at least 1, given {grid}. 7 or 11 are usual."
        )
    if not (hasattr(network, "forward_features") and hasattr(network, "forward_head")):
        as_map(network, None)
    with torch.inference_mode():
        maps = as_map(network, cast(Any, network).forward_features(torch.zeros(1, 3, size, size)))
    side = min(grid, maps.shape[2])
    return WithMap(network, side).eval(), MapShape(side, maps.shape[1])
