"""What a user may ask of an image encoder, as plain values; imports no network, so that help stays fast."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class EncoderConfig:
    """What the user asks for. None means: as the weights, or the architecture, say.

    Attributes:
        name: "tiny", "vgg16", "squeezenet1_1", a short name ("dinov2", "siglip", "convnext"), or any timm
            model with or without a tag; "" takes the name from the weights file.
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

    name: str = "tiny"
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
