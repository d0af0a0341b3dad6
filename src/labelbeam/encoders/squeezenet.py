"""The trunk of SqueezeNet 1.1 in torchvision's key layout: ReLU and max pooling only, 512 channels.

Small enough for CPUs, plain enough for a true deconvnet (no ReLU works in place). Knows nothing of labels.

Source: Iandola et al., 2016, version 1.1 of the authors' repository.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelbeam.errors import unknown_name

POOLINGS = ("avg", "max", "avg+max")

_FIRES = (
    *((64, 16, 64), (128, 16, 64), (), (128, 32, 128), (256, 32, 128), ()),
    *((256, 48, 192), (384, 48, 192), (384, 64, 256), (512, 64, 256)),
)
"""Channels in, squeezed, and of each of the two expansions; () is max pooling."""


class Fire(nn.Module):
    """Squeeze by 1x1, expand by 1x1 and 3x3 side by side."""

    def __init__(self, channels_in: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels_in, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, maps: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch out h w"]:
        """Return both expansions along the channels."""
        squeezed = torch.relu(self.squeeze(maps))
        return torch.relu(torch.cat([self.expand1x1(squeezed), self.expand3x3(squeezed)], dim=1))


class SqueezeNet11(nn.Module):
    """The convolutional trunk and global pooling.

    Args:
        pooling: "avg", "max", or "avg+max" (both, side by side).

    Raises:
        InputError: another pooling.

    Example:
        >>> tuple(SqueezeNet11("avg+max").eval()(torch.zeros(1, 3, 64, 64)).shape)
        (1, 1024)
    """

    def __init__(self, pooling: str = "avg") -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise unknown_name("pooling of 'squeezenet1_1'", pooling, POOLINGS)
        self.pooling = pooling
        self.num_features = 1024 if pooling == "avg+max" else 512
        layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), _pool()]
        layers += [Fire(*fire) if fire else _pool() for fire in _FIRES]
        self.features = nn.Sequential(*layers)

    def forward(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch features"]:
        """Return the pooled features of a batch of normalised pictures."""
        maps = self.features(pixels)  # [batch 512 h w]
        pooled = []
        if "avg" in self.pooling:
            pooled.append(maps.mean((2, 3)))
        if "max" in self.pooling:
            pooled.append(maps.amax((2, 3)))
        return torch.cat(pooled, dim=1)


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)
