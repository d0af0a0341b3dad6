"""Which images a user means: files, folders, patterns and lists, as one stream of paths.

The first step of `tag`. Lazy: what is held at a time is one folder's listing, so memory does not grow with
the number of files. Knows nothing of what is inside a file, except of one without a suffix.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from fnmatch import translate
from pathlib import Path

from labelbeam.data.image_bytes import ARCHIVE_SUFFIX, image_exists, tar_members
from labelbeam.errors import InputError
from labelbeam.files import exists, is_file, is_folder

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".png", ".gif", ".webp", ".avif"}
    | {".heic", ".heif", ".hif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".tga"}
)
"""What counts as an image inside a folder; a file that is named by itself is taken whatever it is called."""

_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*", b"RIFF")


def list_images(paths: Iterable[str | Path], *, stdin: Iterable[str] | None = None) -> Iterator[Path]:
    """Return the image files that the arguments name, in their order; repeated ones are repeated.

    Folders are walked in sorted order, subfolders included, hidden entries skipped; inside them files count
    by their suffix, and those without one by their first bytes. An archive (`.tar`) that is named by itself
    stands for the images in it (`data.image_bytes`). Lists hold one path a line, relative to the
    current folder; what a list names is not looked up here, so that one lost file does not end a long run.

    Args:
        paths: files, folders, archives, patterns (`photos/**/*.jpg`), `@list.txt`, or `-` for a list on standard
            input.
        stdin: lines that `-` reads; None: standard input.

    Returns:
        The paths, found as they are asked for.

    Raises:
        InputError: at once: an argument that does not exist, or a pattern that matches nothing.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("b.jpg", "a.png", "notes.txt"):
        ...         _ = Path(folder, name).write_bytes(b"")
        ...     [path.name for path in list_images([folder])]
        ['a.png', 'b.jpg']
    """
    arguments = [str(path) for path in paths]
    wrong = [problem for argument in arguments if (problem := _problem(argument))]
    if wrong:
        raise InputError(" ".join(wrong))
    return _all_images(arguments, stdin or sys.stdin)


def _problem(argument: str) -> str:
    """Return what is wrong with an argument; empty where nothing is."""
    if argument == "-" or exists(Path(argument)) or image_exists(Path(argument)):
        return ""
    if argument.startswith("@"):
        found = is_file(Path(argument[1:]))
        return "" if found else f"the list {argument[1:]!r} does not exist (looked from {Path.cwd()})."
    if _is_pattern(argument):
        found = next(_matches(argument), None) is not None
        return "" if found else f"no file matches {argument!r} (looked from {Path.cwd()})."
    return f"{argument!r} does not exist (looked from {Path.cwd()}). Check the path."


def _all_images(arguments: list[str], stdin: Iterable[str]) -> Iterator[Path]:
    for argument in arguments:
        path = Path(argument)
        if argument == "-":
            yield from _from_list(stdin)
        elif is_folder(path):
            yield from _walk(path, frozenset())
        elif exists(path):
            yield from _of_archive(path) if path.suffix.lower() == ARCHIVE_SUFFIX else (path,)
        elif image_exists(path):  # a member of an archive
            yield path
        elif argument.startswith("@"):
            # Names that are not UTF-8 exist on Linux; surrogateescape carries them through.
            with Path(argument[1:]).open(encoding="utf-8-sig", errors="surrogateescape") as lines:
                yield from _from_list(lines)
        else:
            for match in _matches(argument):
                if is_folder(match):
                    yield from _walk(match, frozenset())
                else:
                    yield from _of_archive(match) if match.suffix.lower() == ARCHIVE_SUFFIX else (match,)


def _of_archive(archive: Path) -> Iterator[Path]:
    """Yield the images inside a tar archive, in its order, hidden ones left out."""
    for member in tar_members(archive):
        hidden = any(part.startswith(".") for part in member.name.split("/"))
        if not hidden and Path(member.name).suffix.lower() in SUFFIXES:
            yield archive / member.name


def _from_list(lines: Iterable[str]) -> Iterator[Path]:
    for line in lines:
        if name := line.rstrip("\r\n"):
            path = Path(name)
            yield from _walk(path, frozenset()) if is_folder(path) else (path,)


def _walk(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    """Yield the images below a folder; `above`: the folders on the way, against circular links."""
    here = folder.resolve()
    if here in above:
        return
    for name, is_dir in _entries(folder):
        if is_dir:
            yield from _walk(folder / name, above | {here})
        elif _looks_like_image(folder / name):
            yield folder / name


def _entries(folder: Path) -> list[tuple[str, bool]]:
    """Return the names in a folder, sorted, hidden ones left out, and whether each is a folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
    except PermissionError:
        raise InputError(f"no permission to list the folder {folder}. Change its permissions.") from None


def _looks_like_image(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix or not path.is_file():
        return suffix in SUFFIXES
    try:
        with path.open("rb") as file:
            return file.read(8).startswith(_STARTS)
    except OSError:
        return False


def _is_pattern(argument: str) -> bool:
    return re.search(r"[*?\[]", argument) is not None


def _matches(pattern: str) -> Iterator[Path]:
    """Yield what a pattern matches, sorted (as glob is not), one folder's listing at a time."""
    parts = Path(pattern).parts
    plain = next(i for i, part in enumerate(parts) if _is_pattern(part))
    yield from _match_parts(Path(*parts[:plain]), parts[plain:])


def _match_parts(folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    if not is_folder(folder):
        return
    part, rest = parts[0], parts[1:]
    if part == "**":
        if rest:
            yield from _match_parts(folder, rest)
        for name, is_dir in _entries(folder):
            if is_dir and not (folder / name).is_symlink():
                yield from _match_parts(folder / name, parts)
            elif not rest and not is_dir:
                yield folder / name
        return
    matches = re.compile(translate(part)).match if _is_pattern(part) else None
    for name, _ in _entries(folder) if matches else [(part, False)]:
        path = folder / name
        if (matches is None or matches(name)) and (exists(path) if not rest else is_folder(path)):
            yield from _match_parts(path, rest) if rest else (path,)
