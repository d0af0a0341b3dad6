"""labelme's files: flags of images and labels of shapes."""

import json
from pathlib import Path

import pytest

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.drawing_tools import read_labelme


def written(
    folder: Path, name: str, image: str, flags: object = None, shapes: tuple[str, ...] = (), *, there=True
) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    if there:
        file.with_name(image.replace("\\", "/").rpartition("/")[2]).touch()
    drawn = [{"label": label, "points": [[0, 0]], "shape_type": "point", "flags": {}} for label in shapes]
    document = {
        "version": "5.0.1",
        "flags": flags or {},
        "shapes": drawn,
        "imagePath": image,
        "imageData": None,
    }
    file.write_text(json.dumps(document))


def test_flags_that_are_set_are_present_and_the_others_absent(tmp_path):
    written(tmp_path, "0.json", "0.jpg", {"__ignore__": False, "cat": True, "dog": False})
    written(tmp_path, "1.json", "..\\photos\\1.jpg", {"dog": True})
    dataset = read_labelme(tmp_path, "")
    assert dataset.images == ("0.jpg", "1.jpg")
    assert dataset.vocabulary.names == ("cat", "dog")
    assert dataset.targets.tolist() == [[1, 0], [-1, 1]]  # the second file does not have the flag cat


def test_labels_of_shapes_are_present_and_absent_where_nothing_is_drawn(tmp_path):
    written(tmp_path, "0.json", "0.jpg", shapes=("car", "car", "man"))
    written(tmp_path, "1.json", "1.jpg")
    dataset = read_labelme(tmp_path, "")
    assert dataset.targets.tolist() == [[1, 1], [0, 0]]
    assert any("where the shapes are is not read" in note for note in dataset.notes)


def test_flags_and_shapes_together_are_said_and_each_can_be_had_alone(tmp_path):
    written(tmp_path, "0.json", "0.jpg", {"night": True}, ("car",))
    both = read_labelme(tmp_path, "")
    assert both.vocabulary.names == ("car", "night")
    assert any("1 labels are flags of images, 1 are labels of shapes" in note for note in both.notes)
    flags = read_labelme(tmp_path, "", options=ReadOptions(tags_column="flags"))
    assert flags.vocabulary.names == ("night",)
    assert any("1 files have shapes, which are not read" in note for note in flags.notes)
    with pytest.raises(InputError, match="unknown part of a labelme file"):
        read_labelme(tmp_path, "", options=ReadOptions(tags_column="boxes"))


def test_folders_are_splits_with_the_same_labels(tmp_path):
    written(tmp_path, "train/0.json", "0.jpg", shapes=("car",))
    written(tmp_path, "val/0.json", "0.jpg", shapes=("man",))
    (tmp_path / "val/9.jpg").touch()
    (tmp_path / "info.json").write_text("{}")
    dataset = read_labelme(tmp_path, "val")
    assert dataset.images == ("val/0.jpg",)
    assert dataset.vocabulary.names == ("car", "man")
    assert any("1 images have no file of labelme's" in note for note in dataset.notes)
    assert any("1 JSON files are not labelme's" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"a": 1}, ["no JSON file with 'shapes' and 'imagePath'"]),
        ({"imagePath": "a.jpg", "shapes": [{"points": []}]}, ["a shape without a text 'label'"]),
        ({"imagePath": "a.jpg", "shapes": [], "flags": {"cat": 1}}, ["true or false"]),
        ({"imagePath": "a.jpg", "shapes": [], "flags": {}}, ["no image has a label"]),
        ({"imagePath": "a.jpg", "shapes": [{"label": "cat"}]}, ["1 of 1 image files are missing"]),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, document, words):
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(InputError) as error:
        read_labelme(tmp_path, "")
    assert all(word in str(error.value) for word in words), error.value
