"""Splits of multi-label data in which every part has its share of every label.

Used by training (a validation part) and by cross-validation. Knows nothing of images; unknown labels count as
not present here.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int8

from labelbeam.errors import InputError
from labelbeam.labels.targets import PRESENT


def split(
    targets: Int8[np.ndarray, "images labels"], fractions: Sequence[float], *, seed: int
) -> list[np.ndarray]:
    """Split images into parts of given sizes, the positives of each label in the same proportions.

    The rarest label that still has unassigned images is dealt out first, each image to the part that lacks
    most of that label, then to the part that lacks most images, then at random. The sizes of the parts follow
    from the labels: they come out near the fractions, not exactly.

    Args:
        targets: PRESENT (1), ABSENT (0), UNKNOWN (-1).
        fractions: share of each part, above 0, with sum 1.
        seed: of the random ties; the same seed gives the same parts.

    Returns:
        For each part the indices of its images, int64, ascending; every image is in exactly one.

    Raises:
        InputError: fewer than two fractions, one that is not above 0, a sum that is not 1, or more parts than
            images.

    Source:
        Sechidis, Tsoumakas, Vlahavas, On the Stratification of Multi-Label Data, ECML PKDD 2011, algorithm 1.

    Example:
        >>> targets = np.array([[1, 0]] * 4 + [[0, 1]] * 4, dtype=np.int8)
        >>> [int(targets[part, 0].sum()) for part in split(targets, (0.5, 0.5), seed=0)]
        [2, 2]
    """
    shares = _check(len(targets), fractions)
    rng = np.random.default_rng(seed)
    present = targets == PRESENT
    order = rng.permutation(len(targets)).tolist()
    # Plain lists from here on: single elements of NumPy arrays cost ten times as much to reach.
    labels_of = _columns_by_row(present)
    left = present.sum(axis=0).tolist()
    wanted_of_label = [[share * count for share in shares] for count in left]
    wanted = [share * len(targets) for share in shares]
    tie = rng.random((len(targets), len(shares))).tolist()
    part_of = [-1] * len(targets)

    holders: list[list[int]] = [[] for _ in left]
    for i in order:
        for label in labels_of[i]:
            holders[label].append(i)
    open_labels = {label for label, count in enumerate(left) if count}
    while open_labels:
        rarest = min(open_labels, key=lambda label: (left[label], label))
        open_labels.remove(rarest)
        wishes = wanted_of_label[rarest]
        for i in holders[rarest]:
            if part_of[i] >= 0:
                continue
            part = _neediest(wishes, wanted, tie[i])
            part_of[i] = part
            wanted[part] -= 1
            for label in labels_of[i]:
                left[label] -= 1
                wanted_of_label[label][part] -= 1
        open_labels = {label for label in open_labels if left[label]}
    for i in order:
        if part_of[i] < 0:
            part = _neediest(wanted, tie[i])
            part_of[i] = part
            wanted[part] -= 1
    parts = np.array(part_of)
    return [np.flatnonzero(parts == p) for p in range(len(shares))]


def folds(
    targets: Int8[np.ndarray, "images labels"], num_folds: int, *, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return stratified folds for cross-validation.

    Args:
        targets: PRESENT (1), ABSENT (0), UNKNOWN (-1).
        num_folds: at least 2.
        seed: as in `split`.

    Returns:
        For each fold the indices of its training and of its held-out images, int64, ascending.

    Raises:
        InputError: fewer than 2 folds, or more than images.

    Example:
        >>> targets = np.array([[1, 0]] * 4 + [[0, 1]] * 4, dtype=np.int8)
        >>> [(len(train), len(held_out)) for train, held_out in folds(targets, 4, seed=0)]
        [(6, 2), (6, 2), (6, 2), (6, 2)]
    """
    if num_folds < 2:
        raise InputError(f"cross-validation needs at least 2 folds, given {num_folds}.")
    parts = split(targets, [1 / num_folds] * num_folds, seed=seed)
    everything = np.arange(len(targets))
    return [(np.setdiff1d(everything, part, assume_unique=True), part) for part in parts]


def _check(num_images: int, fractions: Sequence[float]) -> list[float]:
    shares = [float(fraction) for fraction in fractions]
    if len(shares) < 2 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise InputError(f"fractions must be at least two numbers above 0 with sum 1; given {shares}.")
    if len(shares) > num_images:
        raise InputError(f"{num_images} images cannot be split into {len(shares)} parts. Use fewer parts.")
    return shares


def _neediest(*wishes: list[float]) -> int:
    """Return the part with the greatest wish; later wishes decide between equal ones."""
    by_part = list(zip(*wishes, strict=True))
    return by_part.index(max(by_part))


def _columns_by_row(present: np.ndarray) -> list[list[int]]:
    """Return for each row the columns that are set."""
    rows, columns = np.nonzero(present)
    starts = np.searchsorted(rows, np.arange(len(present) + 1))
    flat = columns.tolist()
    return [flat[start:stop] for start, stop in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)]
