"""The bytes of an image file, which may lie inside a tar archive as a file lies in a folder.

`shards/train-000000.tar/0007.jpg` is the member `0007.jpg` of that archive: the one place that knows it is here,
under everything that reads, hashes or looks for images. Of each archive an index is made once per process from
its headers (24 bytes a member) and kept until the archive changes. Knows nothing of pixels.
"""

import threading
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labelbeam.data.paths import is_file
from labelbeam.data.tar_members import tar_members

ARCHIVE_SUFFIX = ".tar"


@dataclass(frozen=True)
class _Index:
    """Where the members of an archive are.

    Attributes:
        mark: time of change and size of the archive that was read.
        hashes: int64 [members], ascending: `hash` of each name. 64 keyed bits, good within this process,
            where a million names would be a hundred megabytes.
        places: int64 [members 2]: offset and size, in the order of `hashes`.
    """

    mark: tuple[int, int]
    hashes: np.ndarray
    places: np.ndarray

    def find(self, name: str) -> tuple[int, int] | None:
        """Return offset and size of a member; None where there is none of that name."""
        wanted = hash(name)
        row = int(np.searchsorted(self.hashes, wanted, side="right")) - 1
        if row < 0 or self.hashes[row] != wanted:
            return None
        offset, size = self.places[row]
        return int(offset), int(size)


_indices: dict[Path, _Index] = {}
_lock = threading.Lock()


def image_bytes(path: Path) -> bytes:
    """Return the content of a file, or of a member of an uncompressed tar archive.

    Args:
        path: a file; or an archive's path, whose name ends in `.tar`, followed by a name inside it.

    Raises:
        OSError: as opening a file does; FileNotFoundError for a member that the archive does not have.
        InputError: the archive is compressed, damaged or cut short.

    Example:
        >>> import io, tarfile, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with tarfile.open(Path(folder, "a.tar"), "w") as tar:
        ...         info = tarfile.TarInfo("sub/a.jpg")
        ...         info.size = 2
        ...         tar.addfile(info, io.BytesIO(b"hi"))
        ...     image_bytes(Path(folder, "a.tar/sub/a.jpg"))
        b'hi'
    """
    try:
        return path.read_bytes()
    except (NotADirectoryError, FileNotFoundError):  # Windows says the second where others say the first
        inside = within_archive(path)
        if inside is None:
            raise
    except ValueError as error:
        raise FileNotFoundError(f"no file can be called {str(path)!r} ({error})") from None
    archive, name = inside
    place = _index(archive).find(name)
    if place is None:
        raise FileNotFoundError(f"{archive} has no member {name!r}")
    with archive.open("rb") as file:
        file.seek(place[0])
        return file.read(place[1])


def image_exists(path: Path) -> bool:
    """Return whether there is such a file, or such a member of an archive.

    Raises:
        InputError: the archive is compressed, damaged or cut short.
    """
    inside = within_archive(path)
    return is_file(path) if inside is None else _index(inside[0]).find(inside[1]) is not None


def image_mark(path: Path) -> tuple[int, int]:
    """Return time of change and size, by which a later change shows; of the archive for what lies inside one.

    Returns:
        Nanoseconds and bytes; (-1, -1) where there is no such file.
    """
    try:
        status = path.stat()
    except (OSError, ValueError):  # the second: a NUL in the name
        inside = within_archive(path)
        return image_mark(inside[0]) if inside else (-1, -1)
    return status.st_mtime_ns, status.st_size


def within_archive(path: Path) -> tuple[Path, str] | None:
    """Take a path that leads into an archive apart.

    Returns:
        The archive and the name inside it; None for any other path, such as the archive's own or one through
        a folder whose name ends in `.tar`.
    """
    if ARCHIVE_SUFFIX not in str(path).lower():
        return None
    for folder in path.parents:
        if folder.suffix.lower() == ARCHIVE_SUFFIX and is_file(folder):
            return folder, path.relative_to(folder).as_posix()
    return None


def _index(archive: Path) -> _Index:
    """Return the index of an archive, made now where it is not known or no longer true."""
    status = archive.stat()
    mark = status.st_mtime_ns, status.st_size
    known = _indices.get(archive)
    if known is not None and known.mark == mark:
        return known
    with _lock:
        known = _indices.get(archive)
        if known is None or known.mark != mark:
            known = _indices[archive] = _read_index(archive, mark)
        return known


def _read_index(archive: Path, mark: tuple[int, int]) -> _Index:
    flat = array("q")
    for member in tar_members(archive):
        flat.extend((hash(member.name), member.offset, member.size))
    rows = np.frombuffer(flat, dtype=np.int64).reshape(-1, 3)
    # Stable, and `find` takes the last of equals: of two members of one name the later counts, as in tar.
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    return _Index(mark, np.ascontiguousarray(rows[:, 0]), np.ascontiguousarray(rows[:, 1:]))
