"""The answers of a trained row for the test images: everything that any protocol needs, computed once and kept.

One safetensors file per run, which holds a digest of the run and of the test labels; it is written whole, so a killed
reproduction loses at most the run that was answering. Scores are kept in single precision.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from labelbeam.data.dataset import Dataset
from labelbeam.decoding.likelihood import MOST_ORDERED
from labelbeam.errors import InputError
from labelbeam.files import written_whole
from labelbeam.heads.registry import HEADS
from labelbeam.labels.vocabulary import PRESENT
from labelbeam.predict.answers import Answers
from labelbeam.predict.label_model import label_model_answerer
from labelbeam.progress import progress_bar
from labelbeam.runs.choices import calibrated
from labelbeam.runs.run_directory import Run, load_run
from labelbeam.runs.tagger import Tagger

TOGETHER = 2048
"""Images answered for at a time; results do not depend on it."""

BEAM = 10
"""Width of the beam that looks for paths of a given length; the paper does not say its own."""


@dataclass(frozen=True)
class RowAnswers:
    """Answers of one run for the test images, columns as the data have them.

    Attributes:
        scores: as the head gives them, not calibrated: what rankings are made of.
        probabilities: scores calibrated on the validation images.
        path: the most probable sets; None for a ranking, which has none.
        forced: sets of paths forced to exactly k labels; None where paths cannot be forced, or without k.
        capped: sets of paths of at most k labels; None likewise.
        tuned_of1: sets by one threshold, tuned on the validation images for O-F1.
        tuned_sets: sets by thresholds tuned there for whole sets.
        log_likelihood: log p(true set | image), nats; None for a ranking, and for a model without a fixed order where
            an image has too many labels to sum over their orders.
    """

    scores: Float[np.ndarray, "images labels"]
    probabilities: Float[np.ndarray, "images labels"]
    path: Bool[np.ndarray, "images labels"] | None
    forced: Bool[np.ndarray, "images labels"] | None
    capped: Bool[np.ndarray, "images labels"] | None
    tuned_of1: Bool[np.ndarray, "images labels"] | None
    tuned_sets: Bool[np.ndarray, "images labels"] | None
    log_likelihood: Float[np.ndarray, " images"] | None

    def of_rows(self, rows: np.ndarray) -> "RowAnswers":
        """Return the answers for some of the images."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return _from_parts({name: None if part is None else part[rows] for name, part in parts.items()})


def _from_parts(parts: dict[str, Any]) -> RowAnswers:
    """Return answers from their parts by name."""
    return RowAnswers(**parts)


def answers_of(
    folder: Path,
    dataset: Dataset,
    features: Float[np.ndarray, "images features"],
    *,
    k: int | None,
    kept: Path,
    digest: str,
) -> RowAnswers:
    """Answer for the test images with a run, or read its answers from before.

    Args:
        folder: of the run.
        dataset: test images under the main reading of their labels.
        features: one row per image.
        k: labels per image of the paper's protocol.
        kept: the file that the answers are kept in.
        digest: of the run and the test data; a file of another one is replaced.

    Raises:
        InputError: the run cannot be read, or its labels are not those of the test images.
    """
    if (before := _read(kept, digest)) is not None:
        return before
    run = load_run(folder)
    if set(run.vocabulary) != set(dataset.vocabulary):
        only = sorted(set(run.vocabulary) ^ set(dataset.vocabulary))
        raise InputError(
            f"{run.config.data} and {dataset.spec} do not have the same labels ({', '.join(only[:5])} …), so no table "
            "can be made of them. Use splits of one data set."
        )
    found = _ask(run, dataset, features, k=k, task=folder.name)
    kept.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        field.name: np.ascontiguousarray(value)
        for field in fields(found)
        if (value := getattr(found, field.name)) is not None
    }
    with written_whole(kept) as part:
        save_file(tensors, part, metadata={"digest": digest})
    return found


def _read(kept: Path, digest: str) -> RowAnswers | None:
    if not kept.is_file():
        return None
    try:
        with safe_open(kept, framework="numpy") as file:
            if (file.metadata() or {}).get("digest") != digest:
                return None
            there = set(file.keys())
            return _from_parts(
                {
                    field.name: file.get_tensor(field.name) if field.name in there else None
                    for field in fields(RowAnswers)
                }
            )
    except (SafetensorError, OSError):
        return None  # a damaged file costs its making again, nothing else


def _ask(
    run: Run, dataset: Dataset, features: Float[np.ndarray, "images features"], *, k: int | None, task: str
) -> RowAnswers:
    tagger = Tagger(run)
    column = {name: j for j, name in enumerate(run.vocabulary)}
    order = [column[name] for name in dataset.vocabulary]
    targets = dataset.with_vocabulary(run.vocabulary.names).targets
    forced = capped = None
    if k is not None and HEADS[run.config.head].searches:
        beam = replace(run.config.search, method="beam", score="beam", beam_width=BEAM)  # the paper's search
        forced = Tagger(run, search=replace(beam, min_labels=k, max_labels=k))
        capped = Tagger(run, search=replace(beam, max_labels=k))
    has_likelihood = not _too_many_orders(tagger, targets)
    parts: dict[str, list[np.ndarray]] = {field.name: [] for field in fields(RowAnswers)}
    with progress_bar(f"{task}: answering", len(features)) as advance:
        for rows in _blocks(len(features)):
            block = features[rows]
            answers = tagger.answerer.answer(block)
            parts["scores"].append(answers.scores[:, order])
            mapped = _mapped(tagger, answers, block)
            parts["probabilities"].append(mapped.scores[:, order])
            if tagger.calibration is not None:
                for name, objective in (("tuned_of1", "of1"), ("tuned_sets", "subset-accuracy")):
                    tuned = mapped.scores >= tagger.calibration.thresholds.of(objective)
                    parts[name].append(tuned[:, order])
            if not np.isnan(answers.log_probs).all():  # rankings have no probability of a set
                parts["path"].append(answers.path_sets()[:, order])
                if has_likelihood:
                    parts["log_likelihood"].append(tagger.answerer.set_log_prob(block, targets[rows]))
            for name, other in (("forced", forced), ("capped", capped)):
                if other is not None:
                    parts[name].append(other.answerer.answer(block).path_sets()[:, order])
            advance(len(block))
    return _from_parts({name: np.concatenate(part) if part else None for name, part in parts.items()})


def _too_many_orders(tagger: Tagger, targets: np.ndarray) -> bool:
    """Return whether an image has more labels than a model without a label order can sum over."""
    searched = label_model_answerer(tagger.answerer)
    in_any_order = searched is not None and searched.step.allowed == "no-repeat"
    return in_any_order and int((targets == PRESENT).sum(axis=1).max(initial=0)) > MOST_ORDERED


def _mapped(tagger: Tagger, answers: Answers, features: Float[np.ndarray, "images features"]) -> Answers:
    if tagger.calibration is None:
        return answers
    return calibrated(tagger.calibration, answers, tagger.run.head, features)


def _blocks(count: int) -> Iterator[slice]:
    for first in range(0, count, TOGETHER):
        yield slice(first, min(first + TOGETHER, count))
