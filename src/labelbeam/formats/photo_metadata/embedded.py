"""XMP packets and IPTC records inside image files: found without reading the pixels, and written by ExifTool.

JPEG, PNG, WebP and TIFF are walked block by block; HEIC and AVIF are left to pillow-heif and Pillow. Only where a
person asks for it is anything written: the XMP packet is changed here, entry by entry, and put back whole; keywords in
IPTC are ExifTool's own work; pixels and all other metadata stay as they are.
"""

import shutil
import stat
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from PIL import Image

from labelbeam.data.image_bytes import open_regular
from labelbeam.data.image_container import KINDS
from labelbeam.data.images import DAMAGE
from labelbeam.errors import InputError
from labelbeam.formats.photo_metadata.keyword_lists import IPTC
from labelbeam.formats.photo_metadata.written import ListChanges
from labelbeam.formats.photo_metadata.xmp import new_packet, with_lists

_XMP_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_IPTC_RESOURCE = 0x0404
_XMP_TAG, _IPTC_TAG, _PHOTOSHOP_TAG = 700, 33723, 34377
_TIFF_SIZES = {3: 2, 4: 4, 8: 2, 9: 4}
"""Bytes of a value, by its type, where that is not 1."""

_LARGEST = 1 << 24
"""Bytes of metadata that are believed."""


@dataclass(frozen=True)
class Metadata:
    """What a file carries beside its pixels.

    Attributes:
        xmp: packets, XML each.
        iptc: records, one after another; empty where there are none.
    """

    xmp: tuple[bytes, ...] = ()
    iptc: bytes = b""


def read_metadata(path: Path) -> Metadata:
    """Return the metadata of an image file; none for kinds that carry none.

    Raises:
        InputError: the file cannot be opened, or its structure is damaged before its metadata end.
    """
    try:
        with open_regular(path) as file:
            head = file.read(12)
            file.seek(0)
            if head.startswith(b"\xff\xd8"):
                return _of_jpeg(file)
            if head.startswith(b"\x89PNG\r\n\x1a\n"):
                return Metadata(xmp=tuple(_png_packets(file)))
            if head.startswith(b"RIFF") and head[8:] == b"WEBP":
                return Metadata(xmp=tuple(_webp_packets(file)))
            if head.startswith((b"II*\0", b"MM\0*")):
                return _of_tiff(file, "<" if head[:1] == b"I" else ">")
            if head[4:8] == b"ftyp" and head[8:11] != b"crx":  # Canon's raw photographs
                return _by_plugin(file, head)
    except OSError as error:
        raise InputError(f"it cannot be read: {error.strerror or error}") from None
    return Metadata()


def _of_jpeg(file: BinaryIO) -> Metadata:
    packets, resources = [], b""
    for payload in _jpeg_segments(file):
        if payload.startswith(_XMP_IN_JPEG):
            packets.append(payload[len(_XMP_IN_JPEG) :])
        elif payload.startswith(_PHOTOSHOP):
            resources += payload[len(_PHOTOSHOP) :]  # long lists of resources go on in the next segment
    return Metadata(tuple(packets), _iptc_resource(resources))


def _jpeg_segments(file: BinaryIO) -> Iterator[bytes]:
    """Yield APP1 and APP13, up to where the pixels start."""
    file.seek(2)
    while True:
        marker = file.read(2)
        if len(marker) < 2 or marker[0] != 0xFF:
            raise InputError("the JPEG's headers are damaged")
        while marker[1] == 0xFF:  # fill bytes
            marker = marker[1:] + (file.read(1) or b"\0")
        if marker[1] in {0xDA, 0xD9}:
            return
        if marker[1] == 0x01 or 0xD0 <= marker[1] <= 0xD8:
            continue
        length = int.from_bytes(file.read(2), "big") - 2
        if length < 0:
            raise InputError("the JPEG's headers are damaged")
        if marker[1] in {0xE1, 0xED}:
            yield file.read(length)
        else:
            file.seek(length, 1)


def _iptc_resource(resources: bytes) -> bytes:
    """Return resource 0x0404 of Photoshop's. Source: Adobe Photoshop file formats, "Image resource blocks"."""
    position = 0
    while resources[position : position + 4] == b"8BIM":
        kind = int.from_bytes(resources[position + 4 : position + 6], "big")
        name = resources[position + 6] if position + 6 < len(resources) else 0
        position += 6 + name + 1 + (name + 1) % 2
        size = int.from_bytes(resources[position : position + 4], "big")
        position += 4
        if kind == _IPTC_RESOURCE:
            return resources[position : position + size]
        position += size + size % 2
    return b""


def _png_packets(file: BinaryIO) -> Iterator[bytes]:
    """Yield the XMP packets among a PNG's international texts."""
    file.seek(8)
    while len(header := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        if kind == b"IEND":
            return
        if kind != b"iTXt" or length > _LARGEST:
            file.seek(length + 4, 1)
            continue
        keyword, _, rest = file.read(length).partition(b"\0")
        file.seek(4, 1)
        if keyword == b"XML:com.adobe.xmp" and len(rest) > 2:
            text = rest[2:].split(b"\0", 2)[-1]  # language and translated keyword, both ended by a zero
            yield _inflated(text) if rest[0] else text


def _inflated(text: bytes) -> bytes:
    unpacking = zlib.decompressobj()
    try:
        plain = unpacking.decompress(text, _LARGEST)
    except zlib.error as error:
        raise InputError(f"the PNG's compressed text is damaged ({error})") from None
    if unpacking.unconsumed_tail:
        raise InputError(f"the PNG's compressed text grows beyond {_LARGEST:,} bytes")
    return plain


def _webp_packets(file: BinaryIO) -> Iterator[bytes]:
    file.seek(12)
    while len(header := file.read(8)) == 8:
        kind, length = struct.unpack("<4sI", header)
        if kind == b"XMP " and length <= _LARGEST:
            yield file.read(length)
            return
        file.seek(length + length % 2, 1)


def _of_tiff(file: BinaryIO, order: str) -> Metadata:
    """Read the first directory. Source: TIFF 6.0, section 2."""
    file.seek(4)
    (start,) = struct.unpack(f"{order}I", file.read(4).ljust(4, b"\0"))
    file.seek(start)
    (count,) = struct.unpack(f"{order}H", file.read(2).ljust(2, b"\0"))
    found: dict[int, bytes] = {}
    entries = file.read(12 * count)
    if len(entries) % 12:
        raise InputError("the TIFF's directory ends early")
    for tag, kind, values, place in struct.iter_unpack(f"{order}HHI4s", entries):
        if tag in (_XMP_TAG, _IPTC_TAG, _PHOTOSHOP_TAG):
            # The bytes as they lie: some programs declare IPTC as 32-bit numbers.
            size = values * _TIFF_SIZES.get(kind, 1)
            if 4 < size <= _LARGEST:
                file.seek(struct.unpack(f"{order}I", place)[0])
                found[tag] = file.read(size)
            else:
                found[tag] = place[:size]
    packet = found.get(_XMP_TAG)
    iptc = found.get(_IPTC_TAG) or _iptc_resource(found.get(_PHOTOSHOP_TAG, b""))
    return Metadata((packet,) if packet else (), iptc)


def _by_plugin(file: BinaryIO, head: bytes) -> Metadata:
    """Leave a container of boxes to the library that decodes it."""
    try:
        if b"avif" not in head:
            return _of_heic(file)
        with Image.open(file, formats=KINDS["AVIF"]) as image:
            xmp = image.info.get("xmp", b"")
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise InputError(f"damaged or of an unknown kind ({error})") from None
    return Metadata((xmp,) if xmp else ())


def _of_heic(file: BinaryIO) -> Metadata:
    try:
        import pillow_heif
    except ImportError:
        raise InputError("HEIC needs one more package: pip install 'labelbeam[heif]'") from None
    xmp = pillow_heif.open_heif(file).info.get("xmp")
    return Metadata((xmp,) if xmp else ())


KEYWORDS = (2, 25)
CODED_CHARACTER_SET = (1, 90)
_UTF8 = b"\x1b%G"


def iptc_keywords(records: bytes, encoding: str | None = None) -> tuple[list[str], str]:
    r"""Return the keywords of IPTC records, and the encoding they were read in.

    Args:
        records: data sets one after another, each starting with 0x1C; what follows damage is not read.
        encoding: a codec for keywords that are not marked as UTF-8; None: UTF-8, else Windows-1252.

    Returns:
        The keywords, and `utf-8` (marked so, or valid), `windows-1252` (unmarked and not UTF-8, as ExifTool
        takes it) or empty (none).

    Source:
        IPTC-NAA Information Interchange Model 4.2, section 1.5 (data sets), 1:90 (coded character set).

    Example:
        >>> iptc_keywords(b"\x1c\x02\x19\x00\x03dog\x1c\x02\x19\x00\x05caf\xc3\xa9")
        (['dog', 'café'], 'utf-8')
    """
    keywords, marked = [], False
    position = 0
    while records[position : position + 1] == b"\x1c" and position + 5 <= len(records):
        kind = records[position + 1], records[position + 2]
        size = int.from_bytes(records[position + 3 : position + 5], "big")
        position += 5
        if size & 0x8000:  # an extended data set: the number is the length of the length
            width = size & 0x7FFF
            size = int.from_bytes(records[position : position + width], "big") if width <= 8 else len(records)
            position += width
        value = records[position : position + size]
        position += size
        if position > len(records):
            break
        if kind == CODED_CHARACTER_SET:
            marked = value == _UTF8
        elif kind == KEYWORDS:
            keywords.append(value.rstrip(b"\0"))
    if not keywords:
        return [], ""
    if encoding is not None and not marked:
        return [keyword.decode(encoding, errors="replace") for keyword in keywords], encoding
    try:
        return [keyword.decode("utf-8") for keyword in keywords], "utf-8"
    except UnicodeDecodeError:
        if marked:
            return [keyword.decode("utf-8", errors="replace") for keyword in keywords], "utf-8"
        return [_as_windows(keyword) for keyword in keywords], "windows-1252"


def _as_windows(keyword: bytes) -> str:
    try:
        return keyword.decode("cp1252")
    except UnicodeDecodeError:  # five bytes mean nothing there
        return keyword.decode("latin-1")


SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".heic", ".heif", ".hif"}
)
"""Photographs that keywords are written into."""

WITH_IPTC = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff"})
"""Those of them that hold IPTC."""


class ExifTool:
    """A running ExifTool; one process for all photographs.

    Raises:
        InputError: it is not installed.
    """

    def __init__(self) -> None:
        program = shutil.which("exiftool")
        if program is None:
            raise InputError(
                "writing keywords into photographs needs ExifTool, which is not installed: see exiftool.org, or "
                "apt install libimage-exiftool-perl. Without it, --format xmp writes them beside the photographs."
            )
        self._process = subprocess.Popen(
            [program, "-stay_open", "True", "-@", "-", "-common_args", "-charset", "filename=utf8"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> "ExifTool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None and self._process.stdin is not None:
            self._process.stdin.write(b"-stay_open\nFalse\n")
            self._process.stdin.close()
            self._process.wait()

    def run(self, *arguments: bytes) -> str:
        """Run one command and return what it prints; an argument is a line, so none may hold a line end."""
        if self._process.stdin is None or self._process.stdout is None or self._process.poll() is not None:
            raise InputError("ExifTool ended. Call again to go on.")
        self._process.stdin.write(b"".join(one + b"\n" for one in (*arguments, b"-execute")))
        self._process.stdin.flush()
        lines: list[bytes] = []
        for line in iter(self._process.stdout.readline, b""):
            if line.rstrip() == b"{ready}":
                return b"".join(lines).decode(errors="replace").strip()
            lines.append(line)
        raise InputError("ExifTool ended. Call again to go on.")

    def write(self, photograph: Path, changes: ListChanges) -> None:
        """Change lists of keywords inside a photograph.

        Raises:
            InputError: another kind of file, one that is read-only, or one that ExifTool cannot write.
            OSError: no space, no permission.
        """
        place = photograph.resolve()
        if photograph.suffix.lower() not in SUFFIXES:
            raise InputError(
                f"keywords are not written into {photograph.suffix or 'such'} files; --format xmp writes a sidecar."
            )
        if not place.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
            raise InputError(f"{photograph} is read-only.")
        name = bytes(place)
        if b"\n" in name or b"\r" in name:
            raise InputError(f"{str(photograph)!r}: ExifTool takes no name with a line end. Rename the file.")
        metadata = read_metadata(photograph)
        if len(metadata.xmp) > 1:
            raise InputError(f"{photograph} holds {len(metadata.xmp)} XMP packets.")
        in_xmp = {name: entries for name, entries in changes.items() if name != IPTC}
        with tempfile.TemporaryDirectory(prefix="labelbeam-") as folder:
            arguments = []
            if in_xmp:
                packet = Path(folder, "packet.xmp")
                packet.write_bytes(_packet(metadata.xmp, in_xmp, str(photograph)))
                arguments.append(b"-XMP<=" + bytes(packet))
            if IPTC in changes:
                arguments += _iptc_arguments(metadata.iptc, changes[IPTC] or [], Path(folder))
            output = self.run(b"-overwrite_original", *arguments, name)
        if "1 image files updated" not in output or "Invalid XMP" in output:
            raise InputError(
                f"{photograph}: ExifTool did not write it ({output.replace(str(place), place.name)[:200]})."
            )


def _packet(packets: tuple[bytes, ...], changes: ListChanges, where: str) -> bytes:
    if packets:
        return with_lists(packets[0].strip(b"\0"), changes, where)
    fresh = new_packet({name: entries for name, entries in changes.items() if entries is not None})
    # Inside a file, a packet has marks around it in place of an XML declaration (XMP specification part 1, 7.3).
    start = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'.encode()
    return start + fresh.partition(b"?>\n")[2] + b'<?xpacket end="w"?>'


def _iptc_arguments(records: bytes, keywords: list[str], folder: Path) -> list[bytes]:
    """Return ExifTool's arguments for a list of keywords; the encoding of what is there stays as it is."""
    before, charset = iptc_keywords(records)
    marked = b"\x1c\x01\x5a\x00\x03\x1b%G" in records
    arguments = []
    if not records:
        arguments.append(b"-IPTC:CodedCharacterSet=UTF8")
    elif not marked and any(not word.isascii() for word in keywords):
        # Unmarked: as it was read. Marking it would change what its other texts mean.
        arguments += [
            b"-charset",
            b"IPTC="
            + (b"UTF8" if charset == "utf-8" and any(not word.isascii() for word in before) else b"Latin"),
        ]
        if arguments[-1] == b"IPTC=Latin" and any(not _fits_windows(word) for word in keywords):
            raise InputError(
                "its IPTC keywords are not in Unicode and cannot hold these. Add --keyword-lists "
                "subject,hierarchical,tagslist."
            )
    if not keywords:
        return [*arguments, b"-IPTC:Keywords="]
    for number, word in enumerate(keywords):
        text = folder / f"{number}.txt"  # as a file: an argument would need escapes
        text.write_text(word, encoding="utf-8")
        arguments.append(b"-IPTC:Keywords<=" + bytes(text))
    return arguments


def _fits_windows(word: str) -> bool:
    try:
        word.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True
