"""The run directory: everything that using a trained model needs, on another machine, offline.

    model.safetensors    the head
    encoder.safetensors  the encoder, with what rebuilds it; a hard link into the cache's store of encoders
    config.yaml          the resolved configuration
    labels.json          label names in label order, training counts
    preprocess.json      the transform in front of the encoder
    metrics.json         validation scores with their protocol
    log.csv              one row per epoch
    calibration.json     what validation images taught: score maps, thresholds, how odd an image may be
    suggester.safetensors, suggester.json
                         of label models: a second mechanism for suggestions, and which of the two is better
    versions.json        of labelbeam and what it ran on

Nothing is unpickled. `labels.json` is written last: a folder without it is an unfinished run.
"""

import hashlib
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

from labelbeam.answers.run_calibration import RunCalibration
from labelbeam.data.cache_folder import cache_folder
from labelbeam.data.whole_file import written_whole
from labelbeam.encoders.image_encoder import ImageEncoder, rebuild_encoder, save_encoder
from labelbeam.encoders.weights import read_weights
from labelbeam.errors import InputError
from labelbeam.joints.build import Head, build_head
from labelbeam.joints.config import RunConfig, read_yaml, write_yaml
from labelbeam.joints.plain_values import from_plain
from labelbeam.joints.suggester import Suggester, suggester_config
from labelbeam.labels.vocabulary import Vocabulary

PARTS = ("model.safetensors", "encoder.safetensors", "config.yaml", "labels.json")
"""What loading a run needs."""

OPTIONAL = frozenset({"calibration.json", "suggester.json", "suggester.safetensors"})
"""What only some runs have."""


@dataclass(frozen=True)
class Run:
    """A trained model in memory.

    Attributes:
        config: the resolved configuration it was trained with.
        vocabulary: label names in label order.
        counts: training images that have each label.
        encoder: pixels to features.
        head: features to answers.
        suggester: a label model's second mechanism for suggestions, where it was trained.
        calibration: what validation images taught, where there were any.
    """

    config: RunConfig
    vocabulary: Vocabulary
    counts: tuple[int, ...]
    encoder: ImageEncoder
    head: Head
    suggester: Suggester | None = None
    calibration: RunCalibration | None = None


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
    labels = {
        "names": list(run.vocabulary.names),
        "counts": list(run.counts),
        "order": run.config.order,
    }
    texts = {
        "labels.json": _json(labels),
        "config.yaml": write_yaml(run.config, opening=opening),
        "preprocess.json": _json(run.encoder.preprocess.to_dict()),
        "metrics.json": _json(metrics),
        "versions.json": _json(versions()),
    }
    if run.calibration is not None:
        texts["calibration.json"] = _json(run.calibration.to_json())
    heads = {"model.safetensors": run.head}
    if run.suggester is not None:
        heads["suggester.safetensors"] = run.suggester.head
        measured = {name: getattr(run.suggester, name) for name in ("better", "log_loss", "images", "seed")}
        texts["suggester.json"] = _json(measured)
    try:
        # All is written before anything is replaced (the first last), so that a full disk leaves an older
        # run in the folder as it was.
        with ExitStack() as replaced:
            for name, text in texts.items():
                text_part = replaced.enter_context(written_whole(folder / name))
                text_part.write_text(text, encoding="utf-8")
            encoder_part = replaced.enter_context(written_whole(folder / "encoder.safetensors"))
            _save_encoder(run.encoder, encoder_part)
            parts = [encoder_part]
            for name, head in heads.items():
                parts.append(replaced.enter_context(written_whole(folder / name)))
                state = {key: tensor.detach().cpu().contiguous() for key, tensor in head.state_dict().items()}
                save_file(state, parts[-1], metadata={"head": run.config.head})
            # safetensors makes files that nobody else may read; a run is read by services and colleagues.
            for file in parts:
                file.chmod(text_part.stat().st_mode)
            for name in OPTIONAL - set(texts) - set(heads):  # of an older run in the same folder
                (folder / name).unlink(missing_ok=True)
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
    head = _load_head(folder / "model.safetensors", config, len(vocabulary), encoder.num_features)
    suggester = None
    if (folder / "suggester.json").is_file():
        suggester = _load_suggester(folder, config, len(vocabulary), encoder.num_features)
    calibration = None
    if (file := folder / "calibration.json").is_file():
        try:
            calibration = RunCalibration.from_json(
                _read_json(file), num_labels=len(vocabulary), num_features=encoder.num_features
            )
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
    return Run(config, vocabulary, counts, encoder, head, suggester, calibration)


def _load_head(path: Path, config: RunConfig, num_labels: int, feature_size: int) -> Head:
    try:
        state = load_file(path)
        head = build_head(config, num_labels=num_labels, feature_size=feature_size)
        head.load_state_dict(state)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InputError(
            f"{path} does not fit its config.yaml and labels.json: {_first_line(error)}"
        ) from error
    return head.eval()


def _load_suggester(folder: Path, config: RunConfig, num_labels: int, feature_size: int) -> Suggester:
    head = _load_head(folder / "suggester.safetensors", suggester_config(config), num_labels, feature_size)
    told, file = _read_json(folder / "suggester.json"), folder / "suggester.json"
    try:
        return Suggester(head, told["better"], told["log_loss"], told["images"], told["seed"])  # type: ignore[arg-type]
    except (KeyError, TypeError, InputError) as error:
        raise InputError(f"{file} is damaged: {_first_line(error)}. Train the run again.") from error


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


def fingerprint(folder: Path) -> str:
    """Return a text that is another one when anything that decides a run's answers is another."""
    digest = hashlib.sha256()
    for name in (*PARTS, *sorted(OPTIONAL)):
        if name != "encoder.safetensors" and (folder / name).is_file():
            digest.update(name.encode() + (folder / name).read_bytes())
    encoder = folder / "encoder.safetensors"
    digest.update(str(encoder.stat().st_size).encode() if encoder.is_file() else b"")
    return digest.hexdigest()[:16]


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
