"""Are probabilities what they say? Share of present labels against the probability given to them.

Takes bins; knows nothing of models or files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

SIDE, EDGE = 320, 40


@dataclass(frozen=True)
class ReliabilityBin:
    """Scores that lie close together.

    Attributes:
        score: their mean, in [0, 1].
        share: how many of them are of present labels, as a fraction.
        low: lower end of the share's interval.
        high: upper end.
        count: how many they are.
    """

    score: float
    share: float
    low: float
    high: float
    count: int


def reliability(bins: Sequence[ReliabilityBin], *, title: str) -> str:
    """Return a reliability diagram: on the diagonal, probabilities are what they say.

    Args:
        bins: by rising score; the area of a disc grows with the bin's count, from a least size.
        title: for readers of screens.

    Source:
        DeGroot and Fienberg 1983; Niculescu-Mizil and Caruana 2005.
    """
    most = max((one.count for one in bins), default=1)
    parts = [f'<line class="diagonal" x1="{_x(0.0)}" y1="{_y(0.0)}" x2="{_x(1.0)}" y2="{_y(1.0)}"/>']
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<line class="grid" x1="{_x(0.0)}" x2="{_x(1.0)}" y1="{_y(tick)}" y2="{_y(tick)}"/>')
        parts.append(
            f'<text class="quiet" x="{EDGE - 6}" y="{_y(tick) + 4:g}" text-anchor="end">{tick:g}</text>'
        )
        parts.append(
            f'<text class="quiet" x="{_x(tick)}" y="{SIDE + 26}" text-anchor="middle">{tick:g}</text>'
        )
    for one in bins:
        radius = 3 + 5 * (one.count / most) ** 0.5
        hint = f"said {one.score:.3f}, is {one.share:.3f} ({one.low:.3f} to {one.high:.3f}) of {one.count:,}"
        parts.append(
            f'<g><title>{escape(hint)}</title><line class="span" x1="{_x(one.score)}" x2="{_x(one.score)}" '
            f'y1="{_y(one.low)}" y2="{_y(one.high)}"/>'
            f'<circle class="dot" cx="{_x(one.score)}" cy="{_y(one.share)}" r="{radius:.1f}"/></g>'
        )
    parts.append(
        f'<text class="quiet" x="{_x(1.0)}" y="{SIDE + 44}" text-anchor="end">probability said →</text>'
    )
    parts.append(f'<text class="quiet" x="{_x(0.0) + 6}" y="{_y(1.0) + 14:g}">↑ share present</text>')
    width, height = SIDE + EDGE + 16, SIDE + 50
    return (
        f'<svg class="chart reliability" role="img" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _x(value: float) -> float:
    return round(EDGE + SIDE * value, 2)


def _y(value: float) -> float:
    return round(10 + SIDE * (1 - value), 2)
