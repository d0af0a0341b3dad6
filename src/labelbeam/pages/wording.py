"""Numbers and remarks as a page words them."""

from collections.abc import Mapping
from html import escape


def quiet(text: str) -> str:
    """Return a paragraph of plain text in a quiet colour."""
    return f'<p class="quiet">{escape(text)}</p>'


def spread(values: Mapping[str, int]) -> str:
    """Return least, largest and median value.

    Example:
        >>> spread({"min": 64, "median": 375, "max": 500})
        '64 to 500 (median 375)'
    """
    if values["min"] == values["max"]:
        return f"{values['min']:,}"
    return f"{values['min']:,} to {values['max']:,} (median {values['median']:,})"


def times(ratio: float) -> str:
    """Return a ratio.

    Example:
        >>> times(109.4), times(1.96), times(0.071)
        ('109 ×', '2.0 ×', '0.07 ×')
    """
    return f"{ratio:,.0f} ×" if ratio >= 10 else f"{ratio:.1f} ×" if ratio >= 1 else f"{ratio:.2f} ×"


def percent(share: float) -> str:
    """Return a fraction in percent; neither 0 nor 100 unless it is.

    Example:
        >>> percent(0.5), percent(0.0123), percent(0.0), percent(0.9983)
        ('50 %', '1.2 %', '0 %', '99.8 %')
    """
    value = 100 * share
    if 99.5 <= value < 100:
        return f"{min(value, 99.9):.1f} %"
    return f"{value:.0f} %" if value >= 9.95 or not value else f"{value:.2g} %"
