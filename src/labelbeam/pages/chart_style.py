"""What the charts look like, for a page (`CHART_STYLE`) and for a picture that is a file of its own.

One place for what `scatter`, `interval_rows`, `tree_chart` and `reliability` look like, in the colours of `design`, and
shapes or dashes beside every colour.
"""

from labelbeam.pages.design import LETTERS, picture_colours

CHART_STYLE = """
svg.chart { display: block; overflow: visible; --one: var(--bar); --two: var(--second); }
svg.chart.rows { width: calc(100% - 166px); margin-left: 150px; }
svg.chart text { font: 12px LETTERS; fill: var(--ink); }
svg.chart text.quiet { fill: var(--quiet); } svg.chart text.strong { font-weight: 650; }
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
