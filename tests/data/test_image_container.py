"""Which decoder may see a file, and how much of it."""

import re
import struct
import subprocess
import time
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelbeam.data import images
from labelbeam.data.image_container import KINDS, kind_of, opened
from labelbeam.data.images import UnreadableImage, read_rgb, read_rgb_bytes

Image.init()
PLUGINS = sorted(Image.ID)
ALLOWED = {name for names in KINDS.values() for name in names}
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n0 0 8 8 rectfill\nshowpage\n%%EOF\n"


@pytest.fixture
def photo() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8))
    return np.array(coarse.resize((64, 48), Image.Resampling.BICUBIC))


def encoded(image: np.ndarray, kind: str, **options) -> bytes:
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def written_by(plugin: str, photo: np.ndarray) -> bytes:
    """What Pillow itself writes in a format, in the first mode that it takes; else a likely beginning."""
    if plugin in Image.SAVE:
        for mode in ("RGB", "L", "P", "1", "F"):
            try:
                buffer = BytesIO()
                Image.fromarray(photo).convert(mode).save(buffer, plugin)
            except Exception:
                continue
            return buffer.getvalue()
    return {"FITS": b"SIMPLE  =", "PSD": b"8BPS", "WMF": b"\xd7\xcd\xc6\x9a\0\0", "DCX": b"\xb1h\xde:"}.get(
        plugin, plugin.encode()
    ).ljust(200, b"\0")


@pytest.mark.parametrize("plugin", PLUGINS)
def test_only_decoders_on_the_list_see_a_file_whatever_it_is(monkeypatch, photo, plugin):
    raw, seen = written_by(plugin, photo), []

    def watched(name, factory):
        def made(*arguments):
            seen.append(name)
            return factory(*arguments)

        return made

    for name, (factory, accept) in list(Image.OPEN.items()):
        monkeypatch.setitem(Image.OPEN, name, (watched(name, factory), accept))
    monkeypatch.setattr(images, "simplejpeg", None)
    with suppress(UnreadableImage):
        read_rgb_bytes(raw, "holiday.jpg")
    assert set(seen) <= ALLOWED


@pytest.mark.parametrize(
    "raw", [EPS, b"\xc5\xd0\xd3\xc6" + struct.pack("<6I", 32, len(EPS), 0, 0, 0, 0) + b"\0\0" + EPS]
)
def test_a_postscript_called_jpg_starts_no_program(monkeypatch, tmp_path, raw):
    def refuse(*arguments, **options):
        raise AssertionError("a program was started")

    for name in ("Popen", "check_call", "run"):
        monkeypatch.setattr(subprocess, name, refuse)
    (tmp_path / "holiday.jpg").write_bytes(raw)
    with pytest.raises(UnreadableImage, match="it looks like a PostScript drawing"):
        read_rgb(tmp_path / "holiday.jpg")


def test_a_jpeg_inside_another_format_is_not_reached(photo):
    inner = encoded(photo, "JPEG")
    blp = b"BLP1" + struct.pack("<7I", 0, 0, 64, 48, 0, 0, 0) + struct.pack("<16I", 1184, *[0] * 15)
    blp += struct.pack("<16I", len(inner), *[0] * 15) + struct.pack("<I", 0) + bytes(1184 - len(blp) - 4)
    with pytest.raises(UnreadableImage, match="not an image of a kind that can be read"):
        read_rgb_bytes(blp + inner, "a.jpg")


def test_every_flipped_bit_in_the_data_of_a_png_is_noticed(photo):
    raw = encoded(photo, "PNG")
    start = raw.index(b"IDAT") + 4
    end = start + int.from_bytes(raw[start - 8 : start - 4], "big")
    rng = np.random.default_rng(0)
    for bit in rng.integers(8 * start, 8 * end, size=200):
        damaged = bytearray(raw)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(UnreadableImage, match="checksum of its part IDAT is wrong"):
            read_rgb_bytes(bytes(damaged), "a.png")


@pytest.mark.parametrize("interlaced", [False, True])
def test_parts_of_a_png_that_make_no_pixel_may_be_damaged(photo, interlaced):
    raw = encoded(photo, "PNG")
    text = b"tEXtComment\0hi"
    part = struct.pack(">I", len(text) - 4) + text + b"\0\0\0\0"  # a wrong checksum
    np.testing.assert_array_equal(read_rgb_bytes(raw[:33] + part + raw[33:] + b"tail", "a.png"), photo)
    np.testing.assert_array_equal(read_rgb_bytes(raw[:-12], "a.png"), photo)  # all but its end mark


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bombs(photo: np.ndarray) -> dict[str, bytes]:
    png, gif, jpeg, tiff = (encoded(photo, kind) for kind in ("PNG", "GIF", "JPEG", "TIFF"))
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 20)))
    table = 13 + (3 << (gif[10] & 7) + 1)
    entry = struct.pack("<HHII", 40_000, 1, len(tiff), 0)
    long_tiff = b"II*\0\x08\0\0\0" + struct.pack("<H", 60_000) + entry * 60_000 + bytes(1 << 20)
    return {
        "PNG of texts": png[:33] + text * 3000 + png[33:],
        "GIF of comments": gif[:table] + b"!\xfe\x01a\0" * 500_000 + gif[table:],
        "JPEG of comments": jpeg[:2] + b"\xff\xfe\0\2" * 500_000 + jpeg[2:],
        "TIFF of large values": long_tiff.replace(
            struct.pack("<I", len(tiff)), struct.pack("<I", 1 << 20), 60_000
        ),
    }


@pytest.mark.parametrize(
    "name", ["PNG of texts", "GIF of comments", "JPEG of comments", "TIFF of large values"]
)
def test_a_small_picture_of_endless_remarks_takes_no_time(photo, name):
    raw, began = bombs(photo)[name], time.process_time()
    with suppress(UnreadableImage):
        assert read_rgb_bytes(raw, "a").shape == (48, 64, 3)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("kind", ["VP8", "VP8L", "VP8X"])
def test_a_webp_that_claims_more_pixels_than_its_bytes_can_hold_is_refused_before_memory_is_taken(kind):
    side = 16_000
    body = {
        "VP8": b"VP8 " + struct.pack("<I", 500) + b"\xf0\x0a\0\x9d\x01\x2a" + struct.pack("<HH", side, side),
        "VP8L": b"VP8L" + struct.pack("<I", 500) + b"\x2f" + struct.pack("<I", side - 1 | side - 1 << 14),
        "VP8X": b"VP8X" + struct.pack("<I", 10) + bytes(4) + 2 * struct.pack("<I", side - 1)[:3],
    }[kind].ljust(500, b"\0")
    raw = b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
    with pytest.raises(UnreadableImage, match="16000 x 16000 pixels, which 512 bytes cannot hold"):
        read_rgb_bytes(raw, "a.webp")


@pytest.mark.parametrize("decoder", ["simplejpeg", "Pillow"])
def test_a_mark_that_only_looks_like_exif_turns_nothing(photo, monkeypatch, decoder):
    if decoder == "Pillow":
        monkeypatch.setattr(images, "simplejpeg", None)
    exif = Image.Exif()
    exif[0x0112] = 6
    block = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    raw = encoded(photo, "JPEG")
    comment = b"\xff\xfe" + struct.pack(">H", len(block) + 2) + block
    assert read_rgb_bytes(raw[:2] + comment + raw[2:], "a.jpg").shape == (48, 64, 3)
    far = b"\xff\xe2" + struct.pack(">H", 65_000) + bytes(64_998)  # beyond what was once searched
    mark = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
    assert read_rgb_bytes(raw[:2] + 3 * far + mark + raw[2:], "a.jpg").shape == (64, 48, 3)


@pytest.mark.parametrize("decoder", ["simplejpeg", "Pillow"])
@pytest.mark.parametrize("where", ["a table", "a restart", "the scan"])
def test_extra_bytes_before_a_marker_are_no_damage(photo, monkeypatch, decoder, where):
    if decoder == "Pillow":
        monkeypatch.setattr(images, "simplejpeg", None)
    raw = encoded(photo, "JPEG", restart_marker_rows=1)
    if where == "a restart":
        scan = raw.index(b"\xff\xda")
        odd = raw[:scan] + re.sub(rb"(\xff[\xd0-\xd7])", b"\x11\x22" + rb"\1", raw[scan:])
    else:
        at = raw.index(b"\xff\xdb" if where == "a table" else b"\xff\xda")
        odd = raw[:at] + b"\0\1\2" + raw[at:]
    np.testing.assert_array_equal(read_rgb_bytes(odd, "a"), read_rgb_bytes(raw, "a"))


def directory(entries: list[tuple[int, int, int]], at: int, following: int = 0) -> bytes:
    """A TIFF directory of numbers, little-endian."""
    packed = b"".join(
        struct.pack("<HHI", tag, kind, 1) + struct.pack("<I", value) for tag, kind, value in entries
    )
    return struct.pack("<H", len(entries)) + packed + struct.pack("<I", following)


@pytest.mark.parametrize("maker", ["DNG", "NEF", "CR2", "colour filter array", "preview without a mark"])
def test_a_raw_photograph_is_not_tagged_by_its_thumbnail(maker):
    picture = [
        (256, 4, 4),
        (257, 4, 2),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 400),
        (278, 4, 2),
        (279, 4, 8),
    ]
    more = {
        "DNG": [(50706, 1, 0x0401)],
        "NEF": [(254, 4, 1), (330, 4, 200)],
        "preview without a mark": [(330, 4, 200)],
    }.get(maker, [])
    if maker == "colour filter array":
        picture[4] = (262, 3, 32803)
    head = b"II*\0" + struct.pack("<I", 16) + (b"CR\2\0" if maker == "CR2" else bytes(4)) + bytes(4)
    raw = (head + directory(sorted(picture + more), 16)).ljust(200, b"\0")
    raw = (raw + directory([(256, 4, 4000), (257, 4, 3000)], 200)).ljust(500, b"\x80")
    with pytest.raises(UnreadableImage, match="a raw photograph; only the thumbnail"):
        read_rgb_bytes(raw, "a.dng")


def test_a_tiff_that_is_no_raw_photograph_is_read(photo):
    page = Image.fromarray(photo)
    buffer = BytesIO()
    page.save(buffer, "TIFF", save_all=True, append_images=[page.resize((320, 240))])
    np.testing.assert_array_equal(read_rgb_bytes(buffer.getvalue(), "a.tif"), photo)


def test_a_size_is_read_with_the_same_list(tmp_path, photo):
    (tmp_path / "a.jpg").write_bytes(encoded(photo, "PNG"))
    with (tmp_path / "a.jpg").open("rb") as file, opened(file) as image:
        assert image.size == (64, 48)
    with pytest.raises(Image.UnidentifiedImageError):
        opened(EPS)


def test_text_that_begins_like_a_picture_is_none():
    assert kind_of(b"BM is what I say") == ""
    assert kind_of(b"P6 and so on") == "PPM"
    assert kind_of(b"hello, this is a text of some length, no picture") == ""
    assert kind_of(bytes(4096)) == ""


@pytest.mark.parametrize("what", ["pipe", "device", "huge", "folder in a folder"])
def test_what_is_no_photograph_is_neither_waited_for_nor_read(tmp_path, what):
    import os

    path = tmp_path / "b.jpg"
    if what == "pipe":
        os.mkfifo(path)
        words = "not a regular file"
    elif what == "device":
        path.symlink_to("/dev/zero")
        words = "not a regular file"
    elif what == "folder in a folder":
        path.mkdir()
        words = "is a folder"
    else:
        path.write_bytes(b"\xff\xd8\xff\xe0")
        with path.open("r+b") as file:
            file.truncate(1 << 36)
        words = "are more than an image has"
    began = time.monotonic()
    with pytest.raises(UnreadableImage, match=words):
        read_rgb(Path(path))
    assert time.monotonic() - began < 5


def test_no_memory_for_one_image_is_that_images_fault(photo, monkeypatch):
    def none_left(*arguments):
        raise MemoryError

    monkeypatch.setattr(images, "_to_rgb", none_left)
    with pytest.raises(UnreadableImage, match="not enough memory"):
        read_rgb_bytes(encoded(photo, "PNG"), "a.png")
