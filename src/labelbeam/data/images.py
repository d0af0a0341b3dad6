"""Image files to pixels: whatever photographs come as, RGB bytes the right way up, or an error that says why.

The first step of everything that looks at pictures. JPEG goes through simplejpeg where that is installed: it
decodes off the interpreter's lock and notices damage that libjpeg fills with grey. The rest goes through
Pillow, HEIC through pillow-heif. The content decides what a file is, never its name. Knows nothing of data
sets, and resizes nothing beyond what a JPEG decoder does for free.
"""

import re
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from labelbeam.data.image_bytes import image_bytes
from labelbeam.data.listing import list_images
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
    "extraneous bytes before marker 0xd9|unknown JFIF revision|Unknown Adobe color transform"
    "|Invalid SOS parameters|bad ICC marker"
)
"""libjpeg's warnings after which every pixel is there: odd headers, rubbish before the end marker."""


class UnreadableImage(InputError):  # noqa: N818  (named for what it is, like its siblings)
    """A file that cannot be turned into pixels.

    Attributes:
        path: the file.
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
) -> UInt8[np.ndarray, "height width 3"]:
    """Read the content of an image file as RGB, as `read_rgb` does; nothing is opened.

    Args:
        content: the bytes of the file.
        name: what errors call it.
        at_least: as in `read_rgb`.
        max_pixels: as in `read_rgb`.

    Raises:
        UnreadableImage: empty, not an image, damaged or truncated, too many pixels, 32-bit pixels, or HEIC
            without pillow-heif.
    """
    path, raw = Path(name), content
    if not raw:
        raise UnreadableImage(path, "the file is empty (0 bytes). Copy it again.")
    if raw.startswith(b"\xff\xd8\xff") and simplejpeg is not None:
        pixels = _read_jpeg(path, raw, at_least, max_pixels)
        if pixels is not None:
            return pixels
    kind = _sniff(raw)
    try:
        if kind == "HEIC":
            return _to_rgb(path, _open_heif(path, raw, max_pixels))
        with Image.open(BytesIO(raw)) as image:
            _check_size(path, *image.size, max_pixels)
            if at_least is not None:
                height, width = at_least[::-1] if _orientation(image.getexif) >= 5 else at_least
                image.draft(None, (width, height))
            image.load()
            # Read after loading: Pillow turns TIFF files while it loads them, and then drops the mark.
            orientation = _orientation(image.getexif)
            return _turn(_to_rgb(path, image), orientation)
    except UnidentifiedImageError:
        raise UnreadableImage(path, _not_an_image(raw, kind)) from None
    except Image.DecompressionBombError:
        raise UnreadableImage(path, _too_large("more than Pillow allows", max_pixels)) from None
    except UnreadableImage:
        raise
    except DAMAGE as error:
        raise UnreadableImage(path, _damaged(kind or "image", error)) from None


def image_content(path: Path) -> bytes:
    """Return the bytes of an image file, which may lie inside a tar archive.

    Raises:
        UnreadableImage: no such file, a folder, no permission, or a damaged archive or drive.
    """
    try:
        return image_bytes(path)
    except InputError as error:
        raise UnreadableImage(path, f"its archive cannot be read: {error}") from None
    except (FileNotFoundError, NotADirectoryError):
        raise UnreadableImage(path, "no such file. Check the path.") from None
    except IsADirectoryError:
        raise UnreadableImage(path, "is a folder, not a file. Name the images in it.") from None
    except PermissionError:
        raise UnreadableImage(path, "no permission to read it. Change the file's permissions.") from None
    except OSError as error:
        raise UnreadableImage(path, f"cannot be read ({error.strerror}). Check the drive.") from None


def _read_jpeg(
    path: Path, raw: bytes, at_least: tuple[int, int] | None, max_pixels: int
) -> np.ndarray | None:
    """Decode with simplejpeg; None for a JPEG that is better left to Pillow (CMYK, odd headers)."""
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(raw, strict=False)
    except (ValueError, KeyError):  # KeyError: a subsampling that it has no name for
        return None
    if colorspace not in {"YCbCr", "Gray", "RGB"}:
        return None
    _check_size(path, width, height, max_pixels)
    orientation = _orientation(lambda: _jpeg_exif(raw))
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
                None  # simplejpeg tells the first warning only; Pillow still notices a file that ends early
            )
        raise UnreadableImage(path, _damaged("JPEG", error)) from None
    return _turn(pixels, orientation)


def _jpeg_exif(raw: bytes) -> Image.Exif:
    """Return the EXIF block of a JPEG, empty where there is none."""
    exif = Image.Exif()
    head = raw[: 1 << 17]
    if (start := head.find(b"Exif\0\0")) >= 0:
        exif.load(head[start : start + 65_533])
    if _ORIENTATION_TAG not in exif and (xmp := re.search(rb'tiff:Orientation(?:="|>)([1-8])', head)):
        exif[_ORIENTATION_TAG] = int(xmp[1])
    return exif


def _orientation(read_exif: Callable[[], Image.Exif]) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where the block is absent, broken or says something else."""
    try:
        value = read_exif().get(_ORIENTATION_TAG, 1)
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


def _damaged(kind: str, error: BaseException) -> str:
    return f"damaged or truncated {kind} ({error}). Copy it again from its source, or leave it out."


def _not_an_image(raw: bytes, kind: str) -> str:
    if kind in {"JPEG", "PNG", "GIF", "WebP", "AVIF", "TIFF", "BMP"}:
        return _damaged(kind, ValueError("its first bytes are right, what follows is not"))
    what = f"it looks like {kind}" if kind else f"it starts with {raw[:8]!r}"
    return f"not an image of a kind that can be read; {what}. Convert it to JPEG or PNG, or leave it out."


_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"BM": "BMP",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive",
    b"version https://git-lfs": "a Git LFS pointer: fetch the file with `git lfs pull`",
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML document",
    b"{": "JSON",
}


def _sniff(raw: bytes) -> str:
    """Return what the first bytes say, empty where they say nothing known."""
    if raw[4:8] == b"ftyp":
        brands = raw[8 : min(len(raw), int.from_bytes(raw[:4], "big"))]
        if b"avif" in brands or b"avis" in brands:
            return "AVIF"
        heic = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
        return "HEIC" if any(brand in brands for brand in heic) else "a video"
    if raw[:4] == b"RIFF" and raw[8:12] == b"WEBP":
        return "WebP"
    head = raw[:64].lstrip().lower()
    for magic, kind in _MAGIC.items():
        if raw.startswith(magic) or (magic.isascii() and magic.islower() and head.startswith(magic)):
            return kind
    return ""
