"""The transform between a decoded picture and what an encoder receives: antialiased resizing, crop, scale."""

import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, UInt8

from labelbeam.errors import InputError, unknown_name

# Where torch is loaded its own kernel runs (off the interpreter's lock, several times as fast); where it is not, the
# same integers come out of matrix products in NumPy: weights rounded to 16 bits as torch rounds them, columns first,
# bytes in between. Features therefore do not depend on what is installed.
#
# Source: `UpSampleKernel.cpp` of PyTorch (`_compute_index_ranges_int16_weights`), which follows Pillow's `Resample.c`.

_BLOCK = 16
"""Outputs that one matrix product makes: they look at neighbouring inputs, all others have weight 0."""

_SMALL = 1 << 17
"""Multiplications of one matrix product. OpenBLAS gives products above twice this to threads of its own, which
wait for each other: beside other threads, on a busy machine, that took thirty times as long."""

_EXACT_IN_SINGLE = 1 << 24


def resized_window(
    rgb: UInt8[np.ndarray, "height width 3"],
    target: tuple[int, int],
    window: tuple[int, int, int, int],
    *,
    interpolation: str,
) -> UInt8[np.ndarray, "3 window_height window_width"]:
    """Return a window of the picture resized to `target`.

    Args:
        target: height and width that the whole picture is resized to.
        window: top, left, height and width of what is wanted of the result.
        interpolation: "bilinear" or "bicubic", both antialiased.

    Returns:
        The window, channels first, freshly allocated.

    Example:
        >>> one_colour = np.full((40, 30, 3), 77, dtype=np.uint8)
        >>> resized_window(one_colour, (8, 6), (1, 0, 6, 6), interpolation="bilinear").tolist()[0][0]
        [77, 77, 77, 77, 77, 77]
    """
    if (torch := sys.modules.get("torch")) is not None:
        return _by_torch(torch, rgb, target, window, interpolation=interpolation)
    return by_numpy(rgb, target, window, interpolation=interpolation)


def _by_torch(
    torch: ModuleType,
    rgb: np.ndarray,
    target: tuple[int, int],
    window: tuple[int, int, int, int],
    *,
    interpolation: str,
) -> np.ndarray:
    # A view: torch has a fast path for channels-last bytes that never makes them float.
    pixels = torch.from_numpy(np.require(rgb, requirements=["C", "W"])).permute(2, 0, 1).unsqueeze(0)
    if pixels.shape[2:] != target:
        pixels = torch.nn.functional.interpolate(
            pixels, size=target, mode=interpolation, antialias=True, align_corners=False
        )
    top, left, height, width = window
    return np.array(pixels[0, :, top : top + height, left : left + width].numpy(), order="C")


def by_numpy(
    rgb: UInt8[np.ndarray, "height width 3"],
    target: tuple[int, int],
    window: tuple[int, int, int, int],
    *,
    interpolation: str,
) -> UInt8[np.ndarray, "3 window_height window_width"]:
    """Do without torch what `resized_window` does, to the bit."""
    top, left, height, width = window
    rows, columns = rgb.shape[:2]
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1))  # [3 height width]
    if columns == target[1]:
        planes = planes[:, :, left : left + width]
    else:
        planes = _along_columns(planes, target[1], left, width, interpolation)  # [3 height window_width]
    if rows == target[0]:
        return np.ascontiguousarray(planes[:, top : top + height])
    return np.ascontiguousarray(
        _along_columns(planes.transpose(0, 2, 1), target[0], top, height, interpolation).transpose(0, 2, 1)
    )


def _along_columns(
    planes: UInt8[np.ndarray, "3 lines inputs"], outputs: int, first: int, count: int, interpolation: str
) -> UInt8[np.ndarray, "3 lines count"]:
    """Resize the last axis to `outputs` and return `count` of them from `first` on."""
    precision, exact, blocks = _blocks(planes.shape[2], outputs, first, count, interpolation)
    values = planes.astype(np.float32 if exact else np.float64)
    sums = np.empty((*planes.shape[:2], count), dtype=values.dtype)
    for at, start, weights in blocks:
        several = max(1, _SMALL // weights.size)
        for line in range(0, planes.shape[1], several):
            lines = slice(line, line + several)
            seen = values[:, lines, start : start + len(weights)]
            np.matmul(
                seen, weights, out=sums[:, lines, at : at + weights.shape[1]]
            )  # whole numbers, each exact
    sums += 1 << (precision - 1)
    sums *= 1.0 / (1 << precision)
    return np.clip(np.floor(sums, out=sums), 0, 255, out=sums).astype(np.uint8)


@lru_cache(maxsize=256)
def _blocks(
    inputs: int, outputs: int, first: int, count: int, interpolation: str
) -> tuple[int, bool, tuple[tuple[int, int, np.ndarray], ...]]:
    """Return the precision of the weights, whether single precision holds the sums, and bands of weights.

    Each band: the first output it makes, the first input it looks at, and float [its inputs, its outputs].
    """
    starts, weights = _weights(inputs, outputs, interpolation)
    largest, precision = weights.max(), 0
    while precision < 22 and int(0.5 + largest * (1 << (precision + 1))) < 1 << 15:
        precision += 1
    whole = np.trunc(weights * (1 << precision) + np.where(weights < 0, -0.5, 0.5))
    exact = bool(255 * np.abs(whole).sum(axis=1).max() + (1 << precision) < _EXACT_IN_SINGLE)
    return precision, exact, tuple(_bands(starts, whole, first, count, np.float32 if exact else np.float64))


def _bands(
    starts: np.ndarray, whole: np.ndarray, first: int, count: int, kind: type
) -> Iterator[tuple[int, int, np.ndarray]]:
    taps = whole.shape[1]
    for at in range(first, first + count, _BLOCK):
        several = range(at, min(at + _BLOCK, first + count))
        start = int(starts[several[0]])
        sizes = [np.flatnonzero(whole[i]).max(initial=0) + 1 for i in several]
        span = max(int(starts[i]) - start + size for i, size in zip(several, sizes, strict=True))
        band = np.zeros((span, len(several)), dtype=kind)
        for column, i in enumerate(several):
            begin = int(starts[i]) - start
            kept = min(taps, span - begin)
            band[begin : begin + kept, column] = whole[i, :kept]
        yield at - first, start, band


def _weights(
    inputs: int, outputs: int, interpolation: str
) -> tuple[np.ndarray, Float64[np.ndarray, "outputs taps"]]:
    """Return, for each output, the first input it looks at and the weights of those from there on."""
    scale = inputs / outputs
    reach = (1.0 if interpolation == "bilinear" else 2.0) * max(scale, 1.0)
    center = scale * (np.arange(outputs) + 0.5)
    starts = np.maximum((center - reach + 0.5).astype(np.int64), 0)
    ends = np.minimum((center + reach + 0.5).astype(np.int64), inputs)
    taps = np.arange(int((ends - starts).max()))
    x = (taps + starts[:, None] - center[:, None] + 0.5) * (1.0 / scale if scale >= 1.0 else 1.0)
    weights = _triangle(x) if interpolation == "bilinear" else _cubic(x)
    weights[taps >= (ends - starts)[:, None]] = 0.0
    total = weights.sum(axis=1, keepdims=True)
    return starts, np.divide(weights, total, out=weights, where=total != 0)


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -0.5, which antialiased resizing uses."""
    x = np.abs(x)
    near = ((1.5 * x - 2.5) * x) * x + 1.0
    far = (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


# A run stores its transform whole (`preprocess.json`), because the same weights under another resize give other
# features and nothing in their shapes shows it. Two halves: `resized` works on bytes, one image at a time, and needs no
# torch; `normalize` works on a batch, wherever the encoder runs (an exported graph has it inside).
#
# Resizing (above) weighs source pixels as Pillow's antialiased one does, with 16-bit instead of 22-bit coefficients: no
# value differs by more than 1 of 255 from Pillow's for bilinear, 2 for bicubic, on photographs
# (`tests/encoders/test_preprocess.py`).

RESIZES = ("center", "squash")
INTERPOLATIONS = ("bilinear", "bicubic")
CHANNELS = ("RGB", "BGR")
SCALES = (1.0, 255.0)

MAX_ASPECT = 8
"""A picture longer than this many times its width is cut to it, around the centre, before it is resized:
the centre crop never shows the rest, and a 1 x 50,000 panorama would otherwise be blown up to gigabytes."""


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes the encoder's input.

    Attributes:
        size: side of the square the encoder receives, pixels.
        resize: "center" (shortest side to `resize_to`, then the centre crop of `size`) or "squash" (the whole
            picture to `size` x `size`, without keeping its proportions).
        resize_to: shortest side before the crop, pixels, >= `size`; 0 means `size`. Must be 0 for "squash".
        interpolation: "bilinear" or "bicubic", both antialiased.
        channels: "RGB", or "BGR" for weights that come from Caffe.
        scale: the value of white before the mean is subtracted: 1.0 or 255.0.
        mean: per channel, in the order of `channels`, in units of `scale`.
        std: per channel, likewise; positive.
        horizontal_flip: True for the mirrored picture.

    Raises:
        InputError: any value outside of the above, all of them at once.

    Example:
        >>> transform = Preprocess(size=2, resize="squash", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        >>> transform(np.full((7, 5, 3), 255, dtype=np.uint8)).flatten(1).tolist()[0]
        [1.0, 1.0, 1.0, 1.0]
    """

    size: int = 224
    resize: str = "center"
    resize_to: int = 0
    interpolation: str = "bilinear"
    channels: str = "RGB"
    scale: float = 1.0
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    horizontal_flip: bool = False

    def __post_init__(self) -> None:
        if problems := self._problems():
            raise InputError("this image transform cannot be used: " + "; ".join(problems) + ".")

    def _problems(self) -> list[str]:
        problems = []
        for kind, given, allowed in (
            ("resize", self.resize, RESIZES),
            ("interpolation", self.interpolation, INTERPOLATIONS),
            ("channels", self.channels, CHANNELS),
        ):
            if given not in allowed:
                problems.append(str(unknown_name(kind, given, allowed)).rstrip("."))
        if not 1 <= self.size <= 4096:
            problems.append(f"size must be 1 to 4096 pixels, given {self.size}")
        if self.resize == "squash" and self.resize_to:
            problems.append(f"resize 'squash' has no crop: resize_to must be 0, given {self.resize_to}")
        if self.resize == "center" and self.resize_to and self.resize_to < self.size:
            problems.append(f"resize_to must be 0 or at least size ({self.size}), given {self.resize_to}")
        if self.scale not in SCALES:
            problems.append(f"scale must be 1.0 or 255.0, given {self.scale}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3 or not all(math.isfinite(value) for value in values):
                problems.append(f"{name} must be three finite numbers, given {values}")
        if any(value <= 0 for value in self.std):
            problems.append(f"std must be positive, given {self.std}")
        return problems

    def __call__(self, rgb: UInt8[np.ndarray, "height width 3"]) -> Float[Any, "3 size size"]:
        """Return what the encoder receives for one decoded picture: a float32 tensor, normalised."""
        import torch

        return self.normalize(torch.from_numpy(self.resized(rgb))[None])[0]

    def resized(self, rgb: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "3 size size"]:
        """Resize, crop and flip one decoded picture; bytes in, bytes out, still RGB.

        Returns:
            The square the encoder looks at, 0..255; freshly allocated.

        Raises:
            InputError: the picture has no pixels.
        """
        if 0 in rgb.shape:
            raise InputError(f"a picture of {rgb.shape[1]} x {rgb.shape[0]} pixels has nothing to show.")
        rgb = self._cut(rgb)
        target = self.target(*rgb.shape[:2])
        top, left = ((side - self.size) // 2 for side in target)
        window = (top, left, self.size, self.size)
        pixels = resized_window(rgb, target, window, interpolation=self.interpolation)  # [3 size size]
        return np.ascontiguousarray(pixels[:, :, ::-1]) if self.horizontal_flip else pixels

    def normalize(self, pixels: UInt8[Any, "batch 3 size size"]) -> Float[Any, "batch 3 size size"]:
        """Turn a tensor of resized bytes (RGB) into the encoder's float32 values, on the device it is on."""
        if self.channels == "BGR":
            pixels = pixels.flip(1)
        slope, offset = self.slope_and_offset()
        return (
            pixels.float().mul_(_per_channel(slope, pixels.device)).add_(_per_channel(offset, pixels.device))
        )

    def slope_and_offset(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the normalisation of bytes, (x / white - mean) / std, as x * slope + offset per channel."""
        white = 255.0 / self.scale
        slope = tuple(1.0 / (white * std) for std in self.std)
        return slope, tuple(-mean / std for mean, std in zip(self.mean, self.std, strict=True))

    @property
    def enough(self) -> tuple[int, int]:
        """Height and width of a decoded picture beyond which more pixels change next to nothing.

        Twice the size it is resized to: a JPEG of 12 megapixels is then decoded at a fraction of its size,
        photographs below that (VOC, COCO) in full.
        """
        return 2 * (self.resize_to or self.size), 2 * (self.resize_to or self.size)

    def target(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width after the resize, before the crop (torchvision's rounding: down).

        Args:
            height: of the decoded picture, pixels.
            width: likewise.
        """
        if self.resize == "squash":
            return self.size, self.size
        side = self.resize_to or self.size
        short, long = min(height, width), max(height, width)
        grown = int(side * long / short)
        return (side, grown) if height <= width else (grown, side)

    def _cut(self, rgb: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "kept_height kept_width 3"]:
        if self.resize == "squash":
            return rgb
        height, width, _ = rgb.shape
        kept_height, kept_width = min(height, MAX_ASPECT * width), min(width, MAX_ASPECT * height)
        top, left = (height - kept_height) // 2, (width - kept_width) // 2
        return rgb[top : top + kept_height, left : left + kept_width]

    def to_dict(self) -> dict[str, Any]:
        """Return the transform as plain JSON values, every field written out."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocess":
        """Build the transform from what `to_dict` wrote.

        Raises:
            InputError: a key that is not a field (the nearest one is proposed), a missing key, a bad value.
        """
        allowed = [field.name for field in fields(cls)]
        for key in values:
            if key not in allowed:
                raise unknown_name("key of an image transform", key, allowed)
        if missing := [name for name in allowed if name not in values]:
            raise InputError(f"an image transform must state every key; missing: {', '.join(missing)}.")
        given: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**given)

    @property
    def identity(self) -> str:
        """The transform as canonical JSON: equal exactly where the transform is."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))


def _per_channel(values: tuple[float, ...], device: Any) -> Any:
    import torch

    return torch.tensor(values, device=device).view(1, 3, 1, 1)


IMAGENET = Preprocess(resize="center", resize_to=256)
"""torchvision's evaluation transform: shortest side 256, centre 224, ImageNet mean and deviation. Also the
nearest reading of the paper, which does not say: centre 224 crop of a 256 resize."""

VGG16_CAFFE = Preprocess(
    resize="center",
    resize_to=256,
    channels="BGR",
    scale=255.0,
    mean=(103.939, 116.779, 123.68),
    std=(1.0, 1.0, 1.0),
)
"""For VGG-16 weights converted from Caffe's model: BGR, 0..255, the authors' mean, no division."""
