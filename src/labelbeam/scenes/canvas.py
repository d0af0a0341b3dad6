"""A canvas in unit coordinates, lit by the light of the scene.

Wraps Pillow's `ImageDraw`: x runs right and y down, both from 0 to 1, and every colour passes through the
light once, so that the same cow is warm at dawn and blue at night. Knows nothing of scenes or labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Coordinate = float | int
"""0 and 1 are the edges of the picture, and are written as such."""

Point = tuple[Coordinate, Coordinate]
Box = tuple[Coordinate, Coordinate, Coordinate, Coordinate]
"""Left, top, right, bottom."""

SUPERSAMPLING = 2
"""The canvas is this many times as wide as the finished picture, which smooths its edges."""


@dataclass(frozen=True)
class Light:
    """How a light looks.

    Attributes:
        sky: colours of the sky at the zenith and at the horizon, 0 to 255.
        tint: factor of red, green and blue on everything that is lit.
        haze: share in [0, 1] of the horizon's colour mixed into what is far away.
        disc: colour of the sun or moon, or None where clouds hide it.
        dark: whether lamps and stars are lit.
    """

    sky: tuple[Colour, Colour]
    tint: tuple[float, float, float]
    haze: float
    disc: Colour | None
    dark: bool


class Canvas:
    """A square picture under construction.

    Args:
        size: width and height of the finished picture in pixels.
        light: the light of the scene.
        generator: the picture's random numbers, from which everything painted here draws.
    """

    def __init__(self, size: int, light: Light, *, generator: np.random.Generator) -> None:
        self.size = size
        self.light = light
        self.random = generator
        self._scale = size * SUPERSAMPLING
        self._image = Image.new("RGB", (self._scale, self._scale))
        self._draw = ImageDraw.Draw(self._image)

    def between(self, low: Coordinate, high: Coordinate) -> float:
        """Return a uniform random number."""
        return low + (high - low) * self.random.random()

    def pick(self, colours: Sequence[Colour], *, jitter: int = 12) -> Colour:
        """Return one of the colours, each channel moved by up to `jitter`."""
        red, green, blue = colours[int(self.random.integers(len(colours)))]
        a, b, c = (int(v) for v in self.random.integers(-jitter, jitter + 1, size=3))
        return red + a, green + b, blue + c

    def lit(self, colour: Colour, *, strength: float = 1.0, far: float = 0.0) -> Colour:
        """Return a colour as the light shows it.

        Args:
            colour: in white light, 0 to 255.
            strength: share of the light's tint that applies; figures in front take less of it.
            far: distance in [0, 1], for haze.
        """
        haze = self.light.haze * far
        red, green, blue = (
            min(255, max(0, round((1 - haze) * value * (1 + strength * (tint - 1)) + haze * horizon)))
            for value, tint, horizon in zip(colour, self.light.tint, self.light.sky[1], strict=True)
        )
        return red, green, blue

    def gradient(self, top: Colour, bottom: Colour, *, box: Box) -> None:
        """Fill a box with a vertical gradient of unlit colours."""
        left, upper, right, lower = (round(v * self._scale) for v in box)
        ramp = np.linspace(top, bottom, max(lower - upper, 1)).clip(0, 255).astype(np.uint8)  # [height 3]
        strip = Image.fromarray(ramp[:, None, :])
        self._image.paste(
            strip.resize((max(right - left, 1), len(ramp)), Image.Resampling.NEAREST), (left, upper)
        )

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """Fill a polygon."""
        self._draw.polygon([(x * self._scale, y * self._scale) for x, y in points], fill=colour)

    def box(
        self, left: Coordinate, top: Coordinate, right: Coordinate, bottom: Coordinate, *, colour: Colour
    ) -> None:
        """Fill a box."""
        s = self._scale
        self._draw.rectangle(
            (left * s, top * s, max(right * s - 1, left * s), max(bottom * s - 1, top * s)), fill=colour
        )

    def ellipse(self, x: Coordinate, y: Coordinate, width: float, height: float, *, colour: Colour) -> None:
        """Fill an ellipse around (x, y)."""
        s = self._scale
        left, top = (x - width / 2) * s, (y - height / 2) * s
        self._draw.ellipse((left, top, left + width * s, top + height * s), fill=colour)

    def line(self, points: Sequence[Point], colour: Colour, *, width: float) -> None:
        """Draw a line through points; the width is a share of the picture's, at least one canvas pixel."""
        pixels = max(1, round(width * self._scale))
        self._draw.line([(x * self._scale, y * self._scale) for x, y in points], fill=colour, width=pixels)

    def finish(self, *, grain: float) -> UInt8[np.ndarray, "height width 3"]:
        """Return the picture, with film grain.

        Args:
            grain: standard deviation of the grain in grey levels.

        Returns:
            RGB pixels, 0 to 255.
        """
        pixels = np.asarray(self._image.reduce(SUPERSAMPLING), dtype=np.int16)
        # Grain from a few thousand numbers, repeated over the channels: three times cheaper than per channel.
        noise = (self.random.standard_normal((self.size, self.size, 1), dtype=np.float32) * grain).astype(
            np.int16
        )
        return (pixels + noise).clip(0, 255).astype(np.uint8)
