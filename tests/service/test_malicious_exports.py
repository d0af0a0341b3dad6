"""An exported run, or an encoder, from a stranger: a graph reaches no file outside its folder, and lies are told."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from torch import nn

from labelbeam.encoders import catalogue
from labelbeam.encoders.catalogue import rebuild_encoder
from labelbeam.encoders.graph_encoder import INPUT, OUTPUT, installed_engines, load_graph
from labelbeam.encoders.networks import TinyEncoder
from labelbeam.encoders.preprocess import Preprocess
from labelbeam.errors import InputError
from labelbeam.runs.tagger import Tagger

onnx = pytest.importorskip("onnx")

PIXELS = np.zeros((2, 3, 32, 32), dtype=np.uint8)
SECRET = np.arange(32, dtype="<f4").tobytes()


def graph(nodes: list, constants: list) -> bytes:
    """A model from pixels to 32 features."""
    value = onnx.helper.make_tensor_value_info
    whole = onnx.helper.make_graph(
        nodes,
        "stranger",
        [value(INPUT, onnx.TensorProto.UINT8, ["batch", 3, 32, 32])],
        [value(OUTPUT, onnx.TensorProto.FLOAT, ["batch", 32])],
        constants,
    )
    domains = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("evil", 1)]
    return onnx.helper.make_model(whole, opset_imports=domains, ir_version=9).SerializeToString()


def with_bias(bias: object) -> bytes:
    """A graph whose features are the mean of the pixels and a constant."""
    node = onnx.helper.make_node
    return graph(
        [
            node("Cast", [INPUT], ["values"], to=1),
            node("ReduceMean", ["values"], ["mean"], axes=[1, 2, 3], keepdims=0),
            node("Unsqueeze", ["mean", "axis"], ["column"]),
            node("Add", ["column", "bias"], [OUTPUT]),
        ],
        [onnx.numpy_helper.from_array(np.array([1]), "axis"), bias],
    )


def elsewhere(location: str) -> bytes:
    """A graph whose constant lies in another file."""
    bias = onnx.TensorProto(name="bias", data_type=onnx.TensorProto.FLOAT, dims=[32])
    bias.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "128")):
        bias.external_data.add(key=key, value=value)
    return with_bias(bias)


def terabyte() -> bytes:
    shape = onnx.numpy_helper.from_array(np.array([1 << 20, 1 << 18]), "shape")
    return graph([onnx.helper.make_node("ConstantOfShape", ["shape"], [OUTPUT])], [shape])


GRAPHS: Mapping[str, Callable[[Path], bytes]] = {
    "a file above": lambda folder: elsewhere("../secret.bin"),
    "a file by its whole path": lambda folder: elsewhere(str(folder.parent / "secret.bin")),
    "a system's file": lambda folder: elsewhere("../" * 20 + "etc/passwd"),
    "a link out of the folder": lambda folder: elsewhere("link"),
    "an operation that it brings": lambda folder: graph(
        [onnx.helper.make_node("Evil", [INPUT], [OUTPUT], domain="evil")], []
    ),
    "a terabyte": lambda folder: terabyte(),
    "features of another number": lambda folder: with_bias(
        onnx.numpy_helper.from_array(np.zeros(7, dtype=np.float32), "bias")
    ),
}


def written(folder: Path, content: bytes) -> Path:
    """Write a graph with the description that a stranger would write for it."""
    folder.mkdir()
    (folder.parent / "secret.bin").write_bytes(SECRET)
    (folder / "link").symlink_to(folder.parent / "secret.bin")
    (folder / "inside.bin").write_bytes(SECRET)
    encoder = {"num_features": 32, "preprocess": Preprocess(32).to_dict()}
    told = {"identity": "x", "precision": "float32", "graph_bytes": len(content), "encoder": encoder}
    (folder / "e.json").write_text(json.dumps(told))
    (folder / "e.onnx").write_bytes(content)
    return folder / "e.onnx"


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
@pytest.mark.parametrize("name", GRAPHS)
def test_a_stranger_s_graph_is_refused_in_words(name: str, engine: str, tmp_path: Path) -> None:
    if engine not in installed_engines():
        pytest.skip(f"{engine} is not installed")
    path = written(tmp_path / "run", GRAPHS[name](tmp_path / "run"))
    with pytest.raises(InputError, match=r"Export the encoder again") as refused:
        load_graph(path, engine=engine).encode(PIXELS)
    assert "(Exception from" not in str(refused.value), "the reason is a place in the engine's source"
    assert "root:" not in str(refused.value), "another's file is shown"


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_the_same_graph_with_its_numbers_inside_works(engine: str, tmp_path: Path) -> None:
    if engine not in installed_engines():
        pytest.skip(f"{engine} is not installed")
    path = written(tmp_path / "run", elsewhere("inside.bin"))
    assert load_graph(path, engine=engine).encode(PIXELS)[1].tolist() == list(range(32))


@pytest.mark.parametrize("name", ["export.json", "encoder.json"])
def test_an_export_s_json_nested_without_end_is_refused(name: str, copied: Path) -> None:
    (copied / "encoder.safetensors").unlink()
    labels = json.loads((copied / "labels.json").read_text(encoding="utf-8"))
    (copied / "labels.json").write_text(json.dumps({**labels, "files": {}}), encoding="utf-8")
    (copied / "export.json").write_text('{"to": "numpy"}')
    (copied / "encoder.json").write_text("{}")
    (copied / name).write_text("[" * 100_000)
    with pytest.raises(InputError, match="not readable JSON"):
        Tagger.load(copied)


def test_a_network_is_built_only_when_the_file_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[set[str]] = []

    def build(**arguments: int) -> nn.Module:
        module = TinyEncoder(**arguments)
        built.append({parameter.device.type for parameter in module.parameters()})
        return module

    monkeypatch.setattr(catalogue, "LIBRARIES", {"tiny": replace(catalogue.LIBRARIES["tiny"], network=build)})
    weights = TinyEncoder(width=16).state_dict()
    config = {"architecture": "tiny", "num_features": 32, "preprocess": Preprocess(32).to_dict()}
    with pytest.raises(InputError, match=r"e\.safetensors holds the weights of another architecture"):
        rebuild_encoder({**config, "arguments": {"width": 60_000}}, weights, source="e.safetensors")
    assert built == [{"meta"}], "it would take 200 GB"
    rebuild_encoder({**config, "arguments": {"width": 16}}, weights, source="e.safetensors")
    assert built[1:] == [{"meta"}, {"cpu"}]


def test_a_head_whose_numbers_overflow_is_refused_rather_than_answering_nan(
    copied: Path, drawn: Path
) -> None:
    file = copied / "model.safetensors"
    with safe_open(file, framework="np") as opened:
        metadata = opened.metadata()
    arrays = {name: np.full_like(array, 1e38) for name, array in load_file(file).items()}
    file.unlink()
    save_file(arrays, file, metadata=metadata)
    with np.errstate(all="ignore"), pytest.raises(InputError, match=r"no finite scores|NaN or infinity"):
        list(Tagger.load(copied).tag([drawn / "00000.png"]))
