import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labelbeam.encoders.preprocess import IMAGENET, VGG16_CAFFE, Preprocess
from labelbeam.errors import InputError


def photographs(root: Path) -> list[np.ndarray]:
    paths = sorted((root / "VOCdevkit/VOC2007/JPEGImages").glob("*.jpg"))[:12]
    return [np.array(Image.open(path).convert("RGB")) for path in paths]


@pytest.mark.parametrize(("interpolation", "largest"), [("bilinear", 1), ("bicubic", 2)])
def test_resizing_differs_from_pillows_by_no_more_than_stated(
    labelbeam_data: Path, interpolation: str, largest: int
) -> None:
    transform = Preprocess(resize_to=256, interpolation=interpolation)
    resampling = Image.Resampling[interpolation.upper()]
    for rgb in photographs(labelbeam_data):
        height, width = (256, int(256 * rgb.shape[1] / rgb.shape[0]))
        if rgb.shape[0] > rgb.shape[1]:
            height, width = int(256 * rgb.shape[0] / rgb.shape[1]), 256
        resized = np.asarray(Image.fromarray(rgb).resize((width, height), resampling)).astype(int)
        top, left = (height - 224) // 2, (width - 224) // 2
        ours = transform.resized(rgb).transpose(1, 2, 0).astype(int)
        difference = np.abs(resized[top : top + 224, left : left + 224] - ours)
        assert difference.max() <= largest
        assert difference.mean() < 0.02


def test_values_are_scaled_and_normalised_as_computed_by_hand() -> None:
    grey = np.full((4, 4, 3), (255, 0, 51), dtype=np.uint8)
    out = Preprocess(4, "squash", mean=(0.5, 0.5, 0.1), std=(0.5, 0.25, 0.1))(grey)
    assert out[:, 0, 0].tolist() == pytest.approx([1.0, -2.0, 1.0], abs=1e-6)


def test_caffe_input_is_bgr_from_0_to_255_less_the_mean() -> None:
    colour = np.full((256, 256, 3), (200, 100, 50), dtype=np.uint8)
    out = VGG16_CAFFE(colour)
    assert out.shape == (3, 224, 224)
    assert out[:, 5, 5].tolist() == pytest.approx([50 - 103.939, 100 - 116.779, 200 - 123.68], abs=1e-4)


def test_the_centre_crop_shows_the_centre_and_squash_shows_everything() -> None:
    wide = np.zeros((10, 30, 3), dtype=np.uint8)
    wide[:, 10:20] = 200
    assert (Preprocess(10, "center").resized(wide) == 200).all()
    squashed = Preprocess(10, "squash").resized(wide)
    assert squashed[0, 5, 0] == 0
    assert squashed[0, 5, 5] == 200


def test_flipping_mirrors_left_and_right() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    plain, flipped = Preprocess(8), Preprocess(8, horizontal_flip=True)
    assert np.array_equal(flipped.resized(rgb), plain.resized(rgb)[:, :, ::-1])
    assert plain.identity != flipped.identity


def test_a_picture_of_the_right_size_keeps_its_bytes_and_is_not_shared() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    rgb.flags.writeable = False
    resized = Preprocess(8).resized(rgb)
    assert np.array_equal(resized.transpose(1, 2, 0), rgb)
    resized[:] = 0
    assert rgb.any()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["center", "squash"]))
def test_any_shape_becomes_the_square_and_one_colour_stays_one_colour(h: int, w: int, resize: str) -> None:
    out = Preprocess(9, resize).resized(np.full((h, w, 3), 77, dtype=np.uint8))
    assert out.shape == (3, 9, 9)
    assert (out == 77).all()


def test_a_very_long_picture_is_not_blown_up() -> None:
    strip = np.full((20_000, 1, 3), 9, dtype=np.uint8)
    assert (Preprocess(224, resize_to=256).resized(strip) == 9).all()


def test_the_transform_survives_json() -> None:
    again = Preprocess.from_dict(json.loads(json.dumps(VGG16_CAFFE.to_dict())))
    assert again == VGG16_CAFFE
    assert again.identity == VGG16_CAFFE.identity != IMAGENET.identity


CHANGES: dict[str, object] = {
    "size": 64,
    "resize": "squash",
    "resize_to": 300,
    "interpolation": "bicubic",
    "channels": "BGR",
    "scale": 255.0,
    "mean": (0.0, 0.0, 0.1),
    "std": (1.0, 1.0, 1.1),
    "horizontal_flip": True,
}


def test_every_field_changes_the_identity() -> None:
    assert set(CHANGES) == {field.name for field in dataclasses.fields(Preprocess)}
    for name, value in CHANGES.items():
        assert dataclasses.replace(Preprocess(), **{name: value}).identity != Preprocess().identity, name


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"resize": "squish"}, ["squish", "Did you mean 'squash'"]),
        ({"interpolation": "nearest"}, ["interpolation", "bicubic"]),
        ({"channels": "rgb"}, ["Did you mean 'RGB'"]),
        ({"size": 0}, ["size", "1 to 4096", "given 0"]),
        ({"resize_to": 100}, ["resize_to", "at least size (224)", "given 100"]),
        ({"resize": "squash", "resize_to": 256}, ["no crop"]),
        ({"scale": 2.0}, ["scale", "255.0", "given 2.0"]),
        ({"std": (1.0, 0.0, 1.0)}, ["std must be positive"]),
        ({"mean": (float("nan"), 0.0, 0.0)}, ["mean", "finite"]),
        ({"size": 0, "scale": 3.0}, ["size", "scale"]),
    ],
)
def test_a_bad_transform_is_refused_with_words_that_repair_it(fields: dict, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        Preprocess(**fields)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_an_unknown_or_missing_key_of_a_stored_transform_is_named() -> None:
    values = IMAGENET.to_dict()
    with pytest.raises(InputError, match="Did you mean 'resize'"):
        Preprocess.from_dict({**values, "resise": "squash"})
    del values["std"]
    with pytest.raises(InputError, match="missing: std"):
        Preprocess.from_dict(values)


def test_a_picture_without_pixels_is_refused() -> None:
    with pytest.raises(InputError, match="5 x 0 pixels"):
        IMAGENET.resized(np.zeros((0, 5, 3), dtype=np.uint8))
