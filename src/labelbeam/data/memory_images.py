"""Images that a program has in memory: PIL images, bytes of image files and arrays, beside files by name.

The one place that knows what counts as an image and what as several. Files are read elsewhere (`data.images`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from labelbeam.data.images import UnreadableImage, read_rgb_bytes
from labelbeam.errors import InputError

ALLOWED = (
    "a path, the bytes of an image file, a PIL image, or an array uint8 [height width 3] (also [height width] and "
    "[height width 4])"
)


@dataclass(frozen=True, eq=False)
class MemoryImage:
    """An image that is no file.

    Attributes:
        path: what predictions and errors call it.
        content: the bytes of an image file, or uint8 [height width 3].
    """

    path: Path
    content: bytes | np.ndarray

    def key(self) -> bytes:
        """Return bytes that are equal for equal pictures."""
        if isinstance(self.content, bytes):
            return self.content
        return str(self.content.shape).encode() + self.content.tobytes()

    def rgb(self, *, at_least: tuple[int, int] | None = None) -> np.ndarray:
        """Return uint8 [height width 3]; arguments and errors as `data.images.read_rgb_bytes`."""
        if isinstance(self.content, bytes):
            return read_rgb_bytes(self.content, self.path, at_least=at_least)
        return self.content


def images_of(given: Any) -> Iterator[Path | MemoryImage]:
    """Return an iterator over one image or many, checked one by one as they are taken.

    Args:
        given: an image (a path, bytes of an image file, a PIL image, an array uint8), or an iterable of images.

    Raises:
        InputError: neither an image nor an iterable of images; at once where `given` itself is not, else when the item
            is reached.

    Example:
        >>> [str(image) for image in images_of("a.jpg")]
        ['a.jpg']
        >>> [str(image.path) for image in images_of([np.zeros((2, 2, 3), np.uint8)])]
        ['image 0']
    """
    if is_image(given):
        return iter([image_of(given, 0)])
    if isinstance(given, np.ndarray) and given.ndim != 4:
        image_of(given, 0)  # says what is wrong with it
    if not isinstance(given, Iterable):
        raise InputError(
            f"an image must be {ALLOWED}, or several of them in a list; given {_described(given)}."
        )
    return (image_of(one, number) for number, one in enumerate(given))


def is_image(given: Any) -> bool:
    """Return whether something is one image, not several."""
    if isinstance(given, np.ndarray):
        return given.ndim in (2, 3)
    return isinstance(given, str | Path | bytes | bytearray | memoryview | Image.Image)


def image_of(given: Any, number: int) -> Path | MemoryImage:
    """Return one image, by its file's name or from memory.

    Args:
        given: as in `images_of`.
        number: its place; it names an image that has no other name.

    Raises:
        InputError: not an image, or an array of another shape or kind of numbers.
    """
    name = Path(f"image {number}")
    if isinstance(given, str | Path):
        return Path(given)
    if isinstance(given, bytes | bytearray | memoryview):
        return MemoryImage(name, bytes(given))
    if isinstance(given, Image.Image):
        if filename := getattr(given, "filename", ""):
            name = Path(filename)
        return MemoryImage(name, _pixels_of(given, name))
    if not isinstance(given, np.ndarray):
        raise InputError(f"image {number} must be {ALLOWED}; given {_described(given)}.")
    shape = given.shape
    if given.dtype != np.uint8 or len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (3, 4)):
        hint = " Scale to 0..255 and give given.astype('uint8')." if given.dtype.kind == "f" else ""
        raise InputError(f"image {number} must be {ALLOWED}; given {given.dtype} {list(shape)}.{hint}")
    if not given.size:
        raise InputError(f"image {number} has no pixels: {list(shape)}.")
    if len(shape) == 3 and shape[2] == 3:
        return MemoryImage(name, np.ascontiguousarray(given))
    return MemoryImage(name, _pixels_of(Image.fromarray(given), name))


def _pixels_of(picture: Image.Image, name: Path) -> np.ndarray:
    """Return a PIL image as it is looked at: turned, transparency over white."""
    try:
        picture = ImageOps.exif_transpose(picture)
        if picture.mode in ("F", "I"):
            raise InputError(
                f"{name} is a PIL image of mode {picture.mode!r}, 32 bits a pixel, whose range nobody knows. Convert "
                "it to 'L' or 'RGB' first."
            )
        if picture.mode.startswith("I;16"):
            return np.repeat((np.asarray(picture) >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
        if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
            picture = picture.convert("RGBA")
            white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
            picture = Image.alpha_composite(white, picture)
        return np.array(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise UnreadableImage(name, f"the PIL image cannot be read ({error}).") from error


def _described(given: Any) -> str:
    return (
        "None"
        if given is None
        else f"{type(given).__module__}.{type(given).__name__}".removeprefix("builtins.")
    )
