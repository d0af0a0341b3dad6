"""Writes an image encoder as an ONNX graph that runs without PyTorch, with a description beside it.

The graph takes what `Preprocess.resized` returns and holds the normalisation and the network. What it cannot
say of itself (how pictures are resized, whose weights it holds) is in a JSON file of the same name.
`encoders.graph_encoder` reads both. Knows nothing of engines.
"""

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from labelbeam.encoders.graph_encoder import INPUT, OUTPUT, write_description
from labelbeam.encoders.image_encoder import ImageEncoder
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
