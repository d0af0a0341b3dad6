"""Scores to rankings, and what is read from the top of a ranking: exact-k sets and MAP@N.

A ranking is int [images depth]: column ids, best first, then NOTHING; OUTSIDE stands for any label that the
truth does not know. Unknown labels leave the ranking before anything is counted. Knows nothing of files.
In the data path: scores -> **ranking** -> decisions (`protocols`) and MAP@N (`evaluation`).
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

NOTHING = -1
"""Fills a ranking that is shorter than its depth."""

OUTSIDE = -2
"""A ranked label that has no column: it takes its place in the ranking and is wrong there."""

ROWS_AT_ONCE = 4096


def rank_labels(
    scores: Float[np.ndarray, "images labels"],
    names: Sequence[str],
    *,
    known: Bool[np.ndarray, "images labels"],
    depth: int,
) -> Int[np.ndarray, "images depth"]:
    """Rank each image's known labels by score; equal scores by the code points of their names.

    Args:
        scores: higher is better; -inf ranks below every finite score.
        names: label names by column.
        known: False takes the label out of the image's ranking.
        depth: how many ranks to keep.

    Returns:
        Column ids, best first; NOTHING where an image has fewer known labels than `depth`.

    Example:
        >>> known = np.ones((1, 3), dtype=np.bool_)
        >>> rank_labels(np.array([[0.5, 0.9, 0.5]]), ["b", "c", "a"], known=known, depth=4)
        array([[ 1,  2,  0, -1]])
    """
    by_name = np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.int64)
    kept = min(depth, len(names))
    ranking = np.full((len(scores), depth), NOTHING, dtype=np.int64)
    for start in range(0, len(scores), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        inside = known[rows][:, by_name]
        keys = np.where(inside, -scores[rows][:, by_name], np.nan)  # surprisingly, NaN sorts after +inf
        best = np.argsort(keys, axis=1, kind="stable")[:, :kept]
        ranking[rows, :kept] = np.where(np.take_along_axis(inside, best, axis=1), by_name[best], NOTHING)
    return ranking


def decide_top_k(
    ranking: Int[np.ndarray, "images depth"], num_labels: int, *, k: int
) -> tuple[Bool[np.ndarray, "images labels"], Int[np.ndarray, " images"]]:
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


def average_precision_at(
    truth: Int8[np.ndarray, "images labels"], ranking: Int[np.ndarray, "images depth"], *, n: int
) -> Float[np.ndarray, " images"]:
    """AP@N(i) = 1 / min(N, |G_i|) * sum_{j <= N} precision@j * [j-th label is right].

    Args:
        truth: 1 present, 0 absent, -1 unknown (never in the ranking).
        ranking: as of `rank_labels`, at least n deep or complete.
        n: length of the list that is looked at.

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


def exact_k_ceiling(truth: Int8[np.ndarray, "images labels"], *, k: int) -> dict[str, float | None]:
    """Return the best O-P, O-R and O-F1 that any method can have that decides exactly k labels per image.

    A perfect ranking gets min(k, |G_i|) right and must still decide k (or all known labels if fewer).

    Returns:
        {"OP": ..., "OR": ..., "OF1": ...} as fractions; None where no image has a label.

    Source: derived in our notes on the paper, section 6; numbers above these were made by another protocol.

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
