"""Which images stay: those with a file, those with a label."""

from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest

from labelbeam.data.dataset import Dataset, ReadOptions, settle
from labelbeam.data.finder import lost_images
from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import Vocabulary


def dataset(root: Path, *images: str, present: int = 1) -> Dataset:
    targets = np.full((len(images), 1), present, dtype=np.int8)
    return Dataset("csv:x", root, images, Vocabulary(("cat",)), targets, protocol={"difficult": "unknown"})


def test_files_are_found_in_the_root_in_folders_and_by_absolute_path(tmp_path):
    (tmp_path / "sub/deep").mkdir(parents=True)
    for name in ("a.jpg", "sub/b.jpg", "sub/deep/c.jpg"):
        (tmp_path / name).write_bytes(b"")
    absolute = str(tmp_path / "a.jpg")
    keys = ("a.jpg", "sub/b.jpg", "lost.jpg", "sub/deep/c.jpg", "sub/../a.jpg", absolute, "sub", "/lost.jpg")
    assert lost_images(tmp_path, keys) == ["lost.jpg", "sub", "/lost.jpg"]


def test_a_file_whose_name_is_taken_apart_on_disk_is_found_under_the_disks_name(tmp_path):
    on_disk = normalize("NFD", "がぞう.jpg")
    (tmp_path / on_disk).write_bytes(b"")
    settled = settle(dataset(tmp_path, normalize("NFC", "がぞう.jpg")), ReadOptions())
    assert settled.path(0).is_file()
    assert "another Unicode form" in settled.notes[0]


def test_skipped_and_unlabelled_images_are_recorded_in_the_protocol(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    settled = settle(dataset(tmp_path, "a.jpg", "b.jpg"), ReadOptions(missing="skip"))
    assert settled.images == ("a.jpg",)
    assert settled.protocol == {"difficult": "unknown", "missing": "skipped", "unlabelled": "kept"}


def test_an_unknown_label_is_not_a_label(tmp_path):
    with pytest.raises(InputError, match="no image has a label"):
        settle(dataset(tmp_path, "a.jpg", present=-1), ReadOptions(missing="keep", keep_unlabelled=False))


def test_skipping_every_image_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"2 of 2 image files are missing .*No image is left"):
        settle(dataset(tmp_path, "a.jpg", "b.jpg"), ReadOptions(missing="skip"))


@pytest.mark.parametrize(
    "name", ["x" * 300 + ".jpg", "x" * 300 + "/a.jpg", "a\0.jpg", "\0/a.jpg", "\ud800.jpg", "y/" * 3000]
)
def test_a_name_that_no_file_can_have_is_missing(tmp_path, name):
    (tmp_path / "a.jpg").write_bytes(b"")
    assert lost_images(tmp_path, ["a.jpg", name]) == [name]
    with pytest.raises(InputError, match="1 of 2 image files are missing"):
        settle(dataset(tmp_path, "a.jpg", name), ReadOptions())
    assert settle(dataset(tmp_path, "a.jpg", name), ReadOptions(missing="skip")).images == ("a.jpg",)


def test_a_file_of_the_name_but_another_suffix_is_shown(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"missing.*a\.jpg\. a\.png is there, another file by its name"):
        settle(dataset(tmp_path, "a.jpg"), ReadOptions())
