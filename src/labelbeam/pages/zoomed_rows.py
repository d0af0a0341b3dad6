"""Rows of points with intervals on an axis that shows where they are, not the whole of [0, 1].

As `interval_rows`, for numbers so close that on the whole scale they would be one heap. The axis is labelled in
percent; its first tick says where it begins. Everything a user wrote is escaped.
"""

import math
from collections.abc import Sequence
from html import escape

from labelbeam.pages.interval_rows import HEAD, ROW, Row, height_of


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
