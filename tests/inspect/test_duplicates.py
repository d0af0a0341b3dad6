"""Copies of photographs are found, different ones are not; files that cannot be read are told."""

import io
import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image

from labelbeam.inspect.duplicates import (
    DuplicateGroup,
    duplicate_groups,
    fingerprint,
    fingerprints,
    is_blank,
)


def picture(seed: int, *, width: int = 240, height: int = 180) -> Image.Image:
    """A smooth random picture, as full of structure as a photograph."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


CHANGES = {
    "saved at quality 25": lambda image: reopened(image, quality=25),
    "half its size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "another shape": lambda image: image.resize((224, 224)),
    "one percent cropped": lambda image: image.crop((2, 2, image.width - 2, image.height - 2)),
    "brighter": lambda image: image.point(lambda value: min(255, int(1.15 * value))),
}


def reopened(image: Image.Image, *, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue()))


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_among_other_pictures(change, tmp_path):
    for seed in range(12):
        picture(seed).save(tmp_path / f"{seed:02d}.png")
    CHANGES[change](picture(5)).save(tmp_path / "copy.png")
    prints = fingerprints(sorted(tmp_path.iterdir()))
    groups = duplicate_groups(prints)
    assert [group.members for group in groups] == [(5, 12)]
    assert not groups[0].exact
    assert 0.85 <= groups[0].likeness < 1


def test_a_mirrored_copy_is_found_and_called_so(tmp_path):
    for seed in range(6):
        picture(seed).save(tmp_path / f"{seed}.png")
    picture(2).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "flip.jpg", quality=60)
    picture(4).resize((120, 90)).save(tmp_path / "small.png")
    groups = duplicate_groups(fingerprints(sorted(tmp_path.iterdir())))
    assert [(group.members, group.mirrored) for group in groups] == [((2, 6), True), ((4, 7), False)]


def test_a_symmetric_picture_and_its_copy_are_not_called_mirrored(tmp_path):
    half = np.asarray(picture(0))
    both = Image.fromarray(np.concatenate((half, half[:, ::-1]), axis=1))
    both.save(tmp_path / "a.png")
    both.resize((200, 75)).save(tmp_path / "b.png")
    groups = duplicate_groups(fingerprints(sorted(tmp_path.iterdir())))
    assert [(group.members, group.mirrored) for group in groups] == [((0, 1), False)]


def test_the_same_bytes_are_an_exact_copy_whatever_the_file_is_called(tmp_path):
    picture(0).save(tmp_path / "a.png")
    picture(1).save(tmp_path / "b.png")
    shutil.copy(tmp_path / "a.png", tmp_path / "z.jpg")
    prints = fingerprints(sorted(tmp_path.iterdir()))
    assert duplicate_groups(prints) == [DuplicateGroup((0, 2), exact=True, likeness=1.0)]
    assert prints[2].kind == "PNG"


def test_exact_copies_of_a_near_copy_are_one_group(tmp_path):
    picture(0).save(tmp_path / "a.png")
    shutil.copy(tmp_path / "a.png", tmp_path / "b.png")
    picture(0).resize((120, 90)).save(tmp_path / "c.png")
    groups = duplicate_groups(fingerprints(sorted(tmp_path.iterdir())))
    assert [(group.members, group.exact) for group in groups] == [((0, 1, 2), False)]


def test_blank_pictures_and_unreadable_files_are_copies_of_nothing_but_their_bytes(tmp_path):
    for name, colour in (("a.png", "navy"), ("b.png", "red"), ("c.png", "white")):
        Image.new("RGB", (50, 40), colour).save(tmp_path / name)
    (tmp_path / "d.jpg").write_bytes(b"")
    (tmp_path / "e.jpg").write_bytes(b"")
    prints = fingerprints([*sorted(tmp_path.iterdir()), tmp_path / "gone.jpg"])
    assert duplicate_groups(prints) == []
    assert [is_blank(one) for one in prints] == [True] * 3 + [False] * 3
    assert [one.error.split(".")[0] for one in prints[3:]] == [
        *["the file is empty (0 bytes)"] * 2,
        "no such file",
    ]


def test_many_frames_of_one_film_are_one_group(tmp_path):
    paths = []
    for i in range(40):
        frame = np.asarray(picture(3)).copy()
        frame[0, 0] = i  # one pixel differs, so the bytes do
        paths.append(tmp_path / f"{i:02d}.png")
        Image.fromarray(frame).save(paths[-1])
    groups = duplicate_groups(fingerprints(paths))
    assert [group.members for group in groups] == [tuple(range(40))]


def test_pictures_inside_an_archive_are_compared_with_those_outside(tmp_path):
    picture(0).save(tmp_path / "a.png")
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        tar.add(tmp_path / "a.png", "x/b.png")
    prints = fingerprints([tmp_path / "a.png", tmp_path / "shard.tar" / "x" / "b.png"])
    assert duplicate_groups(prints) == [DuplicateGroup((0, 1), exact=True, likeness=1.0)]


def test_no_image_is_no_group():
    assert duplicate_groups([]) == []


def test_sizes_are_those_of_the_file_the_way_up_that_it_is_shown(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(0, width=900, height=600).save(tmp_path / "a.jpg", exif=exif)
    found = fingerprint(tmp_path / "a.jpg")
    assert (found.width, found.height, found.kind) == (600, 900, "JPEG")
    assert found.num_bytes == (tmp_path / "a.jpg").stat().st_size
    assert found.look.shape == (16, 16, 3)


def test_no_two_voc_photographs_are_called_copies_and_their_small_versions_are(labelbeam_data, tmp_path):
    folder = labelbeam_data / "VOCdevkit" / "VOC2007" / "JPEGImages"
    paths = sorted(folder.glob("*.jpg"))[:300]
    small = []
    for path in paths[:100]:
        with Image.open(path) as image:
            image.resize((image.width // 2, image.height // 2)).save(tmp_path / path.name, quality=50)
        small.append(tmp_path / path.name)
    groups = duplicate_groups(fingerprints(paths + small))
    assert [group.members for group in groups] == [(i, 300 + i) for i in range(100)]
