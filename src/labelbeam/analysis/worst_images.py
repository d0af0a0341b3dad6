"""The images on which a model is most wrong, by how improbable it held what is there.

Knows matrices and log-likelihoods; knows no files and no names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int8

from labelbeam.errors import InputError
from labelbeam.labels.targets import ABSENT, PRESENT


@dataclass(frozen=True)
class WorstImage:
    """An image and what went wrong.

    Attributes:
        image: its row.
        nats: -log p(true set | image).
        missed: ids of labels that it has and that were not decided.
        wrong: ids of labels that were decided and that it has not.
    """

    image: int
    nats: float
    missed: tuple[int, ...]
    wrong: tuple[int, ...]

    def to_json(self, images: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
        """Return it as plain values; JSON has no infinity: null."""
        return {
            "image": images[self.image],
            "nats": round(self.nats, 4) if np.isfinite(self.nats) else None,
            "missed": [names[j] for j in self.missed],
            "wrong": [names[j] for j in self.wrong],
        }


def worst_images(
    truth: Int8[np.ndarray, "images labels"],
    decided: Bool[np.ndarray, "rows columns"],
    log_likelihood: Float[np.ndarray, " likelihoods"],
    *,
    count: int,
) -> list[WorstImage]:
    """Return the images whose true sets the model held least probable.

    Args:
        truth: 1 present, 0 absent, -1 unknown (never a mistake).
        decided: the decided sets.
        log_likelihood: log p(true set | image), nats (`summed_log_likelihood` where a model gives none).
        count: how many, at most.

    Raises:
        InputError: columns of different lengths.

    Example:
        >>> truth, decided = np.array([[1, 0], [0, 1]], dtype=np.int8), np.array([[True, False], [True, False]])
        >>> worst_images(truth, decided, np.array([-0.1, -3.0]), count=1)
        [WorstImage(image=1, nats=3.0, missed=(1,), wrong=(0,))]
    """
    if decided.shape != truth.shape or len(log_likelihood) != len(truth):
        raise InputError(
            f"truth {truth.shape}, decided sets {decided.shape} and {len(log_likelihood)} log-likelihoods must be "
            "of the same images and labels."
        )
    order = np.argsort(log_likelihood, kind="stable")[:count]
    return [
        WorstImage(
            int(i),
            float(-log_likelihood[i]),
            tuple(np.flatnonzero((truth[i] == PRESENT) & ~decided[i]).tolist()),
            tuple(np.flatnonzero((truth[i] == ABSENT) & decided[i]).tolist()),
        )
        for i in order
    ]


def summed_log_likelihood(
    scores: Float[np.ndarray, "images labels"], truth: Int8[np.ndarray, "images labels"]
) -> Float[np.ndarray, " images"]:
    """Return log p(true set | image) as if labels were independent given their scores, which are probabilities.

    Args:
        scores: p(label | image); kept within 1e-6 of 0 and 1.
        truth: 1 present, 0 absent, -1 unknown (left out).

    Example:
        >>> summed_log_likelihood(np.array([[0.5, 0.25]]), np.array([[1, -1]], dtype=np.int8)).round(3).tolist()
        [-0.693]
    """
    p = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
    terms = np.where(truth == PRESENT, np.log(p), np.where(truth == ABSENT, np.log1p(-p), 0.0))
    total: np.ndarray = terms.sum(axis=1)
    return total
