"""What features are made with: pixels in, features out, whatever runs the network.

`ImageEncoder` (PyTorch; can be trained) and `GraphEncoder` (an exported graph; needs no PyTorch) are the two.
Knows nothing of files, caches or engines.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from labelbeam.encoders.preprocess import Preprocess


class Encoder(ABC):
    """A network from pixels to features, with its transform.

    Attributes:
        num_features: columns of what it returns.
        preprocess: from a decoded picture to what `encode` takes (`Preprocess.resized`).
        precision: "float32" for the network's own numbers; else what they were rounded to: "bfloat16", or
            "int8" and what it was calibrated on. Features of different precisions are different features.
        engine: what computes: "torch", "onnx" or "openvino".
    """

    num_features: int
    preprocess: Preprocess
    precision: str
    engine: str = "torch"

    @property
    @abstractmethod
    def config(self) -> dict[str, Any]:
        """What it is, as plain JSON values: architecture, arguments, num_features, preprocess."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Architecture, arguments and a hash of the weights: equal where the network is, whatever runs it."""

    @property
    def source(self) -> str:
        """Whose features these are, in whatever precision: network, weights and transform."""
        return "".join(value for name, value in self.key.items() if name != "precision")

    @property
    def key(self) -> dict[str, str]:
        """Everything that features depend on beside the image: the key of caches and stores.

        Engines agree on float32; what they round, each rounds in its own way.
        """
        rounded = self.precision if self.precision == "float32" else f"{self.precision} by {self.engine}"
        return {"encoder": self.identity, "transform": self.preprocess.identity, "precision": rounded}

    @abstractmethod
    def ready(self, device: str) -> "Encoder":
        """Return the encoder ready to run on a device, in evaluation mode; itself where it is already.

        Raises:
            InputError: the device cannot be used here.
        """

    @abstractmethod
    def encode(self, pixels: UInt8[np.ndarray, "batch 3 size size"]) -> Float32[np.ndarray, "batch features"]:
        """Return the features of resized pictures (RGB, 0..255); called by several threads at once.

        The encoder must be `ready`.
        """


# What a user may ask of an image encoder, as plain values; imports no network, so that help stays fast.


@dataclass(frozen=True)
class EncoderConfig:
    """What the user asks for. None means: as the weights, or the architecture, say.

    Attributes:
        name: "tiny", "vgg16", "squeezenet1_1", "efficientnet-lite0" (or 1, 2), a short name ("dinov2", "siglip",
            "convnext"), or any timm model with or without a tag; "" takes the name from the weights file, or is
            `lite.usual_encoder` in training.
        weights: a .safetensors file, or a .pth; None for published weights (fetched where there is a
            network), and for "tiny" initial values.
        pretrained: False for initial values from `seed`.
        pooling: of the last map: "default", or one the architecture has ("avg", "max", "avg+max", "gem", …).
        feature: of VGG-16: "fc7-relu" (the usual one) or "fc7".
        width: of "tiny" and of reduced VGG-16s; None for the usual one.
        size: side of the square input, pixels.
        resize: "center" or "squash", see `Preprocess`.
        resize_to: shortest side before the centre crop, pixels; None keeps the usual proportion to `size`.
        interpolation: "bilinear" or "bicubic".
        channels: "RGB" or "BGR".
        scale: the value of white, 1.0 or 255.0.
        mean: per channel, in units of `scale`.
        std: per channel, likewise.
        pad_type: "" (symmetric) or "same" (TensorFlow's), for timm's EfficientNets and MobileNets.
        horizontal_flip: True for mirrored pictures.
        seed: of initial values.
    """

    name: str = ""
    weights: Path | None = None
    pretrained: bool = True
    pooling: str = "default"
    feature: str | None = None
    width: int | None = None
    size: int | None = None
    resize: str | None = None
    resize_to: int | None = None
    interpolation: str | None = None
    channels: str | None = None
    scale: float | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    pad_type: str | None = None
    horizontal_flip: bool = False
    seed: int = 0
