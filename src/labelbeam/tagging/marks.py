"""What a photograph's file was when it was tagged, so that one that changed is tagged again and one that moved is not.

Size and time of change are compared first; only where they differ is the file read. Of JPEG and PNG what makes the
pixels counts: keywords that a program writes into a photograph change nothing.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from labelbeam.data.image_bytes import image_bytes, image_mark, within_archive
from labelbeam.data.image_container import HEAD, Damaged, Unwanted, kind_of, prepared
from labelbeam.errors import InputError

FIELD = "file"
"""Of a line in the record of a job that is added to."""


@dataclass(frozen=True)
class Mark:
    """A file as it was.

    Attributes:
        size: bytes.
        modified: time of change, nanoseconds.
        hash: of what makes the pixels.
    """

    size: int
    modified: int
    hash: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def mark_of(path: Path) -> Mark | None:
    """Return the mark of a file as it is; None for what is no file of its own, or cannot be read."""
    if within_archive(path) is not None:
        return None
    modified, size = image_mark(path)
    try:
        content = image_bytes(path)
    except (OSError, InputError, MemoryError):
        return None
    return Mark(size, modified, _hash(content))


def mark_in(line: Mapping[str, Any]) -> Mark | None:
    """Return the mark that a line of a record holds; None where it has none."""
    try:
        return Mark(**line[FIELD])
    except (KeyError, TypeError):
        return None


def as_it_was(path: Path, mark: Mark) -> Mark | None:
    """Return the mark of a file that has the same pixels as when it was marked; None where it has others."""
    modified, size = image_mark(path)
    if (size, modified) == (mark.size, mark.modified):
        return mark
    now = mark_of(path)
    return now if now is not None and now.hash == mark.hash else None


def _hash(content: bytes) -> str:
    kind, orientation = kind_of(content[:HEAD]), 1
    if kind in ("JPEG", "PNG"):
        try:
            seen = prepared(content, kind)
        except (Damaged, Unwanted):
            pass
        else:
            content, orientation = seen.content, seen.orientation or 1
    return blake2b(content, digest_size=16, person=str(orientation).encode()).hexdigest()
