"""Increasing maps of scores, one per label: fitted (Platt, isotonic), stored, applied to a score and to its bounds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN, ByLabel, PerImage, Targets

VERSION = 1
"""Of the stored form; a file of another version is refused, not guessed at."""


def stored_part(values: object, *, part: str, keys: tuple[str, ...]) -> Mapping[str, object]:
    """Return a stored mapping that has the wanted keys, and only those.

    Raises:
        InputError: no mapping, or other keys.
    """
    if not isinstance(values, Mapping) or set(values) != set(keys):
        given = sorted(map(str, values)) if isinstance(values, Mapping) else type(values).__name__
        raise InputError(f"{part} must hold exactly {', '.join(keys)}; it holds {given!s:.200}.")
    return values


def stored_text(value: object, *, what: str) -> str:
    """Return a stored text.

    Raises:
        InputError: something else.
    """
    if not isinstance(value, str):
        raise InputError(f"{what} must be a text, given {value!r:.60}.")
    return value


def stored_number(value: object, *, what: str, least: float = -math.inf, most: float = math.inf) -> float:
    """Return a stored finite number.

    Raises:
        InputError: something else, or a number out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e300 < value < 1e300:
        raise InputError(f"{what} must be a number, given {value!r:.60}.")
    if not least <= value <= most:
        raise InputError(f"{what} is {value}, outside [{least:g}, {most:g}].")
    return float(value)


def stored_numbers(
    value: object, *, what: str, least: float = -math.inf, most: float = math.inf, count: int | None = None
) -> tuple[float, ...]:
    """Return a stored list of finite numbers.

    Raises:
        InputError: something else, a number out of range, or another count than asked for.
    """
    if not isinstance(value, list | tuple) or (count is not None and len(value) != count):
        wanted = "numbers" if count is None else f"{count} numbers"
        raise InputError(f"{what} must be a list of {wanted}, given {value!r:.60}.")
    return tuple(stored_number(one, what=what, least=least, most=most) for one in value)


# Every map is strictly increasing and takes 0 to 0 and 1 to 1. So hard bounds stay hard bounds, a label's images keep
# their order (its AP does not change), and what is certain stays certain. `calibration` fits them.

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

    def apply(self, scores: ByLabel) -> ByLabel:
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
        InputError: corners that are not as described.

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

    def apply(self, scores: ByLabel) -> ByLabel:
        """Return the scores mapped, column by column, float64."""
        mapped = np.empty(scores.shape)
        for label, (corners, values) in enumerate(zip(self.scores, self.values, strict=True)):
            mapped[:, label] = np.interp(scores[:, label], (0.0, *corners, 1.0), (0.0, *values, 1.0))
        return mapped


ScoreMaps = PlattMaps | IsotonicMaps
"""One increasing map of [0, 1] onto itself per label."""

# The map for all labels is fitted first, drawn towards changing nothing. `calibration` chooses among them.

LEAST_SLOPE = 0.05
"""A label whose scores order its images the wrong way round still gets an increasing map."""

NEWTON_STEPS = 30


def no_maps(scores: ByLabel, targets: Targets) -> PlattMaps:
    """Return maps that change nothing."""
    return PlattMaps((1.0,) * scores.shape[1], (0.0,) * scores.shape[1])


def platt_maps(scores: ByLabel, targets: Targets, *, strength: float) -> PlattMaps:
    """Fit slope and offset per label by maximum a posteriori.

    Args:
        targets: 1 present, 0 absent, -1 unknown (left out).
        strength: weight of half the squared distance from the slope and offset for all labels, in nats; a label
            with few positives has few nats to set against it. Infinite: the same map for all.
    """
    known, present = targets != UNKNOWN, targets == PRESENT
    x = log_odds(scores)
    start = np.array([[1.0], [0.0]])  # [slope offset, maps]
    for_all = _newton(x.reshape(-1, 1), present.reshape(-1, 1), known.reshape(-1, 1), start, 1.0)
    slope, offset = np.repeat(for_all, scores.shape[1], axis=1)
    if np.isfinite(strength):
        slope, offset = _newton(x, present, known, np.stack((slope, offset)), strength)
    return PlattMaps(tuple(slope.tolist()), tuple(offset.tolist()))


def _newton(
    x: Float[np.ndarray, "images maps"],
    present: Bool[np.ndarray, "images maps"],
    known: Bool[np.ndarray, "images maps"],
    prior: Float[np.ndarray, "2 maps"],
    strength: float,
) -> Float[np.ndarray, "2 maps"]:
    """Minimise the log-loss plus strength / 2 * |(slope, offset) - prior|^2, each column by itself."""

    def loss(parameters: np.ndarray) -> np.ndarray:
        z = parameters[0] * x + parameters[1]
        nats = np.where(known, np.logaddexp(0.0, z) - present * z, 0.0).sum(axis=0)
        return nats + strength / 2 * ((parameters - prior) ** 2).sum(axis=0)

    now = prior.copy()
    reached = loss(now)
    for _ in range(NEWTON_STEPS):
        p = probability(now[0] * x + now[1])
        error, weight = np.where(known, p - present, 0.0), np.where(known, p * (1 - p), 0.0)
        slope_gradient = (error * x).sum(axis=0) + strength * (now[0] - prior[0])
        offset_gradient = error.sum(axis=0) + strength * (now[1] - prior[1])
        a, b = (weight * x * x).sum(axis=0) + strength, (weight * x).sum(axis=0)
        d = weight.sum(axis=0) + strength
        bound = (now[0] <= LEAST_SLOPE) & (slope_gradient > 0)  # held there: only the offset moves
        determinant = a * d - b * b
        slope_step = np.where(bound, 0.0, (d * slope_gradient - b * offset_gradient) / determinant)
        offset_step = np.where(
            bound, offset_gradient / d, (a * offset_gradient - b * slope_gradient) / determinant
        )
        step, size = np.stack((slope_step, offset_step)), np.ones(x.shape[1])
        for _ in range(20):  # halve the steps that overshoot
            tried = now - size * step
            tried[0] = np.maximum(tried[0], LEAST_SLOPE)
            gained = loss(tried)
            worse = gained > reached
            if not worse.any():
                break
            size = np.where(worse, size / 2, size)
        better = gained < reached
        now, before, reached = np.where(better, tried, now), reached, np.where(better, gained, reached)
        if (before - reached).max(initial=0.0) < 1e-9 * (1 + reached.max(initial=0.0)):
            break
    return now


def isotonic_maps(scores: ByLabel, targets: Targets, *, strength: float) -> IsotonicMaps:
    """Fit an increasing map per label without assuming its form.

    Each truth (0 or 1) is replaced by (n * truth + strength * prior) / (n + strength), with n the label's positives
    and the prior the map for all labels; what increases best along the scores is then found by `pool_adjacent`.
    A map runs straight between the blocks' mean scores.

    Args:
        targets: 1 present, 0 absent, -1 unknown (left out).
        strength: positives that the map for all labels is worth. Infinite: that map for all.
    """
    known = targets != UNKNOWN
    x, y = scores.astype(np.float64), (targets == PRESENT).astype(np.float64)
    for_all = _polygon(x[known], y[known], x[known], positives=float(y[known].sum()), strength=10.0)
    labels = scores.shape[1]
    if not np.isfinite(strength):
        return IsotonicMaps((for_all[0],) * labels, (for_all[1],) * labels)
    polygons = []
    for label in range(labels):
        rows = known[:, label]
        column, truth = x[rows, label], y[rows, label]
        prior = np.interp(column, (0.0, *for_all[0], 1.0), (0.0, *for_all[1], 1.0))
        polygons.append(_polygon(column, truth, prior, positives=float(truth.sum()), strength=strength))
    return IsotonicMaps(tuple(one[0] for one in polygons), tuple(one[1] for one in polygons))


def _polygon(
    x: PerImage, y: PerImage, prior: PerImage, *, positives: float, strength: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return corners and their values, strictly between 0 and 1."""
    if not positives:
        y, prior = prior, prior  # nothing is known but the prior
    drawn = (positives * y + strength * prior) / (positives + strength)
    order = np.argsort(x, kind="stable")
    fitted = pool_adjacent(x[order], drawn[order])
    # A block is a run of equal values; its corner is its mean score.
    _, block = np.unique(fitted, return_inverse=True)
    counts = np.bincount(block)
    corners = np.bincount(block, weights=x[order]) / counts
    values = np.bincount(block, weights=fitted) / counts
    inside = (corners > 0) & (corners < 1) & (values > 0) & (values < 1)
    corners, values = corners[inside], values[inside]
    rising = np.diff(corners, prepend=0.0) > 1e-12  # rounding may make two corners one
    rising &= np.diff(values, prepend=0.0) > 1e-12
    return tuple(corners[rising].tolist()), tuple(values[rising].tolist())


def pool_adjacent(x: PerImage, y: PerImage) -> PerImage:
    """Return the non-decreasing function of x that is closest to y in squared distance.

    Args:
        x: sorted ascending; equal ones get the same value.

    Source:
        Pool adjacent violators: Ayer et al., Annals of Mathematical Statistics 26, 1955.

    Example:
        >>> pool_adjacent(np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.5])).tolist()
        [0.0, 0.75, 0.75]
    """
    _, first, weights = np.unique(x, return_index=True, return_counts=True)
    totals = np.add.reduceat(y, first) if len(x) else y
    blocks: list[tuple[float, int]] = []  # sum and number of each block, means increasing
    for total, weight in zip(totals.tolist(), weights.tolist(), strict=True):
        while blocks and blocks[-1][0] * weight >= total * blocks[-1][1]:
            total, weight = total + blocks[-1][0], weight + blocks[-1][1]
            blocks.pop()
        blocks.append((total, weight))
    return np.repeat([total / weight for total, weight in blocks], [weight for _, weight in blocks])
