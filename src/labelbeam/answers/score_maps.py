"""Increasing maps of scores, one per label: what a calibration does to a score and to its bounds.

Every map is strictly increasing and takes 0 to 0 and 1 to 1. So hard bounds stay hard bounds, a label's
images keep their order (its AP does not change), and what is certain stays certain. `calibration` fits them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from labelbeam.errors import InputError

LEAST = 1e-9
"""Scores are kept this far from 0 and 1 where their log-odds are needed; single precision ends at 6e-8."""


def log_odds(scores: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Return log(p / (1 - p)), float64, finite at 0 and 1."""
    p = np.clip(scores.astype(np.float64), LEAST, 1 - LEAST)
    return np.log(p) - np.log1p(-p)


def probability(log_odds: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Return 1 / (1 + exp(-log odds)), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * log_odds))


@dataclass(frozen=True)
class PlattMaps:
    """Scores to sigmoid(slope * log odds + offset). Slope 1 and offset 0 change nothing.

    Attributes:
        slopes: one per label, above 0.
        offsets: one per label.

    Raises:
        InputError: as many slopes as offsets are needed, finite, slopes above 0.

    Source:
        Platt, Probabilistic Outputs for Support Vector Machines, 1999; here of log-odds, as beta calibration
        and temperature scaling (offset 0, one slope for all) have it.

    Example:
        >>> PlattMaps((2.0,), (0.0,)).apply(np.array([[0.0], [0.5], [0.75], [1.0]])).ravel().round(3).tolist()
        [0.0, 0.5, 0.9, 1.0]
    """

    slopes: tuple[float, ...]
    offsets: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.slopes) != len(self.offsets):
            raise InputError(
                f"{len(self.slopes)} slopes and {len(self.offsets)} offsets; they must be as many."
            )
        if not np.isfinite((*self.slopes, *self.offsets)).all() or min(self.slopes, default=1.0) <= 0:
            raise InputError("slopes must be finite and above 0, offsets finite.")

    @property
    def num_labels(self) -> int:
        """The number of maps."""
        return len(self.slopes)

    def apply(self, scores: Float[np.ndarray, "images labels"]) -> Float[np.ndarray, "images labels"]:
        """Return the scores mapped, column by column, float64."""
        mapped = probability(np.array(self.slopes) * log_odds(scores) + np.array(self.offsets))
        return np.where((scores <= 0) | (scores >= 1), np.clip(scores, 0, 1), mapped).astype(np.float64)


@dataclass(frozen=True)
class IsotonicMaps:
    """Scores to a polygon from (0, 0) to (1, 1), through the blocks that isotonic regression found.

    Attributes:
        scores: per label the scores of its corners, increasing, strictly between 0 and 1.
        values: per label what they are mapped to, increasing, strictly between 0 and 1.

    Raises:
        InputError: corners that are not as said.

    Example:
        >>> maps = IsotonicMaps(((0.5,),), ((0.8,),))
        >>> maps.apply(np.array([[0.0], [0.25], [0.5], [1.0]])).ravel().tolist()
        [0.0, 0.4, 0.8, 1.0]
    """

    scores: tuple[tuple[float, ...], ...]
    values: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if [len(one) for one in self.scores] != [len(one) for one in self.values]:
            raise InputError("an isotonic map needs one value for each of its scores.")
        for corners in (*self.scores, *self.values):
            if not (np.diff((0.0, *corners, 1.0)) > 0).all():
                raise InputError("corners of an isotonic map must increase, strictly between 0 and 1.")

    @property
    def num_labels(self) -> int:
        """The number of maps."""
        return len(self.scores)

    def apply(self, scores: Float[np.ndarray, "images labels"]) -> Float[np.ndarray, "images labels"]:
        """Return the scores mapped, column by column, float64."""
        mapped = np.empty(scores.shape)
        for label, (corners, values) in enumerate(zip(self.scores, self.values, strict=True)):
            mapped[:, label] = np.interp(scores[:, label], (0.0, *corners, 1.0), (0.0, *values, 1.0))
        return mapped


ScoreMaps = PlattMaps | IsotonicMaps
"""One increasing map of [0, 1] onto itself per label."""
