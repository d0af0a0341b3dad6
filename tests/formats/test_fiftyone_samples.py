"""FiftyOne's own export: samples with fields of labels and tags."""

import json
from pathlib import Path

import pytest

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.fiftyone import read_fiftyone


def many(*names: str) -> dict:
    return {
        "_cls": "Classifications",
        "classifications": [{"_cls": "Classification", "label": name} for name in names],
    }


def boxes(*names: str) -> dict:
    return {"_cls": "Detections", "detections": [{"_cls": "Detection", "label": name} for name in names]}


def written(folder: Path, *samples: dict) -> Path:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    listed = []
    for i, sample in enumerate(samples):
        (folder / f"data/{i}.jpg").touch()
        listed.append({"filepath": f"data/{i}.jpg", "tags": [], "_media_type": "image", **sample})
    (folder / "samples.json").write_text(json.dumps({"samples": listed}))
    return folder


def test_classifications_are_labels_and_tags_are_splits(tmp_path):
    written(
        tmp_path,
        {"truth": many("cat", "dog"), "tags": ["train"]},
        {"truth": None, "tags": ["test"]},
        {"truth": many()},
    )
    dataset = read_fiftyone(tmp_path, "")
    assert dataset.images == ("data/0.jpg", "data/1.jpg", "data/2.jpg")
    assert dataset.targets.tolist() == [[1, 1], [-1, -1], [0, 0]]
    test = read_fiftyone(tmp_path, "test")
    assert test.images == ("data/1.jpg",)
    assert test.vocabulary.names == ("cat", "dog")
    with pytest.raises(InputError, match=r"unknown split 'val'.*A split is a tag"):
        read_fiftyone(tmp_path, "val")


def test_one_classification_a_sample(tmp_path):
    written(
        tmp_path,
        {"truth": {"_cls": "Classification", "label": "cat"}},
        {"truth": {"_cls": "Classification", "label": "dog"}},
    )
    assert read_fiftyone(tmp_path, "").targets.tolist() == [[1, 0], [0, 1]]


def test_labels_of_images_come_before_those_of_objects_and_the_rest_is_said(tmp_path):
    written(tmp_path, {"truth": many("sea"), "things": boxes("boat")}, {"things": boxes("boat")})
    dataset = read_fiftyone(tmp_path, "")
    assert dataset.vocabulary.names == ("sea",)
    assert any("other fields of labels are not read: things" in note for note in dataset.notes)
    things = read_fiftyone(tmp_path, "", options=ReadOptions(tags_column="things"))
    assert things.vocabulary.names == ("boat",)
    assert any("where the objects are is not read" in note for note in things.notes)


def test_several_fields_are_asked_about_and_tags_can_be_the_labels(tmp_path):
    written(tmp_path, {"truth": many("sea"), "guess": many("sky"), "tags": ["blue"]})
    with pytest.raises(InputError, match=r"several fields hold labels: truth, guess.*--tags-column"):
        read_fiftyone(tmp_path, "")
    assert read_fiftyone(tmp_path, "", options=ReadOptions(tags_column="tags")).vocabulary.names == ("blue",)


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        ({"tags": ["a"]}, ["no sample has a field of labels", "--tags-column tags"]),
        ({"filepath": 3}, ["samples[0]", "no text 'filepath'"]),
        ({"truth": {"_cls": "Classification", "label": 3}}, ["'truth'", "no text"]),
        ({"filepath": "data/9.jpg", "truth": many("a")}, ["1 of 1 image files are missing"]),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, sample, words):
    with pytest.raises(InputError) as error:
        read_fiftyone(written(tmp_path, sample), "")
    assert all(word in str(error.value) for word in words), error.value
