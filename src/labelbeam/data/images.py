"""Images to pixels: whatever photographs come as, files or in memory, RGB the right way up, or an error that says why.

The first step of everything that looks at pictures. JPEG goes through simplejpeg where that is installed: it
decodes off the interpreter's lock and notices damage that libjpeg fills with grey. The rest goes through
Pillow, HEIC through pillow-heif. The content decides what a file is, never its name; which decoder may see it, and
how much of it, is `data.image_container`'s. Knows nothing of data sets, and resizes nothing beyond what a JPEG decoder
does for free.
"""

import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from labelbeam.data import image_container as container
from labelbeam.data.image_bytes import MAX_BYTES, NotAFile, TooLarge, image_bytes
from labelbeam.data.listing import list_images
from labelbeam.data.raw_preview import raw_preview
from labelbeam.errors import InputError

try:
    import simplejpeg
except ImportError:  # the extra `fast` is not installed: Pillow reads JPEG too
    simplejpeg = None

__all__ = [
    "DAMAGE",
    "MAX_PIXELS",
    "UnreadableImage",
    "image_content",
    "list_images",
    "read_rgb",
    "read_rgb_bytes",
]

MAX_PIXELS = 178_956_970
"""Where Pillow stops as well: twice its `MAX_IMAGE_PIXELS`; 512 MB of RGB."""

_SIXTEEN_BIT_GREY = ("I;16", "I;16L", "I;16B", "I;16N")
_ORIENTATION_TAG = 0x0112
_WHITE = (255, 255, 255, 255)

DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, MemoryError),
    *(IndexError, KeyError, TypeError, AttributeError, RuntimeError, ArithmeticError, AssertionError),
)
"""What Pillow's plugins and pillow-heif raise on damaged files: they parse first and ask later."""

_HARMLESS = re.compile(
    "extraneous bytes before marker|unknown JFIF revision|Unknown Adobe color transform"
    "|Invalid SOS parameters|bad ICC marker"
)
"""libjpeg's warnings after which every pixel is there: odd headers, rubbish before a marker."""


class UnreadableImage(InputError):  # noqa: N818  (named for what it is, like its siblings)
    """A file that cannot be turned into pixels.

    Attributes:
        reason: what is wrong and what to do, without the path.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def read_rgb(
    path: Path | str, *, at_least: tuple[int, int] | None = None, max_pixels: int = MAX_PIXELS
) -> UInt8[np.ndarray, "height width 3"]:
    """Read an image file as RGB, the way up that its orientation mark says.

    Transparency is laid over white; 16-bit grey is scaled, not clipped; an animation gives its first frame.

    Args:
        path: the file, of any format that Pillow reads, or HEIC with the extra `heif`; it may lie inside a
            tar archive (`data.image_bytes`).
        at_least: height and width in pixels that are enough (after turning): a JPEG may come back smaller
            than it is, scaled by the decoder, but with no side below these; None: full size.
        max_pixels: images with more pixels than this are refused before they are decoded.

    Returns:
        uint8 in 0..255, sRGB as stored (colour profiles are not applied), freshly allocated.

    Raises:
        UnreadableImage: no such file, a folder, no permission, empty, not an image, damaged or truncated, too
            many pixels, 32-bit pixels, or HEIC without pillow-heif.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("L", (4, 2), 200).save(Path(folder, "grey.png"))
        ...     read_rgb(Path(folder, "grey.png"))[0, 0].tolist()
        [200, 200, 200]
    """
    path = Path(path)
    return read_rgb_bytes(image_content(path), path, at_least=at_least, max_pixels=max_pixels)


def read_rgb_bytes(
    content: bytes,
    name: Path | str,
    *,
    at_least: tuple[int, int] | None = None,
    max_pixels: int = MAX_PIXELS,
    most_scans: int = container.MOST_SCANS,
) -> UInt8[np.ndarray, "height width 3"]:
    """Read the content of an image file as RGB, as `read_rgb` does; nothing is opened.

    A JPEG with more than `most_scans` scans is refused before it is decoded.

    Raises:
        UnreadableImage: empty, not an image, damaged or truncated, too many pixels, 32-bit pixels, or HEIC
            without pillow-heif.
    """
    path = Path(name)
    kind = container.kind_of(content[: container.HEAD])
    _require_image(path, content, kind)
    try:
        if kind == "HEIC":
            return _to_rgb(path, _open_heif(path, content, max_pixels))
        file = container.prepared(content, kind, most_scans=most_scans)
        if kind == "JPEG" and simplejpeg is not None:
            pixels = _read_jpeg(path, file.content, file.orientation or 1, at_least, max_pixels)
            if pixels is not None:
                return pixels
        with container.opened(file.content, kind) as image:
            container.check_pixels(*image.size, len(content))
            _check_size(path, *image.size, max_pixels)
            if at_least is not None:
                height, width = at_least[::-1] if (file.orientation or 1) >= 5 else at_least
                image.draft(None, (width, height))
            image.load()
            # Read after loading: Pillow turns TIFF files while it loads them, and then drops the mark.
            return _turn(_to_rgb(path, image), file.orientation or _orientation(image))
    except UnreadableImage:
        raise
    except container.Unwanted as error:
        raise UnreadableImage(path, str(error)) from None
    except UnidentifiedImageError:
        raise UnreadableImage(
            path, _damaged(kind, "its first bytes are right, what follows is not")
        ) from None
    except Image.DecompressionBombError:
        raise UnreadableImage(path, _too_large("more than Pillow allows", max_pixels)) from None
    except MemoryError:
        raise UnreadableImage(path, "there is not enough memory for its pixels. Make it smaller.") from None
    except DAMAGE as error:
        raise UnreadableImage(path, _damaged(kind, error)) from None


def image_content(path: Path) -> bytes:
    """Return the bytes of an image file, which may lie inside a tar archive; other files are not read to their end.

    Of a raw photograph they are those of the largest picture that is embedded in it (`data.raw_preview`).

    Raises:
        UnreadableImage: no such file, a folder, a pipe or device, no permission, no image by its first bytes, too
            large, a raw photograph with no more than a thumbnail, or a damaged archive or drive.
    """

    def check(head: bytes) -> None:
        if (kind := container.kind_of(head)) != container.RAW:
            _require_image(path, head, kind)

    try:
        content = image_bytes(path, check=check)
        return raw_preview(content) if container.is_raw(content) else content
    except container.Unwanted as error:
        raise UnreadableImage(path, str(error)) from None
    except UnreadableImage:
        raise
    except InputError as error:
        raise UnreadableImage(path, f"its archive cannot be read: {error}") from None
    except (FileNotFoundError, NotADirectoryError):
        raise UnreadableImage(path, "no such file. Check the path.") from None
    except IsADirectoryError:
        raise UnreadableImage(path, "is a folder, not a file. Name the images in it.") from None
    except PermissionError:
        raise UnreadableImage(path, "no permission to read it. Change the file's permissions.") from None
    except NotAFile:
        raise UnreadableImage(path, "not a regular file but a pipe or device. Leave it out.") from None
    except TooLarge as error:
        raise UnreadableImage(path, f"{error} (the limit is {MAX_BYTES:,}). Make it smaller.") from None
    except MemoryError:
        raise UnreadableImage(path, "there is not enough memory for it. Make it smaller.") from None
    except OSError as error:
        raise UnreadableImage(path, f"cannot be read ({error.strerror}). Check the drive.") from None


def _require_image(path: Path, head: bytes, kind: str) -> None:
    """Refuse what cannot be decoded, by its first bytes."""
    if not head:
        raise UnreadableImage(path, "the file is empty (0 bytes). Copy it again.")
    if container.decodable(kind):
        return
    what = f"it looks like {kind}" if kind else f"it starts with {head[:8]!r}"
    raise UnreadableImage(
        path, f"not an image of a kind that can be read; {what}. Convert it to JPEG or PNG, or leave it out."
    )


def _read_jpeg(
    path: Path, raw: bytes, orientation: int, at_least: tuple[int, int] | None, max_pixels: int
) -> np.ndarray | None:
    """Decode with simplejpeg; None for a JPEG that is better left to Pillow (CMYK, odd headers)."""
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(raw, strict=False)
    except (ValueError, KeyError):  # KeyError: a subsampling that it has no name for
        return None
    if colorspace not in {"YCbCr", "Gray", "RGB"}:
        return None
    _check_size(path, width, height, max_pixels)
    container.check_pixels(width, height, len(raw))
    enough = at_least or (0, 0)
    enough = enough[::-1] if orientation >= 5 else enough
    # A limit above the file's own size would be refused by the decoder in place of "full size".
    low = (
        {"min_height": enough[0], "min_width": enough[1]}
        if 0 < enough[0] <= height and enough[1] <= width
        else {}
    )
    try:
        pixels = simplejpeg.decode_jpeg(raw, colorspace="RGB", **low)
    except ValueError as error:
        if _HARMLESS.search(str(error)):
            return (
                None  # simplejpeg reports the first warning only; Pillow still notices a file that ends early
            )
        raise UnreadableImage(path, _damaged("JPEG", error)) from None
    return _turn(pixels, orientation)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where the block is absent, broken or says something else."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except DAMAGE:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an orientation. Source: Exif 2.32, tag 274 (where the stored row 0 and column 0 belong)."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _to_rgb(path: Path, image: Image.Image) -> np.ndarray:
    """Decode to uint8 [height width 3], whatever the mode."""
    if image.mode in _SIXTEEN_BIT_GREY or (image.mode == "I" and image.format == "PPM"):
        # 65535 / 255 = 257; Pillow's own conversion clips at 255, which turns such pictures white.
        grey = ((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in {"I", "F"}:
        raise UnreadableImage(
            path, "its pixels are 32-bit numbers, for which no white is defined. Convert it to 8 or 16 bits."
        )
    if image.mode != "RGB" or image.has_transparency_data:
        if image.has_transparency_data:
            rgba = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", rgba.size, _WHITE), rgba)
        image = image.convert("RGB")
    return np.array(image)


def _open_heif(path: Path, raw: bytes, max_pixels: int) -> Image.Image:
    try:
        import pillow_heif
    except ImportError:
        raise UnreadableImage(
            path, "is a HEIC photograph, which needs one more package: pip install 'labelbeam[heif]'."
        ) from None
    heif = pillow_heif.open_heif(BytesIO(raw))
    width, height = heif.size
    container.check_pixels(width, height, len(raw))
    _check_size(path, width, height, max_pixels)
    # libheif has turned it already; the EXIF mark of a HEIC file is not to be obeyed a second time.
    return heif.to_pillow()


def _check_size(path: Path, width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise UnreadableImage(path, _too_large(f"{width} x {height} = {width * height:,}", max_pixels))


def _too_large(given: str, max_pixels: int) -> str:
    return (
        f"too many pixels ({given}; the limit is {max_pixels:,}). Make it smaller (in Python, `read_rgb` takes "
        "another max_pixels)."
    )


def _damaged(kind: str, error: BaseException | str) -> str:
    return f"damaged or truncated {kind} ({error}). Copy it again from its source, or leave it out."


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
