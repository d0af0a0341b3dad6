"""Resizing bytes to bytes, antialiased: torch's arithmetic, with or without torch.

Where torch is loaded its own kernel runs (off the interpreter's lock, several times as fast); where it is not,
the same integers come out of matrix products in NumPy: weights rounded to 16 bits as torch rounds them,
columns first, bytes in between. Features therefore do not depend on what is installed. Knows nothing of crops
or encoders; `encoders.preprocess` decides what is resized to what.

Source: `UpSampleKernel.cpp` of PyTorch (`_compute_index_ranges_int16_weights`), which follows Pillow's
`Resample.c`.
"""

import sys
from collections.abc import Iterator
from functools import lru_cache
from types import ModuleType

import numpy as np
from jaxtyping import Float64, UInt8

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
        rgb: the picture, 0..255.
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
