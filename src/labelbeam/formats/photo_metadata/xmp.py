"""Lists of keywords in XMP, inside a photograph or in a sidecar: read, and changed entry by entry.

Of a packet that is there nothing changes but the entries that come and go: the bytes around them stay. Knows
nothing of files.
"""

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from labelbeam.errors import InputError
from labelbeam.formats.documents import parse_xml
from labelbeam.formats.photo_metadata.keyword_lists import FIELDS, Lists, keywords_in

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
_SPACES = {"dc": DC, "lr": "http://ns.adobe.com/lightroom/1.0/", "digiKam": "http://www.digikam.org/ns/1.0/"}
_TAGS = {name: f"{{{_SPACES[prefix]}}}{local}" for name in FIELDS for prefix, local in [name.split(":")]}
_CONTAINERS = {"dc:subject": "Bag", "lr:hierarchicalSubject": "Bag", "digiKam:TagsList": "Seq"}
"""Of a list that is new. Source: XMP specification part 1, 8.4; digiKam's `dmetadatasettingscontainer.cpp`."""


OTHER_LISTS = re.compile(
    rb"<(MicrosoftPhoto:LastKeyword(?:XMP|IPTC)|acdsee:(?:keywords|categories)|mediapro:CatalogSets|mwg-kw:Keywords)\b"
)
"""Lists of keywords that programs write beside those that are read; alone they are counted, not read."""


def xmp_lists(packet: bytes, where: str, *, western: Callable[[], object] | None = None) -> Lists:
    """Return the lists of keywords that a packet has, by the names of `FIELDS`; an empty list is there too.

    Args:
        packet: the XML, with or without its `xpacket` wrapper and padding.
        where: what to call it in messages.
        western: as `parse_xml` has it.

    Raises:
        InputError: not readable XML, or a document type.

    Source:
        XMP specification part 1, Dublin Core namespace; Lightroom's `hierarchicalSubject`; digiKam's `TagsList`.
    """
    is_utf16 = packet.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
    root = parse_xml(packet if is_utf16 else packet.strip(b"\0 \r\n\t"), where, western=western)
    found = {name: _items(root, tag) for name, tag in _TAGS.items()}
    return {name: entries for name, entries in found.items() if entries is not None}


def xmp_keywords(packet: bytes, where: str) -> list[str] | None:
    """Return the keywords of a packet, of hierarchies the last level; None where it has no list of them."""
    lists = xmp_lists(packet, where)
    return keywords_in(lists) if lists else None


def _items(root: Element, tag: str) -> list[str] | None:
    """Return the texts of a property that is a bag, a sequence or one text."""
    found = list(root.iter(tag))
    if not found:
        return None
    texts: list[str] = []
    for element in found:
        items = list(element.iter(f"{{{RDF}}}li"))
        texts += ["".join(item.itertext()).strip() for item in items or [element]]
    return [text for text in texts if text]


def new_packet(lists: Lists) -> bytes:
    """Return a sidecar that holds lists of keywords and nothing else.

    Example:
        >>> print(new_packet({"dc:subject": ["dog"]}).decode().splitlines()[3])
          <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">
    """
    held = {name: entries for name, entries in lists.items() if name in _TAGS}
    body = "".join(f"\n   {_property(name, entries)}" for name, entries in held.items())
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        f' <rdf:RDF xmlns:rdf="{RDF}">\n  <rdf:Description rdf:about=""{_spaces(held)}>'
        f"{body}\n  </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\n"
    ).encode()


def with_lists(packet: bytes, lists: Mapping[str, Sequence[str] | None], where: str) -> bytes:
    """Return a packet with other lists of keywords, and everything else as it was.

    Args:
        packet: XML in UTF-8.
        lists: the new entries of each list that changes; None: the list is taken out.
        where: what to call the packet in messages.

    Raises:
        InputError: not UTF-8; a list that is there several times; no RDF to put a list into.
    """
    scan = _Scan(packet, where)
    edits: list[tuple[int, int, bytes]] = []
    added: dict[str, Sequence[str]] = {}
    for name, entries in lists.items():
        places = scan.properties.get(name, [])
        if len(places) > 1:
            raise InputError(f"{where}: {len(places)} lists {name}. Leave one of them.")
        if places and entries is None:
            edits.append((places[0].start, places[0].stop, b""))
        elif places and entries is not None:
            edits += places[0].changed_to(entries, packet)
        elif entries is not None:
            added[name] = entries
    if added:
        if scan.end is None:
            raise InputError(f"{where}: no rdf:RDF element to put keywords into. Move the sidecar away.")
        edits.append((scan.end, scan.end, _description(added, scan.about).encode()))
    changed = packet
    for start, stop, text in sorted(edits, key=lambda edit: edit[:2], reverse=True):
        changed = changed[:start] + text + changed[stop:]
    changed = _EMPTIED.sub(b"", changed) if None in lists.values() else changed
    after = xmp_lists(changed, where)
    wrong = [
        name
        for name, entries in lists.items()
        if (None if entries is None else [entry.strip() for entry in entries]) != after.get(name)
    ]
    if wrong:  # an empty element, or other XML that no program here writes
        raise InputError(
            f"{where}: keywords cannot be put into XML written like this. Move the sidecar away."
        )
    return changed


def _spaces(names: Mapping[str, object]) -> str:
    prefixes = dict.fromkeys(name.partition(":")[0] for name in names)
    return "".join(f' xmlns:{prefix}="{_SPACES[prefix]}"' for prefix in prefixes)


def _property(name: str, entries: Sequence[str], *, container: str | None = None) -> str:
    kind = container or _CONTAINERS[name]
    items = "".join(f"<rdf:li>{escape(entry)}</rdf:li>" for entry in entries)
    return f"<{name}><rdf:{kind}>{items}</rdf:{kind}></{name}>"


def _description(lists: Mapping[str, Sequence[str]], about: str) -> str:
    body = "".join(_property(name, entries) for name, entries in lists.items())
    return (
        f'<rdf:Description xmlns:rdf="{RDF}" rdf:about={quoteattr(about)}{_spaces(lists)}>{body}'
        "</rdf:Description>\n "
    )


_EMPTIED = re.compile(
    rb'<rdf:Description xmlns:rdf="[^"]*" rdf:about=(?:"[^"]*"|\'[^\']*\')'
    rb'(?: xmlns:(?:dc|lr|digiKam)="[^"]*")+></rdf:Description>\n '
)
"""What `_description` wrote, its lists taken out again."""


@dataclass
class _Place:
    """Where a list of keywords is in the bytes of a packet.

    Attributes:
        name: of the list.
        start, stop: of the whole property.
        first: where the first entry of the container would be; None without a container that has an end tag.
        prefix: as the container has it, with its colon.
        items: start, stop and text of the entries.
    """

    name: str
    start: int
    stop: int = 0
    first: int | None = None
    prefix: str = ""
    container: str = ""
    items: list[tuple[int, int, str]] = field(default_factory=list)

    def changed_to(self, entries: Sequence[str], packet: bytes) -> list[tuple[int, int, bytes]]:
        """Return edits that make the list another one."""
        if self.first is None:
            text = _property(self.name, entries, container=self.container or None)
            opened = f"<{self.name}"
            declared = f' xmlns:rdf="{RDF}"{_spaces({self.name: None})}'
            return [(self.start, self.stop, text.replace(opened, opened + declared, 1).encode())]
        left = list(entries)
        edits, before, gap = [], self.first, b""
        for start, stop, text in self.items:
            gap = packet[before:start] if not packet[before:start].strip() else b""
            if text in left:
                left.remove(text)
            else:
                edits.append((start - len(gap), stop, b""))
            before = stop
        tag = self.prefix + "li"
        text = "".join(f"{gap.decode()}<{tag}>{escape(entry)}</{tag}>" for entry in left)
        return [*edits, (before, before, text.encode())] if text else edits


class _Scan:
    """Where in a packet's bytes its lists of keywords are, and where one could be added.

    Attributes:
        properties: by the names of `FIELDS`.
        end: start of the end tag of `rdf:RDF`; None without one.
        about: what the first description is about.
    """

    def __init__(self, raw: bytes, where: str) -> None:
        self.properties: dict[str, list[_Place]] = {}
        self.end: int | None = None
        self.about = ""
        self._raw, self._item, self._text = raw, 0, ""
        self._names = {tag[1:]: name for name, tag in _TAGS.items()}
        self._parser = expat.ParserCreate(namespace_separator="}")
        self._place: _Place | None = None
        self._descriptions = 0
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._stop
        self._parser.CharacterDataHandler = self._data
        try:
            raw.decode("utf-8")
            self._parser.Parse(raw.rstrip(b"\0 \r\n\t"), True)
        except UnicodeDecodeError:
            raise InputError(f"{where}: not UTF-8. Save it as UTF-8.") from None
        except expat.ExpatError as error:
            raise InputError(f"{where}: not readable XML ({error}). Repair it or move it away.") from None

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        at = self._parser.CurrentByteIndex
        if name in self._names:
            self._place = _Place(self._names[name], at)
            self.properties.setdefault(self._place.name, []).append(self._place)
        elif name == f"{RDF}}}Description":
            self._descriptions += 1
            if self._descriptions == 1:
                self.about = attributes.get(f"{RDF}}}about", "")
        elif self._place is not None and name == f"{RDF}}}li":
            self._item, self._text = at, ""
        elif self._place is not None and name in {f"{RDF}}}{kind}" for kind in ("Bag", "Seq", "Alt")}:
            self._place.container = name.rpartition("}")[2]

    def _data(self, text: str) -> None:
        self._text += text

    def _stop(self, name: str) -> None:
        at = self._parser.CurrentByteIndex
        kind = name.rpartition("}")[2]
        # Of an element without content, expat says where it ends, of others where the end tag starts.
        ended = self._is_end_tag(at, kind.encode())
        stop = self._raw.index(b">", at) + 1 if ended else at
        if self._place is None:
            if name == f"{RDF}}}RDF" and ended:
                self.end = at
        elif name in self._names:
            self._place.stop, self._place = stop, None
        elif name == f"{RDF}}}li":
            self._place.items.append((self._item, stop, self._text.strip()))
        elif kind == self._place.container and ended:
            tag = self._raw[at + 2 :].split(b">", 1)[0].strip().decode()
            self._place.prefix = tag.removesuffix(kind)
            if self._place.items:
                before = self._raw.rfind(b">", 0, self._place.items[0][0]) + 1
                self._place.first = before
            elif not self._raw[self._raw.rfind(b">", 0, at) + 1 : at].strip():
                self._place.first = self._raw.rfind(b">", 0, at) + 1

    def _is_end_tag(self, at: int, name: bytes) -> bool:
        tag = self._raw[at : at + 200].split(b">")[0]
        return tag.startswith(b"</") and tag[2:].strip().rpartition(b":")[2] == name
