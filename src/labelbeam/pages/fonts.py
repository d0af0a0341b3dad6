"""Whether this machine has fonts for the labels of a page; where it has not, what to install.

Asks fontconfig's `fc-list`; where that is not there (macOS, Windows), the browser's own fonts are trusted.
"""

import shutil
import subprocess
import unicodedata
from collections.abc import Iterable

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
