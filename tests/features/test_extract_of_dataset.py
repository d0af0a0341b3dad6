"""Features of a data set: one view, or two of which the second is the mirror image's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelbeam.data.dataset import Dataset
from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
from labelbeam.features.extract import readable_features
from labelbeam.labels.vocabulary import Vocabulary


def dataset(folder: Path, pictures: list[np.ndarray]) -> Dataset:
    folder.mkdir()
    names = tuple(f"{i}.png" for i in range(len(pictures)))
    for name, pixels in zip(names, pictures, strict=True):
        Image.fromarray(pixels).save(folder / name)
    return Dataset("made", folder, names, Vocabulary(("a",)), np.ones((len(names), 1), np.int8))


@pytest.mark.parametrize("turned", [False, True], ids=["plain encoder", "encoder that mirrors"])
def test_the_second_view_is_that_of_the_mirrored_picture(tmp_path: Path, turned: bool) -> None:
    encoder = build_encoder(EncoderConfig("tiny", width=16, size=32))
    encoder = replace(encoder, preprocess=replace(encoder.preprocess, horizontal_flip=turned))
    pictures = [np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8) for i in range(3)]
    _, views, _ = readable_features(dataset(tmp_path / "a", pictures), encoder, flips=True)
    mirrored = dataset(tmp_path / "b", [np.ascontiguousarray(one[:, ::-1]) for one in pictures])
    _, other, _ = readable_features(mirrored, encoder, flips=True)
    assert views.shape[1] == 2
    np.testing.assert_allclose(views[:, 1], other[:, 0], rtol=2e-3, atol=1e-4)
    np.testing.assert_allclose(views[:, 0], other[:, 1], rtol=2e-3, atol=1e-4)
    assert not np.allclose(views[:, 0], views[:, 1], rtol=2e-3, atol=1e-4)
    _, one, _ = readable_features(dataset(tmp_path / "c", pictures), encoder, flips=False)
    np.testing.assert_array_equal(one[:, 0], views[:, 0])
