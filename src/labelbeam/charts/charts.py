"""Charts as inline SVG: columns, bars, intervals, a curve, a matrix; their one element, and a chart as a file.

They follow the page's colours, light and dark. Positions are in percent and letters in pixels where a chart has
letters, so that they stay readable on a phone. They know nothing of what the numbers mean.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from labelbeam.charts.page import render


def element(tag: str, *inside: str, hint: object = "", **attributes: object) -> Markup:
    """Return an SVG element.

    Args:
        inside: elements as they are (`Markup`), and plain text, which is escaped.
        hint: what a pointer that rests on it shows, and a reader of screens reads.
        attributes: `class_` is `class`, other underscores are hyphens; one that is empty or None is left out.

    Example:
        >>> element("text", "a < b", class_="quiet", text_anchor="end", x=3)
        Markup('<text class="quiet" text-anchor="end" x="3">a &lt; b</text>')
    """
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for name, value in attributes.items()
        if value not in ("", None)
    )
    inside = (element("title", str(hint)), *inside) if hint else inside
    return Markup(f"<{tag}{named}>{''.join(map(escape, inside))}</{tag}>")


def shortened(name: str, longest: int) -> str:
    """Return a name cut to some letters.

    Example:
        >>> shortened("hippopotamus", 6)
        'hippo…'
    """
    return name if len(name) <= longest else name[: longest - 1] + "…"


def letters_wide(name: str) -> float:
    """Return about how many Latin letters wide a name is."""
    return sum(1.8 if ord(letter) > 0x2E7F else 1.0 for letter in name)


def picture(chart: str, *, width: int, height: int) -> Markup:
    """Return a chart as a file of its own: SVG that opens anywhere, with its colours, light and dark.

    Args:
        chart: one `<svg class="chart" …>` element of this package.
        width: of the picture, pixels.
        height: of the picture, pixels; the chart stands inside with a margin of 16.

    Example:
        >>> text = picture(element("svg", class_="chart", width="100%"), width=60, height=42)
        >>> text.startswith('<svg xmlns="http://www.w3.org/2000/svg" class="picture" width="60"')
        True
    """
    inner = (
        str(chart)
        .replace('width="100%"', f'width="{width - 32}"', 1)
        .replace("<svg ", '<svg x="16" y="16" ', 1)
    )
    return render("charts/picture.svg.jinja", chart=Markup(inner), width=width, height=height)


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
        hints: what a pointer that rests on a column shows.
    """

    name: str
    shares: tuple[float, ...]
    hints: tuple[str, ...]


def columns(names: Sequence[str], series: Sequence[Series], *, title: str) -> Markup:
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
    parts = [element("line", x1=0, x2="100%", y1=HEIGHT + 18, y2=HEIGHT + 18, class_="axis")]
    for at, one in enumerate(series):
        for i, (share, hint) in enumerate(zip(one.shares, one.hints, strict=True)):
            height = HEIGHT * share / most
            left = i * slot + 0.11 * slot + at * width
            place = {"x": f"{left:.3f}%", "y": f"{HEIGHT + 18 - height:.2f}", "rx": 2}
            size = {"width": f"{width:.3f}%", "height": f"{height:.2f}"}
            parts.append(element("rect", hint=hint, class_=f"s{at}", **place, **size))
            if len(names) <= 11 and len(series) == 1 and share > 0:
                x, y = f"{left + width / 2:.3f}%", f"{HEIGHT + 13 - height:.2f}"
                text = f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.1f} %"
                parts.append(element("text", text, class_="quiet", x=x, y=y, text_anchor="middle"))
    parts += [
        element("text", name, x=f"{(i + 0.5) * slot:.3f}%", y=HEIGHT + 34, text_anchor="middle")
        for i, name in enumerate(names)
        if i % every == 0
    ]
    chart = element("svg", *parts, hint=title, class_="columns", role="img", width="100%", height=HEIGHT + 42)
    return legend([one.name for one in series]) + chart


def legend(names: Sequence[str]) -> Markup:
    """Return the names of series beside their colours; nothing for a single one."""
    if len(names) < 2:
        return Markup()
    keys = [element("span", element("i", class_=f"key s{i}"), name) for i, name in enumerate(names)]
    return element("p", *keys, class_="legend")


def bar(share: float, *, unknown: float = 0.0, marks: Sequence[float] = (), hint: str = "") -> Markup:
    """Return a bar on a rail.

    Args:
        share: its length, as a fraction of the rail.
        unknown: length of a fainter piece behind it.
        marks: where upright strokes stand, one per further series.
        hint: what a pointer that rests on it shows.
    """
    bars = [
        element("rect", class_=kind, y=4, width=width, height=8, rx=4)
        for kind, width in (
            ("rail", "100%"),
            ("faint", f"{100 * min(share + unknown, 1.0):.2f}%"),
            ("s0", f"{100 * min(share, 1.0):.2f}%"),
        )
    ]
    bars += [
        element(
            "rect",
            class_=f"s{i}",
            x=f"{100 * min(max(mark, 0.0), 1.0):.2f}%",
            y=0,
            width=3,
            height=16,
            rx=1.5,
        )
        for i, mark in enumerate(marks, start=1)
    ]
    return element("svg", *bars, hint=hint, class_="bar", width="100%", height=16)


def interval(low: float, middle: float, high: float, *, reach: float, hint: str = "") -> Markup:
    """Return a point with its interval on an axis from -reach to reach; what lies beyond is cut off.

    Args:
        reach: half the axis, more than 0.
        hint: what a pointer that rests on it shows.
    """
    left, at, right = (f"{50 + 50 * min(max(x / reach, -1.0), 1.0):.2f}%" for x in (low, middle, high))
    return element(
        "svg",
        element("line", class_="axis", x1="50%", x2="50%", y1=0, y2=16),
        element("line", class_="span", x1=left, x2=right, y1=8, y2=8),
        element("circle", cx=at, cy=8, r=4),
        hint=hint,
        class_=f"interval {'together' if middle > 0 else 'apart'}",
        width="100%",
        height=16,
    )


def matrix(
    names: Sequence[str],
    values: Sequence[Sequence[float | None]],
    hints: Sequence[Sequence[str]],
    *,
    reach: float,
) -> Markup:
    """Return a symmetric matrix as coloured cells, one colour above zero and another below.

    Args:
        values: rows; None and 0 are empty cells.
        hints: what a pointer that rests on a cell shows.
        reach: the value of full colour, more than 0.
    """
    shown = [shortened(name, 18) for name in names]
    edge = 12 + round(6.8 * max(map(letters_wide, shown), default=0))
    side = edge + CELL * len(names)
    parts = []
    for i, name in enumerate(shown):
        at = edge + CELL * i
        turned = f"translate({at + 13} {edge - 6}) rotate(-90)"
        parts.append(element("text", name, hint=names[i], x=edge - 6, y=at + 13, text_anchor="end"))
        parts.append(element("text", name, hint=names[i], transform=turned))
        for j, value in enumerate(values[i]):
            kind = "none" if not value or i == j else "together" if value > 0 else "apart"
            strength = f"{0.15 + 0.85 * min(abs(value or 0.0) / reach, 1.0):.2f}" if kind != "none" else None
            place = {"x": edge + CELL * j + 1, "y": at + 1, "width": CELL - 2, "height": CELL - 2, "rx": 3}
            parts.append(element("rect", hint=hints[i][j], class_=kind, **place, fill_opacity=strength))
    chart = element("svg", *parts, class_="matrix", role="img", width=side, height=side)
    return element("div", chart, class_="wide")


def curve(counts: Sequence[int], *, title: str) -> Markup:
    """Return counts by rank, both axes logarithmic, as a filled curve.

    Args:
        counts: falling; counts of 0 end the curve.
        title: for readers of screens.
    """
    positive = [count for count in counts if count > 0]
    if len(positive) < 2:
        return Markup()
    wide, high = math.log10(len(positive)), math.log10(positive[0]) or 1.0
    points = " ".join(
        f"{1000 * math.log10(i) / wide:.1f},{200 - 200 * math.log10(count) / high:.1f}"
        for i, count in enumerate(positive, start=1)
    )
    powers = {10**tens: 200 - 200 * tens / high for tens in range(math.floor(high) + 1)}
    drawn = element(
        "svg",
        *(
            element("line", class_="axis", x1=0, x2=1000, y1=f"{y:.1f}", y2=f"{y:.1f}")
            for y in powers.values()
        ),
        element("polygon", class_="faint", points=f"0,200 {points} 1000,200"),
        element("polyline", class_="line", points=points),
        width="100%",
        height=200,
        viewBox="0 0 1000 200",
        preserveAspectRatio="none",
    )
    names = [element("text", f"{power:,}", x=4, y=f"{max(12.0, y - 4):.1f}") for power, y in powers.items()]
    return element("svg", drawn, *names, hint=title, class_="curve", role="img", width="100%", height=200)


ROW, HEAD = 24, 22
QUARTERS = [(f"{value:g}", value) for value in (0.0, 0.25, 0.5, 0.75, 1.0)]


@dataclass(frozen=True)
class Mark:
    """A number in [0, 1] with its interval; None: there is no number, and only the interval's absence to show."""

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
