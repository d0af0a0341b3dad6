"""What each row scores under each protocol, on the same draws, and where the recurrence earns its place.

A protocol here is a rule that decides sets together with a reading of the true labels; each has a name of its
own, so that no two kinds of number can meet in one column. Reads no file.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from labelbeam.data.dataset import Dataset
from labelbeam.decoding.likelihood import MOST_ORDERED
from labelbeam.errors import InputError
from labelbeam.files import written_whole
from labelbeam.heads.registry import HEADS
from labelbeam.labels.vocabulary import PRESENT, ByLabel, Features, LabelSets, PerImage
from labelbeam.metrics.comparison import Comparison, Protocol, compare
from labelbeam.metrics.evaluation import evaluate
from labelbeam.metrics.intervals import Resampled, resample
from labelbeam.paper.rows import ROWS
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

    scores: ByLabel
    probabilities: ByLabel
    path: LabelSets | None
    forced: LabelSets | None
    capped: LabelSets | None
    tuned_of1: LabelSets | None
    tuned_sets: LabelSets | None
    log_likelihood: PerImage | None

    def of_rows(self, rows: np.ndarray) -> "RowAnswers":
        """Return the answers for some of the images."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return _from_parts({name: None if part is None else part[rows] for name, part in parts.items()})


def _from_parts(parts: dict[str, Any]) -> RowAnswers:
    """Return answers from their parts by name."""
    return RowAnswers(**parts)


def answers_of(
    folder: Path, dataset: Dataset, features: Features, *, k: int | None, kept: Path, digest: str
) -> RowAnswers:
    """Answer for the test images with a run, or read its answers from before.

    Args:
        dataset: test images under the main reading of their labels.
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


def _ask(run: Run, dataset: Dataset, features: Features, *, k: int | None, task: str) -> RowAnswers:
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


def _mapped(tagger: Tagger, answers: Answers, features: Features) -> Answers:
    if tagger.calibration is None:
        return answers
    return calibrated(tagger.calibration, answers, tagger.run.head, features)


def _blocks(count: int) -> Iterator[slice]:
    for first in range(0, count, TOGETHER):
        yield slice(first, min(first + TOGETHER, count))


RANKED = "ranked"
"""Key of the protocol that ranks by score: exactly k labels, or, where the paper has no k, no decision at all."""

TITLES: Mapping[str, str] = {
    RANKED: "ranked by score",
    "path-k": "paths forced to exactly k labels",
    "path-up-to-k": "paths of at most k labels",
    "top-k-and-threshold": 'later papers\' "top-k": among the k best AND at least one half',
    "path": "the most probable set",
    "tuned-sets": "thresholds tuned on validation images for whole sets",
    "tuned-of1": "one threshold tuned on validation images for O-F1",
}
"""Protocols by key; the first is measured under every reading of the truth, the others under the main one."""

LATER_THRESHOLD = 0.5


@dataclass(frozen=True)
class Measured:
    """One row under one protocol.

    Attributes:
        protocol: a key of `TITLES`.
        view: name of the reading of the truth.
        numbers: over seeds and images.
        block: the protocol as `metrics` states it, ceilings included.
        per_class: by label the mean over seeds of support, precision, recall and APs.
    """

    row: str
    protocol: str
    view: str
    numbers: Resampled
    block: Mapping[str, Any]
    per_class: Mapping[str, Mapping[str, float | None]]

    def to_json(self) -> dict[str, Any]:
        """Return every number with its interval, as plain values."""
        numbers: dict[str, Any] = {}
        for name, value in self.numbers.value.items():
            ends = self.numbers.interval(name) if self.numbers.drawn else None
            numbers[name] = {"value": value} | ({} if ends is None else asdict(ends))
            if name in self.numbers.over_seeds:
                numbers[name]["deviation_over_seeds"] = self.numbers.over_seeds[name]
        return numbers


def measure(
    row: str,
    answers: Sequence[RowAnswers],
    dataset: Dataset,
    *,
    view: str,
    main: bool,
    k: int | None,
    resamples: int,
    seed: int,
    of_seeds: int,
) -> list[Measured]:
    """Measure a row under every protocol that it can be judged by.

    Args:
        answers: of its trainings, one per seed.
        main: whether it is the main reading, under which all protocols are measured.
        resamples: draws of the images; 0: no intervals.
        of_seeds: of the draws of training seeds, another for each row.
    """
    by_protocol: dict[str, list[Comparison]] = {}
    for one in answers:
        for name, comparison in _comparisons(one, dataset, k=k, main=main).items():
            by_protocol.setdefault(name, []).append(comparison)
    found = []
    for name, comparisons in by_protocol.items():
        scores = [evaluate(comparison) for comparison in comparisons]
        per_class = {
            label: {
                key: _mean([getattr(one.per_class[label], key) for one in scores])
                for key in ("support", "precision", "recall", "ap_area", "ap_voc10", "ap_voc11")
            }
            for label in (dataset.vocabulary if name == RANKED else ())
        }
        numbers = resample(comparisons, resamples=resamples, seed=seed, of_seeds=of_seeds)
        found.append(Measured(row, name, view, numbers, scores[0].protocol, per_class))
    return found


def _mean(values: Sequence[float | int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _comparisons(
    answers: RowAnswers, dataset: Dataset, *, k: int | None, main: bool
) -> dict[str, Comparison]:
    """Return answers beside the truth, by protocol."""
    truth, names = dataset.targets, dataset.vocabulary.names
    scores = answers.scores.astype(np.float64)
    ranked = Protocol("none") if k is None else Protocol("exact-k", k=k)
    found = {RANKED: compare(truth, names, protocol=ranked, scores=scores)}
    if not main:
        return found
    if k is not None:
        later = Protocol("top-k-and-threshold", k=k, threshold=LATER_THRESHOLD)
        found["top-k-and-threshold"] = _without_ranking(
            compare(truth, names, protocol=later, scores=answers.probabilities.astype(np.float64))
        )
    rules = (
        ("path-k", answers.forced, None if k is None else Protocol("path-k", k=k)),
        ("path-up-to-k", answers.capped, Protocol("sets", decided_by=f"paths of at most {k} labels")),
        ("path", answers.path, Protocol("sets", decided_by="path")),
        (
            "tuned-sets",
            answers.tuned_sets,
            Protocol("sets", decided_by="threshold tuned for subset-accuracy"),
        ),
        ("tuned-of1", answers.tuned_of1, Protocol("sets", decided_by="threshold tuned for of1")),
    )
    for name, decisions, protocol in rules:
        if decisions is not None and protocol is not None:
            likelihood = answers.log_likelihood if name == "path" else None
            found[name] = compare(
                truth, names, protocol=protocol, decisions=decisions, log_likelihood=likelihood
            )
    return found


def _without_ranking(comparison: Comparison) -> Comparison:
    """Leave out what the ranking protocol says already, which is most of the work of a draw."""
    return Comparison(
        comparison.names,
        comparison.truth,
        Protocol("top-k-and-threshold", k=comparison.protocol.k, threshold=comparison.protocol.threshold),
        comparison.decisions,
        comparison.outside,
        reasons={"ranking": "see the ranking protocol.", "scores": "see the ranking protocol."},
    )


# Compares CNN-RNN with every other row on the same draws of the same images. A sentence says "helps" or "costs" only
# where the interval of the difference leaves zero out. Writes sentences; measures nothing itself.

OURS, WITHOUT, FREE = "cnn-rnn", "no-rnn", "no-repeat"

JUDGED: tuple[tuple[str, str, str], ...] = (
    (RANKED, "mAP_area", "mAP"),
    (RANKED, "OF1", "O-F1 of exactly k labels"),
    (RANKED, "CF1", "C-F1 of exactly k labels"),
    (RANKED, "MAP@10", "MAP@10"),
    ("path", "subset_accuracy", "sets exactly right, the most probable set"),
    ("path", "OF1", "O-F1 of the most probable set"),
    ("path", "log_likelihood", "log-likelihood of the true set"),
    ("tuned-sets", "subset_accuracy", "sets exactly right at tuned thresholds"),
    ("tuned-of1", "OF1", "O-F1 at a tuned threshold"),
)
"""Protocol, number, and words for it."""


@dataclass(frozen=True)
class Difference:
    """One row minus another, in `verdicts` CNN-RNN minus another.

    Attributes:
        protocol: key of the protocol.
        wording: the number in words.
        difference: in the number's own unit; positive where the first row has more.
        low: lower end of the 95 % interval.
        p: one-sided, small where the first row has more.
    """

    against: str
    protocol: str
    number: str
    wording: str
    difference: float
    low: float
    high: float
    p: float

    @property
    def verdict(self) -> str:
        """`helps` or `costs` where the interval leaves zero out, else `undecided`."""
        return "helps" if self.low > 0 else "costs" if self.high < 0 else "undecided"

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "verdict": self.verdict}


def differences(measured: Sequence[Measured], *, view: str, ours: str = OURS) -> list[Difference]:
    """Return one row minus every other, for every number that is judged; nothing where it was not trained.

    Args:
        ours: the row; `FREE` is the reference of rows without a label order.
    """
    there = {(one.row, one.protocol): one.numbers for one in measured if one.view == view}
    rows = [row for row in dict.fromkeys(one.row for one in measured) if row != ours]
    found = []
    for protocol, number, wording in JUDGED:
        for row in rows:
            own, theirs = there.get((ours, protocol)), there.get((row, protocol))
            if own is None or theirs is None:
                continue
            if (pair := own.minus(theirs, number)) is not None:
                found.append(
                    Difference(row, protocol, number, wording, pair.difference, pair.low, pair.high, pair.p)
                )
    return found


def verdicts(found: Sequence[Difference], *, seeds: int) -> list[str]:
    """Return sentences: first against the model without recurrence, then against all other rows.

    Args:
        found: of `differences`.
    """
    sentences = []
    if without := [one for one in found if one.against == WITHOUT]:
        sentences.append(_against_no_rnn(without))
    for protocol, number, wording in JUDGED:
        others = [
            one
            for one in found
            if (one.protocol, one.number) == (protocol, number) and one.against != WITHOUT
        ]
        if others:
            sentences.append(_against_heads(wording, others))
    if found:
        sentences.append(
            "Intervals are over the test images"
            + (
                f" and {seeds} training seeds."
                if seeds > 1
                else " only: one training each, so what another seed would give is not in them."
            )
            + f" {len(found)} differences are looked at, of which about one in twenty leaves zero out by chance alone."
        )
    return sentences


def _against_no_rnn(pairs: Sequence[Difference]) -> str:
    by_verdict: Mapping[str, list[Difference]] = {
        verdict: [one for one in pairs if one.verdict == verdict]
        for verdict in ("helps", "costs", "undecided")
    }
    parts = []
    if by_verdict["helps"]:
        parts.append("The recurrence helps against No RNN in " + _listed(by_verdict["helps"]) + ".")
    else:
        parts.append(
            "The recurrence does not earn its place here against No RNN: no number is better by more than chance."
        )
    if by_verdict["costs"]:
        parts.append("It costs in " + _listed(by_verdict["costs"]) + ".")
    if by_verdict["undecided"]:
        parts.append(
            "It makes no difference that these images can show in " + _listed(by_verdict["undecided"]) + "."
        )
    return " ".join(parts)


def _against_heads(wording: str, pairs: Sequence[Difference]) -> str:
    better = [one for one in pairs if one.verdict == "helps"]
    worse = [one for one in pairs if one.verdict == "costs"]
    equal = [one for one in pairs if one.verdict == "undecided"]
    parts = [f"For {wording}:"]
    if worse:
        parts.append("CNN-RNN is worse than " + _rows(worse) + ".")
    if better:
        parts.append("CNN-RNN is better than " + _rows(better) + ".")
    if equal:
        parts.append("Undecided against " + _rows(equal) + ".")
    if not better:
        parts.append("It does not earn its place for this number.")
    return " ".join(parts)


def _listed(pairs: Sequence[Difference]) -> str:
    return "; ".join(f"{one.wording} {amount(one)}" for one in pairs)


def _rows(pairs: Sequence[Difference]) -> str:
    return ", ".join(f"{ROWS[one.against].title} {amount(one)}" for one in pairs)


def amount(one: Difference) -> str:
    """Return a difference with its interval: percentage points, or nats.

    Example:
        >>> amount(Difference("no-rnn", "path", "OF1", "O-F1", 0.012, -0.003, 0.03, 0.1))
        '(+1.2 points, -0.3 to +3.0)'
    """
    if one.number == "log_likelihood":
        return f"({one.difference:+.2f} nats, {one.low:+.2f} to {one.high:+.2f})"
    return f"({100 * one.difference:+.1f} points, {100 * one.low:+.1f} to {100 * one.high:+.1f})"
