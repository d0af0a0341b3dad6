"""Intervals and paired tests by resampling images: how far a number can be trusted.

Resampling is reweighting: P/R/F1 of all resamples are matrix products of weights and counts, AP a pass over
presorted scores. Knows nothing of files. In the data path: `comparison` -> **bootstrap** -> intervals.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from labelbeam.errors import InputError
from labelbeam.metrics.comparison import Comparison
from labelbeam.metrics.evaluation import numbers

CELLS_AT_ONCE = 4_000_000
"""Weights held at a time (32 MB); results depend on it in the last digit at most."""


@dataclass(frozen=True)
class Interval:
    """A number with its percentile interval over resampled images.

    Attributes:
        value: on all images as they are.
        low: lower end.
        high: upper end.
        standard_deviation: over resamples.
    """

    value: float
    low: float
    high: float
    standard_deviation: float


@dataclass(frozen=True)
class PairedDifference:
    """First minus second on the same resampled images.

    Attributes:
        difference: on all images as they are; positive where the first is greater.
        low: lower end of the percentile interval.
        high: upper end.
        p: one-sided, share of resamples where the first is NOT greater: (1 + #{d* <= 0}) / (1 + resamples).
            Small means "the first is greater"; 1 - p near 0 means "the second is".
    """

    difference: float
    low: float
    high: float
    p: float


def _draw(images: int, resamples: int, rng: np.random.Generator) -> Int[np.ndarray, "resamples images"]:
    """Draw images with replacement; a row says how often each image was drawn."""
    return np.stack(
        [np.bincount(rng.integers(images, size=images), minlength=images) for _ in range(resamples)]
    )


def _resample(
    comparisons: tuple[Comparison, ...], *, resamples: int, rng: np.random.Generator
) -> list[dict[str, np.ndarray]]:
    """Measure every comparison on the same resampled images."""
    if resamples < 2:
        raise InputError(f"a bootstrap needs at least 2 resamples, given {resamples}; 1000 is usual.")
    images = len(comparisons[0].truth)
    at_once = max(1, CELLS_AT_ONCE // images)
    parts: list[list[dict[str, np.ndarray]]] = [[] for _ in comparisons]
    for start in range(0, resamples, at_once):
        weights = _draw(images, min(at_once, resamples - start), rng)
        for part, comparison in zip(parts, comparisons, strict=True):
            part.append(numbers(comparison, weights))
    return [{name: np.concatenate([values[name] for values in part]) for name in part[0]} for part in parts]


def _percentiles(values: np.ndarray, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _once(comparison: Comparison) -> dict[str, float]:
    weights = np.ones((1, len(comparison.truth)), dtype=np.int64)
    return {name: float(value[0]) for name, value in numbers(comparison, weights).items()}


def _require_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise InputError(f"confidence must lie between 0 and 1, given {confidence}; 0.95 is usual.")


def bootstrap(
    comparison: Comparison,
    *,
    rng: np.random.Generator,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> dict[str, Interval]:
    """Return a percentile interval over images for every number that is not null.

    Args:
        comparison: truth and predictions.
        rng: seeded by the caller; the same seed gives the same intervals.
        resamples: how many times the images are drawn.
        confidence: mass inside the interval, in (0, 1).

    Returns:
        By name. Resamples in which a number is not defined are left out of its interval.

    Raises:
        InputError: fewer than 2 resamples, or a confidence outside (0, 1).

    Source: Efron's percentile bootstrap.

    Example:
        >>> from labelbeam.metrics.comparison import compare
        >>> from labelbeam.metrics.protocols import Protocol
        >>> truth = np.array([[1, 0], [0, 1], [1, 1]], dtype=np.int8)
        >>> result = compare(truth, ["a", "b"], protocol=Protocol("sets"), decisions=truth == 1)
        >>> bootstrap(result, rng=np.random.default_rng(0), resamples=20)["OF1"]
        Interval(value=1.0, low=1.0, high=1.0, standard_deviation=0.0)
    """
    _require_confidence(confidence)
    (drawn,) = _resample((comparison,), resamples=resamples, rng=rng)
    intervals = {}
    for name, value in _once(comparison).items():
        defined = drawn[name][~np.isnan(drawn[name])]
        if not np.isnan(value) and len(defined):
            intervals[name] = Interval(value, *_percentiles(defined, confidence), float(defined.std()))
    return intervals


def paired_bootstrap(
    first: Comparison,
    second: Comparison,
    *,
    rng: np.random.Generator,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> dict[str, PairedDifference]:
    """Compare two predictions of the same images: difference, interval and one-sided p of every number.

    Args:
        first: the one that is claimed to be greater.
        second: its rival, on the same truth.
        rng: seeded by the caller.
        resamples: how many times the images are drawn, the same images for both.
        confidence: mass inside the interval, in (0, 1).

    Returns:
        By name, for the numbers that neither lacks.

    Raises:
        InputError: different truths, fewer than 2 resamples, or a confidence outside (0, 1).

    Source: Koehn 2004, paired bootstrap resampling.
    """
    _require_confidence(confidence)
    if first.names != second.names or not np.array_equal(first.truth, second.truth):
        raise InputError("a paired test needs the same images, labels and truth on both sides; these differ.")
    ours, theirs = _resample((first, second), resamples=resamples, rng=rng)
    value, rival = _once(first), _once(second)
    differences = {}
    for name in value:
        if name not in rival or name == "mean_labels_true":
            continue
        drawn = ours[name] - theirs[name]
        drawn = drawn[~np.isnan(drawn)]
        difference = value[name] - rival[name]
        if not np.isnan(difference) and len(drawn):
            p = (1 + int((drawn <= 0).sum())) / (1 + len(drawn))
            differences[name] = PairedDifference(difference, *_percentiles(drawn, confidence), p)
    return differences
