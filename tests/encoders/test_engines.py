from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelbeam.encoders import engines
from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
from labelbeam.encoders.encoder import Encoder
from labelbeam.encoders.engines import (
    Choice,
    calibration_pixels,
    choose_engine,
    export_quantised,
    stays_within,
    with_engine,
)
from labelbeam.encoders.graph_encoder import GraphEncoder
from labelbeam.encoders.image_encoder import ImageEncoder
from labelbeam.errors import InputError
from labelbeam.features.extract import extract

for package in ("onnx", "onnxscript", "onnxruntime", "openvino"):
    if find_spec(package) is None:
        pytest.skip(f"needs {package}", allow_module_level=True)


@pytest.fixture(scope="module")
def encoder() -> ImageEncoder:
    return build_encoder(EncoderConfig("tiny", width=16, size=32))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    made = tmp_path_factory.mktemp("photographs")
    paths = [made / f"{i}.png" for i in range(20)]
    for i, path in enumerate(paths):
        values = np.random.default_rng(i).integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(values).resize((48, 40)).save(path)
    return paths


def squares(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


def test_by_itself_it_takes_the_fastest_engine_in_float32_and_makes_no_graph_for_few_images() -> None:
    assert choose_engine() == Choice("openvino", "float32")
    assert choose_engine(images=engines.WORTH_A_GRAPH) == Choice("openvino", "float32")
    assert choose_engine(images=3) == Choice("torch", "float32")
    assert choose_engine("onnx", images=3) == Choice("onnx", "float32")
    assert choose_engine(precision="bfloat16") == Choice("openvino", "bfloat16")
    assert choose_engine(precision="int8") == Choice("onnx", "int8")


def test_by_itself_it_takes_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "installed_engines", lambda: ("onnx",))
    assert choose_engine() == Choice("onnx", "float32")
    assert choose_engine(precision="bfloat16") == Choice("torch", "bfloat16")
    monkeypatch.setattr(engines, "installed_engines", lambda: ())
    assert choose_engine() == Choice("torch", "float32")


@pytest.mark.parametrize(
    ("engine", "precision", "words"),
    [
        ("onxx", "auto", ["onxx", "Did you mean 'onnx'"]),
        ("auto", "float16", ["float16", "bfloat16"]),
        ("onnx", "bfloat16", ["does not compute in bfloat16", "'openvino' or 'torch'"]),
        ("torch", "int8", ["has no int8", "--engine onnx"]),
    ],
)
def test_a_choice_that_cannot_be_had_is_refused_with_words_that_repair_it(
    engine: str, precision: str, words: list[str]
) -> None:
    with pytest.raises(InputError) as error:
        choose_engine(engine, precision)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_an_engine_or_a_precision_whose_package_is_missing_names_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines, "installed_engines", lambda: ())
    with pytest.raises(InputError, match=r"pip install 'labelbeam\[openvino\]'"):
        choose_engine("openvino")
    with pytest.raises(InputError, match=r"pip install 'labelbeam\[onnx\]'"):
        choose_engine(precision="int8")


@pytest.mark.parametrize("engine", ["torch", "onnx", "openvino"])
def test_every_engine_gives_the_same_features_in_float32(
    encoder: ImageEncoder, folder: Path, engine: str
) -> None:
    other = with_engine(encoder, engine=engine, folder=folder)
    assert other.precision == "float32"
    assert other.identity == encoder.identity
    assert np.allclose(other.encode(squares(3)), encoder.encode(squares(3)), rtol=1e-4, atol=1e-5)


def test_a_graph_is_made_once_for_the_same_weights_and_transform(
    encoder: ImageEncoder, folder: Path, tmp_path: Path
) -> None:
    first = with_engine(encoder, engine="onnx", folder=folder)
    again = with_engine(encoder, engine="openvino", folder=folder)
    assert isinstance(first, GraphEncoder)
    assert isinstance(again, GraphEncoder)
    assert first.path == again.path
    made = first.path.stat().st_mtime_ns
    with_engine(encoder, engine="onnx", folder=folder)
    assert first.path.stat().st_mtime_ns == made
    darker = replace(encoder, preprocess=replace(encoder.preprocess, mean=(0.1, 0.1, 0.1)))
    other = with_engine(darker, engine="onnx", folder=folder)
    assert not np.allclose(other.encode(squares(2)), first.encode(squares(2)), atol=1e-3)


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_bfloat16_is_close_and_says_that_it_is_rounded(
    encoder: ImageEncoder, folder: Path, engine: str
) -> None:
    rough = with_engine(encoder, engine=engine, precision="bfloat16", folder=folder)
    assert rough.precision == "bfloat16"
    assert np.allclose(rough.encode(squares(4)), encoder.encode(squares(4)), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("engine", ["auto", "openvino"])
def test_int8_is_close_cached_and_cached_apart_from_other_calibrations(
    encoder: ImageEncoder, folder: Path, photographs: list[Path], engine: str
) -> None:
    options = {"engine": engine, "precision": "int8", "folder": folder}
    small = with_engine(encoder, photographs=photographs, **options)
    exact = extract(photographs, encoder).values.astype(float)
    values = extract(photographs, small).values
    assert small.precision.startswith("int8:")
    assert 0 < np.abs(values - exact).mean() < 0.1 * np.abs(exact).mean()
    assert isinstance(small, GraphEncoder)
    made = small.path.stat().st_mtime_ns
    with_engine(encoder, photographs=photographs, **options)
    assert small.path.stat().st_mtime_ns == made
    other = with_engine(encoder, photographs=photographs[2:], **options)
    assert isinstance(other, GraphEncoder)
    assert other.path != small.path


def test_features_in_other_numbers_are_kept_apart(
    encoder: ImageEncoder, folder: Path, photographs: list[Path], tmp_path: Path
) -> None:
    cache = tmp_path / "features"
    small = with_engine(encoder, precision="int8", photographs=photographs, folder=folder)
    for one in (encoder, small):
        assert np.array_equal(extract(photographs, one, cache=cache).values, extract(photographs, one).values)
    assert len(list(cache.iterdir())) == 2


def test_an_exported_graph_changes_its_engine_but_not_back_to_torch(
    encoder: ImageEncoder, folder: Path, photographs: list[Path]
) -> None:
    graph = with_engine(encoder, engine="onnx", folder=folder)
    other = with_engine(graph, engine="openvino", precision="bfloat16")
    assert isinstance(other, GraphEncoder)
    assert (other.engine, other.precision) == ("openvino", "bfloat16")
    kept = with_engine(graph)
    assert isinstance(kept, GraphEncoder)
    assert (kept.engine, kept.precision) == ("onnx", "float32")
    with pytest.raises(InputError, match="cannot be run by PyTorch"):
        with_engine(graph, engine="torch")
    small = with_engine(graph, precision="int8", photographs=photographs, folder=folder)
    assert with_engine(small).precision == small.precision
    with pytest.raises(InputError, match="exported as int8, asked for float32"):
        with_engine(small, precision="float32")


def test_too_few_photographs_to_calibrate_on_are_reported(
    encoder: ImageEncoder, photographs: list[Path]
) -> None:
    with pytest.raises(InputError, match="3 of the 4 given can be read, at least 16 are needed"):
        calibration_pixels([*photographs[:3], Path("absent.png")], encoder.preprocess)


def test_only_float32_graphs_are_quantised(
    encoder: ImageEncoder, folder: Path, photographs: list[Path], tmp_path: Path
) -> None:
    graph = with_engine(encoder, engine="openvino", folder=folder)
    assert isinstance(graph, GraphEncoder)
    with pytest.raises(InputError, match="is bfloat16"):
        export_quantised(replace(graph, precision="bfloat16"), tmp_path / "a.onnx", photographs)
    with pytest.raises(InputError, match=r"ends in \.onnx"):
        export_quantised(graph, tmp_path / "a.bin", photographs)


def test_rounded_features_of_another_engine_are_other_features(encoder: ImageEncoder, folder: Path) -> None:
    graph = with_engine(encoder, engine="openvino", folder=folder)
    assert graph.key == encoder.key
    torch_s, openvino_s = (
        with_engine(encoder, engine=engine, precision="bfloat16", folder=folder).key
        for engine in ("torch", "openvino")
    )
    assert len({str(key) for key in (encoder.key, torch_s, openvino_s)}) == 3


class Shifted(Encoder):
    """Stands in for an encoder whose features are off by so much."""

    num_features, precision = 4, "bfloat16"

    def __init__(self, shift: float) -> None:
        self.shift = shift

    config = identity = property(lambda self: "")  # type: ignore[assignment]

    def ready(self, device: str) -> "Shifted":
        return self

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        return pixels.reshape(len(pixels), -1)[:, :4].astype(np.float32) / 255 + np.float32(self.shift)


@pytest.mark.parametrize(("shift", "stays"), [(0.0, True), (0.002, True), (0.006, False), (0.3, False)])
def test_rounded_numbers_are_taken_only_where_scores_and_sets_stay(shift: float, stays: bool) -> None:
    pixels = np.full((120, 3, 2, 2), 100, dtype=np.uint8)

    def judge(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return features, features > 0.5

    assert stays_within(Shifted(0.0), Shifted(shift), pixels, judge) is stays


def test_scores_that_hardly_move_but_cross_their_threshold_do_not_stay() -> None:
    pixels = np.full((120, 3, 2, 2), 100, dtype=np.uint8)
    pixels[:3] = 127  # 3 of 120 images have scores just below the threshold

    def judge(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return features, features > 0.5

    assert not stays_within(Shifted(0.0), Shifted(0.004), pixels, judge)


def test_a_judge_decides_whether_bfloat16_is_taken(
    encoder: ImageEncoder, folder: Path, photographs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "FEWEST_JUDGED", 10)
    monkeypatch.setattr(engines, "has_bfloat16", lambda: True)

    def blind(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return features * 0, features > 1e9

    def strict(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return features * 1e6, features > 1e9

    options = {"photographs": photographs, "folder": folder}
    assert with_engine(encoder, judge=blind, **options).precision == "bfloat16"
    assert with_engine(encoder, judge=strict, **options).precision == "float32"
    assert with_engine(encoder, judge=blind, folder=folder).precision == "float32"  # nothing to judge by
    assert with_engine(encoder, **options).precision == "float32"
