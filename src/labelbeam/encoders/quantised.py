"""An exported graph in whole numbers of 8 bits, calibrated on photographs: several times as fast."""

import hashlib
import importlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from labelbeam.data.images import UnreadableImage, read_rgb
from labelbeam.encoders.graph_encoder import INPUT, GraphEncoder, write_description
from labelbeam.encoders.preprocess import Preprocess
from labelbeam.errors import InputError
from labelbeam.files import written_whole

FEWEST, MOST = 16, 256
"""Photographs that calibrate: with fewer the ranges are chance, more change next to nothing."""

_BATCH = 4


def export_quantised(encoder: GraphEncoder, path: Path, photographs: Sequence[Path]) -> None:
    """Write the 8-bit form of a graph, and its description beside it.

    Args:
        encoder: a graph in float32.
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

    Args:
        encoder: a graph in float32.
        path: as in `export_quantised`.
        pixels: what `calibration_pixels` returned.

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
        preprocess: the encoder's.

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
