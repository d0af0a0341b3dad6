"""Which images a user means: files, folders, patterns and lists, as one stream of paths.

The first step of `tag`. Lazy: what is held at a time is one folder's listing, so memory does not grow with
the number of files. Knows nothing of what is inside a file, except of one without a suffix.
"""

import codecs
import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from fnmatch import translate
from io import BufferedIOBase
from pathlib import Path
from urllib.parse import unquote, urlsplit

from labelbeam.data import raw_preview
from labelbeam.data.image_bytes import ARCHIVE_SUFFIX, image_exists, open_regular, tar_members, within_archive
from labelbeam.data.image_container import decodable, kind_of
from labelbeam.errors import InputError
from labelbeam.files import exists, is_file, is_folder

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".jp2", ".png", ".gif", ".webp", ".avif"}
    | {".heic", ".heif", ".hif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".tga"}
)
"""What counts as an image inside a folder; a file that is named by itself is taken whatever it is called."""

PICTURES = frozenset(
    {
        *(".jxl", ".jxr", ".psd", ".psb", ".svg", ".eps", ".exr", ".hdr", ".ico", ".pcx", ".qoi"),
        *(".xcf", ".jpf", ".j2k"),
    }
)
"""Pictures that cannot be read; those in a folder are counted and left out, as are raw photographs without a reader."""

LONGEST_LINE = 1 << 20
"""Bytes of a line in a list; no name is as long."""


SKIPPED = frozenset(
    {"@eadir", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot", "lost+found", "__macosx"}
    | {"$recycle.bin", "recycler", "system volume information"}
)
"""Folders of network disks and systems, in small letters: thumbnails and what was thrown away."""


class LeftOut:
    """What a listing passed over: folders that cannot be listed, and pictures of kinds that cannot be read.

    Args:
        exclude: patterns of names of files and folders that are to be passed over, such as `Rejects` or `*_small.jpg`.
        twins: whether a raw photograph is listed although a JPEG of its name lies beside it.
    """

    def __init__(self, exclude: Iterable[str] = (), *, twins: bool = True) -> None:
        self.twins = twins
        self.raw_readable = raw_preview.readable()
        self.exclude = tuple(re.compile(translate(pattern)).match for pattern in exclude)
        self.names: Counter[str] = Counter()
        self.folders: list[str] = []
        self.suffixes: Counter[str] = Counter()
        self.twin_count = 0
        self.strange: dict[str, list[str]] = defaultdict(list)

    def sentences(self) -> list[str]:
        """Return what a person should know; nothing where nothing was left out."""
        found = [f"{folder} It was left out." for folder in self.folders[:5]]
        if self.names:
            kinds = ", ".join(f"{count} {name}" for name, count in self.names.most_common(8))
            found.append(f"left out by name: {kinds}.")
        if (more := len(self.folders) - 5) > 0:
            found.append(f"{more} more folders could not be listed and were left out.")
        if self.twin_count:
            found.append(
                f"{self.twin_count:,} raw photographs have a JPEG of their name beside them, which stands for them."
            )
        for kind, names in self.strange.items():
            found.append(
                f"{len(names)} {kind} are called like images and were left out: {', '.join(names[:5])}."
            )
        if self.suffixes:
            kinds = ", ".join(f"{count} {suffix}" for suffix, count in self.suffixes.most_common(8))
            remedy = "Convert them to JPEG to have them too."
            if not self.raw_readable and not raw_preview.SUFFIXES.isdisjoint(self.suffixes):
                remedy = f"For raw photographs: {raw_preview.TO_READ}. Others: convert them to JPEG."
            found.append(
                f"{self.suffixes.total()} pictures of kinds that cannot be read were left out ({kinds}). {remedy}"
            )
        return found


def images_in(*paths: Path) -> tuple[list[Path], list[str]]:
    """Return the image files of folders, and sentences about what was left out: one entry's fault is its own.

    A raw photograph and the camera's JPEG are one example: the JPEG.

    Raises:
        InputError: a path that does not exist, or a pattern that matches nothing.
    """
    left_out = LeftOut(twins=False)
    found = []
    for path in list_images(paths, left_out=left_out):
        if os.path.isfile(path) or within_archive(path):  # noqa: PTH113  never raises
            found.append(path)
        else:
            left_out.strange["links to nothing" if path.is_symlink() else "pipes or devices"].append(
                path.name
            )
    return found, left_out.sentences()


def list_images(
    paths: Iterable[str | Path],
    *,
    stdin: BufferedIOBase | Iterable[str] | None = None,
    left_out: LeftOut | None = None,
) -> Iterator[Path]:
    """Return the image files that the arguments name, in their order; repeated ones are repeated.

    Folders are walked in sorted order, subfolders included, hidden entries skipped; inside them files count
    by their suffix, and those without one by their first bytes. An archive (`.tar`) that is named by itself
    stands for the images in it (`data.image_bytes`). Lists hold one path a line, or between NULs as
    `find -print0` writes them, in UTF-8 or UTF-16, relative to the current folder; what a list names is not looked up
    here, so that one lost file does not end a long run.

    Args:
        paths: files, folders, archives, patterns (`photos/**/*.jpg`), `@list.txt`, or `-` for a list on standard
            input.
        stdin: bytes or lines that `-` reads; None: standard input.
        left_out: gets what is passed over; None: a folder that cannot be listed is an error, and folders' raw
            photographs are passed over.

    Returns:
        The paths, found as they are asked for.

    Raises:
        InputError: at once: an argument that does not exist, or a pattern that matches nothing. Later, without
            `left_out`: a folder that cannot be listed.

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
    return _all_images(
        arguments, getattr(sys.stdin, "buffer", sys.stdin) if stdin is None else stdin, left_out
    )


def _problem(argument: str) -> str:
    """Return what is wrong with an argument; empty where nothing is."""
    if argument == "-" or exists(Path(argument)) or image_exists(Path(argument)):
        return ""
    if argument.startswith("@"):
        found = is_file(Path(argument[1:]))
        return "" if found else f"the list {argument[1:]!r} does not exist (looked from {Path.cwd()})."
    if _is_pattern(argument):
        found = next(_matches(argument, LeftOut()), None) is not None
        return "" if found else f"no file matches {argument!r} (looked from {Path.cwd()})."
    return f"{argument!r} does not exist (looked from {Path.cwd()}). Check the path."


def _all_images(
    arguments: list[str], stdin: BufferedIOBase | Iterable[str], left_out: LeftOut | None
) -> Iterator[Path]:
    for argument in arguments:
        path = Path(argument)
        if argument == "-":
            yield from _from_list(stdin, left_out)
        elif is_folder(path):
            yield from _walk(path, left_out)
        elif exists(path):
            yield from _of_archive(path) if path.suffix.lower() == ARCHIVE_SUFFIX else (path,)
        elif image_exists(path):  # a member of an archive
            yield path
        elif argument.startswith("@"):
            with open_regular(Path(argument[1:])) as lines:
                yield from _from_list(lines, left_out)
        else:
            for match in _matches(argument, left_out):
                if is_folder(match):
                    yield from _walk(match, left_out)
                else:
                    yield from _of_archive(match) if match.suffix.lower() == ARCHIVE_SUFFIX else (match,)


def _of_archive(archive: Path) -> Iterator[Path]:
    """Yield the images inside a tar archive, in its order, hidden ones left out."""
    for member in tar_members(archive):
        hidden = any(part.startswith(".") for part in member.name.split("/"))
        if not hidden and Path(member.name).suffix.lower() in SUFFIXES:
            yield archive / member.name


def _from_list(lines: BufferedIOBase | Iterable[str], left_out: LeftOut | None) -> Iterator[Path]:
    for name in (
        _names(lines) if isinstance(lines, BufferedIOBase) else (line.rstrip("\r\n") for line in lines)
    ):
        if name := name.removeprefix("\ufeff"):
            path = _listed(name)
            yield from _walk(path, left_out) if is_folder(path) else (path,)


def _listed(name: str) -> Path:
    """Return the path of a line: as it is, or without quotation marks or `file://` where only that is there."""
    inner = name[1:-1] if len(name) > 2 and name[0] == name[-1] in "\"'" else name
    inner = unquote(urlsplit(inner).path) if inner.startswith("file://") else inner
    return Path(inner) if inner != name and not exists(Path(name)) else Path(name)


def _names(stream: BufferedIOBase) -> Iterator[str]:
    """Yield the names of a list as they come; its first bytes say how they are written and separated."""
    head = stream.read1(1 << 16)
    encoding, separator = _written(head)
    # Names that are not UTF-8 exist on Linux; surrogateescape carries them through.
    errors = "surrogateescape" if encoding == "utf-8" else "replace"
    decoder, rest = codecs.getincrementaldecoder(encoding)(errors), ""
    while head:
        *names, rest = (rest + decoder.decode(head)).split(separator)
        yield from (name.removesuffix("\r") if separator == "\n" else name for name in names)
        if len(rest) > LONGEST_LINE:
            raise InputError(
                f"a list of images has a line of {len(rest):,} characters. Is it a list of names?"
            )
        head = stream.read1(1 << 16)
    yield (rest + decoder.decode(b"", final=True)).removesuffix("\r")


def _written(head: bytes) -> tuple[str, str]:
    r"""Return a list's encoding, and what separates its names.

    Example:
        >>> _written(b"a.jpg"), _written("a.jpg".encode("utf-16-le")), _written(b"a.jpg" + bytes(1) + b"b.jpg")
        (('utf-8', '\n'), ('utf-16-le', '\n'), ('utf-8', '\x00'))
    """
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", "\n"
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if 3 * head[first::2].count(0) > len(head[first::2]) and not head[1 - first :: 2].count(0):
            return encoding, "\n"
    return "utf-8", "\0" if b"\0" in head else "\n"


def _walk(folder: Path, left_out: LeftOut | None) -> Iterator[Path]:
    """Yield the images below a folder. Without recursion: folders may lie deeper than Python's stack."""
    above = {_identity(folder)}  # the folders on the way, against circular links
    levels = [(folder, iter(_entries(folder, left_out)), _identity(folder))]
    while levels:
        here, entries, identity = levels[-1]
        for name, is_dir in entries:
            path = here / name
            if is_dir and (inner := _identity(path)) not in above:
                above.add(inner)
                levels.append((path, iter(_entries(path, left_out)), inner))
                break
            if not is_dir and _looks_like_image(path, left_out):
                yield path
        else:
            above.discard(identity)
            levels.pop()


def _identity(folder: Path) -> tuple[int, int] | Path:
    try:
        status = folder.stat()
    except OSError:  # it went meanwhile, or its name is too long
        return folder
    return status.st_dev, status.st_ino


def _entries(folder: Path, left_out: LeftOut | None) -> list[tuple[str, bool]]:
    """Return the names in a folder, sorted, hidden ones left out, and whether each is a folder."""
    try:
        with os.scandir(folder) as entries:
            seen = sorted((entry.name, _is_dir(entry)) for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        why = "no permission to list" if isinstance(error, PermissionError) else f"{error.strerror}:"
        sentence = f"{why} the folder {folder}."
        if left_out is None:
            raise InputError(f"{sentence} Change its permissions, or leave it out.") from None
        left_out.folders.append(sentence)
        return []
    return [(name, is_dir) for name, is_dir in seen if not _passed_over(name, left_out, is_dir=is_dir)]


def _passed_over(name: str, left_out: LeftOut | None, *, is_dir: bool) -> bool:
    excluded = left_out is not None and any(match(name) for match in left_out.exclude)
    if not excluded and not (is_dir and name.lower() in SKIPPED):
        return False
    if left_out is not None:
        left_out.names[name + "/" * is_dir] += 1
    return True


def _is_dir(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; as a file it gets its line with an error
        return False


def _looks_like_image(path: Path, left_out: LeftOut | None) -> bool:
    suffix = path.suffix.lower()
    if left_out is not None and suffix in raw_preview.SUFFIXES and left_out.raw_readable:
        if not left_out.twins and _has_twin(path):
            left_out.twin_count += 1
            return False
        return True
    if left_out is not None and (suffix in PICTURES or suffix in raw_preview.SUFFIXES):
        left_out.suffixes[suffix] += 1
    if suffix or not is_file(path):
        return suffix in SUFFIXES
    try:
        with path.open("rb") as file:
            return decodable(kind_of(file.read(64)))
    except OSError:
        return False


def _has_twin(raw: Path) -> bool:
    """Return whether the camera's JPEG, or a developed picture, lies beside a raw photograph."""
    forms = (
        form for suffix in (".jpg", ".jpeg", ".heic", ".hif", ".tif") for form in (suffix, suffix.upper())
    )
    return any(is_file(raw.with_suffix(form)) for form in forms)


def _is_pattern(argument: str) -> bool:
    return re.search(r"[*?\[]", argument) is not None


def _matches(pattern: str, left_out: LeftOut | None) -> Iterator[Path]:
    """Yield what a pattern matches, sorted (as glob is not), one folder's listing at a time."""
    parts = Path(pattern).parts
    plain = next(i for i, part in enumerate(parts) if _is_pattern(part))
    yield from _match_parts(Path(*parts[:plain]), parts[plain:], left_out)


def _match_parts(folder: Path, parts: tuple[str, ...], left_out: LeftOut | None) -> Iterator[Path]:
    if not is_folder(folder):
        return
    part, rest = parts[0], parts[1:]
    if part == "**":
        if rest:
            yield from _match_parts(folder, rest, left_out)
        for name, is_dir in _entries(folder, left_out):
            if is_dir and not (folder / name).is_symlink():
                yield from _match_parts(folder / name, parts, left_out)
            elif not rest and not is_dir:
                yield folder / name
        return
    matches = re.compile(translate(part)).match if _is_pattern(part) else None
    for name, _ in _entries(folder, left_out) if matches else [(part, False)]:
        path = folder / name
        if (matches is None or matches(name)) and (exists(path) if not rest else is_folder(path)):
            yield from _match_parts(path, rest, left_out) if rest else (path,)
