"""Images inside archives are read, looked for and noticed to change as if they lay in a folder."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelbeam.data import image_bytes as module
from labelbeam.data.finder import lost_images
from labelbeam.data.image_bytes import image_bytes, image_exists, image_mark, within_archive
from labelbeam.data.images import UnreadableImage, read_rgb


@pytest.fixture
def archive(tmp_path) -> Path:
    """photos.tar with a.png and sub/b c.png."""
    for i, name in enumerate(("a.png", "sub/b c.png")):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 2), (i, 5, 9)).save(tmp_path / "photos" / name)
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(tmp_path / "photos", arcname=".")
    return tmp_path / "photos.tar"


def test_a_member_has_the_bytes_and_pixels_of_the_file_it_was(archive):
    for name in ("a.png", "sub/b c.png"):
        plain = archive.with_suffix("") / name
        assert image_bytes(archive / name) == image_bytes(plain) == plain.read_bytes()
        np.testing.assert_array_equal(read_rgb(archive / name), read_rgb(plain))


def test_members_are_there_or_not_like_files(archive):
    keys = ("photos.tar/a.png", "photos.tar/sub/b c.png", "photos.tar/sub/lost.png", "photos.tar/lost/a.png")
    assert lost_images(archive.parent, keys) == ["photos.tar/sub/lost.png", "photos.tar/lost/a.png"]
    assert image_exists(archive)
    assert not image_exists(archive / "sub")


def test_a_folder_may_be_called_like_an_archive(tmp_path):
    (tmp_path / "old.tar").mkdir()
    (tmp_path / "old.tar/a.jpg").write_bytes(b"x")
    assert within_archive(tmp_path / "old.tar/a.jpg") is None
    assert image_bytes(tmp_path / "old.tar/a.jpg") == b"x"
    assert image_exists(tmp_path / "old.tar/a.jpg")


def test_a_changed_archive_is_read_anew_and_its_mark_differs(archive, tmp_path):
    before, mark = image_bytes(archive / "a.png"), image_mark(archive / "a.png")
    Image.new("RGB", (30, 20), (7, 7, 7)).save(tmp_path / "photos/a.png")
    with tarfile.open(archive, "w") as tar:
        tar.add(tmp_path / "photos", arcname=".")
        tar.add(tmp_path / "photos", arcname="again")
    assert image_bytes(archive / "a.png") == (tmp_path / "photos/a.png").read_bytes() != before
    assert image_mark(archive / "a.png") != mark
    assert image_mark(archive / "nothing") != (-1, -1) == image_mark(tmp_path / "nothing")


def test_of_two_members_of_one_name_the_later_counts_as_tar_itself_has_it(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for content in ("old", "newer"):
            (tmp_path / "a.txt").write_text(content)
            tar.add(tmp_path / "a.txt", arcname="a.txt")
    assert image_bytes(tmp_path / "a.tar/a.txt") == b"newer"


def test_an_archive_is_indexed_once_for_all_its_members(archive, monkeypatch):
    opened = []
    real = module.tar_members
    monkeypatch.setattr(module, "tar_members", lambda path: opened.append(path) or real(path))
    for _ in range(3):
        image_bytes(archive / "a.png")
        image_bytes(archive / "sub/b c.png")
    assert opened == [archive]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("lost.png", None, ["lost.png", "no such file"]),
        ("a.png", b"\x1f\x8b" + bytes(600), ["its archive cannot be read", "compressed", "gunzip"]),
        ("a.png", b"rubbish" * 200, ["its archive cannot be read", "not a tar archive"]),
    ],
)
def test_a_member_that_cannot_be_read_is_an_unreadable_image(archive, name, content, words):
    if content is not None:
        archive.write_bytes(content)
    with pytest.raises(UnreadableImage) as error:
        read_rgb(archive / name)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "x" * 300 + ".tar/a.jpg", "\0.tar/a.jpg"])
def test_a_name_that_no_file_can_have_is_a_file_that_is_not_there(tmp_path, name):
    assert not image_exists(tmp_path / name)
    assert image_mark(tmp_path / name) == (-1, -1)
    with pytest.raises(OSError, match=r"too long|can be called"):
        image_bytes(tmp_path / name)
