"""Puts a data set that its makers publish into a folder: fetched, checked, unpacked; all of it or nothing.

`published.toml` says where files are, how large, with which checksums, under which terms. Each checksum has its source:
none of these publishers prints one. Where nobody else does either, the sha256 of the first download is recorded beside
the data. What is on its way lies in a hidden folder, where an interrupted download goes on; data appear by a rename.
"""

import errno
import hashlib
import json
import lzma
import shutil
import stat
import tarfile
import tomllib
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from labelbeam.data.fetching import NotFetchedError, Patience, fetch
from labelbeam.errors import InputError
from labelbeam.files import written_whole
from labelbeam.parsing import read_json

LABELS, IMAGES, BOTH = "labels", "images", "labels and images"


@dataclass(frozen=True)
class RemoteFile:
    """One file of a data set.

    Attributes:
        url: its official address.
        holds: LABELS, IMAGES or BOTH.
        size: bytes; None: nobody published them.
        sha256: hexadecimal; None: nobody published it.
        md5: hexadecimal; None: nobody published it.
        source: where size and checksums come from; empty: there are none.
        optional: whether the data set is of use without it.

    Raises:
        InputError: a checksum of another length, or one without its source.
    """

    url: str
    holds: str
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    source: str = ""
    optional: bool = False

    def __post_init__(self) -> None:
        wrong = (self.sha256 and len(self.sha256) != 64) or (self.md5 and len(self.md5) != 32)
        if wrong or bool(self.sha256 or self.md5 or self.size) != bool(self.source):
            raise InputError(f"{self.url}: a checksum has 64 (sha256) or 32 (md5) digits, and a source.")

    @property
    def name(self) -> str:
        """Its name in a folder."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class PublishedDataset:
    """A data set and its files.

    Attributes:
        name: what users call it, and the folder it gets.
        terms: what its makers allow, and where they say so.
        files: what is fetched.
        specs: data set arguments for it; `{}` stands for its folder.
        notes: what a user should know besides.
    """

    name: str
    title: str
    terms: tuple[str, ...]
    files: tuple[RemoteFile, ...]
    specs: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def size(self, *, labels_only: bool = False) -> int:
        """Return the bytes of its files, as far as they are known."""
        return sum(file.size or 0 for file in self.wanted(labels_only=labels_only))

    def wanted(self, *, labels_only: bool = False) -> tuple[RemoteFile, ...]:
        """Return its files, or those that hold labels."""
        return tuple(file for file in self.files if file.holds != IMAGES or not labels_only)

    def specs_in(self, folder: Path) -> tuple[str, ...]:
        """Return the data set arguments for its files in a folder."""
        return tuple(spec.replace("{}", str(folder)) for spec in self.specs)


def _read_table(table: Path) -> dict[str, PublishedDataset]:
    found = {}
    for name, entry in tomllib.loads(table.read_text(encoding="utf-8")).items():
        lists = {part: tuple(entry.get(part, ())) for part in ("terms", "specs", "notes")}
        files = tuple(RemoteFile(**file) for file in entry["files"])
        found[name] = PublishedDataset(name, entry["title"], files=files, **lists)
    return found


PUBLISHED = _read_table(Path(__file__).with_name("published.toml"))
"""By name."""


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
    if not name:  # what stands before a NUL
        raise _refused(archive, name, "has no name")
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
