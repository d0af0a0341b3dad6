"""Features of a data set: one view, or two of which the second is the mirror image's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelbeam.data.dataset import Dataset
from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
from labelbeam.errors import InputError
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


def test_maps_lie_on_disk_vectors_in_memory_and_maps_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    pictures = [np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8) for i in range(3)]
    data = dataset(tmp_path / "a", pictures)
    _, vectors, _ = readable_features(
        data, build_encoder(EncoderConfig("tiny", width=16, size=32)), flips=False
    )
    assert not isinstance(vectors, np.memmap)
    encoder = build_encoder(EncoderConfig("tiny", width=16, size=32, grid=2))
    _, maps, _ = readable_features(data, encoder, flips=False)
    assert isinstance(maps, np.memmap)
    assert maps.shape == (3, 1, encoder.row_size)
    with pytest.raises(InputError, match="the limit is 1e-06"):
        readable_features(data, encoder, flips=True, limit=1e-6)
