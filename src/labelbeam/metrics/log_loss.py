"""Log-loss of per-label probabilities, over the labels that were not told beforehand."""

import numpy as np
from jaxtyping import Float, Int8

from labelbeam.errors import InputError
from labelbeam.labels.targets import PRESENT, UNKNOWN

PROBABLE = 1e-4
"""Probabilities are kept this far from 0 and 1 before their logarithm is taken: samples give exact zeros."""


def remaining_nats(
    scores: Float[np.ndarray, "images labels"],
    targets: Int8[np.ndarray, "images labels"],
    known: Int8[np.ndarray, "images labels"],
) -> Float[np.ndarray, " images"]:
    """Return -log p(label is as it is), summed over the labels of each image that are asked for, in nats.

    Args:
        scores: p(label | image, what is known), in [0, 1].
        targets: 1 present, 0 absent, -1 unknown (not asked for).
        known: -1 where the label was not told; other labels are not asked for.

    Raises:
        InputError: the three differ in shape.

    Example:
        >>> scores, targets = np.array([[0.5, 0.9]]), np.array([[1, 1]], dtype=np.int8)
        >>> remaining_nats(scores, targets, np.array([[-1, 1]], dtype=np.int8)).round(3).tolist()
        [0.693]
    """
    if not scores.shape == targets.shape == known.shape:
        raise InputError(
            f"scores {scores.shape}, targets {targets.shape} and known {known.shape} differ in shape."
        )
    p = np.clip(scores.astype(np.float64), PROBABLE, 1 - PROBABLE)
    losses = -np.log(np.where(targets == PRESENT, p, 1 - p))
    asked = (known == UNKNOWN) & (targets != UNKNOWN)
    return np.where(asked, losses, 0.0).sum(axis=1)
