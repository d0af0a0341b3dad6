"""How far a number can be trusted: intervals and paired tests by resampling images and seeds, shares of counts.

With few positives AP is biased upwards and skewed, and a bootstrap's repeated positives bias it once more: its
percentile interval of mAP covers 40 to 90 % of the time at the sizes people have (benchmarks/map_coverage.py). So the
bias of mAP comes from half of the images, its spread from leaving images out; neither repeats an image.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Float, Int

from labelbeam.errors import InputError
from labelbeam.metrics.comparison import Comparison
from labelbeam.metrics.evaluation import numbers
from labelbeam.metrics.ranking import RULES, SortedLabel, average_precision

PAIRS_OF_HALVES = 100
"""Random halves of the images, each with the other half; results change in the third digit between seeds."""

MOST_GROUPS = 256
"""Groups of images that are left out in turn; up to so many images, each is a group of its own."""

FEWEST_IMAGES = 10
"""Below this a spread over images says nothing, and there is no interval."""

WHY_NONE = (
    f"fewer than {FEWEST_IMAGES} images, or more than half of the labels have a single positive, which does not "
    "say how average precision varies"
)
"""Why there may be no interval."""


@dataclass(frozen=True)
class Interval:
    """A number with its interval over images.

    Attributes:
        value: on all images as they are.
        standard_deviation: standard error of the value.
    """

    value: float
    low: float
    high: float
    standard_deviation: float


def map_intervals(comparisons: Sequence[Comparison], *, confidence: float = 0.95) -> dict[str, Interval]:
    """Return an interval of mAP on images without end, by every rule of average precision.

    The centre is the value minus its bias, estimated per label from halves of the images (what n / 2 images give
    on average, minus what n give). The standard error is the jackknife's over groups of images, its degrees of
    freedom Satterthwaite's. The eleventh point of `voc11` is the precision at recall 1, which
    falls to the label's frequency as images are added: the lower end allows for that.

    Args:
        comparisons: of the same truth; several (training seeds) are averaged.
        confidence: mass inside the interval, in (0, 1).

    Returns:
        By name, such as "mAP_area". Empty without scores, with fewer than `FEWEST_IMAGES` images, or where more than
        half of the labels that have a positive have only one (`WHY_NONE`).

    Source:
        Half-sampling: Efron 1982, The Jackknife, the Bootstrap and Other Resampling Plans, ch. 8; jackknife over
        groups, also for what is not smooth: Shao and Wu, Annals of Statistics 1989. Four
        observations more: Agresti and Coull, The American Statistician 1998.
    """
    rng = np.random.default_rng(0)  # of the halves and groups
    labels = [one.sorted_labels for one in comparisons]
    positives = (
        np.array([len(label.positives) for label in labels[0]], dtype=np.int64) if labels else np.empty(0)
    )
    images = len(comparisons[0].truth)
    some = int((positives > 0).sum())
    if images < FEWEST_IMAGES or not some or 2 * int((positives == 1).sum()) > some:
        return {}
    plain = _by_label(labels, np.ones((1, images), dtype=np.int64))[..., 0]
    value = _mean(plain)
    bias = _mean(_mean(_by_label(labels, _halves(images, rng)), axis=-1) - plain)
    groups = _groups(images, rng)
    left_out = _mean(_by_label(labels, 1 - groups), axis=1)
    count = len(groups)
    deviations = left_out - left_out.mean(axis=1, keepdims=True)
    squares = np.square(deviations)
    # The bias of n / 2 images is that of n twice over only if it falls as 1 / n: half of it counts as uncertain.
    error = np.hypot(np.sqrt(squares.sum(axis=1) * (count - 1) / count), bias / 2)
    kurtosis = np.square(squares).mean(axis=1) / np.maximum(np.square(squares.mean(axis=1)), 1e-300)
    freedom = 2 * count / np.maximum(kurtosis - 1, 1e-9)
    # As if four more positives had been met, two found first and two found last (Agresti and Coull): where hardly
    # an error was seen, the images left out say nothing of how many there may be.
    tosses = int(positives.sum()) + 4
    centre = np.clip(((value - bias) * (tosses - 4) + 2) / tosses, 0.0, 1.0)
    error = np.maximum(error, np.sqrt(centre * (1 - centre) / tosses))
    reach = _t_quantile((1 + confidence) / 2, freedom) * error
    low, high = np.minimum(centre - reach, value), np.maximum(centre + reach, value)
    low[RULES.index("voc11")] -= _mean_precision_at_full_recall(labels, comparisons) / 11
    ends = np.clip([low, high], 0.0, 1.0)
    columns = zip(RULES, value, *ends, error, strict=True)
    return {f"mAP_{rule}": Interval(*map(float, numbers)) for rule, *numbers in columns}


def _t_quantile(probability: float, freedom: np.ndarray) -> np.ndarray:
    """Return Student's quantile by its expansion at the normal one; within 1 % from 4 degrees of freedom on.

    Source:
        Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    z, n = NormalDist().inv_cdf(probability), np.maximum(freedom, 4.0)
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return np.asarray(z + first / n + second / n**2 + third / n**3)


def _by_label(
    labels: Sequence[Sequence[SortedLabel]], weights: Int[np.ndarray, "resamples images"]
) -> Float[np.ndarray, "rules labels resamples"]:
    """Return AP of every label on every weighting, the mean over comparisons; NaN where it has no positive."""
    sums = np.zeros((len(RULES), len(labels[0]), len(weights)))
    for of_one in labels:
        for c, label in enumerate(of_one):
            by_rule = average_precision(label, weights)
            sums[:, c] += [by_rule[rule] for rule in RULES]
    return sums / len(labels)


def _mean(values: np.ndarray, axis: int = 1) -> np.ndarray:
    """Return the mean of what is defined; NaN where nothing is."""
    defined = ~np.isnan(values)
    total = np.where(defined, values, 0.0).sum(axis=axis)
    return total / np.where(defined.any(axis=axis), defined.sum(axis=axis), np.nan)


def _halves(images: int, rng: np.random.Generator) -> Int[np.ndarray, "resamples images"]:
    """Return weights of random halves, each followed by the other one."""
    halves = np.zeros((2 * PAIRS_OF_HALVES, images), dtype=np.int64)
    for pair in range(PAIRS_OF_HALVES):
        halves[2 * pair, rng.permutation(images)[: images // 2]] = 1
        halves[2 * pair + 1] = 1 - halves[2 * pair]
    return halves


def _groups(images: int, rng: np.random.Generator) -> Int[np.ndarray, "groups images"]:
    """Return membership of random groups, each image in one, of nearly the same size."""
    size = -(-images // MOST_GROUPS)
    parts = np.array_split(rng.permutation(images), -(-images // size))
    groups = np.zeros((len(parts), images), dtype=np.int64)
    for row, part in zip(groups, parts, strict=True):
        row[part] = 1
    return groups


def _mean_precision_at_full_recall(
    labels: Sequence[Sequence[SortedLabel]], comparisons: Sequence[Comparison]
) -> float:
    """Return the mean over labels of the precision at recall 1 above the label's frequency."""
    gaps = [
        len(label.positives) / len(label.images) - len(label.positives) / max(int((truth != -1).sum()), 1)
        for of_one, comparison in zip(labels, comparisons, strict=True)
        for label, truth in zip(of_one, comparison.truth.T, strict=True)
        if len(label.positives)
    ]
    return float(np.mean(gaps))


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


# Resampling is reweighting: P/R/F1 of all resamples are matrix products of weights and counts, AP a pass over presorted
# scores. Intervals of mAP are made otherwise (`map_intervals`).

CELLS_AT_ONCE = 4_000_000
"""Weights held at a time (32 MB); results depend on it in the last digit at most."""


@dataclass(frozen=True)
class PairedDifference:
    """First minus second on the same resampled images.

    Attributes:
        difference: on all images as they are; positive where the first is greater.
        low: lower end of the percentile interval.
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
    comparison: Comparison, *, rng: np.random.Generator, resamples: int = 1000, confidence: float = 0.95
) -> dict[str, Interval]:
    """Return an interval over images for every number that is not null.

    Args:
        resamples: how many times the images are drawn.
        confidence: mass inside the interval, in (0, 1).

    Returns:
        By name. Percentile intervals, of mAP those of `map_intervals`, which are not there where too little is known.
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
) -> dict[str, PairedDifference]:
    """Compare two predictions of the same images: difference, interval and one-sided p of every number.

    Args:
        first: the one that is claimed to be greater.
        resamples: how many times the images are drawn, the same images for both.

    Returns:
        By name, for the numbers that neither lacks.

    Raises:
        InputError: different truths, or fewer than 2 resamples.

    Source: Koehn 2004, paired bootstrap resampling.
    """
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
            differences[name] = PairedDifference(difference, *_percentiles(drawn, 0.95), p)
    return differences


# `bootstrap` compares two predictions; here many methods are measured on the same draws of the same images, one after
# the other, so that any two can be compared afterwards without holding all of their scores.


@dataclass(frozen=True)
class Resampled:
    """What a method measures, on all images and on every draw of them.

    Attributes:
        value: by name, the mean over its training seeds; numbers that are not defined are not in it.
        drawn: by the same names, one number per draw: of the images, and of as many seeds with replacement.
        over_seeds: by the same names, the standard deviation over seeds; empty with one seed.
        of_map: 95 % intervals of mAP, which draws do not give (`map_intervals`); empty without draws.
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

    def minus(self, other: "Resampled", name: str) -> PairedDifference | None:
        """Return this method's number minus another's, on the same draws of the images.

        Args:
            other: measured with the same images, resamples and seed.

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
        low, high = np.quantile(drawn, [0.025, 0.975])
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
