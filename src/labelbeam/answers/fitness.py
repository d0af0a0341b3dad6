"""Does an image fit what the model knows? A p-value, and with it a calibrated way to say "nothing fits".

An image is odd where the model finds hardly any label in it, and where its features leave the space of the
training images' features. Its `fits` is the share of validation images that are at least as odd. So of images
like the training's at most 5 % have `fits` at most 0.05, and one may refuse those. Which sign of oddness works
was chosen by leaving labels out in training (benchmarks/decisions.py), not on the foreign pictures of the tests.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from labelbeam.answers.answers import Answers
from labelbeam.answers.feature_space import FeatureSpace, fit_feature_space
from labelbeam.answers.stored import stored_numbers, stored_part
from labelbeam.errors import InputError

ALPHA = 0.05
"""Share of images like the training's that one is ready to refuse."""

WEIGHT = 0.5
"""Nats that leaving the feature space by one standard deviation counts as."""

MOST_KEPT = 2000
"""Validation images whose oddness is kept; of more, evenly spaced ones."""


@dataclass(frozen=True)
class Fitness:
    """How odd images like the training's are, and how oddness is measured.

    Attributes:
        oddness: of validation images, ascending.
        space: of the training features; None where there were too few images for one: oddness is then the
            labels' alone.

    Raises:
        InputError: no image, or numbers that are not finite or not ascending.
    """

    oddness: tuple[float, ...]
    space: FeatureSpace | None

    def __post_init__(self) -> None:
        values = np.array(self.oddness)
        if not len(values) or not np.isfinite(values).all() or (np.diff(values) < 0).any():
            raise InputError("the oddness of validation images must be finite and ascending numbers.")

    def fits(
        self, answers: Answers, features: Float[np.ndarray, "images features"]
    ) -> Float[np.ndarray, " images"]:
        """Return each image's p-value: (1 + validation images at least as odd) / (1 + validation images).

        Args:
            answers: as the model gives them, not calibrated.
            features: scaled as the head scales them.

        Returns:
            Numbers above 0, at most 1. Small: unlike the training's images.

        Raises:
            InputError: another number of features than the training's.

        Source:
            Conformal p-value: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World, 2005. For an
            image exchangeable with the validation images p(fits <= alpha) <= alpha, over the draw of both.
        """
        return self.p_values(oddness(answers, features, self.space))

    def p_values(self, odd: Float[np.ndarray, " images"]) -> Float[np.ndarray, " images"]:
        """Return the p-values of images that are so odd."""
        known = np.array(self.oddness)
        return (1 + len(known) - np.searchsorted(known, odd, side="left")) / (1 + len(known))

    def refused(
        self, answers: Answers, features: Float[np.ndarray, "images features"], *, alpha: float = ALPHA
    ) -> Bool[np.ndarray, " images"]:
        """Return which images are so odd that nothing should be said of them.

        Args:
            answers: as the model gives them, not calibrated.
            features: scaled as the head scales them.
            alpha: share of images like the training's that may be refused, in [0, 1]; below
                1 / (1 + validation images) none ever is.

        Raises:
            InputError: alpha outside [0, 1], or another number of features than the training's.
        """
        if not 0 <= alpha <= 1:
            raise InputError(f"alpha is {alpha}; it is a share of images, between 0 and 1. 0.05 is usual.")
        return self.fits(answers, features) <= alpha

    def to_json(self) -> dict[str, object]:
        """Return plain values for a file."""
        return {
            "oddness": list(self.oddness),
            "space": None if self.space is None else self.space.to_json(),
        }

    @classmethod
    def from_json(cls, values: object) -> "Fitness":
        """Read back what `to_json` gave.

        Raises:
            InputError: damaged values.
        """
        part = stored_part(values, part="fitness", keys=("oddness", "space"))
        space = None if part["space"] is None else FeatureSpace.from_json(part["space"])
        return cls(stored_numbers(part["oddness"], what="oddness"), space)


def oddness(
    answers: Answers, features: Float[np.ndarray, "images features"], space: FeatureSpace | None
) -> Float[np.ndarray, " images"]:
    """Return how unlike the training's each image is, in nats up to a constant.

    Minus the logarithm of the labels' joint energy, sum over labels of -log(1 - p(label | image)), which is small
    where no label is found; plus the share of the features outside the training's space, in standard deviations.

    Args:
        answers: as the model gives them, not calibrated.
        features: scaled as the head scales them.
        space: of the training features; None: labels alone.

    Source:
        Joint energy: Wang, Liu, Bocchieri, Li, NeurIPS 2021. Logits and the features' residual as one number:
        Wang, Li, Feng, Zhang, ViM, CVPR 2022; the weights here are ours.
    """
    scores = np.clip(answers.scores.astype(np.float64), 0.0, 1 - 1e-7)
    energy = -np.log1p(-scores).sum(axis=1)
    odd = -np.log(np.maximum(energy, 1e-7))
    return odd if space is None else odd + WEIGHT * space.outside(features) / space.spread


def fit_fitness(
    training_features: Float[np.ndarray, "images features"],
    answers: Answers,
    features: Float[np.ndarray, "validation features"],
) -> Fitness:
    """Learn what images like the training's look like.

    Args:
        training_features: of training images, scaled as the head scales them.
        answers: for validation images, as the model gives them, not calibrated.
        features: of the validation images, scaled alike.

    Raises:
        InputError: no validation image.
    """
    space = fit_feature_space(training_features)
    found = oddness(answers, features, space)
    kept = np.linspace(0, len(found) - 1, min(len(found), MOST_KEPT)).astype(int)
    return Fitness(tuple(np.sort(found[kept]).tolist()), space)
