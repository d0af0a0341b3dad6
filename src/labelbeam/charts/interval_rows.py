"""Rows of numbers with their intervals on one scale: the whole of [0, 1], or only where they are; or a change.

Names stand left of the picture's box, in pixels; the scale, which is the box, stretches. Knows nothing of what the
numbers mean.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from labelbeam.charts.charts import element, shortened

ROW, HEAD = 24, 22
QUARTERS = [(f"{value:g}", value) for value in (0.0, 0.25, 0.5, 0.75, 1.0)]


@dataclass(frozen=True)
class Mark:
    """A number in [0, 1] with its interval; None: there is no number, and only the interval's absence to show.

    Attributes:
        value: the number.
        low: lower end.
        high: upper end.
    """

    value: float | None
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """A line of the chart.

    Attributes:
        name: stands left.
        marks: one or two.
        hint: what a pointer that rests on it shows.
    """

    name: str
    marks: tuple[Mark, ...]
    hint: str = ""


def interval_rows(rows: Sequence[Row], *, title: str, zoomed: bool = False) -> Markup:
    """Return rows of points with intervals; the first mark is a disc, the second a square in another colour.

    Args:
        rows: from top to bottom.
        title: for readers of screens.
        zoomed: for numbers so close that on the whole scale they would be one heap: the axis shows where they are,
            labelled in percent; its first tick says where it begins.
    """
    ticks, at, longest = QUARTERS, _at, 20
    if zoomed:
        marks = [mark for row in rows for mark in row.marks if mark.value is not None]
        ends = [end for mark in marks for end in (mark.low, mark.high, mark.value or 0.0)]
        low, high, step = axis(min(ends), max(ends))
        values = [low + number * step for number in range(round((high - low) / step) + 1)]
        ticks, longest = [(f"{100 * value:.1f}".removesuffix(".0"), value) for value in values], 40

        def at(value: float) -> str:
            return f"{100 * (value - low) / (high - low):.2f}%"

    lines = []
    for i, row in enumerate(rows):
        parts = []
        for j, mark in enumerate(row.marks):
            if mark.value is None:
                continue
            y, kind = ROW / 2 + (j - (len(row.marks) - 1) / 2) * 8, "two" if j else ""
            parts.append(_span(at(mark.low), at(mark.high), y, f"span {kind}".strip()))
            square = element("rect", class_="dot two", x=-3.5, y=-3.5, width=7, height=7)
            parts.append(
                element("svg", square, x=at(mark.value), y=y, overflow="visible")
                if j
                else element("circle", class_="dot", cx=at(mark.value), cy=y, r=4)
            )
        lines.append(_line(i, shortened(row.name, longest), row.hint or row.name, parts))
    return _framed(lines, ticks, at, title)


def change_rows(changes: Sequence[tuple[str, float, float]], *, title: str) -> Markup:
    """Return rows with a number before (hollow) and after (full), joined by a line.

    Args:
        changes: (name, before, after), each in [0, 1].
        title: for readers of screens.
    """
    lines = []
    for i, (name, before, after) in enumerate(changes):
        y = ROW / 2
        parts = [
            _span(_at(before), _at(after), y, "span two"),
            element("circle", class_="dot hollow", cx=_at(before), cy=y, r=4),
            element("circle", class_="dot two", cx=_at(after), cy=y, r=4.5),
        ]
        lines.append(_line(i, shortened(name, 20), f"{name}: {before:.3f} → {after:.3f}", parts))
    return _framed(lines, QUARTERS, _at, title)


def _span(start: str, end: str, y: float, kind: str) -> Markup:
    return element("line", class_=kind, x1=start, x2=end, y1=y, y2=y)


def _line(i: int, name: str, hint: str, marks: Sequence[Markup]) -> Markup:
    return element(
        "svg",
        element("text", name, x=-12, y=16, text_anchor="end"),
        element("rect", class_="rail", y=f"{ROW / 2 - 1:g}", width="100%", height=2),
        *marks,
        hint=hint,
        y=HEAD + ROW * i,
        width="100%",
        height=ROW,
        overflow="visible",
    )


def _framed(
    lines: Sequence[Markup], ticks: Sequence[tuple[str, float]], at: Callable[[float], str], title: str
) -> Markup:
    height = HEAD + ROW * len(lines)
    parts = []
    for name, value in ticks:
        x = at(value)
        parts.append(element("text", name, class_="quiet", x=x, y=14, text_anchor="middle"))
        parts.append(element("line", class_="grid", x1=x, x2=x, y1=HEAD - 2, y2=height))
    size = {"width": "100%", "height": height + 6}
    return element("svg", *parts, *lines, hint=title, class_="chart rows", role="img", **size)


def _at(value: float) -> str:
    return f"{100 * min(max(value, 0.0), 1.0):.2f}%"


def axis(least: float, most: float) -> tuple[float, float, float]:
    """Return begin, end and step of an axis with round numbers, at most seven steps.

    Example:
        >>> [round(number, 3) for number in axis(0.763, 0.862)]
        [0.76, 0.88, 0.02]
    """
    reach = max(most - least, 1e-3)
    step = next(
        size
        for size in (10.0**power * digit for power in range(-4, 2) for digit in (1, 2, 5))
        if reach / size <= 6
    )
    low = math.floor(least / step + 1e-9) * step
    return low, low + max(1, math.ceil((most - low) / step - 1e-9)) * step, step
