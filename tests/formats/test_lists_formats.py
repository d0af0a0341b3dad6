"""Formats that are one list of images: mmpretrain's JSON and PaddleClas's lines."""

import dataclasses
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from round_trip import drawn, names_any, said

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.json_documents import read_mmpretrain, write_mmpretrain
from labelbeam.formats.lists import read_paddle, write_paddle
from labelbeam.labels.vocabulary import Vocabulary

KEEP = ReadOptions(missing="keep")

DOCUMENT = {
    "metainfo": {"classes": ["zebra", "ant", "犬"]},
    "data_list": [
        {"img_path": "a.jpg", "gt_label": [2, 0]},
        {"img_path": "x/b.jpg", "gt_label": []},
        {"img_path": "c.jpg", "gt_label": 1},
        {"img_path": "d.jpg"},
    ],
}


def made(names: tuple[str, ...], targets: list[list[int]], root: Path) -> Dataset:
    images = tuple(f"{i}.jpg" for i in range(len(targets)))
    return Dataset("made:up", root, images, Vocabulary(names), np.array(targets, dtype=np.int8))


# --- mmpretrain


def test_class_numbers_get_their_names_in_the_order_of_classes(tmp_path):
    file = tmp_path / "train.json"
    file.write_text(json.dumps(DOCUMENT))
    dataset = read_mmpretrain(file, "", options=KEEP)
    assert dataset.vocabulary.names == ("zebra", "ant", "犬")
    assert dataset.targets.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [-1, -1, -1]]
    assert dataset.images == ("a.jpg", "x/b.jpg", "c.jpg", "d.jpg")
    assert any("1 entries have no gt_label" in note for note in dataset.notes)


def test_names_may_be_categories_with_ids_or_in_a_file_beside(tmp_path):
    file = tmp_path / "train.json"
    categories = [{"id": 1, "category_name": "b"}, {"id": 0, "category_name": "a"}]
    entries = [{"img_path": "a.jpg", "gt_label": [1]}]
    file.write_text(json.dumps({"metainfo": {"categories": categories}, "data_list": entries}))
    assert read_mmpretrain(file, "", options=KEEP).example(0).present == ("b",)
    file.write_text(json.dumps({"metainfo": {"dataset_type": "mine"}, "data_list": entries}))
    with pytest.raises(InputError, match=r"no list of texts 'classes'.*classes\.txt"):
        read_mmpretrain(file, "", options=KEEP)
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert read_mmpretrain(file, "", options=KEEP).example(0).present == ("dog",)


def test_the_root_is_where_images_are(tmp_path):
    file = tmp_path / "train.json"
    file.write_text(json.dumps(DOCUMENT))
    dataset = read_mmpretrain(file, "all", options=ReadOptions(missing="keep", root=tmp_path / "images"))
    assert dataset.path(0) == tmp_path / "images/a.jpg"


@settings(deadline=None)
@given(drawn())
def test_mmpretrain_gives_back_what_was_written(content):
    untold = (content.targets == -1).all(axis=1)
    known = np.where(untold[:, None], -1, np.maximum(content.targets, 0)).astype(np.int8)
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "train.json"
        dataset = content.dataset(Path(temporary))
        notes = write_mmpretrain(dataset, file)
        again = read_mmpretrain(file, "", options=KEEP)
    assert again.vocabulary == dataset.vocabulary
    assert again.images == dataset.images
    np.testing.assert_array_equal(again.targets, known)
    assert any("unknown" in note for note in notes) == bool((dataset.targets[~untold] == -1).any())


@pytest.mark.parametrize(
    ("document", "split", "words"),
    [
        (DOCUMENT, "train", ["unknown split 'train'", "one file"]),
        ([], "", ["no list 'data_list'", "img_path"]),
        ({"data_list": []}, "", ["no list of texts 'classes'"]),
        (DOCUMENT | {"metainfo": {"classes": [1]}}, "", ["no list of texts 'classes'"]),
        (DOCUMENT | {"metainfo": {"classes": ["a", "a"]}}, "", ["must differ"]),
        (DOCUMENT | {"data_list": []}, "", ["no image"]),
        (DOCUMENT | {"data_list": [3]}, "", ["data_list[0]", "img_path"]),
        (
            DOCUMENT | {"data_list": [{"img_path": "a", "gt_label": [3]}]},
            "",
            ["data_list[0]", "number 3", "3 cl"],
        ),
        (DOCUMENT | {"data_list": [{"img_path": "a", "gt_label": [-1]}]}, "", ["number -1"]),
        (DOCUMENT | {"data_list": [{"img_path": "a", "gt_label": ["ant"]}]}, "", ["class numbers", "'ant'"]),
        (DOCUMENT | {"data_list": [{"img_path": "a", "gt_label": [True]}]}, "", ["class numbers"]),
    ],
)
def test_a_document_of_another_form_says_where(tmp_path, document, split, words):
    file = tmp_path / "train.json"
    file.write_text(json.dumps(document))
    with pytest.raises(InputError) as error:
        read_mmpretrain(file, split, options=KEEP)
    assert all(word in str(error.value) for word in words), error.value


# --- paddle


def paddle(folder: Path, text: str, labels: str | None = None, split: str = "") -> Dataset:
    (folder / "train_list.txt").write_text(text, encoding="utf-8")
    if labels is not None:
        (folder / "label_list.txt").write_text(labels, encoding="utf-8")
    return read_paddle(folder / "train_list.txt", split, options=KEEP)


@pytest.mark.parametrize("labels", ["zebra\nant lion\n", "0 zebra\n1 ant lion\n", "1 ant lion\n0 zebra"])
def test_values_by_column_are_named_by_the_list_beside(tmp_path, labels):
    dataset = paddle(tmp_path, "a b.jpg\t1,0\n\n./x/c.jpg\t0, -1\r\n", labels)
    assert dataset.vocabulary.names == ("zebra", "ant lion")
    assert dataset.images == ("a b.jpg", "x/c.jpg")
    assert dataset.targets.tolist() == [[1, 0], [0, -1]]
    assert "2 labels, named by label_list.txt, e.g. a b.jpg -> zebra" in dataset.notes[0]


def test_without_a_list_of_names_labels_are_called_by_their_numbers_and_a_note_says_so(tmp_path):
    dataset = paddle(tmp_path, "a.jpg 1,0,1\n")
    assert dataset.vocabulary.names == ("0", "1", "2")
    assert "named by their numbers, as no label_list.txt is beside the list" in dataset.notes[0]


@settings(deadline=None)
@given(drawn())
def test_paddle_gives_back_what_was_written_or_refuses_it_by_name(content):
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "train_list.txt"
        dataset = content.dataset(Path(temporary))
        try:
            notes = write_paddle(dataset, file)
        except InputError as refusal:
            found = names_any(refusal, dataset)
            again = None
        else:
            again = read_paddle(file, "", options=KEEP)
    if again is None:
        assert found
        return
    assert again.vocabulary == dataset.vocabulary
    assert said(again) == said(dataset, unknown=0)
    assert any("unknown" in note for note in notes) == bool((dataset.targets == -1).any())


def test_an_image_named_as_a_comment_comes_back(tmp_path):
    dataset = made(("cat", "dog"), [[1, 0], [0, 1]], tmp_path)
    dataset = dataclasses.replace(dataset, images=("# a.jpg", "b.jpg"))
    write_paddle(dataset, tmp_path / "train_list.txt")
    again = read_paddle(tmp_path / "train_list.txt", "", options=KEEP)
    assert again.images == dataset.images
    assert again.targets.tolist() == [[1, 0], [0, 1]]


def test_lists_of_the_same_labels_share_their_names_and_others_are_refused(tmp_path):
    write_paddle(made(("cat", "dog"), [[1, 0]], tmp_path), tmp_path / "train_list.txt")
    write_paddle(made(("cat", "dog"), [[0, 1]], tmp_path), tmp_path / "val_list.txt")
    assert (tmp_path / "label_list.txt").read_text() == "0 cat\n1 dog\n"
    assert (tmp_path / "val_list.txt").read_text() == "0.jpg\t0,1\n"
    with pytest.raises(InputError, match=r"label_list.txt is there already, with other labels"):
        write_paddle(made(("dog", "cat"), [[1, 0]], tmp_path), tmp_path / "test_list.txt")
    assert not (tmp_path / "test_list.txt").exists()


@pytest.mark.parametrize(
    ("text", "labels", "split", "words"),
    [
        ("", None, "", ["has no line", "0,1,0"]),
        ("a.jpg\t1,0\n", None, "train", ["unknown split 'train'"]),
        ("a.jpg\t1,0\nb.jpg\t1\n", None, "", ["line 2", "1 values", "have 2"]),
        ("a.jpg\t1,0\nb.jpg\t1,0,1,1\n", None, "", ["line 2", "4 values", "have 2"]),
        ("a.jpg\t1,cat\n", None, "", ["line 1", "'cat'", "1 is present"]),
        ("a.jpg\n", None, "", ["line 1", "'a.jpg'"]),
        ("\t1,0\n", None, "", ["line 1", "image"]),
        ("a.jpg\t1,0\n", "cat\n", "", ["names 1 labels", "2 values"]),
        ("a.jpg\t1,0\n", "cat\ncat\n", "", ["'cat' is twice"]),
        ("a.jpg\t1,0\n", "cat\n<end>\n", "", ["<end>"]),
        ("a.jpg\t1,0\na.jpg\t1,0\n", None, "", ["a.jpg", "more than once"]),
        ("a.jpg\t1\nb.jpg\t0\n", None, "", ["two readings", "--layout one-hot", "--layout numbers"]),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path, text, labels, split, words):
    with pytest.raises(InputError) as error:
        paddle(tmp_path, text, labels, split)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(("absent", "targets"), [(None, [[1, 0], [0, 1]]), ("none", [[1, -1], [-1, 1]])])
def test_minus_one_without_any_zero_is_absent_in_a_list_of_paddle_too(tmp_path, absent, targets):
    (tmp_path / "a.txt").write_text("a.jpg\t1,-1\nb.jpg\t-1,1\n")
    dataset = read_paddle(tmp_path / "a.txt", "", options=ReadOptions(missing="keep", absent=absent))
    assert dataset.targets.tolist() == targets
    assert any("-1 was read as absent" in note for note in dataset.notes) == (absent is None)


def test_a_row_of_0_and_1_is_no_list_of_class_numbers(tmp_path):
    entries = [{"img_path": "a.jpg", "gt_label": [0, 1, 1]}]
    document = {"metainfo": {"classes": ["cat", "dog", "sky"]}, "data_list": entries}
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="row of 0 and 1 for 3 classes"):
        read_mmpretrain(tmp_path / "a.json", "", options=ReadOptions(missing="keep"))


def test_other_truth_of_entries_is_said(tmp_path):
    file = tmp_path / "train.json"
    entries = [{"img_path": "a.jpg", "gt_score": [1, 0]}, {"img_path": "b.jpg", "gt_label": [0]}]
    file.write_text(json.dumps({"metainfo": {"classes": ["a", "b"]}, "data_list": entries}))
    notes = read_mmpretrain(file, "", options=KEEP).notes
    assert any("keys of entries that were not read: gt_score." in note for note in notes)
