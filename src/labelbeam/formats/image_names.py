"""Names of image files as other programs wrote them: to keys, and to files by their names without suffix."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from labelbeam.data.listing import SUFFIXES
from labelbeam.errors import InputError

# Names of image files as other programs wrote them, to keys; those that no file can have are refused.
#
# The one place that knows what a key looks like: used by every reader of `formats` whose file names images,
# and by the writers, whose files must give the same keys back. Knows no layout and looks at no disk.

LONGEST = 255
"""Bytes of a file or folder name on the usual file systems; folders in a key, too."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*/")


def plain_path(written: str) -> str:
    r"""Return an image's path in one notation: forward slashes, no `./`, of an address the part after the host.

    Example:
        >>> plain_path("gs://bucket/photos/a.jpg"), plain_path(".\\b.jpg")
        ('photos/a.jpg', 'b.jpg')
    """
    key = written.replace("\\", "/")
    if "://" in key and (address := _ADDRESS.match(key)):
        key = key[address.end() :]
    return key.removeprefix("./")


def image_key(written: str, where: str) -> str:
    r"""Return the key of an image file: `plain_path`, if a file can have that name.

    Args:
        written: as the file says it.
        where: file and place in it, for the message.

    Raises:
        InputError: empty, too long, or with characters that no file name has.

    Example:
        >>> image_key("actor\\0001_2124494179.jpg", "list.txt, line 1")
        'actor/0001_2124494179.jpg'
    """
    key = plain_path(written)
    if not is_file_name(key):
        if not key:
            raise InputError(f"{where}: the image is empty. Give its path or remove the entry.")
        raise InputError(
            f"{where}: {written[:80]!r} is no name that an image file can have. Repair the file."
        )
    return key


def is_file_name(key: str) -> bool:
    r"""Return whether a file can have that path, and a text file can hold it.

    Example:
        >>> is_file_name("a/b.jpg"), is_file_name("a/"), is_file_name(300 * "x"), is_file_name("\0")
        (True, False, False, False)
    """
    try:
        raw = key.encode("utf-8")
    except UnicodeEncodeError:
        return False  # half of a surrogate pair: no file name, no text
    if not raw or raw.endswith(b"/") or b"\0" in raw:
        return False
    return len(raw) <= LONGEST or (raw.count(b"/") < LONGEST and max(map(len, raw.split(b"/"))) <= LONGEST)


# Image files by their names without suffix, for formats that refer to images that way.
#
# Used by the readers of `formats`. Knows no layout.


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
