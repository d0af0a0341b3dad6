"""Files of unknown origin: lines of text, XML without anything that could expand, and folders of a file an image.

Of XML no document type, so no entity; nesting is limited, and elements know their line. Knows no layout.
"""

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TypeVar
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from labelbeam.data.listing import images_in
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
