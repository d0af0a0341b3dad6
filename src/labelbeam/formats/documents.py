"""JSON and XML files of unknown origin: plain values or elements, or an error that says where they are broken."""

import json
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import yaml

from labelbeam.errors import InputError

# A JSON file of unknown origin, as plain values, or an error that says where it is broken.
#
# Used by the readers of `formats`. Knows no layout.


def read_json(file: Path, spec: str) -> object:
    """Return the value that a JSON file holds.

    Args:
        file: UTF-8, with or without a byte order mark (UTF-16 and UTF-32 are recognised too).
        spec: the data set that needs it, for the message.

    Raises:
        InputError: the file cannot be opened, is not JSON, or is nested thousands of levels deep.
    """
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise InputError(f"{spec}: {file} cannot be read ({error.strerror}). Check the path.") from None
    return parse_json(raw, f"{spec}: {file}")


def parse_json(raw: bytes, where: str) -> object:
    """Return the value of a JSON text.

    Args:
        raw: the text's bytes.
        where: what to call it in the message.

    Raises:
        InputError: not JSON, or nested thousands of levels deep.

    Example:
        >>> parse_json(b'{"a": [1]}', "a.json")
        {'a': [1]}
    """
    try:
        return json.loads(raw.removeprefix(b"\xef\xbb\xbf"))
    except json.JSONDecodeError as error:
        raise InputError(
            f"{where}, line {error.lineno}, column {error.colno}: not JSON ({error.msg}). Was it copied in full?"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where}, byte {error.start}: not UTF-8 ({error.reason}). Save it as UTF-8."
        ) from None
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise InputError(f"{where}: no JSON file of labels looks like this ({error}).") from None


# An XML file of unknown origin, as elements that know their line, without anything that could expand.
#
# No document type, so no entity; nesting is limited. Used by the readers of `formats`. Knows no layout.

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
        lines: whether all elements are `LinedElement`s, for messages about one file of many images. Without, a
            file takes a quarter of the time, but names in a namespace stay as expat writes them, and depth is
            not limited: for VOC, which has ten thousand small files.

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


LONGEST_YAML = 1 << 24
"""Bytes that are parsed; descriptions of data sets have thousands."""


class _Plain(yaml.SafeLoader):
    """Refuses what a few hundred bytes can blow up to gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it refers to another part of itself (an alias, *name)")
        return super().compose_node(parent, index)


def parse_yaml(raw: bytes, where: str) -> object:
    """Return the value of a YAML text.

    Args:
        raw: the text's bytes.
        where: what to call it in the message.

    Raises:
        InputError: not YAML, too long, nested thousands of levels deep, or with an alias.

    Example:
        >>> parse_yaml(b"names: {0: cat}", "data.yaml")
        {'names': {0: 'cat'}}
    """
    try:
        if len(raw) > LONGEST_YAML:
            raise ValueError(f"it is longer than {LONGEST_YAML:,} bytes")
        return yaml.load(raw, Loader=_Plain)
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError, AttributeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"{where} is not readable YAML ({reason}). Repair it.") from None
