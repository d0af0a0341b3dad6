"""Names of image files as other programs wrote them: to keys, and to files by their names without suffix."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from labelbeam.data.finder import find_images
from labelbeam.data.listing import SUFFIXES
from labelbeam.errors import InputError

LONGEST = 255
"""Bytes of a file or folder name on the usual file systems; folders in a key, too."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*/")


def plain_path(written: str) -> str:
    r"""Return an image's path in one notation: forward slashes, no `./`, of an address the part after the host.

    Example:
        >>> plain_path("https://host/photos/a.jpg?size=100"), plain_path(".\\b.jpg")
        ('photos/a.jpg', 'b.jpg')
    """
    key = written.replace("\\", "/")
    if "://" in key and (address := _ADDRESS.match(key)):
        key = key[address.end() :]
        if address[0].lower().startswith("http"):
            key = key.partition("?")[0]
    return key.removeprefix("./")


def image_key(written: str, where: str) -> str:
    r"""Return the key of an image file: `plain_path`, if a file can have that name.

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


def files_by_stem(
    root: Path, stems: Sequence[str], *, spec: str, subset: str = ""
) -> tuple[Path, dict[str, str]]:
    """Return the folder of the images, and the key of each stem, `STEM.jpg` where no file is there.

    Stems are relative to `root`, or absolute; the folder may be named after `subset`, the split.

    Raises:
        InputError: two image files have the same stem.
    """
    found = find_images(root, stems, subsets=[subset] * len(stems) if subset else ())
    found.refuse_several(spec)
    return found.root, {stem: key or f"{stem}.jpg" for stem, key in zip(stems, found.keys, strict=True)}


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


def keys_by_either(root: Path, first: Sequence[str], second: Sequence[str], spec: str) -> list[str]:
    """Return the key of each image: where its first name leads, else where its second does, else the second.

    Raises:
        InputError: a name that could be two files.
    """
    found = find_images(root, first)
    found.refuse_several(spec)
    keys = [None if key is None else key_below(root, found.root / key) for key in found.keys]
    lost = [i for i, key in enumerate(keys) if key is None]
    if lost:
        again = find_images(root, [second[i] for i in lost])
        again.refuse_several(spec)
        for i, key in zip(lost, again.keys, strict=True):
            keys[i] = second[i] if key is None else key_below(root, again.root / key)
    return [str(key) for key in keys]


def key_below(root: Path, file: Path) -> str:
    """Return the key of a file: relative to a folder where it lies below, else in full."""
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else file.absolute().as_posix()
