"""VOC folders: official ones, against the official lists of each class, and home-made ones."""

from pathlib import Path

import numpy as np
import pytest

from labelbeam.data.options import ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.voc import VOC_LABELS, read_voc

LABELS_ONLY = ReadOptions(missing="keep")


def annotation(*objects: tuple[str, str | None]) -> str:
    body = ""
    for name, difficult in objects:
        mark = "" if difficult is None else f"<difficult>{difficult}</difficult>"
        body += f"<object><name>{name}</name>{mark}<part><name>head</name></part></object>"
    return f"<annotation><filename>x.jpg</filename>{body}</annotation>"


def write_voc(home: Path, annotations: dict[str, str], lists: dict[str, str]) -> Path:
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (home / folder).mkdir(parents=True)
    for image_id, xml in annotations.items():
        (home / "Annotations" / f"{image_id}.xml").write_text(xml, encoding="utf-8")
    for name, text in lists.items():
        (home / "ImageSets/Main" / f"{name}.txt").write_bytes(text.encode())
    return home


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return write_voc(
        tmp_path / "VOCdevkit" / "VOC2007",
        {
            "1": annotation(("dog", "0"), ("dog", "1"), ("cat", "1")),
            "2": annotation(("person", None), ("car", "Unspecified")),
            "3": annotation(),
        },
        {
            "mine": "1\r\n2\r\n3\r\n",
            "padded": "1   \n2   \n",
            "dog_mine": "1  1\n2 -1\n3  0\n",
            "empty": "\n \n",
            "twice": "2\n1\n2\n",
            "lost": "1\n9\n",
        },
    )


@pytest.mark.parametrize(("policy", "value"), [("unknown", -1), ("absent", 0), ("present", 1)])
def test_a_policy_decides_only_about_labels_seen_in_difficult_objects_alone(home, policy, value):
    dataset = read_voc(home, "mine", options=ReadOptions(missing="keep", difficult=policy))
    row = dataset.targets[0]
    assert row[VOC_LABELS.index("dog")] == 1  # one normal and one difficult dog
    assert row[VOC_LABELS.index("cat")] == value
    assert dataset.protocol["difficult"] == policy


def test_a_missing_mark_of_difficulty_or_a_word_in_its_place_is_not_difficult(home):
    assert read_voc(home, "mine", options=LABELS_ONLY).example(1).present == ("car", "person")


def test_an_image_without_objects_stays_unless_told_otherwise(home):
    assert len(read_voc(home, "mine", options=LABELS_ONLY)) == 3
    options = ReadOptions(missing="keep", keep_unlabelled=False)
    dataset = read_voc(home, "mine", options=options)
    assert dataset.images == ("1.jpg", "2.jpg")
    assert "1 images without a label were left out." in dataset.notes


def test_lists_are_read_with_any_line_ends_padding_and_class_marks(home):
    assert read_voc(home, "mine", options=LABELS_ONLY).images == ("1.jpg", "2.jpg", "3.jpg")
    assert read_voc(home, "padded", options=LABELS_ONLY).images == ("1.jpg", "2.jpg")
    of_one_class = read_voc(home, "dog_mine", options=LABELS_ONLY)
    assert of_one_class.images == ("1.jpg", "2.jpg", "3.jpg")
    assert "list of one class" in of_one_class.notes[0]


def test_a_repeated_line_is_taken_once_and_noted(home):
    dataset = read_voc(home, "twice", options=LABELS_ONLY)
    assert dataset.images == ("2.jpg", "1.jpg")
    assert any("1 lines of twice repeat" in note for note in dataset.notes)


def test_the_devkit_its_parent_and_the_edition_folder_are_all_found(home):
    for folder in (home, home.parent, home.parent.parent):
        assert read_voc(folder, "mine", options=LABELS_ONLY).root == home / "JPEGImages"


def test_classes_of_the_users_own_are_the_sorted_union_over_the_folder_for_every_split(tmp_path):
    home = write_voc(
        tmp_path,
        {"a": annotation(("狐", None)), "b": annotation(("badger", None)), "c": annotation(("dog", "1"))},
        {"train": "a\n", "test": "c\n"},
    )
    train = read_voc(home, "train", options=LABELS_ONLY)
    assert train.vocabulary.names == ("badger", "dog", "狐")
    assert "beyond VOC's 20" in train.notes[0]


def test_an_image_with_another_suffix_is_found(home):
    for name in ("1.jpg", "2.png", "3.jpeg"):
        (home / "JPEGImages" / name).write_bytes(b"")
    assert read_voc(home, "mine").images == ("1.jpg", "2.png", "3.jpeg")


BOMB = (
    '<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
    "<annotation><object><name>&b;</name></object></annotation>"
)


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        (BOMB, ["DOCTYPE", "'lolz'", "1.xml"]),
        ("<annotation><object>", ["1.xml", "not readable XML"]),
        ("", ["1.xml", "not readable XML"]),
        ("<annotation><object><name> </name></object></annotation>", ["1.xml", "no name"]),
    ],
)
def test_an_annotation_that_is_broken_or_declares_entities_is_named(home, xml, words):
    (home / "Annotations" / "1.xml").write_text(xml)
    with pytest.raises(InputError) as error:
        read_voc(home, "mine")
    assert all(word in str(error.value) for word in words), error.value


def test_a_document_type_does_not_hide_behind_another_encoding(home):
    (home / "Annotations" / "1.xml").write_bytes(BOMB.encode("utf-16"))
    with pytest.raises(InputError, match="DOCTYPE"):
        read_voc(home, "mine")


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("mien", ["unknown split 'mien'", "'mine'", "padded", "ImageSets/Main"]),
        ("", ["unknown split ''", "mine"]),
        ("empty", ["split is empty", "empty.txt"]),
        ("lost", ["9.xml", "missing", "lists it"]),
        ("mine", ["3 of 3 image files are missing", "1.jpg, 2.jpg, 3.jpg", "--missing skip"]),
    ],
)
def test_a_split_that_cannot_be_read_says_why(home, split, words):
    with pytest.raises(InputError) as error:
        read_voc(home, split)
    assert all(word in str(error.value) for word in words), error.value


def test_a_folder_of_another_kind_is_refused_with_the_places_looked_in(tmp_path):
    with pytest.raises(InputError, match=r"not a VOC folder.*VOC2012.*Give the folder VOCdevkit"):
        read_voc(tmp_path, "train", edition="voc2012")


@pytest.mark.parametrize("split", ["trainval", "test"])
def test_targets_agree_with_every_official_list_of_a_class(labelbeam_data, split):
    root = labelbeam_data / "VOCdevkit"
    dataset = read_voc(root, split, options=LABELS_ONLY)
    assert len(dataset) == {"trainval": 5011, "test": 4952}[split]
    assert dataset.notes == ()
    official = {1: 1, -1: 0, 0: -1}  # in the lists, 0 is "only difficult objects"
    for j, label in enumerate(VOC_LABELS):
        lines = (root / f"VOC2007/ImageSets/Main/{label}_{split}.txt").read_text().split()
        assert tuple(f"{image_id}.jpg" for image_id in lines[::2]) == dataset.images
        np.testing.assert_array_equal(
            dataset.targets[:, j], [official[int(flag)] for flag in lines[1::2]], label
        )


@pytest.mark.parametrize(
    ("split", "images", "positives"), [("sub_trainval", 765, 1136), ("sub_test", 300, 440)]
)
def test_the_part_at_hand_has_its_images_and_labels(labelbeam_data, split, images, positives):
    dataset = read_voc(labelbeam_data / "VOCdevkit", split)
    assert len(dataset) == images
    assert (dataset.targets == 1).sum() == positives
    assert all(path.is_file() for path in dataset.paths)


def test_skipping_missing_files_leaves_those_at_hand_and_says_how_many_went(labelbeam_data):
    dataset = read_voc(labelbeam_data / "VOCdevkit", "test", options=ReadOptions(missing="skip"))
    assert len(dataset) == 300
    assert any("4652 of 4952 image files are missing" in note for note in dataset.notes)
    assert dataset.protocol["missing"] == "skipped"
