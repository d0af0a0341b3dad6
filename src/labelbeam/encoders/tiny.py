"""`tiny`: a small convolutional network for 64 to 96 px pictures, trained from scratch with a head on top.

0.31 M parameters, 35 million multiplications at 96 px (15 at 64 px). Average and maximum pooling side by
side: an object of a few pixels vanishes in the average of a map and survives in its maximum. Knows nothing
of labels.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelbeam.errors import InputError, unknown_name

POOLINGS = ("avg+max", "avg", "max")


class TinyEncoder(nn.Module):
    """Five 3x3 convolutions (batch normalisation, ReLU), four of them halving the map, then pooling.

    Args:
        width: channels of the last map, a positive multiple of 16; the others are 3/16, 3/8 and 3/4 of it.
        pooling: "avg+max" (both, side by side), "avg" or "max".

    Raises:
        InputError: a width or a pooling outside of these.

    Example:
        >>> encoder = TinyEncoder(width=16).eval()
        >>> tuple(encoder(torch.zeros(2, 3, 64, 64)).shape), encoder.num_features
        ((2, 32), 32)
    """

    def __init__(self, width: int = 128, pooling: str = "avg+max") -> None:
        super().__init__()
        if width < 16 or width % 16:
            raise InputError(f"the width of 'tiny' must be a positive multiple of 16, given {width}.")
        if pooling not in POOLINGS:
            raise unknown_name("pooling of 'tiny'", pooling, POOLINGS)
        self.pooling = pooling
        self.num_features = width * (2 if pooling == "avg+max" else 1)
        a, b, c = 3 * width // 16, 3 * width // 8, 3 * width // 4
        self.stages = nn.Sequential(
            _stage(3, a, stride=2),  # [batch a size/2 size/2]
            _stage(a, b, stride=2),  # [batch b size/4 size/4]
            _stage(b, c, stride=2),  # [batch c size/8 size/8]
            _stage(c, width, stride=1),  # [batch width size/8 size/8]
            _stage(width, width, stride=2),  # [batch width size/16 size/16]
        )

    def forward(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch features"]:
        """Return the features of a batch of normalised pictures."""
        maps = self.stages(pixels)  # [batch width size/16 size/16]
        if self.pooling == "avg":
            return maps.mean((2, 3))
        if self.pooling == "max":
            return maps.amax((2, 3))
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)  # [batch 2*width]


def _stage(channels_in: int, channels_out: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )
