"""The functions behind the front door: data sets, training, loading, evaluating and scoring in plain Python values.

`labelbeam` exports them; each puts together what the command of the same name does, without files in between.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats import registry as spec
from labelbeam.labels.rules import Rules, as_rules
from labelbeam.metrics.comparison import Protocol, Sets, compare
from labelbeam.metrics.evaluation import Scores
from labelbeam.metrics.evaluation import evaluate as measured
from labelbeam.metrics.file_comparison import choose_protocol, compare_files
from labelbeam.metrics.prediction_file import read_predictions, read_truth
from labelbeam.predict.decision import Decision
from labelbeam.predict.decoder import as_array
from labelbeam.runs.choices import reading_of
from labelbeam.runs.run_directory import Run, load_run

if TYPE_CHECKING:
    from labelbeam.encoders.encoder import EncoderConfig
    from labelbeam.runs.config import RunConfig
    from labelbeam.runs.tagger import Tagger

SCORED_AS = ("exact-k", "threshold", "sets")
"""Protocols that `evaluate` and `score` know: `ExactK`, `Threshold`, `Sets`."""


def open_dataset(name: str, **reading: Any) -> Dataset:
    """Open labelled images.

    Args:
        name: `FORMAT:PATH#SPLIT`, such as `csv:tags.csv#train`.
        reading: how they are read, by the names that `labelbeam train --help` gives, such as `missing="skip"`.

    Returns:
        Images with labels present, absent and unknown; `notes` say what was understood and what looked odd.

    Raises:
        InputError: an unknown format or option, a missing file or folder, an unknown split, or whatever the reader
            finds wrong.
    """
    if not isinstance(name, str):
        raise InputError(
            f"a data set is named FORMAT:PATH#SPLIT, such as csv:tags.csv#train; given {name!r:.60}."
        )
    names = [one.name for one in fields(ReadOptions)]
    for option in reading:
        if option not in names:
            raise unknown_name("option of reading", option, names)
    return spec.open_dataset(name, options=ReadOptions(**reading))


def train(
    data: Dataset | str,
    validation: Dataset | str | None = None,
    *,
    encoder: "str | EncoderConfig | None" = None,
    weights: str | Path | None = None,
    head: str = "cnn-rnn",
    recipe: str = "default",
    finetune: bool = False,
    tune: int | None = None,
    seed: int = 0,
    settings: Mapping[str, Any] | Sequence[str] = (),
    report: Callable[[str], None] = lambda line: None,
) -> Run:
    """Train a tagger on labelled images; nothing is written but the cache of features.

    Args:
        data: training images, or their name for `open_dataset`.
        validation: images that stop the training and calibrate; None: a share of `data` is held out.
        encoder: the image encoder, by the name that `labelbeam train --encoder` takes, such as `dinov2`.
        weights: the encoder's weights, a `.safetensors` or `.pth` file.
        head: `cnn-rnn`, `sigmoid` or another that `labelbeam train --help` names.
        recipe: `default` or `paper`.
        finetune: train the encoder too, end to end.
        tune: try so many configurations inside the training part, and train with the best.
        seed: decides every random number.
        settings: differences from the recipe, `{"recipe.epochs": 20}` or `["recipe.epochs=20"]`, as `--set` takes them.
        report: called with each line that a person may want to read, such as `print`.

    Returns:
        The run: `run.tag(images)`, `run.save(folder)`, `run.metrics` on the validation images.

    Raises:
        InputError: anything wrong with the data, the encoder or the options; an option that the head cannot use.
    """
    from labelbeam.runs.config import configure, refuse_unused
    from labelbeam.training.train import train_run

    texts = _texts(settings)
    options: dict[str, Any] = {"seed": seed}
    if encoder is not None or weights is not None:
        options["encoder"] = _encoder_options(encoder, weights)
    if finetune:
        options["train_encoder"] = True
    images = _opened(data)
    if "missing_tags" in images.protocol:
        options["read"] = {"missing_tags": images.protocol["missing_tags"]}
    held_out = None if validation is None else _opened(validation)
    options |= {"data": images.spec} | ({} if held_out is None else {"validation": held_out.spec})

    def configured(by_data: Mapping[str, Any] | None = None) -> "RunConfig":
        return configure(head=head, recipe=recipe, settings=texts, options=options, by_data=by_data)

    config = configured()
    refuse_unused(config.head, settings=texts, options=options)
    with TemporaryDirectory() as folder:
        return train_run(
            config,
            Path(folder),
            configured=configured if recipe == "default" else None,
            tune=tune,
            report=report,
            datasets=(images, held_out),
            keep=False,
        ).run


def load(folder: str | Path, *, rules: Rules | str | Path | Iterable[str] | None = None) -> Run:
    """Load a trained or exported run.

    Args:
        folder: what `run.save`, `labelbeam train --out` or `labelbeam export --out` wrote.
        rules: what every label set must keep (docs/rules.md), their file or lines; None: what the run holds, mostly
            nothing.

    Returns:
        The run: `run.tag(images)` tags, `run.suggest(image, accepted)` suggests.

    Raises:
        InputError: the folder is not a finished run, or its files do not fit together; rules that cannot be read or
            contradict each other.
    """
    if not isinstance(folder, str | Path):
        raise InputError(f"a run is the path of its folder, given {folder!r:.60}.")
    run = load_run(Path(folder))
    return run if rules is None else replace(run, rules=as_rules(rules, run.vocabulary))


def evaluate(
    run: "Run | Tagger | str | Path", data: Dataset | str, protocol: Protocol | None = None
) -> Scores:
    """Judge a run on labelled images.

    Args:
        run: the run, its tagger or its folder.
        data: labelled images, or their name for `open_dataset`; one that is opened here is read as the run's training
            data were.
        protocol: `ExactK(k)`, `Threshold(t)`, or `Sets()`: as the run decides; None: the last.

    Returns:
        Every score by name (`scores["OF1"]`), by label (`per_class`), and the protocol that they were made under.

    Raises:
        InputError: not a run, data without any of its labels, or a protocol that is not for runs.
    """
    from labelbeam.features.extract import readable_features
    from labelbeam.runs.evaluation import evaluate_features
    from labelbeam.runs.tagger import Tagger

    tagger = run if isinstance(run, Tagger) else (run if isinstance(run, Run) else load(run)).tagger
    if isinstance(data, Dataset):
        dataset = data
    else:
        dataset = spec.open_dataset(data, options=reading_of(tagger.run.config.read, data, {}))
    decision = _decision(protocol, tagger.run.config.decision)
    dataset, features, notes = readable_features(dataset, tagger.run.encoder, flips=False)
    found = evaluate_features(tagger, dataset, features[:, 0], notes=(*dataset.notes, *notes))
    return measured(found.comparison(decision, k=None if protocol is None else protocol.k))


def score(
    truth: Any, predictions: Any, protocol: Protocol | None = None, *, labels: Sequence[str] | None = None
) -> Scores:
    """Score anybody's predictions: arrays or tensors, or two files of JSON Lines.

    Args:
        truth: [images labels], 1 present, 0 absent, -1 unknown; a `Dataset`; or a file as `labelbeam score` reads it.
        predictions: scores [images labels], higher is better; sets, as booleans; or a file.
        protocol: `ExactK(k)`, `Threshold(t)` or `Sets()`. None: booleans and files of sets are taken as sets; scores
            are ranked only, and P, R and F1 are None, with the reason.
        labels: names of the columns; None: those of the `Dataset`, else their numbers.

    Returns:
        Every score by name (`scores["OF1"]`), by label (`per_class`), and the protocol that they were made under.

    Raises:
        InputError: shapes that do not fit, values that are no truth or no score, or a protocol whose material is
            missing.

    Example:
        >>> from labelbeam.metrics.comparison import ExactK
        >>> score([[1, 0], [0, 1]], [[0.9, 0.1], [0.8, 0.7]], ExactK(1))["OF1"]
        0.5
    """
    if protocol is not None and not isinstance(protocol, Protocol):
        raise InputError(f"a protocol is ExactK(k), Threshold(t) or Sets(), given {protocol!r:.60}.")
    files = [isinstance(one, str | Path) for one in (truth, predictions)]
    if any(files):
        if not all(files):
            raise InputError("give truth and predictions both as arrays, or both as files of JSON Lines.")
        return _score_files(Path(truth), Path(predictions), protocol)
    if isinstance(truth, Dataset):
        labels, truth = labels or truth.vocabulary.names, truth.targets
    targets, predicted = _truth(truth), as_array(predictions)
    width = len(str(max(targets.shape[1] - 1, 0)))
    names = labels if labels is not None else [f"{column:0{width}}" for column in range(targets.shape[1])]
    sets = predicted.dtype == np.bool_
    if protocol is None:
        if not sets and predicted.dtype.kind in "iu":
            raise InputError(
                "predictions of whole numbers may be sets or scores. Give booleans for sets, floats for scores, or say "
                "which: Sets(), ExactK(k), Threshold(t)."
            )
        protocol = Sets() if sets else Protocol("none")
    if predicted.dtype.kind not in "biuf":
        raise InputError(f"predictions must be numbers or booleans [images labels], given {predicted.dtype}.")
    if predicted.shape != targets.shape:
        raise InputError(
            f"the predictions have shape {list(predicted.shape)}, the truth {list(targets.shape)}; give one row per "
            "image and one column per label."
        )
    if protocol.name in ("sets", "path-k"):
        if not np.isin(predicted, (0, 1)).all():
            raise InputError(
                "sets are booleans, or 0 and 1; other numbers were given. Give ExactK(k) or Threshold(t)."
            )
        return measured(compare(targets, names, protocol=protocol, decisions=predicted.astype(np.bool_)))
    if sets:
        raise InputError(
            f"the protocol {protocol.name!r} needs scores, and booleans are sets. Give Sets(), or the scores."
        )
    return measured(compare(targets, names, protocol=protocol, scores=predicted.astype(np.float64)))


def _decision(protocol: Protocol | None, own: Decision) -> Decision:
    """Return how a run decides under a protocol.

    Raises:
        InputError: not one of `SCORED_AS`.
    """
    if protocol is None:
        return own
    if not isinstance(protocol, Protocol) or protocol.name not in SCORED_AS:
        raise InputError(f"a run is judged under ExactK(k), Threshold(t) or Sets(), given {protocol!r:.60}.")
    return (
        own if protocol.threshold is None else Decision("threshold", protocol.threshold, abstain=own.abstain)
    )


def _opened(data: Dataset | str) -> Dataset:
    return data if isinstance(data, Dataset) else open_dataset(data)


def _texts(settings: Mapping[str, Any] | Sequence[str]) -> list[str]:
    """Return settings as `--set` takes them."""
    import json

    if isinstance(settings, str):
        return [settings]
    if not isinstance(settings, Mapping):
        return list(settings)
    return [f"{key}={json.dumps(value)}" for key, value in settings.items()]


def _encoder_options(encoder: "str | EncoderConfig | None", weights: str | Path | None) -> dict[str, Any]:
    """Return what is asked of the encoder as differences from the defaults."""
    from labelbeam.encoders.encoder import EncoderConfig

    if isinstance(encoder, EncoderConfig):
        default = EncoderConfig()
        options = {
            one.name: getattr(encoder, one.name)
            for one in fields(encoder)
            if getattr(encoder, one.name) != getattr(default, one.name)
        }
        options["name"] = encoder.name
    else:
        options = {} if encoder is None else {"name": encoder}
    if weights is not None:
        options["weights"] = weights
    return {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}


def _truth(values: Any) -> np.ndarray:
    truth = as_array(values)
    if truth.dtype.kind not in "biuf" or not np.isin(truth, (-1, 0, 1)).all():
        raise InputError("the truth must be 1 (present), 0 (absent) or -1 (unknown), [images labels].")
    return truth.astype(np.int8)


def _score_files(truth: Path, predictions: Path, protocol: Protocol | None) -> Scores:
    if protocol is not None and protocol.name not in SCORED_AS:
        raise unknown_name("protocol", protocol.name, SCORED_AS)
    true = read_truth(truth)
    k, threshold = (None, None) if protocol is None else (protocol.k, protocol.threshold)
    found = read_predictions(predictions, true, missing="error", depth=max(10, k or 0), threshold=threshold)
    chosen = choose_protocol(
        found, k=k, threshold=threshold, sets=protocol is not None and protocol.name == "sets"
    )
    return measured(compare_files(true, found, protocol=chosen))
