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

_PAPER, _INK, _QUIET = (251, 250, 248), (29, 36, 48), (102, 102, 119)
_ORANGE, _BLUE = (225, 125, 10), (20, 105, 185)
_HEADING, _UNDER, _ROW_GAP = 26, 44, 18


def write_strip(explanation: Explanation, path: Path) -> None:
    """Write the strip, whole or not at all.

    Args:
        explanation: what is drawn.
        path: the PNG file; its folder exists.
    """
    with written_whole(path) as part:
        strip(explanation).save(part, "PNG", optimize=True)


def strip(explanation: Explanation) -> Image.Image:
    """Return the strip as a picture: rows of maps, each with the row of its differences below it."""
    steps = len(explanation.steps)
    per_row = min(PER_ROW - 1, steps)
    blocks = [range(first, min(first + per_row, steps)) for first in range(0, steps, per_row)]
    moves = [explanation.joint and any(step > 0 for step in block) for block in blocks]
    rows = len(blocks) + sum(moves)
    width = 2 * MARGIN + (per_row + 1) * PANEL + per_row * GAP
    lines = textwrap.wrap(_below(explanation), width=int((width - 2 * MARGIN) / 7.4))
    height = 2 * MARGIN + rows * (_HEADING + PANEL + _UNDER + _ROW_GAP) + 22 * len(lines)
    image = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(image)
    top = MARGIN
    for number, (block, moved) in enumerate(zip(blocks, moves, strict=True)):
        if number == 0:
            _panel(image, draw, (MARGIN, top), explanation.picture, "photo", "as the encoder sees it")
        for column, step in enumerate(block, start=1):
            _step(image, draw, (MARGIN + column * (PANEL + GAP), top), explanation, step)
        top += _HEADING + PANEL + _UNDER + _ROW_GAP
        if moved:
            if number == 0:
                _key(draw, (MARGIN, top + _HEADING))
            for column, step in enumerate(block, start=1):
                if step:
                    _move(image, draw, (MARGIN + column * (PANEL + GAP), top), explanation, step)
            top += _HEADING + PANEL + _UNDER + _ROW_GAP
    for line in lines:
        _write(draw, (MARGIN, top), line, 14, _QUIET)
        top += 22
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
    for row, (colour, words) in enumerate([(_ORANGE, "speaks for the label"), (_BLUE, "speaks against it")]):
        y = top + 30 * row
        draw.rounded_rectangle((left, y + 2, left + 18, y + 16), 3, fill=colour)
        _write(draw, (left + 28, y), words, 14, _INK)
    note = "Right: each map less the one before it, both scaled to the same total; where attention moved."
    for row, line in enumerate(textwrap.wrap(note, 36)):
        _write(draw, (left, top + 74 + 22 * row), line, 14, _QUIET)


def _below(explanation: Explanation) -> str:
    parts = [explanation.caption, explanation.note]
    return " ".join(part for part in parts if part) + (
        f" Method: {explanation.method}; target: {explanation.target}. Each map has its own scale."
    )


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
