"""FiftyOne's folder: numbers and names, one or several labels, images by their stems."""

import json
from pathlib import Path

import pytest

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.fiftyone import read_fiftyone

KEEP = ReadOptions(missing="keep")


def write(
    folder: Path, labels: object, classes: object = ("cat", "dog"), files: tuple[str, ...] = ()
) -> Path:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "labels.json").write_text(json.dumps({"classes": classes, "labels": labels}))
    for name in files:
        (folder / "data" / name).write_bytes(b"")
    return folder


def test_a_list_is_several_labels_a_number_one_and_null_unknown(tmp_path):
    labels = {"a": [0, 1], "b": 1, "c": None, "d": [], "e": {"label": "cat", "confidence": 0.9}}
    dataset = read_fiftyone(write(tmp_path, labels), "", options=KEEP)
    assert dataset.images == ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg")
    assert dataset.targets.tolist() == [[1, 1], [0, 1], [-1, -1], [0, 0], [1, 0]]
    assert "nobody labelled" in dataset.notes[1]


def test_without_classes_labels_are_names_sorted(tmp_path):
    dataset = read_fiftyone(write(tmp_path, {"a": ["sea", "boat"], "b": "sky"}, None), "", options=KEEP)
    assert dataset.vocabulary.names == ("boat", "sea", "sky")


def test_images_have_the_suffix_that_is_on_disk(tmp_path):
    home = write(tmp_path, {"a": 0, "b.c": 1}, files=("a.png", "b.c.JPEG", "notes.txt"))
    assert read_fiftyone(home, "").images == ("a.png", "b.c.JPEG")


def test_a_manifest_says_where_images_are(tmp_path):
    home = write(tmp_path / "set", {"a": 0, "b": 1}, files=("b.jpg",))
    (tmp_path / "elsewhere.png").write_bytes(b"")
    (home / "data.json").write_text(json.dumps({"a": str(tmp_path / "elsewhere.png")}))
    dataset = read_fiftyone(home, "")
    assert dataset.images == (str(tmp_path / "elsewhere.png"), "data/b.jpg")


def test_a_folder_for_each_split_is_read_by_its_name(tmp_path):
    write(tmp_path / "train", {"a": 0})
    write(tmp_path / "test", {"b": 1, "c": 0})
    assert len(read_fiftyone(tmp_path, "test", options=KEEP)) == 2
    with pytest.raises(InputError, match=r"say which split: fiftyone:.*#test, fiftyone:.*#train"):
        read_fiftyone(tmp_path, "")
    with pytest.raises(InputError, match="Did you mean 'train'"):
        read_fiftyone(tmp_path, "trian")


@pytest.mark.parametrize(
    ("labels", "classes", "files", "words"),
    [
        ({"a": 0}, ("cat",), ("a.jpg", "a.png"), ["'a' is ambiguous", "a.jpg and a.png"]),
        ({"a": 2}, ("cat",), (), ["labels of 'a'", "'2' names no class", "1 classes"]),
        ({"a": -1}, ("cat",), (), ["'-1' names no class"]),
        ({"a": True}, ("cat",), (), ["'True' names no class"]),
        ({"a": 0}, None, (), ["no classes"]),
        ({"a": "cta"}, ("cat",), (), ["unknown label 'cta'", "'cat'"]),
        (["a"], ("cat",), (), ["is not of the form", "FiftyOneImageClassificationDataset"]),
        ({"a": 0}, "cat", (), ["is not of the form"]),
        ({}, ("cat",), (), ["no image is listed"]),
        ({"a": 0}, ("cat",), (), ["1 of 1 image files are missing", "--missing"]),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, labels, classes, files, words):
    with pytest.raises(InputError) as error:
        read_fiftyone(write(tmp_path, labels, classes, files), "")
    assert all(word in str(error.value) for word in words), error.value


def test_json_cut_short_names_line_and_column(tmp_path):
    home = write(tmp_path, {"a": 0})
    (home / "labels.json").write_text('{"classes": ["a"],\n "labels": {"a": ')
    with pytest.raises(InputError, match=r"labels\.json, line 2, column 18: not JSON"):
        read_fiftyone(home, "")
