"""Colours and letters of the charts, for a page (`CHART_STYLE`) and for a picture that is a file of its own.

One place for what `scatter`, `interval_rows`, `tree_chart` and `reliability` look like: light and dark, colours that
the colour-blind tell apart (blue and orange, never red and green), and shapes or dashes beside every colour.
"""

CHART_STYLE = """
svg.chart { display: block; overflow: visible; --one: var(--bar, #3f6fb5); --two: var(--second, #d97a1e); }
svg.chart.rows { width: calc(100% - 166px); margin-left: 150px; }
svg.chart text { font: 12px system-ui, "Noto Sans", "Noto Sans CJK JP", sans-serif; fill: var(--ink); }
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
@media (max-width: 40rem) { svg.chart .minor { display: none; } }
"""

_OWN_COLOURS = """
:root { color-scheme: light dark; --ink: #1d2430; --paper: #fbfaf8; --card: #fff; --line: #e3e0da; --quiet: #667;
  --bar: #3f6fb5; --second: #d97a1e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaf0; --paper: #14171d; --card: #1d222b; --line: #323946;
  --quiet: #98a1b3; --bar: #7fa8e8; --second: #f2a65a; } }
svg.picture { background: var(--paper); } svg.chart.rows { width: auto; margin: 0; }
"""

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
        f'viewBox="0 0 {width} {height}">\n<style>{CHART_STYLE}{_OWN_COLOURS}</style>\n{inner}\n</svg>\n'
    )
