"""Raw photographs are read by the largest picture in them, the right way up; a thumbnail is refused."""

import shutil
import struct
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelbeam.data import raw_preview
from labelbeam.data.images import UnreadableImage, read_rgb
from labelbeam.data.listing import LeftOut, list_images

RAW_SIZE = (640, 480)
READERS = [
    pytest.param(
        "rawpy", marks=pytest.mark.skipif(find_spec("rawpy") is None, reason="rawpy is not installed")
    ),
    pytest.param(
        "exiftool",
        marks=pytest.mark.skipif(shutil.which("exiftool") is None, reason="ExifTool is not installed"),
    ),
]


def picture(size: tuple[int, int]) -> Image.Image:
    """Red to the left, green above on the right, blue below."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, : size[0] // 2, 0] = 255
    pixels[: size[1] // 2, size[0] // 2 :, 1] = 255
    pixels[size[1] // 2 :, size[0] // 2 :, 2] = 255
    return Image.fromarray(pixels)


def directory(entries: list[tuple[int, int, list[int]]], at: int) -> bytes:
    """Return a TIFF directory with its longer values behind it, little-endian."""
    head, more, behind = struct.pack("<H", len(entries)), b"", at + 2 + 12 * len(entries) + 4
    for tag, kind, values in sorted(entries):
        value = struct.pack(f"<{len(values)}{ {1: 'B', 3: 'H', 4: 'I'}[kind] }", *values)
        if len(value) > 4:
            value, more = struct.pack("<I", behind + len(more)), more + value + bytes(len(value) % 2)
        head += struct.pack("<HHI", tag, kind, len(values)) + value.ljust(4, b"\0")
    return head + bytes(4) + more


def dng(previews: list[tuple[int, int]], *, orientation: int = 1) -> bytes:
    """Return a DNG: a thumbnail first, raw pixels and JPEG previews in directories below it."""
    jpegs = []
    for size in previews:
        picture(size).save(buffer := BytesIO(), "JPEG", quality=90)
        jpegs.append(buffer.getvalue())
    width, height = RAW_SIZE
    blobs = [picture((16, 12)).tobytes(), bytes(2 * width * height), *jpegs]
    places = [8 + 1024 * i for i in range(len(previews) + 2)]
    starts = np.cumsum([8 + 1024 * len(places), *(len(blob) + len(blob) % 2 for blob in blobs)])[:-1].tolist()

    def of(size, at, samples, compression, photometric, kind, *more):
        shape = [
            (256, 4, [size[0]]),
            (257, 4, [size[1]]),
            (258, 3, [16 if photometric == 32803 else 8] * samples),
        ]
        how = [(254, 4, [kind]), (259, 3, [compression]), (262, 3, [photometric]), (277, 3, [samples])]
        strip = [(273, 4, [starts[at]]), (278, 4, [size[1]]), (279, 4, [len(blobs[at])])]
        return directory([*shape, *how, *strip, *more], places[at])

    below = [(274, 3, [orientation]), (330, 4, places[1:]), (50706, 1, [1, 4, 0, 0])]
    parts = [of((16, 12), 0, 3, 1, 2, 1, *below)]
    parts.append(of(RAW_SIZE, 1, 1, 1, 32803, 0, (33421, 3, [2, 2]), (33422, 1, [0, 1, 1, 2])))
    parts += [of(size, i, 3, 7, 6, 1) for i, size in enumerate(previews, 2)]
    content = b"II*\0" + struct.pack("<I", 8)
    for place, part in zip([*places, *starts], [*parts, *blobs], strict=True):
        content = content.ljust(place, b"\0") + part
    return content


@pytest.fixture(params=READERS)
def reader(request, monkeypatch):
    """One reader at a time."""
    if request.param == "rawpy":
        monkeypatch.setattr(raw_preview.shutil, "which", lambda name: None)
    else:
        monkeypatch.setattr(raw_preview, "find_spec", lambda name: None)
    return request.param


def test_the_largest_preview_is_read_and_not_the_thumbnail(tmp_path: Path, reader: str) -> None:
    (tmp_path / "a.dng").write_bytes(dng([(64, 48), (320, 240)]))
    pixels = read_rgb(tmp_path / "a.dng")
    assert pixels.shape == (240, 320, 3)
    assert [int(pixels[y, x].argmax()) for y, x in ((120, 20), (20, 300), (220, 300))] == [0, 1, 2]


def test_the_raw_photograph_says_which_way_is_up(tmp_path: Path, reader: str) -> None:
    (tmp_path / "a.dng").write_bytes(dng([(320, 240)], orientation=6))
    pixels = read_rgb(tmp_path / "a.dng")
    assert pixels.shape == (320, 240, 3)
    # Turned clockwise: what was left is above, what was above on the right is on the right below.
    assert [int(pixels[y, x].argmax()) for y, x in ((20, 120), (300, 220), (300, 20))] == [0, 1, 2]


def test_a_preview_that_the_camera_turned_already_is_not_turned_again(tmp_path: Path) -> None:
    turned = raw_preview._Embedded((_jpeg((240, 320)),), 640, True, 6)
    flat = raw_preview._Embedded((_jpeg((320, 240)),), 640, True, 6)
    for found, shape in ((turned, (320, 240, 3)), (flat, (320, 240, 3))):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(raw_preview, "_readers", lambda content, found=found: iter([found]))
            (tmp_path / "a.jpg").write_bytes(raw_preview.raw_preview(b""))
        assert read_rgb(tmp_path / "a.jpg").shape == shape


def _jpeg(size: tuple[int, int]) -> bytes:
    picture(size).save(buffer := BytesIO(), "JPEG")
    return buffer.getvalue()


def test_a_raw_photograph_with_a_thumbnail_alone_is_refused_with_its_size(
    tmp_path: Path, reader: str
) -> None:
    (tmp_path / "a.dng").write_bytes(dng([(64, 48)]))
    with pytest.raises(UnreadableImage, match=r"more than a thumbnail \(the largest has 64 x 48 pixels\)"):
        read_rgb(tmp_path / "a.dng")
    (tmp_path / "b.dng").write_bytes(dng([]))
    with pytest.raises(UnreadableImage, match="a raw photograph without a preview"):
        read_rgb(tmp_path / "b.dng")


def test_without_a_reader_the_error_says_what_to_install(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(raw_preview, "readable", lambda: False)
    (tmp_path / "a.dng").write_bytes(dng([(320, 240)]))
    with pytest.raises(UnreadableImage, match=r"pip install 'labelbeam\[raw\]', or install ExifTool"):
        read_rgb(tmp_path / "a.dng")
    left_out = LeftOut()
    assert list(list_images([tmp_path], left_out=left_out)) == []
    assert "For raw photographs: pip install" in left_out.sentences()[0]


@pytest.mark.parametrize("head", [b"IIRO\x08\0\0\0", b"FUJIFILMCCD-RAW 0201", b"\0\0\0\x18ftypcrx \0\0\0\0"])
def test_a_damaged_raw_photograph_is_an_error_that_names_it(tmp_path: Path, reader: str, head: bytes) -> None:
    (tmp_path / "a.orf").write_bytes(head.ljust(5000, b"\x07"))
    with pytest.raises(UnreadableImage, match=r"a\.orf: a raw photograph without a preview"):
        read_rgb(tmp_path / "a.orf")
