"""Boxes for labels that have none: formats of objects get the whole image as the box of each label.

Used by the writers of COCO, VOC and CVAT. Knows no layout.
"""

from io import BytesIO
from pathlib import Path

from PIL import Image

from labelbeam.data.image_bytes import image_bytes

NO_SIZE = (0, 0)


def size_of(path: Path) -> tuple[int, int]:
    """Return width and height as the file says them, not turned by EXIF; `NO_SIZE` where it cannot be read.

    Only the file's head is read; of an image inside a tar archive, the whole.

    Example:
        >>> size_of(Path("nowhere.jpg"))
        (0, 0)
    """
    try:
        source = path if path.is_file() else BytesIO(image_bytes(path))
        with Image.open(source) as image:
            return image.width, image.height
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return NO_SIZE


def box_notes(labels: int, unreadable: int) -> tuple[str, ...]:
    """Return the sentences about boxes that the user should know.

    Args:
        labels: labels that were written with a box.
        unreadable: images whose size could not be read.

    Example:
        >>> box_notes(0, 0)
        ()
    """
    notes = []
    if labels:
        notes.append(
            f"{labels:,} labels were written as objects whose box is the whole image, because the format wants boxes; "
            "do not train a detector on them."
        )
    if unreadable:
        notes.append(f"the sizes of {unreadable:,} images could not be read and were written as 0.")
    return tuple(notes)
