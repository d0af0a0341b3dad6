"""Rows that hold an encoder's last map behind its pooled vector."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from labelbeam.encoders.catalogue import EncoderConfig, build_encoder, load_encoder
from labelbeam.encoders.encoder import MapShape
from labelbeam.encoders.graph_encoder import load_graph
from labelbeam.encoders.graph_export import export_graph
from labelbeam.encoders.image_encoder import save_encoder, with_map
from labelbeam.errors import InputError


def pictures(size: int, count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8)


def test_the_average_of_all_places_is_the_average_pooled_vector() -> None:
    encoder = build_encoder(EncoderConfig("tiny", width=16, size=64, pooling="avg", grid=9))
    rows = encoder.encode(pictures(64))
    assert encoder.map_shape == MapShape(4, 16)  # a map of 64 / 16 places has no more of them
    assert rows.shape == (2, encoder.row_size) == (2, 16 + 4 * 4 * 16)
    places = rows[:, 16:].reshape(2, 16, 16)
    np.testing.assert_allclose(places.mean(axis=1), rows[:, :16], rtol=1e-5, atol=1e-6)


def test_places_stand_row_by_row_from_the_upper_left() -> None:
    encoder = build_encoder(EncoderConfig("tiny", width=16, size=64, grid=2))
    plain = np.zeros((1, 3, 64, 64), np.uint8)
    spot = plain.copy()
    spot[:, :, :16, 48:] = 255  # upper right
    moved = np.abs(encoder.encode(spot) - encoder.encode(plain))[0, encoder.num_features :]
    assert moved.reshape(4, 16).sum(axis=1).argmax() == 1


@pytest.mark.parametrize("name", ["squeezenet1_1", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_cnns_and_transformers_give_maps_of_the_asked_grid_and_their_own_pooled_vector(name: str) -> None:
    if name != "squeezenet1_1" and find_spec("timm") is None:
        pytest.skip("timm is not installed")
    with_map = build_encoder(EncoderConfig(name, pretrained=False, grid=3))
    without = build_encoder(EncoderConfig(name, pretrained=False))
    seen = pictures(224, 1)
    rows = with_map.encode(seen)
    assert rows.shape[1] == with_map.row_size == without.num_features + 9 * with_map.map_shape.channels
    np.testing.assert_allclose(rows[:, : without.num_features], without.encode(seen), rtol=1e-4, atol=1e-5)


def test_rows_with_a_map_are_other_features_and_come_back_from_a_file(tmp_path: Path) -> None:
    with_map = build_encoder(EncoderConfig("tiny", width=16, size=64, grid=2))
    without = build_encoder(EncoderConfig("tiny", width=16, size=64))
    assert with_map.key != without.key
    again = load_encoder(save_encoder(with_map, tmp_path / "encoder.safetensors"))
    assert again.identity == with_map.identity
    assert again.map_shape == MapShape(2, 16)
    np.testing.assert_array_equal(again.encode(pictures(64)), with_map.encode(pictures(64)))
    bare = build_encoder(
        EncoderConfig("", tmp_path / "encoder.safetensors")
    )  # the same weights, no map asked for
    assert bare.identity == without.identity
    assert bare.row_size == bare.num_features


def test_a_graph_gives_the_same_rows(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    encoder = build_encoder(EncoderConfig("tiny", width=16, size=112, grid=5))  # 7 places a side, pooled to 5
    export_graph(encoder, tmp_path / "encoder.onnx")
    graph = load_graph(tmp_path / "encoder.onnx", engine="onnx")
    assert graph.row_size == encoder.row_size
    seen = pictures(112)
    np.testing.assert_allclose(graph.encode(seen), encoder.encode(seen), rtol=1e-4, atol=1e-5)


def test_tiles_are_seen_at_the_network_s_own_size_and_put_side_by_side(tmp_path: Path) -> None:
    """Four different pictures beside each other: each tile's map is that of its own picture."""
    one = build_encoder(EncoderConfig("tiny", width=16, size=64, grid=9))
    tiled = build_encoder(EncoderConfig("tiny", width=16, size=64, grid=9, tiles=2))
    assert (tiled.preprocess.size, tiled.map_shape) == (128, MapShape(8, 16, 2))
    assert tiled.key != one.key
    parts = pictures(64, 4)
    whole = parts.reshape(2, 2, 3, 64, 64).transpose(2, 0, 3, 1, 4).reshape(1, 3, 128, 128)
    rows = tiled.encode(whole)
    found = rows[:, 32:].reshape(2, 4, 2, 4, 16).transpose(0, 2, 1, 3, 4).reshape(4, 16, 16)
    wanted = one.encode(parts)[:, 32:].reshape(4, 16, 16)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    small = whole.reshape(1, 3, 64, 2, 64, 2).mean(axis=(3, 5)).round().astype(np.uint8)
    np.testing.assert_allclose(rows[:, :32], one.encode(small)[:, :32], rtol=2e-2, atol=1e-2)
    again = load_encoder(save_encoder(tiled, tmp_path / "encoder.safetensors"))
    assert (again.identity, again.map_shape) == (tiled.identity, tiled.map_shape)
    np.testing.assert_array_equal(again.encode(whole), rows)
    bare = build_encoder(EncoderConfig("", tmp_path / "encoder.safetensors", grid=9))
    assert (bare.identity, bare.preprocess.size) == (one.identity, 64)


def test_a_graph_of_tiles_gives_the_same_rows(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    encoder = build_encoder(EncoderConfig("tiny", width=16, size=64, grid=5, tiles=2))
    export_graph(encoder, tmp_path / "encoder.onnx")
    graph, seen = load_graph(tmp_path / "encoder.onnx", engine="onnx"), pictures(128, 3)
    assert graph.map_shape == encoder.map_shape
    np.testing.assert_allclose(graph.encode(seen), encoder.encode(seen), rtol=1e-4, atol=1e-5)


def test_a_grid_below_one_and_a_network_without_a_map_are_refused() -> None:
    with pytest.raises(InputError, match="--grid is the places a side"):
        build_encoder(EncoderConfig("tiny", grid=-1))
    with pytest.raises(InputError, match="--tiles is the parts a side"):
        build_encoder(EncoderConfig("tiny", grid=2, tiles=0))
    with pytest.raises(InputError, match="4096"):
        build_encoder(EncoderConfig("tiny", grid=2, tiles=99))
    with pytest.raises(InputError, match="no square map"):
        with_map(torch.nn.Flatten(), EncoderConfig(grid=7), size=8)
