"""Images are found where data sets keep them, under the names that files have; what could be two files is not taken."""

from pathlib import Path
from unicodedata import normalize

import pytest

from labelbeam.data.finder import find_images, lost_images
from labelbeam.errors import InputError


def files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


@pytest.mark.parametrize(
    ("there", "names", "root", "keys"),
    [
        (["a.jpg", "s/b.jpg"], ["a.jpg", "s/b.jpg"], ".", ["a.jpg", "s/b.jpg"]),
        (["data/a.jpg", "data/b.jpg"], ["a.jpg", "b.jpg"], "data", ["a.jpg", "b.jpg"]),
        (["Images/a.jpg"], ["a.jpg"], "Images", ["a.jpg"]),
        (["a.jpg", "b.png"], ["a", "b"], ".", ["a.jpg", "b.png"]),
        (["x.tif/a.JPG"], ["x.tif/a.jpg"], ".", ["x.tif/a.JPG"]),
        (["images/s/a.jpg"], ["/home/x/set/images/s/a.jpg"], ".", ["images/s/a.jpg"]),
        (["a.jpg"], ["bucket/deep/a.jpg"], ".", ["a.jpg"]),
        (["my cat.jpg"], ["my%20cat.jpg"], ".", ["my cat.jpg"]),
        (["000042.jpg", "000007.jpg"], ["42", "7"], ".", ["000042.jpg", "000007.jpg"]),
        (["42.jpg"], ["42.0"], ".", ["42.jpg"]),
        (["one/a.jpg", "two/b.jpg"], ["a.jpg", "b.jpg"], ".", ["one/a.jpg", "two/b.jpg"]),
        (["one/A.jpg", "two/b.JPG"], ["One/a.jpg", "b.jpg"], ".", ["one/A.jpg", "two/b.JPG"]),
        (["one/0007.png", "two/8.png"], ["7.0", "8"], ".", ["one/0007.png", "two/8.png"]),
        (["at 1.02\u202fPM.png"], ["at 1.02 PM.png"], ".", ["at 1.02\u202fPM.png"]),
        (["one/pics/a.jpg", "two/pics/b.jpg"], ["a", "b"], ".", ["one/pics/a.jpg", "two/pics/b.jpg"]),
    ],
)
def test_names_are_found_where_data_sets_keep_images(tmp_path, there, names, root, keys):
    files(tmp_path, *there)
    found = find_images(tmp_path, names)
    assert found.root == tmp_path / root
    assert list(found.keys) == keys
    assert lost_images(found.root, keys) == []
    assert bool(found.notes) == (keys != names or root != ".")


def test_images_beside_the_folder_of_the_labels_are_found(tmp_path):
    files(tmp_path, "images/a.jpg")
    (tmp_path / "annotations").mkdir()
    found = find_images(tmp_path / "annotations", ["a.jpg"])
    assert (found.root, found.keys) == (tmp_path / "images", ("a.jpg",))


@pytest.mark.parametrize("layout", ["{}/0.jpg", "images/{}/0.jpg", "{}/images/0.jpg", "deep/er/{}/0.jpg"])
def test_one_name_in_two_subsets_is_two_images(tmp_path, layout):
    files(tmp_path, layout.format("Train"), layout.format("val"))
    found = find_images(tmp_path, ["0.jpg", "0.jpg"], subsets=["Train", "val"])
    assert [found.root / key for key in found.keys] == [tmp_path / layout.format(s) for s in ("Train", "val")]


def test_folders_of_subsets_may_have_another_word_for_them(tmp_path):
    files(tmp_path, "training/0.jpg", "val/0.jpg")
    found = find_images(tmp_path, ["0.jpg", "0.jpg"], subsets=["train", "validation"])
    assert found.keys == ("training/0.jpg", "val/0.jpg")


@pytest.mark.parametrize("there", [["a.jpg", "a.png"], ["one/a.jpg", "two/a.jpg"]])
def test_what_could_be_two_files_is_not_taken_and_both_are_named(tmp_path, there):
    files(tmp_path, *there)
    found = find_images(tmp_path, ["a"])
    assert found.keys == (None,)
    with pytest.raises(InputError, match=f"ambiguous: there are {there[0]} and {there[1]} .*--root"):
        found.refuse_several("csv:a.csv")


def test_two_names_do_not_share_a_file_that_neither_has(tmp_path):
    files(tmp_path, "a.jpg")
    assert find_images(tmp_path, ["x/a.jpg", "y/a.jpg"]).keys == (None, None)
    assert find_images(tmp_path, ["a.jpg", "x/a.jpg"]).keys == ("a.jpg", None)


def test_a_folder_that_holds_some_of_the_names_is_believed_to_hold_them_all(tmp_path):
    files(tmp_path, "train/a.jpg", "backup/b.jpg", "b.jpg")
    assert find_images(tmp_path, ["train/a.jpg", "train/b.jpg"]).keys == ("train/a.jpg", None)


def test_another_suffix_is_another_file(tmp_path):
    files(tmp_path, "a.png")
    assert find_images(tmp_path, ["a.jpg"]).keys == (None,)


def test_another_unicode_form_is_said(tmp_path):
    files(tmp_path, normalize("NFD", "がぞう.jpg"))
    found = find_images(tmp_path, [normalize("NFC", "がぞう.jpg")])
    assert lost_images(found.root, found.keys) == []
    assert "another Unicode form" in found.notes[0]


@pytest.mark.parametrize("there", ["images/{}", "data/train/{}", "train_images/{}", "deep/er/{}"])
def test_the_working_folder_is_looked_through_as_any_other(tmp_path, monkeypatch, there):
    files(tmp_path, there.format("0042.jpg"), there.format("b.JPG"))
    monkeypatch.chdir(tmp_path)
    found = find_images(Path(), ["42", "b.jpg"])
    assert [(found.root / str(key)).as_posix() for key in found.keys] == [
        there.format(name) for name in ("0042.jpg", "b.JPG")
    ]
