"""What tells an image file from others: its bytes, and a small likeness that survives scaling and saving again.

Reads each file once, on every core. Between image files and the search for duplicates; also where files that
cannot be read are found. Knows nothing of labels or splits.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from labelbeam.data.image_bytes import image_bytes
from labelbeam.data.images import DAMAGE, UnreadableImage, read_rgb

SIDE = 32
"""Side of the grey picture that the perceptual hash is made of."""

LOOK = 16
"""Side of the likeness that candidates are compared by."""

_ENOUGH = 64
"""A JPEG need not be decoded larger than this."""

_COSINES = np.cos(np.pi * (2 * np.arange(SIDE) + 1) * np.arange(8)[:, None] / (2 * SIDE))
_NOISE = 16.0
"""What one grey level of noise in every pixel adds to a frequency, about."""

_LUMA = np.array([0.299, 0.587, 0.114])
_BITS = np.uint64(1) << np.arange(64, dtype=np.uint64)


def _nothing_seen() -> np.ndarray:
    return np.zeros((LOOK, LOOK, 3), dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """One image file.

    Attributes:
        content: SHA-256 of its bytes, hexadecimal; empty where it could not be read.
        width: pixels, the way up that it is shown.
        height: pixels.
        num_bytes: size of the file.
        kind: what it is, as Pillow names it ("JPEG"); the name of the file does not matter.
        perceptual: 64-bit hash of the picture's coarse structure.
        mirrored: the same hash of the picture with left and right exchanged.
        look: the picture in colour, shrunk to 16 x 16.
        error: why it could not be read, and what to do; empty where it could.
    """

    content: str = ""
    width: int = 0
    height: int = 0
    num_bytes: int = 0
    kind: str = ""
    perceptual: int = 0
    mirrored: int = 0
    look: UInt8[np.ndarray, "16 16 3"] = field(default_factory=_nothing_seen)
    error: str = ""


def fingerprint(path: Path) -> Fingerprint:
    """Read an image file and return its fingerprint; one that cannot be read has an error in place of it.

    Args:
        path: any file.

    Source:
        The perceptual hash is the sign, relative to their median, of the 8 x 8 lowest frequencies of the
        discrete cosine transform of the grey picture at 32 x 32 (the "pHash" of Zauner 2010).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (40, 20), "red").save(Path(folder, "red.bmp"))
        ...     found = fingerprint(Path(folder, "red.bmp"))
        >>> found.kind, found.width, found.height, fingerprint(Path("gone.jpg")).error
        ('BMP', 40, 20, 'no such file. Check the path.')
    """
    try:
        pixels = read_rgb(path, at_least=(_ENOUGH, _ENOUGH))
        raw = image_bytes(path)
    except UnreadableImage as error:
        return Fingerprint(error=error.reason)
    except OSError as error:  # it went, or the drive did, since its pixels were read
        return Fingerprint(
            error=f"cannot be read a second time ({error.strerror or error}). Check the drive."
        )
    width, height, kind = _header(raw, pixels)
    small = np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)
    grey = small @ _LUMA
    look = small.reshape(LOOK, 2, LOOK, 2, 3).mean(axis=(1, 3))
    return Fingerprint(
        content=hashlib.sha256(raw).hexdigest(),
        width=width,
        height=height,
        num_bytes=len(raw),
        kind=kind,
        perceptual=perceptual_hash(grey),
        mirrored=perceptual_hash(grey[:, ::-1]),
        look=look.round().astype(np.uint8),
    )


def perceptual_hash(grey: np.ndarray) -> int:
    """Return 64 bits, one for each low frequency: whether it is clearly above the median of all but the mean.

    Clearly: a symmetric picture has no odd frequencies, and noise would decide half of its bits.

    Args:
        grey: float [32 32], a grey picture.
    """
    frequencies = (_COSINES @ grey @ _COSINES.T).ravel()
    above = frequencies > np.median(frequencies[1:]) + _NOISE
    return int(_BITS[above].sum(dtype=np.uint64))


def _header(raw: bytes, pixels: np.ndarray) -> tuple[int, int, str]:
    """Return width and height as shown, and what the file is."""
    height, width = pixels.shape[:2]
    try:
        with Image.open(BytesIO(raw)) as image:
            stored, kind = image.size, image.format or ""
    except (*DAMAGE, Image.DecompressionBombError):  # HEIC, which Pillow alone does not know
        return width, height, "HEIF"
    # A JPEG may have been decoded smaller than it is; its pixels say only whether it was turned.
    turned = (stored[0] > stored[1]) != (width > height) and width != height
    return (stored[1], stored[0], kind) if turned else (*stored, kind)


def fingerprints(
    paths: Sequence[Path], *, workers: int | None = None, report: Callable[[int], None] | None = None
) -> list[Fingerprint]:
    """Return the fingerprints of image files, in their order.

    Args:
        paths: the files.
        workers: threads; None for one per core.
        report: told how many more are done.
    """
    found = []
    pool = ThreadPoolExecutor(workers or os.cpu_count() or 1)
    try:
        for one in pool.map(fingerprint, paths):
            found.append(one)
            if report is not None:
                report(1)
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupted run does not read the rest first
    return found
