"""Points in a plane with their names, and a way through it; or points against two axes.

Positions are in percent and letters in pixels, so that both stay readable on a phone. Names are placed where they
cover nothing, the weightiest first, for a wide screen and for a narrow one, further off with a line to the point
where it is crowded; what finds no place keeps its hint.
Everything a user wrote is escaped. Knows nothing of what the points mean.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

import numpy as np

HEIGHT = 460
"""Of the chart, pixels."""

WIDTHS = {"wide": 540, "narrow": 345}
"""Widths that names are placed for, pixels, by the class of the names that are shown there; the chart stretches."""

APART = 22
"""Pixels between a point and its name from which on a line joins them."""

LETTER = 6.6
"""Width of a Latin letter, pixels; others are wider."""

Box = tuple[float, float, float, float]

Taken = dict[str, np.ndarray]
"""Where something is already: boxes [boxes 4], by a name of `WIDTHS`."""


@dataclass(frozen=True)
class Spot:
    """A point with a name.

    Attributes:
        name: beside the point.
        x: to the right.
        y: upwards.
        weight: how much its name matters; also the area of its disc, relative to the others.
        hint: what a pointer that rests on it is told; empty: the name.
    """

    name: str
    x: float
    y: float
    weight: float = 1.0
    hint: str = ""


@dataclass(frozen=True)
class Axis:
    """An axis with a name and ticks.

    Attributes:
        name: at its end.
        ticks: values that get a line.
        logarithmic: whether equal ratios are equal distances; values must be above 0.
    """

    name: str
    ticks: tuple[float, ...]
    logarithmic: bool = False


def even_ticks(low: float, high: float) -> tuple[float, ...]:
    """Return three to seven round values that span a range.

    Example:
        >>> even_ticks(0.0, 4.95)
        (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
    """
    span = max(high - low, 1e-6)
    step = next(s for s in (base * 10.0**p for p in range(-7, 10) for base in (1, 2, 5)) if span / s <= 5)
    return tuple(round(i * step, 9) for i in range(math.floor(low / step), math.ceil(high / step) + 1))


def scatter(
    spots: Sequence[Spot],
    *,
    title: str,
    way: Sequence[Spot] = (),
    axes: tuple[Axis, Axis] | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Return named points, and a way that joins some places by lines.

    Args:
        spots: the points.
        title: for readers of screens.
        way: places in order; each has a name.
        axes: of x and y; None: a map, whose directions have no meaning of their own.
        notes: remarks below the picture, a line each; on a phone about 50 letters fit.
    """
    scales = _scales([*spots, *way], axes)

    def place(spot: Spot) -> tuple[float, float]:
        return 100 * scales[0](spot.x), HEIGHT * (1 - scales[1](spot.y))

    most = max((spot.weight for spot in spots), default=1.0) or 1.0
    taken: Taken = {screen: np.empty((0, 4)) for screen in WIDTHS}
    radii = [3 + 5 * math.sqrt(max(spot.weight, 0.0) / most) for spot in spots]
    for spot, radius in zip(spots, radii, strict=True):
        _take(*place(spot), radius, taken)
    parts = [] if axes is None else _grid(axes, scales)
    lines, stops = _way([(*place(stop), stop) for stop in way], taken)
    parts += [
        f'<text class="quiet" x="0" y="{HEIGHT + 18 * number}">{escape(note)}</text>'
        for number, note in enumerate(notes, 1)
    ]
    names = []
    order = sorted(range(len(spots)), key=lambda i: (-spots[i].weight, i))
    for i in order:
        x, y = place(spots[i])
        hint = escape(spots[i].hint or spots[i].name)
        parts.append(
            f'<circle class="dot" fill-opacity=".75" cx="{x:.2f}%" cy="{y:.1f}" r="{radii[i]:.1f}">'
            f"<title>{hint}</title></circle>"
        )
        names.append(_name(spots[i].name, x, y, radii[i], taken, "halo"))
    tall = HEIGHT + 26 + 18 * max(len(notes) - 1, 0)
    return (
        f'<svg class="chart scatter" role="img" width="100%" height="{tall}">'
        f"<title>{escape(title)}</title>" + "".join((*parts, *lines, *names, *stops)) + "</svg>"
    )


def _scales(
    spots: Sequence[Spot], axes: tuple[Axis, Axis] | None
) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """Return functions from values to [0, 1], with room for names at the edges."""

    def scale(values: list[float], axis: Axis | None) -> Callable[[float], float]:
        logarithmic = axis is not None and axis.logarithmic
        every = [*values, *(axis.ticks if axis else ())] or [0.0]
        shown = [math.log(value) for value in every] if logarithmic else every
        low, high = min(shown), max(shown)
        reach = (high - low) or 1.0

        def of(value: float) -> float:
            at = math.log(value) if logarithmic else value
            return 0.07 + 0.83 * (at - low) / reach

        return of

    x, y = axes if axes is not None else (None, None)
    return scale([spot.x for spot in spots], x), scale([spot.y for spot in spots], y)


def _grid(
    axes: tuple[Axis, Axis], scales: tuple[Callable[[float], float], Callable[[float], float]]
) -> list[str]:
    parts = []
    for tick in axes[0].ticks:
        x = 100 * scales[0](tick)
        parts.append(f'<line class="grid" x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="{HEIGHT}"/>')
        parts.append(
            f'<text class="quiet" x="{x:.2f}%" y="{HEIGHT + 16}" text-anchor="middle">{tick:,g}</text>'
        )
    for tick in axes[1].ticks:
        y = HEIGHT * (1 - scales[1](tick))
        parts.append(f'<line class="grid" x1="7%" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="quiet" x="5.5%" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    parts.append(
        f'<text class="quiet" x="100%" y="{HEIGHT - 8}" text-anchor="end">{escape(axes[0].name)} →</text>'
        f'<text class="quiet" x="8%" y="12">↑ {escape(axes[1].name)}</text>'
    )
    return parts


def _way(stops: Sequence[tuple[float, float, Spot]], taken: Taken) -> tuple[list[str], list[str]]:
    """Return the lines between stops, and the stops with their names."""
    lines = [
        f'<line class="way" x1="{x:.2f}%" y1="{y:.1f}" x2="{to_x:.2f}%" y2="{to_y:.1f}"/>'
        for (x, y, _), (to_x, to_y, _) in pairwise(stops)
    ]
    marks = []
    for x, y, stop in stops:
        marks.append(
            f'<circle class="dot two" cx="{x:.2f}%" cy="{y:.1f}" r="5"><title>{escape(stop.hint or stop.name)}</title>'
            "</circle>"
        )
        _take(x, y, 5.0, taken)
    marks += [_name(stop.name, x, y, 5.0, taken, "halo strong", longest=40) for x, y, stop in stops]
    return lines, marks


def _take(x: float, y: float, radius: float, taken: Taken) -> None:
    """Note where a disc is."""
    for screen, width in WIDTHS.items():
        at = x * width / 100
        taken[screen] = np.vstack((taken[screen], (at - radius, y - radius, at + radius, y + radius)))


def _name(name: str, x: float, y: float, radius: float, taken: Taken, kind: str, *, longest: int = 24) -> str:
    """Return a name beside a point, where it covers nothing; empty where there is no such place."""
    shown = name if len(name) <= longest else name[: longest - 1] + "…"
    wide = LETTER * sum(1.8 if ord(letter) > 0x2E7F else 1.0 for letter in shown)
    places = {}
    for screen, width in WIDTHS.items():
        place, box = _free(x * width / 100, y, radius, wide, taken[screen], width)
        places[screen] = place
        if box is not None:
            taken[screen] = np.vstack((taken[screen], box))
    if len(set(places.values())) == 1:
        places = {"": next(iter(places.values()))}
    return "".join(
        _leader(x, y, place, screen)
        + f'<text class="{f"{kind} {screen}".strip()}" x="{x:.2f}%" dx="{place[1]:.1f}" y="{y + place[2]:.1f}" '
        f'text-anchor="{place[0]}">{escape(shown)}</text>'
        for screen, place in places.items()
        if place is not None
    )


def _leader(x: float, y: float, place: tuple[str, float, float], screen: str) -> str:
    """Return a thin line from a point to a name that stands apart from it; empty for one that is beside it."""
    _, dx, dy = place
    if math.hypot(dx, dy) < APART:
        return ""
    # Percent and pixels do not add up in an attribute, so an inner picture starts at the point.
    to = f'x2="{dx:.1f}" y2="{dy - 4:.1f}"'
    return (
        f'<svg class="{f"leader {screen}".strip()}" x="{x:.2f}%" y="{y:.1f}" overflow="visible">'
        f'<line x1="0" y1="0" {to}/></svg>'
    )


def _places(radius: float) -> Iterator[tuple[str, float, float]]:
    """Yield places for a name, the nearest first: its anchor, and its distance from the point."""
    yield from (
        ("start", radius + 3, 4.0),
        ("end", -radius - 3, 4.0),
        ("middle", 0.0, -radius - 4),
        ("middle", 0.0, radius + 13),
        ("start", radius, -radius - 1),
        ("start", radius, radius + 10),
        ("end", -radius, -radius - 1),
        ("end", -radius, radius + 10),
    )
    for far in range(24, 110, 14):
        for up in (-far, far):
            yield "start", radius + far / 2, up + 4.0
            yield "end", -radius - far / 2, up + 4.0


def _free(
    at: float, y: float, radius: float, wide: float, taken: np.ndarray, width: int
) -> tuple[tuple[str, float, float], Box] | tuple[None, None]:
    """Return the first place for a name that is free (its anchor, its distance from the point), and its box."""
    for anchor, dx, dy in _places(radius):
        left = at + dx - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
        box = (left, y + dy - 11, left + wide, y + dy + 3)
        inside = box[0] >= 0 and box[2] <= width and box[1] >= 0 and box[3] <= HEIGHT + 10
        across = (box[0] < taken[:, 2]) & (taken[:, 0] < box[2])
        if inside and not (across & (box[1] < taken[:, 3]) & (taken[:, 1] < box[3])).any():
            return (anchor, dx, dy), box
    return None, None
