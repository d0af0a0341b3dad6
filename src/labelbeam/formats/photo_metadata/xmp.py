"""Keywords in an XMP packet, from inside a photograph or from a sidecar.

Under the reader of keywords and the writer of sidecars. Knows nothing of files.
"""

from xml.etree.ElementTree import Element

from labelbeam.formats.parts.xml_document import parse_xml

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
LIGHTROOM = "http://ns.adobe.com/lightroom/1.0/"
SEPARATOR = "|"
"""Between the levels of a hierarchical subject."""


def xmp_keywords(packet: bytes, where: str) -> list[str] | None:
    """Return the keywords of a packet: `dc:subject`, or the last level of each `lr:hierarchicalSubject`.

    Args:
        packet: the XML, with or without its `xpacket` wrapper and padding.
        where: what to call it in messages.

    Returns:
        The keywords, none where the list is empty; None where the packet has no such list.

    Raises:
        InputError: not readable XML, or a document type.

    Source:
        XMP specification part 1, Dublin Core namespace; Lightroom's `hierarchicalSubject`.
    """
    root = parse_xml(packet.strip(b"\0 \r\n\t"), where)
    subjects = _items(root, f"{{{DC}}}subject")
    if subjects is not None:
        return subjects
    paths = _items(root, f"{{{LIGHTROOM}}}hierarchicalSubject")
    return None if paths is None else [path.rpartition(SEPARATOR)[2] for path in paths]


def _items(root: Element, name: str) -> list[str] | None:
    """Return the texts of a property that is a bag, a sequence or one text."""
    found = list(root.iter(name))
    if not found:
        return None
    texts: list[str] = []
    for element in found:
        items = list(element.iter(f"{{{RDF}}}li"))
        texts += ["".join(item.itertext()).strip() for item in items or [element]]
    return [text for text in texts if text]
