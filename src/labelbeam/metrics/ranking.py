"""Rankings and what is read from them: exact-k sets, MAP@N, average precision by three rules."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Int8

from labelbeam.labels.vocabulary import ByLabel, LabelSets, PerImage, Targets

# Equal scores are one threshold. A threshold whose images are all negative only lowers precision at the same recall, so
# the curve is kept at thresholds that hold a positive: that is what makes resampling cheap.

RULES = ("area", "voc10", "voc11")
"""`area`: no interpolation (scikit-learn). `voc10`: area under the interpolated curve. `voc11`: 11 points."""

RESAMPLES_AT_ONCE = 64
"""Resamples per pass: keeps a column of weights for 40,000 images near the processor's cache."""


@dataclass(frozen=True)
class SortedLabel:
    """The images of one label in falling order of score, cut at the thresholds that hold a positive.

    Attributes:
        images: ids of images where the label is known, best score first, up to the last positive's threshold.
        starts: index into `images` where each stretch begins; it ends with a threshold that holds a positive.
        positives: ids of the images where the label is present, best score first.
        positive_starts: index into `positives` where each stretch begins.
    """

    images: Int[np.ndarray, " observed"]
    starts: Int[np.ndarray, " thresholds"]
    positives: Int[np.ndarray, " present"]
    positive_starts: Int[np.ndarray, " thresholds"]


def sort_label(truth: Int8[np.ndarray, " images"], scores: PerImage) -> SortedLabel:
    """Sort one label's known images by score and find its thresholds.

    Args:
        truth: 1 present, 0 absent, -1 unknown (left out).
        scores: higher is better; no NaN; -inf is "below every score given".

    Example:
        >>> sort_label(np.array([0, 1, 1, 0], dtype=np.int8), np.array([0.9, 0.5, 0.1, 0.5])).starts.tolist()
        [0, 3]
    """
    observed = np.flatnonzero(truth != -1)
    order = observed[np.argsort(-scores[observed], kind="stable")]
    value, positive = scores[order], truth[order] == 1
    is_last = np.append(value[1:] != value[:-1], True) if len(order) else np.zeros(0, dtype=np.bool_)
    ends = np.flatnonzero(is_last) + 1  # one past each threshold's last image
    seen = np.append(0, positive.cumsum())  # positives before each index
    gained = np.diff(seen[ends], prepend=0) > 0
    ends = ends[gained]
    starts = np.append(0, ends)[:-1]
    return SortedLabel(
        images=order[: ends[-1]] if len(ends) else order[:0],
        starts=starts,
        positives=order[positive],
        positive_starts=seen[starts],
    )


def average_precision(
    label: SortedLabel, weights: Int[np.ndarray, "resamples images"]
) -> dict[str, Float[np.ndarray, " resamples"]]:
    """Average precision by every rule of `RULES`, for every weighting of the images.

    `area`  = sum_n (R_n - R_{n-1}) P_n over thresholds n in falling order;
    `voc10` = sum_n (R_n - R_{n-1}) max_{m >= n} P_m;
    `voc11` = mean over r in {0, 0.1, ..., 1} of max {P_m : R_m >= r}.

    Args:
        label: the label's images, sorted once.
        weights: how often each image counts; ones for the plain value.

    Returns:
        A number per resample and rule; NaN where the resample has no positive.

    Source: scikit-learn `average_precision_score`; the VOC development kits of 2010 and 2007. `voc11`
    compares R_m >= r in integers, so it does not share the kit's rounding at r = 0.3 and the like.

    Example:
        >>> label = sort_label(np.array([1, 0, 1], dtype=np.int8), np.array([0.9, 0.8, 0.7]))
        >>> once = np.ones((1, 3), dtype=np.int64)
        >>> {rule: round(float(ap[0]), 4) for rule, ap in average_precision(label, once).items()}
        {'area': 0.8333, 'voc10': 0.8333, 'voc11': 0.8485}
    """
    values = {rule: np.full(len(weights), np.nan) for rule in RULES}
    if len(label.starts) == 0:
        return values
    for start in range(0, len(weights), RESAMPLES_AT_ONCE):
        chunk = slice(start, start + RESAMPLES_AT_ONCE)
        for rule, value in _of_chunk(label, weights[chunk]).items():
            values[rule][chunk] = value
    return values


def _of_chunk(label: SortedLabel, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Average precision of a few resamples; the arrays are [resamples thresholds]."""
    gained = np.add.reduceat(
        weights.take(label.positives, axis=1), label.positive_starts, axis=1, dtype=np.int64
    )
    decided = np.add.reduceat(weights.take(label.images, axis=1), label.starts, axis=1, dtype=np.int64)
    right = gained.cumsum(axis=1)
    positives = right[:, -1:]
    precision = right / np.maximum(decided.cumsum(axis=1), 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[
        :, ::-1
    ]  # best precision at this recall or more
    tenths = np.arange(11) * positives  # [resamples 11], compared with 10 * right in integers
    reached = np.stack([np.searchsorted(10 * row, points) for row, points in zip(right, tenths, strict=True)])
    with np.errstate(invalid="ignore"):  # 0 / 0: a resample without a positive has no average precision
        some = np.where(positives[:, 0] > 0, 1.0, np.nan)
        return {
            "area": (gained * precision).sum(axis=1) / positives[:, 0],
            "voc10": (gained * envelope).sum(axis=1) / positives[:, 0],
            "voc11": np.take_along_axis(envelope, reached, axis=1).mean(axis=1) * some,
        }


# A ranking is int [images depth]: column ids, best first, then NOTHING; OUTSIDE stands for any label that the truth
# does not know. Unknown labels leave the ranking before anything is counted.

NOTHING = -1
"""Fills a ranking that is shorter than its depth."""

OUTSIDE = -2
"""A ranked label that has no column: it takes its place in the ranking and is wrong there."""

ROWS_AT_ONCE = 4096


def rank_labels(
    scores: ByLabel, names: Sequence[str], *, observed: LabelSets, depth: int
) -> Int[np.ndarray, "images depth"]:
    """Rank each image's known labels by score; equal scores by the code points of their names.

    Args:
        scores: higher is better; -inf ranks below every finite score.
        observed: False takes the label out of the image's ranking.

    Returns:
        Column ids, best first; NOTHING where an image has fewer known labels than `depth`.

    Example:
        >>> observed = np.ones((1, 3), dtype=np.bool_)
        >>> rank_labels(np.array([[0.5, 0.9, 0.5]]), ["b", "c", "a"], observed=observed, depth=4)
        array([[ 1,  2,  0, -1]])
    """
    by_name = np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.int64)
    kept = min(depth, len(names))
    ranking = np.full((len(scores), depth), NOTHING, dtype=np.int64)
    for start in range(0, len(scores), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        inside = observed[rows][:, by_name]
        keys = np.where(inside, -scores[rows][:, by_name], np.nan)  # surprisingly, NaN sorts after +inf
        best = np.argsort(keys, axis=1, kind="stable")[:, :kept]
        ranking[rows, :kept] = np.where(np.take_along_axis(inside, best, axis=1), by_name[best], NOTHING)
    return ranking


def decide_top_k(
    ranking: Int[np.ndarray, "images depth"], num_labels: int, *, k: int
) -> tuple[LabelSets, Int[np.ndarray, " images"]]:
    """Decide the first k labels of each ranking.

    Returns:
        decisions, and per image how many of the k are outside the truth.

    Example:
        >>> decisions, outside = decide_top_k(np.array([[1, -2, 0]]), 3, k=2)
        >>> decisions.tolist(), outside.tolist()
        ([[False, True, False]], [1])
    """
    top = ranking[:, :k]
    decisions = np.zeros(
        (len(ranking), num_labels + 1), dtype=np.bool_
    )  # one column more takes what has none
    np.put_along_axis(decisions, np.where(top >= 0, top, num_labels), True, axis=1)
    return decisions[:, :num_labels], (top == OUTSIDE).sum(axis=1)


def average_precision_at(truth: Targets, ranking: Int[np.ndarray, "images depth"], *, n: int) -> PerImage:
    """AP@N(i) = 1 / min(N, |G_i|) * sum_{j <= N} precision@j * [j-th label is right].

    Args:
        truth: 1 present, 0 absent, -1 unknown (never in the ranking).
        ranking: as of `rank_labels`, at least n deep or complete.

    Returns:
        One number per image; NaN for an image without labels.

    Source: Gong et al. 2013 and the CNN-RNN talk; the paper's normaliser is not visible, this is the
    usual one.

    Example:
        >>> truth = np.array([[1, 0, 1]], dtype=np.int8)
        >>> average_precision_at(truth, np.array([[0, 1, 2]]), n=10).round(4).tolist()
        [0.8333]
    """
    top = ranking[:, :n]
    right = (np.take_along_axis(truth, np.maximum(top, 0), axis=1) == 1) & (top >= 0)  # [images n]
    precision = right.cumsum(axis=1) / np.arange(1, top.shape[1] + 1)
    positives = (truth == 1).sum(axis=1)
    value = np.full(len(truth), np.nan)
    total = (precision * right).sum(axis=1)
    return np.divide(total, np.minimum(n, positives), out=value, where=positives > 0)


def exact_k_ceiling(truth: Targets, *, k: int) -> dict[str, float | None]:
    """Return the best O-P, O-R and O-F1 that any method can have that decides exactly k labels per image.

    A perfect ranking gets min(k, |G_i|) right and must still decide k (or all known labels if fewer).

    Returns:
        {"OP": ..., "OR": ..., "OF1": ...} as fractions; None where no image has a label.

    Source: derived here, the paper has no such bound; numbers above these were made by another protocol.

    Example:
        >>> exact_k_ceiling(np.array([[1, 0, 0, 0], [1, 1, 1, 1]], dtype=np.int8), k=3)
        {'OP': 0.6666666666666666, 'OR': 0.8, 'OF1': 0.7272727272727272}
    """
    positives = (truth == 1).sum(axis=1)
    right = int(np.minimum(positives, k).sum())
    decided = int(np.minimum((truth != -1).sum(axis=1), k).sum())
    true = int(positives.sum())
    if true == 0:
        return {"OP": None, "OR": None, "OF1": None}
    precision, recall = right / decided, right / true
    return {"OP": precision, "OR": recall, "OF1": 2 * precision * recall / (precision + recall)}
