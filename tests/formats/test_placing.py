"""Image files beside their labels: where they go, out of archives too, and how files refer to them."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelbeam.data.dataset import Dataset
from labelbeam.errors import InputError
from labelbeam.formats.placing import place_image, place_images, placed_keys, references
from labelbeam.labels.vocabulary import Vocabulary

PARTS = st.lists(st.sampled_from(["photos", "a", "が", "..", "b c"]), min_size=0, max_size=4)


@given(st.lists(PARTS, min_size=1, max_size=5), PARTS)
def test_many_at_once_are_the_same_as_one_by_one(sources, folder):
    paths = [Path("/no/such/place", *parts, "x.jpg") for parts in sources]
    here = Path("/no/such/place", *folder)
    assert references(paths, here) == [references([path], here)[0] for path in paths]


def test_relative_paths_start_from_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert references([Path("a.jpg"), Path("b/c.jpg")], Path()) == ["a.jpg", "b/c.jpg"]
    assert references([Path("a.jpg")], Path("out")) == [f"{tmp_path.as_posix()}/a.jpg"]


def test_a_file_at_the_root_has_one_slash():
    assert references([Path("/x.jpg")], Path("/out")) == ["/x.jpg"]


def test_links_to_folders_are_followed_and_an_image_keeps_its_own_name(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/SHA256-1f").write_bytes(b"x")
    (tmp_path / "real/cat.jpg").symlink_to("SHA256-1f")
    (tmp_path / "other").symlink_to("real")
    assert references([tmp_path / "other/cat.jpg"], tmp_path / "real") == ["cat.jpg"]


@given(st.lists(st.sampled_from(["/", "//", "..", ".", "a", "C:", "b c"]), max_size=5))
def test_a_placed_image_stays_inside_its_folder(parts):
    place = Path("/new/folder", placed_keys(["/".join([*parts, "x.jpg"])])[0])
    assert ".." not in place.parts
    assert place.is_relative_to("/new/folder")
    assert place.name == "x.jpg"


@pytest.mark.parametrize("images", ["link", "copy"])
def test_images_are_taken_out_of_an_archive_beside_plain_files(tmp_path, images):
    (tmp_path / "plain.jpg").write_bytes(b"plain")
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        info = tarfile.TarInfo("sub/0.jpg")
        info.size = 6
        tar.addfile(info, io.BytesIO(b"inside"))
    keys = ("plain.jpg", "shard.tar/sub/0.jpg")
    dataset = Dataset("made:up", tmp_path, keys, Vocabulary(("cat",)), np.ones((2, 1), np.int8))
    assert place_images(dataset, tmp_path / "new", images=images) == list(keys)
    assert (tmp_path / "new/shard.tar/sub/0.jpg").read_bytes() == b"inside"
    assert (tmp_path / "new/plain.jpg").samefile(tmp_path / "plain.jpg") == (images == "link")


@pytest.mark.parametrize(
    ("key", "target", "words"),
    [
        ("lost.jpg", "new.jpg", "lost.jpg is missing"),
        ("shard.tar/lost.jpg", "new.jpg", "lost.jpg is missing"),
        ("a.jpg", "there.jpg", "two images want the place there.jpg"),
        ("a.jpg", "x" * 300 + ".jpg", "cannot be placed"),
        ("a.jpg", "a\0.jpg", "cannot be placed"),
        ("a.jpg", "there.jpg/a.jpg", "cannot be placed|is missing"),
    ],
)
def test_what_cannot_be_placed_is_an_error_that_names_it(tmp_path, key, target, words):
    for name in ("a.jpg", "there.jpg"):
        (tmp_path / name).write_bytes(b"x")
    tarfile.open(tmp_path / "shard.tar", "w").close()
    with pytest.raises(InputError, match=words):
        place_image(tmp_path / key, tmp_path / target, images="copy", within=tmp_path)


@pytest.mark.parametrize("way", ["copy", "link"])
@pytest.mark.parametrize(
    "key", ["/etc/hostname", "../secret.jpg", "sub/../../secret.jpg", "notes.txt", "link.jpg"]
)
def test_only_images_are_placed_and_only_from_the_folder_that_was_named(tmp_path, way, key):
    (tmp_path / "set/sub").mkdir(parents=True)
    (tmp_path / "secret.jpg").write_bytes(b"\xff\xd8\xff secret")
    (tmp_path / "set/notes.txt").write_bytes(b"root:x:0:0")
    (tmp_path / "set/link.jpg").symlink_to("notes.txt")
    dataset = Dataset("made:up", tmp_path / "set", (key,), Vocabulary(("cat",)), np.ones((1, 1), np.int8))
    with pytest.raises(InputError, match=r"lies outside of|is no image"):
        place_images(dataset, tmp_path / "new", images=way)
    assert not list((tmp_path / "new").rglob("*.*"))


def test_an_image_that_is_a_link_into_a_store_is_placed(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store/k").write_bytes(b"\xff\xd8\xff a photograph")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.jpg").symlink_to("../store/k")
    dataset = Dataset("made:up", tmp_path / "set", ("a.jpg",), Vocabulary(("cat",)), np.ones((1, 1), np.int8))
    place_images(dataset, tmp_path / "new", images="copy")
    assert (tmp_path / "new/a.jpg").read_bytes() == b"\xff\xd8\xff a photograph"
