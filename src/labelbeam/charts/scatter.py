"""Points in a plane with their names, and a way through it; or points against two axes.

Positions are in percent and letters in pixels, so that both stay readable on a phone. Names are placed where they
cover nothing, the weightiest first, for a wide screen and for a narrow one, further off with a line to the point
where it is crowded; what finds no place keeps its hint. Knows nothing of what the points mean.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from labelbeam.charts.charts import element, letters_wide, shortened

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
        hint: what a pointer that rests on it shows; empty: the name.
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
) -> Markup:
    """Return named points, and a way that joins some places by lines.

    Args:
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
        element("text", note, class_="quiet", x=0, y=HEIGHT + 18 * number)
        for number, note in enumerate(notes, 1)
    ]
    names = []
    order = sorted(range(len(spots)), key=lambda i: (-spots[i].weight, i))
    for i in order:
        x, y = place(spots[i])
        disc = {"cx": f"{x:.2f}%", "cy": f"{y:.1f}", "r": f"{radii[i]:.1f}", "fill_opacity": ".75"}
        parts.append(element("circle", hint=spots[i].hint or spots[i].name, class_="dot", **disc))
        names.append(_name(spots[i].name, x, y, radii[i], taken, "halo"))
    tall = HEIGHT + 26 + 18 * max(len(notes) - 1, 0)
    inside = (*parts, *lines, *names, *stops)
    return element("svg", *inside, hint=title, class_="chart scatter", role="img", width="100%", height=tall)


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
) -> list[Markup]:
    parts = []
    for tick in axes[0].ticks:
        x = f"{100 * scales[0](tick):.2f}%"
        parts.append(element("line", class_="grid", x1=x, x2=x, y1=0, y2=HEIGHT))
        parts.append(_quiet(f"{tick:,g}", x=x, y=HEIGHT + 16, text_anchor="middle"))
    for tick in axes[1].ticks:
        y = HEIGHT * (1 - scales[1](tick))
        parts.append(element("line", class_="grid", x1="7%", x2="100%", y1=f"{y:.1f}", y2=f"{y:.1f}"))
        parts.append(_quiet(f"{tick:g}", x="5.5%", y=f"{y + 4:.1f}", text_anchor="end"))
    parts.append(_quiet(f"{axes[0].name} →", x="100%", y=HEIGHT - 8, text_anchor="end"))
    return [*parts, _quiet(f"↑ {axes[1].name}", x="8%", y=12)]


def _quiet(text: str, **place: object) -> Markup:
    return element("text", text, class_="quiet", **place)


def _way(stops: Sequence[tuple[float, float, Spot]], taken: Taken) -> tuple[list[Markup], list[Markup]]:
    """Return the lines between stops, and the stops with their names."""
    lines = [
        element("line", class_="way", x1=f"{x:.2f}%", y1=f"{y:.1f}", x2=f"{to_x:.2f}%", y2=f"{to_y:.1f}")
        for (x, y, _), (to_x, to_y, _) in pairwise(stops)
    ]
    marks = []
    for x, y, stop in stops:
        place = {"cx": f"{x:.2f}%", "cy": f"{y:.1f}", "r": 5}
        marks.append(element("circle", hint=stop.hint or stop.name, class_="dot two", **place))
        _take(x, y, 5.0, taken)
    marks += [_name(stop.name, x, y, 5.0, taken, "halo strong", longest=40) for x, y, stop in stops]
    return lines, marks


def _take(x: float, y: float, radius: float, taken: Taken) -> None:
    """Note where a disc is."""
    for screen, width in WIDTHS.items():
        at = x * width / 100
        taken[screen] = np.vstack((taken[screen], (at - radius, y - radius, at + radius, y + radius)))


def _name(
    name: str, x: float, y: float, radius: float, taken: Taken, kind: str, *, longest: int = 24
) -> Markup:
    """Return a name beside a point, where it covers nothing; empty where there is no such place."""
    shown = shortened(name, longest)
    wide = LETTER * letters_wide(shown)
    places = {}
    for screen, width in WIDTHS.items():
        place, box = _free(x * width / 100, y, radius, wide, taken[screen], width)
        places[screen] = place
        if box is not None:
            taken[screen] = np.vstack((taken[screen], box))
    if len(set(places.values())) == 1:
        places = {"": next(iter(places.values()))}
    return Markup().join(
        _leader(x, y, place, screen)
        + element(
            "text",
            shown,
            class_=f"{kind} {screen}".strip(),
            x=f"{x:.2f}%",
            dx=f"{place[1]:.1f}",
            y=f"{y + place[2]:.1f}",
            text_anchor=place[0],
        )
        for screen, place in places.items()
        if place is not None
    )


def _leader(x: float, y: float, place: tuple[str, float, float], screen: str) -> Markup:
    """Return a thin line from a point to a name that stands apart from it; empty for one that is beside it."""
    _, dx, dy = place
    if math.hypot(dx, dy) < APART:
        return Markup()
    # Percent and pixels do not add up in an attribute, so an inner picture starts at the point.
    line = element("line", x1=0, y1=0, x2=f"{dx:.1f}", y2=f"{dy - 4:.1f}")
    kind = f"leader {screen}".strip()
    return element("svg", line, class_=kind, x=f"{x:.2f}%", y=f"{y:.1f}", overflow="visible")


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
