"""The run directory: everything that using a trained model needs, on another machine, offline.

    model.safetensors    the head
    encoder.safetensors  the encoder, with what rebuilds it; a hard link into the cache's store of encoders
    config.yaml          the resolved configuration
    labels.json          label names in label order, training counts, thresholds
    preprocess.json      the transform in front of the encoder
    metrics.json         validation scores with their protocol
    log.csv              one row per epoch
    versions.json        of labelbeam and what it ran on

Nothing is unpickled. `labels.json` is written last: a folder without it is an unfinished run.
"""

import json
import platform
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from labelbeam.data.cache_folder import cache_folder
from labelbeam.data.whole_file import written_whole
from labelbeam.encoders.image_encoder import ImageEncoder, rebuild_encoder, save_encoder
from labelbeam.encoders.weights import read_weights
from labelbeam.errors import InputError
from labelbeam.joints.build import Head, build_head
from labelbeam.joints.config import RunConfig, read_yaml, write_yaml
from labelbeam.joints.plain_values import from_plain
from labelbeam.labels.vocabulary import Vocabulary

PARTS = ("model.safetensors", "encoder.safetensors", "config.yaml", "labels.json")
"""What loading a run needs."""


@dataclass(frozen=True)
class Run:
    """A trained model in memory.

    Attributes:
        config: the resolved configuration it was trained with.
        vocabulary: label names in label order.
        counts: training images that have each label.
        encoder: pixels to features.
        head: features to answers.
    """

    config: RunConfig
    vocabulary: Vocabulary
    counts: tuple[int, ...]
    encoder: ImageEncoder
    head: Head


def save_run(run: Run, folder: Path, *, metrics: Mapping[str, Any], opening: Sequence[str]) -> None:
    """Write a run into a folder; its files appear whole, and all of them or none.

    Args:
        run: what to write.
        folder: the run directory; it exists.
        metrics: validation scores with their protocol, plain values.
        opening: comment lines for the top of config.yaml.

    Raises:
        InputError: the folder cannot be written or its disk is full.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in run.head.state_dict().items()}
    labels = {
        "names": list(run.vocabulary.names),
        "counts": list(run.counts),
        "order": run.config.order,
        "thresholds": None,
    }
    texts = {
        "labels.json": _json(labels),
        "config.yaml": write_yaml(run.config, opening=opening),
        "preprocess.json": _json(run.encoder.preprocess.to_dict()),
        "metrics.json": _json(metrics),
        "versions.json": _json(versions()),
    }
    try:
        # All is written before anything is replaced (the first last), so that a full disk leaves an older
        # run in the folder as it was.
        with ExitStack() as replaced:
            for name, text in texts.items():
                text_part = replaced.enter_context(written_whole(folder / name))
                text_part.write_text(text, encoding="utf-8")
            encoder_part = replaced.enter_context(written_whole(folder / "encoder.safetensors"))
            _save_encoder(run.encoder, encoder_part)
            part = replaced.enter_context(written_whole(folder / "model.safetensors"))
            save_file(state, part, metadata={"head": run.config.head})
            # safetensors makes files that nobody else may read; a run is read by services and colleagues.
            for file in (part, encoder_part):
                file.chmod(text_part.stat().st_mode)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{folder} cannot be written ({_first_line(error)}). Make room there, or choose another --out."
        ) from error


def _save_encoder(encoder: ImageEncoder, path: Path) -> None:
    """Write the encoder as a link into the cache, which saves space; without a cache, as a file of its own."""
    try:
        save_encoder(encoder, path, store=cache_folder() / "encoders")
    except (InputError, SafetensorError):
        save_encoder(encoder, path)


def load_run(folder: Path) -> Run:
    """Load a run directory.

    Raises:
        InputError: no such folder, files missing, damaged, or not fitting together.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder} is not a run directory: there is no such folder. Train one: labelbeam train."
        )
    if missing := [name for name in PARTS if not (folder / name).is_file()]:
        raise InputError(
            f"{folder} is not a finished run: {', '.join(missing)} missing. Give the --out folder of a "
            "finished `labelbeam train`, or finish it with --resume."
        )
    config_file = folder / "config.yaml"
    try:
        config = from_plain(RunConfig, read_yaml(config_file), source=str(config_file))
    except InputError as error:
        raise InputError(f"{config_file} is damaged or of another version: {error}") from error
    labels = _read_json(folder / "labels.json")
    try:
        vocabulary, counts = Vocabulary(tuple(labels["names"])), tuple(int(n) for n in labels["counts"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / 'labels.json'} needs 'names' and 'counts' ({error}).") from error
    if len(counts) != len(vocabulary):
        raise InputError(
            f"{folder / 'labels.json'} has {len(vocabulary)} names and {len(counts)} counts; they must be as many."
        )
    encoder = _load_encoder(folder / "encoder.safetensors")
    path = folder / "model.safetensors"
    try:
        state = load_file(path)
        head = build_head(config, num_labels=len(vocabulary), feature_size=encoder.num_features)
        head.load_state_dict(state)
    except (SafetensorError, RuntimeError) as error:
        raise InputError(
            f"{path} does not fit its config.yaml and labels.json: {_first_line(error)}"
        ) from error
    return Run(config, vocabulary, counts, encoder, head.eval())


def _load_encoder(path: Path) -> ImageEncoder:
    """Build the run's encoder; a run is used offline, so what it says may name no other place."""
    weights = read_weights(path)
    try:
        if weights.encoder is None:
            raise InputError("labelbeam did not write it.")
        model = weights.encoder["arguments"].get("model", "")
        if not re.fullmatch(r"\w*", model):
            raise InputError(f"{model!r} is no model's name.")
        return rebuild_encoder(weights.encoder, weights.tensors, source=path.name)
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        kind = "" if isinstance(error, InputError) else type(error).__name__ + ": "
        raise InputError(
            f"{path} is no encoder of a run: {kind}{_first_line(error)} Copy the run again, or train it anew."
        ) from error


def versions() -> dict[str, str]:
    """Return the versions that a number depends on."""
    packages = ("labelbeam", "torch", "numpy", "pillow", "safetensors", "accelerate")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": str(torch.get_num_threads()),
    }


def _json(values: object) -> str:
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is not readable JSON ({_first_line(error)}).") from error


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
