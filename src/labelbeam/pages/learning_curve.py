"""How training went: a line per column of the log, by epoch; the best epoch stands out.

Positions are in percent and letters in pixels. Everything a user wrote is escaped. Knows nothing of files.
"""

from collections.abc import Mapping, Sequence
from html import escape

HIGH, FOOT = 200, 26


def learning_curve(
    epochs: Sequence[float],
    lines: Mapping[str, Sequence[float | None]],
    *,
    title: str,
    best: float | None = None,
) -> str:
    """Return lines over epochs.

    Args:
        epochs: rising.
        lines: by name, at most four, one value per epoch; None: not measured.
        title: for readers of screens.
        best: epoch that gets an upright line; None: no line.
    """
    values = [value for line in lines.values() for value in line if value is not None]
    if not values or len(epochs) < 2:
        return ""
    low, high = min(0.0, *values), max(values)
    span, wide = (high - low) or 1.0, (epochs[-1] - epochs[0]) or 1.0

    def x(epoch: float) -> float:
        return 100 * (epoch - epochs[0]) / wide

    def y(value: float) -> float:
        return HIGH * (1 - (value - low) / span) + 8

    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = low + share * span
        parts.append(f'<line class="grid" x1="0" x2="100%" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(
            f'<text class="quiet" x="-8" y="{y(value) + 4:.1f}" text-anchor="end">{_number(value, span)}</text>'
        )
    shown = dict.fromkeys((epochs[0], epochs[len(epochs) // 2], epochs[-1]))
    parts += [
        f'<text class="quiet" x="{x(epoch):.2f}%" y="{HIGH + FOOT}" text-anchor="middle">{epoch:g}</text>'
        for epoch in shown
    ]
    if best is not None:
        at = f"{x(best):.2f}%"
        parts.append(f'<line class="best" x1="{at}" x2="{at}" y1="8" y2="{HIGH + 8}"/>')
    for number, (name, line) in enumerate(lines.items()):
        known = [(epoch, value) for epoch, value in zip(epochs, line, strict=True) if value is not None]
        points = " ".join(f"{10 * x(epoch):.1f},{y(value):.1f}" for epoch, value in known)
        parts.append(
            f'<svg width="100%" height="{HIGH + 8}" viewBox="0 0 1000 {HIGH + 8}" preserveAspectRatio="none">'
            f'<polyline class="learning l{number}" points="{points}"/></svg>'
        )
        parts += [
            f'<circle class="s{number}" cx="{x(epoch):.2f}%" cy="{y(value):.1f}" r="3"><title>'
            f"{escape(f'{name}, epoch {epoch:g}: {value:.4g}')}</title></circle>"
            for epoch, value in known
        ]
    return (
        f'<svg class="chart learning-curve" role="img" width="100%" height="{HIGH + FOOT + 8}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _number(value: float, span: float) -> str:
    return f"{value:.3f}" if span < 0.1 else f"{value:.2f}" if span < 1 else f"{value:.1f}"
