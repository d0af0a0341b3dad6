"""Points with intervals on an axis of their own."""

import re

import pytest

from labelbeam.charts.charts import Mark, Row, axis, interval_rows
from labelbeam.charts.page import render
from labelbeam.paper.tables import Line, SideBySide


@pytest.mark.parametrize(
    ("least", "most"), [(0.79, 0.81), (0.0, 1.0), (0.5, 0.5), (0.123, 0.9), (0.8, 0.8002)]
)
def test_the_axis_holds_everything_in_few_round_steps(least: float, most: float) -> None:
    low, high, step = axis(least, most)
    assert low <= least + 1e-9
    assert high >= most - 1e-9
    assert 1 <= round((high - low) / step) <= 7
    assert f"{step:.0e}"[0] in "125"


def test_points_and_interval_ends_stand_where_the_axis_says() -> None:
    chart = interval_rows(
        [Row("<b>", (Mark(0.8, 0.75, 0.9), Mark(0.84, 0.835, 0.845)))], title="mAP", zoomed=True
    )
    low, high, _ = axis(0.75, 0.9)
    assert f'cx="{100 * (0.8 - low) / (high - low):.2f}%"' in chart
    assert f'x2="{100 * (0.9 - low) / (high - low):.2f}%"' in chart
    assert "&lt;b&gt;" in chart
    assert "<b>" not in chart
    ticks = [float(text) for text in re.findall(r'text-anchor="middle">([\d.]+)<', chart)]
    assert ticks == sorted(ticks)
    assert (ticks[0], ticks[-1]) == pytest.approx((100 * low, 100 * high))


def test_a_table_escapes_what_it_shows_and_joins_a_line_with_its_intervals() -> None:
    lines = (Line("paper", ("<i>", "1.0")), Line("ours", ("b", "2.0")), Line("interval", ("95 %", "1–3")))
    table = SideBySide("title", ("", "F1"), lines, ("now & then",))
    page = render("paper/table.html.jinja", table=table)
    assert "&lt;i&gt;" in page
    assert "now &amp; then" in page
    assert '<tr class="ours spanned">' in page
    assert '<tr class="paper">' in page
