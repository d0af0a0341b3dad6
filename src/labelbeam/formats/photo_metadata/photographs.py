"""The keywords of a photograph, and where they are: in a sidecar beside it, or inside it.

A sidecar that lists keywords decides alone, because programs that keep sidecars edit them and leave the photograph
as it was; otherwise what XMP and IPTC inside the file say is put together. Only headers are read.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element

from labelbeam.data.raw_preview import SUFFIXES as RAW
from labelbeam.errors import InputError, unknown_name
from labelbeam.files import exists, is_file, written_whole
from labelbeam.formats.documents import parse_xml
from labelbeam.formats.photo_metadata.embedded import Metadata, iptc_keywords, read_metadata
from labelbeam.formats.photo_metadata.keyword_lists import IPTC, Lists
from labelbeam.formats.photo_metadata.written import ListChanges
from labelbeam.formats.photo_metadata.xmp import OTHER_LISTS, RDF, new_packet, with_lists, xmp_lists
from labelbeam.parsing import read_regular

NAMINGS = ("auto", "full", "adobe")
"""How a sidecar that is new is called: by what the photograph is, `a.jpg.xmp`, or `a.xmp`."""

_SUFFIXES = (".xmp", ".XMP")


def sidecars_of(image: Path) -> Iterator[Path]:
    """Yield the sidecars of an image that are there: `a.jpg.xmp` (darktable, digiKam), then `a.xmp` (Adobe).

    A raw photograph and the JPEG beside it are one photograph, so that `a.xmp` is read for both.
    """
    for suffix in _SUFFIXES:
        if is_file(whole := image.with_name(image.name + suffix)):
            yield whole
    for suffix in _SUFFIXES:
        if is_file(short := image.with_suffix(suffix)):
            yield short


def sidecar_for(place: Path, naming: str = "auto", *, image: Path | None = None) -> Path:
    """Return the sidecar that an image's keywords are written into, there already or not.

    Of a raw photograph and a JPEG of one name, `a.xmp` is the raw photograph's; the JPEG has `a.jpg.xmp`.

    Args:
        place: where the photograph is, or would be for its sidecar to lie beside it.
        naming: one of `NAMINGS`, for a sidecar that is new. `auto`: `a.xmp` for raw photographs.
        image: the photograph, where it is elsewhere.

    Raises:
        InputError: an unknown naming.
    """
    if naming not in NAMINGS:
        raise unknown_name("naming of sidecars", naming, NAMINGS)
    raw = place.suffix.lower() in RAW
    for sidecar in sidecars_of(place):
        if sidecar.name.startswith(place.name) or raw or not _has_raw_twin(image or place):
            return sidecar
    short = raw if naming == "auto" else naming == "adobe" and (raw or not _has_raw_twin(image or place))
    return place.with_suffix(".xmp") if short else place.with_name(place.name + ".xmp")


def _has_raw_twin(image: Path) -> bool:
    return any(exists(image.with_suffix(form)) for suffix in RAW for form in (suffix, suffix.upper()))


@dataclass(frozen=True)
class Found:
    """What keywords a photograph has.

    Attributes:
        lists: entries by the name of their list.
        origin: the sidecar; None: inside the photograph.
        charset: of IPTC keywords; empty where there are none.
        damaged: sidecars that cannot be read, with the reason.
        western: whether the sidecar is in Windows-1252, though it does not say so.
        unread: a list of keywords of another program, where there is none that is read; empty where there is none.
    """

    lists: Lists
    origin: Path | None = None
    charset: str = ""
    damaged: tuple[str, ...] = field(default=())
    western: bool = False
    unread: str = ""


def photo_keywords(image: Path, encoding: str | None = None) -> Found:
    """Return the keywords of a photograph; `encoding` is that of IPTC keywords which do not say UTF-8.

    Raises:
        InputError: the photograph's metadata are damaged, and no sidecar lists keywords.
    """
    damaged: list[str] = []
    western: list[bool] = []
    unread = ""
    for sidecar in sidecars_of(image):
        try:
            raw = read_regular(sidecar, sidecar.name)
            if lists := xmp_lists(raw, sidecar.name, western=lambda: western.append(True)):
                return Found(lists, sidecar, damaged=tuple(damaged), western=bool(western))
            if other := OTHER_LISTS.search(raw):
                unread = other[1].decode()
        except InputError as error:
            damaged.append(str(error))
    metadata = read_metadata(image)
    lists, charset = _lists_of(metadata, image, encoding)
    for packet in metadata.xmp:
        if other := OTHER_LISTS.search(packet):
            unread = unread or other[1].decode()
    return Found(lists, None, charset, tuple(damaged), unread="" if lists else unread)


def embedded_lists(image: Path) -> tuple[Lists, str]:
    """Return the lists of keywords inside a photograph, and the encoding that those of IPTC were read in.

    Raises:
        InputError: the metadata are damaged.
    """
    return _lists_of(read_metadata(image), image)


def _lists_of(metadata: Metadata, image: Path, encoding: str | None = None) -> tuple[Lists, str]:
    lists: Lists = {}
    for packet in metadata.xmp:
        for name, entries in xmp_lists(packet, image.name).items():
            lists.setdefault(name, []).extend(entries)
    keywords, charset = iptc_keywords(metadata.iptc, encoding)
    if keywords:
        lists[IPTC] = keywords
    return lists, charset


def sidecar_lists(sidecar: Path) -> Lists | None:
    """Return the lists of a sidecar; None where there is no such file.

    Raises:
        InputError: not readable XML, or it cannot be read.
    """
    return xmp_lists(read_regular(sidecar), str(sidecar)) if sidecar.exists() else None


def write_sidecar(sidecar: Path, changes: ListChanges, *, created: bool = False) -> None:
    """Change lists of a sidecar and nothing else; one that is not there is made.

    Args:
        changes: new entries of each list; None: the list is taken out.
        created: whether a run made the file: then it goes when nothing is left in it.

    Raises:
        InputError: it is read-only, not UTF-8, or written in a way that nothing can be put into.
        OSError: no space, no permission.
    """
    if not sidecar.exists():
        content = new_packet({name: entries for name, entries in changes.items() if entries is not None})
    else:
        content = with_lists(read_regular(sidecar), changes, str(sidecar))
        if created and _is_empty(parse_xml(content, str(sidecar))):
            sidecar.unlink()
            return
    with written_whole(sidecar) as part:
        part.write_bytes(content)


def _is_empty(root: Element) -> bool:
    """Return whether XMP says nothing."""
    descriptions = list(root.iter(f"{{{RDF}}}Description"))
    return all(not list(one) and set(one.keys()) <= {f"{{{RDF}}}about"} for one in descriptions)
