"""How often labels go together: the counts that the rivals are made of.

Knows target matrices; first in the data path of this package.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int8

from labelbeam.errors import InputError
from labelbeam.labels.targets import ABSENT, PRESENT, UNKNOWN


@dataclass(frozen=True)
class PairCounts:
    """Training images by what two labels are in them; an image counts where both are known.

    Attributes:
        both: [labels labels], both present; the diagonal: the label is present.
        first: [labels labels], images with the row's label, whether or not they have the column's.
        images: [labels labels], images in which both are known; a symmetric matrix.
    """

    both: Float[np.ndarray, "labels labels"]
    first: Float[np.ndarray, "labels labels"]
    images: Float[np.ndarray, "labels labels"]

    @property
    def frequencies(self) -> Float[np.ndarray, " labels"]:
        """(present + 1/2) / (known + 1), strictly between 0 and 1."""
        smoothed: np.ndarray = (self.both.diagonal() + 0.5) / (self.images.diagonal() + 1)
        return smoothed


def pair_counts(targets: Int8[np.ndarray, "images labels"]) -> PairCounts:
    """Count pairs of labels.

    Args:
        targets: 1 present, 0 absent, -1 unknown.

    Raises:
        InputError: no image, no label, or other values.

    Example:
        >>> counts = pair_counts(np.array([[1, 1], [1, 0], [1, -1]], dtype=np.int8))
        >>> counts.both.tolist(), counts.first.tolist(), counts.images.tolist()
        ([[3.0, 1.0], [1.0, 1.0]], [[3.0, 2.0], [1.0, 1.0]], [[3.0, 2.0], [2.0, 2.0]])
    """
    if 0 in targets.shape or not np.isin(targets, (PRESENT, ABSENT, UNKNOWN)).all():
        raise InputError(
            "label statistics need targets of 1 (present), 0 (absent) and -1 (unknown) with at least one image and "
            f"one label, given shape {targets.shape}."
        )
    # Single precision counts exactly up to 2^24 images, and multiplies twice as fast.
    present, known = (targets == PRESENT).astype(np.float32), (targets != UNKNOWN).astype(np.float32)
    return PairCounts(
        *((a.T @ b).astype(np.float64) for a, b in ((present, present), (present, known), (known, known)))
    )


def check_smoothing(smoothing: float) -> None:
    """Refuse a number of imagined images that is not above 0.

    Raises:
        InputError: it is not above 0, or not finite.
    """
    if not 0 < smoothing < np.inf:
        raise InputError(
            f"smoothing is {smoothing}; it is a number of imagined images and must be above 0, such as 1."
        )


def check_evidence(known: Int8[np.ndarray, "images columns"], num_labels: int) -> None:
    """Refuse evidence with other values, or over another number of labels.

    Raises:
        InputError: other columns than labels, or values other than 1, 0, -1.
    """
    if known.shape[1] != num_labels or not np.isin(known, (PRESENT, ABSENT, UNKNOWN)).all():
        raise InputError(
            f"evidence must be [images {num_labels}] of 1 (accepted), 0 (rejected) and -1 (not known), given "
            f"{known.shape}. `labels.known.known_labels` makes a row from names."
        )
