"""Points in a plane with their names, and a way through it; or points against two axes.

Positions are in percent and letters in pixels, so that both stay readable on a phone, where the lesser names are
left out. Names are placed where they cover nothing, the weightiest first; what finds no place keeps its hint.
Everything a user wrote is escaped. Knows nothing of what the points mean.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

HEIGHT, WIDTH = 460, 720
"""Of the chart, pixels; the width is what names are placed for, the chart itself stretches."""

LETTER = 6.6
"""Width of a Latin letter, pixels; others are wider."""

Box = tuple[float, float, float, float]


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
    taken: list[Box] = []
    radii = [3 + 5 * math.sqrt(max(spot.weight, 0.0) / most) for spot in spots]
    for spot, radius in zip(spots, radii, strict=True):
        x, y = place(spot)
        taken.append((x * WIDTH / 100 - radius, y - radius, x * WIDTH / 100 + radius, y + radius))
    parts = [] if axes is None else _grid(axes, scales)
    lines, stops = _way([(*place(stop), stop) for stop in way], taken)
    parts += [
        f'<text class="quiet" x="0" y="{HEIGHT + 18 * number}">{escape(note)}</text>'
        for number, note in enumerate(notes, 1)
    ]
    names = []
    order = sorted(range(len(spots)), key=lambda i: (-spots[i].weight, i))
    for rank, i in enumerate(order):
        x, y = place(spots[i])
        hint = escape(spots[i].hint or spots[i].name)
        parts.append(
            f'<circle class="dot" fill-opacity=".75" cx="{x:.2f}%" cy="{y:.1f}" r="{radii[i]:.1f}">'
            f"<title>{hint}</title></circle>"
        )
        kind = "halo" if rank < 15 else "halo minor"
        names.append(_name(spots[i].name, x, y, radii[i], taken, kind))
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


def _way(stops: Sequence[tuple[float, float, Spot]], taken: list[Box]) -> tuple[list[str], list[str]]:
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
        taken.append((x * WIDTH / 100 - 5, y - 5, x * WIDTH / 100 + 5, y + 5))
    marks += [_name(stop.name, x, y, 5.0, taken, "halo strong") for x, y, stop in stops]
    return lines, marks


def _name(name: str, x: float, y: float, radius: float, taken: list[Box], kind: str) -> str:
    """Return a name beside a point, where it covers nothing; empty where there is no such place."""
    shown = name if len(name) <= 24 else name[:23] + "…"
    wide = LETTER * sum(1.8 if ord(letter) > 0x2E7F else 1.0 for letter in shown)
    at = x * WIDTH / 100
    for anchor, dx, dy in (
        ("start", radius + 3, 4),
        ("end", -radius - 3, 4),
        ("middle", 0, -radius - 4),
        ("middle", 0, radius + 13),
        ("start", radius, -radius - 1),
        ("start", radius, radius + 10),
        ("end", -radius, -radius - 1),
        ("end", -radius, radius + 10),
    ):
        left = at + dx - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
        box = (left, y + dy - 11, left + wide, y + dy + 3)
        inside = box[0] >= 0 and box[2] <= WIDTH and box[1] >= 0 and box[3] <= HEIGHT + 10
        if inside and not any(_overlap(box, other) for other in taken):
            taken.append(box)
            return (
                f'<text class="{kind}" x="{x:.2f}%" dx="{dx:.1f}" y="{y + dy:.1f}" text-anchor="{anchor}">'
                f"{escape(shown)}</text>"
            )
    return ""


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
