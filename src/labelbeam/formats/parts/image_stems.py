"""Image files by their names without suffix, for formats that refer to images that way.

Used by the readers of `formats`. Knows no layout.
"""

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from labelbeam.data.listing import SUFFIXES
from labelbeam.errors import InputError


def files_by_stem(root: Path, stems: Iterable[str], *, spec: str, usual: str = ".jpg") -> dict[str, str]:
    """Return the image key of each stem; the usual suffix where no file is there.

    Args:
        root: folder that stems are relative to; an absolute stem is one too.
        stems: image keys without suffix.
        spec: the data set, for the message.
        usual: suffix of an image that is not there.

    Raises:
        InputError: two image files have the same stem.
    """
    found: dict[str, str] = {}
    listings: dict[str, dict[str, list[str]]] = {}
    for stem in stems:
        folder, slash, name = stem.rpartition("/")
        if folder + slash not in listings:
            listings[folder + slash] = _by_stem(root / (folder + slash or "."))
        files = listings[folder + slash].get(name, [])
        if len(files) > 1:
            raise InputError(
                f"{spec}: {stem!r} is ambiguous: there are {' and '.join(files)} in {root / folder}. Images are "
                "named without suffix in this format, so each stem may have one file; move the other away."
            )
        found[stem] = folder + slash + files[0] if files else stem + usual
    return found


def stems_of(images: Iterable[str], *, spec: str) -> list[str]:
    """Return the image keys without suffix, for writing.

    Raises:
        InputError: two images would have the same stem.

    Example:
        >>> stems_of(["a/b.jpg", "c.d.png"], spec="fiftyone:out")
        ['a/b', 'c.d']
    """
    stems: dict[str, str] = {}
    for image in images:
        path = PurePosixPath(image)
        stem = image.removesuffix(path.suffix) if path.suffix.lower() in SUFFIXES else image
        if stem in stems:
            raise InputError(
                f"{spec}: {stems[stem]!r} and {image!r} differ in their suffix only, and this format names images "
                "without it. Rename one of them."
            )
        stems[stem] = image
    return list(stems)


def _by_stem(folder: Path) -> dict[str, list[str]]:
    """Return the image files of a folder by their names without suffix, sorted."""
    by_stem: dict[str, list[str]] = defaultdict(list)
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_file())
    except OSError:
        return {}
    for name in names:
        suffix = PurePosixPath(name).suffix
        if suffix.lower() in SUFFIXES:
            by_stem[name.removesuffix(suffix)].append(name)
    return by_stem
