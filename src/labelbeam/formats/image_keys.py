"""Names of image files as other programs wrote them, to keys; those that no file can have are refused.

Used by readers of `formats`. Knows no layout and looks at no disk.
"""

from labelbeam.errors import InputError

LONGEST = 255
"""Bytes of a file or folder name on the usual file systems."""


def image_key(name: str, where: str) -> str:
    r"""Return the key of an image file: forward slashes.

    Args:
        name: as the file says it, Windows's backslashes included.
        where: file and place in it, for the message.

    Raises:
        InputError: empty, too long, or with characters that no file name has.

    Example:
        >>> image_key("actor\\0001_2124494179.jpg", "list.txt, line 1")
        'actor/0001_2124494179.jpg'
    """
    key = name.replace("\\", "/")
    try:
        parts = key.encode("utf-8").split(b"/")
    except UnicodeEncodeError:
        parts = [b"\0"]  # half of a surrogate pair: no file name, no text
    if not parts[-1] or b"\0" in b"".join(parts) or max(map(len, parts)) > LONGEST or len(parts) > LONGEST:
        raise InputError(f"{where}: {name[:80]!r} is no name that an image file can have. Repair the file.")
    return key
