"""Unpacks an archive that came from elsewhere: inside its folder or not at all.

Tar and zip; what would leave the folder, a link out of it or a device is refused. Knows nothing of what is inside.
"""

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from labelbeam.errors import InputError

_DAMAGED = (tarfile.ReadError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, NotImplementedError)


def unpack(archive: Path, folder: Path) -> int:
    """Unpack an archive, or copy a file that is none.

    Args:
        archive: its content decides what it is.
        folder: where it goes; it exists.

    Returns:
        The number of files.

    Raises:
        InputError: a damaged archive, a member that would be written elsewhere, or more bytes than there is room for.
        OSError: the folder cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as name:
        ...     folder = Path(name)
        ...     with zipfile.ZipFile(folder / "a.zip", "w") as packed:
        ...         packed.writestr("labels/a.txt", "sheep")
        ...     (folder / "out").mkdir()
        ...     unpack(folder / "a.zip", folder / "out"), (folder / "out/labels/a.txt").read_text()
        (1, 'sheep')
    """
    try:
        if zipfile.is_zipfile(archive):
            return _unpack_zip(archive, folder)
        if tarfile.is_tarfile(archive):
            return _unpack_tar(archive, folder)
    except _DAMAGED as error:
        raise InputError(f"{archive.name} is damaged ({error}). Fetch it again.") from error
    if {".zip", ".tar", ".gz", ".tgz"} & {suffix.casefold() for suffix in archive.suffixes}:
        raise InputError(
            f"{archive.name} is no archive, whatever its name says. Is it a page of a web server?"
        )
    _need_room(archive, folder, archive.stat().st_size)
    shutil.copyfile(archive, folder / archive.name)
    return 1


def _unpack_zip(archive: Path, folder: Path) -> int:
    with zipfile.ZipFile(archive) as packed:
        members = packed.infolist()
        for member in members:
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind and not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
                raise _refused(archive, member.filename, "is a link or a device")
            _check_inside(archive, member.filename)
            if member.flag_bits & 1:
                raise _refused(archive, member.filename, "is encrypted")
        _need_room(archive, folder, sum(member.file_size for member in members))
        for member in members:
            packed.extract(member, folder)
        return sum(not member.is_dir() for member in members)


def _unpack_tar(archive: Path, folder: Path) -> int:
    with tarfile.open(archive) as packed:
        members = packed.getmembers()
        for member in members:
            _check_inside(archive, member.name)
            if not (member.isreg() or member.isdir()):
                raise _refused(archive, member.name, "is a link or a device")
        _need_room(archive, folder, sum(member.size for member in members))
        for member in members:
            try:
                packed.extract(member, folder, filter="data")
            except tarfile.FilterError as error:
                raise _refused(archive, member.name, str(error)) from error
        return sum(member.isreg() for member in members)


def _check_inside(archive: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name.split("/")[0] or "\0" in name:
        raise _refused(archive, name, "would be written outside the folder")


def _refused(archive: Path, member: str, why: str) -> InputError:
    return InputError(f"{archive.name} is not unpacked: its member {member[:80]!r} {why}.")


def _need_room(archive: Path, folder: Path, count: int) -> None:
    free = shutil.disk_usage(folder).free
    if count > free:
        raise InputError(
            f"{archive.name} unpacks to {count / 1e9:,.1f} GB, {folder} has {free / 1e9:,.1f} GB free. Make room, or "
            "give another folder."
        )
