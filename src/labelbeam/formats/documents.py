"""Files of unknown origin: lines of text, XML without anything that could expand, and folders of a file an image.

Of XML no document type, so no entity; nesting is limited, and elements know their line. Knows no layout.
"""

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from labelbeam.data.finder import find_images
from labelbeam.data.listing import SUFFIXES, images_in
from labelbeam.errors import InputError
from labelbeam.parsing import read_regular

FEW = 0.1
"""The share of many files that may be damaged; beyond it, it is not their fault."""


Read = TypeVar("Read")


def read_each(
    files: Iterable[Path], read: Callable[[Path], Read]
) -> tuple[dict[Path, Read], dict[Path, InputError]]:
    """Read files one by one; one that is damaged is not the fault of the others.

    Returns:
        What was read, and what could not be: one file, or few beside many.

    Raises:
        InputError: that of the first file where more than one, and more than a tenth, cannot be read, or all.
    """
    found: dict[Path, Read] = {}
    damaged: dict[Path, InputError] = {}
    for file in files:
        try:
            found[file] = read(file)
        except InputError as error:
            damaged[file] = error
    if damaged and (not found or len(damaged) > max(1, FEW * (len(found) + len(damaged)))):
        raise next(iter(damaged.values()))
    return found, damaged


def damaged_note(damaged: Mapping[Path, InputError], what: str, consequence: str) -> list[str]:
    """Return a note about files that cannot be read; none where there are none."""
    if not damaged:
        return []
    file, error = next(iter(damaged.items()))
    return [f"{len(damaged):,} {what} cannot be read, so {consequence}, such as {file.name}: {error}"]


def split_folder_of(file: Path, root: Path) -> str:
    """Return the split that a file of labels is in: the first folder on the way to it that is not one of such files.

    Example:
        >>> split_folder_of(Path("pets/Annotations/train/a.xml"), Path("pets"))
        'train'
    """
    inner = {"annotations", "annotation", "labels", "xml", "xmls", "json"}
    named = (part for part in file.relative_to(root).parts[:-1] if part.lower() not in inner)
    return next(named, "")


def left_out_note(root: Path, folders: Iterable[Path], keys: Collection[str], why: str) -> list[str]:
    """Return a note about images in folders that no file of labels is about; none where there is one of each.

    Args:
        root: folder that keys are relative to.
        folders: where images are looked for; they need not be there.
        keys: of the images that have labels.
        why: what the others lack, behind "images".
    """
    images, _ = images_in(*sorted(folder for folder in set(folders) if folder.is_dir()))
    there = {image.relative_to(root).as_posix() for image in images if image.is_relative_to(root)}
    lost = sorted(there.difference(keys))
    return [f"{len(lost):,} images {why} and were left out: {', '.join(lost[:5])}."] if lost else []


def text_lines(file: Path) -> list[str]:
    """Return the lines of a text file, without their ends: UTF-8, or UTF-16 with its byte order mark.

    Raises:
        InputError: another encoding, or a file that cannot be read.
    """
    raw = read_regular(file)
    try:
        utf16 = raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
        text = raw.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeError as error:
        raise InputError(f"{file} is not UTF-8 ({error}). Save it as UTF-8.") from None
    return [line.removesuffix("\r") for line in text.split("\n")]


WESTERN = "the file is not UTF-8, though it says nothing else, and was read as Windows-1252, by its accented letters."
"""What to say of a file for which `parse_xml` called `western`."""


def western_text(raw: bytes) -> str | None:
    """Return bytes that are no UTF-8 as text, where they are evidently Windows-1252; else None.

    Evident are accented letters that stand one at a time beside plain ones: in encodings of other scripts they come
    in rows.

    Example:
        >>> western_text("café".encode("cp1252")), western_text("猫犬".encode("gbk"))
        ('café', None)
    """
    try:
        text = raw.decode("cp1252")
    except UnicodeDecodeError:
        return None
    runs = re.findall(r"(.?)([^\x00-\x7f]+)(?=(.?))", text, re.DOTALL)
    evident = all(
        re.fullmatch("[À-ÖØ-öø-ÿ]", run) and re.search(r"[A-Za-z]", before + after)
        for before, run, after in runs
    )
    return text if evident else None


DEEPEST = 100
"""Levels of nesting; label files have ten."""


class LinedElement(Element):
    """An element that knows the line it starts in."""

    line: int = 0


def parse_xml(
    raw: bytes, where: str, *, lines: bool = True, western: Callable[[], object] | None = None
) -> Element:
    """Return the root; names in a namespace are written `{address}name`.

    Args:
        raw: the file's bytes.
        where: what to call it in messages.
        lines: whether all elements are `LinedElement`s, for messages about one file of many images. Without, a
            file takes a quarter of the time, but names in a namespace stay as expat writes them, and depth is
            not limited: for VOC, which has ten thousand small files.
        western: called where the file is evidently in Windows-1252 though it does not say so; None: refused.

    Raises:
        InputError: not well-formed, a document type, or nested deeper than `DEEPEST`.

    Example:
        >>> parse_xml(b'<a xmlns="urn:b"><c d="1"/></a>', "a.xml")[0].tag
        '{urn:b}c'
    """
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    builder = _LinedBuilder(parser) if lines else TreeBuilder()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(raw, True)
    except (
        expat.ExpatError,
        LookupError,
        ValueError,
    ) as error:  # the last two: an encoding that is not there
        undeclared = not re.search(rb"encoding\s*=\s*['\"](?!utf-?8)", raw[:200], re.IGNORECASE)
        if (
            western is not None
            and undeclared
            and (text := western_text(raw)) is not None
            and not text.isascii()
        ):
            western()
            text = re.sub(r"^<\?xml[^>]*\?>", "", text)
            return parse_xml(text.encode(), where, lines=lines)
        line = parser.CurrentLineNumber
        raise InputError(f"{where}, line {line}: not readable XML ({error}). Repair or remove it.") from None
    return builder.close()


class _LinedBuilder:
    """Builds `LinedElement`s from what a parser calls, with names in ElementTree's notation."""

    def __init__(self, parser: expat.XMLParserType) -> None:
        self._parser = parser
        self._builder = TreeBuilder(element_factory=LinedElement)
        self._depth = 0
        self.data, self.close = self._builder.data, self._builder.close

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise expat.ExpatError(f"nested more than {DEEPEST} levels deep")
        named = {_clark(key): value for key, value in attributes.items()}
        element = self._builder.start(_clark(tag), named)
        element.line = self._parser.CurrentLineNumber  # type: ignore[attr-defined]

    def end(self, tag: str) -> None:
        self._depth -= 1
        self._builder.end(_clark(tag))


def _clark(name: str) -> str:
    return "{" + name if "}" in name else name


def _refuse_doctype(name: str, *_: object) -> None:
    raise expat.ExpatError(f"it declares a DOCTYPE, {name!r}, which label files do not need")


_NO_TEXT = {
    b"PK\x03\x04": "a spreadsheet (Excel, LibreOffice) or a zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel sheet",
    b"\x1f\x8b": "compressed (gzip)",
}


def refuse_no_text(file: Path, head: bytes) -> None:
    """Raise an error where a file's first bytes are those of a sheet or an archive, whatever its name says.

    Raises:
        InputError: so they are.
    """
    if kind := next((kind for start, kind in _NO_TEXT.items() if head.startswith(start)), ""):
        raise InputError(
            f"{file} is {kind}, whatever its name says. Save a sheet as CSV (UTF-8); unpack others."
        )


# Names of image files as other programs wrote them: to keys, and to files by their names without suffix.

LONGEST = 255
"""Bytes of a file or folder name on the usual file systems; folders in a key, too."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*/")


def plain_path(written: str) -> str:
    r"""Return an image's path in one notation: forward slashes, no `./`, of an address the part after the host.

    Example:
        >>> plain_path("https://host/photos/a.jpg?size=100"), plain_path(".\\b.jpg")
        ('photos/a.jpg', 'b.jpg')
    """
    key = written.replace("\\", "/")
    if "://" in key and (address := _ADDRESS.match(key)):
        key = key[address.end() :]
        if address[0].lower().startswith("http"):
            key = re.split("[?#]", key, maxsplit=1)[0]
    return key.removeprefix("./")


def image_key(written: str, where: str) -> str:
    r"""Return the key of an image file: `plain_path`, if a file can have that name.

    Raises:
        InputError: empty, too long, or with characters that no file name has.

    Example:
        >>> image_key("actor\\0001_2124494179.jpg", "list.txt, line 1")
        'actor/0001_2124494179.jpg'
    """
    key = plain_path(written)
    if not is_file_name(key):
        if not key:
            raise InputError(f"{where}: the image is empty. Give its path or remove the entry.")
        raise InputError(
            f"{where}: {written[:80]!r} is no name that an image file can have. Repair the file."
        )
    return key


def is_file_name(key: str) -> bool:
    r"""Return whether a file can have that path, and a text file can hold it.

    Example:
        >>> is_file_name("a/b.jpg"), is_file_name("a/"), is_file_name(300 * "x"), is_file_name("\0")
        (True, False, False, False)
    """
    try:
        raw = key.encode("utf-8")
    except UnicodeEncodeError:
        return False  # half of a surrogate pair: no file name, no text
    if not raw or raw.endswith(b"/") or b"\0" in raw:
        return False
    return len(raw) <= LONGEST or (raw.count(b"/") < LONGEST and max(map(len, raw.split(b"/"))) <= LONGEST)


def files_by_stem(
    root: Path, stems: Sequence[str], *, spec: str, subset: str = ""
) -> tuple[Path, dict[str, str]]:
    """Return the folder of the images, and the key of each stem, `STEM.jpg` where no file is there.

    Stems are relative to `root`, or absolute; the folder may be named after `subset`, the split.

    Raises:
        InputError: two image files have the same stem.
    """
    found = find_images(root, stems, subsets=[subset] * len(stems) if subset else ())
    found.refuse_several(spec)
    return found.root, {stem: key or f"{stem}.jpg" for stem, key in zip(stems, found.keys, strict=True)}


def stems_of(images: Iterable[str], *, spec: str) -> list[str]:
    """Return the image keys without suffix, for writing.

    Raises:
        InputError: two images would have the same stem.

    Example:
        >>> stems_of(["a/b.jpg", "c.d.png"], spec="fiftyone:out")
        ['a/b', 'c.d']
    """
    stems: dict[str, str] = {}
    for image in images:
        path = PurePosixPath(image)
        stem = image.removesuffix(path.suffix) if path.suffix.lower() in SUFFIXES else image
        if stem in stems:
            raise InputError(
                f"{spec}: {stems[stem]!r} and {image!r} differ in their suffix only, and this format names images "
                "without it. Rename one of them."
            )
        stems[stem] = image
    return list(stems)


def keys_by_either(root: Path, first: Sequence[str], second: Sequence[str], spec: str) -> list[str]:
    """Return the key of each image: where its first name leads, else where its second does, else the second.

    Raises:
        InputError: a name that could be two files.
    """
    found = find_images(root, first)
    found.refuse_several(spec)
    keys = [None if key is None else key_below(root, found.root / key) for key in found.keys]
    lost = [i for i, key in enumerate(keys) if key is None]
    if lost:
        again = find_images(root, [second[i] for i in lost])
        again.refuse_several(spec)
        for i, key in zip(lost, again.keys, strict=True):
            keys[i] = second[i] if key is None else key_below(root, again.root / key)
    return [str(key) for key in keys]


def key_below(root: Path, file: Path) -> str:
    """Return the key of a file: relative to a folder where it lies below, else in full."""
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else file.absolute().as_posix()
