"""Does an image fit what the model learned? A p-value, and with it a calibrated way to decide nothing."""

import base64
import binascii
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float16, Float32

from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import Features, PerImage
from labelbeam.predict.answers import Answers
from labelbeam.predict.score_maps import stored_number, stored_numbers, stored_part, stored_text

# A few dozen principal directions hold most of what training images differ in; an image unlike any of them has more of
# its length outside.

MOST_DIRECTIONS = 64
MOST_IMAGES = 2000
"""Training images that the directions are taken from, evenly spaced."""

STORED = {"center": "<f4", "directions": "<f2"}

IMAGES_PER_DIRECTION = 4
"""Least number; directions of fewer images are those images themselves."""


@dataclass(frozen=True)
class FeatureSpace:
    """Centre and principal directions of training features, in the precision in which they are stored.

    Attributes:
        center: mean of the training features.
        directions: orthonormal rows.
        spread: standard deviation of `outside` over training images that the directions did not see (two-fold).

    Raises:
        InputError: numbers that are not finite, or a spread that is not above 0.
    """

    center: Float32[np.ndarray, " features"]
    directions: Float16[np.ndarray, "directions features"]
    spread: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.center).all() and np.isfinite(self.directions).all()):
            raise InputError("the centre and the directions of a feature space must be finite.")
        if not 0 < self.spread < np.inf:
            raise InputError(f"the spread of a feature space is {self.spread}; it must be above 0.")

    def outside(self, features: Features) -> PerImage:
        """Return the share of each image's squared distance from the centre that lies outside the directions.

        Raises:
            InputError: another number of features than the training's.
        """
        if features.shape[1] != len(self.center):
            raise InputError(f"{features.shape[1]} features were given, the run has {len(self.center)}.")
        return _outside(features, self.center, self.directions)

    def to_json(self) -> dict[str, object]:
        """Return plain values for a file; arrays are little-endian in base64."""
        arrays = {name: getattr(self, name).astype(kind).tobytes() for name, kind in STORED.items()}
        return {
            "features": len(self.center),
            **{name: base64.b64encode(raw).decode("ascii") for name, raw in arrays.items()},
            "spread": self.spread,
        }

    @classmethod
    def from_json(cls, values: object) -> "FeatureSpace":
        """Read back what `to_json` gave.

        Raises:
            InputError: damaged values.
        """
        part = stored_part(values, part="feature space", keys=("features", "center", "directions", "spread"))
        features = int(stored_number(part["features"], what="the number of features", least=1.0, most=1e7))
        center, directions = (
            _stored_rows(part[name], what=f"feature space: {name}", kind=kind, length=features)
            for name, kind in STORED.items()
        )
        if len(center) != 1:
            raise InputError(f"feature space: center has {len(center)} rows, must have 1.")
        return cls(
            center[0].astype(np.float32),
            directions.astype(np.float16),
            stored_number(part["spread"], what="the spread"),
        )


def _stored_rows(value: object, *, what: str, kind: str, length: int) -> np.ndarray:
    """Return the rows of `length` numbers that a text in base64 holds."""
    try:
        raw = base64.b64decode(stored_text(value, what=what), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{what} is not base64 ({error}).") from error
    if not raw or len(raw) % (np.dtype(kind).itemsize * length):
        raise InputError(f"{what} has {len(raw)} bytes, which are not rows of {length} numbers.")
    return np.frombuffer(raw, dtype=kind).reshape(-1, length)


def fit_feature_space(features: Features) -> FeatureSpace | None:
    """Take centre and directions from training images.

    Args:
        features: of training images, scaled; of more than MOST_IMAGES some are taken.

    Returns:
        The space; None where images are too few, or too alike, to have directions.
    """
    taken = np.linspace(0, len(features) - 1, min(len(features), MOST_IMAGES)).astype(int)
    chosen = features[taken].astype(np.float64)
    count = min(MOST_DIRECTIONS, len(chosen) // 2 // IMAGES_PER_DIRECTION, chosen.shape[1] - 1)
    if count < 1:
        return None
    halves = chosen[0::2], chosen[1::2]
    unseen = [_outside(there, *_center_and_directions(here, count)) for here, there in (halves, halves[::-1])]
    spread = float(np.sqrt(np.mean([one.var() for one in unseen])))
    if spread < 1e-6:
        return None
    return FeatureSpace(*_center_and_directions(chosen, count), spread)


def _center_and_directions(features: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the first principal directions, rounded as they are stored."""
    center = features.mean(axis=0).astype(np.float32)
    centred = features - center.astype(np.float64)
    # Eigenvectors of the smaller of the two product matrices.
    if len(centred) < centred.shape[1]:
        _, vectors = np.linalg.eigh(centred @ centred.T)
        directions = vectors[:, ::-1][:, :count].T @ centred
    else:
        _, vectors = np.linalg.eigh(centred.T @ centred)
        directions = vectors[:, ::-1][:, :count].T
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    return center, directions.astype(np.float16)


def _outside(features: np.ndarray, center: np.ndarray, directions: np.ndarray) -> PerImage:
    centred = features.astype(np.float64) - center.astype(np.float64)
    whole = (centred**2).sum(axis=1)
    within = ((centred @ directions.astype(np.float64).T) ** 2).sum(axis=1)
    share = np.divide(within, whole, out=np.zeros_like(whole), where=whole > 0)
    return np.clip(1.0 - share, 0.0, 1.0)


# An image is odd where the model finds hardly any label in it, and where its features leave the space of the training
# images' features. Its `fits` is the share of validation images that are at least as odd. So of images like the
# training's at most 5 % have `fits` at most 0.05, and one may refuse those. Which sign of oddness works was chosen by
# leaving labels out in training (research/decisions.py), not on the foreign pictures of the tests.

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

    def fits(self, answers: Answers, features: Features) -> PerImage:
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

    def p_values(self, odd: PerImage) -> PerImage:
        """Return the p-values of images that are so odd."""
        known = np.array(self.oddness)
        return (1 + len(known) - np.searchsorted(known, odd, side="left")) / (1 + len(known))

    def refused(
        self, answers: Answers, features: Features, *, alpha: float = ALPHA
    ) -> Bool[np.ndarray, " images"]:
        """Return which images are so odd that nothing should be decided for them.

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
        return {"oddness": list(self.oddness), "space": None if self.space is None else self.space.to_json()}

    @classmethod
    def from_json(cls, values: object) -> "Fitness":
        """Read back what `to_json` gave.

        Raises:
            InputError: damaged values.
        """
        part = stored_part(values, part="fitness", keys=("oddness", "space"))
        space = None if part["space"] is None else FeatureSpace.from_json(part["space"])
        return cls(stored_numbers(part["oddness"], what="oddness"), space)


def oddness(answers: Answers, features: Features, space: FeatureSpace | None) -> PerImage:
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
    training_features: Features, answers: Answers, features: Float[np.ndarray, "validation features"]
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
