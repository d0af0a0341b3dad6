"""VGG-16 up to fc7, the paper's image encoder, in torchvision's key layout.

No ReLU works in place, so that gradients and deconvolution can look at every map. Knows nothing of where its
weights come from (`encoders.catalogue`) nor of the transform in front of it (`encoders.preprocess`).

Source: Simonyan and Zisserman, ICLR 2015, configuration D. CNN-RNN (Wang et al., CVPR 2016) uses it
pre-trained on ImageNet without naming the layer; fc7 after ReLU is the usual reading.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelbeam.errors import InputError, unknown_name

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
        maps = self.avgpool(self.features(pixels))  # [batch 8*width 7 7]
        fc7 = self.classifier(torch.flatten(maps, 1))  # [batch features]
        return torch.relu(fc7) if self.feature == "fc7-relu" else fc7
