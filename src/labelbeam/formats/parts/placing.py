"""Image files beside their labels: what a writer does about the pictures, and how files refer to them.

Used by the writers of `formats`. Knows no layout.
"""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from labelbeam.data.dataset import Dataset
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


def place_images(dataset: Dataset, folder: Path, *, images: str) -> list[str]:
    """Place every image of a data set below a folder, by its key, and return where: relative, forward slashes.

    Raises:
        InputError: an image file is missing, two images want the same place.
    """
    places = placed_keys(dataset.images)
    for source, place in zip(dataset.paths, places, strict=True):
        place_image(source, folder / place, images=images)
    return places


def placed_keys(images: Iterable[str]) -> list[str]:
    """Return image keys as paths that stay below the folder they are placed in: what leads out of it is left out.

    Example:
        >>> placed_keys(["/photos/a.jpg", "../b/./c.jpg", "C:/d.jpg"])
        ['photos/a.jpg', 'b/c.jpg', 'd.jpg']
    """
    outside = re.compile(r"/+|\.\.|[A-Za-z]:")  # a drive leads out on Windows
    return [
        "/".join(part for part in PurePosixPath(key).parts if not outside.fullmatch(part)) for key in images
    ]


def place_image(source: Path, target: Path, *, images: str) -> None:
    """Put an image file at a place, as a hard link where `images` is `link` and that is possible, else a copy.

    Args:
        source: the file; one inside a tar archive is copied out of it.
        target: its new place; folders are made.
        images: `link` or `copy`.

    Raises:
        InputError: the source is missing, two images want the same place, or no file can be there.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            raise InputError(
                f"two images want the place {target.name}; the second is {source}. Rename one of them."
            )
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
    except InputError:
        raise
    except (OSError, ValueError) as error:  # the second: a NUL in the name
        raise InputError(
            f"the image file {source} cannot be placed at {target} ({error}). Rename it, or give another place."
        ) from None


def references(sources: Iterable[Path], folder: Path) -> list[str]:
    """Return how a file in `folder` refers to images: relative where one lies below, else absolute.

    Links to folders are followed, so that the same place has one name, and each folder is looked at once. An
    image that is itself a link keeps its own name: what it leads to may be called `SHA256-….jpg`.

    Example:
        >>> references([Path("/photos/a/b.jpg"), Path("/c.jpg")], Path("/photos"))
        ['a/b.jpg', '/c.jpg']
    """
    here = folder.resolve()
    starts: dict[Path, PurePosixPath] = {}
    found = []
    for source in sources:
        if source.parent not in starts:
            there = source.parent.resolve()
            start = there.relative_to(here) if there.is_relative_to(here) else there
            starts[source.parent] = PurePosixPath(start.as_posix())
        found.append(str(starts[source.parent] / source.name))
    return found
