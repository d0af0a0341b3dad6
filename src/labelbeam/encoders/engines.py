"""What runs an encoder and in which numbers: PyTorch, ONNX Runtime or OpenVINO; float32, bfloat16 or int8.

`auto` asks for nothing that changes answers: the fastest installed engine in float32. Numbers of 8 significant bits
move decided sets (`docs/speed.md`), by how much depends on the network, so they are taken only where they are
asked for, or where a judge has found that the answers of these very weights stay (`stays_within`). Graphs are made
once and kept under the encoder's content. Knows nothing of labels: what a judge judges is its own affair.
"""

import hashlib
import importlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from labelbeam.data.images import UnreadableImage, read_rgb
from labelbeam.encoders.encoder import Encoder
from labelbeam.encoders.graph_encoder import (
    ENGINES,
    INPUT,
    GraphEncoder,
    description_beside,
    installed_engines,
    load_graph,
    write_description,
)
from labelbeam.encoders.preprocess import Preprocess
from labelbeam.errors import InputError, unknown_name
from labelbeam.files import cache_folder, written_whole

ENGINE_CHOICES = ("auto", "torch", *ENGINES)

PRECISIONS = ("auto", "float32", "bfloat16", "int8")

FASTEST_FIRST = ("openvino", "onnx")
"""In float32, measured on VGG-16 and ResNet-50 (`benchmarks/encoders.py`)."""

WORTH_A_GRAPH = 2_000
"""Images from which on `auto` makes a graph: making one takes 10 to 30 s, once for an encoder."""

_FORMAT = "2"
"""Raised when graphs are written differently: older ones are then made again."""

MOST_MOVED, LEAST_SAME = 0.005, 0.99
"""Bounds of what may be taken without being asked for: mean difference of scores, share of equal decided sets."""

FEWEST_JUDGED = 100

Judge = Callable[
    [Float[np.ndarray, "images features"]],
    tuple[Float[np.ndarray, "images labels"], Bool[np.ndarray, "images labels"]],
]
"""From features to scores and decided sets."""


@dataclass(frozen=True)
class Choice:
    """What will run an encoder.

    Attributes:
        engine: "torch", "onnx" or "openvino".
        precision: "float32", "bfloat16" or "int8".
    """

    engine: str
    precision: str


def choose_engine(engine: str = "auto", precision: str = "auto", *, images: int | None = None) -> Choice:
    """Settle what `auto` means on this machine; imports no engine.

    Args:
        engine: one of `ENGINE_CHOICES`.
        precision: one of `PRECISIONS`; "auto" is float32.
        images: how many are to be encoded; below `WORTH_A_GRAPH`, "auto" does not make a graph. None: many.

    Returns:
        An engine that is installed. It depends on what is installed and on the arguments alone, so that an
        interrupted job goes on with the same one.

    Raises:
        InputError: an unknown name, an engine that is not installed, or a precision that it does not have.

    Example:
        >>> choose_engine("torch", "bfloat16")
        Choice(engine='torch', precision='bfloat16')
        >>> choose_engine(images=1)
        Choice(engine='torch', precision='float32')
    """
    if engine not in ENGINE_CHOICES:
        raise unknown_name("engine", engine, ENGINE_CHOICES)
    if precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS)
    precision = "float32" if precision == "auto" else precision
    installed = tuple(name for name in FASTEST_FIRST if name in installed_engines())
    if engine in ENGINES and engine not in installed:
        raise InputError(
            f"engine {engine!r} needs the package {ENGINES[engine]}: pip install 'labelbeam[{engine}]'."
        )
    if precision == "int8":
        return Choice(_for_int8(engine, installed), precision)
    if precision == "bfloat16" and engine == "onnx":
        raise InputError(
            "engine 'onnx' does not compute in bfloat16 on processors. Use 'openvino' or 'torch'."
        )
    if engine != "auto":
        return Choice(engine, precision)
    able = [name for name in installed if precision == "float32" or name != "onnx"]
    few = images is not None and images < WORTH_A_GRAPH
    return Choice(able[0] if able and _can_write() and not few else "torch", precision)


def with_engine(
    encoder: Encoder,
    *,
    engine: str = "auto",
    precision: str = "auto",
    photographs: Sequence[Path] = (),
    judge: Judge | None = None,
    images: int | None = None,
    folder: Path | None = None,
) -> Encoder:
    """Return an encoder that gives the same features by another engine, or in other numbers.

    Args:
        encoder: in PyTorch, or an exported graph (which cannot go back to PyTorch).
        engine: as in `choose_engine`.
        precision: as in `choose_engine`.
        photographs: for int8: what it is calibrated on (`calibration_pixels`); for a judge: what it judges.
        judge: where it is given, "auto" takes bfloat16 if the processor computes in it and the answers for at
            least `FEWEST_JUDGED` photographs stay within bounds (`stays_within`).
        images: as in `choose_engine`.
        folder: where graphs are kept; None: `cache_folder() / "graphs"`.

    Raises:
        InputError: as `choose_engine`, `export_graph` and `write_quantised`.
    """
    if isinstance(encoder, GraphEncoder):
        return _other_graph(encoder, engine, precision, photographs, folder)
    choice = choose_engine(engine, precision, images=images)
    if choice.engine == "torch":
        return replace(encoder, precision=choice.precision)  # type: ignore[type-var]
    made = load_graph(_graph_of(encoder, folder or _usual_folder()), engine=choice.engine)
    if choice.precision == "int8":
        return _quantised(made, photographs, folder or _usual_folder(), choice.engine)
    if precision == "auto" and judge is not None and choice.engine == "openvino" and has_bfloat16():
        rough = replace(made, precision="bfloat16")
        if len(photographs) >= FEWEST_JUDGED:
            try:
                pixels = calibration_pixels(photographs, made.preprocess)
            except InputError:  # hardly one can be read: there is nothing to judge by
                return made
            enough = len(pixels) >= FEWEST_JUDGED
            return rough if enough and stays_within(made, rough, pixels, judge) else made
    return replace(made, precision=choice.precision)


def has_bfloat16() -> bool:
    """Return whether the processor multiplies in bfloat16; False where it does not say so (outside Linux)."""
    info = Path("/proc/cpuinfo")
    words = set(info.read_text().split()) if info.is_file() else set()
    return not words.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


def stays_within(
    exact: Encoder, rough: Encoder, pixels: UInt8[np.ndarray, "images 3 size size"], judge: Judge
) -> bool:
    """Return whether answers stay when features come from `rough`: mean score and decided sets.

    Args:
        exact: the encoder in float32.
        pixels: resized photographs; a hundred or more, since one in a hundred sets may move.
        judge: from features to scores and decided sets, as the run decides.
    """
    exact, rough = exact.ready("cpu"), rough.ready("cpu")
    (scores, sets), (others, other_sets) = (
        judge(np.concatenate([one.encode(part) for part in np.split(pixels, range(16, len(pixels), 16))]))
        for one in (exact, rough)
    )
    moved = np.abs(scores - others).mean()
    same = (sets == other_sets).all(axis=1).mean()
    return bool(moved <= MOST_MOVED and same >= LEAST_SAME)


def _for_int8(engine: str, installed: tuple[str, ...]) -> str:
    if engine == "torch":
        raise InputError("engine 'torch' has no int8 here. Use --engine onnx, or another precision.")
    if not installed:
        raise InputError("int8 needs ONNX Runtime: pip install 'labelbeam[onnx]'.")
    if engine != "auto":
        return engine
    # As fast as OpenVINO, and does no more than the graph says (`left_in_float`).
    return "onnx" if "onnx" in installed else "openvino"


def _can_write() -> bool:
    return all(find_spec(package) is not None for package in ("onnx", "onnxscript"))


def _usual_folder() -> Path:
    return cache_folder() / "graphs"


def _graph_of(encoder: Encoder, folder: Path) -> Path:
    """Return the graph of an encoder, made now where it is not kept."""
    from labelbeam.encoders.graph_export import export_graph  # imports torch

    named = f"{_FORMAT} {encoder.identity} {encoder.preprocess.identity}"
    path = folder / f"{hashlib.sha256(named.encode()).hexdigest()[:32]}.onnx"
    if not (path.is_file() and description_beside(path).is_file()):
        _make(folder)
        export_graph(encoder, path)  # type: ignore[arg-type]
    return path


def _quantised(graph: GraphEncoder, photographs: Sequence[Path], folder: Path, engine: str) -> GraphEncoder:
    """Return the int8 form of a graph, made now where it is not kept for these photographs."""
    pixels = calibration_pixels(photographs, graph.preprocess)
    digest = hashlib.sha256(f"{_FORMAT} {graph.identity} {graph.preprocess.identity}".encode())
    digest.update(pixels.data)
    path = folder / f"{digest.hexdigest()[:32]}-int8.onnx"
    if not (path.is_file() and description_beside(path).is_file()):
        _make(folder)
        write_quantised(graph, path, pixels)
    return load_graph(path, engine=engine)


def _other_graph(
    encoder: GraphEncoder, engine: str, precision: str, photographs: Sequence[Path], folder: Path | None
) -> GraphEncoder:
    if engine == "torch":
        raise InputError(
            "an exported run cannot be run by PyTorch; leave --engine out, or use the run itself."
        )
    kind = encoder.precision.partition(":")[0]
    precision = kind if precision == "auto" else precision
    if kind == "int8" and precision != "int8":
        raise InputError(f"this run was exported as int8, asked for {precision}. Use the run itself.")
    if engine == "auto":
        engine = encoder.engine
        if precision == "bfloat16":
            engine = choose_engine("openvino", precision).engine
    engine = choose_engine(engine, precision).engine
    if kind != precision == "int8":
        return _quantised(encoder, photographs, folder or _usual_folder(), engine)
    return replace(encoder, engine=engine, precision=encoder.precision if kind == "int8" else precision)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{os.fspath(folder)} cannot be made ({error.strerror}). Set LABELBEAM_CACHE to a folder that can "
            "be written."
        ) from error


FEWEST, MOST = 16, 256
"""Photographs that calibrate: with fewer the ranges are chance, more change next to nothing."""

_BATCH = 4


def export_quantised(encoder: GraphEncoder, path: Path, photographs: Sequence[Path]) -> None:
    """Write the 8-bit form of a graph, and its description beside it.

    Args:
        path: the `.onnx` file to appear, whole or not at all; its folder exists.
        photographs: at least `FEWEST` that can be read; of more than `MOST`, that many spread evenly are used.

    Raises:
        InputError: another suffix, a graph that is not float32, too few photographs, the extra `onnx` is not
            installed, or a folder that cannot be written.
    """
    write_quantised(encoder, path, calibration_pixels(photographs, encoder.preprocess))


def write_quantised(
    encoder: GraphEncoder, path: Path, pixels: UInt8[np.ndarray, "images 3 size size"]
) -> None:
    """Do what `export_quantised` does, with pictures that are resized already.

    Raises:
        InputError: as `export_quantised`.
    """
    if path.suffix != ".onnx":
        raise InputError(f"a graph is written into a file that ends in .onnx, given {path.name!r}.")
    if encoder.precision != "float32":
        raise InputError(f"only a float32 graph can be quantised; {encoder.path} is {encoder.precision}.")
    try:
        with tempfile.TemporaryDirectory() as folder, written_whole(path) as part:
            _quantise(encoder.path, part, pixels, scratch=Path(folder))
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        write_description(path, encoder, precision=f"int8:{digest}")
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}). Choose another folder or make room."
        ) from error


def calibration_pixels(
    photographs: Sequence[Path], preprocess: Preprocess
) -> UInt8[np.ndarray, "images 3 size size"]:
    """Return the resized pictures that ranges are measured on.

    Args:
        photographs: files; those that cannot be read are left out.

    Raises:
        InputError: fewer than `FEWEST` can be read.
    """
    chosen = list(photographs)
    if len(chosen) > MOST:
        chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, MOST).round().astype(int)]

    def resized(path: Path) -> np.ndarray | None:
        try:
            return preprocess.resized(read_rgb(path, at_least=preprocess.enough))
        except UnreadableImage:
            return None

    with ThreadPoolExecutor() as pool:
        squares = [square for square in pool.map(resized, chosen) if square is not None]
    if len(squares) < FEWEST:
        raise InputError(
            f"int8 is calibrated on photographs: {len(squares)} of the {len(photographs)} given can be read, "
            f"at least {FEWEST} are needed, {MOST} are best. Give photographs like those to be tagged."
        )
    return np.stack(squares)


def left_in_float(graph: Any) -> list[str]:
    """Return the nodes of a graph that are not rounded: the first convolution with its activation, depthwise ones.

    They hold a few percent of the multiplications and most of the error: each of their channels has a range of its
    own, and what flows between layers is rounded with one range for all. Surprisingly, OpenVINO 2026.4 also gives
    wrong values, not merely rounded ones, where 8 bits flow from MobileNetV2's first convolution into the depthwise
    one after it; ONNX Runtime does not.

    Args:
        graph: an ONNX graph (onnx.GraphProto), its constants folded.
    """
    shapes = {constant.name: tuple(constant.dims) for constant in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    if not convolutions:
        return []
    first = convolutions[0]
    # Weights are [channels out, channels in of a group, height, width].
    depthwise = [node for node in convolutions if shapes.get(node.input[1], (0, 0))[1] == 1]
    activations = [
        node for node in graph.node if node.op_type in ("Clip", "Relu") and first.output[0] in node.input
    ]
    return list(dict.fromkeys(node.name for node in (first, *activations, *depthwise)))


def _quantise(graph: Path, path: Path, pixels: np.ndarray, *, scratch: Path) -> None:
    try:
        onnx = importlib.import_module("onnx")
        quantization = importlib.import_module("onnxruntime.quantization")
        shapes = importlib.import_module("onnxruntime.quantization.shape_inference")
    except ImportError as error:
        raise InputError(
            f"int8 needs one more package ({error.name}): pip install 'labelbeam[onnx]' onnx."
        ) from error
    # Folds constants and fuses layers first: without it the result is slower than float32.
    prepared = scratch / "prepared.onnx"
    shapes.quant_pre_process(graph, prepared, skip_symbolic_shape=True)
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it logs its advice, to prepare the graph, even for a prepared one
    try:
        quantization.quantize_static(
            prepared,
            path,
            _reader(quantization, pixels),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            nodes_to_exclude=left_in_float(onnx.load(prepared).graph),
            # The mean of the batches' extremes: one odd photograph must not make every step coarser.
            extra_options={"CalibMovingAverage": True},
        )
    finally:
        root.setLevel(level)


def _reader(quantization: object, pixels: np.ndarray) -> object:
    class Reader(quantization.CalibrationDataReader):  # type: ignore[name-defined]
        def __init__(self) -> None:
            self._batches: Iterator[np.ndarray] = iter(np.split(pixels, range(_BATCH, len(pixels), _BATCH)))

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self._batches, None)
            return None if batch is None else {INPUT: batch}

    return Reader()
