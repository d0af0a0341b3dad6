"""Weights files: their tensors, and what they say they need.

A weights file says what its shapes cannot: padding, normalisation, channel order. It says so in its
safetensors metadata or in a JSON beside it (`NAME.json`), under the keys of `KEYS`; flags of the command line
override. Nothing is guessed: what is needed and not stated is an error of the builder. The only pickle ever
opened is a `.pth` that the user names, by torch's weights-only reader, converted to safetensors once.
Knows nothing of architectures.
"""

import hashlib
import pickle
import re
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from labelbeam.errors import InputError
from labelbeam.files import cache_folder, written_whole
from labelbeam.parsing import parse_json, read_json

KEYS = ("timm_model", "num_classes", "pad_type", "mean", "std", "input")
"""What a weights file may say. `input` is "3x224x224 RGB" or "BGR 0..255 minus (104, 117, 124)", say."""

ENCODER_KEY = "labelbeam_encoder"
"""Metadata key under which labelbeam's own encoder files hold everything needed to build them again."""

_COUNTER = "num_batches_tracked"

PICKLES = (".pth", ".pt", ".bin")


@dataclass(frozen=True)
class Needs:
    """What a weights file says of the model and the input it belongs to; None where it says nothing.

    Attributes:
        timm_model: architecture name in timm, without a tag.
        num_classes: outputs of the classifier in the file.
        pad_type: timm's padding, "" (symmetric) or "same" (TensorFlow's).
        mean: per channel, in units of `scale`.
        std: per channel, likewise.
        channels: "RGB" or "BGR".
        scale: the value of white, 1.0 or 255.0 ("0..255" in `input`; 1.0 where `input` names no range).
        size: side of the square input, pixels.
    """

    timm_model: str | None = None
    num_classes: int | None = None
    pad_type: str | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    channels: str | None = None
    scale: float | None = None
    size: int | None = None


@dataclass(frozen=True)
class Weights:
    """The content of a weights file.

    Attributes:
        tensors: by name, on the CPU.
        needs: what the file, or the JSON beside it, says.
        sha256: of the named file's bytes, 64 hexadecimal digits.
        encoder: what labelbeam itself wrote (`ENCODER_KEY`), None for any other file.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    needs: Needs
    sha256: str
    encoder: Mapping[str, Any] | None = None


def read_weights(path: Path) -> Weights:
    """Read a `.safetensors` file, or a `.pth` that the user named.

    Raises:
        InputError: no such file, an unknown kind of file, a damaged one, a pickle that holds more than
            tensors, or metadata that cannot be understood.
    """
    if not path.is_file():
        raise InputError(f"there is no weights file {path}. Give an existing .safetensors or .pth file.")
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if path.suffix in PICKLES:
        safe = _converted(path, sha256)
    elif path.suffix == ".safetensors":
        safe = path
    else:
        raise InputError(
            f"{path}: a weights file ends in .safetensors, {', '.join(PICKLES)}; given {path.suffix!r}."
        )
    try:
        with safe_open(safe, framework="pt") as opened:
            metadata = dict(opened.metadata() or {})
        tensors = load_file(safe)
    except SafetensorError as error:
        raise InputError(
            f"{path} is not a whole safetensors file ({error}). Copy or download it again."
        ) from error
    encoder = _described(metadata[ENCODER_KEY], path) if ENCODER_KEY in metadata else None
    stated = {key: metadata[key] for key in KEYS if key in metadata} | _beside(path)
    return Weights(path, tensors, parse_needs(stated, source=str(path)), sha256, encoder)


def parse_needs(stated: Mapping[str, Any], *, source: str) -> Needs:
    """Understand what a weights file says of itself.

    Args:
        stated: values under `KEYS`, as text (metadata) or as JSON values; other keys are left alone.

    Raises:
        InputError: a value that cannot be understood.

    Example:
        >>> parse_needs({"input": "3x224x224 RGB", "mean": "0.5,0.5,0.5"}, source="a.safetensors").size
        224
        >>> parse_needs({"input": "BGR 0..255 minus (104, 117, 124)"}, source="a.safetensors").mean
        (104.0, 117.0, 124.0)
    """
    channels, scale, size, mean, std = _parse_input(stated.get("input"), source=source)
    pad_type = stated.get("pad_type")
    if pad_type not in (None, "", "same"):
        raise InputError(f"{source}: pad_type is {pad_type!r}; allowed: '' (symmetric), 'same'.")
    num_classes = stated.get("num_classes")
    if num_classes is not None and not str(num_classes).isdecimal():
        raise InputError(f"{source}: num_classes is {num_classes!r}; a whole number is wanted.")
    return Needs(
        timm_model=stated.get("timm_model"),
        num_classes=None if num_classes is None else int(num_classes),
        pad_type=pad_type,
        mean=_three_numbers(stated["mean"], "mean", source=source) if "mean" in stated else mean,
        std=_three_numbers(stated["std"], "std", source=source) if "std" in stated else std,
        channels=channels,
        scale=scale,
        size=size,
    )


def load_strictly(module: nn.Module, weights: Mapping[str, Tensor], *, source: str) -> None:
    """Copy tensors into a module; every name and shape must agree.

    Args:
        source: the file, for the message.

    Raises:
        InputError: weights of another architecture; the first missing, extra and differing keys are shown.
    """
    refuse_other_weights(module, weights, source=source)
    # Older torch did not write batch normalisation's counter of batches; no feature depends on it.
    counters = {key: value for key, value in module.state_dict().items() if key.endswith(_COUNTER)}
    module.load_state_dict(counters | dict(weights))


def refuse_other_weights(module: nn.Module, weights: Mapping[str, Tensor], *, source: str) -> None:
    """Refuse tensors whose names or shapes are not a module's; its values are not looked at.

    Args:
        module: on any device, also "meta", where networks of any size cost nothing.

    Raises:
        InputError: weights of another architecture; the first missing, extra and differing keys are shown.
    """
    wanted = module.state_dict()
    missing = [
        f"{key} {list(wanted[key].shape)}"
        for key in wanted
        if key not in weights and not key.endswith(_COUNTER)
    ]
    unexpected = [f"{key} {list(weights[key].shape)}" for key in weights if key not in wanted]
    differing = [
        f"{key} is {list(weights[key].shape)}, the model wants {list(wanted[key].shape)}"
        for key in wanted
        if key in weights and weights[key].shape != wanted[key].shape
    ]
    found = (("missing", missing), ("not in the model", unexpected), ("of another shape", differing))
    parts = [
        f"{len(keys)} {what}: {'; '.join(keys[:3])}{' …' if len(keys) > 3 else ''}"
        for what, keys in found
        if keys
    ]
    if parts:
        raise InputError(
            f"{source} holds the weights of another architecture. "
            + ". ".join(parts)
            + ". Name the architecture the file belongs to (--encoder), or give its own weights (--weights)."
        )


def content_hash(module: nn.Module) -> str:
    """Return the sha256 of a module's parameters and buffers: names, types, shapes and bytes.

    Batch normalisation's counters of batches are left out: no feature depends on them.
    Equal for the same values wherever they came from (a download, a run's own file), and another as soon as
    training has changed one of them.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if name.endswith(_COUNTER):
            continue
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


DAMAGED_PICKLE = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, ValueError, TypeError, AttributeError, LookupError),
    *(AssertionError, OSError, OverflowError, MemoryError, ImportError, struct.error, zipfile.BadZipFile),
)
"""What torch's weights-only reader raises on bytes that are no archive of its own."""


def _converted(path: Path, sha256: str) -> Path:
    """Return the safetensors twin of a pickle, made on first use and kept in the cache under its content."""
    safe = cache_folder() / "weights" / f"{sha256}.safetensors"
    if safe.is_file():
        return safe
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except DAMAGED_PICKLE as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(
            f"{path} cannot be read as plain weights ({reason[:200]}). labelbeam opens a "
            "pickle only with torch's weights-only reader, which runs no code: save the state_dict alone, "
            "or as .safetensors."
        ) from error
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise InputError(f"{path} does not hold a state_dict (names and tensors); save `model.state_dict()`.")
    # Cloned: safetensors refuses tensors that share memory.
    tensors = {str(name): tensor.detach().contiguous().clone() for name, tensor in loaded.items()}
    try:
        safe.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(safe) as part:
            save_file(tensors, part)
    except OSError as error:
        raise InputError(
            f"{path} could not be converted into {safe.parent} ({error.strerror}). "
            "Set LABELBEAM_CACHE to a folder that can be written, or give a .safetensors file."
        ) from error
    return safe


def _described(text: str, path: Path) -> dict[str, Any]:
    try:
        description = parse_json(text, "metadata")
    except InputError as error:
        raise InputError(f"{path} says no JSON of its encoder ({error}). Copy it again.") from error
    if not isinstance(description, dict):
        raise InputError(f"{path} says nothing of its encoder that can be understood. Copy it again.")
    return description


def _beside(path: Path) -> dict[str, Any]:
    """Return what `NAME.json` beside the weights says, under `KEYS`; empty where there is none."""
    described = path.with_suffix(".json")
    if not described.is_file():
        return {}
    try:
        stated = read_json(described)
    except InputError as error:
        raise InputError(
            f"{described} is not JSON ({error}). It should hold an object with: {', '.join(KEYS)}."
        ) from error
    if not isinstance(stated, dict):
        raise InputError(f"{described} should hold a JSON object with: {', '.join(KEYS)}.")
    return {key: stated[key] for key in KEYS if key in stated}


def _three_numbers(value: Any, key: str, *, source: str) -> tuple[float, float, float]:
    try:
        numbers = [float(part) for part in (value.split(",") if isinstance(value, str) else value)]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != 3:
        raise InputError(
            f"{source}: {key} is {value!r}; three numbers such as '0.485,0.456,0.406' are wanted."
        )
    return numbers[0], numbers[1], numbers[2]


_Three = tuple[float, float, float]


def _parse_input(
    text: str | None, *, source: str
) -> tuple[str | None, float | None, int | None, _Three | None, _Three | None]:
    """Return channels, scale, size, mean and std as an `input` line says them."""
    if text is None:
        return None, None, None, None, None
    pattern = (
        r"(?:3x(?P<h>\d+)x(?P<w>\d+)\s*)?(?P<c>RGB|BGR)"
        r"(?P<r>\s+0\.\.(?:255|1))?(?:\s+minus\s*\((?P<m>[^)]*)\))?"
    )
    match = re.fullmatch(pattern, text.strip())
    if match is None or match["h"] != match["w"]:
        raise InputError(
            f"{source}: input is {text!r}; it should read '3x224x224 RGB' (square), "
            "or 'BGR 0..255 minus (104, 117, 124)'."
        )
    mean = _three_numbers(match["m"], "input", source=source) if match["m"] else None
    return (
        match["c"],
        255.0 if (match["r"] or "").endswith("255") else 1.0,
        int(match["h"]) if match["h"] else None,
        mean,
        (1.0, 1.0, 1.0) if mean else None,
    )
