"""Finite-sample statistics of promises: quantiles, bounds and tests that hold for any model and any distribution.

Everything holds for images drawn as the calibration images were, and says nothing of others. Pure arithmetic; knows no
label, no model and no file. In the data path: losses of calibration images -> **conformal** -> `promises`.
"""

import math
from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Float, Num

from labelbeam.labels.vocabulary import PerImage

CONFIDENCE = 0.95
"""Of promises that hold with confidence: of 100 calibrations, at most 5 break theirs."""

MOST_STAKE = 0.9
"""Of what is owned, the share that the worst loss may take."""


def conformal_quantile(scores: PerImage, miss: float) -> float:
    """Return what a new image's score exceeds with probability `miss` at most, over calibration and new image.

    The ceil((n + 1)(1 - miss))-th smallest score; infinite where there are too few images.

    Source:
        Split conformal prediction: Papadopoulos et al. 2002; Angelopoulos and Bates, arXiv 2107.07511, section 1.

    Example:
        >>> conformal_quantile(np.arange(1.0, 10.0), 0.1), conformal_quantile(np.arange(1.0, 9.0), 0.1)
        (9.0, inf)
    """
    rank = math.ceil((len(scores) + 1) * (1 - miss) - 1e-9)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


def expected_risk(losses: PerImage) -> float:
    """Return what bounds the expected loss of a new image, for losses in [0, 1] that only grow from rule to rule.

    (sum of losses + 1) / (n + 1): the last rule below a level keeps that level, on average over calibrations.

    Source:
        Conformal risk control: Angelopoulos, Bates, Fisch, Lei, Schuster, ICLR 2024, arXiv 2208.02814, equation 4.
    """
    return float((losses.sum() + 1) / (len(losses) + 1))


def risk_p_value(
    mean_loss: Float[np.ndarray, "..."], images: Num[np.ndarray, "..."] | int, most: float
) -> Float[np.ndarray, "..."]:
    """Return a p-value of "the expected loss is above `most`" from the mean alone, for losses in [0, 1].

    Valid, and fast over many rules, but less sharp than `mean_p_value`: it says where to test, and how many images it
    would take.

    Source:
        Hoeffding 1963, theorem 1, in its form with the relative entropy.

    Example:
        >>> risk_p_value(np.array(0.0), 59, 0.05).round(4)  # 0.95 ** 59
        np.float64(0.0485)
    """
    mean = np.minimum(np.asarray(mean_loss, dtype=np.float64), most)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 log 0 is 0
        divergence = np.nan_to_num(mean * np.log(mean / most)) + (1 - mean) * np.log((1 - mean) / (1 - most))
    return np.asarray(np.exp(-np.asarray(images) * divergence))


def error_p_value(
    errors: Num[np.ndarray, "..."], cases: Num[np.ndarray, "..."], most: float
) -> Float[np.ndarray, "..."]:
    """Return the exact p-value of "a case is an error with a probability above `most`"; 1 without cases."""
    n = np.asarray(cases)
    return np.where(n > 0, binomial_cdf(errors, n, most), 1.0)


def binomial_cdf(
    errors: Num[np.ndarray, "..."], cases: Num[np.ndarray, "..."], share: float
) -> Float[np.ndarray, "..."]:
    """Return the probability of at most so many errors, each case being one with a probability in (0, 1).

    Example:
        >>> binomial_cdf(np.array([0, 1]), np.array(2), 0.5).tolist()
        [0.25, 0.75]
    """
    found, totals = np.broadcast_arrays(
        np.asarray(errors).astype(np.int64), np.asarray(cases).astype(np.int64)
    )
    result = np.ones(found.shape)
    logs = np.append(0.0, np.log(np.arange(1, totals.max(initial=0) + 1)).cumsum())  # of factorials
    for n in np.unique(totals):
        k = np.arange(n + 1)
        log_masses = logs[n] - logs[k] - logs[n - k] + k * math.log(share) + (n - k) * math.log1p(-share)
        here = totals == n
        result[here] = np.minimum(np.exp(log_masses).cumsum(), 1.0)[np.minimum(found[here], n)]
    return result


def mean_p_value(losses: PerImage, most: float) -> float:
    """Return the p-value of "the expected loss is above `most`", for losses in [0, 1]; 1 without images.

    Money is bet on small losses, image after image, the stake set by the losses before; the p-value is one over the
    most that was ever owned. Exact at every sample size, and far sharper than `risk_p_value` where losses vary little.

    Source:
        Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS B 2024, section 4.1.

    Example:
        >>> mean_p_value(np.zeros(80), 0.05) < 0.05 < mean_p_value(np.full(80, 0.06), 0.05)
        True
    """
    if not len(losses):
        return 1.0
    bets = np.random.default_rng(0).permutation(losses)  # data sets come sorted
    seen = np.arange(1, len(bets) + 1)
    mean = (0.5 + bets.cumsum()) / (seen + 1)
    variance = np.append(0.25, (0.25 + np.square(bets - mean).cumsum()) / (seen + 1))[:-1]
    stake = np.sqrt(2 * math.log(1 / (1 - CONFIDENCE)) / (len(bets) * variance))
    owned = np.log1p(np.minimum(stake, MOST_STAKE / (1 - most)) * (most - bets)).cumsum()
    return float(min(1.0, np.exp(-owned.max())))


def last_passing(rules: Iterable[int], p_value: Callable[[int], float], level: float) -> int | None:
    """Return the last rule that passes, tested one after the other until one fails; the order was fixed before.

    Source:
        Fixed sequence testing: Learn then Test, arXiv 2110.01052, section 2.1; no correction for many tests is needed.
    """
    passed = None
    for rule in rules:
        if not p_value(rule) <= level + 1e-12:  # 1 - 0.9 is less than 0.1
            break
        passed = rule
    return passed


def lowest_kept(count: int, miss: float, confidence: float | None) -> int:
    """Return how many of the lowest of `count` scores may be given up, so that a new one is missed at most so often.

    Rules that keep a score from the k-th smallest upwards miss a new score with probability `miss` at most: on average
    over calibrations (None), or with confidence.

    Args:
        miss: share of new scores that may be missed.
        confidence: in (0, 1); None: on average.

    Returns:
        k; 0: there are too few scores for any.

    Source:
        Order statistics as tolerance limits: Wilks 1941.
    """
    if confidence is None:
        return math.floor((count + 1) * miss + 1e-9)
    below = binomial_cdf(np.arange(count), np.full(count, count), miss)
    return int((below <= 1 - confidence).sum())


def fewest_cases(miss: float, confidence: float | None) -> int:
    """Return how many cases of calibration a promise needs even if none of them is an error.

    Example:
        >>> fewest_cases(0.05, 0.95), fewest_cases(0.05, None)
        (59, 19)
    """
    if confidence is None:
        return math.ceil(1 / miss - 1 - 1e-9)
    return math.ceil(math.log(1 - confidence) / math.log(1 - miss) - 1e-9)
