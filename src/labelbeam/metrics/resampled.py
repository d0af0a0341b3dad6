"""Numbers of one method over images drawn again and again, and over its training seeds.

`bootstrap` compares two predictions; here many methods are measured on the same draws of the same images, one after
the other, so that any two can be compared afterwards without holding all of their scores. Knows nothing of files.
In the data path: one `Comparison` per training seed -> **resampled** -> intervals and differences.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from labelbeam.errors import InputError
from labelbeam.metrics.bootstrap import CELLS_AT_ONCE, Interval, PairedDifference
from labelbeam.metrics.comparison import Comparison
from labelbeam.metrics.evaluation import numbers


@dataclass(frozen=True)
class Resampled:
    """What a method measures, on all images and on every draw of them.

    Attributes:
        value: by name, the mean over its training seeds; numbers that are not defined are not in it.
        drawn: by the same names, one number per draw: of the images, and of as many seeds with replacement.
        over_seeds: by the same names, the standard deviation over seeds; empty with one seed.
    """

    value: Mapping[str, float]
    drawn: Mapping[str, Float[np.ndarray, " resamples"]]
    over_seeds: Mapping[str, float]

    def interval(self, name: str, *, confidence: float = 0.95) -> Interval | None:
        """Return a number with its percentile interval; None where it is not defined."""
        defined = self.drawn[name][~np.isnan(self.drawn[name])] if name in self.drawn else np.empty(0)
        if not len(defined):
            return None
        low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
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
        >>> from labelbeam.metrics.protocols import Protocol
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
    return Resampled(value, drawn, over_seeds)


def _draws(images: int, resamples: int, seed: int) -> Iterator[Int[np.ndarray, "draws images"]]:
    """Yield how often each image is drawn, some draws at a time; the same for the same seed."""
    random, at_once = np.random.default_rng(seed), max(1, CELLS_AT_ONCE // images)
    for first in range(0, resamples, at_once):
        count = min(at_once, resamples - first)
        yield np.stack(
            [np.bincount(random.integers(images, size=images), minlength=images) for _ in range(count)]
        )
