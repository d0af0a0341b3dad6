"""Where the images of a Label Studio export lie: addresses of its server to files in a folder.

Under the reader of exports. What is not found gets the plainest of the names it could have. Knows no labels.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from labelbeam.data.image_bytes import image_exists
from labelbeam.errors import InputError

_UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-(?=.)")
"""Label Studio puts eight hexadecimal digits and a hyphen before the name of an uploaded file."""


def find_images(addresses: Sequence[str], root: Path, spec: str) -> tuple[list[str], list[str]]:
    """Return the image key of each address, and notes about how they were understood.

    Args:
        addresses: `/data/upload/1/1a2b3c4d-cat.jpg`, `/data/local-files/?d=photos/cat.jpg`, `s3://bucket/cat.jpg`,
            `https://host/cat.jpg`, or a path.
        root: folder of the files.
        spec: the data set, for messages.

    Raises:
        InputError: two addresses lead to one file.
    """
    keys: dict[str, str] = {}
    renamed = 0
    for address in addresses:
        names = list(dict.fromkeys(candidates(address)))
        key = next((name for name in names if image_exists(root / name)), names[-1])
        renamed += key != address
        if key in keys:
            raise InputError(
                f"{spec}: {keys[key]!r} and {address!r} both lead to {key!r} in {root}. Keep the names that Label "
                "Studio gave the files (…/media/upload/PROJECT), or remove one of the tasks."
            )
        keys[key] = address
    if not renamed:
        return list(keys), []
    first = next(key for key, address in keys.items() if key != address)
    return list(keys), [
        f"{renamed:,} addresses were read as files below {root}, such as {keys[first]} as {first}."
    ]


def candidates(address: str) -> Iterator[str]:
    """Yield the names that an address can have below the root, the most exact first, the plainest last.

    Example:
        >>> list(candidates("/data/upload/3/1a2b3c4d-cat.jpg"))
        ['upload/3/1a2b3c4d-cat.jpg', '3/1a2b3c4d-cat.jpg', '1a2b3c4d-cat.jpg', 'images/cat.jpg', 'cat.jpg']
        >>> list(candidates("/data/local-files/?d=my%20photos/cat.jpg"))
        ['my photos/cat.jpg']
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", address):
        try:
            parts = urlsplit(address)
        except ValueError:  # brackets in the host
            parts = urlsplit("")
        path, query = unquote(parts.path), parts.query
    else:
        path, _, query = address.partition("?")
    if path.rstrip("/").endswith("/data/local-files") and (named := parse_qs(query).get("d")):
        local = named[0].replace("\\", "/")
        if local.startswith("/"):
            yield local
        yield local.lstrip("/") or local
        return
    if "/data/upload/" in path:
        uploaded = unquote(path).partition("/data/upload/")[2]
        name = uploaded.rpartition("/")[2]
        yield f"upload/{uploaded}"
        yield uploaded
        yield name
        plain = _UPLOAD_PREFIX.sub("", name, count=1) or name
        yield f"images/{plain}"
        yield plain
    elif path != address:
        inside = path.lstrip("/") or address
        yield f"images/{inside}"
        yield inside.rpartition("/")[2] or inside
        yield inside
    else:
        yield address.replace("\\", "/").removeprefix("./")
