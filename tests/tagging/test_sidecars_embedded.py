"""Keywords inside photographs: pixels and other metadata stay, and what was written can be taken back."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from labelbeam.formats.photo_metadata.photographs import embedded_lists
from labelbeam.predict.prediction import Prediction, ScoredLabel
from labelbeam.tagging.sidecars import KeywordChoices, Sidecars, untag

EXIFTOOL = shutil.which("exiftool")
pytestmark = pytest.mark.skipif(
    EXIFTOOL is None, reason="needs exiftool (apt install libimage-exiftool-perl)"
)
LABELS = ("dog", "cœur 海")


def photograph(path: Path) -> Path:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8))
    exif = image.getexif()
    exif[0x010E] = "a title"
    if path.suffix == ".heic":
        pillow_heif.from_pillow(image).save(path, exif=exif.tobytes())
    else:
        image.save(path, exif=exif)
    said = ["-XMP-dc:Title=Title", "-XMP-dc:Subject=Anna"]
    subprocess.run([str(EXIFTOOL), "-q", "-overwrite_original", *said, str(path)], check=True)
    return path


def others(path: Path) -> dict[str, object]:
    """Everything but keywords, and where things lie in the file."""
    told = subprocess.run([str(EXIFTOOL), "-json", "-G1", "-a", str(path)], capture_output=True, check=True)
    [found] = json.loads(told.stdout)
    groups = ("System:", "ExifTool:", "IPTC:", "Photoshop:", "SourceFile", "XMP-lr:", "XMP-digiKam:")
    names = ("Subject", "StripOffsets", "CurrentIPTCDigest", "MediaData")
    return {
        key: value
        for key, value in found.items()
        if not key.startswith(groups) and not key.split(":")[-1].startswith(names)
    }


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.heic"])
def test_keywords_go_in_and_out_and_nothing_else_changes(tmp_path: Path, name: str) -> None:
    pillow_heif.register_heif_opener()
    path = photograph(tmp_path / name)
    pixels, told = Image.open(path).convert("RGB").tobytes(), others(path)
    writing = Sidecars("embed", tmp_path, labels=LABELS, named=[], choices=KeywordChoices(run="r 123456"))
    scored = tuple(ScoredLabel(label, 0.5, 0.5, 0.5, 0.0) for label in LABELS)
    assert writing.write(Prediction(str(path), scored)) == ""
    writing.finish()
    lists, _ = embedded_lists(path)
    iptc = {"IPTC": ["Anna", *LABELS]} if path.suffix in {".jpg", ".tif"} else {}
    names = ("dc:subject", "lr:hierarchicalSubject", "digiKam:TagsList")
    assert lists == {**{one: ["Anna", *LABELS] for one in names}, **iptc}
    assert (Image.open(path).convert("RGB").tobytes(), others(path)) == (pixels, told)
    assert untag(tmp_path).not_written == {}
    assert embedded_lists(path)[0] == {"dc:subject": ["Anna"]}
    assert (Image.open(path).convert("RGB").tobytes(), others(path)) == (pixels, told)


def test_a_read_only_photograph_and_one_elsewhere_are_left_alone(tmp_path: Path) -> None:
    inside, outside = photograph(tmp_path / "a.jpg"), photograph(tmp_path / "b.jpg")
    photos = tmp_path / "p"
    photos.mkdir()
    inside = inside.rename(photos / "a.jpg")
    inside.chmod(0o444)
    before = [path.read_bytes() for path in (inside, outside)]
    writing = Sidecars("embed", photos, labels=LABELS, named=[])
    scored = (ScoredLabel("dog", 0.5, 0.5, 0.5, 0.0),)
    assert "read-only" in writing.write(Prediction(str(inside), scored))
    assert "lies outside" in writing.write(Prediction(str(outside), scored))
    writing.finish()
    assert [path.read_bytes() for path in (inside, outside)] == before
