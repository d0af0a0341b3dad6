"""COCO instances: gaps in ids, crowds, repeats, unlabelled images, and the photographs at hand."""

import json
import tempfile
from pathlib import Path
from unicodedata import category as kind_of_char

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import damages, reads_or_refuses
from round_trip import drawn, with_files

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats import coco
from labelbeam.formats.coco import read_coco, write_coco
from labelbeam.labels.vocabulary import Vocabulary

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
    assert dataset.notes == (
        "3 images, 2 of them with a label; the official COCO val2014 has 40,504 and 40,137.",
    )


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


def test_messages_about_a_single_file_have_no_mark_of_a_split_behind_it(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(InputError) as error:
        read_coco(tmp_path / "a.json", "")
    assert "#" not in str(error.value)


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


def test_images_with_a_label_are_a_split_of_their_own_name(tmp_path):
    dataset = read_coco(write(tmp_path), "val2014-labelled", options=LABELS_ONLY)
    assert dataset.images == ("COCO_val2014_000000000042.jpg", "COCO_val2014_000000000007.jpg")
    assert dataset.protocol["unlabelled"] == "left out"
    assert "official COCO val2014 has 40,504 and 40,137" in dataset.notes[0]


def test_both_official_counts_are_silent_where_they_are_right(tmp_path, monkeypatch):
    monkeypatch.setitem(coco.OFFICIAL_COUNTS, "val2014", (3, 2))
    assert read_coco(write(tmp_path), "val2014", options=LABELS_ONLY).notes == ()


@pytest.mark.parametrize("year", [2014, 2017])
def test_the_official_labelled_counts_are_those_of_the_label_matrix(labelbeam_data, year):
    stored = np.load(labelbeam_data / "labels/coco80_labels.npz")
    is_val = stored[f"is_val{year}"] == 1
    assert coco.OFFICIAL_COUNTS[f"val{year}"][1] == is_val.sum()
    assert coco.OFFICIAL_COUNTS[f"train{year}"][1] == (~is_val).sum()


IMAGES, CATEGORIES = DOCUMENT["images"], DOCUMENT["categories"]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (
            {**DOCUMENT, "images": [*IMAGES, IMAGES[0] | {"file_name": "b.jpg"}]},
            ["id 42 is given", "'b.jpg'"],
        ),
        ({**DOCUMENT, "categories": [*CATEGORIES, {"id": 1, "name": "x"}]}, ["id 1 is given", "'x'"]),
        ({**DOCUMENT, "categories": [{"id": 1, "name": "<END>"}]}, ["'<END>'", "special token"]),
        ({**DOCUMENT, "images": [{"id": 7, "file_name": "a\0.jpg"}]}, ["image 7", "no name"]),
        ({**DOCUMENT, "images": [{"id": 7, "file_name": "\ud800.jpg"}]}, ["image 7", "no name"]),
        ({**DOCUMENT, "images": [{"id": 7, "file_name": "a" * 300}]}, ["image 7", "no name"]),
    ],
)
def test_ids_given_twice_and_names_that_nothing_can_have_are_refused(tmp_path, document, words):
    with pytest.raises(InputError) as error:
        read_coco(write(tmp_path, document), "val2014", options=LABELS_ONLY)
    assert all(word in str(error.value) for word in words), error.value


def test_thousands_of_levels_are_refused(tmp_path):
    file = write(tmp_path) / "annotations/instances_val2014.json"
    file.write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"instances_val2014\.json"):
        read_coco(tmp_path, "val2014")


@given(damage=damages())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_damaged_file_is_read_or_refused(tmp_path, damage):
    file = write(tmp_path) / "annotations/instances_val2014.json"
    for options in (LABELS_ONLY, ReadOptions(missing="skip")):
        reads_or_refuses(
            file, damage, lambda options=options: read_coco(tmp_path, "val2014", options=options)
        )


@given(content=drawn(), images=st.sampled_from(["keep", "copy", "link"]), single=st.booleans())
@settings(max_examples=150, deadline=None)
def test_what_is_written_is_read_back_or_refused_by_name(content, images, single):
    with tempfile.TemporaryDirectory() as folder:
        dataset = with_files(content.dataset(), Path(folder) / "photos")
        place, split = (Path(folder) / "out.json", "") if single else (Path(folder) / "out", "train")
        try:
            notes = write_coco(dataset, place, split=split, images=images)
        except InputError as error:
            refused = str(error)
        else:
            refused = ""
        if refused:
            bad = next(name for name in dataset.vocabulary if repr(name) in refused)
            unseen = all(kind_of_char(char)[0] in "MZ" or kind_of_char(char) == "Cf" for char in bad)
            assert unseen or any(char in "\t\n" for char in bad)
            assert not place.exists()
            return
        again = read_coco(place, split)
        assert again.vocabulary == dataset.vocabulary
        np.testing.assert_array_equal(again.targets, np.maximum(dataset.targets, 0))
        assert [path.read_bytes() for path in again.paths] == [path.read_bytes() for path in dataset.paths]
        if images != "keep" or single:  # kept images lie below the folder of the file
            assert [image.removeprefix("photos/") for image in again.images] == list(dataset.images)
        unknown = int((dataset.targets == -1).sum())
        assert any(f"{unknown} unknown labels" in note for note in notes) == (unknown > 0)


def test_boxes_are_the_whole_image_and_the_user_is_told(tmp_path, labelbeam_data):
    dataset = read_coco(labelbeam_data / "coco", "val2017")
    notes = write_coco(dataset, tmp_path / "out", split="mine", images="keep")
    assert any("whole image" in note for note in notes)
    document = json.loads((tmp_path / "out/annotations/instances_mine.json").read_text())
    official = json.loads((labelbeam_data / "coco/annotations/instances_val2017.json").read_text())
    size = {entry["file_name"]: (entry["width"], entry["height"]) for entry in official["images"]}
    assert {Path(one["file_name"]).name: (one["width"], one["height"]) for one in document["images"]} == size
    first = document["annotations"][0]
    entry = document["images"][first["image_id"] - 1]
    assert first["bbox"] == [0, 0, entry["width"], entry["height"]]
    again = read_coco(tmp_path / "out", "mine")
    np.testing.assert_array_equal(again.targets, dataset.targets)


def tiny(root: Path) -> Dataset:
    vocabulary, targets = Vocabulary(("dog", "cat")), np.array([[1, 0]], dtype=np.int8)
    return with_files(Dataset("made:up", root, ("a.jpg",), vocabulary, targets), root)


def test_a_split_is_added_to_a_folder_and_nothing_is_overwritten(tmp_path):
    dataset, out = tiny(tmp_path / "photos"), tmp_path / "out"
    write_coco(dataset, out, split="train", images="copy")
    write_coco(dataset, out, split="val", images="copy")
    assert read_coco(out, "train").images == read_coco(out, "val").images == ("a.jpg",)
    with pytest.raises(InputError, match="is there already; nothing is overwritten"):
        write_coco(dataset, out, split="val", images="copy")
    (out / "test").mkdir()
    (out / "test/b.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="is there already"):
        write_coco(dataset, out, split="test", images="copy")
    assert not (out / "annotations/instances_test.json").exists()


@pytest.mark.parametrize(
    ("place", "split", "images", "words"),
    [
        ("out", "a/b", "keep", ["'a/b' cannot be the name of a split"]),
        ("out.json", "train", "keep", ["a file holds one split", "out_train.json"]),
        ("out", "train", "move", ["unknown way to place images 'move'"]),
    ],
)
def test_what_cannot_be_written_says_why(tmp_path, place, split, images, words):
    with pytest.raises(InputError) as error:
        write_coco(tiny(tmp_path / "photos"), tmp_path / place, split=split, images=images)
    assert all(word in str(error.value) for word in words), error.value
    assert not (tmp_path / place).exists()


def test_an_image_that_is_missing_leaves_nothing_behind(tmp_path):
    dataset = tiny(tmp_path / "photos")
    dataset.path(0).unlink()
    with pytest.raises(InputError, match=r"a\.jpg is missing"):
        write_coco(dataset, tmp_path / "out", split="train", images="copy")
    assert not list(tmp_path.rglob("*.j*"))


def box(image: int, category: int) -> dict:
    return {"id": 10 * image + category, "image_id": image, "category_id": category, "bbox": [0, 0, 1, 1]}


def test_roboflow_has_a_file_in_each_splits_folder_and_a_parent_of_all_categories(tmp_path):
    categories = [{"id": 0, "name": "pets", "supercategory": "none"}]
    categories += [{"id": i, "name": name, "supercategory": "pets"} for i, name in ((1, "cat"), (2, "dog"))]
    for split, category in (("train", 1), ("valid", 2)):
        (tmp_path / split).mkdir()
        (tmp_path / split / "a.jpg").touch()
        images = [{"id": 0, "file_name": "a.jpg"}]
        document = {"images": images, "annotations": [box(0, category)], "categories": categories}
        (tmp_path / split / "_annotations.coco.json").write_text(json.dumps(document))
    dataset = read_coco(tmp_path, "valid")
    assert dataset.vocabulary.names == ("cat", "dog")
    assert dataset.path(0) == tmp_path / "valid/a.jpg"
    assert dataset.example(0).present == ("dog",)
    assert any("'pets' is the parent of all categories" in note for note in dataset.notes)
    document["annotations"].append(box(0, 0))
    (tmp_path / "valid/_annotations.coco.json").write_text(json.dumps(document))
    assert read_coco(tmp_path, "valid").example(0).present == ("pets", "dog")
    with pytest.raises(InputError, match=r"say which split: coco:.*#train, coco:.*#valid"):
        read_coco(tmp_path, "")


def test_lvis_knows_absent_labels_only_where_it_looked(tmp_path):
    images = [
        {"id": 1, "coco_url": "http://images.cocodataset.org/val2017/000000000001.jpg"}
        | {"neg_category_ids": [2], "not_exhaustive_category_ids": [1, 3]}
    ]
    categories = [{"id": i, "name": name} for i, name in ((1, "cat"), (2, "dog"), (3, "cup"))]
    document = {"images": images, "annotations": [box(1, 1)], "categories": categories}
    (tmp_path / "lvis_v1_val.json").write_text(json.dumps(document))
    (tmp_path / "val2017").mkdir()
    (tmp_path / "val2017/000000000001.jpg").touch()
    dataset = read_coco(tmp_path, "val")
    assert dataset.images == ("val2017/000000000001.jpg",)
    assert dataset.targets.tolist() == [[1, 0, -1]]
    document["images"][0]["neg_category_ids"] = [9]
    (tmp_path / "lvis_v1_val.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="neg_category_ids of image 1 has 9"):
        read_coco(tmp_path, "val")


def test_images_are_found_in_data_beside_the_file_or_where_the_option_says(tmp_path):
    document = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [box(1, 1)]}
    document["categories"] = [{"id": 1, "name": "cat"}]
    for folder in ("data", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").touch()
    (tmp_path / "labels.json").write_text(json.dumps(document))
    assert read_coco(tmp_path / "labels.json", "").root == tmp_path / "data"
    assert read_coco(tmp_path, "").root == tmp_path / "data"
    named = read_coco(tmp_path / "labels.json", "", options=ReadOptions(root=tmp_path / "elsewhere"))
    assert named.root == tmp_path / "elsewhere"


@pytest.mark.parametrize("folder", ["data", "images", "labels_images"])
def test_images_beside_a_file_are_found_in_folders_of_images_or_by_option(tmp_path, folder):
    document = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"image_id": 1, "category_id": 1}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(document))
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "a.jpg").write_bytes(b"")
    options = ReadOptions(root=tmp_path / folder if folder.startswith("labels") else None)
    dataset = read_coco(tmp_path / "labels.json", "", options=options)
    assert (dataset.root, dataset.images) == (tmp_path / folder, ("a.jpg",))


def test_categories_of_one_name_are_one_label_and_that_is_noted(tmp_path):
    document = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [box(1, 2)]}
    document["categories"] = [{"id": 1, "name": "cat"}, {"id": 2, "name": "cat"}]
    (tmp_path / "labels.json").write_text(json.dumps(document))
    dataset = read_coco(tmp_path / "labels.json", "", options=ReadOptions(missing="keep"))
    assert dataset.targets.tolist() == [[1]]
    assert "categories of one name are one label: 'cat'." in dataset.notes


@pytest.mark.parametrize(
    ("image", "of_image", "category", "of_category"),
    [("a", "a", 1, 1), (1, "1", 1, "1"), ("7", 7, "c", "c"), (1.0, 1, 2.0, 2), ("007", "007", "x", "x")],
)
def test_ids_may_be_texts(tmp_path, image, of_image, category, of_category):
    document = {
        "images": [{"id": "z", "file_name": "z.jpg"}, {"id": image, "file_name": "a.jpg"}],
        "annotations": [{"image_id": of_image, "category_id": of_category}],
        "categories": [{"id": category, "name": "cat"}, {"id": 9, "name": "dog"}],
    }
    data = read_coco(write(tmp_path, document), "val2014", options=LABELS_ONLY)
    assert [data.example(i).present for i in range(2)] == [(), ("cat",)]


def test_labels_of_whole_images_outside_the_annotations_are_said(tmp_path):
    document = {**DOCUMENT, "images": [{**image, "labels": ["x"]} for image in DOCUMENT["images"]]}
    notes = read_coco(write(tmp_path, document), "val2014", options=LABELS_ONLY).notes
    assert any("not read: labels" in note for note in notes)
    with pytest.raises(InputError, match="no annotations, and 'labels' in its images"):
        read_coco(write(tmp_path, {**document, "annotations": []}), "val2014", options=LABELS_ONLY)


def test_what_annotations_say_besides_their_category_is_said(tmp_path):
    annotations = [{**one, "score": 0.1, "attributes": {"occluded": True}} for one in DOCUMENT["annotations"]]
    notes = read_coco(
        write(tmp_path, {**DOCUMENT, "annotations": annotations}), "val2014", options=LABELS_ONLY
    ).notes
    assert any("besides their category is not read: attributes, score." in note for note in notes)
