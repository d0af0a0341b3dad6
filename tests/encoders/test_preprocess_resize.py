from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labelbeam.encoders.preprocess import Preprocess, by_numpy, resized_window

side = st.integers(1, 90)


def by_torch(rgb: np.ndarray, target: tuple[int, int], *, interpolation: str) -> np.ndarray:
    pixels = torch.from_numpy(rgb).permute(2, 0, 1)[None]
    return torch.nn.functional.interpolate(pixels, size=target, mode=interpolation, antialias=True)[0].numpy()


@settings(max_examples=150, deadline=None)
@given(side, side, side, side, st.sampled_from(["bilinear", "bicubic"]), st.integers(0, 2**31))
def test_numpy_and_torch_resize_to_the_same_bytes(
    height: int, width: int, new_height: int, new_width: int, interpolation: str, seed: int
) -> None:
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    target = (new_height, new_width)
    ours = by_numpy(rgb, target, (0, 0, *target), interpolation=interpolation)
    expected = by_torch(rgb, target, interpolation=interpolation) if target != (height, width) else ours
    assert np.array_equal(ours, expected)
    top, left = new_height // 3, new_width // 4
    window = (top, left, new_height - top, new_width - left)
    assert np.array_equal(by_numpy(rgb, target, window, interpolation=interpolation), ours[:, top:, left:])
    assert np.array_equal(
        resized_window(rgb, target, window, interpolation=interpolation), ours[:, top:, left:]
    )


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(1500, 1100), (400, 3000), (3000, 7), (100, 100)])
def test_large_reductions_need_double_precision_and_have_it(
    shape: tuple[int, int], interpolation: str
) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    rgb[:, ::2] = 255  # sums near their limit
    target = (40, 33)
    ours = by_numpy(rgb, target, (0, 0, *target), interpolation=interpolation)
    assert np.array_equal(ours, by_torch(rgb, target, interpolation=interpolation))


def test_photographs_are_resized_to_the_same_bytes(labelbeam_data: Path) -> None:
    transform = Preprocess(resize_to=256)
    for path in sorted((labelbeam_data / "VOCdevkit/VOC2007/JPEGImages").glob("*.jpg"))[:8]:
        rgb = np.array(Image.open(path).convert("RGB"))
        target = transform.target(*rgb.shape[:2])
        window = ((target[0] - 224) // 2, (target[1] - 224) // 2, 224, 224)
        assert np.array_equal(by_numpy(rgb, target, window, interpolation="bilinear"), transform.resized(rgb))
