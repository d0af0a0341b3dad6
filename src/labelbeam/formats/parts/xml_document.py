"""An XML file of unknown origin, as elements that know their line, without anything that could expand.

No document type, so no entity; nesting is limited. Used by the readers of `formats`. Knows no layout.
"""

from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from labelbeam.errors import InputError

DEEPEST = 100
"""Levels of nesting; label files have ten."""


class LinedElement(Element):
    """An element that knows the line it starts in."""

    line: int = 0


def parse_xml(raw: bytes, where: str, *, lines: bool = True) -> Element:
    """Return the root; names in a namespace are written `{address}name`.

    Args:
        raw: the file's bytes.
        where: what to call it in messages.
        lines: whether all elements are `LinedElement`s, in one file of many images. Without, and without
            namespaces, a file takes a quarter of the time: VOC has ten thousand files, and no message needs it.

    Raises:
        InputError: not well-formed, a document type, or nested deeper than `DEEPEST`.

    Example:
        >>> parse_xml(b'<a xmlns="urn:b"><c d="1"/></a>', "a.xml")[0].tag
        '{urn:b}c'
    """
    builder = TreeBuilder(element_factory=LinedElement if lines else None)
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise expat.ExpatError(f"nested more than {DEEPEST} levels deep")
        element = builder.start(_clark(tag), {_clark(key): value for key, value in attributes.items()})
        element.line = parser.CurrentLineNumber  # type: ignore[attr-defined]

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_clark(tag))

    parser.StartElementHandler = start if lines else builder.start
    parser.EndElementHandler = end if lines else builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(raw, True)
    except (
        expat.ExpatError,
        LookupError,
        ValueError,
    ) as error:  # the last two: an encoding that is not there
        line = parser.CurrentLineNumber
        raise InputError(f"{where}, line {line}: not readable XML ({error}). Repair or remove it.") from None
    return builder.close()


def _clark(name: str) -> str:
    return "{" + name if "}" in name else name


def _refuse_doctype(name: str, *_: object) -> None:
    raise expat.ExpatError(f"it declares a DOCTYPE, {name!r}, which label files do not need")
