"""Rows of points with their intervals on one scale, from 0 to 1 or zoomed to where they are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# Rows with numbers in [0, 1] on one scale: a point with its interval, two of them, or a change from one to
# another.
#
# Names stand left of the picture's box, in pixels; the scale, which is the box, stretches. Everything a
# user wrote is escaped. Knows nothing of what the numbers mean.

ROW, HEAD = 24, 22
LONGEST = 20


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
        hint: what a pointer that rests on it is told.
    """

    name: str
    marks: tuple[Mark, ...]
    hint: str = ""


def interval_rows(rows: Sequence[Row], *, title: str) -> str:
    """Return rows of points with intervals; the first mark is a disc, the second a square in another colour.

    Args:
        rows: from top to bottom.
        title: for readers of screens.
    """
    lines = []
    for i, row in enumerate(rows):
        parts = []
        for j, mark in enumerate(row.marks):
            y = ROW / 2 + (j - (len(row.marks) - 1) / 2) * 8
            kind = " two" if j else ""
            if mark.value is None:
                continue
            parts.append(
                f'<line class="span{kind}" x1="{_at(mark.low)}" x2="{_at(mark.high)}" y1="{y}" y2="{y}"/>'
                + (
                    f'<svg x="{_at(mark.value)}" y="{y}" overflow="visible">'
                    f'<rect class="dot{kind}" x="-3.5" y="-3.5" width="7" height="7"/></svg>'
                    if j
                    else f'<circle class="dot{kind}" cx="{_at(mark.value)}" cy="{y}" r="4"/>'
                )
            )
        lines.append(_line(i, row.name, row.hint, "".join(parts)))
    return _framed(lines, title)


def change_rows(changes: Sequence[tuple[str, float, float]], *, title: str) -> str:
    """Return rows with a number before (hollow) and after (full), joined by a line.

    Args:
        changes: (name, before, after), each in [0, 1].
        title: for readers of screens.
    """
    lines = []
    for i, (name, before, after) in enumerate(changes):
        y = ROW / 2
        parts = (
            f'<line class="span two" x1="{_at(before)}" x2="{_at(after)}" y1="{y}" y2="{y}"/>'
            f'<circle class="dot hollow" cx="{_at(before)}" cy="{y}" r="4"/>'
            f'<circle class="dot two" cx="{_at(after)}" cy="{y}" r="4.5"/>'
        )
        lines.append(_line(i, name, f"{name}: {before:.3f} → {after:.3f}", parts))
    return _framed(lines, title)


def height_of(rows: int) -> int:
    """Return how high a chart of so many rows is, pixels."""
    return HEAD + ROW * rows + 6


def _line(i: int, name: str, hint: str, marks: str) -> str:
    shown = name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
    return (
        f'<svg y="{HEAD + ROW * i}" width="100%" height="{ROW}" overflow="visible">'
        f"<title>{escape(hint or name)}</title>"
        f'<text x="-12" y="16" text-anchor="end">{escape(shown)}</text>'
        f'<rect class="rail" y="{ROW / 2 - 1:g}" width="100%" height="2"/>{marks}</svg>'
    )


def _framed(lines: Sequence[str], title: str) -> str:
    ticks = "".join(
        f'<text class="quiet" x="{_at(value)}" y="14" text-anchor="middle">{value:g}</text>'
        f'<line class="grid" x1="{_at(value)}" x2="{_at(value)}" y1="{HEAD - 2}" y2="{HEAD + ROW * len(lines)}"/>'
        for value in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    return (
        f'<svg class="chart rows" role="img" width="100%" height="{height_of(len(lines))}">'
        f"<title>{escape(title)}</title>{ticks}{''.join(lines)}</svg>"
    )


def _at(value: float) -> str:
    return f"{100 * min(max(value, 0.0), 1.0):.2f}%"


# Rows of points with intervals on an axis that shows where they are, not the whole of [0, 1].
#
# As `interval_rows`, for numbers so close that on the whole scale they would be one heap. The axis is
# labelled in percent; its first tick says where it begins. Everything a user wrote is escaped.


def zoomed_rows(rows: Sequence[Row], *, title: str) -> str:
    """Return rows of points with intervals; the first mark is a disc, the second a square in another colour.

    Args:
        rows: from top to bottom; each mark has a value.
        title: for readers of screens.
    """
    ends = [
        end for row in rows for mark in row.marks for end in (mark.low, mark.high, mark.value or mark.low)
    ]
    low, high, step = axis(min(ends), max(ends))

    def at(value: float) -> str:
        return f"{100 * (value - low) / (high - low):.2f}%"

    parts = []
    for number in range(round((high - low) / step) + 1):
        tick = low + number * step
        name = f"{100 * tick:.1f}".removesuffix(".0")
        parts.append(
            f'<text class="quiet" x="{at(tick)}" y="14" text-anchor="middle">{name}</text>'
            f'<line class="grid" x1="{at(tick)}" x2="{at(tick)}" y1="{HEAD - 2}" y2="{HEAD + ROW * len(rows)}"/>'
        )
    for i, row in enumerate(rows):
        marks = []
        for j, mark in enumerate(row.marks):
            if mark.value is None:
                continue
            y, kind = ROW / 2 + (j - (len(row.marks) - 1) / 2) * 9, " two" if j else ""
            span = f'<line class="span{kind}" x1="{at(mark.low)}" x2="{at(mark.high)}" y1="{y}" y2="{y}"/>'
            disc = f'<circle class="dot" cx="{at(mark.value)}" cy="{y}" r="4"/>'
            square = (
                f'<svg x="{at(mark.value)}" y="{y}" overflow="visible">'
                '<rect class="dot two" x="-3.5" y="-3.5" width="7" height="7"/></svg>'
            )
            marks.append(span + (square if j else disc))
        parts.append(
            f'<svg y="{HEAD + ROW * i}" width="100%" height="{ROW}" overflow="visible">'
            f"<title>{escape(row.hint or row.name)}</title>"
            f'<text x="-12" y="16" text-anchor="end">{escape(row.name)}</text>'
            f'<rect class="rail" y="{ROW / 2 - 1:g}" width="100%" height="2"/>{"".join(marks)}</svg>'
        )
    return (
        f'<svg class="chart rows" role="img" width="100%" height="{height_of(len(rows))}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


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
