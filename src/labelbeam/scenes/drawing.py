"""Draws a picture of the scenes from its cues.

Chooses where figures stand, so that none hides another, then paints backdrop and figures. Knows nothing of
odds: what it paints beside the cues (places, colours, clouds, grain) bears on no label. In the data path:
between `world` (the cues) and `files` (the pictures on disk).
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8

from labelbeam.errors import InputError
from labelbeam.scenes.canvas import Canvas
from labelbeam.scenes.figures import (
    LOOKS,
    paint_bird,
    paint_boat,
    paint_car,
    paint_cow,
    paint_cup,
    paint_farm,
    paint_kitchen,
    paint_mountain,
    paint_person,
    paint_pot,
    paint_sea,
    paint_street,
    paint_traffic_light,
)
from labelbeam.scenes.world import Cues

SIZE = 64
"""Width and height of the embedded data set's pictures, in pixels."""

BACKDROPS: dict[str, Callable[[Canvas], None]] = {
    "sea": paint_sea,
    "street": paint_street,
    "kitchen": paint_kitchen,
    "farm": paint_farm,
    "mountain": paint_mountain,
}


def draw_scene(
    cues: Cues, generator: np.random.Generator, *, size: int = SIZE
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw a picture.

    Args:
        cues: what it shows.
        generator: the picture's own random numbers, for everything that the cues leave open.
        size: width and height in pixels, 32 to 512.

    Returns:
        RGB pixels, 0 to 255. The same cues, generator state and versions of Pillow and NumPy give the same.

    Raises:
        InputError: a size out of range.

    Example:
        >>> draw_scene(Cues("sea", "dawn", ("boat",)), np.random.default_rng(0)).shape
        (64, 64, 3)
    """
    if not 32 <= size <= 512:
        raise InputError(f"the size of a scene must be 32 to 512 pixels, given {size}.")
    canvas = Canvas(size, LOOKS[cues.light], generator=generator)
    BACKDROPS[cues.scene](canvas)
    FOREGROUNDS[cues.scene](canvas, cues)
    return canvas.finish(grain=3.0)


def _stage_sea(canvas: Canvas, cues: Cues) -> None:
    _birds(canvas, cues, low=0.13, high=0.34)
    if "boat" in cues.things:
        size = canvas.between(0.30, 0.38)
        x = canvas.between(0.25, 0.45) if canvas.random.random() < 0.5 else canvas.between(0.55, 0.75)
        paint_boat(canvas, x, canvas.between(0.64, 0.70), size=size, sailing="sailing" in cues.things)
    if "person" in cues.things:
        paint_person(canvas, canvas.between(0.12, 0.88), canvas.between(0.94, 0.98), height=0.30)


def _stage_street(canvas: Canvas, cues: Cues) -> None:
    _birds(canvas, cues, low=0.13, high=0.20)
    places = _places(canvas, 3)
    if "person" in cues.things:
        paint_person(canvas, places[0], canvas.between(0.70, 0.73), height=0.32)
    if "car" in cues.things:
        paint_car(canvas, places[1], canvas.between(0.90, 0.95), size=canvas.between(0.36, 0.42))
    if "traffic light" in cues.things:
        paint_traffic_light(canvas, places[2], canvas.between(0.76, 0.80), height=canvas.between(0.52, 0.58))


def _stage_kitchen(canvas: Canvas, cues: Cues) -> None:
    if "person" in cues.things:
        paint_person(canvas, canvas.between(0.34, 0.52), 0.99, height=0.68)
    if "cup" in cues.things:
        paint_cup(
            canvas, canvas.between(0.08, 0.20), canvas.between(0.67, 0.70), size=canvas.between(0.12, 0.15)
        )
    if "cooking" in cues.things:
        paint_pot(canvas, canvas.between(0.78, 0.85), 0.665, size=canvas.between(0.18, 0.22))


def _stage_meadow(canvas: Canvas, cues: Cues) -> None:
    _birds(canvas, cues, low=0.13, high=0.30)
    places = _places(canvas, 2)
    if "person" in cues.things:
        paint_person(canvas, places[0], canvas.between(0.92, 0.97), height=0.36)
    if "cow" in cues.things:
        paint_cow(canvas, places[1], canvas.between(0.86, 0.96), size=canvas.between(0.32, 0.38))


FOREGROUNDS: dict[str, Callable[[Canvas, Cues], None]] = {
    "sea": _stage_sea,
    "street": _stage_street,
    "kitchen": _stage_kitchen,
    "farm": _stage_meadow,
    "mountain": _stage_meadow,
}


def _birds(canvas: Canvas, cues: Cues, *, low: float, high: float) -> None:
    if "bird" not in cues.things:
        return
    places = _places(canvas, 3)
    for x in places[: int(canvas.random.integers(1, 4))]:
        paint_bird(canvas, x, canvas.between(low, high), size=canvas.between(0.19, 0.25))


def _places(canvas: Canvas, count: int) -> list[float]:
    """Distinct places from left to right, in random order."""
    shifts = canvas.random.uniform(-0.05, 0.05, size=count)
    places = (np.arange(count) + 0.5) / count * 0.84 + 0.08 + shifts
    return [float(x) for x in canvas.random.permutation(places)]
