"""Writes an image encoder as an ONNX graph that runs without PyTorch, with a description beside it.

The graph takes what `Preprocess.resized` returns and holds the normalisation and the network. What it cannot
say of itself (how pictures are resized, whose weights it holds) is in a JSON file of the same name.
`encoders.graph_encoder` reads both. Knows nothing of engines.
"""

import hashlib
import importlib
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from labelbeam.data.images import UnreadableImage, read_rgb
from labelbeam.encoders.graph_encoder import INPUT, OUTPUT, GraphEncoder, write_description
from labelbeam.encoders.image_encoder import ImageEncoder
from labelbeam.encoders.preprocess import Preprocess
from labelbeam.errors import InputError
from labelbeam.files import written_whole

PACKAGES = ("onnx", "onnxscript")


def export_graph(encoder: ImageEncoder, path: Path) -> None:
    """Write an encoder as an ONNX graph, and `NAME.json` beside it.

    Args:
        encoder: on any device, in whatever mode; it is left as it is.
        path: the `.onnx` file to appear, whole or not at all; its folder exists. Input `pixels`, uint8
            [batch 3 size size], RGB; output `features`, float32 [batch features].

    Raises:
        InputError: a suffix other than `.onnx`, the extra `onnx` is not installed, a network that cannot be
            written as a graph, or a folder that cannot be written.

    Example:
        >>> import tempfile
        >>> from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
        >>> from labelbeam.encoders.graph_encoder import load_graph
        >>> encoder = build_encoder(EncoderConfig("tiny", width=16, size=32))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     export_graph(encoder, Path(folder, "encoder.onnx"))
        ...     load_graph(Path(folder, "encoder.onnx")).num_features
        32
    """
    if path.suffix != ".onnx":
        raise InputError(f"a graph is written into a file that ends in .onnx, given {path.name!r}.")
    ready = encoder.ready("cpu")
    program = _traced(_WithNormalisation(ready).eval(), encoder.preprocess.size, ready)
    try:
        with written_whole(path) as part:
            program.save(part)
        write_description(path, encoder, precision="float32")
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}). Choose another folder or make room."
        ) from error


class _WithNormalisation(nn.Module):
    slope: Tensor
    offset: Tensor

    def __init__(self, encoder: ImageEncoder) -> None:
        super().__init__()
        slope, offset = encoder.preprocess.slope_and_offset()
        self.network = encoder.module
        self.reverse = encoder.preprocess.channels == "BGR"
        self.register_buffer("slope", torch.tensor(slope).view(1, 3, 1, 1))
        self.register_buffer("offset", torch.tensor(offset).view(1, 3, 1, 1))

    def forward(self, pixels: UInt8[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch features"]:
        values = pixels.float()
        if self.reverse:
            values = values.flip(1)
        return self.network(values * self.slope + self.offset)


def _traced(module: nn.Module, size: int, encoder: ImageEncoder) -> Any:
    pixels = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    name = encoder.arguments.get("model", encoder.architecture)
    # The exporter warns of its own internals' deprecations; what the user can act on is in the error below.
    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    exporter_log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.onnx.export(
                module,
                (pixels,),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                dynamo=True,
                verbose=False,
            )
    except ImportError as error:
        raise InputError(
            f"writing a graph needs one more package ({error.name}): pip install 'labelbeam[onnx]'."
        ) from error
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        raise InputError(
            f"encoder {name!r} cannot be written as a graph: {str(error).strip().splitlines()[0]}"
        ) from error
    finally:
        exporter_log.setLevel(level)


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
