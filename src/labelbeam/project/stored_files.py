"""The photographs' bytes: a folder beside the project file, each file named after its content by us.

Files, not rows: readers, exports and other programs open them where they are, a training run streams them, and the
database stays small enough to be copied after every session. A file is on the disk before the row that names it, so
a crash leaves at most a file without a row, which the same photograph finds again. Knows no database.
"""

import hashlib
import os
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from labelbeam.data.images import DAMAGE
from labelbeam.data.whole_file import written_whole

SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "GIF": ".gif", "WEBP": ".webp", "AVIF": ".avif"} | {
    "TIFF": ".tif",
    "BMP": ".bmp",
}
"""Of what Pillow says a file is; anything else that could be decoded is HEIC."""


def content_hash(content: bytes) -> str:
    """Return the SHA-256 of a file's bytes, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def images_folder(project: Path) -> Path:
    """Return the folder of a project's photographs.

    Example:
        >>> images_folder(Path("holiday.lbp")).name
        'holiday.lbp.images'
    """
    return project.with_name(project.name + ".images")


def store(folder: Path, content: bytes) -> str:
    """Write a photograph's bytes, to the disk itself, and return the name of its file in the folder.

    Args:
        folder: made where it is missing.
        content: what was decoded without an error before.
    """
    name = content_hash(content)[:32] + _suffix(content)
    target = folder / name
    if target.is_file() and target.stat().st_size == len(content):
        return name
    folder.mkdir(exist_ok=True)
    with written_whole(target) as part, part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(folder)
    return name


def _suffix(content: bytes) -> str:
    try:
        with Image.open(BytesIO(content)) as image:
            return SUFFIXES.get(image.format or "", ".heic")
    except (UnidentifiedImageError, *DAMAGE):
        return ".heic"


def _sync_folder(folder: Path) -> None:
    """Bring a new name to the disk; a system that cannot open folders (Windows) does so by itself."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
