"""Raw photographs of cameras, read by the largest picture that is embedded in them, never by a thumbnail.

rawpy (the extra `raw`) is asked first, then ExifTool, where they are installed. What comes back is a JPEG that says
which way is up, so that everything behind goes on as with any photograph. Develops nothing.
"""

import base64
import binascii
import json
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO

from labelbeam.data.image_container import Damaged, Unwanted, opened, prepared

SUFFIXES = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".k25", ".kdc"}
    | {".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf"}
    | {".srw", ".x3f"}
)
"""Of raw photographs."""

SMALLEST_SHARE = 1 / 8
"""Of the raw picture's longer side, what a preview must have. Thumbnails have 160 to 256 of some thousand pixels (at
most a twelfth), Adobe's medium previews 1,024 of 6,000."""

SMALLEST = 1000
"""The same in pixels, where nothing says how large the raw picture is."""

TO_READ = "pip install 'labelbeam[raw]', or install ExifTool"

_PREVIEWS = ("JpgFromRaw", "JpgFromRaw2", "PreviewImage", "OtherImage", "ThumbnailImage")
_SIZES = (
    "ImageWidth",
    "ImageHeight",
    "RawImageFullWidth",
    "RawImageFullHeight",
    "SensorWidth",
    "SensorHeight",
)
_PATIENCE = 60.0
"""Seconds for ExifTool to look through one file."""
_FLIPS = {3: 3, 5: 8, 6: 6}
"""EXIF's orientation by LibRaw's. Source: LibRaw, `sizes.flip`."""


@dataclass(frozen=True)
class _Embedded:
    """What a raw photograph holds beside its raw pixels.

    Attributes:
        pictures: JPEGs.
        side: longer side of the raw picture, pixels; 0: nothing says.
        wide: whether its rows are longer than its columns, before turning.
        orientation: EXIF's, 1 to 8.
    """

    pictures: tuple[bytes, ...]
    side: int
    wide: bool
    orientation: int


def readable() -> bool:
    """Return whether something is installed that finds previews."""
    return find_spec("rawpy") is not None or shutil.which("exiftool") is not None


def raw_preview(content: bytes) -> bytes:
    """Return the largest picture inside a raw photograph, as a JPEG that says which way is up.

    Raises:
        Unwanted: neither rawpy nor ExifTool is installed, or only a thumbnail is there.
    """
    if not readable():
        raise Unwanted(f"a raw photograph; to read the preview in it: {TO_READ}. Or give the camera's JPEG.")
    largest = (0, 0)
    for found in _readers(content):
        for picture in sorted(found.pictures, key=len, reverse=True):
            try:
                with opened(picture, "JPEG") as image:
                    size = image.size
                own = prepared(picture, "JPEG").orientation or 1
            except (OSError, Damaged, Unwanted):
                continue
            largest = max(largest, size, key=max)
            if max(size) >= (SMALLEST_SHARE * found.side or SMALLEST):
                # A portrait in a wide raw picture was turned by the camera already.
                turned = found.orientation >= 5 and found.wide and size[0] < size[1]
                return _turned(picture, own if own > 1 or turned else found.orientation)
    what = f"the largest has {largest[0]} x {largest[1]} pixels" if largest[0] else "there is none"
    raise Unwanted(
        f"a raw photograph without a preview that is more than a thumbnail ({what}). Develop it, or give the camera's "
        "JPEG."
    )


def _readers(content: bytes) -> Iterator[_Embedded]:
    if find_spec("rawpy") is not None and (found := _by_rawpy(content)) is not None:
        yield found
    program = shutil.which("exiftool")
    if program is not None and (found := _by_exiftool(content, program)) is not None:
        yield found


def _by_rawpy(content: bytes) -> _Embedded | None:
    import rawpy

    try:
        with rawpy.imread(BytesIO(content)) as raw:
            sizes = raw.sizes
            thumb = raw.extract_thumb()
    except rawpy.LibRawError:
        return None
    pictures = (thumb.data,) if isinstance(thumb.data, bytes) else ()  # or else pixels of a thumbnail
    side = max(sizes.raw_width, sizes.raw_height)
    return _Embedded(pictures, side, sizes.raw_width > sizes.raw_height, _FLIPS.get(sizes.flip, 1))


def _by_exiftool(content: bytes, program: str) -> _Embedded | None:
    asked = [f"-{name}" for name in (*_SIZES, "Orientation", *_PREVIEWS)]
    try:
        ran = subprocess.run(
            [program, "-j", "-b", "-n", "-a", "-G1:4", *asked, "-"],
            input=content,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
        values = json.loads(ran.stdout or b"[{}]")[0]
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    pictures, sizes, orientation = [], {"Width": [0], "Height": [0]}, 1
    for key, value in values.items():
        name = key.rpartition(":")[2]
        if name in _PREVIEWS and isinstance(value, str) and value.startswith("base64:"):
            try:
                pictures.append(base64.b64decode(value.removeprefix("base64:"), validate=True))
            except binascii.Error:
                continue
        elif name in _SIZES and isinstance(value, int):
            sizes["Width" if name.endswith("Width") else "Height"].append(value)
        elif name == "Orientation" and value in range(2, 9) and orientation == 1:
            orientation = value
    width, height = max(sizes["Width"]), max(sizes["Height"])
    return _Embedded(tuple(pictures), max(width, height), width > height, orientation)


def _turned(picture: bytes, orientation: int) -> bytes:
    """Return a JPEG with an EXIF block that says which way is up and nothing else, before any other."""
    tiff = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    block = b"Exif\0\0" + tiff
    return b"\xff\xd8\xff\xe1" + struct.pack(">H", len(block) + 2) + block + picture[2:]
