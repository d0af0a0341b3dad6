"""Promises: rules for deciding label sets whose error is bounded, proven on calibration images that nothing else saw.

A run keeps the model's scores of its calibration images beside their truth, so that any promise can be asked for when
images are tagged. Where to begin testing is chosen on other images (`Sample` guide), which costs no confidence.
Knows no file; `promise_kinds` has what each promise means. In the data path: answers -> **promises** -> decisions.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from labelbeam.errors import InputError, unknown_name
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN, ByLabel, LabelSets, PerImage, PerLabel, Targets
from labelbeam.metrics.comparison import Comparison
from labelbeam.predict import promise_kinds
from labelbeam.predict.conformal import (
    CONFIDENCE,
    conformal_quantile,
    error_p_value,
    fewest_cases,
    mean_p_value,
)
from labelbeam.predict.set_lists import MOST_SETS


@dataclass(frozen=True)
class Promise:
    """What is promised of decided labels.

    Attributes:
        kind: a name of `KINDS`.
        target: the least precision or recall, in (0, 1).
        confidence: of 1 - this share of calibrations the promise may break; None: it holds on average over
            calibrations (`recall` and `label-recall` only).

    Raises:
        InputError: an unknown kind, or numbers outside (0, 1).
    """

    kind: str
    target: float
    confidence: float | None = CONFIDENCE

    def __post_init__(self) -> None:
        if self.kind not in promise_kinds.KINDS:
            raise unknown_name("promise", self.kind, promise_kinds.KINDS)
        _require_share(f"the promise {self.kind}", self.target)
        if self.confidence is not None:
            _require_share("the confidence of a promise", self.confidence)
        elif "recall" not in self.kind:
            raise InputError(
                f"{self.kind} does not rise steadily with the threshold, so it cannot be promised on average. Promise "
                "it with confidence: leave --on-average out."
            )

    @classmethod
    def parse(cls, text: str, *, confidence: float | None = CONFIDENCE) -> "Promise":
        """Read `precision=0.95`.

        Raises:
            InputError: another form.

        Example:
            >>> str(Promise.parse("recall=0.9"))
            'recall >= 0.9 with confidence 0.95'
        """
        kind, equals, value = text.partition("=")
        try:
            target = float(value)
        except ValueError:
            equals = ""
        if not equals:
            raise InputError(
                f"the promise {text!r} is not understood; write KIND=SHARE such as precision=0.95. Kinds: "
                f"{', '.join(promise_kinds.KINDS)}."
            )
        return cls(kind.strip(), target, confidence)

    def __str__(self) -> str:
        how = "on average" if self.confidence is None else f"with confidence {self.confidence:g}"
        return f"{self.kind} >= {self.target:g} {how}"


@dataclass(frozen=True)
class Sample:
    """A model's answers for some labelled images, and their truth.

    Attributes:
        scores: as decisions see them, calibrated where the run is, float32.
        paths: the sets of the most probable paths.
        log_probs: of the paths, nats; NaN where the head has no such thing.
        fits: share of validation images at least as odd as each image; NaN where that was not measured.
        before: probability of the sets listed before the true one; infinite where it is not listed.

    Raises:
        InputError: arrays that do not fit together.
    """

    scores: ByLabel
    truth: Targets
    paths: LabelSets
    log_probs: PerImage
    fits: PerImage
    before: PerImage

    def __post_init__(self) -> None:
        rows = (self.log_probs, self.fits, self.before)
        fitting = self.scores.ndim == 2 and self.scores.shape == self.truth.shape == self.paths.shape
        if not fitting or any(row.shape != (len(self.scores),) for row in rows):
            raise InputError("the calibration images of a run's promises do not fit together.")
        if (
            not np.isin(self.truth, (-1, 0, 1)).all()
            or np.isnan(self.scores).any()
            or np.isnan(self.before).any()
        ):
            raise InputError("the calibration images of a run's promises hold values that are not allowed.")

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Promises:
    """What a run can promise, and how.

    Attributes:
        sample: calibration images: neither trained on nor looked at while training.
        guide: other images, which say where tests begin; validation images usually.
        score: which number per label the scores are (`Search.score`).
        search: the search that made them; with another one no promise holds.
        data: where the calibration images come from, for people.
    """

    sample: Sample
    guide: Sample
    score: str
    search: Mapping[str, Any]
    data: str
    _kept: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return arrays for a file; `about` goes with them."""
        parts = {"sample": self.sample, "guide": self.guide}
        return {
            f"{part}.{one.name}": np.ascontiguousarray(getattr(of, one.name))
            for part, of in parts.items()
            for one in fields(of)
        }

    def about(self) -> dict[str, str]:
        """Return texts for a file."""
        return {"score": self.score, "search": json.dumps(dict(self.search)), "data": self.data}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], about: Mapping[str, str], *, num_labels: int
    ) -> "Promises":
        """Read back what `arrays` and `about` gave.

        Raises:
            InputError: something is missing or does not fit, or another number of labels than the run's.
        """
        try:
            sample, guide = (
                Sample(**{one.name: arrays[f"{part}.{one.name}"] for one in fields(Sample)})
                for part in ("sample", "guide")
            )
            found = cls(sample, guide, about["score"], json.loads(about["search"]), about["data"])
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise InputError(
                f"the promises of the run are damaged ({error}). Copy the run again, or train it anew."
            ) from error
        if (
            not sample.scores.shape[1] == guide.scores.shape[1] == num_labels
            or not len(sample)
            or not len(guide)
        ):
            raise InputError(
                f"the promises are of {sample.scores.shape[1]} labels, the run has {num_labels}."
            )
        return found

    def keep(self, promise: Promise) -> promise_kinds.Kept:
        """Return the thresholds that keep a promise.

        Raises:
            InputError: it cannot be kept with these calibration images; the message says how many it would take.
        """
        if promise not in self._kept:
            self._kept[promise] = promise_kinds.keep(
                promise.kind, promise.target, promise.confidence, self.sample, self.guide
            )
        found: promise_kinds.Kept = self._kept[promise]
        return found

    def keep_unseen(self, target: float, rule: str, thresholds: PerLabel | None) -> float:
        """Return how probable a decided set must be, so that nobody needs to look at it.

        Of the images whose set is that probable, the share `target` at least has exactly its true labels, with
        confidence.

        Args:
            target: least share of images without an error, in (0, 1).
            rule: how sets are decided, for the message.
            thresholds: that decide them; None: by path.

        Raises:
            InputError: it cannot be promised with these calibration images.
        """
        _require_share("the promise for images that nobody looks at", target)
        key = (target, None if thresholds is None else thresholds.tobytes())
        if key not in self._kept:
            self._kept[key] = promise_kinds.keep_unseen(
                target, CONFIDENCE, thresholds, self.sample, self.guide, rule=rule
            )
        return float(self._kept[key])

    def check_unseen_on_average(self, target: float) -> None:
        """Refuse to choose images for nobody to look at where the calibration images can never be enough.

        Raises:
            InputError: they are too few.
        """
        _require_share("the promise for images that nobody looks at", target)
        if len(self.sample) < (needed := fewest_cases(1 - target, None)):
            raise InputError(
                f"images that nobody looks at, {target:g} of them right on average, take at least {needed} calibration "
                f"images; there are {len(self.sample)}. Calibrate with more, or promise less."
            )

    def keep_listed(self, target: float) -> float:
        """Return how much probability may stand before a set in a list that holds the true set so often, on average.

        Raises:
            InputError: there are too few calibration images, or the true set is too often not in reach.
        """
        _require_share("the promise of a list of sets", target)
        most = conformal_quantile(self.sample.before, 1 - target)
        if np.isfinite(most):
            return most
        needed, n = fewest_cases(1 - target, None), len(self.sample)
        if n < needed:
            raise InputError(
                f"a list that holds the true set with probability {target:g} needs at least {needed} calibration "
                f"images; there are {n}. Calibrate with more, or promise less."
            )
        reached = int(np.isfinite(self.sample.before).sum())
        raise InputError(
            f"a list that holds the true set with probability {target:g} cannot be promised: of {n} calibration images "
            f"only {reached} have their true set among the {MOST_SETS} most probable ones. "
            f"Promise {np.floor(100 * reached / (n + 1)) / 100:g} at most, or train a better model."
        )


def _require_share(what: str, value: float) -> None:
    if not 0 < value < 1:
        raise InputError(f"{what} is {value:g}; it must lie between 0 and 1, such as 0.9.")


VERDICTS = ("kept", "broken", "undecided")
"""Shown to be kept, shown to be broken, each with confidence 95 %; or too few images to say."""


def check_promise(promise: Promise, comparison: Comparison) -> dict[str, Any]:
    """Return what became of a promise, as plain values.

    Args:
        comparison: decided sets and their truth; decided labels that the truth does not know are wrong.

    Returns:
        `promise` in words, `value` (the mean over images; over labels for `label-` kinds), `images` that have a say, a
        `verdict`, and for `label-` kinds `labels`: value, images and verdict of each.

    Raises:
        InputError: nothing is decided.
    """
    if comparison.decisions is None:
        raise InputError(
            "a promise is about decided labels, and these predictions decide none. Give --k, --threshold or sets."
        )
    outcome: dict[str, Any] = {"promise": str(promise)}
    decided = comparison.decisions & (comparison.truth != UNKNOWN)
    present = comparison.truth == PRESENT
    if promise.kind.startswith("label-"):
        cases = decided if "precision" in promise.kind else present
        good = (cases & decided & present).sum(axis=0)
        labels = {
            name: _of_label(int(right), int(count), promise.target)
            for name, right, count in zip(comparison.names, good, cases.sum(axis=0), strict=True)
        }
        values = [one["value"] for one in labels.values() if one["value"] is not None]
        verdicts = [one["verdict"] for one in labels.values() if one["value"] is not None]
        value = float(np.mean(values)) if values else None
        return outcome | {
            "value": value,
            "images": len(comparison.truth),
            "verdict": {name: verdicts.count(name) for name in VERDICTS},
            "labels": labels,
        }
    right = (decided & present).sum(axis=1)
    total = decided.sum(axis=1) + comparison.outside if promise.kind == "precision" else present.sum(axis=1)
    good = right[total > 0] / total[total > 0]
    value = float(good.mean()) if len(good) else None
    return outcome | {"value": value, "images": len(good), "verdict": _verdict_of_mean(good, promise.target)}


def check_unseen(
    target: float,
    needs_nobody: Bool[np.ndarray, " images"],
    comparison: Comparison,
    *,
    on_average: bool = False,
) -> dict[str, Any]:
    """Return what became of images that nobody was to look at: how many, and how many have exactly their labels."""
    if comparison.decisions is None:
        raise InputError("images tagged unseen need decided sets; none were given.")
    known = comparison.truth != UNKNOWN
    wrong = ((comparison.decisions != (comparison.truth == PRESENT)) & known).any(axis=1)
    wrong |= comparison.outside > 0
    chosen = int(needs_nobody.sum())
    how = "on average" if on_average else f"with confidence {CONFIDENCE:g}"
    right = chosen - int((wrong & needs_nobody).sum())
    return {
        "promise": f"exactly the right labels in {target:g} of the images tagged unseen {how}",
        "share_unseen": float(needs_nobody.mean()),
        **_of_label(right, chosen, target),
    }


def check_listed(
    target: float, found: Bool[np.ndarray, " images"], sizes: Int[np.ndarray, " images"]
) -> dict[str, Any]:
    """Return how often the true set is among those listed, and how long the lists are: images by number of sets.

    Args:
        found: whether the true set is listed.
    """
    quantiles = {f"{q:g} %": int(np.quantile(sizes, q / 100, method="higher")) for q in (10, 50, 90, 100)}
    counts = {str(size): int((sizes == size).sum()) for size in np.unique(sizes)}
    return {
        "promise": f"the true set is among those listed with probability {target:g} on average",
        **_of_label(int(found.sum()), len(found), target),
        "sets": {"mean": float(sizes.mean()), **quantiles, "counts": counts},
    }


def plain_threshold(kind: str, target: float, sample: Sample) -> float:
    """Return the threshold that just reaches a target on calibration images: what people tune, without a margin.

    Args:
        kind: `precision` (the lowest threshold that reaches it) or `recall` (the highest).
        target: share of labels, in (0, 1).
    """
    losses = [
        (promise_kinds.tag_losses if kind == "precision" else promise_kinds.miss_losses)(sample, threshold)
        for threshold in promise_kinds.GRID
    ]
    reaching = [k for k, one in enumerate(losses) if len(one) and 1 - one.mean() >= target]
    best = min if kind == "precision" else max
    return float(
        promise_kinds.GRID[best(reaching, default=len(promise_kinds.GRID) - 1 if kind == "precision" else 0)]
    )


def plain_cut(target: float, sample: Sample) -> float:
    """Return how probable a most probable set must be, so that the target's share is right on calibration images.

    Infinite where no cut reaches it.
    """
    sure = promise_kinds.set_probability(sample.scores, sample.paths, sample.log_probs)
    order = np.argsort(-sure)
    wrong = (sample.paths != (sample.truth == PRESENT)) & (sample.truth != UNKNOWN)
    right = ~wrong.any(axis=1)[order]
    passing = np.flatnonzero(right.cumsum() / np.arange(1, len(right) + 1) >= target)
    return float(sure[order[passing[-1]]]) if len(passing) else math.inf


def _of_label(right: int, count: int, target: float) -> dict[str, Any]:
    verdict = "undecided"
    if count:
        wrong = count - right
        if error_p_value(np.array(wrong), np.array(count), 1 - target) <= 1 - CONFIDENCE:
            verdict = "kept"
        elif error_p_value(np.array(right), np.array(count), target) <= 1 - CONFIDENCE:
            verdict = "broken"
    return {"value": right / count if count else None, "images": count, "verdict": verdict}


def _verdict_of_mean(good: np.ndarray, target: float) -> str:
    if mean_p_value(1 - good, 1 - target) <= 1 - CONFIDENCE:
        return "kept"
    return "broken" if mean_p_value(good, target) <= 1 - CONFIDENCE else "undecided"


def check_lines(checks: dict[str, Any]) -> list[str]:
    """Return checks in sentences, for a terminal."""
    lines = []
    for one in checks.values():
        value = "nothing to measure" if one["value"] is None else f"{100 * one['value']:.1f} %"
        verdict = one["verdict"]
        if isinstance(verdict, dict):
            verdict = ", ".join(f"{count} labels {name}" for name, count in verdict.items())
        line = f"{one['promise']}: {value} of {one['images']:,} images ({verdict})"
        if "share_unseen" in one:
            line += f"; {100 * one['share_unseen']:.1f} % of all images"
        if "sets" in one:
            sizes = one["sets"]
            line += (
                f"; sets per list: mean {sizes['mean']:.1f}, median {sizes['50 %']}, most {sizes['100 %']}"
            )
        lines.append(line)
        if "void" in one:
            lines.append(f"this promise is void here: {one['void']}")
    return lines
