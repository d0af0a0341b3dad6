"""Files and folders: written whole or not at all, looked up without surprises, cached where the system wants it."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from labelbeam.errors import InputError

# Files appear whole or not at all: written under another name in the same folder, then renamed.
#
# What is replaced stays what it was but for its content: a link stays a link, and the file keeps its mode
# and owner.

_LONGEST_NAME = 200
"""Bytes of a name to which a few more can be added: file systems take 255."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a path to write to; when the block ends it becomes `path`, and when it fails nothing is left.

    Args:
        path: the file to appear; its folder exists. A file that is there already is replaced at once, with its mode
            and owner; where it is a link, the file that it leads to is.

    Yields:
        A new name in the same folder, hidden, that no other process uses.

    Raises:
        InputError: the file that is there is read-only.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with written_whole(Path(folder) / "a.txt") as part:
        ...         _ = part.write_text("all of it")
        ...     [file.name for file in Path(folder).iterdir()]
        ['a.txt']
    """
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    try:
        before = target.stat()
    except OSError:
        before = None
    if before is not None and not before.st_mode & 0o222:  # asked of the mode: root may write anything
        raise InputError(
            f"{path} is read-only; it is not replaced. Make it writable (chmod u+w), or give another name."
        )
    name = target.name if len(os.fsencode(target.name)) <= _LONGEST_NAME else "long-name"
    part = target.with_name(f".{name}.{secrets.token_hex(4)}.part")
    try:
        yield part
        if before is not None and part.stat().st_nlink == 1:  # else it is another's file too
            part.chmod(before.st_mode & 0o7777)
            if hasattr(os, "chown") and (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                with suppress(PermissionError):  # nobody but root gives files away
                    os.chown(part, before.st_uid, before.st_gid)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


# Folders appear whole or not at all: filled under another name beside the place, then renamed.


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder to fill; when the block ends it becomes `path`, and when it fails nothing is left.

    Args:
        path: the folder to appear; an empty folder may be there, its parents are made.

    Yields:
        An empty folder beside `path`, hidden, that no other process uses.

    Raises:
        InputError: something is at `path` already, or its parent cannot be made.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as parent:
        ...     with new_folder(Path(parent) / "tags") as part:
        ...         _ = (part / "a.txt").write_text("sheep")
        ...     [file.name for file in (Path(parent) / "tags").iterdir()]
        ['a.txt']
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(
            f"{path} is there already; nothing is overwritten. Give another place, or remove it."
        )
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.mkdir(parents=True)
    except OSError as error:
        raise InputError(
            f"the folder {path} cannot be made ({error.strerror}). Give another place."
        ) from error
    try:
        yield part
        part.replace(path)  # an empty folder is replaced too
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


# Whether something is at a path that somebody typed or a file names: where no file can be, there is none.
#
# `Path.exists` and its like raise an error for a name that is longer than the disk allows, and others for a
# folder that may not be looked into. Under everything in `data` that looks paths up. Opens nothing.


def exists(path: Path) -> bool:
    """Return whether a file or folder is there.

    Example:
        >>> exists(Path(300 * "x")), exists(Path())
        (False, True)
    """
    try:
        return path.exists()
    except (OSError, ValueError):  # the second: a NUL in the name
        return False


def is_file(path: Path) -> bool:
    """Return whether a file is there."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Return whether a folder is there."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


# Where labelbeam keeps what it can always make again: features, downloaded weights, drawn pictures.


def cache_folder() -> Path:
    """Return $LABELBEAM_CACHE, else `labelbeam` in $XDG_CACHE_HOME or ~/.cache; it need not exist."""
    if named := os.environ.get("LABELBEAM_CACHE"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "labelbeam"
