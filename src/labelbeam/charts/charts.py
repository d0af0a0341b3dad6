"""Charts as inline SVG: columns, bars, intervals, a curve, a matrix. They follow the page's colours."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from labelbeam.charts.page import LETTERS, picture_colours

# What the charts look like, for a page (`CHART_STYLE`) and for a picture that is a file of its own.
#
# One place for what `scatter`, `interval_rows`, `tree_chart` and `reliability` look like, in the colours of
# `design`, and shapes or dashes beside every colour.

CHART_STYLE = """
svg.chart { display: block; overflow: visible; --one: var(--bar); --two: var(--second); }
svg.chart.rows { width: calc(100% - 166px); margin-left: 150px; }
svg.chart text { font: 12px LETTERS; fill: var(--ink); }
svg.chart text.quiet { fill: var(--quiet); } svg.chart text.strong { font-weight: 650; }
svg.chart .leader line { stroke: var(--quiet); stroke-width: 1; }
svg.chart .grid { stroke: var(--line); stroke-width: 1; } svg.chart .rail { fill: var(--line); opacity: .55; }
svg.chart .dot { fill: var(--one); } svg.chart .dot.two { fill: var(--two); }
svg.chart .dot.hollow { fill: var(--paper); stroke: var(--one); stroke-width: 2; }
svg.chart .halo { paint-order: stroke; stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; }
svg.chart .span { stroke: var(--one); stroke-width: 3; stroke-linecap: round; opacity: .45; fill: none; }
svg.chart .span.two { stroke: var(--two); } svg.chart .way { stroke: var(--two); stroke-width: 2; fill: none; }
svg.chart .branch { fill: none; stroke: var(--quiet); opacity: .5; }
svg.chart .branch.exact { stroke: var(--one); opacity: 1; } svg.chart .branch.beam { stroke: var(--two); opacity: 1;
  stroke-dasharray: 5 3; }
svg.chart .box { fill: var(--card); stroke: var(--line); }
svg.chart .box.exact { stroke: var(--one); stroke-width: 2; }
svg.chart .box.beam { stroke: var(--two); stroke-width: 2; stroke-dasharray: 5 3; }
svg.chart .end { fill: var(--line); } svg.chart .end.exact { fill: var(--one); }
svg.chart .end.beam { fill: var(--two); }
svg.chart .diagonal { stroke: var(--quiet); stroke-dasharray: 4 4; opacity: .7; }
svg.reliability { max-width: 100%; height: auto; } svg.chart .narrow { display: none; }
@media (max-width: 40rem) { svg.chart .wide { display: none; } svg.chart .narrow { display: inline; } }
""".replace("LETTERS", LETTERS)

_OF_A_FILE = (
    picture_colours(("ink", "paper", "card", "line", "quiet", "bar", "second"))
    + """
svg.picture { background: var(--paper); } svg.chart.rows { width: auto; margin: 0; }
"""
)

ROW_NAMES = 150
"""Pixels that the names of `interval_rows` take, left of the chart's own box."""


def picture(chart: str, *, width: int, height: int) -> str:
    """Return a chart as a file of its own: SVG that opens anywhere, with its colours, light and dark.

    Args:
        chart: one `<svg class="chart" …>` element of this package.
        width: of the picture, pixels.
        height: of the picture, pixels; the chart stands inside with a margin of 16.

    Example:
        >>> text = picture('<svg class="chart" width="100%" height="10"></svg>', width=60, height=42)
        >>> text.startswith('<svg xmlns="http://www.w3.org/2000/svg" class="picture" width="60"')
        True
    """
    inner = chart.replace('width="100%"', f'width="{width - 32}"', 1).replace(
        "<svg ", '<svg x="16" y="16" ', 1
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="picture" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">\n<style>{CHART_STYLE}{_OF_A_FILE}</style>\n{inner}\n</svg>\n'
    )


# Charts as inline SVG: columns, bars, intervals, a curve, a matrix. They follow the page's colours, light
# and dark.
#
# Positions are in percent and letters in pixels where a chart has letters, so that they stay readable on a
# phone. Everything a user wrote is escaped. Knows nothing of what the numbers mean.

HEIGHT = 150
"""Of the columns, pixels."""

CELL = 18
"""Side of a matrix's cell, pixels."""


@dataclass(frozen=True)
class Series:
    """Columns of one colour.

    Attributes:
        name: for the legend and the hints.
        shares: heights, as fractions of 1, one per column; a shorter series ends early.
        hints: what a pointer that rests on a column is told.
    """

    name: str
    shares: tuple[float, ...]
    hints: tuple[str, ...]


def columns(names: Sequence[str], series: Sequence[Series], *, title: str) -> str:
    """Return columns side by side, with a legend where there are several series.

    Args:
        names: below the columns; where they are many, some are left out.
        series: at most four.
        title: for readers of screens.
    """
    most = max((share for one in series for share in one.shares), default=0.0) or 1.0
    slot = 100 / max(len(names), 1)
    width = 0.78 * slot / len(series)
    every = math.ceil(len(names) / 11)
    parts = [f'<line x1="0" x2="100%" y1="{HEIGHT + 18}" y2="{HEIGHT + 18}" class="axis"/>']
    for at, one in enumerate(series):
        for i, (share, hint) in enumerate(zip(one.shares, one.hints, strict=True)):
            height = HEIGHT * share / most
            left = i * slot + 0.11 * slot + at * width
            parts.append(
                f'<rect class="s{at}" x="{left:.3f}%" y="{HEIGHT + 18 - height:.2f}" width="{width:.3f}%" '
                f'height="{height:.2f}" rx="2"><title>{escape(hint)}</title></rect>'
            )
            if len(names) <= 11 and len(series) == 1 and share > 0:
                parts.append(
                    f'<text class="quiet" x="{left + width / 2:.3f}%" y="{HEIGHT + 13 - height:.2f}" '
                    f'text-anchor="middle">{_percent(share)}</text>'
                )
    parts += [
        f'<text x="{(i + 0.5) * slot:.3f}%" y="{HEIGHT + 34}" text-anchor="middle">{escape(name)}</text>'
        for i, name in enumerate(names)
        if i % every == 0
    ]
    chart = (
        f'<svg class="columns" role="img" width="100%" height="{HEIGHT + 42}"><title>{escape(title)}</title>'
    )
    return legend([one.name for one in series]) + chart + "".join(parts) + "</svg>"


def legend(names: Sequence[str]) -> str:
    """Return the names of series beside their colours; nothing for a single one."""
    if len(names) < 2:
        return ""
    keys = (f'<span><i class="key s{i}"></i>{escape(name)}</span>' for i, name in enumerate(names))
    return f'<p class="legend">{"".join(keys)}</p>'


def bar(share: float, *, unknown: float = 0.0, marks: Sequence[float] = (), hint: str = "") -> str:
    """Return a bar on a rail.

    Args:
        share: its length, as a fraction of the rail.
        unknown: length of a fainter piece behind it.
        marks: where upright strokes stand, one per further series.
        hint: what a pointer that rests on it is told.
    """
    strokes = "".join(
        f'<rect class="s{i}" x="{100 * min(max(mark, 0.0), 1.0):.2f}%" y="0" width="3" height="16" rx="1.5"/>'
        for i, mark in enumerate(marks, start=1)
    )
    return (
        f'<svg class="bar" width="100%" height="16"><title>{escape(hint)}</title>'
        f'<rect class="rail" y="4" width="100%" height="8" rx="4"/>'
        f'<rect class="faint" y="4" width="{100 * min(share + unknown, 1.0):.2f}%" height="8" rx="4"/>'
        f'<rect class="s0" y="4" width="{100 * min(share, 1.0):.2f}%" height="8" rx="4"/>{strokes}</svg>'
    )


def interval(low: float, middle: float, high: float, *, reach: float, hint: str = "") -> str:
    """Return a point with its interval on an axis from -reach to reach; what lies beyond is cut off.

    Args:
        low: lower end.
        middle: the point.
        high: upper end.
        reach: half the axis, more than 0.
        hint: what a pointer that rests on it is told.
    """
    left, at, right = (50 + 50 * min(max(x / reach, -1.0), 1.0) for x in (low, middle, high))
    side = "together" if middle > 0 else "apart"
    return (
        f'<svg class="interval {side}" width="100%" height="16"><title>{escape(hint)}</title>'
        '<line class="axis" x1="50%" x2="50%" y1="0" y2="16"/>'
        f'<line class="span" x1="{left:.2f}%" x2="{right:.2f}%" y1="8" y2="8"/>'
        f'<circle cx="{at:.2f}%" cy="8" r="4"/></svg>'
    )


def matrix(
    names: Sequence[str],
    values: Sequence[Sequence[float | None]],
    hints: Sequence[Sequence[str]],
    *,
    reach: float,
) -> str:
    """Return a symmetric matrix as coloured cells, one colour above zero and another below.

    Args:
        names: of rows and columns.
        values: rows; None and 0 are empty cells.
        hints: what a pointer that rests on a cell is told.
        reach: the value of full colour, more than 0.
    """
    shown = [name if len(name) <= 18 else name[:17] + "…" for name in names]
    edge = 12 + round(6.8 * max((_columns_of(name) for name in shown), default=0))
    side = edge + CELL * len(names)
    parts = []
    for i, name in enumerate(shown):
        at = edge + CELL * i
        title = f"<title>{escape(names[i])}</title>"
        parts.append(f'<text x="{edge - 6}" y="{at + 13}" text-anchor="end">{title}{escape(name)}</text>')
        parts.append(
            f'<text transform="translate({at + 13} {edge - 6}) rotate(-90)">{title}{escape(name)}</text>'
        )
        for j, value in enumerate(values[i]):
            x, y = edge + CELL * j, at
            kind = "none" if not value or i == j else "together" if value > 0 else "apart"
            strength = 0.15 + 0.85 * min(abs(value or 0.0) / reach, 1.0)
            look = f' fill-opacity="{strength:.2f}"' if kind != "none" else ""
            cell = f'<rect class="{kind}" x="{x + 1}" y="{y + 1}" width="{CELL - 2}" height="{CELL - 2}" rx="3"{look}>'
            parts.append(f"{cell}<title>{escape(hints[i][j])}</title></rect>")
    return (
        f'<div class="wide"><svg class="matrix" role="img" width="{side}" height="{side}">'
        + "".join(parts)
        + "</svg></div>"
    )


def _columns_of(name: str) -> float:
    """Return about how many Latin letters wide a name is."""
    return sum(1.8 if ord(letter) > 0x2E7F else 1.0 for letter in name)


def curve(counts: Sequence[int], *, title: str) -> str:
    """Return counts by rank, both axes logarithmic, as a filled curve.

    Args:
        counts: falling; counts of 0 end the curve.
        title: for readers of screens.
    """
    positive = [count for count in counts if count > 0]
    if len(positive) < 2:
        return ""
    wide, high = math.log10(len(positive)), math.log10(positive[0]) or 1.0
    points = " ".join(
        f"{1000 * math.log10(i) / wide:.1f},{200 - 200 * math.log10(count) / high:.1f}"
        for i, count in enumerate(positive, start=1)
    )
    lines = [
        f'<line class="axis" x1="0" x2="1000" y1="{200 - 200 * tens / high:.1f}" y2="{200 - 200 * tens / high:.1f}"/>'
        for tens in range(math.floor(high) + 1)
    ]
    names = [
        f'<text x="4" y="{max(12.0, 196 - 200 * tens / high):.1f}">{10**tens:,}</text>'
        for tens in range(math.floor(high) + 1)
    ]
    return (
        f'<svg class="curve" role="img" width="100%" height="200"><title>{escape(title)}</title>'
        '<svg width="100%" height="200" viewBox="0 0 1000 200" preserveAspectRatio="none">'
        f'{"".join(lines)}<polygon class="faint" points="0,200 {points} 1000,200"/>'
        f'<polyline class="line" points="{points}"/></svg>{"".join(names)}</svg>'
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.1f} %"
