"""The frame of every page: one design, light and dark, no script, no network; everything a user wrote is escaped."""

import base64
import shutil
import subprocess
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from labelbeam.data.images import read_rgb

if TYPE_CHECKING:
    from jinja2 import Environment

# Colours and letters of every page and picture: one design, light and dark.
#
# Colours that the colour-blind tell apart: blue and orange, never red against green without a word beside
# it. Knows no page and no chart.

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


# Whether this machine has fonts for the labels of a page; where it has not, what to install.
#
# Asks fontconfig's `fc-list`; where that is not there (macOS, Windows), the browser's own fonts are trusted.

PACKAGES = {
    "CJK": "fonts-noto-cjk",
    "HIRAGANA": "fonts-noto-cjk",
    "KATAKANA": "fonts-noto-cjk",
    "HANGUL": "fonts-noto-cjk",
    "emoji": "fonts-noto-color-emoji",
}
"""Debian's names, by script; `fonts-noto-core` has most others."""

SPREAD_EVERYWHERE = 0x024F
"""Latin letters up to here are in every font."""


def font_advice(texts: Iterable[str]) -> str:
    """Return a sentence about scripts that no font of this machine has; empty where all is well.

    Args:
        texts: what a page shows.

    Example:
        >>> font_advice(["cat", "señal"])
        ''
    """
    samples: dict[str, str] = {}
    for letter in sorted(set("".join(texts))):
        if ord(letter) > SPREAD_EVERYWHERE and unicodedata.category(letter)[0] in "LNS":
            samples.setdefault(script_of(letter), letter)
    lister = shutil.which("fc-list")
    if not samples or lister is None:
        return ""
    missing = [script for script, letter in samples.items() if not _has_font(lister, letter)]
    if not missing:
        return ""
    packages = sorted({PACKAGES.get(script, "fonts-noto-core") for script in missing})
    return (
        f"no font on this machine has the script {', '.join(sorted(missing))} of some labels: they show as "
        f"boxes here. Install one, such as: apt-get install {' '.join(packages)}."
    )


def script_of(letter: str) -> str:
    """Return the script of a letter as Unicode names it; "emoji" for pictures.

    Example:
        >>> script_of("猫"), script_of("ね"), script_of("🐈")
        ('CJK', 'HIRAGANA', 'emoji')
    """
    if unicodedata.category(letter) == "So":
        return "emoji"
    return unicodedata.name(letter, "unnamed").split()[0].split("-")[0]


def _has_font(lister: str, letter: str) -> bool:
    asked = [lister, f":charset={ord(letter):x}", "family"]
    try:
        found = subprocess.run(asked, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return True  # nobody knows; no advice is better than a wrong one
    return found.returncode != 0 or bool(found.stdout.strip())


# Numbers and remarks as a page words them.


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


# The frame of every page: one style, light and dark, no script, no network; everything a user wrote is
# escaped.

STYLE = f"""
{PAGE_COLOURS}
""" + """
body { margin: 0 auto; max-width: 72rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 LETTERS; }
h1 { font-size: 1.7rem; margin: 0 0 .5rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
p { max-width: 46rem; } .quiet { color: var(--quiet); } .good { color: var(--good); } .bad { color: var(--bad); }
.wide { overflow-x: auto; background: linear-gradient(to right, var(--paper) 1.5rem, transparent 3rem) local,
  linear-gradient(to left, var(--paper) 1.5rem, transparent 3rem) 100% 0 local,
  linear-gradient(to right, var(--line), transparent 1rem),
  linear-gradient(to left, var(--line), transparent 1rem) 100% 0; background-repeat: no-repeat;
  background-size: 3rem 100%, 3rem 100%, 1rem 100%, 1rem 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .8rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } tr.ours td { font-weight: 650; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; overflow: hidden; }
.card img { display: block; width: 100%; } .card.small img { image-rendering: pixelated; }
.card > div { padding: .6rem .8rem .8rem; font-size: .875rem; }
.row { display: grid; grid-template-columns: 6.5rem 1fr 2.6rem; align-items: center; gap: .5rem; }
.row i { height: .5rem; border-radius: .25rem; background: var(--bar); display: block; }
.row span:first-child { overflow-wrap: anywhere; } .file { overflow-wrap: anywhere; font-weight: 600; margin: 0; }
.row span:last-child { text-align: right; color: var(--quiet); }
@media (max-width: 40rem) { th { white-space: normal; vertical-align: bottom; }
  th, td { padding-left: .45rem; padding-right: .45rem; } }
""".replace("LETTERS", LETTERS)


def render(template: str, **values: Any) -> str:
    """Return HTML from a template; every value is escaped, unless the template marks it as HTML (`safe`).

    Args:
        template: its path below the package, such as `charts/page.html.jinja`.
        values: by the names it uses; one that is missing is an error.
    """
    return _templates().get_template(template).render(values)


@cache
def _templates() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("labelbeam", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(title: str, body: str) -> str:
    """Return a whole HTML document.

    Args:
        title: plain text.
        body: HTML whose variable parts are escaped already.
    """
    return render("charts/page.html.jinja", title=title, style=STYLE, body=body) + "\n"


def table(headings: list[str], rows: list[list[str]], *, marked: int | None = None) -> str:
    """Return a table of plain-text cells.

    Args:
        headings: of the columns.
        rows: cells; the first of a row is its name.
        marked: number of the row that stands out.
    """
    return render("charts/table.html.jinja", headings=headings, rows=rows, marked=marked)


def embedded_image(path: Path) -> str:
    """Return an image file as the address that embeds it; PNG, JPEG, GIF and WebP."""
    kind = {".png": "png", ".gif": "gif", ".webp": "webp"}.get(path.suffix.lower(), "jpeg")
    return f"data:image/{kind};base64," + base64.b64encode(path.read_bytes()).decode("ascii")


# Small copies of pictures, embedded into pages so that a page of hundreds stays a few megabytes.


def embedded_thumbnail(path: Path, *, side: int = 320) -> str:
    """Return an image file as the address that embeds a small JPEG of it, the right way up.

    Args:
        path: any file that `data.images.read_rgb` reads.
        side: longest side of the copy, pixels; a smaller picture keeps its size.

    Raises:
        UnreadableImage: the file cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("L", (4000, 3000)).save(Path(folder, "grey.png"))
        ...     embedded_thumbnail(Path(folder, "grey.png"))[:23]
        'data:image/jpeg;base64,'
    """
    small = Image.fromarray(read_rgb(path, at_least=(side, side)))
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = BytesIO()
    small.save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
