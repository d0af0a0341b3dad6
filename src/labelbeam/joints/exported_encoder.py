"""The encoder of a run that `labelbeam export` wrote: a graph, or only what is known of the one that is missing.

    export.json     what the run was exported to
    encoder.onnx    the graph, unless it was exported to NumPy
    encoder.json    whose graph it is, and how pictures are resized for it

Needs no PyTorch. `joints.run_directory` loads the rest of the run.
"""

import json
from pathlib import Path
from typing import Any

from labelbeam.encoders.encoder import Encoder
from labelbeam.encoders.graph_encoder import installed_engines, load_graph
from labelbeam.encoders.preprocess import Preprocess
from labelbeam.errors import InputError, unknown_name
from labelbeam.joints.absent_encoder import AbsentEncoder

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
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not readable JSON ({error}). Export the run again.") from error
    if not isinstance(values, dict):
        raise InputError(
            f"{path} must hold an object, it holds a {type(values).__name__}. Export the run again."
        )
    return values
