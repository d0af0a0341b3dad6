"""An explanation as one PNG: the photo, a map per step, and below them what changed from step to step."""

import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from labelbeam.data.whole_file import written_whole
from labelbeam.explain.explanation import Explanation
from labelbeam.pages.font_files import font_for
from labelbeam.pages.heat import overlaid

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
        explanation: what is drawn.
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
    given = f"after {', '.join(one.given)}" if one.given else ("said first" if explanation.joint else "")
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
