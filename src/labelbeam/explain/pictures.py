"""Explanations as pictures: signed maps over the photograph, one PNG strip, or an HTML page."""

import shutil
import subprocess
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from labelbeam.charts.page import embedded_jpeg, render
from labelbeam.explain.explanation import Explanation
from labelbeam.files import written_whole

# Asks fontconfig's `fc-list`; without it Pillow's own font draws Latin letters. (`charts.page.font_advice` only says
# what to install.)

_LIKED = ("NotoSans-Regular", "NotoSansCJK-Regular", "DejaVuSans.", "NotoSans", "DejaVuSans")
"""Beginnings of file names, the first is the best."""


def font_for(text: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return a font that has every letter of a text, or Pillow's own where the machine has none.

    Args:
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


BRIGHTEST = 99.7
"""Percentile of a map's absolute values that gets the full colour, so that one pixel does not dim the rest."""

_SUPPORT = np.array([[213, 94, 0], [240, 150, 20], [255, 226, 120]], dtype=np.float64)
"""Vermilion to pale yellow (Okabe and Ito's palette, lightened towards the top)."""
_OPPOSE = np.array([[0, 84, 150], [30, 125, 210], [140, 208, 255]], dtype=np.float64)
_FAINT = 0.12  # of full strength: below it nothing is laid over the picture


def overlaid(
    picture: UInt8[np.ndarray, "size size 3"], signed: Float[np.ndarray, "size size"]
) -> UInt8[np.ndarray, "size size 3"]:
    """Return the picture, grey and darkened, with a map's colours on it; each map has its own scale.

    Args:
        signed: above 0 what speaks for, below 0 what speaks against.

    Example:
        >>> grey = np.full((2, 2, 3), 100, dtype=np.uint8)
        >>> shown = overlaid(grey, np.array([[1.0, 0.0], [0.0, -1.0]]))
        >>> shown[0, 0].tolist(), shown[0, 1].tolist()
        ([244, 216, 117], [66, 66, 66])
    """
    light = picture.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    base = np.repeat((0.62 * light + 4.0)[:, :, None], 3, axis=2)
    strength = np.abs(signed)
    full = float(np.percentile(strength, BRIGHTEST)) or float(strength.max())
    if full <= 0:
        return np.rint(base).astype(np.uint8)
    strength = np.clip(strength / full, 0.0, 1.0)
    colour = np.where((signed > 0)[:, :, None], _ramp(_SUPPORT, strength), _ramp(_OPPOSE, strength))
    alpha = np.clip((strength - _FAINT) / (1 - _FAINT), 0.0, 1.0)[:, :, None] ** 0.75 * 0.94
    return np.rint((1 - alpha) * base + alpha * colour).astype(np.uint8)


def _ramp(colours: np.ndarray, strength: np.ndarray) -> np.ndarray:
    at = strength * (len(colours) - 1)
    low = np.minimum(at.astype(int), len(colours) - 2)
    part = (at - low)[..., None]
    return (1 - part) * colours[low] + part * colours[low + 1]


# An explanation as one PNG: the photo, a map per step, and below them what changed from step to step.

PANEL, GAP, MARGIN = 288, 20, 28
"""Side of a panel, space between panels, space around all, pixels."""

PER_ROW = 6
"""Panels in a row, the photo included."""

LEAST_WIDTH = 2 * MARGIN + 2 * PANEL + GAP
"""So that there is room for words under a single panel."""

_PAPER, _INK, _QUIET = (251, 250, 248), (29, 36, 48), (102, 102, 119)
_ORANGE, _BLUE = (225, 125, 10), (20, 105, 185)
_HEADING, _UNDER, _ROW_GAP, _KEY = 26, 36, 14, 34


def write_strip(explanation: Explanation, path: Path) -> None:
    """Write the strip, whole or not at all.

    Args:
        path: the PNG file; its folder exists.
    """
    with written_whole(path) as part:
        strip(explanation).save(part, "PNG", optimize=True)


def strip(explanation: Explanation) -> Image.Image:
    """Return the strip as a picture: rows of maps, each with the row of its differences below it.

    The one difference of two maps stands beside them.
    """
    steps = len(explanation.steps)
    beside = explanation.joint and steps == 2
    per_row = min(PER_ROW - 1, steps)
    blocks = [range(first, min(first + per_row, steps)) for first in range(0, steps, per_row)]
    moves = [explanation.joint and not beside and any(step > 0 for step in block) for block in blocks]
    row_height = _HEADING + PANEL + _UNDER + _ROW_GAP
    columns = 1 + per_row + beside
    width = max(2 * MARGIN + columns * PANEL + (columns - 1) * GAP, LEAST_WIDTH)
    lines = textwrap.wrap(_below(explanation), width=int((width - 2 * MARGIN) / 7.4))
    height = 2 * MARGIN + (len(blocks) + sum(moves)) * row_height + _KEY + 22 * len(lines)
    image = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(image)
    top = MARGIN
    _panel(image, draw, (MARGIN, top), explanation.picture, "photo", "as the encoder sees it")
    if beside:
        _move(image, draw, (MARGIN + 3 * (PANEL + GAP), top), explanation, 1)
    for block, moved in zip(blocks, moves, strict=True):
        for column, step in enumerate(block, start=1):
            at = (MARGIN + column * (PANEL + GAP), top)
            _step(image, draw, at, explanation, step)
            if moved and step:
                _move(image, draw, (at[0], top + row_height), explanation, step)
        top += row_height * (2 if moved else 1)
    _key(draw, (MARGIN, top))
    for number, line in enumerate(lines):
        _write(draw, (MARGIN, top + _KEY + 22 * number), line, 14, _QUIET)
    return image


def _step(
    image: Image.Image, draw: ImageDraw.ImageDraw, at: tuple[int, int], explanation: Explanation, step: int
) -> None:
    one = explanation.steps[step]
    shown = overlaid(explanation.picture, one.signed)
    given = f"after {', '.join(one.given)}" if one.given else ("first" if explanation.joint else "")
    _panel(image, draw, at, shown, one.label, f"p = {one.prob:.2f}" + (f", {given}" if given else ""))


def _move(
    image: Image.Image, draw: ImageDraw.ImageDraw, at: tuple[int, int], explanation: Explanation, step: int
) -> None:
    before, now = explanation.steps[step - 1].label, explanation.steps[step].label
    shown = overlaid(explanation.picture, explanation.moved(step))
    _panel(image, draw, at, shown, f"{now} − {before}", "orange: gained weight, blue: lost it")


def _panel(
    image: Image.Image,
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    pixels: np.ndarray,
    heading: str,
    under: str,
) -> None:
    left, top = at
    shown = Image.fromarray(pixels).resize((PANEL, PANEL), Image.Resampling.BICUBIC)
    _write(draw, (left, top), _fitting(heading, 17), 17, _INK)
    image.paste(shown, (left, top + _HEADING))
    _write(draw, (left, top + _HEADING + PANEL + 7), _fitting(under, 14), 14, _QUIET)


def _key(draw: ImageDraw.ImageDraw, at: tuple[int, int]) -> None:
    left, top = at
    for colour, words in ((_ORANGE, "speaks for the label"), (_BLUE, "speaks against it")):
        draw.rounded_rectangle((left, top + 2, left + 18, top + 16), 3, fill=colour)
        _write(draw, (left + 28, top), words, 14, _INK)
        left += 200


def _below(explanation: Explanation) -> str:
    differences = "Differences are between maps that are scaled to the same total."
    parts = [
        explanation.caption,
        differences if explanation.joint and len(explanation.steps) > 1 else "",
        explanation.note,
        f"Method: {explanation.method}; target: {explanation.target}. Each map has its own colour scale.",
    ]
    return " ".join(part for part in parts if part)


def _write(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, colour: tuple[int, int, int]
) -> None:
    draw.text(at, text, font=font_for(text, size), fill=colour)


def _fitting(text: str, size: int) -> str:
    """Cut a text to the width of a panel."""
    font = font_for(text, size)
    if font.getlength(text) <= PANEL:
        return text
    while text and font.getlength(text + "…") > PANEL:
        text = text[:-1]
    return text + "…"


# Explanations as HTML: photo, a map per step, what changed; the browser draws the labels, whatever their script.


@dataclass(frozen=True)
class Figure:
    """A picture of an explanation for a page.

    Attributes:
        address: what embeds it.
        heading: below it.
        under: below that.
        difference: from the step before; None: there is none.
    """

    address: str
    heading: str
    under: str
    difference: "Figure | None" = None


def explanations_page(explanations: list[Explanation]) -> str:
    """Return a whole HTML document."""
    shown = []
    for one in explanations:
        photo = Figure(
            embedded_jpeg(Image.fromarray(one.picture), quality=88), "photo", "as the encoder sees it"
        )
        shown.append((one, [photo, *figures(one)]))
    return render("explain/page.html.jinja", explanations=shown)


def figures(explanation: Explanation, *, side: int | None = None, quality: int = 88) -> list[Figure]:
    """Return a figure per step, with the differences between them where labels are predicted one after the other.

    Args:
        side: longest side of each, pixels; None: as large as the picture.
    """

    def embedded(signed: np.ndarray) -> str:
        image = Image.fromarray(overlaid(explanation.picture, signed))
        if side is not None:
            image.thumbnail((side, side), Image.Resampling.LANCZOS)
        return embedded_jpeg(image, quality=quality)

    shown = []
    for number, step in enumerate(explanation.steps):
        given = f", after {', '.join(step.given)}" if step.given else ""
        difference = None
        if explanation.joint and number:
            before = explanation.steps[number - 1].label
            moved = embedded(explanation.moved(number))
            difference = Figure(moved, f"{step.label} − {before}", "the difference")
        shown.append(Figure(embedded(step.signed), step.label, f"p = {step.prob:.2f}{given}", difference))
    return shown
