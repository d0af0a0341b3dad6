"""Colours and letters of every page and picture: one design, light and dark.

Colours that the colour-blind tell apart: blue and orange, never red against green without a word beside it. Knows no
page and no chart.
"""

from collections.abc import Iterable

LETTERS = 'system-ui, "Noto Sans", "Noto Sans CJK JP", sans-serif'

COLOURS = {
    "ink": ("#1d2430", "#e8eaf0"),
    "paper": ("#fbfaf8", "#14171d"),
    "card": ("#fff", "#1d222b"),
    "line": ("#e3e0da", "#323946"),
    "quiet": ("#667", "#98a1b3"),
    "rail": ("#ecebe6", "#262c37"),
    "good": ("#1c7c54", "#6fd3a4"),
    "bad": ("#b3342d", "#ff9186"),
    "bar": ("#3f6fb5", "#7fa8e8"),
    "second": ("#d97a1e", "#f2a65a"),
    "third": ("#7a4fb5", "#b996ee"),
    "fourth": ("#2d8a7f", "#66c7ba"),
    "together": ("#14807a", "#4fd1c5"),
    "apart": ("#c2571a", "#ff9e64"),
}
"""By name, in a light and in a dark place."""

PAGE_COLOURS = (
    ":root { color-scheme: light dark; "
    + " ".join(f"--{name}: light-dark({light}, {dark});" for name, (light, dark) in COLOURS.items())
    + " }"
)
"""Every colour as a CSS variable, for a page."""


def picture_colours(names: Iterable[str]) -> str:
    """Return some colours as CSS variables for an SVG file, whose viewers may not know `light-dark`.

    Example:
        >>> picture_colours(["card"]).splitlines()[0]
        ':root { color-scheme: light dark; --card: #fff; }'
    """
    names = list(names)
    light, dark = (" ".join(f"--{name}: {COLOURS[name][side]};" for name in names) for side in (0, 1))
    return (
        f":root {{ color-scheme: light dark; {light} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"
    )
