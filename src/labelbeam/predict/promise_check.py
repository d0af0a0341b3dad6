"""Was a promise kept? Anybody's decisions beside the truth, as precision and recall are promised (`promise_kinds`).

Knows no model and no file. In the data path: `comparison` -> **promise check** -> `score`, `evaluate`, the report.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN
from labelbeam.metrics.comparison import Comparison
from labelbeam.predict.conformal import CONFIDENCE, error_p_value, mean_p_value
from labelbeam.predict.promise_kinds import GRID, miss_losses, set_probability, tag_losses
from labelbeam.predict.promises import Promise, Sample

VERDICTS = ("kept", "broken", "undecided")
"""Shown to be kept, shown to be broken, each with confidence 95 %; or too few images to say."""


def check_promise(promise: Promise, comparison: Comparison) -> dict[str, Any]:
    """Return what became of a promise, as plain values.

    Args:
        promise: what was promised.
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
        target: what was promised.
        found: whether the true set is listed.
        sizes: sets per list.
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
        sample: calibration images.
    """
    losses = [(tag_losses if kind == "precision" else miss_losses)(sample, threshold) for threshold in GRID]
    reaching = [k for k, one in enumerate(losses) if len(one) and 1 - one.mean() >= target]
    best = min if kind == "precision" else max
    return float(GRID[best(reaching, default=len(GRID) - 1 if kind == "precision" else 0)])


def plain_cut(target: float, sample: Sample) -> float:
    """Return how probable a most probable set must be, so that the target's share is right on calibration images.

    Infinite where no cut reaches it.
    """
    sure = set_probability(sample.scores, sample.paths, sample.log_probs)
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
