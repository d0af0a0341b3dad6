"""What an upload may be."""

import gc
import struct
import weakref
import zlib
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from labelbeam.data.image_container import prepared
from labelbeam.data.images import UnreadableImage
from labelbeam.runs.tagger import Tagger
from labelbeam.service.admission import Limits
from labelbeam.service.answering import FULL_PASS, SMALL_PASS, UploadEncoder, is_large, passes
from labelbeam.service.uploads import Upload


@pytest.fixture
def encode(tagger: Tagger) -> UploadEncoder:
    return UploadEncoder(tagger.run.encoder, Limits(), device="cpu")


def png(width: int, height: int, rows: bytes) -> bytes:
    """A grey PNG whose head says a size, whatever its rows are."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def saved(image: Image.Image, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, **options)  # type: ignore[arg-type]
    return file.getvalue()


def test_the_content_decides_and_not_the_name(encode: UploadEncoder) -> None:
    picture = saved(Image.new("RGB", (40, 30), "red"), format="PNG")
    as_png, as_text = encode([Upload("a.png", picture), Upload("a.txt", picture)])
    np.testing.assert_array_equal(as_png, as_text)
    (error,) = encode([Upload("a.jpg", b"GIF but not really")])
    assert isinstance(error, UnreadableImage)


@pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (png(100_000, 100_000, b""), "too many pixels"),
        (png(10_000, 10_000, bytes(10_000_000)), "too many pixels (10000 x 10000 = 100,000,000"),
        (png(2_147_483_647, 2_147_483_647, b""), "too many pixels"),
        (png(7_000, 9_000, b"\0" * 100), "damaged or truncated PNG"),
        (png(0, 0, b""), "damaged or truncated PNG"),
        (b"", "empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"%PDF-1.4", "PDF"),
        (b"PK\x03\x04", "zip"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bombs_and_what_is_no_picture_are_refused_with_the_reason(
    encode: UploadEncoder, content: bytes, words: str
) -> None:
    (error,) = encode([Upload("a.png", content)])
    assert isinstance(error, UnreadableImage)
    assert words in error.reason


def test_a_bomb_beside_pictures_spoils_only_itself(encode: UploadEncoder) -> None:
    picture = saved(Image.new("RGB", (40, 30), "red"), format="JPEG")
    done = encode([Upload("a", picture), Upload("b", png(50_000, 50_000, b"")), Upload("c", picture)])
    assert [isinstance(one, np.ndarray) for one in done] == [True, False, True]


def test_a_progressive_jpeg_of_a_camera_passes_and_one_of_endless_scans_does_not(
    encode: UploadEncoder,
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    content = saved(Image.fromarray(noise), format="JPEG", progressive=True)
    assert content.count(b"\xff\xda") > 3
    prepared(content, "JPEG", most_scans=64)
    last = content.rindex(b"\xff\xda")
    endless = content[:-2] + content[last:-2] * 100 + content[-2:]
    (error,) = encode([Upload("a.jpg", endless)])
    assert isinstance(error, UnreadableImage)
    assert "too many scans" in error.reason


def test_the_largest_pictures_are_known_by_their_head() -> None:
    assert is_large(png(4000, 4000, b""))
    assert not is_large(png(4000, 3999, b""))
    assert is_large(b"something that Pillow does not know")


def test_a_limit_of_pixels_can_be_lower(tagger: Tagger) -> None:
    encode = UploadEncoder(tagger.run.encoder, replace(Limits(), pixels=1000), device="cpu")
    large, small = (saved(Image.new("RGB", (side, 40)), format="PNG") for side in (26, 25))
    done = encode([Upload("large", large), Upload("small", small)])
    assert [isinstance(one, np.ndarray) for one in done] == [False, True]


def test_a_refused_upload_is_let_go_at_once(encode: UploadEncoder) -> None:
    """What is raised holds its stack, and the stack the uploads: a circle that Python finds only now and then."""
    upload = Upload("a.jpg", b"\xff\xd8\xff no photograph")
    gone = weakref.ref(upload)
    gc.disable()
    try:
        (refused,) = encode([upload])
        del upload
        assert isinstance(refused, UnreadableImage)
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("count", [*range(20), 31, 32, 33])
def test_every_image_is_in_one_pass_full_or_small(count: int) -> None:
    found = passes(range(100, 100 + count))
    assert [i for one in found for i in one] == list(range(100, 100 + count))
    sizes = [len(one) for one in found]
    assert all(size == FULL_PASS or 0 < size <= SMALL_PASS for size in sizes)
    small = [size for size in sizes if size != FULL_PASS]
    assert not small or max(small) - min(small) <= 1


def test_passes_do_not_change_what_an_image_is(encode: UploadEncoder) -> None:
    uploads = [
        Upload("a.png", saved(Image.new("RGB", (40, 30), (8 * i, 90, 9)), format="PNG")) for i in range(9)
    ]
    together = encode([*uploads[:4], Upload("b.jpg", b"no image"), *uploads[4:]])
    assert isinstance(together.pop(4), UnreadableImage)
    alone = [encode([upload])[0] for upload in uploads]
    np.testing.assert_allclose(np.stack(together), np.stack(alone), rtol=2e-3, atol=1e-5)
