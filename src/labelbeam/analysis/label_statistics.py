"""What a matrix of targets says of its labels: how often each is there, how many an image has.

After reading, before anything is learned. Three values are counted apart: an unknown label is neither present
nor absent. Knows matrices; knows nothing of names, files or splits.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int8

from labelbeam.labels.targets import PRESENT, UNKNOWN

ROWS = 16_384
"""Images counted at a time, so that no temporary array is as large as the matrix."""


@dataclass(frozen=True, eq=False)
class LabelStatistics:
    """Counts of one matrix of targets.

    Attributes:
        images: number of images.
        present: images that have each label.
        unknown: images of which nobody knows whether they have it; the rest are known not to.
        sizes: int64, at position n the number of images with exactly n present labels.
        without_labels: rows of the images that have no present label, rising.
        with_unknown: number of images with at least one unknown label.
    """

    images: int
    present: Int[np.ndarray, " labels"]
    unknown: Int[np.ndarray, " labels"]
    sizes: Int[np.ndarray, " sizes"]
    without_labels: Int[np.ndarray, " unlabelled"]
    with_unknown: int

    @property
    def absent(self) -> Int[np.ndarray, " labels"]:
        """Images that are known not to have each label."""
        return self.images - self.present - self.unknown

    @property
    def mean_labels(self) -> float:
        """Present labels per image."""
        return float(self.present.sum() / self.images)


def label_statistics(targets: Int8[np.ndarray, "images labels"]) -> LabelStatistics:
    """Count a matrix of targets.

    Args:
        targets: 1 present, 0 absent, -1 unknown; at least one image.

    Returns:
        Its counts.

    Example:
        >>> counts = label_statistics(np.array([[1, 1, -1], [1, 0, 0], [0, 0, 0]], dtype=np.int8))
        >>> counts.present.tolist(), counts.absent.tolist(), counts.unknown.tolist()
        ([2, 1, 0], [1, 2, 2], [0, 0, 1])
        >>> counts.sizes.tolist(), counts.without_labels.tolist(), counts.with_unknown
        ([1, 1, 1], [2], 1)
    """
    num_images, num_labels = targets.shape
    present = np.zeros(num_labels, dtype=np.int64)
    unknown = np.zeros(num_labels, dtype=np.int64)
    sizes = np.zeros(num_images, dtype=np.int64)
    with_unknown = 0
    for start in range(0, num_images, ROWS):
        rows = targets[start : start + ROWS]
        here, open_ = rows == PRESENT, rows == UNKNOWN
        present += here.sum(axis=0)
        sizes[start : start + ROWS] = here.sum(axis=1)
        if open_.any():
            unknown += open_.sum(axis=0)
            with_unknown += int(open_.any(axis=1).sum())
    return LabelStatistics(
        images=num_images,
        present=present,
        unknown=unknown,
        sizes=np.bincount(sizes),
        without_labels=np.flatnonzero(sizes == 0),
        with_unknown=with_unknown,
    )
