"""Intervals of mean average precision that cover where labels have few positives.

With few positives AP is biased upwards and skewed, and a bootstrap's repeated positives bias it once more: its
percentile interval of mAP covers 40 to 90 % of the time at the sizes people have (benchmarks/map_coverage.py). Here the
bias comes from half of the images, the spread from leaving images out; neither repeats an image.
Knows nothing of files. In the data path: `comparison` -> **map_interval** -> `bootstrap`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Float, Int

from labelbeam.metrics.comparison import Comparison
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
        low: lower end.
        high: upper end.
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
