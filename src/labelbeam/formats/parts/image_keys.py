"""Names of image files as other programs wrote them, to keys; those that no file can have are refused.

The one place that knows what a key looks like: used by every reader of `formats` whose file names images, and by
the writers, whose files must give the same keys back. Knows no layout and looks at no disk.
"""

import re

from labelbeam.errors import InputError

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
