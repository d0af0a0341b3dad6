"""Puts a published data set into a folder: fetched, checked, unpacked; all of it or nothing.

What is on its way lies in a hidden folder beside, where an interrupted download goes on; the data appear by a rename.
Joins `data.published` (what) and `data.fetching` (bytes), and unpacks. Knows nothing of formats.
"""

import errno
import hashlib
import json
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from labelbeam.data.fetching import NotFetchedError, Patience, fetch
from labelbeam.data.published import PublishedDataset, RemoteFile
from labelbeam.errors import InputError
from labelbeam.files import written_whole
from labelbeam.parsing import read_json

RECORD = "labelbeam-download.json"
"""In the data's folder: what was fetched from where, with which checksums, and who had stated them."""

PATIENCE = Patience(tries=8, timeout=60.0)


@dataclass(frozen=True)
class Installed:
    """A data set on this disk.

    Attributes:
        folder: where it is.
        fetched: names of the files that this call fetched and unpacked; empty: all was there.
        notes: sentences for the user.
    """

    folder: Path
    fetched: tuple[str, ...]
    notes: tuple[str, ...]


def install(
    published: PublishedDataset,
    parent: Path,
    *,
    labels_only: bool = False,
    patience: Patience = PATIENCE,
    report: Callable[[str, int | None, int], None] = lambda name, size, count: None,
) -> Installed:
    """Fetch a data set into `parent`/NAME, or what of it is not there yet.

    Args:
        published: what to fetch.
        parent: folder that gets the data set's folder; made if missing.
        labels_only: leave out files that hold images alone.
        patience: how long to try.
        report: called with a file's name, its size where known, and how many bytes of it are there.

    Raises:
        InputError: a file that cannot be fetched or has other content than published, an archive that is damaged or
            would write elsewhere, no room, another download into the same place, or a folder of that name that this
            did not make.
    """
    folder, stage = parent / published.name, parent / f".{published.name}.download"
    record = _read_record(folder)
    wanted = [file for file in published.wanted(labels_only=labels_only) if file.url not in record]
    if all(file.optional for file in wanted) and record:
        return Installed(folder, (), (f"{folder} is there already; nothing was fetched.",))
    if not record and folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(
            f"{folder} is there, and labelbeam did not put it there ({RECORD} is missing). Give another folder, or "
            "move it away."
        )
    notes = []
    try:
        stage.mkdir(parents=True, exist_ok=True)
        with _alone(stage):
            _need_room(wanted, stage)
            archives: dict[RemoteFile, dict[str, Any]] = {}
            for file in wanted:
                try:
                    archives[file] = _archive(file, stage, patience, report)
                except NotFetchedError as error:
                    if not file.optional:
                        raise NotFetchedError(f"{error} What is here is kept: run again to go on.") from error
                    notes.append(f"{file.name} is missing: {error}")
            _install(stage, folder, archives, published, record)
        shutil.rmtree(stage)
    except OSError as error:
        raise InputError(f"{parent} cannot be written ({error.strerror}). Give another folder.") from error
    unchecked = [file.name for file in archives if not (file.sha256 or file.md5)]
    if unchecked:
        notes.append(
            f"nobody published checksums of {', '.join(unchecked)}; the sha256 of what came are in {folder / RECORD}."
        )
    return Installed(folder, tuple(file.name for file in archives), tuple(notes))


def _archive(
    file: RemoteFile, stage: Path, patience: Patience, report: Callable[[str, int | None, int], None]
) -> dict[str, Any]:
    """Fetch and check a file; return its entry in the record."""
    part, whole, entry_file = stage / f"{file.name}.part", stage / file.name, stage / f"{file.name}.json"
    if whole.is_file() and entry_file.is_file():
        entry = read_json(entry_file)
        if isinstance(entry, dict):
            return entry
    checked = bool(file.sha256 or file.md5)
    fetch(
        file.url,
        part,
        size=file.size,
        checked=checked,
        patience=patience,
        arrived=lambda count: report(file.name, file.size, count),
    )
    found = _checksums(part)
    for kind, published in (("sha256", file.sha256), ("md5", file.md5)):
        if published and found[kind] != published:
            part.unlink()
            raise InputError(
                f"{file.url} gave other content than published: its {kind} is {found[kind]}, not {published} "
                f"({file.source}). It was thrown away. Try again; if that brings the same, the file has changed, or "
                "something on the way changes it."
            )
    entry = {
        "url": file.url,
        "bytes": part.stat().st_size,
        "sha256": found["sha256"],
        "checked": f"as published ({file.source})"
        if checked
        else "not published; recorded at the first download",
    }
    with written_whole(entry_file) as text:
        text.write_text(json.dumps(entry), encoding="utf-8")
    part.replace(whole)
    return entry


def _checksums(file: Path) -> dict[str, str]:
    sums = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            for one in sums.values():
                one.update(block)
    return {kind: one.hexdigest() for kind, one in sums.items()}


def _install(
    stage: Path,
    folder: Path,
    archives: dict[RemoteFile, dict[str, Any]],
    published: PublishedDataset,
    record: dict[str, dict[str, Any]],
) -> None:
    """Unpack the archives and let the data appear; the record comes last, so what lacks it was never there."""
    unpacked = stage / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir()
    for file in archives:
        try:
            unpack(stage / file.name, unpacked)
        except InputError:
            if not (
                file.sha256 or file.md5
            ):  # as published it will be the same again; otherwise fetch it anew
                (stage / file.name).unlink()
            raise
    entries = [*record.values(), *archives.values()]
    manifest = {"name": published.name, "terms": published.terms, "files": entries}
    text = json.dumps(manifest, indent=1) + "\n"
    if not record:
        (unpacked / RECORD).write_text(text, encoding="utf-8")
        unpacked.replace(folder)  # an empty folder is replaced too
        return
    for entry in sorted(unpacked.iterdir()):
        if (folder / entry.name).exists():
            raise InputError(
                f"{folder / entry.name} is in the way of what was fetched. Move it away; run again."
            )
    for entry in sorted(unpacked.iterdir()):
        entry.replace(folder / entry.name)
    with written_whole(folder / RECORD) as part:
        part.write_text(text, encoding="utf-8")


def _read_record(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what was fetched into a folder before, by address; nothing where there is no record."""
    file = folder / RECORD
    if not file.is_file():
        return {}
    try:
        return {entry["url"]: entry for entry in read_json(file)["files"]}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{file} is damaged ({error}). Move {folder} away and fetch the data again."
        ) from None


def _need_room(files: list[RemoteFile], stage: Path) -> None:
    """Refuse before the first byte where archives and what comes out of them will not fit."""
    there = sum(path.stat().st_size for path in stage.iterdir() if path.is_file())
    sizes = sum(file.size or 0 for file in files)
    needed, free = 2 * sizes - there, shutil.disk_usage(stage).free
    if needed > free:
        raise InputError(
            f"{stage.parent} has {free / 1e9:,.1f} GB free; {needed / 1e9:,.1f} GB are needed for the archives and "
            "what is in them. Make room, or give another folder."
        )


@contextmanager
def _alone(stage: Path) -> Iterator[None]:
    """Hold the folder of what is on its way, so that two processes do not write the same file."""
    try:
        import fcntl
    except ImportError:  # Windows, which refuses to replace open files anyway
        yield
        return
    with (stage / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"another process is downloading into {stage.parent}. Wait for it.") from None
        yield


# Unpacks an archive that came from elsewhere: inside its folder or not at all.
#
# Tar and zip; what would leave the folder, a link out of it or a device is refused. Knows nothing of what
# is inside.

_ODD_NAMES = (
    errno.EINVAL,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENOENT,
    errno.EILSEQ,
)
"""Errors of a file system that a member's name or place brings about."""

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
    except InputError:
        raise
    except (*_DAMAGED, ValueError, RuntimeError, OverflowError) as error:
        raise InputError(f"{archive.name} is damaged ({error}). Fetch it again.") from error
    except OSError as error:
        if error.errno not in _ODD_NAMES:
            raise
        raise InputError(
            f"{archive.name} is damaged, or no file can be called as in it ({error})."
        ) from error
    if {".zip", ".tar", ".gz", ".tgz"} & {suffix.casefold() for suffix in archive.suffixes}:
        raise InputError(
            f"{archive.name} is no archive, whatever its name says. Is it a page of a web server?"
        )
    _unpacking_need_room(archive, folder, archive.stat().st_size)
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
        _unpacking_need_room(archive, folder, sum(member.file_size for member in members))
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
        _unpacking_need_room(archive, folder, sum(member.size for member in members))
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


def _unpacking_need_room(archive: Path, folder: Path, count: int) -> None:
    free = shutil.disk_usage(folder).free
    if count > free:
        raise InputError(
            f"{archive.name} unpacks to {count / 1e9:,.1f} GB, {folder} has {free / 1e9:,.1f} GB free. Make room, or "
            "give another folder."
        )
