import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
from labelbeam.encoders.graph_encoder import description_beside, installed_engines, load_graph
from labelbeam.encoders.graph_export import export_graph
from labelbeam.encoders.image_encoder import ImageEncoder
from labelbeam.errors import InputError
from labelbeam.features.extract import extract

pytest.importorskip("onnx")
ENGINES = installed_engines()


def encoder_of(**options: object) -> ImageEncoder:
    return build_encoder(EncoderConfig("tiny", width=16, size=32, **options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def encoder() -> ImageEncoder:
    return encoder_of()


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory, encoder: ImageEncoder) -> Path:
    path = tmp_path_factory.mktemp("graph") / "encoder.onnx"
    export_graph(encoder, path)
    return path


def squares(count: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 3, size, size), dtype=np.uint8)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_graph_gives_the_features_of_its_encoder_for_any_batch(
    graph: Path, encoder: ImageEncoder, engine: str, count: int
) -> None:
    pixels = squares(count)
    features = load_graph(graph, engine=engine).encode(pixels)
    assert np.allclose(features, encoder.encode(pixels), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_normalisation_inside_the_graph_is_that_of_caffe_weights_too(tmp_path: Path, engine: str) -> None:
    encoder = encoder_of(
        channels="BGR", scale=255.0, mean=(103.9, 116.8, 123.7), std=(40.0, 50.0, 60.0), resize="squash"
    )
    export_graph(encoder, tmp_path / "e.onnx")
    pixels = squares(3)
    assert np.allclose(
        load_graph(tmp_path / "e.onnx", engine=engine).encode(pixels),
        encoder.encode(pixels),
        rtol=1e-4,
        atol=1e-5,
    )


def test_a_graph_says_who_it_is(graph: Path, encoder: ImageEncoder) -> None:
    loaded = load_graph(graph)
    assert loaded.identity == encoder.identity
    assert loaded.config == encoder.config
    assert loaded.preprocess == encoder.preprocess
    assert (loaded.num_features, loaded.precision) == (encoder.num_features, encoder.precision)


def test_exporting_leaves_a_training_encoder_in_training_and_exports_its_evaluation(tmp_path: Path) -> None:
    encoder = encoder_of()
    encoder.module.train()
    export_graph(encoder, tmp_path / "e.onnx")
    assert encoder.module.training
    pixels = squares(2)
    expected = encoder.ready("cpu").encode(pixels)
    assert np.allclose(load_graph(tmp_path / "e.onnx").encode(pixels), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_real_photographs_have_the_same_features_through_a_graph(
    labelbeam_data: Path, tmp_path: Path, engine: str
) -> None:
    weights = labelbeam_data / "weights/squeezenet1_1_features.safetensors"
    encoder = build_encoder(EncoderConfig("squeezenet1_1", weights, size=64))
    export_graph(encoder, tmp_path / "e.onnx")
    paths = sorted((labelbeam_data / "VOCdevkit/VOC2007/JPEGImages").glob("*.jpg"))[:5]
    expected = extract(paths, encoder).values.astype(float)
    values = extract(paths, load_graph(tmp_path / "e.onnx", engine=engine), batch_size=2, workers=2).values
    assert np.allclose(values, expected, rtol=2e-3, atol=2e-3 * expected.max())


WITHOUT_TORCH = """
import sys
for name in ("torch", "accelerate", "timm", "onnx"):
    sys.modules[name] = None  # importing it fails
from pathlib import Path
import numpy as np
import labelbeam.encoders.graph_encoder as graphs
import labelbeam.features.extract as features
paths = [Path(path) for path in sys.argv[2:]]
encoder = graphs.load_graph(Path(sys.argv[1]))
np.save(sys.argv[1] + ".npy", features.extract(paths, encoder, cache=Path(sys.argv[1]).parent / "cache").values)
"""


def test_pictures_become_features_where_torch_cannot_be_imported(
    tmp_path: Path, graph: Path, encoder: ImageEncoder
) -> None:
    from PIL import Image

    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        values = np.random.default_rng(i).integers(0, 256, (60 + i, 50, 3), dtype=np.uint8)
        Image.fromarray(values).save(path)
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH, str(graph), *map(str, paths)], check=True)
    values = np.load(f"{graph}.npy")
    assert np.allclose(values, extract(paths, encoder).values, rtol=2e-3, atol=1e-4)


QUIET = """
import sys, threading
import numpy as np
from pathlib import Path
from labelbeam.encoders.graph_encoder import load_graph
load_graph(Path(sys.argv[1]), engine="openvino").encode(np.zeros((1, 3, 32, 32), dtype=np.uint8))
assert not [name for name in sys.modules if name.startswith("openvino_telemetry")], "telemetry was loaded"
assert threading.active_count() == 1, threading.enumerate()
"""


@pytest.mark.skipif("openvino" not in ENGINES, reason="needs openvino")
def test_openvino_is_run_without_its_telemetry(graph: Path) -> None:
    subprocess.run([sys.executable, "-c", QUIET, str(graph)], check=True)


def test_a_graph_is_run_by_its_engine_whatever_device_torch_has(graph: Path) -> None:
    assert extract([], load_graph(graph), device="cuda").values.shape[0] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": "onxx"}, ["onxx", "Did you mean 'onnx'"]),
        ({"engine": "onnx", "threads": 0}, ["threads", "at least 1", "given 0"]),
    ],
)
def test_bad_options_are_refused_with_words_that_repair_them(
    graph: Path, options: dict, words: list[str]
) -> None:
    with pytest.raises(InputError) as error:
        load_graph(graph, **options)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_an_engine_that_is_not_installed_is_named_with_the_command_that_installs_it(
    graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labelbeam.encoders import graph_encoder

    monkeypatch.setattr(graph_encoder, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=r"pip install 'labelbeam\[onnx\]'"):
        load_graph(graph)
    with pytest.raises(InputError, match=r"openvino.*pip install 'labelbeam\[openvino\]'"):
        load_graph(graph, engine="openvino")


def test_a_damaged_or_partial_export_is_refused(tmp_path: Path, graph: Path) -> None:
    content, said = graph.read_bytes(), description_beside(graph).read_text()
    path = tmp_path / "e.onnx"
    with pytest.raises(InputError, match=r"there is no .*e\.onnx"):
        load_graph(path)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"there is no .*e\.json"):
        load_graph(path)
    beside = tmp_path / "e.json"
    for text in ("{", "[]", json.dumps({"graph_bytes": len(content)})):
        beside.write_text(text)
        with pytest.raises(InputError, match="is damaged"):
            load_graph(path)
    beside.write_text(said)
    path.write_bytes(content[:-10])
    with pytest.raises(InputError, match="not whole"):
        load_graph(path)
    path.write_bytes(b"\0" * len(content))
    with pytest.raises(InputError, match=r"cannot be run by onnx.*Export the encoder again"):
        load_graph(path, engine="onnx").encode(squares(1))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_graph_whose_fault_cannot_be_told_in_utf_8_is_refused(
    tmp_path: Path, graph: Path, engine: str
) -> None:
    for file in (graph, description_beside(graph)):
        (tmp_path / file.name).write_bytes(file.read_bytes().replace(b"\x04Conv", b"\x04C\xednv"))
    with pytest.raises(InputError, match=rf"cannot be run by {engine}"):
        load_graph(tmp_path / graph.name, engine=engine).encode(squares(1))


def test_what_cannot_be_exported_is_reported(tmp_path: Path, encoder: ImageEncoder) -> None:
    with pytest.raises(InputError, match=r"ends in \.onnx, given 'encoder\.pt'"):
        export_graph(encoder, tmp_path / "encoder.pt")
    with pytest.raises(InputError, match="cannot be written"):
        export_graph(replace(encoder), tmp_path / "absent" / "encoder.onnx")
