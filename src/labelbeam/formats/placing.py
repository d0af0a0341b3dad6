"""Image files beside their labels: what a writer does about the pictures, and how files refer to them.

Used by the writers of `formats`. Knows no layout.
"""

import os
import shutil
from pathlib import Path

from labelbeam.data.image_bytes import image_bytes
from labelbeam.errors import InputError, unknown_name

WAYS = ("keep", "link", "copy")
"""Files stay where they are and are referred to; hard links (copies on another file system); copies."""


def check_way(images: str, *, keep: bool, spec: str) -> None:
    """Refuse a way of placing images that there is not, or `keep` for a layout that needs the files in it.

    Raises:
        InputError: another word, or `keep` where `keep` is false.
    """
    if images not in WAYS:
        raise unknown_name("way to place images", images, WAYS)
    if images == "keep" and not keep:
        raise InputError(
            f"{spec}: this layout says labels by where the image files are, so they must be placed. "
            "Add --images link (hard links, no space needed) or --images copy."
        )


def place_image(source: Path, target: Path, *, images: str) -> None:
    """Put an image file at a place, as a hard link where `images` is `link` and that is possible, else a copy.

    Args:
        source: the file.
        target: its new place; folders are made.
        images: `link` or `copy`.

    Raises:
        InputError: the source is missing, or two images want the same place.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        raise InputError(
            f"two images want the place {target.name}; the second is {source}. Rename one of them."
        )
    try:
        if images == "link":
            try:
                os.link(source.resolve(), target)
                return
            except OSError:  # another file system, or one without links; an archive; or it is missing
                pass
        if source.is_file():
            shutil.copyfile(source, target)
        else:  # inside an archive, or missing
            target.write_bytes(image_bytes(source))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"the image file {source} is missing. Read with --missing skip to leave it out."
        ) from None


def reference(source: Path, folder: Path) -> str:
    """Return how a file in `folder` refers to an image: relative where the image lies below, else absolute.

    Example:
        >>> reference(Path("/photos/a/b.jpg"), Path("/photos"))
        'a/b.jpg'
    """
    here, there = folder.resolve(), source.resolve()
    return there.relative_to(here).as_posix() if there.is_relative_to(here) else there.as_posix()
