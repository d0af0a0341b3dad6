"""Networks of our own: VGG-16 (the paper's encoder), SqueezeNet 1.1, `tiny` for drawn pictures; GeM pooling."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelbeam.errors import InputError, unknown_name

# Generalised-mean pooling, between average and maximum.


class Gem(nn.Module):
    """Generalised-mean pooling with the usual exponent 3.

    Source: Radenovic et al., TPAMI 2019, equation 4.
    """

    def __init__(self, *, channels_last: bool, power: float = 3.0) -> None:
        super().__init__()
        self.dims = (1, 2) if channels_last else (2, 3)
        self.power = power

    def forward(self, maps: Float[Tensor, "batch a b c"]) -> Float[Tensor, "batch channels"]:
        """Return the cube root of the mean of cubes over each map; negative values count as 1e-6."""
        return maps.clamp(min=1e-6).pow(self.power).mean(self.dims).pow(1.0 / self.power)


# Small enough for CPUs, plain enough for a true deconvnet (no ReLU works in place).
#
# Source: Iandola et al., 2016, version 1.1 of the authors' repository.

SQUEEZENET_POOLINGS = ("avg", "max", "avg+max")

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
        if pooling not in SQUEEZENET_POOLINGS:
            raise unknown_name("pooling of 'squeezenet1_1'", pooling, SQUEEZENET_POOLINGS)
        self.pooling = pooling
        self.num_features = 1024 if pooling == "avg+max" else 512
        layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), _pool()]
        layers += [Fire(*fire) if fire else _pool() for fire in _FIRES]
        self.features = nn.Sequential(*layers)

    def forward(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch features"]:
        """Return the pooled features of a batch of normalised pictures."""
        return self.forward_head(self.forward_features(pixels))

    def forward_features(
        self, pixels: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch 512 h w"]:
        """Return the last map."""
        return self.features(pixels)

    def forward_head(self, maps: Float[Tensor, "batch 512 h w"]) -> Float[Tensor, "batch features"]:
        """Return the pooled features of last maps."""
        pooled = []
        if "avg" in self.pooling:
            pooled.append(maps.mean((2, 3)))
        if "max" in self.pooling:
            pooled.append(maps.amax((2, 3)))
        return torch.cat(pooled, dim=1)


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


# 0.31 M parameters, 35 million multiplications at 96 px (15 at 64 px). Average and maximum pooling side by side: an
# object of a few pixels vanishes in the average of a map and survives in its maximum.

TINY_POOLINGS = ("avg+max", "avg", "max")


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
        if pooling not in TINY_POOLINGS:
            raise unknown_name("pooling of 'tiny'", pooling, TINY_POOLINGS)
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
        return self.forward_head(self.forward_features(pixels))

    def forward_features(
        self, pixels: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch channels h w"]:
        """Return the last map, of a sixteenth of the side."""
        return self.stages(pixels)

    def forward_head(self, maps: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch features"]:
        """Return the pooled features of last maps."""
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


# No ReLU works in place, so that gradients and deconvolution can look at every map.
#
# Source: Simonyan and Zisserman, ICLR 2015, configuration D. CNN-RNN (Wang et al., CVPR 2016) uses it pre-trained on
# ImageNet without naming the layer; fc7 after ReLU is the usual reading.

FEATURES = ("fc7-relu", "fc7")

WEIGHTS_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
"""torchvision's IMAGENET1K_V1 weights, 528 MB."""

WEIGHTS_SHA256_PREFIX = "397923af"
"""First digits of the sha256 of that file; the publisher puts them into its name."""

_LAYERS = (1, 1, "M", 2, 2, "M", 4, 4, 4, "M", 8, 8, 8, "M", 8, 8, 8, "M")
"""Channels of each convolution in units of the first one's; "M" is max pooling."""


class Vgg16(nn.Module):
    """Thirteen convolutions and two fully connected layers: 4,096 features at full width.

    Args:
        width: channels of the first convolution, 64 in the paper; fc6 and fc7 have 64 times as many.
        feature: "fc7-relu" (after the ReLU) or "fc7" (before it).

    Raises:
        InputError: a width below 1 or another feature (the nearest one is proposed).

    Example:
        >>> encoder = Vgg16(width=1).eval()
        >>> tuple(encoder(torch.zeros(2, 3, 224, 224)).shape)
        (2, 64)
    """

    def __init__(self, width: int = 64, feature: str = "fc7-relu") -> None:
        super().__init__()
        if width < 1:
            raise InputError(f"the width of VGG-16 must be at least 1, given {width}.")
        if feature not in FEATURES:
            raise unknown_name("VGG-16 feature", feature, FEATURES)
        self.feature = feature
        self.num_features = 64 * width
        layers: list[nn.Module] = []
        channels = 3
        for step in _LAYERS:
            if isinstance(step, str):
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, step * width, 3, padding=1), nn.ReLU()]
                channels = step * width
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7)  # the identity at 224 px; lets other sizes through
        # Positions 0 and 3 are the keys of torchvision's file, so the dropouts keep their places.
        self.classifier = nn.Sequential(
            nn.Linear(channels * 49, self.num_features),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(self.num_features, self.num_features),
        )

    def forward(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch features"]:
        """Return fc7 of a batch of normalised pictures; at least 32 px a side."""
        return self.forward_head(self.forward_features(pixels))

    def forward_features(
        self, pixels: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch channels h w"]:
        """Return the last map, after the fifth pooling."""
        return self.features(pixels)

    def forward_head(self, maps: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch features"]:
        """Return fc7 of last maps."""
        maps = self.avgpool(maps)  # [batch 8*width 7 7]
        fc7 = self.classifier(torch.flatten(maps, 1))  # [batch features]
        return torch.relu(fc7) if self.feature == "fc7-relu" else fc7
