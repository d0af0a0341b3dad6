"""VOC folders: official ones, against the official lists of each class, and home-made ones."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import damages, reads_or_refuses
from PIL import Image
from round_trip import drawn, with_files

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.voc import VOC_LABELS, read_voc, read_voc2012, write_voc2007, write_voc2012
from labelbeam.labels.vocabulary import Vocabulary

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
        ("", ["say which split", "mine"]),
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


def test_a_multi_byte_encoding_that_xml_readers_lack_is_refused(home):
    (home / "Annotations/1.xml").write_bytes(b'<?xml version="1.0" encoding="cp932"?><annotation/>')
    with pytest.raises(InputError, match=r"1\.xml.*not readable XML"):
        read_voc(home, "mine", options=LABELS_ONLY)


@pytest.mark.parametrize(("line", "words"), [(b"\xff", ["not UTF-8"]), (b"1\na\0b", ["line 2", "no name"])])
def test_a_list_that_names_no_files_is_refused(home, line, words):
    (home / "ImageSets/Main/mine.txt").write_bytes(line)
    with pytest.raises(InputError) as error:
        read_voc(home, "mine", options=LABELS_ONLY)
    assert all(word in str(error.value) for word in words), error.value


def test_voc_2012_is_read_with_its_action_images_that_lack_marks_of_difficulty(tmp_path):
    action = annotation(("person", None)).replace(
        "</object>", "<actions><phoning>1</phoning></actions></object>"
    )
    home = write_voc(
        tmp_path / "VOCdevkit/VOC2012",
        {"2011_000003": action, "2008_000008": annotation(("horse", "0"), ("person", "1"))},
        {"trainval": "2011_000003\n2008_000008\n"},
    )
    dataset = read_voc2012(home.parent, "trainval", options=LABELS_ONLY)
    assert dataset.images == ("2011_000003.jpg", "2008_000008.jpg")
    assert dataset.example(0).present == ("person",)
    assert dataset.example(1).unknown == ("person",)
    assert dataset.notes == ("2 images; the official voc2012 trainval has 11,540.",)


@pytest.mark.parametrize("file", ["Annotations/1.xml", "ImageSets/Main/mine.txt"])
@given(damage=damages())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_damaged_file_is_read_or_refused(home, file, damage):
    for options in (LABELS_ONLY, ReadOptions(missing="skip")):
        reads_or_refuses(home / file, damage, lambda options=options: read_voc(home, "mine", options=options))


@given(content=drawn(), images=st.sampled_from(["copy", "link"]))
@settings(max_examples=150, deadline=None)
def test_what_is_written_is_read_back_unknown_labels_too_or_refused_by_name(content, images):
    with tempfile.TemporaryDirectory() as folder:
        dataset = with_files(content.dataset(), Path(folder) / "photos")
        out = Path(folder) / "out"
        try:
            notes = write_voc2007(dataset, out, split="train", images=images)
        except InputError as error:
            refused = str(error)
        else:
            refused = ""
        if refused:
            named = [
                *dataset.vocabulary,
                *dataset.images,
                *(image.rpartition(".")[0] for image in dataset.images),
            ]
            assert any(repr(name) in refused for name in named), refused
            assert not out.exists()
            return
        again = read_voc(out, "train")
        assert again.images == dataset.images
        assert [path.read_bytes() for path in again.paths] == [path.read_bytes() for path in dataset.paths]
        said = (dataset.targets != 0).any(axis=0)
        lost = [name for name, is_said in zip(dataset.vocabulary, said, strict=True) if not is_said]
        assert any("are not kept" in note for note in notes) == bool(set(lost) - set(VOC_LABELS))
        names = [name for name in dataset.vocabulary if name not in lost]
        np.testing.assert_array_equal(
            again.with_vocabulary(names).targets if names else np.zeros((len(again), 0)),
            dataset.targets[:, said],
        )
        assert set(names) <= set(again.vocabulary)


def test_the_photographs_at_hand_survive_being_written(labelbeam_data, tmp_path):
    dataset = read_voc(labelbeam_data / "VOCdevkit", "sub_test")
    notes = write_voc2012(dataset, tmp_path / "out", split="mine", images="link")
    again = read_voc2012(tmp_path / "out", "mine")
    assert again.images == dataset.images
    np.testing.assert_array_equal(again.targets, dataset.targets)
    assert any("whole image" in note for note in notes)
    annotation_of_first = (tmp_path / "out/Annotations" / dataset.images[0]).with_suffix(".xml").read_text()
    with Image.open(dataset.path(0)) as image:
        assert f"<xmax>{image.width}</xmax><ymax>{image.height}</ymax>" in annotation_of_first


def tiny(root: Path, image: str = "a.jpg") -> Dataset:
    vocabulary, targets = Vocabulary(("dog", "cat")), np.array([[1, 0]], dtype=np.int8)
    return with_files(Dataset("made:up", root, (image,), vocabulary, targets), root)


def test_labels_that_a_reader_adds_or_loses_are_told(tmp_path):
    notes = write_voc2007(tiny(tmp_path / "photos"), tmp_path / "out", split="", images="copy")
    assert any("takes its 20 and has 18 more" in note for note in notes)
    assert read_voc(tmp_path / "out", "all").vocabulary.names == VOC_LABELS


def test_a_split_is_added_whole_or_not_at_all(tmp_path):
    out = tmp_path / "out"
    write_voc2007(tiny(tmp_path / "one"), out, split="train", images="copy")
    write_voc2007(tiny(tmp_path / "two", "b.jpg"), out, split="val", images="copy")
    assert [read_voc(out, split).images for split in ("train", "val")] == [("a.jpg",), ("b.jpg",)]
    before = sorted(out.rglob("*"))
    with pytest.raises(InputError, match=r"a\.xml is there already .*another split"):
        write_voc2007(tiny(tmp_path / "three"), out, split="test", images="copy")
    with pytest.raises(InputError, match=r"val\.txt is there already; nothing is overwritten"):
        write_voc2007(tiny(tmp_path / "four", "c.jpg"), out, split="val", images="copy")
    assert sorted(out.rglob("*")) == before


@pytest.mark.parametrize(
    ("image", "split", "images", "words"),
    [
        ("a.jpg", "train", "keep", ["--images link"]),
        ("a.jpg", "../x", "copy", ["'../x' cannot be the name of a split"]),
        ("photo", "train", "copy", ["'photo' has no suffix"]),
        ("photo 1.jpg", "train", "copy", ["'photo 1'", "Rename a file"]),
    ],
)
def test_what_cannot_be_written_says_why(tmp_path, image, split, images, words):
    with pytest.raises(InputError) as error:
        write_voc2007(tiny(tmp_path / "photos", image), tmp_path / "out", split=split, images=images)
    assert all(word in str(error.value) for word in words), error.value
    assert not (tmp_path / "out").exists()
