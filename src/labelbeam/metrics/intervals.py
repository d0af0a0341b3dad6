"""How far a number can be trusted: intervals and paired tests by resampling images and seeds, shares of counts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from labelbeam.errors import InputError
from labelbeam.metrics.comparison import Comparison
from labelbeam.metrics.evaluation import numbers
from labelbeam.metrics.map_interval import Interval, map_intervals

# Shares of counts with their 95 % intervals: recalls, precisions, rates.
#
# Under the analyses of failures. Knows counts; knows nothing of what was counted.

NORMAL_975 = 1.959963984540054
"""97.5 % of a standard normal distribution lie below this."""


@dataclass(frozen=True, eq=False)
class Shares:
    """Shares of hits in trials.

    Attributes:
        value: hits / trials; NaN where there was no trial.
        low: lower end of the 95 % interval; 0 where there was no trial.
        high: upper end; 1 where there was no trial.
    """

    value: Float[np.ndarray, " shares"]
    low: Float[np.ndarray, " shares"]
    high: Float[np.ndarray, " shares"]

    def to_dict(self, i: int) -> dict[str, float | None]:
        """Return one of them as plain values; null where there was no trial."""
        value = None if np.isnan(self.value[i]) else round(float(self.value[i]), 6)
        return {"value": value, "low": round(float(self.low[i]), 6), "high": round(float(self.high[i]), 6)}


def shares_of(hits: Int[np.ndarray, " shares"], trials: Int[np.ndarray, " shares"]) -> Shares:
    """Return shares with Wilson's intervals.

    Args:
        hits: at most `trials`.
        trials: 0 or more.

    Source:
        Wilson 1927; unlike the normal interval it stays within [0, 1] and does not shrink to a point at 0 and 1.

    Example:
        >>> found = shares_of(np.array([50, 0]), np.array([50, 0]))
        >>> found.value.tolist(), found.low.round(3).tolist(), found.high.tolist()
        ([1.0, nan], [0.929, 0.0], [1.0, 1.0])
    """
    z2 = NORMAL_975**2
    n = np.maximum(trials, 1).astype(np.float64)
    share = hits / n
    middle = share + z2 / (2 * n)
    half = NORMAL_975 * np.sqrt(share * (1 - share) / n + z2 / (4 * n**2))
    none = trials == 0
    low = np.where(none | (hits == 0), 0.0, (middle - half) / (1 + z2 / n))
    high = np.where(none | (hits == trials), 1.0, (middle + half) / (1 + z2 / n))
    return Shares(np.where(none, np.nan, share), np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0))


# Intervals and paired tests by resampling images: how far a number can be trusted.
#
# Resampling is reweighting: P/R/F1 of all resamples are matrix products of weights and counts, AP a pass over
# presorted scores. Intervals of mAP are made otherwise (`map_interval`).
# Knows nothing of files. In the data path: `comparison` -> **bootstrap** -> intervals.

CELLS_AT_ONCE = 4_000_000
"""Weights held at a time (32 MB); results depend on it in the last digit at most."""


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
    comparisons: tuple[Comparison, ...],
    *,
    resamples: int,
    rng: np.random.Generator,
    average_precisions: bool = True,
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
            part.append(numbers(comparison, weights, average_precisions=average_precisions))
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
    """Return an interval over images for every number that is not null.

    Args:
        comparison: truth and predictions.
        rng: seeded by the caller; the same seed gives the same intervals.
        resamples: how many times the images are drawn.
        confidence: mass inside the interval, in (0, 1).

    Returns:
        By name. Percentile intervals, of mAP those of `map_interval`, which are not there where too little is known.
        Resamples in which a number is not defined are left out of its interval.

    Raises:
        InputError: fewer than 2 resamples, or a confidence outside (0, 1).

    Source: Efron's percentile bootstrap.

    Example:
        >>> from labelbeam.metrics.comparison import compare
        >>> from labelbeam.metrics.comparison import Protocol
        >>> truth = np.array([[1, 0], [0, 1], [1, 1]], dtype=np.int8)
        >>> result = compare(truth, ["a", "b"], protocol=Protocol("sets"), decisions=truth == 1)
        >>> bootstrap(result, rng=np.random.default_rng(0), resamples=20)["OF1"]
        Interval(value=1.0, low=1.0, high=1.0, standard_deviation=0.0)
    """
    _require_confidence(confidence)
    (drawn,) = _resample((comparison,), resamples=resamples, rng=rng, average_precisions=False)
    intervals = {}
    for name, value in _once(comparison).items():
        if name not in drawn:
            continue
        defined = drawn[name][~np.isnan(drawn[name])]
        if not np.isnan(value) and len(defined):
            intervals[name] = Interval(value, *_percentiles(defined, confidence), float(defined.std()))
    return intervals | map_intervals([comparison], confidence=confidence)


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


# Numbers of one method over images drawn again and again, and over its training seeds.
#
# `bootstrap` compares two predictions; here many methods are measured on the same draws of the same images,
# one after the other, so that any two can be compared afterwards without holding all of their scores. Knows
# nothing of files. In the data path: one `Comparison` per training seed -> **resampled** -> intervals and
# differences.


@dataclass(frozen=True)
class Resampled:
    """What a method measures, on all images and on every draw of them.

    Attributes:
        value: by name, the mean over its training seeds; numbers that are not defined are not in it.
        drawn: by the same names, one number per draw: of the images, and of as many seeds with replacement.
        over_seeds: by the same names, the standard deviation over seeds; empty with one seed.
        of_map: 95 % intervals of mAP, which draws do not give (`map_interval`); empty without draws.
    """

    value: Mapping[str, float]
    drawn: Mapping[str, Float[np.ndarray, " resamples"]]
    over_seeds: Mapping[str, float]
    of_map: Mapping[str, Interval]

    def interval(self, name: str) -> Interval | None:
        """Return a number with its 95 % interval; None where there is none."""
        if name.startswith("mAP_"):
            return self.of_map.get(name)
        defined = self.drawn[name][~np.isnan(self.drawn[name])] if name in self.drawn else np.empty(0)
        if not len(defined):
            return None
        low, high = np.quantile(defined, [0.025, 0.975])
        return Interval(self.value[name], float(low), float(high), float(defined.std()))

    def minus(self, other: "Resampled", name: str, *, confidence: float = 0.95) -> PairedDifference | None:
        """Return this method's number minus another's, on the same draws of the images.

        Args:
            other: measured with the same images, resamples and seed.
            name: of the number.
            confidence: mass inside the interval.

        Returns:
            The difference with a one-sided p, small where this method's is greater; None where one of the two
            lacks the number.

        Raises:
            InputError: the other was measured with another number of draws.
        """
        if name not in self.drawn or name not in other.drawn:
            return None
        if len(self.drawn[name]) != len(other.drawn[name]):
            raise InputError(
                f"{name} was drawn {len(self.drawn[name])} and {len(other.drawn[name])} times; a difference needs "
                "the same draws on both sides."
            )
        drawn = self.drawn[name] - other.drawn[name]
        drawn = drawn[~np.isnan(drawn)]
        if not len(drawn):
            return None
        low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
        p = (1 + int((drawn <= 0).sum())) / (1 + len(drawn))
        return PairedDifference(self.value[name] - other.value[name], float(low), float(high), p)


def resample(comparisons: Sequence[Comparison], *, resamples: int, seed: int, of_seeds: int = 0) -> Resampled:
    """Measure one method on all images and on draws of them.

    Args:
        comparisons: one per training seed, all of the same truth.
        resamples: draws of the images; 0 gives values without intervals.
        seed: of the draws of the images; methods measured with the same one are compared on the same draws.
        of_seeds: of the draws of training seeds; different for methods that were trained apart.

    Raises:
        InputError: no comparison, different truths, or one draw only.

    Source:
        Efron's percentile bootstrap, of images and, where there are several, of training seeds.

    Example:
        >>> from labelbeam.metrics.comparison import compare
        >>> from labelbeam.metrics.comparison import Protocol
        >>> truth = np.array([[1, 0], [0, 1], [1, 1]], dtype=np.int8)
        >>> perfect = compare(truth, ["a", "b"], protocol=Protocol("sets"), decisions=truth == 1)
        >>> resample([perfect], resamples=20, seed=0).interval("OF1")
        Interval(value=1.0, low=1.0, high=1.0, standard_deviation=0.0)
    """
    if not comparisons:
        raise InputError("nothing to measure: give one comparison per training seed.")
    if resamples == 1 or resamples < 0:
        raise InputError(
            f"a bootstrap needs at least 2 resamples, given {resamples}; 1000 is usual, 0 gives no intervals."
        )
    truth = comparisons[0].truth
    if any(not np.array_equal(one.truth, truth) for one in comparisons):
        raise InputError("the training seeds of a method must be judged on the same truth; these differ.")
    once = np.ones((1, len(truth)), dtype=np.int64)
    of_each = [{name: value[0] for name, value in numbers(one, once).items()} for one in comparisons]
    names = [name for name in of_each[0] if not any(np.isnan(one.get(name, np.nan)) for one in of_each)]
    value = {name: float(np.mean([one[name] for one in of_each])) for name in names}
    over_seeds = {}
    if len(comparisons) > 1:
        over_seeds = {name: float(np.std([one[name] for one in of_each], ddof=1)) for name in names}
    parts = []
    random = np.random.default_rng([of_seeds, len(comparisons)])
    for weights in _draws(len(truth), resamples, seed):
        of_seed = [numbers(one, weights) for one in comparisons]
        chosen = random.integers(len(comparisons), size=(len(weights), len(comparisons)))
        rows = np.arange(len(weights))[:, None]
        parts.append(
            {
                name: np.stack([one[name] for one in of_seed], axis=1)[rows, chosen].mean(axis=1)
                for name in names
            }
        )
    drawn = {name: np.concatenate([part[name] for part in parts]) for name in names} if parts else {}
    of_map = map_intervals(comparisons) if parts else {}
    for name in of_map.keys() & over_seeds.keys():
        of_map[name] = _widened(of_map[name], over_seeds[name] / len(comparisons) ** 0.5)
    return Resampled(value, drawn, over_seeds, of_map)


def _widened(interval: Interval, error: float) -> Interval:
    """Return an interval over images that allows for a second, independent standard error: that of the seeds."""
    value, total = interval.value, float(np.hypot(interval.standard_deviation, error))
    reach = 1.96 * error
    low, high = (
        float(value - np.hypot(value - interval.low, reach)),
        float(value + np.hypot(interval.high - value, reach)),
    )
    return Interval(value, max(low, 0.0), min(high, 1.0), total)


def _draws(images: int, resamples: int, seed: int) -> Iterator[Int[np.ndarray, "draws images"]]:
    """Yield how often each image is drawn, some draws at a time; the same for the same seed."""
    random, at_once = np.random.default_rng(seed), max(1, CELLS_AT_ONCE // images)
    for first in range(0, resamples, at_once):
        count = min(at_once, resamples - first)
        yield np.stack(
            [np.bincount(random.integers(images, size=images), minlength=images) for _ in range(count)]
        )
