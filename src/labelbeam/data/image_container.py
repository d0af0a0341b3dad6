"""What an image file is and what it says of itself, from its own structure; no pixel is decoded.

Everything that hands a file to a decoder asks here first: `KINDS` is the list of decoders that may see a stranger's
file, so that a PostScript named `holiday.jpg` starts no interpreter. Structures are walked, never searched: what looks
like a mark inside a comment or a thumbnail is none. Sits under `data.images`; knows no file and no array.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import BinaryIO, Literal

from PIL import Image

KINDS = {
    name: (name.upper(),) for name in ("JPEG", "PNG", "GIF", "WebP", "AVIF", "TIFF", "BMP", "PPM", "TGA")
}
KINDS["JPEG 2000"] = ("JPEG2000",)
"""Kinds that are decoded, and the one plugin of Pillow that may look at each; HEIC has a library of its own."""

HEAD = 4096
"""Bytes of a file from which its kind is known."""

MOST_SCANS = 100
"""Scans of a JPEG: progressive ones have about 10; a decoder goes over the whole picture for each."""

_MOST_PARTS = 20_000
"""Segments, blocks or chunks beside the pixels of a file; more are there to keep somebody busy."""
_MOST_CHUNKS = 1_000_000
_LONGEST_TEXT = 1 << 16
_ANEW = "Save it again, as JPEG or PNG."
_LARGEST_PLAIN = 8_000_000
"""Bytes of the kinds that Pillow decodes in Python itself."""
_EMPTY_PIXELS = 16_000_000
_PIXELS_PER_BYTE = 50_000

_ORIENTATION, _WIDTH, _PHOTOMETRIC, _SUBFILE, _SUB_IFDS, _DNG = 274, 256, 262, 254, 330, 50706
_MOST_INNER = 64
_ENDIAN: dict[str, Literal["little", "big"]] = {"<": "little", ">": "big"}
_RAW_PHOTOMETRIC = (32803, 34892)
"""Colour filter array, linear raw: TIFF/EP and DNG 1.6."""
_TIFF_SIZES = {
    kind: size
    for size, kinds in ((1, (1, 2, 6, 7)), (2, (3, 8)), (4, (4, 9, 11, 13)), (8, (5, 10, 12, 16, 17, 18)))
    for kind in kinds
}

RAW = "a raw photograph"
"""The kind of files that only a camera maker's program reads (`data.raw_preview` finds the preview in them)."""

_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"IIRO": RAW,
    b"IIRS": RAW,
    b"IIU\0": RAW,
    b"FUJIFILMCCD-RAW": RAW,
    b"FOVb": RAW,
    b"\0MRM": RAW,
    b"\xff\x0a": "a JPEG XL photograph",
    b"\0\0\0\x0cJXL ": "a JPEG XL photograph",
    b"8BPS": "a Photoshop document",
    b"%PDF": "a PDF document",
    b"%!PS": "a PostScript drawing",
    b"\xc5\xd0\xd3\xc6": "a PostScript drawing",
    b"PK\x03\x04": "a zip archive",
    b"version https://git-lfs": "a Git LFS pointer: fetch the file with `git lfs pull`",
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML document",
    b"{": "JSON",
}


class Damaged(ValueError):  # noqa: N818  (named for what it is)
    """A structure that is broken; the message says where."""


class Unwanted(ValueError):  # noqa: N818
    """A file that is not decoded, whole as it may be; the message says why, and what to do."""


@dataclass(frozen=True)
class Prepared:
    """A file as a decoder may see it.

    Attributes:
        content: its bytes, without parts that change no pixel and could keep a decoder busy.
        orientation: what EXIF or XMP say, 1 to 8; None: ask the decoder.
    """

    content: bytes = field(repr=False)
    orientation: int | None = None


def kind_of(head: bytes) -> str:
    """Return what a file is by its first `HEAD` bytes: a key of `KINDS`, "HEIC", or words; empty where unknown.

    Example:
        >>> kind_of(b"GIF89a"), kind_of(b"%!PS-Adobe-3.0 EPSF-3.0"), kind_of(b"hello")
        ('GIF', 'a PostScript drawing', '')
    """
    if head[4:8] == b"ftyp":
        brands = head[8 : min(len(head), int.from_bytes(head[:4], "big"))]
        if b"avif" in brands or b"avis" in brands:
            return "AVIF"
        if brands.startswith(b"crx"):
            return RAW
        heic = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
        return "HEIC" if any(brand in brands for brand in heic) else "a video"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if re.match(rb"P[1-6][\s#]", head):
        return "PPM"
    if head.startswith(b"BM") and head[6:10] == b"\0\0\0\0":
        return "BMP"
    text = head[:64].lstrip().lower()
    for magic, kind in _MAGIC.items():
        if head.startswith(magic) or (magic.isascii() and magic.islower() and text.startswith(magic)):
            return kind
    return "TGA" if _looks_like_tga(head) else ""


def decodable(kind: str) -> bool:
    """Return whether files of a kind are decoded here."""
    return kind in KINDS or kind == "HEIC"


def opened(file: bytes | BinaryIO, kind: str | None = None) -> Image.Image:
    """Open a file with the one plugin of Pillow that is for its kind; every other one stays out of it.

    Raises:
        UnidentifiedImageError: of no kind in `KINDS`, or not what it begins as.
        Exception: whatever the plugin raises on damage (`data.images.DAMAGE`).
    """
    source = BytesIO(file) if isinstance(file, bytes) else file
    if kind is None:
        kind = kind_of(source.read(HEAD))
    return Image.open(source, formats=KINDS.get(kind, ()))


def prepared(raw: bytes, kind: str, *, most_scans: int = MOST_SCANS) -> Prepared:
    """Walk through a file and return what a decoder may see of it.

    Raises:
        Damaged: the file is cut off, or its checksums are wrong.
        Unwanted: it is a raw photograph, or built to take time.
    """
    if kind == "JPEG":
        return _jpeg(raw, most_scans)
    if kind == "PNG":
        return _png(raw)
    if kind == "GIF":
        return Prepared(_gif(raw), 1)
    if kind == "TIFF":
        _check_tiff(raw)
    elif kind == "BMP" and int.from_bytes(raw[30:34], "little") in (1, 2) and len(raw) > _LARGEST_PLAIN:
        raise Unwanted(
            f"its runs of pixels take {len(raw):,} bytes (the limit is {_LARGEST_PLAIN:,}). {_ANEW}"
        )
    elif kind == "PPM" and raw[1:2] in b"123" and len(raw) > _LARGEST_PLAIN:
        raise Unwanted(
            f"its pixels are {len(raw):,} bytes of text (the limit is {_LARGEST_PLAIN:,}). {_ANEW}"
        )
    elif kind == "WebP":
        _check_webp(raw)
    return Prepared(raw)


def check_pixels(width: int, height: int, size: int) -> None:
    """Refuse a small file that says it is enormous: memory for its pixels would be taken before that shows.

    Raises:
        Damaged: no photograph of that many pixels has so few bytes.
    """
    if width * height > max(_EMPTY_PIXELS, _PIXELS_PER_BYTE * size):
        raise Damaged(f"it says {width} x {height} pixels, which {size:,} bytes cannot hold")


def jpeg_segments(raw: bytes) -> Iterator[tuple[int, int, int]]:
    r"""Yield the segments before a JPEG's first scan: marker, start and end of the content; the scan's is the last.

    Bytes between segments are skipped, as libjpeg does. Source: ITU-T T.81, annex B.

    Raises:
        Unwanted: more segments than any camera writes.

    Example:
        >>> [hex(marker) for marker, _, _ in jpeg_segments(b"\xff\xd8\xff\xfe\0\4hi??\xff\xda\0\2")]
        ['0xfe', '0xda']
    """
    at = 2
    for _ in range(_MOST_PARTS):
        at = raw.find(b"\xff", at)
        while 0 <= at < len(raw) and raw[at] == 0xFF:
            at += 1
        if at < 0 or at + 2 >= len(raw):
            return
        marker = raw[at]
        if marker == 0 or marker == 1 or 0xD0 <= marker <= 0xD8:  # no segment: stuffing, or a mark of its own
            at += 1
            continue
        if marker == 0xD9:
            return
        end = at + 1 + max(2, int.from_bytes(raw[at + 1 : at + 3], "big"))
        yield marker, at + 3, end
        if marker == 0xDA:
            return
        at = end
    raise Unwanted(f"more than {_MOST_PARTS:,} segments before its pixels. {_ANEW}")


def exif_orientation(block: bytes) -> int:
    """Return what a TIFF structure (EXIF) says, 1 to 8; 1 where it is broken or silent."""
    try:
        order, start, wide = _tiff_head(block)
        values = dict(_orientations(block, order, start, wide=wide))
    except (Damaged, struct.error):
        return 1
    return values.get(_ORIENTATION, 1)


def _orientations(block: bytes, order: str, start: int, *, wide: bool) -> Iterator[tuple[int, int]]:
    for tag, kind, count, place in _entries(block, order, start, wide=wide):
        if tag == _ORIENTATION and count == 1 and kind in (1, 3, 4):
            value = _number(place, kind, order)
            if 1 <= value <= 8:
                yield tag, value


def _jpeg(raw: bytes, most_scans: int) -> Prepared:
    """Keep what pixels need: no comment, no profile, no second picture."""
    kept, exif, xmp, scan, sized = [raw[:2]], 0, 0, 0, False
    for marker, start, end in jpeg_segments(raw):
        content = raw[start : min(end, start + 40)]
        if marker == 0xE1 and content.startswith(b"Exif\0"):
            exif = exif or exif_orientation(raw[start + 6 : end])
        elif marker == 0xE1 and content.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            xmp = xmp or _xmp_orientation(raw[start:end])
        elif marker == 0xDA:
            scan = start - 4
        if not (
            0xE1 <= marker <= 0xED or marker in (0xEF, 0xFE, 0xDA)
        ):  # APP0 and APP14 say how colours are meant
            kept.append(b"\xff" + bytes([marker]) + raw[start - 2 : end])
        sized = sized or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC))
    if not scan or not sized:
        raise Damaged("its first bytes are right, what follows is not")
    # In compressed data a 0xff is always followed by 0x00 or a restart mark, so that none is miscounted there.
    if (scans := raw.count(b"\xff\xda", scan)) > most_scans:
        raise Unwanted(
            f"too many scans ({scans:,}; the limit is {most_scans}). Save it again, as a baseline JPEG."
        )
    kept.append(raw[scan:])
    return Prepared(b"".join(kept), exif if exif > 1 else xmp or exif or 1)


def _xmp_orientation(packet: bytes) -> int:
    found = re.search(rb'tiff:Orientation(?:\s*=\s*["\']|>)([1-8])', packet)
    return int(found[1]) if found else 0


def _png(raw: bytes) -> Prepared:
    """Keep the chunks that make pixels, their checksums compared, and what says which way is up.

    Source: W3C PNG (third edition), sections 5 and 11.
    """
    kept, at, orientation, data = [raw[:8]], 8, 0, False
    for _ in range(_MOST_CHUNKS):
        size, kind = int.from_bytes(raw[at : at + 4], "big"), raw[at + 4 : at + 8]
        start, end = at + 8, at + 12 + size
        if end > len(raw):
            if not data:
                raise Damaged("it ends before its pixels")
            break  # the decoder notices pixels that are missing
        critical = not kind[:1].islower() or kind == b"tRNS"
        if critical:
            if zlib.crc32(raw[at + 4 : end - 4]) != int.from_bytes(raw[end - 4 : end], "big"):
                raise Damaged(f"the checksum of its part {kind.decode('ascii', 'replace')} is wrong")
            kept.append(raw[at:end])
            data = data or kind == b"IDAT"
            if kind == b"IEND":
                return Prepared(b"".join(kept), orientation or 1)
        elif size <= _LONGEST_TEXT and not orientation:
            orientation = _png_orientation(kind, raw[start : end - 4])
        at = end
    else:
        raise Unwanted(f"more than {_MOST_CHUNKS:,} parts. {_ANEW}")
    kept.append(b"\0\0\0\0IEND\xaeB`\x82")
    return Prepared(b"".join(kept), orientation or 1)


def _png_orientation(kind: bytes, content: bytes) -> int:
    if kind == b"eXIf":
        return exif_orientation(content.removeprefix(b"Exif\0\0"))
    name, _, rest = content.partition(b"\0")
    if kind == b"iTXt" and name == b"XML:com.adobe.xmp":
        return _xmp_orientation(content)
    if kind in (b"tEXt", b"zTXt") and name in (b"Raw profile type exif", b"Raw profile type APP1"):
        try:  # ImageMagick's way: a name, a length, and the block in hexadecimal digits
            text = zlib.decompressobj().decompress(rest[1:], 4 * _LONGEST_TEXT) if kind == b"zTXt" else rest
            block = bytes.fromhex(text.decode("ascii").strip().partition("\n")[2].partition("\n")[2])
        except (zlib.error, ValueError):
            return 0
        return exif_orientation(block.removeprefix(b"Exif\0\0"))
    return 0


def _gif(raw: bytes) -> bytes:
    """Cut out what lies before the first picture, but for its own control block. Source: GIF89a, section 11 on."""
    at = 13 + (3 << (raw[10] & 7) + 1 if len(raw) > 10 and raw[10] & 0x80 else 0)
    head, control = raw[:at], b""
    for _ in range(_MOST_PARTS):
        if raw[at : at + 1] == b",":
            return head + control + raw[at:]
        if raw[at : at + 1] != b"!":
            break
        start, label = at, raw[at + 1 : at + 2]
        at += 2
        for _ in range(_MOST_PARTS):
            size = raw[at : at + 1]
            at += 1 + (size[0] if size else 0)
            if size in (b"\0", b""):
                break
        if label == b"\xf9":
            control = raw[start:at]
    raise Damaged("no picture where one should be")


def _looks_like_tga(head: bytes) -> bool:
    """Return whether a header without a magic number is plausible. Source: Truevision TGA 2.0, section C."""
    if len(head) < 18:
        return False
    width, height = struct.unpack_from("<HH", head, 12)
    depths = {1: (8,), 2: (15, 16, 24, 32), 3: (8, 16)}.get(head[2] & 7, ())
    known = head[1] == (1 if head[2] & 7 == 1 else head[1] & 1) and head[2] in (1, 2, 3, 9, 10, 11)
    return known and head[16] in depths and width > 0 and height > 0 and head[17] & 0xC0 == 0


def _check_webp(raw: bytes) -> None:
    """Compare the size of a WebP, before memory is taken for it, with its bytes. Source: RFC 9649, section 2."""
    chunk = raw[12:16]
    if chunk == b"VP8 " and raw[23:26] == b"\x9d\x01\x2a":
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", raw.ljust(30), 26))
    elif chunk == b"VP8X" and len(raw) >= 30:
        width, height = (int.from_bytes(raw[i : i + 3], "little") + 1 for i in (24, 27))
    elif chunk == b"VP8L" and len(raw) >= 25:
        bits = int.from_bytes(raw[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        return
    check_pixels(width, height, len(raw))


def is_raw(content: bytes) -> bool:
    """Return whether a file is a raw photograph, by its first bytes or, of a TIFF, by its directories."""
    kind = kind_of(content[:HEAD])
    if kind != "TIFF":
        return kind == RAW
    try:
        _check_tiff(content)
    except _RawTiff:
        return True
    except (Damaged, Unwanted, struct.error):
        pass
    return False


class _RawTiff(Unwanted):
    """A TIFF whose first picture is the thumbnail of a raw photograph."""


def _check_tiff(raw: bytes) -> None:
    """Refuse a raw photograph, whose first picture is a thumbnail, and values that no memory holds.

    Source: TIFF 6.0, section 2; TIFF/EP (ISO 12234-2); DNG 1.7, chapter 4.
    """
    order, start, wide = _tiff_head(raw)
    first = list(_entries(raw, order, start, wide=wide))
    number = {tag: _number(place, kind, order) for tag, kind, count, place in first if count == 1}
    total = sum(count * _TIFF_SIZES.get(kind, 1) for _, kind, count, _ in first)
    if total > 2 * len(raw) + HEAD:
        raise Unwanted(f"its directory lists {total:,} bytes, more than the file has. {_ANEW}")
    raw_mark = raw[8:10] == b"CR" or any(tag == _DNG for tag, *_ in first)
    widths = [number.get(_WIDTH, 0), *_inner_widths(raw, order, first, wide=wide)]
    if raw_mark or number.get(_PHOTOMETRIC) in _RAW_PHOTOMETRIC or max(widths) > widths[0]:
        raise _RawTiff(
            f"{RAW}; only the thumbnail in it could be read. Develop it, or give the camera's JPEG."
        )
    if number.get(_SUBFILE, 0) & 1:
        raise Unwanted(f"its first picture is the thumbnail of another. {_ANEW}")


def _inner_widths(
    raw: bytes, order: str, first: list[tuple[int, int, int, bytes]], *, wide: bool
) -> Iterator[int]:
    """Yield the widths of the pictures inside the first one: of a raw photograph they are larger."""
    for tag, kind, count, place in first:
        size = _TIFF_SIZES.get(kind, 4)
        if tag == _SUB_IFDS and count <= _MOST_INNER:
            start = 0 if count * size <= len(place) else int.from_bytes(place, _ENDIAN[order])
            block = (place if count * size <= len(place) else raw)[start : start + count * size]
            for i in range(0, len(block), size):
                inner = int.from_bytes(block[i : i + size], _ENDIAN[order])
                if inner + 2 < len(raw):
                    entries = _entries(raw, order, inner, wide=wide)
                    yield from (_number(at, kind, order) for tag, kind, count, at in entries if tag == _WIDTH)


def _tiff_head(block: bytes) -> tuple[str, int, bool]:
    """Return byte order, place of the first directory, and whether it is a BigTIFF."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or len(block) < 8:
        raise Damaged("no byte order")
    wide = struct.unpack_from(f"{order}H", block, 2)[0] == 43
    if wide:
        return order, struct.unpack_from(f"{order}Q", block.ljust(16, b"\0"), 8)[0], True
    return order, struct.unpack_from(f"{order}I", block, 4)[0], False


def _entries(block: bytes, order: str, start: int, *, wide: bool) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield tag, type, count and the field of value or place; entries beyond the end are left out."""
    head, size, form = ("Q", 20, "HHQ8s") if wide else ("H", 12, "HHI4s")
    first = start + struct.calcsize(head)
    if first > len(block):
        raise Damaged("its directory lies beyond its end")
    count = struct.unpack_from(f"{order}{head}", block, start)[0]
    whole = block[first : first + size * min(count, 1 << 16)]
    yield from struct.iter_unpack(f"{order}{form}", whole[: len(whole) // size * size])


def _number(place: bytes, kind: int, order: str) -> int:
    return int.from_bytes(place[: _TIFF_SIZES.get(kind, 4)], _ENDIAN[order])
