"""The frame of every page: one design, light and dark, no script, no network; templates escape what a user wrote."""

import base64
import shutil
import subprocess
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from PIL import Image

from labelbeam.data.images import UnreadableImage, read_rgb

if TYPE_CHECKING:
    from jinja2 import Environment, Template

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
"""Of every page and picture, by name, in a light and in a dark place; the colour-blind tell them apart."""


def render(template: str, **values: Any) -> Markup:
    """Return HTML, SVG or CSS from a template; every value is escaped, unless it is `Markup` already.

    Args:
        template: its path below the package, such as `charts/page.html.jinja`.
        values: by the names it uses; one that is missing is an error.
    """
    return Markup(_templates().get_template(template).render(values))


def template(source: str) -> "Template":
    """Return a template that another one includes, from its own text."""
    return _templates().from_string(source)


@cache
def _templates() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("labelbeam", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals |= {"colours": COLOURS, "letters": LETTERS}
    templates.filters |= {
        "number": number,
        "percent": percent,
        "spread": spread,
        "times": times,
        "text": text,
    }
    return templates


# Numbers as a page words them: filters of every template.


def number(value: float | int) -> str:
    """Return a count or an amount with its thousands apart.

    Example:
        >>> number(12345), number(1234.0)
        ('12,345', '1,234')
    """
    return f"{value:,.0f}"


def text(name: str) -> str:
    """Return a file's name as text; names that are not UTF-8 exist on Linux."""
    return name.encode("utf-8", "replace").decode("utf-8")


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


def percent(share: float | int | None) -> str:
    """Return a fraction in percent; neither 0 nor 100 unless it is; a dash where there is none.

    Example:
        >>> percent(0.5), percent(0.0123), percent(0.0), percent(0.9983), percent(None)
        ('50 %', '1.2 %', '0 %', '99.8 %', '–')
    """
    if share is None:
        return "–"
    value = 100 * share
    if 99.5 <= value < 100:
        return f"{min(value, 99.9):.1f} %"
    return f"{value:.0f} %" if value >= 9.95 or not value else f"{value:.2g} %"


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
    return embedded_jpeg(small)


def shown_file(path: Path, *, side: int = 320, whole: bool = False) -> tuple[str, str]:
    """Return the address that embeds a picture and "", or "" and why it cannot be shown.

    Args:
        path: its file, which was there when it was read last.
        side: longest side of a thumbnail, pixels.
        whole: the file itself instead of a thumbnail.
    """
    try:
        return embedded_image(path) if whole else embedded_thumbnail(path, side=side), ""
    except UnreadableImage as error:
        return "", error.reason


def embedded_jpeg(image: Image.Image, *, quality: int = 80) -> str:
    """Return a picture as the address that embeds it."""
    file = BytesIO()
    image.save(file, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


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
        return True  # unknown: no advice is better than a wrong one
    return found.returncode != 0 or bool(found.stdout.strip())
