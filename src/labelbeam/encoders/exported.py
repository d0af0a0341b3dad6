"""The encoder of an exported run: a graph, or, where the export is NumPy only, a description of the one needed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from labelbeam.encoders.encoder import Encoder
from labelbeam.encoders.graph_encoder import installed_engines, load_graph
from labelbeam.encoders.preprocess import Preprocess
from labelbeam.errors import InputError, unknown_name
from labelbeam.parsing import LARGEST_JSON, read_json

# The encoder that an export to NumPy leaves behind: it knows what features must be made by, and makes none.
#
# Stands in a run where the images' features come from somewhere else. Knows no network.


@dataclass(frozen=True)
class AbsentEncoder(Encoder):
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

    def ready(self, device: str) -> "AbsentEncoder":
        """Refuse: there is nothing to run.

        Raises:
            InputError: always.
        """
        self._refuse()

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """Refuse: there is nothing to run.

        Raises:
            InputError: always.
        """
        self._refuse()

    def _refuse(self) -> NoReturn:
        made_by = self.config.get("arguments", {}).get("model", self.config["architecture"])
        raise InputError(
            f"this run was exported to NumPy: it holds no image encoder, so it cannot read pictures. Give it features "
            f"({self.row_size} numbers an image, made by {made_by!r}): python decode.py "
            "features.npy, labelbeam suggest RUN --vector FILE, or Tagger.tag_features. To tag pictures, export with "
            "--to onnx."
        )


# The encoder of a run that `labelbeam export` wrote: a graph, or only the description of the one that is
# missing.
#
#     export.json     what the run was exported to
#     encoder.onnx    the graph, unless it was exported to NumPy
#     encoder.json    whose graph it is, and how pictures are resized for it
#
# Needs no PyTorch. `runs.run_directory` loads the rest of the run.

EXPORT = "export.json"
"""A run with this file has no encoder.safetensors."""

GRAPH, DESCRIPTION = "encoder.onnx", "encoder.json"

TARGETS = ("onnx", "openvino", "numpy")
"""What a run can be exported to: a graph for ONNX Runtime, the same for OpenVINO (each runs the other's where only one
is installed), or no encoder at all."""


def exported_encoder(folder: Path) -> Encoder:
    """Load the encoder of an exported run; its runtime is imported at the first picture.

    Args:
        folder: of the run.

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
