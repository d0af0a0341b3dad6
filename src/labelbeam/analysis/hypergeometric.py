"""Tails of the hypergeometric distribution, for half a million tables at once.

Under `cooccurrence`. Works in logarithms, so a tail of 1e-5000 keeps its size. Knows nothing of labels.
"""

import numpy as np
from jaxtyping import Float, Int

NEGLIGIBLE = 1e-12
"""A tail ends where its next term adds less than this share of what is summed already."""


def log_factorials(most: int) -> Float[np.ndarray, " _"]:
    """Return log(0!), log(1!), …, log(most!).

    Example:
        >>> np.exp(log_factorials(4)).round(6).tolist()
        [1.0, 1.0, 2.0, 6.0, 24.0]
    """
    return np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, most + 1, dtype=np.float64)))))


def two_sided_log_p(
    both: Int[np.ndarray, " pairs"],
    first: Int[np.ndarray, " pairs"],
    second: Int[np.ndarray, " pairs"],
    known: Int[np.ndarray, " pairs"],
) -> Float[np.ndarray, " pairs"]:
    """Return log p of Fisher's exact test for tables of two by two: twice the tail on the observed side, at most 1.

    Args:
        both: draws that have both properties.
        first: draws with the first property.
        second: draws with the second.
        known: draws, at least one.

    Returns:
        Natural logarithms, at most 0.

    Source:
        Fisher's exact test with the doubled one-sided p. The side is that of the observed count relative to
        its expectation; the terms of a tail follow from one another by a ratio.

    Example:
        >>> tea = np.exp(two_sided_log_p(np.array([3]), np.array([4]), np.array([4]), np.array([8])))
        >>> round(float(tea[0]), 4)  # 2 * (16 + 1) / 70
        0.4857
    """
    log_f = log_factorials(int(known.max(initial=0)))
    neither = known - first - second + both
    term = (
        log_f[first] + log_f[known - first] + log_f[second] + log_f[known - second] - log_f[known]
        - log_f[both] - log_f[first - both] - log_f[second - both] - log_f[neither]
    )  # fmt: skip
    upper = both * known >= first * second
    # The two cells that grow and the two that shrink as the count walks away from its expectation.
    grow = np.where(upper, [both, neither], [first - both, second - both]).astype(np.float64)
    shrink = np.where(upper, [first - both, second - both], [both, neither]).astype(np.float64)
    return np.minimum(term + np.log(_relative_tail(grow, shrink)) + np.log(2.0), 0.0)


def _relative_tail(
    grow: Float[np.ndarray, "2 pairs"], shrink: Float[np.ndarray, "2 pairs"]
) -> Float[np.ndarray, " pairs"]:
    """Return each tail as a multiple of its first term."""
    total = np.ones(grow.shape[1])
    rows = np.arange(grow.shape[1])
    ratio, part = np.ones(grow.shape[1]), np.ones(grow.shape[1])
    step = 0.0
    while len(rows):
        ratio = (
            ratio * (shrink[0] - step) * (shrink[1] - step) / ((grow[0] + step + 1) * (grow[1] + step + 1))
        )
        part = part + ratio
        step += 1
        going = ratio > NEGLIGIBLE * part
        if not going.all():
            total[rows[~going]] = part[~going]
            rows, ratio, part, grow, shrink = (
                rows[going], ratio[going], part[going], grow[:, going], shrink[:, going]
            )  # fmt: skip
    return total
