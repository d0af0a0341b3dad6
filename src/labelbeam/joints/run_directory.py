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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from labelbeam.data.cache_folder import cache_folder
from labelbeam.data.whole_file import written_whole
from labelbeam.encoders.image_encoder import ImageEncoder, load_encoder, save_encoder
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
    """Write a run into a folder; each file appears whole.

    Args:
        run: what to write.
        folder: the run directory; it exists.
        metrics: validation scores with their protocol, plain values.
        opening: comment lines for the top of config.yaml.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in run.head.state_dict().items()}
    with written_whole(folder / "model.safetensors") as part:
        save_file(state, part, metadata={"head": run.config.head})
    save_encoder(run.encoder, folder / "encoder.safetensors", store=cache_folder() / "encoders")
    labels = {
        "names": list(run.vocabulary.names),
        "counts": list(run.counts),
        "order": run.config.order,
        "thresholds": None,
    }
    for name, text in (
        ("config.yaml", write_yaml(run.config, opening=opening)),
        ("preprocess.json", _json(run.encoder.preprocess.to_dict())),
        ("metrics.json", _json(metrics)),
        ("versions.json", _json(versions())),
        ("labels.json", _json(labels)),
    ):
        with written_whole(folder / name) as part:
            part.write_text(text, encoding="utf-8")


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
    config = from_plain(RunConfig, read_yaml(folder / "config.yaml"), source=str(folder / "config.yaml"))
    labels = _read_json(folder / "labels.json")
    try:
        vocabulary, counts = Vocabulary(tuple(labels["names"])), tuple(int(n) for n in labels["counts"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / 'labels.json'} needs 'names' and 'counts' ({error}).") from error
    encoder = load_encoder(folder / "encoder.safetensors")
    head = build_head(config, num_labels=len(vocabulary), feature_size=encoder.num_features)
    path = folder / "model.safetensors"
    try:
        head.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise InputError(
            f"{path} does not fit its config.yaml and labels.json: {_first_line(error)}"
        ) from error
    return Run(config, vocabulary, counts, encoder, head.eval())


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
