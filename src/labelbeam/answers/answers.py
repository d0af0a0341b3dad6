"""What a model says of a batch of images, in columns; the same for every kind of model.

Between decoding and decisions in the data path. Knows no model, no file and no label name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int8

from labelbeam.decoding.set_samples import SetSamples


@dataclass(frozen=True)
class Answers:
    """Scores with bounds, and the most probable path found, of some images.

    Attributes:
        scores: p(label | image) in [0, 1], float32 [images labels].
        low: hard lower bounds of the scores.
        high: hard upper bounds of the scores.
        stderr: standard errors of the scores' sampled parts; 0 where nothing was sampled.
        paths: label ids in the order in which they were said; one tuple per image.
        log_probs: log p(path | image), nats, float64 [images]; NaN where the model ranks and has no such thing.
        exact: whether the path is certified to be the most probable one.
        sample_sets: weighted label sets of a slice of the images, made when asked for; None where labels are
            independent given the image, so that the scores say all there is to say of sets.
        calibrated: whether the scores went through maps fitted on validation images (`answers.calibration`).
        fits: share of validation images at least as odd as each image (`answers.fitness`), in (0, 1]; None where
            the run was not calibrated.
    """

    scores: Float[np.ndarray, "images labels"]
    low: Float[np.ndarray, "images labels"]
    high: Float[np.ndarray, "images labels"]
    stderr: Float[np.ndarray, "images labels"]
    paths: Sequence[tuple[int, ...]]
    log_probs: Float[np.ndarray, " images"]
    exact: Bool[np.ndarray, " images"]
    sample_sets: Callable[[slice], SetSamples] | None = None
    calibrated: bool = False
    fits: Float[np.ndarray, " images"] | None = None

    def path_sets(self) -> Bool[np.ndarray, "images labels"]:
        """Return the sets of labels on the paths."""
        sets = np.zeros(self.scores.shape, dtype=bool)
        for image, path in enumerate(self.paths):
            sets[image, list(path)] = True
        return sets


@runtime_checkable
class Answerer(Protocol):
    """A trained head that answers; features in, answers out."""

    def answer(self, features: Float[np.ndarray, "images features"]) -> Answers:
        """Answer for images, from their features."""
        ...

    def set_log_prob(
        self, features: Float[np.ndarray, "images features"], targets: Int8[np.ndarray, "images labels"]
    ) -> Float[np.ndarray, " images"]:
        """Return log p(true set | image) in nats; unknown labels (-1) are conditioned away or left out."""
        ...
