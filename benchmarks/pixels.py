"""From image files to 224 x 224 bytes: decoding and resizing against Pillow alone, one thread, processor seconds.

    python benchmarks/pixels.py --rounds 5

The photographs of VOC as they are (0.18 megapixels), and the first of them enlarged to 12 megapixels, as phones make
them: JPEGs of more than twice what is wanted are decoded at a half, a quarter or an eighth. In turns, medians. The part
that decoding alone takes is a floor: the JPEG has to be decoded, by whatever library. Beside the ratios: how far the
bytes are from Pillow's full decoding and resizing, the largest difference of 255 in a picture and the mean.
"""

import argparse
import os
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from encoder_variants import photographs
from measuring import ROOT, Figure, interleaved, medians, save, show
from PIL import Image

from labelbeam.data.images import read_rgb_bytes
from labelbeam.encoders.preprocess import Preprocess, by_numpy

TRANSFORM = Preprocess(resize_to=256)
PILLOW, DECODING = "Pillow", "decoding alone"
LARGE, LARGE_SIDE = 12, 4000
"""Photographs that are enlarged, and to how many pixels on the long side."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("LABELBEAM_DATA", ROOT.parent / "shared/data")
    )
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file for the whole result")
    options = parser.parse_args()
    torch.set_num_threads(1)
    small = [path.read_bytes() for path in photographs(options.data, "sub_test")[: options.images]]
    figures: list[Figure] = []
    for name, files in {"VOC": small, "12 megapixels": [enlarged(one) for one in small[:LARGE]]}.items():
        ways: dict[str, Callable[[], object]] = {
            way: lambda one=one: [one(file) for file in files]  # type: ignore[misc]  # noqa: B023
            for way, one in {
                PILLOW: by_pillow,
                DECODING: decoded,
                "with torch": with_torch,
                "without": without,
            }.items()
        }
        interleaved(ways, rounds=1)  # weights of resizing are kept
        seconds = medians(interleaved(ways, rounds=options.rounds, clock=time.process_time))
        reference = seconds.pop(PILLOW)
        print(f"{name}: {PILLOW} {len(files) / reference:.0f} images a processor second")
        for way, spent in seconds.items():
            measured = f"{1000 * spent / len(files):.2f} ms an image"
            figures.append(Figure(f"{name}, {way}", PILLOW, reference / spent, measured=measured))
        off = [np.abs(with_torch(file).astype(int) - by_pillow(file)) for file in files]
        largest = [int(one.max()) for one in off]
        print(f"{name}: off by at most {np.median(largest):.0f} (median picture), {max(largest)} (worst); "
              f"{np.mean([one.mean() for one in off]):.2f} on average")  # fmt: skip
    show(figures)
    save(options.out, figures, images=len(small))


def enlarged(file: bytes) -> bytes:
    """Return a photograph of 12 megapixels or so."""
    image, larger = Image.open(BytesIO(file)), BytesIO()
    times = LARGE_SIDE / max(image.size)
    size = (round(image.width * times), round(image.height * times))
    image.resize(size, Image.Resampling.BICUBIC).save(larger, "JPEG", quality=90)
    return larger.getvalue()


def by_pillow(file: bytes) -> np.ndarray:
    """Decode and resize with Pillow alone."""
    image = Image.open(BytesIO(file)).convert("RGB")
    side = TRANSFORM.resize_to / min(image.size)
    size = (int(image.width * side), int(image.height * side))
    left, top = ((length - TRANSFORM.size) // 2 for length in size)
    box = (left, top, left + TRANSFORM.size, top + TRANSFORM.size)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR).crop(box)).transpose(2, 0, 1)


def decoded(file: bytes) -> np.ndarray:
    """Decode as labelbeam does."""
    return read_rgb_bytes(file, "photograph", at_least=TRANSFORM.enough)


def with_torch(file: bytes) -> np.ndarray:
    """Decode and resize as labelbeam does where torch is loaded."""
    return TRANSFORM.resized(decoded(file))


def without(file: bytes) -> np.ndarray:
    """The same where torch is not."""
    rgb = decoded(file)
    height, width = TRANSFORM.target(*rgb.shape[:2])
    window = ((height - TRANSFORM.size) // 2, (width - TRANSFORM.size) // 2, TRANSFORM.size, TRANSFORM.size)
    return by_numpy(rgb, (height, width), window, interpolation="bilinear")


if __name__ == "__main__":
    main()
