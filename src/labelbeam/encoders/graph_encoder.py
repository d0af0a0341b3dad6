"""An image encoder that is an exported graph: runs through ONNX Runtime or OpenVINO, without PyTorch.

Has the face of `ImageEncoder` that features and taggers use. Made by `encoders.graph_export`; the runtime is
imported, and the graph loaded, at the first picture. Knows nothing of training, and cannot be trained.
"""

import importlib
import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from labelbeam.decoding.search import cores
from labelbeam.encoders.encoder import Encoder, NoEncoder
from labelbeam.encoders.preprocess import Preprocess
from labelbeam.errors import InputError, unknown_name
from labelbeam.files import written_whole
from labelbeam.parsing import LARGEST_JSON, read_json

INPUT, OUTPUT = "pixels", "features"
"""Names inside the graph."""

ENGINES: Mapping[str, str] = {"onnx": "onnxruntime", "openvino": "openvino"}
"""What runs a graph, and the package that does it."""

Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class GraphEncoder(Encoder):
    """A graph from resized pictures to features, with the transform in front of it.

    Attributes:
        path: the graph, an `.onnx` file.
        num_features: numbers of its pooled vector.
        preprocess: from a decoded picture to its input; the normalisation is inside the graph.
        described: what its description says: identity, precision, encoder.
        engine: "onnx" or "openvino".
        precision: of its numbers, see `Encoder`.
        threads: that one pass through the network uses; features are extracted by several passes side by
            side, so that 1 keeps every core busy.

    Raises:
        InputError: an unknown engine, or one whose package is not installed.
    """

    path: Path
    num_features: int
    preprocess: Preprocess
    described: Mapping[str, Any]
    engine: str = "onnx"
    precision: str = "float32"
    threads: int = 1
    _run: "_Lazily" = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise unknown_name("engine of a graph", self.engine, ENGINES)
        if self.engine not in installed_engines():
            raise InputError(
                f"engine {self.engine!r} needs the package {ENGINES[self.engine]}: "
                f"pip install 'labelbeam[{self.engine}]'."
            )
        if self.threads < 1:
            raise InputError(f"threads must be at least 1, given {self.threads}.")
        object.__setattr__(self, "_run", _Lazily(self))

    @property
    def config(self) -> dict[str, Any]:
        """What the network is, as `ImageEncoder.config` says it."""
        return dict(self.described["encoder"])

    @property
    def identity(self) -> str:
        """The identity of the encoder that the graph was exported from."""
        return str(self.described["identity"])

    def ready(self, device: str) -> "GraphEncoder":
        """Return itself: what runs a graph is its engine's matter (`execution_providers`), not torch's."""
        return self

    def encode(self, pixels: UInt8[np.ndarray, "batch 3 size size"]) -> Float32[np.ndarray, "batch features"]:
        """Return the features of resized pictures (RGB, 0..255); several threads may call it at once.

        Raises:
            InputError: a graph that its engine refuses or cannot run, or that gives anything but features.
        """
        features = self._run(pixels)
        wanted = (len(pixels), self.row_size)
        if features.shape != wanted or features.dtype != np.float32:
            raise InputError(
                f"{self.path} gives {features.dtype} {list(features.shape)}, its description speaks of float32 "
                f"{list(wanted)}. Export the encoder again."
            )
        return features


def load_graph(path: Path, *, engine: str = "auto", threads: int = 1) -> GraphEncoder:
    """Make an encoder of an exported graph; the graph itself is read at the first picture.

    Args:
        path: the `.onnx` file that `export_graph` wrote, with its description beside it.
        engine: "onnx" (ONNX Runtime), "openvino", or "auto": the first of these that is installed.

    Raises:
        InputError: no such file, no description or a damaged one, a graph of another size than described, an
            unknown engine, or none installed.
    """
    if engine == "auto":
        engine = usual_engine()
    described = _description(path)
    try:
        encoder = described["encoder"]
        return GraphEncoder(
            path,
            int(encoder["num_features"]),
            Preprocess.from_dict(encoder["preprocess"]),
            {"identity": str(described["identity"]), "encoder": dict(encoder)},
            engine,
            str(described["precision"]),
            threads,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{description_beside(path)} is damaged ({error}). Export the encoder again."
        ) from error


def usual_engine() -> str:
    """Return the first engine of `ENGINES` whose package is installed.

    Raises:
        InputError: none is.
    """
    if not (installed := installed_engines()):
        raise InputError(
            "an exported graph needs ONNX Runtime or OpenVINO: pip install 'labelbeam[onnx]' or 'labelbeam[openvino]'."
        )
    return installed[0]


def installed_engines() -> tuple[str, ...]:
    """Return the engines whose packages are installed, in the order of `ENGINES`; imports nothing."""
    return tuple(engine for engine, package in ENGINES.items() if find_spec(package) is not None)


def description_beside(path: Path) -> Path:
    """Return where the description of a graph is."""
    return path.with_suffix(".json")


def write_description(path: Path, encoder: Encoder, *, precision: str) -> None:
    """Write what a graph cannot say of itself into `NAME.json` beside it.

    Args:
        precision: of its numbers, see `Encoder`.

    Raises:
        OSError: the folder cannot be written.
    """
    described = {
        "identity": encoder.identity,
        "precision": precision,
        "graph_bytes": path.stat().st_size,
        "encoder": encoder.config,
    }
    with written_whole(description_beside(path)) as part:
        part.write_text(json.dumps(described, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _description(path: Path) -> Mapping[str, Any]:
    beside = description_beside(path)
    for file in (path, beside):
        if not file.is_file():
            raise InputError(f"there is no {file}. Export the encoder again, or copy both files of it.")
    try:
        described = read_json(beside)
    except InputError as error:
        raise InputError(f"{beside} is damaged ({error}). Export the encoder again.") from error
    if not isinstance(described, dict):
        raise InputError(f"{beside} is damaged (it holds no object). Export the encoder again.")
    if (size := path.stat().st_size) != described.get("graph_bytes"):
        raise InputError(
            f"{path} has {size:,} bytes, {beside.name} speaks of {described.get('graph_bytes')}: it is not "
            "whole, or the two do not belong together. Copy both again."
        )
    return described


class _Lazily:
    """The loaded graph, made at the first call."""

    def __init__(self, encoder: GraphEncoder) -> None:
        self._encoder = encoder
        self._lock = threading.Lock()
        self._run: Run | None = None

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        if self._run is None:
            with self._lock:
                if self._run is None:
                    self._run = _LOADERS[self._encoder.engine](self._encoder)
        return self._run(pixels)


PROVIDERS: Mapping[str, Mapping[str, Any]] = {
    # TensorFloat-32 would give other features than the processor's.
    "CUDAExecutionProvider": {"use_tf32": 0},
    "CoreMLExecutionProvider": {},
    "DmlExecutionProvider": {},
    "OpenVINOExecutionProvider": {"device_type": "CPU", "precision": "FP32"},
    "CPUExecutionProvider": {},
}
"""What ONNX Runtime may compute with, best first, and with which settings."""


def execution_providers(available: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """Return the providers that ONNX Runtime is to try, in this order.

    Args:
        available: those of the installed ONNX Runtime, in any order.

    Example:
        >>> [name for name, _ in execution_providers(["CPUExecutionProvider", "CUDAExecutionProvider"])]
        ['CUDAExecutionProvider', 'CPUExecutionProvider']
    """
    return [(name, dict(settings)) for name, settings in PROVIDERS.items() if name in available]


def provider_name() -> str:
    """Return what ONNX Runtime computes with here, as a person calls it: "CUDA", "CPU"."""
    available = importlib.import_module("onnxruntime").get_available_providers()
    chosen = execution_providers(available)
    return chosen[0][0].removesuffix("ExecutionProvider") if chosen else "CPU"


def _by_onnxruntime(encoder: GraphEncoder) -> Run:
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = encoder.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    state = runtime.capi.onnxruntime_pybind11_state  # its errors have no base of their own
    refusals = (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NotImplemented,
    )
    try:
        providers = execution_providers(runtime.get_available_providers())
        session = runtime.InferenceSession(str(encoder.path), options, providers=providers)
    except (
        *refusals,
        state.RuntimeException,
        RuntimeError,
        ValueError,
    ) as error:  # ValueError: a message in no UTF-8
        raise _unusable(encoder, error) from error

    def run(pixels: np.ndarray) -> np.ndarray:
        try:
            return session.run([OUTPUT], {INPUT: pixels})[0]
        except (*refusals, state.RuntimeException, RuntimeError, ValueError) as error:
            raise _unusable(encoder, error) from error

    return run


def _by_openvino(encoder: GraphEncoder) -> Run:
    openvino = _openvino()
    # Left to itself, OpenVINO computes in bfloat16 wherever the processor can.
    hint = "bf16" if encoder.precision == "bfloat16" else "f32"
    # One stream per pass that may be under way; not pinned, since other processes have their cores too.
    streams = max(1, cores() // encoder.threads)
    settings = {
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": streams * encoder.threads,
        "NUM_STREAMS": streams,
        "ENABLE_CPU_PINNING": False,
    }
    core = openvino.Core()
    try:
        compiled = core.compile_model(core.read_model(str(encoder.path)), "CPU", settings)
    except (RuntimeError, ValueError) as error:
        raise _unusable(encoder, error) from error
    own = threading.local()

    def run(pixels: np.ndarray) -> np.ndarray:
        try:
            if not hasattr(own, "request"):
                own.request = compiled.create_infer_request()
            return np.array(own.request.infer({INPUT: pixels})[OUTPUT])
        except (RuntimeError, KeyError, ValueError) as error:
            raise _unusable(encoder, error) from error

    return run


def _openvino() -> Any:
    """Import OpenVINO without the package that reports every import to its maker over the network."""
    telemetry = "openvino_telemetry"
    if "openvino" in sys.modules or telemetry in sys.modules:
        return importlib.import_module("openvino")
    sys.modules[telemetry] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    finally:
        del sys.modules[telemetry]


_LOADERS: Mapping[str, Callable[[GraphEncoder], Run]] = {"onnx": _by_onnxruntime, "openvino": _by_openvino}


def _unusable(encoder: GraphEncoder, error: Exception) -> InputError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # OpenVINO first names the places in its source.
    reason = next((line for line in lines if not line.startswith(("Exception from ", "Check '"))), lines[0])
    return InputError(
        f"{encoder.path} cannot be run by {encoder.engine} ({reason}). Export the encoder again."
    )


@dataclass(frozen=True)
class AbsentEncoder(NoEncoder):
    """The description of an encoder that is not there.

    Attributes:
        num_features: numbers of its pooled vector.
        preprocess: from a decoded picture to its input.
        described: identity and encoder, as `encoders.graph_encoder.GraphEncoder.described`.
        precision: of its features.
    """

    num_features: int
    preprocess: Preprocess
    described: Mapping[str, Any]
    precision: str = "float32"

    @property
    def config(self) -> dict[str, Any]:
        """What it was, as `ImageEncoder.config` says it."""
        return dict(self.described["encoder"])

    @property
    def identity(self) -> str:
        """The identity of the encoder whose features are wanted."""
        return str(self.described["identity"])

    @property
    def refusal(self) -> str:
        """What it says to whoever asks it to read a picture."""
        made_by = self.config.get("arguments", {}).get("model", self.config["architecture"])
        return (
            f"this run was exported to NumPy: it holds no image encoder, so it cannot read pictures. Give it features "
            f"({self.row_size} numbers an image, made by {made_by!r}): python decode.py "
            "features.npy, labelbeam suggest RUN --vector FILE, or Tagger.tag_features. To tag pictures, export with "
            "--to onnx."
        )


#     export.json     what the run was exported to
#     encoder.onnx    the graph, unless it was exported to NumPy
#     encoder.json    whose graph it is, and how pictures are resized for it

EXPORT = "export.json"
"""A run with this file has no encoder.safetensors."""

GRAPH, DESCRIPTION = "encoder.onnx", "encoder.json"

TARGETS = ("onnx", "openvino", "numpy")
"""What a run can be exported to: a graph for ONNX Runtime, the same for OpenVINO (each runs the other's where only one
is installed), or no encoder at all."""


def exported_encoder(folder: Path) -> Encoder:
    """Load the encoder of an exported run; its runtime is imported at the first picture.

    Raises:
        InputError: files that are missing or damaged, an unknown target, or no runtime that is installed.
    """
    target = _object(folder / EXPORT).get("to")
    if target not in TARGETS:
        raise unknown_name("target of an export", str(target), TARGETS)
    if target == "numpy":
        return _absent(folder / DESCRIPTION)
    return load_graph(folder / GRAPH, engine=target if target in installed_engines() else "auto")


def _absent(path: Path) -> AbsentEncoder:
    described = _object(path)
    try:
        encoder = dict(described["encoder"])
        return AbsentEncoder(
            int(encoder["num_features"]),
            Preprocess.from_dict(encoder["preprocess"]),
            {"identity": str(described["identity"]), "encoder": {"architecture": "?", **encoder}},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error!r}). Export the run again.") from error


def _object(path: Path) -> dict[str, Any]:
    try:
        values = read_json(path, most_bytes=LARGEST_JSON)
    except InputError as error:
        raise InputError(f"{path} is not readable JSON: {error} Export the run again.") from error
    if not isinstance(values, dict):
        raise InputError(
            f"{path} must hold an object, it holds a {type(values).__name__}. Export the run again."
        )
    return values
