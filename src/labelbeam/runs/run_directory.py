"""The run directory: everything that using a trained model needs, on another machine, offline."""

import csv
import hashlib
import io
import json
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from labelbeam.encoders.encoder import Encoder, GivenFeatures
from labelbeam.encoders.graph_encoder import EXPORT, exported_encoder
from labelbeam.errors import InputError, unknown_name
from labelbeam.files import cache_folder, written_whole
from labelbeam.heads.label_scores import TrainedAnySubset
from labelbeam.heads.options import LocalOptions, SigmoidOptions
from labelbeam.heads.registry import HEADS
from labelbeam.labels.names import refuse_reserved
from labelbeam.labels.rules import Rules, read_rules
from labelbeam.labels.vocabulary import Vocabulary
from labelbeam.parsing import LARGEST_JSON, parse_json, read_regular
from labelbeam.predict.calibration import RunCalibration
from labelbeam.predict.promises import Promises
from labelbeam.runs.build import Head, stored_head
from labelbeam.runs.config import RunConfig, from_plain, read_yaml, write_yaml
from labelbeam.suggest import ANY_SUBSET, LIKELIHOOD_WEIGHTING

if TYPE_CHECKING:
    from labelbeam.predict.prediction import Prediction
    from labelbeam.runs.suggestions import Suggestions
    from labelbeam.runs.tagger import Tagger

# A label model's second opinion for suggestions: an any-subset head, and which of the two is better.
#
# What the run keeps of `training.suggester`, which trains the head and compares the two.


@dataclass(frozen=True)
class Suggester:
    """The second opinion and what was measured.

    Attributes:
        head: given some labels, it predicts the others.
        better: the mechanism with the lower log-loss, which `suggest` asks.
        log_loss: mechanism -> labels accepted ("0", "1", "2") -> nats per image of the other labels.
        images: held-out images that were asked about.
        seed: of the labels that were given.

    Raises:
        InputError: a mechanism of another name.
    """

    head: TrainedAnySubset
    better: str
    log_loss: Mapping[str, Mapping[str, float]]
    images: int
    seed: int

    def __post_init__(self) -> None:
        if self.better not in (LIKELIHOOD_WEIGHTING, ANY_SUBSET):
            raise unknown_name("mechanism", self.better, (LIKELIHOOD_WEIGHTING, ANY_SUBSET))


def suggester_config(config: RunConfig) -> RunConfig:
    """Return the configuration of the any-subset head beside a label model: same data, same recipe."""
    sigmoid, differences = config.sigmoid, HEADS[ANY_SUBSET].differences
    if not sigmoid.hidden_size:
        sigmoid = replace(SigmoidOptions(**differences["sigmoid"]), feature_dropout=sigmoid.feature_dropout)
    encoder = replace(config.encoder, grid=0, tiles=1)
    return replace(config, head=ANY_SUBSET, sigmoid=sigmoid, encoder=encoder, local=LocalOptions())


# The run directory: everything that using a trained model needs, on another machine, offline.
#
#     model.safetensors    the head
#     encoder.safetensors  the encoder, with what rebuilds it; a hard link into the cache's store of encoders
#     features.json        in place of it, of runs trained on vectors: how many features there are, and what
#   they are
#     config.yaml          the resolved configuration
#     labels.json          label names in label order, training counts, the other files that answers depend on
#     preprocess.json      the transform in front of the encoder
#     metrics.json         validation scores with their protocol
#     log.csv              one row per epoch
#     promises.safetensors what was predicted for calibration images, and their truth: what can be promised
#     calibration.json     what validation images taught: score maps, thresholds, how odd an image may be
#     rules.txt            rules that every answer keeps, where an export was given some
#     suggester.safetensors, suggester.json
#                          of label models: a second mechanism for suggestions, and which of the two is better
#     versions.json        of labelbeam and what it ran on
#
# A run that `labelbeam export` wrote has another form of the encoder in the place of encoder.safetensors
# (`encoders.graph_encoder`), and needs no PyTorch.
#
# Nothing is unpickled. `labels.json` is written last: a folder without it is an unfinished run.

ENCODER, FEATURES = "encoder.safetensors", "features.json"
"""A run has one of them."""
LOG = "log.csv"

MOST_LABELS = 1_000_000
"""Labels of a run: more than any data set has."""

PARTS = ("model.safetensors", "config.yaml", "labels.json")
"""What loading a run needs, beside an encoder."""

PROMISES, RULES = "promises.safetensors", "rules.txt"

OF_PEOPLE = frozenset({"labels.json", "metrics.json", LOG, "versions.json", "preprocess.json"})
"""What no answer depends on; and labels.json, which holds the list of all others."""

OPTIONAL = frozenset(
    {RULES, FEATURES, PROMISES, "calibration.json", "suggester.json", "suggester.safetensors"}
)
"""What only some runs have."""


@dataclass(frozen=True, repr=False, eq=False)
class Run:
    """A trained model in memory: what `labelbeam.train` and `labelbeam.load` give.

    Attributes:
        config: the resolved configuration it was trained with.
        vocabulary: label names in label order.
        counts: training images that have each label.
        encoder: pixels to features.
        head: features to answers.
        suggester: a label model's second mechanism for suggestions, where it was trained.
        calibration: what validation images taught, where there were any.
        metrics: validation scores with their protocol, plain values; empty without validation.
        history: a row per epoch of the training, as in `log.csv`.
        rules: what label sets must keep, where there are rules.
        promises: what calibration images prove, where some were kept aside.
        lost: where a file seems to have been lost on the way here, a sentence that says so; else empty.
    """

    config: RunConfig
    vocabulary: Vocabulary
    counts: tuple[int, ...]
    encoder: Encoder
    head: Head
    suggester: Suggester | None = None
    calibration: RunCalibration | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[Mapping[str, int | float]] = ()
    rules: Rules | None = None
    promises: Promises | None = None
    lost: str = ""

    def __repr__(self) -> str:
        return f"Run({self.summary})"

    @property
    def summary(self) -> str:
        """Head, labels, encoder and training data in a line."""
        encoder = self.encoder.config
        name = encoder.get("arguments", {}).get("model") or encoder["architecture"]
        return f"{self.config.head}, {len(self.vocabulary)} labels, encoder {name}, trained on {self.config.data!r}"

    @property
    def labels(self) -> tuple[str, ...]:
        """The label names, in label order."""
        return self.vocabulary.names

    @cached_property
    def tagger(self) -> "Tagger":
        """The run's tagger; it keeps what it computed for later calls."""
        from labelbeam.runs.tagger import Tagger

        return Tagger(self)

    def tag(self, images: Any, *, all_scores: bool = False) -> "Iterator[Prediction]":
        """Tag one image or many; see `Tagger.tag`."""
        return self.tagger.tag(images, all_scores=all_scores)

    def suggest(
        self, image: Any, accepted: Iterable[str] = (), rejected: Iterable[str] = (), count: int = 10
    ) -> "Suggestions":
        """Suggest labels for one image, given what a person accepted and rejected; see `Tagger.suggest`."""
        return self.tagger.suggest(image, accepted, rejected, count)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the run into a folder: all that tagging needs, on another machine, offline.

        Args:
            folder: made where it is not there; its files appear whole, and all of them or none.
            overwrite: replace the run that is there.

        Raises:
            InputError: the folder holds a run and `overwrite` is not set, or something else; it cannot be written; or
                the run was exported.
        """
        target = Path(folder)
        if (target / "labels.json").exists():
            if not overwrite:
                raise InputError(f"{target} holds a run. Choose another folder, or give overwrite=True.")
        elif target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise InputError(f"{target} exists and is not a run of labelbeam. Choose another folder.")
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"the folder {target} cannot be made ({error.strerror}). Choose another."
            ) from error
        save_run(self, target, opening=("written by Run.save",))
        if self.history:
            write_log(target / LOG, self.history)


def write_log(path: Path, history: Sequence[Mapping[str, int | float]]) -> None:
    """Write the epochs' scores as CSV, replacing the file whole."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    with written_whole(path) as part:
        part.write_text(text.getvalue(), encoding="utf-8")


def save_run(run: Run, folder: Path, *, opening: Sequence[str]) -> None:
    """Write a run into a folder; its files appear whole, and all of them or none.

    Args:
        folder: the run directory; it exists.
        opening: comment lines for the top of config.yaml.

    Raises:
        InputError: the folder cannot be written or its disk is full.
    """
    texts, heads = _texts(run, opening), {"model.safetensors": run.head}
    if run.suggester is not None:
        heads["suggester.safetensors"] = run.suggester.head
    try:
        # All is written before anything is replaced (the first last), so that a full disk leaves an older
        # run in the folder as it was.
        with ExitStack() as replaced:
            text_parts: dict[str, Path] = {}
            for name, text in texts.items():
                text_part = replaced.enter_context(written_whole(folder / name))
                text_part.write_text(text, encoding="utf-8")
                text_parts[name] = text_part
            parts, written = [], dict(text_parts)
            if isinstance(run.encoder, GivenFeatures):
                for name in (ENCODER, "preprocess.json"):  # of an older run in the same folder
                    (folder / name).unlink(missing_ok=True)
            else:
                parts.append(replaced.enter_context(written_whole(folder / ENCODER)))
                _save_encoder(run.encoder, parts[0])
                written[ENCODER] = parts[0]
            for name, head in heads.items():
                parts.append(replaced.enter_context(written_whole(folder / name)))
                save_file(dict(head.arrays), parts[-1], metadata={"head": run.config.head})
                written[name] = parts[-1]
            if run.promises is not None:
                parts.append(replaced.enter_context(written_whole(folder / PROMISES)))
                save_file(run.promises.arrays(), parts[-1], metadata=run.promises.about())
                written[PROMISES] = parts[-1]
            list_files(text_parts["labels.json"], written)
            # safetensors makes files that nobody else may read; a run is read by services and colleagues.
            for file in parts:
                file.chmod(text_part.stat().st_mode)
            kept = {*texts, *heads, *([PROMISES] if run.promises is not None else ())}
            for name in OPTIONAL - kept:  # of an older run in the same folder
                (folder / name).unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{folder} cannot be written ({_first_line(error)}). Make room there, or choose another --out."
        ) from error


def list_files(labels: Path, files: Mapping[str, Path]) -> None:
    """Write into labels.json which files the answers of a run depend on, with their hashes.

    Args:
        files: those of the run by name, and where they are; what only people read is passed over.
    """
    stored = _read_json(labels)
    stored["files"] = {
        name: _hash(path) for name, path in sorted(files.items()) if name not in OF_PEOPLE and name[0] != "."
    }
    labels.write_text(_json(stored), encoding="utf-8")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _listed(labels: Path) -> list[str]:
    """Return the files that a run had when it was written; none where it is older than the list."""
    stored = _read_json(labels).get("files", {})
    plain = isinstance(stored, dict) and all(re.fullmatch(r"[\w.-]+", name) for name in stored)
    return sorted(stored) if plain else []


def _refuse_incomplete(folder: Path) -> None:
    """Refuse a copy of a run that lost a file on its way.

    Raises:
        InputError: a file is missing that the run had.
    """
    if lost := [name for name in _listed(folder / "labels.json") if not (folder / name).is_file()]:
        raise InputError(
            f"{folder} is not whole: {', '.join(lost)} missing, which it was written with: it would answer otherwise. "
            'Copy the whole folder; or, to go without, take the name out of "files" in labels.json.'
        )


def _texts(run: Run, opening: Sequence[str]) -> dict[str, str]:
    """Return the text files of a run by name, labels.json first: it is put in place last."""
    labels = {
        "names": list(run.vocabulary.names),
        "counts": list(run.counts),
        "order": run.config.order,
    }
    texts = {
        "labels.json": _json(labels),
        "config.yaml": write_yaml(run.config, opening=opening),
        "metrics.json": _json(dict(run.metrics)),
        "versions.json": _json(versions()),
    }
    if isinstance(run.encoder, GivenFeatures):
        texts[FEATURES] = _json(run.encoder.config)
    else:
        texts["preprocess.json"] = _json(run.encoder.preprocess.to_dict())
    if run.calibration is not None:
        texts["calibration.json"] = _json(run.calibration.to_json())
    if run.rules is not None:
        texts[RULES] = run.rules.text
    if run.suggester is not None:
        measured = {name: getattr(run.suggester, name) for name in ("better", "log_loss", "images", "seed")}
        texts["suggester.json"] = _json(measured)
    return texts


def _save_encoder(encoder: Encoder, path: Path) -> None:
    """Write the encoder as a link into the cache, which saves space; without a cache, as a file of its own.

    Raises:
        InputError: an exported encoder, which is no torch module.
    """
    from labelbeam.encoders.image_encoder import ImageEncoder, save_encoder

    if not isinstance(encoder, ImageEncoder):
        raise InputError("an exported run cannot be saved as a run again. Export the original once more.")
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
    elsewhere = (folder / EXPORT).is_file() or (folder / FEATURES).is_file()
    parts = PARTS if elsewhere else (PARTS[0], ENCODER, *PARTS[1:])
    if missing := [name for name in parts if not (folder / name).is_file()]:
        raise InputError(
            f"{folder} is not a finished run: {', '.join(missing)} missing. Give the --out folder of a "
            "finished `labelbeam train`, or finish it with --resume."
        )
    config_file = folder / "config.yaml"
    try:
        config = from_plain(RunConfig, read_yaml(config_file), source=str(config_file))
    except InputError as error:
        raise InputError(f"{config_file} is damaged or of another version: {error}") from error
    vocabulary, counts = read_labels(folder / "labels.json")
    _refuse_incomplete(folder)
    if (folder / FEATURES).is_file():
        encoder: Encoder = _given_features(folder / FEATURES)
    else:
        encoder = _load_encoder(folder / ENCODER) if ENCODER in parts else exported_encoder(folder)
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
    metrics = _read_json(folder / "metrics.json") if (folder / "metrics.json").is_file() else {}
    lost = ""
    if calibration is None and config.calibrate and metrics and not _listed(folder / "labels.json"):
        lost = (
            f"{folder} was validated, and no calibration.json is there: if the copy lost it, scores are not calibrated "
            "and tuned thresholds are gone. Copy the whole folder again."
        )
    rules = read_rules(folder / RULES, vocabulary) if (folder / RULES).is_file() else None
    promises = _load_promises(file, len(vocabulary)) if (file := folder / PROMISES).is_file() else None
    return Run(
        config,
        vocabulary,
        counts,
        encoder,
        head,
        suggester,
        calibration,
        metrics,
        _read_log(folder / LOG),
        rules,
        promises,
        lost,
    )


def _read_log(path: Path) -> tuple[dict[str, float], ...]:
    """Return the rows of a training's log; none where there is no such file or it is damaged: nothing depends on it."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return tuple({name: float(cell) for name, cell in row.items()} for row in csv.DictReader(file))
    except (OSError, ValueError, TypeError):
        return ()


def read_labels(file: Path) -> tuple[Vocabulary, tuple[int, ...]]:
    """Return a run's labels and how often each was in its training.

    Raises:
        InputError: the file is damaged, or holds more names than any model has.
    """
    labels = _read_json(file)
    try:
        names, counts = tuple(labels["names"]), tuple(int(n) for n in labels["counts"])
        if len(names) > MOST_LABELS:
            raise ValueError(f"{len(names):,} names; the limit is {MOST_LABELS:,}")
        if strange := [name for name in names if not isinstance(name, str)]:
            raise ValueError(f"a name is {strange[0]!r:.40}")
        refuse_reserved(names, str(file))
        vocabulary = Vocabulary(names)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{file} needs 'names' and 'counts' ({error}).") from error
    if len(counts) != len(vocabulary):
        raise InputError(
            f"{file} has {len(vocabulary)} names and {len(counts)} counts; they must be as many."
        )
    return vocabulary, counts


def _load_promises(path: Path, num_labels: int) -> Promises:
    try:
        with safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
        return Promises.from_arrays(load_file(path), about, num_labels=num_labels)
    except (OSError, SafetensorError, InputError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: {_first_line(error)}") from error


def _load_head(path: Path, config: RunConfig, num_labels: int, feature_size: int) -> Head:
    try:
        return stored_head(load_file(path), config, num_labels=num_labels, num_features=feature_size)
    # A number type that NumPy does not have is one of the last four.
    except (OSError, SafetensorError, InputError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path} does not fit its config.yaml and labels.json: {_first_line(error)}"
        ) from error


def _load_suggester(folder: Path, config: RunConfig, num_labels: int, feature_size: int) -> Suggester:
    head = _load_head(folder / "suggester.safetensors", suggester_config(config), num_labels, feature_size)
    stored, file = _read_json(folder / "suggester.json"), folder / "suggester.json"
    try:
        return Suggester(head, stored["better"], stored["log_loss"], stored["images"], stored["seed"])  # type: ignore[arg-type]
    except (KeyError, TypeError, InputError) as error:
        raise InputError(f"{file} is damaged: {_first_line(error)}. Train the run again.") from error


def _given_features(path: Path) -> GivenFeatures:
    try:
        return GivenFeatures.from_config(_read_json(path))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error!r}). Copy the run again, or train it anew.") from error


def _load_encoder(path: Path) -> Encoder:
    """Build the run's encoder; a run is used offline, so what it says may name no other place."""
    try:
        from labelbeam.encoders.catalogue import rebuild_encoder
        from labelbeam.encoders.weights import read_weights
    except ModuleNotFoundError as error:
        raise InputError(
            f"{path.parent} is a run as it was trained, and its encoder needs PyTorch, which is not installed "
            f"({error.name}): pip install 'labelbeam[torch]'. Or export it where PyTorch is: labelbeam export RUN "
            "--to onnx --out DIR."
        ) from error
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
    for name in (*PARTS, *sorted(OPTIONAL), EXPORT, "encoder.json"):
        if (folder / name).is_file():
            digest.update(name.encode() + (folder / name).read_bytes())
    encoder = folder / ENCODER
    digest.update(str(encoder.stat().st_size).encode() if encoder.is_file() else b"")
    return digest.hexdigest()[:16]


def versions() -> dict[str, str]:
    """Return the versions that a number depends on, of what is installed, and torch's threads where it is used."""
    found = {"python": platform.python_version()}
    for name in (
        "labelbeam",
        "torch",
        "numpy",
        "pillow",
        "safetensors",
        "accelerate",
        "onnxruntime",
        "openvino",
    ):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    found["machine"] = f"{platform.system()} {platform.machine()}"
    if (torch := sys.modules.get("torch")) is not None:
        found["threads"] = str(torch.get_num_threads())
    return found


def _json(values: object) -> str:
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"


def _read_json(path: Path) -> Any:
    try:
        return parse_json(read_regular(path, most_bytes=LARGEST_JSON), "it")
    except InputError as error:
        raise InputError(f"{path} is not readable JSON ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
