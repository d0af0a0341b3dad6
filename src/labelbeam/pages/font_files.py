"""The font file that a text is drawn with where there is no browser to choose one: whatever its script.

Asks fontconfig's `fc-list`; without it Pillow's own font draws Latin letters. Told apart from `pages.fonts`, which
only advises.
"""

import shutil
import subprocess
from functools import cache

from PIL import ImageFont

_LIKED = ("NotoSans-Regular", "NotoSansCJK-Regular", "DejaVuSans.", "NotoSans", "DejaVuSans")
"""Beginnings of file names, the first is the best."""


def font_for(text: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return a font that has every letter of a text, or Pillow's own where the machine has none.

    Args:
        text: what is drawn.
        size: height, pixels.
    """
    letters = frozenset(letter for letter in text if not letter.isspace())
    # The plain font is asked first, so that a Latin label looks the same beside a Japanese one.
    for name in _fonts_with(letters):
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


@cache
def _fonts_with(letters: frozenset[str]) -> tuple[str, ...]:
    lister = shutil.which("fc-list")
    if lister is None:
        return ()
    charset = " ".join(f"{ord(letter):x}" for letter in sorted(letters))
    asked = [lister, *([f":charset={charset}"] if charset else []), "file"]
    try:
        found = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    files = [
        line.rstrip(": ") for line in found.splitlines() if line.rstrip(": ").endswith(("ttf", "otf", "ttc"))
    ]
    return tuple(sorted(files, key=_dislike)[:3])


def _dislike(file: str) -> tuple[int, str]:
    name = file.rpartition("/")[2]
    places = [place for place, liked in enumerate(_LIKED) if name.startswith(liked)]
    return (min(places) if places else len(_LIKED), file)
