"""The bytes of an image file, in a folder or inside a tar archive, read by position; nothing is unpacked.

`shards/train-000000.tar/0007.jpg` is the member `0007.jpg` of that archive, `X.parquet/image/000012.jpg` is
row 12 of the column `image`: the one place that knows it is here. Parquet needs pyarrow (the extra `parquet`).

Archives are read header by header, in memory that does not grow with them; unlike with the standard library's reader,
one that was cut short is an error.
An index (24 bytes a member) is made once per process and kept until the archive changes.
"""

import os
import stat
import threading
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.errors import InputError
from labelbeam.files import is_file

PARQUET_SUFFIX = ".parquet"

_KEPT = 2
"""Row groups that are kept; a group of photographs takes some ten megabytes."""

_parquet_lock = threading.Lock()
_groups: dict[tuple[Path, tuple[int, int], str, int], Any] = {}
_ends: dict[tuple[Path, tuple[int, int]], list[int]] = {}


def image_columns(schema: Any) -> list[str]:
    """Return the columns of a pyarrow schema that hold images: structs with `bytes`, or plain bytes."""
    import pyarrow

    found = []
    for field in schema:
        kind = field.type
        is_struct = pyarrow.types.is_struct(kind)
        is_struct = is_struct and "bytes" in {kind.field(i).name for i in range(kind.num_fields)}
        if is_struct or pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind):
            found.append(field.name)
    return found


def opened_parquet(file: Path) -> Any:
    """Return a `pyarrow.parquet.ParquetFile`.

    Raises:
        InputError: pyarrow is not installed, or the file is no Parquet file.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InputError(
            f"{file} needs pyarrow, which is not installed: pip install 'labelbeam[parquet]', or save it as .jsonl."
        ) from None
    try:
        return parquet.ParquetFile(file)
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{file} is not a Parquet file ({' '.join(str(error).split())[:120]}). Was it copied in full?"
        ) from None


def parquet_image(file: Path, name: str) -> bytes:
    """Return the bytes of an image inside a Parquet file.

    Args:
        name: `COLUMN/ROW.SUFFIX`, rows from 0.

    Raises:
        FileNotFoundError: no such column or row, or nothing in it.
        InputError: as `opened_parquet`.
    """
    column, row = _place(name)
    ends = _row_groups(file) if column else []
    if row < 0 or not ends or row >= ends[-1]:
        raise FileNotFoundError(f"{file} has no image {name!r}")
    group = next(i for i, end in enumerate(ends) if row < end)
    cells = _group(file, column, group)
    at = row - (ends[group - 1] if group else 0)
    value = cells[at].as_py() if at < len(cells) else None  # a damaged file may have less than it says
    value = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(value, bytes):
        raise FileNotFoundError(f"{file} has no image in row {row} of {column!r}")
    return value


def has_parquet_image(file: Path, name: str) -> bool:
    """Return whether a Parquet file has such a row; what is in it is not looked at.

    Raises:
        InputError: as `opened_parquet`.
    """
    column, row = _place(name)
    return bool(column) and 0 <= row < (_row_groups(file) or [0])[-1]


def _place(name: str) -> tuple[str, int]:
    """Take `COLUMN/ROW.SUFFIX` apart; row -1 where it is none."""
    column, _, rest = name.rpartition("/")
    digits = rest.partition(".")[0]
    return column, int(digits) if digits.isdecimal() and len(digits) < 15 else -1


def _mark(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_mtime_ns, status.st_size


def _row_groups(file: Path) -> list[int]:
    """Return the row after the last one of each row group."""
    key = file, _mark(file)
    if key not in _ends:
        metadata = opened_parquet(file).metadata
        ends, total = [], 0
        for i in range(metadata.num_row_groups):
            total += metadata.row_group(i).num_rows
            ends.append(total)
        _ends[key] = ends
    return _ends[key]


def _group(file: Path, column: str, group: int) -> Any:
    import pyarrow

    key = file, _mark(file), column, group
    with _parquet_lock:
        if key not in _groups:
            opened = opened_parquet(file)
            if column not in opened.schema_arrow.names:
                raise FileNotFoundError(f"{file} has no column {column!r}")
            try:
                read = opened.read_row_group(group, columns=[column]).column(0)
            except (pyarrow.ArrowException, OSError, ValueError) as error:
                raise OSError(f"{file} is damaged ({' '.join(str(error).split())[:120]})") from None
            while len(_groups) >= _KEPT:
                del _groups[next(iter(_groups))]
            _groups[key] = read
        return _groups[key]


BLOCK = 512
"""Headers are one block; contents are padded to whole blocks."""

LONGEST_NAME = 1 << 16
"""Bytes of a long name or of pax records that are believed; more is damage."""

_COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}


@dataclass(frozen=True)
class TarMember:
    """A file inside an archive.

    Attributes:
        name: its path in the archive, with forward slashes, without a leading `./`.
        offset: where its content starts, bytes from the archive's start.
        size: length of its content, bytes.
    """

    name: str
    offset: int
    size: int


def tar_members(archive: Path) -> Iterator[TarMember]:
    """Yield the regular files of an archive, in its order; folders and links are passed over.

    Raises:
        InputError: compressed, not a tar archive, damaged, or cut short.
        OSError: it cannot be opened.

    Example:
        >>> import io, tarfile, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "a.tar")
        ...     with tarfile.open(path, "w") as tar:
        ...         info = tarfile.TarInfo("a.txt")
        ...         info.size = 2
        ...         tar.addfile(info, io.BytesIO(b"hi"))
        ...     list(tar_members(path))
        [TarMember(name='a.txt', offset=512, size=2)]
    """
    with archive.open("rb") as file:
        length = file.seek(0, 2)
        position, long_name = 0, ""
        pax: dict[str, str] = {}
        while True:
            file.seek(position)
            header = file.read(BLOCK)
            if len(header) == BLOCK and not any(header):
                return
            if position == 0:
                _refuse_other_files(archive, header)
            if len(header) < BLOCK:
                raise _damaged(archive, position, "it ends without an end mark")
            name, size, kind = _read_header(header, archive, position)
            size = int(pax.get("size", size))
            content, position = position + BLOCK, position + BLOCK + -(-size // BLOCK) * BLOCK
            if content + size > length:
                raise _damaged(archive, content - BLOCK, f"{name!r} ends beyond the end of the file")
            if kind in b"Lxg":
                if size > LONGEST_NAME:
                    raise _damaged(archive, content - BLOCK, f"a name of {size:,} bytes")
                file.seek(content)
                text = file.read(size)
                if kind == b"L":
                    long_name = _decoded(text.rstrip(b"\0"))
                elif kind == b"x":
                    pax = _pax_records(text, archive, content)
                continue
            if kind in b"S" or any(key.startswith("GNU.sparse") for key in pax):
                raise _damaged(archive, content - BLOCK, f"{name!r} is stored as a sparse file")
            name = pax.get("path") or long_name or name
            if kind in b"0\x007" and not name.endswith("/"):
                yield TarMember(name.removeprefix("./"), content, size)
            long_name, pax = "", {}


def _refuse_other_files(archive: Path, header: bytes) -> None:
    """Raise an error for what is no uncompressed archive at all."""
    for magic, program in _COMPRESSED.items():
        if header.startswith(magic):
            raise InputError(
                f"{archive} is compressed, so images in it cannot be read one by one. Decompress it once, "
                f"such as with `{program}`; photographs hardly shrink anyway."
            )
    if len(header) < BLOCK or not _checksum_fits(header):
        raise InputError(f"{archive} is not a tar archive. Give one made by `tar -cf` or WebDataset.")


def _read_header(header: bytes, archive: Path, position: int) -> tuple[str, int, bytes]:
    """Return name, size and kind of the entry. Source: POSIX.1-2001, pax interchange format, ustar header."""
    if not _checksum_fits(header):
        raise _damaged(archive, position, "a header's checksum is wrong")
    name = _decoded(header[:100].split(b"\0")[0])
    if header[257:263] == b"ustar\0" and (prefix := header[345:500].split(b"\0")[0]):
        name = f"{_decoded(prefix)}/{name}"
    try:
        size = _number(header[124:136])
    except ValueError:
        raise _damaged(archive, position, f"the size of {name!r} is not a number") from None
    return name, size, header[156:157]


def _checksum_fits(header: bytes) -> bool:
    try:
        stated = _number(header[148:156])
    except ValueError:
        return False
    total = sum(header) - sum(header[148:156]) + 8 * ord(" ")
    if stated == total:
        return True
    # Some old programs summed signed characters.
    return stated == total - 256 * sum(byte > 127 for byte in header[:148] + header[156:])


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # GNU: binary, for sizes beyond 8 GiB
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    text = field.split(b"\0")[0].strip()
    if text.strip(b"01234567"):
        raise ValueError(text)
    return int(text or b"0", 8)


def _pax_records(text: bytes, archive: Path, content: int) -> dict[str, str]:
    """Return the records: LENGTH KEY=VALUE, and a line end."""
    records: dict[str, str] = {}
    while text:
        length, blank, _ = text.partition(b" ")
        if not (blank and length.isdigit() and len(length) < 7 and len(length) < int(length) <= len(text)):
            raise _damaged(archive, content - BLOCK, "a pax record's length is wrong")
        key, equals, value = text[len(length) + 1 : int(length) - 1].partition(b"=")
        if not equals or (key == b"size" and not (value.isdigit() and len(value) < 20)):
            raise _damaged(archive, content - BLOCK, "a pax record cannot be read")
        records[_decoded(key)] = _decoded(value)
        text = text[int(length) :]
    return records


def _decoded(name: bytes) -> str:
    # Names that are not UTF-8 exist; they are carried through like file names on Linux.
    return name.decode("utf-8", errors="surrogateescape")


def _damaged(archive: Path, position: int, what: str) -> InputError:
    return InputError(f"{archive}, byte {position:,}: damaged or cut short, {what}. Copy it again.")


ARCHIVE_SUFFIX = ".tar"

MAX_BYTES = 1 << 29
"""Of an image: as much as the pixels of the largest one take (`data.images.MAX_PIXELS`)."""

_HEAD = 4096


class NotAFile(OSError):  # noqa: N818  (named for what it is, like its siblings)
    """A pipe, a socket or a device: reading it may wait for ever, or never end."""


class TooLarge(OSError):  # noqa: N818
    """More bytes than any image has."""


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


def image_bytes(path: Path, *, check: Callable[[bytes], object] = bool) -> bytes:
    """Return the content of a file, or of a member of an uncompressed tar archive.

    Args:
        path: a file; or the path of an archive, whose name ends in `.tar` or `.parquet`, followed by a name inside it.
        check: called with the first 4,096 bytes before the rest is read; what it raises is raised.

    Raises:
        OSError: as opening a file does; FileNotFoundError for a member that the archive does not have; `NotAFile` for
            a pipe or device; `TooLarge`.
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
        with open_regular(path) as file:
            return _content(file, os.fstat(file.fileno()).st_size, check)
    except (NotADirectoryError, FileNotFoundError):  # Windows says the second where others say the first
        inside = within_archive(path)
        if inside is None:
            raise
    archive, name = inside
    if archive.suffix.lower() == PARQUET_SUFFIX:
        content = parquet_image(archive, name)
        check(content[:_HEAD])
        return content
    place = _index(archive).find(name)
    if place is None:
        raise FileNotFoundError(f"{archive} has no member {name!r}")
    with open_regular(archive) as file:
        file.seek(place[0])
        return _content(file, place[1], check)


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading; nothing is waited for where there is a pipe or a device in its place.

    Raises:
        OSError: as `open`; `NotAFile`.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError as error:  # a NUL in the name
        raise FileNotFoundError(f"no file can be called {str(path)!r} ({error})") from None
    except OSError:
        if path.is_socket() or path.is_fifo():
            raise NotAFile(f"{path} is not a regular file") from None
        raise
    kind = os.fstat(handle).st_mode
    if stat.S_ISREG(kind):
        return os.fdopen(handle, "rb")
    os.close(handle)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(f"{path} is a folder")
    raise NotAFile(f"{path} is not a regular file")


def _content(file: BufferedReader, size: int, check: Callable[[bytes], object]) -> bytes:
    head = file.read(min(size, _HEAD))
    check(head)
    if size > MAX_BYTES:
        raise TooLarge(f"{size:,} bytes are more than an image has")
    return head + file.read(size - len(head))


def image_exists(path: Path) -> bool:
    """Return whether there is such a file, or such a member of an archive.

    Raises:
        InputError: the archive is compressed, damaged or cut short.
    """
    inside = within_archive(path)
    if inside is not None and inside[0].suffix.lower() == PARQUET_SUFFIX:
        return has_parquet_image(*inside)
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
        The archive or Parquet file and the name inside it; None for any other path, such as the archive's own or
        one through a folder whose name ends in `.tar`.
    """
    lower = str(path).lower()
    if ARCHIVE_SUFFIX not in lower and PARQUET_SUFFIX not in lower:
        return None
    for folder in path.parents:
        if folder.suffix.lower() in {ARCHIVE_SUFFIX, PARQUET_SUFFIX} and is_file(folder):
            return folder, path.relative_to(folder).as_posix()
    return None


def _index(archive: Path) -> _Index:
    """Return the index of an archive, made now where there is none or it is no longer true."""
    status = archive.stat()
    mark = status.st_mtime_ns, status.st_size
    index = _indices.get(archive)
    if index is not None and index.mark == mark:
        return index
    with _lock:
        index = _indices.get(archive)
        if index is None or index.mark != mark:
            index = _indices[archive] = _read_index(archive, mark)
        return index


def _read_index(archive: Path, mark: tuple[int, int]) -> _Index:
    flat = array("q")
    for member in tar_members(archive):
        flat.extend((hash(member.name), member.offset, member.size))
    rows = np.frombuffer(flat, dtype=np.int64).reshape(-1, 3)
    # Stable, and `find` takes the last of equals: of two members of one name the later counts, as in tar.
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    return _Index(mark, np.ascontiguousarray(rows[:, 0]), np.ascontiguousarray(rows[:, 1:]))
