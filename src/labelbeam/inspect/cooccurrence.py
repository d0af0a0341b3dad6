"""Which labels occur together more, or less, than chance would have it, and which imply one another.

A pair is counted over the images where both of its labels are known. Chance means: each label keeps its number of
images, and which images those are is independent of the other label. Tails are kept as logarithms, so that 1e-5000
keeps its size.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from labelbeam.labels.vocabulary import PRESENT, UNKNOWN
from labelbeam.metrics.intervals import NORMAL_975, shares_of

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


ROWS = 16_384
"""Images per matrix product; single precision is exact up to 16,777,216."""


@dataclass(frozen=True, eq=False)
class PairCounts:
    """How often labels occur together, over the images where both are known.

    Attributes:
        both: int64 [labels labels], images that have both; its diagonal is the number of images per label.
        first: of the images where the column's label is known, those that have the row's label.
        known: images where both are known.
    """

    both: Int[np.ndarray, "labels labels"]
    first: Int[np.ndarray, "labels labels"]
    known: Int[np.ndarray, "labels labels"]


def pair_counts(targets: Int8[np.ndarray, "images labels"]) -> PairCounts:
    """Count every pair of labels.

    Example:
        >>> counts = pair_counts(np.array([[1, 1], [1, 0], [1, -1]], dtype=np.int8))
        >>> counts.both.tolist(), int(counts.first[0, 1]), int(counts.known[0, 1])
        ([[3, 1], [1, 1]], 2, 2)
    """
    num_images, num_labels = targets.shape
    both, first, known = (np.zeros((num_labels, num_labels), dtype=np.int64) for _ in range(3))
    for start in range(0, num_images, ROWS):
        rows = targets[start : start + ROWS]
        present, settled = rows == PRESENT, rows != UNKNOWN
        here = _pairs_of_few(present)
        both += here
        if settled.all():
            first += np.diagonal(here)[:, None]
            known += len(rows)
        else:
            looked = settled.astype(np.float32)
            first += (present.T.astype(np.float32) @ looked).astype(np.int64)
            known += (looked.T @ looked).astype(np.int64)
    return PairCounts(both, first, known)


def _pairs_of_few(present: Bool[np.ndarray, "images labels"]) -> Int[np.ndarray, "labels labels"]:
    """Return how many images have both of two labels: pair by pair where images have few, else as a product."""
    num_labels = present.shape[1]
    image, label = np.nonzero(present)
    most = int(np.bincount(image).max(initial=0))
    if 32 * len(label) * most > present.size * num_labels:
        here = present.astype(np.float32)
        return (here.T @ here).astype(np.int64)
    pairs = []
    for apart in range(most):  # a pair is two entries of one image that stand so far apart
        end = len(label) - apart
        same = image[apart:] == image[:end]
        pairs.append(label[:end][same] * num_labels + label[apart:][same])
    counts = np.bincount(np.concatenate([*pairs, []]).astype(np.int64), minlength=num_labels**2)
    upper = counts.reshape(num_labels, num_labels)
    return upper + upper.T - np.diag(np.diagonal(upper))


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of labels with what their counts say, one entry per pair.

    Attributes:
        a: id of the first label.
        b: id of the second.
        known: images where both are known.
        count_a: of these, images with the first.
        count_b: images with the second.
        both: images with both.
        log_odds: log odds ratio with 1/2 added to each cell; 0 is chance.
        low: lower end of its 95 % interval, for this pair by itself.
        high: upper end.
        log_p: natural logarithm of Fisher's two-sided p.
        log_p_adjusted: the same after Holm's correction for all pairs tested.
    """

    a: Int[np.ndarray, " pairs"]
    b: Int[np.ndarray, " pairs"]
    known: Int[np.ndarray, " pairs"]
    count_a: Int[np.ndarray, " pairs"]
    count_b: Int[np.ndarray, " pairs"]
    both: Int[np.ndarray, " pairs"]
    log_odds: Float[np.ndarray, " pairs"]
    low: Float[np.ndarray, " pairs"]
    high: Float[np.ndarray, " pairs"]
    log_p: Float[np.ndarray, " pairs"]
    log_p_adjusted: Float[np.ndarray, " pairs"]

    def __len__(self) -> int:
        return len(self.a)

    @property
    def expected(self) -> Float[np.ndarray, " pairs"]:
        """Images with both if the two labels were independent."""
        return self.count_a * self.count_b / self.known

    @property
    def lift(self) -> Float[np.ndarray, " pairs"]:
        """Observed over expected number of images with both; 1 is chance."""
        return self.both / self.expected


def examined_pairs(counts: PairCounts) -> Pairs:
    """Test every pair of labels for independence.

    Pairs whose counts could not have come out otherwise (a label that every known image has, or none) are left
    out, and not counted as tests.

    Source:
        Fisher's exact test; Holm (1979) over all pairs; the odds ratio's interval is Woolf's with Haldane's and
        Anscombe's 1/2.

    Example:
        >>> apart = np.array([[1, 0]] * 20 + [[0, 1]] * 20, dtype=np.int8)
        >>> found = examined_pairs(pair_counts(apart))
        >>> int(found.both[0]), float(found.expected[0]), bool(found.high[0] < 0)
        (0, 10.0, True)
    """
    a, b = np.triu_indices(len(counts.both), 1)
    both, known = counts.both[a, b], counts.known[a, b]
    count_a, count_b = counts.first[a, b], counts.first[b, a]
    open_ = (count_a > 0) & (count_a < known) & (count_b > 0) & (count_b < known)
    a, b, both, known, count_a, count_b = (column[open_] for column in (a, b, both, known, count_a, count_b))
    cells = np.stack((both, count_a - both, count_b - both, known - count_a - count_b + both)) + 0.5
    log_odds = np.log(cells[0]) - np.log(cells[1]) - np.log(cells[2]) + np.log(cells[3])
    half = NORMAL_975 * np.sqrt((1 / cells).sum(axis=0))
    log_p = two_sided_log_p(both, count_a, count_b, known)
    return Pairs(
        *(a, b, known, count_a, count_b, both),
        *(log_odds, log_odds - half, log_odds + half),
        *(log_p, holm(log_p)),
    )


def holm(log_p: Float[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    """Correct p-values for their number, by Holm's step-down method, in logarithms.

    Where every adjusted p below 0.05 is called a finding, the chance of even one false finding is at most 5 %.

    Example:
        >>> np.exp(holm(np.log([0.01, 0.04, 0.03]))).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(log_p, kind="stable")
    factors = np.log(np.arange(len(log_p), 0, -1, dtype=np.float64))
    adjusted = np.empty(len(log_p))
    adjusted[order] = np.minimum(np.maximum.accumulate(log_p[order] + factors), 0.0)
    return adjusted


def strongest(pairs: Pairs, *, together: bool, count: int, alpha: float = 0.05) -> Int[np.ndarray, " found"]:
    """Return the pairs that differ most from chance in one direction, of those that do beyond doubt.

    Sorted by the end of the interval nearest to chance, so that neither rare pairs (a large ratio of tiny
    counts) nor frequent ones (a small ratio, precisely known) crowd out the rest.
    """
    certain = significant(pairs, together=together, alpha=alpha)
    nearest = -pairs.low if together else pairs.high
    found = np.flatnonzero(certain)
    return found[np.argsort(nearest[found], kind="stable")][:count]


def significant(pairs: Pairs, *, together: bool, alpha: float = 0.05) -> Bool[np.ndarray, " pairs"]:
    """Tell which pairs occur together more (or less) than chance after correction for the number of pairs."""
    side = pairs.log_odds > 0 if together else pairs.log_odds < 0
    return side & (pairs.log_p_adjusted < np.log(alpha))


@dataclass(frozen=True)
class Implication:
    """Where one label is, the other (nearly) always is too.

    Attributes:
        narrow: id of the label that implies.
        wide: id of the label implied.
        both: images that have both.
        count: images that have `narrow`, `wide` being known.
        at_least: lower end of the 95 % interval of the share `both / count` (Wilson).
        mutual: whether the other direction holds as well: two names for one thing, perhaps.
    """

    narrow: int
    wide: int
    both: int
    count: int
    at_least: float
    mutual: bool


def implications(pairs: Pairs, *, share: float = 0.98, alpha: float = 0.05) -> list[Implication]:
    """Return the candidates for a file of implications (`dog -> animal`).

    A pair counts if the share P(wide | narrow) is at least `share` and the two occur together more than chance
    beyond doubt; so a label that nearly every image has is implied by none.

    Example:
        >>> dogs = np.array([[1, 1]] * 30 + [[0, 1]] * 10 + [[0, 0]] * 60, dtype=np.int8)
        >>> [(one.narrow, one.wide, one.both, one.mutual) for one in implications(examined_pairs(pair_counts(dogs)))]
        [(0, 1, 30, False)]
    """
    certain = significant(pairs, together=True, alpha=alpha)
    forward = certain & (pairs.both >= share * pairs.count_a)
    backward = certain & (pairs.both >= share * pairs.count_b)
    found = []
    for holds, narrow, wide, count in (
        (forward, pairs.a, pairs.b, pairs.count_a),
        (backward, pairs.b, pairs.a, pairs.count_b),
    ):
        for i in np.flatnonzero(holds):
            both, of = int(pairs.both[i]), int(count[i])
            mutual = bool(forward[i] and backward[i])
            found.append(Implication(int(narrow[i]), int(wide[i]), both, of, wilson_low(both, of), mutual))
    return sorted(found, key=lambda one: (-one.both, one.narrow, one.wide))


def wilson_low(hits: int, trials: int) -> float:
    """Return the lower end of Wilson's 95 % interval of a share.

    Example:
        >>> round(wilson_low(50, 50), 3)
        0.929
    """
    return float(shares_of(np.array([hits]), np.array([trials])).low[0])
