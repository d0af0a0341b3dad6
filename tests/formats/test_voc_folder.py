"""VOC's XML in folders that are not VOC's: LabelImg's, Roboflow's, home-made ones."""

from pathlib import Path

import pytest

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.voc import read_voc_folder


def xml(filename: str, *objects: str, difficult: str = "0") -> str:
    inside = "".join(f"<object><name>{o}</name><difficult>{difficult}</difficult></object>" for o in objects)
    return f"<annotation><filename>{filename}</filename>{inside}</annotation>"


def made(folder: Path, files: dict[str, str | None]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text or "", encoding="utf-8")
    return folder


ROBOFLOW = {
    "train/a.jpg": None,
    "train/a.xml": xml("a.jpg", "cat", "dog"),
    "train/b.jpg": None,
    "train/b.xml": xml("b.jpg"),
    "train/c.jpg": None,
    "valid/a.jpg": None,
    "valid/a.xml": xml("a.jpg", "bird"),
}


def test_roboflow_folders_are_splits_and_labels_do_not_depend_on_them(tmp_path):
    train = read_voc_folder(made(tmp_path, ROBOFLOW), "train")
    assert train.images == ("train/a.jpg", "train/b.jpg")
    assert train.vocabulary.names == ("bird", "cat", "dog")
    assert train.targets.tolist() == [[0, 1, 1], [0, 0, 0]]
    assert any("1 images have no XML file and were left out: train/c.jpg" in note for note in train.notes)
    assert len(read_voc_folder(tmp_path, "all")) == 3


@pytest.mark.parametrize("images", ["JPEGImages", "images", "."])
def test_annotations_find_their_images_beside_their_folder(tmp_path, images):
    made(tmp_path, {"Annotations/a.xml": xml("C:\\photos\\a.png", "cat"), f"{images}/a.png": None})
    assert read_voc_folder(tmp_path, "").images == (f"{images}/a.png".removeprefix("./"),)


def test_an_image_of_another_name_is_the_one_that_the_file_names(tmp_path):
    made(tmp_path, {"labels/0001.xml": xml("x.jpg", "cat"), "images/x.jpg": None})
    assert read_voc_folder(tmp_path, "").images == ("images/x.jpg",)


def test_lists_are_used_where_there_are_some(tmp_path):
    made(
        tmp_path,
        {
            "Annotations/a.xml": xml("a.jpg", "cat"),
            "Annotations/b.xml": xml("b.jpg", "dog", difficult="1"),
            "JPEGImages/a.jpg": None,
            "JPEGImages/b.jpg": None,
            "ImageSets/Main/mine.txt": "b\n",
        },
    )
    mine = read_voc_folder(tmp_path, "mine")
    assert mine.images == ("JPEGImages/b.jpg",)
    assert mine.targets.tolist() == [[0, -1]]
    assert read_voc_folder(tmp_path, "mine", options=ReadOptions(difficult="present")).targets.tolist() == [
        [0, 1]
    ]
    with pytest.raises(InputError, match=r"unknown split 'yours'.*mine"):
        read_voc_folder(tmp_path, "yours")


@pytest.mark.parametrize(
    ("files", "split", "words"),
    [
        ({"a.txt": "x"}, "", ["no .xml file"]),
        ({"a.xml": "<annotations><image/></annotations>"}, "", ["no annotation of VOC", "<annotations>"]),
        ({"a.xml": "<annotation><object/></annotation>"}, "", ["has no name"]),
        ({"a.xml": "<annotation>"}, "", ["not readable XML"]),
        ({"a.xml": "<!DOCTYPE a><annotation/>"}, "", ["DOCTYPE"]),
        (ROBOFLOW, "test", ["unknown split 'test'", "train, valid"]),
        (
            {"a.xml": xml("a.jpg", "cat"), "a.png": None, "a.jpeg": None},
            "",
            ["ambiguous", "a.jpeg and a.png"],
        ),
        ({"a.xml": xml("a.jpg", "cat")}, "", ["1 of 1 image files are missing"]),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, files, split, words):
    with pytest.raises(InputError) as error:
        read_voc_folder(made(tmp_path, files), split)
    assert all(word in str(error.value) for word in words), error.value


def test_files_in_windows_1252_that_do_not_say_so_are_read_and_said(tmp_path):
    made(tmp_path, {"a.jpg": None, "b.jpg": None, "b.xml": xml("b.jpg", "dog"), "c.xml": xml("c.jpg", "dog")})
    (tmp_path / "a.xml").write_bytes(xml("a.jpg", "café").encode("cp1252"))
    data = read_voc_folder(tmp_path, "", options=ReadOptions(missing="keep"))
    assert data.vocabulary.names == ("café", "dog")
    assert any("Windows-1252" in note and "a.xml" in note for note in data.notes)
    (tmp_path / "a.xml").write_bytes(xml("a.jpg", "собака").encode("cp1251"))
    data = read_voc_folder(tmp_path, "", options=ReadOptions(missing="keep"))
    assert data.vocabulary.names == ("dog",)
    assert any("1 XML files cannot be read" in note for note in data.notes)
