"""Create ML's JSON, of image labels and of boxes."""

import json
from pathlib import Path

import numpy as np
import pytest

from labelbeam.data.dataset import Dataset
from labelbeam.errors import InputError
from labelbeam.formats.json_documents import read_createml, write_createml
from labelbeam.labels.vocabulary import Vocabulary


def written(file: Path, entries: object, images: tuple[str, ...] = ()) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(entries))
    for image in images:
        (file.parent / image).touch()
    return file


def test_labels_of_images(tmp_path):
    entries = [
        {"filename": "a.jpg", "annotations": ["pot", "aloe"]},
        {"filename": "b.jpg", "annotations": []},
    ]
    file = written(tmp_path / "annotations.json", entries, ("a.jpg", "b.jpg"))
    for path in (tmp_path, file):
        dataset = read_createml(path, "")
        assert dataset.vocabulary.names == ("aloe", "pot")
        assert dataset.targets.tolist() == [[1, 1], [0, 0]]


def test_boxes_in_a_folder_for_each_split(tmp_path):
    box = {"x": 1, "y": 1, "width": 2, "height": 2}
    for split, label in (("train", "cat"), ("valid", "dog")):
        entries = [{"image": "a.jpg", "annotations": [{"label": label, "coordinates": box}] * 2}]
        written(tmp_path / split / "_annotations.createml.json", entries, ("a.jpg",))
    dataset = read_createml(tmp_path, "valid")
    assert dataset.images == ("valid/a.jpg",)
    assert dataset.vocabulary.names == ("cat", "dog")
    assert dataset.targets.tolist() == [[0, 1]]
    assert any("where the boxes are is not read" in note for note in dataset.notes)
    assert len(read_createml(tmp_path, "")) == 2


def test_what_is_written_is_read_back(tmp_path):
    (tmp_path / "a.jpg").touch()
    targets = np.array([[1, -1]], np.int8)
    dataset = Dataset("x", tmp_path, ("a.jpg",), Vocabulary(("海", "cat")), targets)
    notes = write_createml(dataset, tmp_path / "out.json")
    assert any("unknown" in note for note in notes)
    assert any("cat" in note for note in notes)
    assert read_createml(tmp_path / "out.json", "").example(0).present == ("海",)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({}, ["not a list of images"]),
        ([{"filename": "a.jpg"}], ["entry 0", "no list 'annotations'"]),
        ([{"annotations": []}], ["no text 'filename'"]),
        ([{"image": "a.jpg", "annotations": [{"lable": "x"}]}], ["an annotation without a label"]),
        ([{"image": "a.jpg", "annotations": ["x"]}], ["1 of 1 image files are missing"]),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, entries, words):
    with pytest.raises(InputError) as error:
        read_createml(written(tmp_path / "a.json", entries), "")
    assert all(word in str(error.value) for word in words), error.value
