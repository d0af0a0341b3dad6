"""Image files of every kind, made on the fly, and the reason when one cannot be read."""

import os
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageOps, TiffImagePlugin

from labelbeam.data import images
from labelbeam.data.images import UnreadableImage, read_rgb
from labelbeam.errors import InputError


@pytest.fixture
def photo() -> np.ndarray:
    """A smooth uint8 [48 64 3] picture with no symmetry."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8))
    return np.array(coarse.resize((64, 48), Image.Resampling.BICUBIC))


@pytest.fixture(params=["simplejpeg", "Pillow"])
def decoder(request, monkeypatch) -> str:
    """Both ways of reading JPEG: with the extra `fast` and without it."""
    if request.param == "Pillow":
        monkeypatch.setattr(images, "simplejpeg", None)
    return request.param


def save(path: Path, image: Image.Image | np.ndarray, **options) -> Path:
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return path


def encoded(image: np.ndarray, kind: str, **options) -> bytes:
    buffer = BytesIO()
    if kind == "HEIC":
        pillow_heif.from_pillow(Image.fromarray(image)).save(buffer, **options)
    else:
        Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "tga"])
def test_lossless_formats_come_back_exactly(tmp_path, photo, suffix):
    np.testing.assert_array_equal(read_rgb(save(tmp_path / f"a.{suffix}", photo)), photo)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 30}, {"subsampling": 0}])
def test_jpeg_equals_pillows_own_decoding_within_two_levels(tmp_path, photo, decoder, options):
    path = save(tmp_path / "a.jpg", photo, **options)
    difference = read_rgb(path).astype(int) - np.array(Image.open(path)).astype(int)
    assert np.abs(difference).max() <= 2


def test_real_photographs_equal_pillows_own_decoding_within_two_levels(labelbeam_data):
    for path in sorted((labelbeam_data / "coco/val2017").glob("*.jpg"))[:8]:
        expected = np.array(Image.open(path).convert("RGB")).astype(int)
        assert np.abs(read_rgb(path).astype(int) - expected).max() <= 2


@pytest.mark.parametrize(("suffix", "tolerance"), [("webp", 3), ("avif", 3), ("heic", 8), ("gif", 10)])
def test_lossy_formats_come_back_nearly(tmp_path, photo, suffix, tolerance):
    path = tmp_path / f"a.{suffix}"
    if suffix == "heic":
        pillow_heif.from_pillow(Image.fromarray(photo)).save(path, quality=95)
    else:
        save(path, photo, **({"quality": 95} if suffix != "gif" else {}))
    assert np.abs(read_rgb(path).astype(int) - photo.astype(int)).mean() < tolerance


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_the_way_its_orientation_says(tmp_path, photo, suffix, orientation, decoder):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {} if suffix in {"tif", "png"} else {"quality": 95}
    path = save(tmp_path / f"a.{suffix}", photo, exif=exif, **options)
    expected = np.array(ImageOps.exif_transpose(Image.open(path)).convert("RGB")).astype(int)
    assert expected.shape == ((48, 64, 3) if orientation < 5 else (64, 48, 3))
    assert np.abs(read_rgb(path).astype(int) - expected).max() <= 2


def test_an_orientation_in_xmp_is_obeyed_where_exif_is_silent(tmp_path, photo, decoder):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    path = save(tmp_path / "a.jpg", photo, xmp=xmp)
    assert read_rgb(path).shape == (64, 48, 3)


@pytest.mark.parametrize(
    "block",
    [b"", b"II", b"II*\0\xff\xff\xff\xff", b"XX*\0\x08\0\0\0", b"II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 40],
    ids=["empty", "two bytes", "points past the end", "no byte order", "more entries than bytes"],
)
@pytest.mark.filterwarnings("ignore:.*EXIF.*:UserWarning", "ignore:Tag data larger:UserWarning")
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_a_broken_exif_block_does_not_stop_a_picture(tmp_path, photo, block, suffix, decoder):
    path = save(tmp_path / f"a.{suffix}", photo, exif=b"Exif\0\0" + block)
    assert read_rgb(path).shape == (48, 64, 3)


def test_an_orientation_that_is_no_orientation_is_ignored(tmp_path, photo, decoder):
    exif = Image.Exif()
    exif[0x0112] = 9
    assert read_rgb(save(tmp_path / "a.jpg", photo, exif=exif)).shape == (48, 64, 3)


def test_cmyk_is_read_as_pillow_converts_it(tmp_path, photo, decoder):
    path = save(tmp_path / "a.jpg", Image.fromarray(photo).convert("CMYK"), quality=95)
    np.testing.assert_array_equal(read_rgb(path), np.array(Image.open(path).convert("RGB")))
    assert np.abs(read_rgb(path).astype(int) - photo).mean() < 6


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path, suffix):
    values = np.array([[0, 128, 129, 257], [20_000, 32_768, 65_407, 65_535]], dtype=np.uint16)
    pixels = read_rgb(save(tmp_path / f"a.{suffix}", values))
    np.testing.assert_array_equal(pixels[:, :, 0], np.round(values / 257).astype(np.uint8))
    assert (pixels[:, :, :1] == pixels).all()


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_grey_palette_and_black_and_white_become_rgb(tmp_path, photo, mode):
    image = Image.fromarray(photo).convert(mode)
    np.testing.assert_array_equal(read_rgb(save(tmp_path / "a.png", image)), np.array(image.convert("RGB")))


def test_a_grey_jpeg_becomes_rgb(tmp_path, photo, decoder):
    pixels = read_rgb(save(tmp_path / "a.jpg", Image.fromarray(photo).convert("L")))
    assert pixels.shape == (48, 64, 3)
    assert (pixels[:, :, :1] == pixels).all()


@pytest.mark.parametrize(
    ("mode", "colours"), [("RGBA", [(9, 8, 7, 0), (0, 100, 200, 128)]), ("LA", [(9, 0), (100, 128)])]
)
def test_transparency_is_laid_over_white(tmp_path, mode, colours):
    image = Image.new(mode, (2, 1))
    for x, colour in enumerate(colours):
        image.putpixel((x, 0), colour)
    rgba = np.array(image.convert("RGBA")).astype(float)
    expected = rgba[..., :3] * rgba[..., 3:] / 255 + 255 - rgba[..., 3:]
    np.testing.assert_allclose(read_rgb(save(tmp_path / "a.png", image)), expected, atol=1)


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_the_transparent_colour_of_a_palette_is_white(tmp_path, suffix):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    path = save(tmp_path / f"a.{suffix}", image, transparency=0)
    assert read_rgb(path).tolist() == [[[255, 255, 255], [0, 0, 255]]]


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_an_animation_gives_its_first_frame(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **options)
    assert read_rgb(tmp_path / f"a.{suffix}")[4, 4].tolist() == [255, 0, 0]


def test_the_content_decides_what_a_file_is_and_not_its_name(tmp_path, photo):
    (tmp_path / "a.txt").write_bytes(encoded(photo, "PNG"))
    np.testing.assert_array_equal(read_rgb(str(tmp_path / "a.txt")), photo)
    (tmp_path / "b.jpg").write_bytes(encoded(photo, "PNG"))
    np.testing.assert_array_equal(read_rgb(tmp_path / "b.jpg"), photo)


@pytest.mark.parametrize("at_least", [(60, 80), (100, 100), (240, 320), (479, 10), (480, 640), (500, 700)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_may_come_smaller_but_never_below_what_is_enough(
    tmp_path, photo, at_least, orientation, decoder
):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.jpg", Image.fromarray(photo).resize((640, 480)), exif=exif)
    full = read_rgb(path)
    pixels = read_rgb(path, at_least=at_least)
    assert pixels.shape[0] >= min(at_least[0], full.shape[0])
    assert pixels.shape[1] >= min(at_least[1], full.shape[1])
    if at_least == (60, 80):
        assert pixels.size < full.size / 4
        again = np.array(Image.fromarray(full).resize(pixels.shape[1::-1], Image.Resampling.BOX))
        assert np.abs(pixels.astype(int) - again).mean() < 3


@pytest.mark.parametrize("ending", [b"", b"\xff\xd9"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_truncated_jpeg_is_an_error_and_never_padded_with_grey(tmp_path, photo, progressive, ending):
    raw = encoded(photo, "JPEG", progressive=progressive)
    (tmp_path / "a.jpg").write_bytes(raw[: len(raw) * 2 // 3] + ending)
    with pytest.raises(UnreadableImage, match="damaged or truncated JPEG"):
        read_rgb(tmp_path / "a.jpg")


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WebP", "BMP", "TIFF", "AVIF", "JPEG", "HEIC"])
@pytest.mark.parametrize("share", [0.3, 0.97])
def test_a_truncated_file_of_any_format_is_named_as_damaged(tmp_path, photo, kind, share, decoder):
    large = np.array(Image.fromarray(photo).resize((128, 96)))
    raw = encoded(large, kind)
    path = tmp_path / "a.jpg"
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(UnreadableImage) as error:
        read_rgb(path)
    assert all(
        word in str(error.value) for word in (str(path), "damaged or truncated", kind, "Copy it again")
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WebP", "TIFF", "AVIF", "HEIC"])
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_whatever_bytes_are_damaged_the_answer_is_pixels_or_unreadable_image(tmp_path, photo, kind, decoder):
    raw = encoded(photo, kind)
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(60):
        damaged = np.frombuffer(raw, np.uint8).copy()
        where = rng.integers(0, min(len(raw), rng.choice([60, 300, 100_000])), size=rng.integers(1, 10))
        damaged[where] = rng.integers(0, 256, size=len(where))
        (tmp_path / "a").write_bytes(damaged.tobytes())
        try:
            outcomes.add(read_rgb(tmp_path / "a").ndim)
        except UnreadableImage:
            outcomes.add("unreadable")
    assert "unreadable" in outcomes


def odd_jpegs(photo: np.ndarray) -> dict[str, bytes]:
    raw = encoded(photo, "JPEG")
    jfif, scan = raw.find(b"JFIF\0") + 5, raw.find(b"\xff\xda")
    last = scan + 5 + 2 * raw[scan + 4] + 1  # where the scan's last coefficient is stated
    return {
        "rubbish before the end": raw[:-2] + b"rubbish" * 8 + b"\xff\xd9",
        "tail after the end": raw + b"tail",
        "JFIF 3": raw[:jfif] + b"\3" + raw[jfif + 1 :],
        "scan parameters": raw[:last] + b"\x3e" + raw[last + 1 :],
        "colour profile": raw[:2] + b"\xff\xe2\x00\x12ICC_PROFILE\0\x02\x05ab" + raw[2:],
    }


@pytest.mark.parametrize(
    "oddity", ["rubbish before the end", "tail after the end", "JFIF 3", "scan parameters", "colour profile"]
)
def test_a_jpeg_with_an_odd_header_or_end_but_every_pixel_is_read(tmp_path, photo, oddity, decoder):
    (tmp_path / "a.jpg").write_bytes(odd_jpegs(photo)[oddity])
    np.testing.assert_array_equal(
        read_rgb(tmp_path / "a.jpg"), np.array(Image.open(BytesIO(encoded(photo, "JPEG"))))
    )


def test_an_odd_header_does_not_hide_that_the_file_ends_early(tmp_path, photo):
    raw = odd_jpegs(photo)["JFIF 3"]
    (tmp_path / "a.jpg").write_bytes(raw[: len(raw) * 2 // 3])
    with pytest.raises(UnreadableImage, match="damaged or truncated JPEG"):
        read_rgb(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", ["empty (0 bytes)", "Copy it again"]),
        (b"<!DOCTYPE html><html>", ["not an image", "a web page"]),
        (b"%PDF-1.7 ...", ["not an image", "a PDF document"]),
        (b"version https://git-lfs.github.com/spec/v1", ["Git LFS pointer", "git lfs pull"]),
        (b"<svg xmlns='x'/>", ["an SVG drawing", "Convert it"]),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", ["a video"]),
        (b"hello, I am text", ["not an image", "b'hello, I'"]),
        (b"\xff\xd8\xff\xe0", ["damaged or truncated JPEG"]),
        (b"\x89PNG\r\n\x1a\n", ["damaged or truncated PNG"]),
    ],
)
def test_a_file_that_is_no_image_is_told_what_it_looks_like(tmp_path, raw, words, decoder):
    path = tmp_path / "a.jpg"
    path.write_bytes(raw)
    with pytest.raises(UnreadableImage) as error:
        read_rgb(path)
    assert all(word in str(error.value) for word in [str(path), *words]), error.value
    assert error.value.path == path
    assert isinstance(error.value, InputError)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(UnreadableImage, match="no such file"):
        read_rgb(tmp_path / "a.jpg")
    with pytest.raises(UnreadableImage, match="is a folder"):
        read_rgb(tmp_path)


@pytest.mark.parametrize(
    ("error", "words"),
    [(PermissionError(13, "denied"), "no permission"), (OSError(5, "I/O error"), "I/O error")],
)
def test_a_file_that_the_system_does_not_hand_over_says_so(tmp_path, monkeypatch, error, words):
    def refuse(path, flags):
        raise error

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UnreadableImage, match=words):
        read_rgb(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "heic"])
def test_more_pixels_than_the_limit_are_refused_before_decoding(tmp_path, photo, suffix, decoder):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(encoded(photo, {"jpg": "JPEG", "png": "PNG", "heic": "HEIC"}[suffix]))
    with pytest.raises(UnreadableImage, match=r"too many pixels \(64 x 48 = 3,072; the limit is 3,071\)"):
        read_rgb(path, max_pixels=3071)
    assert read_rgb(path, max_pixels=3072).shape == (48, 64, 3)


def test_a_small_file_that_claims_to_be_enormous_is_refused(tmp_path):
    header = b"P6 60000 60000 255\n"
    (tmp_path / "bomb.ppm").write_bytes(header)
    with pytest.raises(UnreadableImage, match="too many pixels"):
        read_rgb(tmp_path / "bomb.ppm")


def test_a_jpeg_of_a_hundred_megapixels_is_read_small_where_small_is_enough(tmp_path):
    path = save(tmp_path / "a.jpg", Image.new("L", (10_000, 10_000), 90), quality=50)
    pixels = read_rgb(path, at_least=(224, 224))
    assert pixels.shape == (1250, 1250, 3)
    assert pixels[600, 600].tolist() == [90, 90, 90]


def test_heic_without_the_package_names_the_extra(tmp_path, photo, monkeypatch):
    (tmp_path / "a.heic").write_bytes(encoded(photo, "HEIC"))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnreadableImage, match=r"pip install 'labelbeam\[heif\]'"):
        read_rgb(tmp_path / "a.heic")


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_pixels_that_are_32_bit_numbers_are_refused(tmp_path, dtype):
    path = save(tmp_path / "a.tif", np.ones((4, 4), dtype=dtype))
    with pytest.raises(UnreadableImage, match="32-bit numbers, for which no white is defined"):
        read_rgb(path)


def test_every_call_returns_an_array_of_its_own(tmp_path, photo):
    path = save(tmp_path / "a.png", photo)
    first = read_rgb(path)
    first[:] = 0
    np.testing.assert_array_equal(read_rgb(path), photo)
    assert first.flags.c_contiguous
    assert TiffImagePlugin.ImageFile.LOAD_TRUNCATED_IMAGES is False
