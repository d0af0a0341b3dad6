"""Label paths of many images in arrays: how candidates are held, ordered and handed over.

Knows label ids and log-probabilities; not how they were found. START, END and padding never appear in a
path that is handed out: END's probability is in the log-probability, padding is behind the length.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

NO_LABEL = -1
"""Padding behind a path, and the length of a path that is not there. No label has this id."""


@dataclass(frozen=True)
class BeamPaths:
    """Finished paths of each image, best first.

    Attributes:
        labels: int32 [images width longest], label ids in path order, NO_LABEL behind the end.
        lengths: int32 [images width], number of labels; NO_LABEL where there are fewer candidates.
        log_probs: float64 [images width], nats, END included; -inf where there are fewer candidates.

    Example:
        >>> found = BeamPaths(np.array([[[2, 5]]], np.int32), np.array([[2]], np.int32), np.array([[-0.5]]))
        >>> found.best(0), found.candidates(0)
        ((2, 5), [((2, 5), -0.5)])
    """

    labels: Int[np.ndarray, "images width longest"]
    lengths: Int[np.ndarray, "images width"]
    log_probs: Float[np.ndarray, "images width"]

    def __len__(self) -> int:
        return len(self.labels)

    def best(self, image: int) -> tuple[int, ...]:
        """Return the labels of an image's first path."""
        return tuple(self.labels[image, 0, : self.lengths[image, 0]].tolist())

    def candidates(self, image: int) -> list[tuple[tuple[int, ...], float]]:
        """Return the paths of an image and their log-probabilities, best first."""
        return [
            (tuple(labels[:length].tolist()), float(log_prob))
            for labels, length, log_prob in zip(
                self.labels[image], self.lengths[image], self.log_probs[image], strict=True
            )
            if length != NO_LABEL
        ]

    def repeats(self) -> Int[np.ndarray, " images"]:
        """Return how many labels of each image's first path occur in it before; other than 0 only under `paper`.

        Returns:
            int64 [images].
        """
        best = self.labels[:, 0]
        behind = np.arange(best.shape[1]) >= self.lengths[:, :1]
        ordered = np.sort(np.where(behind, NO_LABEL, best), axis=1)
        return ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NO_LABEL)).sum(axis=1)


def best_first_order(
    scores: Float[np.ndarray, "images paths"], labels: Int[np.ndarray, "images paths longest"]
) -> Int[np.ndarray, "images paths"]:
    """Return the order of each image's paths: by score, equal scores by label sequence (shorter first).

    Args:
        scores: greater is better; -inf sorts last.
        labels: label ids, NO_LABEL behind the end.

    Returns:
        int64 positions, best first.
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    ordered = np.take_along_axis(scores, order, axis=1)
    ties = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] > -np.inf)).any(axis=1)
    for i in np.flatnonzero(ties):
        order[i] = sorted(range(scores.shape[1]), key=lambda j: (-scores[i, j], labels[i, j].tolist()))
    return order
