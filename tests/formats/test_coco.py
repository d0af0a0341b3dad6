"""COCO instances: gaps in ids, crowds, repeats, unlabelled images, and the photographs at hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from labelbeam.data.options import ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.coco import read_coco

LABELS_ONLY = ReadOptions(missing="keep")

DOCUMENT = {
    "images": [
        {"id": 42, "file_name": "COCO_val2014_000000000042.jpg"},
        {"id": 7, "file_name": "COCO_val2014_000000000007.jpg"},
        {"id": 9, "file_name": "COCO_val2014_000000000009.jpg"},
    ],
    "annotations": [
        {"image_id": 7, "category_id": 90, "iscrowd": 0},
        {"image_id": 7, "category_id": 90, "iscrowd": 0},
        {"image_id": 7, "category_id": 1, "iscrowd": 0},
        {"image_id": 42, "category_id": 13, "iscrowd": 1},
    ],
    "categories": [
        {"id": 90, "name": "toothbrush"},
        {"id": 1, "name": "person"},
        {"id": 13, "name": "stop sign"},
    ],
}


def write(folder: Path, document: object = DOCUMENT, split: str = "val2014") -> Path:
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    file = folder / "annotations" / f"instances_{split}.json"
    file.write_text(json.dumps(document))
    return folder


def test_labels_are_in_the_order_of_category_ids_whatever_their_gaps(tmp_path):
    dataset = read_coco(write(tmp_path), "val2014", options=LABELS_ONLY)
    assert dataset.vocabulary.names == ("person", "stop sign", "toothbrush")


def test_several_instances_are_one_label_and_a_crowd_counts(tmp_path):
    dataset = read_coco(write(tmp_path), "val2014", options=LABELS_ONLY)
    assert dataset.targets.tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]


def test_images_without_a_label_stay_unless_told_otherwise(tmp_path):
    assert len(read_coco(write(tmp_path), "val2014", options=LABELS_ONLY)) == 3
    left = read_coco(tmp_path, "val2014", options=ReadOptions(missing="keep", keep_unlabelled=False))
    assert left.images == ("COCO_val2014_000000000042.jpg", "COCO_val2014_000000000007.jpg")
    assert left.protocol["unlabelled"] == "left out"


def test_a_count_that_differs_from_the_official_one_is_noted(tmp_path):
    dataset = read_coco(write(tmp_path), "val2014", options=LABELS_ONLY)
    assert dataset.notes == ("3 images; the official COCO val2014 has 40,504.",)


@pytest.mark.parametrize("where", ["val2014", "images/val2014", "images", "."])
def test_images_are_found_beside_the_annotations(tmp_path, where):
    write(tmp_path)
    (tmp_path / where).mkdir(parents=True, exist_ok=True)
    for entry in DOCUMENT["images"]:
        (tmp_path / where / entry["file_name"]).write_bytes(b"")
    assert all(path.is_file() for path in read_coco(tmp_path, "val2014").paths)


@pytest.mark.parametrize("where", [".", "images", "my"])
def test_a_file_of_the_users_own_is_read_with_or_without_the_split_all(tmp_path, where):
    file = tmp_path / "my.json"
    file.write_text(json.dumps(DOCUMENT))
    (tmp_path / where).mkdir(exist_ok=True)
    for entry in DOCUMENT["images"]:
        (tmp_path / where / entry["file_name"]).write_bytes(b"")
    assert read_coco(file, "all").images == read_coco(file, "").images
    assert all(path.is_file() for path in read_coco(file, "all").paths)


def without(part: str) -> dict:
    return {name: value for name, value in DOCUMENT.items() if name != part}


@pytest.mark.parametrize(
    ("document", "split", "words"),
    [
        (DOCUMENT, "val2041", ["unknown split 'val2041'", "'val2014'"]),
        (without("categories"), "val2014", ["no list 'categories'", "images, annotations, categories"]),
        ([], "val2014", ["no list 'images'"]),
        ({**DOCUMENT, "images": []}, "val2014", ["split is empty"]),
        ({**DOCUMENT, "images": [{"id": 1}]}, "val2014", ["'images'", "lacks file_name"]),
        ({**DOCUMENT, "categories": []}, "val2014", ["lists no category"]),
        ({**DOCUMENT, "annotations": [{"image_id": 8, "category_id": 1}]}, "val2014", ["refers to 8"]),
        ({**DOCUMENT, "annotations": [{"image_id": 7, "category_id": 2}]}, "val2014", ["refers to 2"]),
        (DOCUMENT, "val2014", ["3 of 3 image files are missing", "000000000042.jpg", "--missing"]),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, document, split, words):
    with pytest.raises(InputError) as error:
        read_coco(write(tmp_path, document), split)
    assert all(word in str(error.value) for word in words), error.value


def test_a_file_cut_short_and_a_folder_without_annotations_are_told_apart(tmp_path):
    with pytest.raises(InputError, match=r"no instances_\*.json in"):
        read_coco(tmp_path, "val2014")
    file = write(tmp_path) / "annotations/instances_val2014.json"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match=r"not JSON .* copied in full"):
        read_coco(tmp_path, "val2014")


@pytest.mark.parametrize(("split", "images"), [("train2017", 80), ("val2017", 79)])
def test_the_photographs_at_hand_agree_with_the_label_matrix(labelbeam_data, split, images):
    dataset = read_coco(labelbeam_data / "coco", split)
    assert len(dataset) == images
    assert all(path.is_file() for path in dataset.paths)
    matrix = np.load(labelbeam_data / "labels/coco80_labels.npz")
    assert dataset.vocabulary.names == tuple(name.replace("_", " ") for name in matrix["names"].tolist())
    row = {int(image_id): i for i, image_id in enumerate(matrix["image_id"])}
    shared = [i for i, image in enumerate(dataset.images) if int(Path(image).stem) in row]
    assert len(shared) > 70
    expected = matrix["labels"][[row[int(Path(dataset.images[i]).stem)] for i in shared]]
    np.testing.assert_array_equal(dataset.targets[shared], expected)
