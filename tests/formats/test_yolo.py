"""YOLO folders in the layouts of Ultralytics, Roboflow, darknet and LabelImg."""

from pathlib import Path

import pytest

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.registry import open_dataset
from labelbeam.formats.sidecar import read_sidecar
from labelbeam.formats.yolo import read_yolo

BOX = "0.5 0.5 0.2 0.2"


def made(folder: Path, files: dict[str, str | None]) -> Path:
    """Write files; None is an empty image."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text or "", encoding="utf-8")
    return folder


def labels(dataset) -> dict[str, tuple[str, ...]]:
    return {example.image: example.present for example in map(dataset.example, range(len(dataset)))}


BOTH = ("labels/train/a.txt", "labels/val/a.txt")
ULTRALYTICS = {
    "data.yaml": "path: ../elsewhere\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n",
    "images/train/a.jpg": None,
    "images/train/deep/b.png": None,
    "images/val/a.jpg": None,
    "labels/train/a.txt": f"0 {BOX}\n1 {BOX}\n1 {BOX}\n",
    "labels/train/deep/b.txt": "",
    "labels/val/a.txt": f"1 {BOX}\n",
}


def test_ultralytics_splits_and_boxes_become_labels(tmp_path):
    made(tmp_path, ULTRALYTICS)
    train = read_yolo(tmp_path, "train")
    assert labels(train) == {"images/train/a.jpg": ("cat", "dog"), "images/train/deep/b.png": ()}
    assert labels(read_yolo(tmp_path / "data.yaml", "valid")) == {"images/val/a.jpg": ("dog",)}
    whole = read_yolo(tmp_path, "")
    assert len(whole) == 3  # the same name in two splits is two images
    assert any("read together" in note for note in whole.notes)
    assert len(open_dataset(f"yolo:{tmp_path}#not-train")) == 1


def test_roboflow_folders_whose_yaml_leads_out_of_the_folder(tmp_path):
    made(tmp_path, {"train/images/of-another-set.jpg": None})
    tmp_path = tmp_path / "pets"
    made(
        tmp_path,
        {
            "data.yaml": "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['cat', 'no']\n",
            "train/images/a.jpg": None,
            "train/labels/a.txt": f"1 {BOX}\n",
            "valid/images/b.jpg": None,
            "valid/labels/b.txt": f"0 {BOX}\n",
        },
    )
    assert labels(read_yolo(tmp_path, "train")) == {"train/images/a.jpg": ("no",)}
    assert labels(read_yolo(tmp_path, "val")) == {"valid/images/b.jpg": ("cat",)}


def test_a_name_that_yaml_takes_for_a_truth_value_or_number_is_a_name(tmp_path):
    made(tmp_path, {"data.yaml": "names: [no, 8, cat]\n", "a.jpg": None, "a.txt": f"0 {BOX}\n1 {BOX}\n"})
    assert read_yolo(tmp_path, "").vocabulary.names == ("no", "8", "cat")


def test_labelimg_texts_beside_the_images_with_classes_txt(tmp_path):
    made(
        tmp_path,
        {
            "classes.txt": "cat\ndog\n",
            "a.jpg": None,
            "a.txt": f"0 {BOX}\n",
            "b.jpg": None,
            "c.jpg": None,
            "c.txt": "1 0.1 0.1 0.9 0.1 0.9 0.9\n",  # a polygon
        },
    )
    dataset = read_yolo(tmp_path, "")
    assert labels(dataset) == {"a.jpg": ("cat",), "b.jpg": (), "c.jpg": ("dog",)}
    assert any("1 images have no label file" in note for note in dataset.notes)


def test_names_of_classes_may_lie_deeper_or_above(tmp_path):
    made(tmp_path, {"train/a.jpg": None, "train/a.txt": f"1 {BOX}\n", "train/_darknet.labels": "cat\ndog\n"})
    assert labels(read_yolo(tmp_path, "train")) == {"train/a.jpg": ("dog",)}
    made(tmp_path, {"other/b.jpg": None, "other/b.txt": f"0 {BOX}\n", "data.yaml": "names: [sea, sky]\n"})
    assert labels(read_yolo(tmp_path / "other", "")) == {"b.jpg": ("sea",)}
    (tmp_path / "data.yaml").unlink()
    made(tmp_path, {"other/_darknet.labels": "dog\ncat\n"})
    with pytest.raises(InputError, match="name the classes differently"):
        read_yolo(tmp_path, "")


def test_darknet_lists_name_images_from_another_machine(tmp_path):
    made(
        tmp_path,
        {
            "obj.names": "cat\ndog\n",
            "train.txt": "data/obj_train_data/a.jpg\n",
            "valid.txt": "data/obj_train_data/b.jpg\n",
            "obj_train_data/a.jpg": None,
            "obj_train_data/a.txt": f"1 {BOX}\n",
            "obj_train_data/b.jpg": None,
            "obj_train_data/b.txt": f"0 {BOX}\n",
        },
    )
    assert labels(read_yolo(tmp_path, "train")) == {"obj_train_data/a.jpg": ("dog",)}


def test_splits_without_yaml_are_folders(tmp_path):
    files = {name: text for name, text in ULTRALYTICS.items() if name != "data.yaml"}
    made(tmp_path, {**files, "classes.txt": "cat\ndog"})
    assert labels(read_yolo(tmp_path, "val")) == {"images/val/a.jpg": ("dog",)}


@pytest.mark.parametrize(
    ("changes", "split", "words"),
    [
        ({"data.yaml": "names: [cat]\n"}, "", ["class number 1", "1 classes", "a.txt"]),
        ({"data.yaml": "names: {0: cat, 2: dog}\n"}, "", ["numbered 0 to 1 without a gap"]),
        ({"data.yaml": "names: [cat, cat]\n"}, "", ["must differ"]),
        ({"data.yaml": "names: [*x]\nx: &x [1]\n"}, "", ["alias"]),
        ({"data.yaml": "names: [[a, b]]\n"}, "", ["list of texts"]),
        ({"data.yaml": "a: [\n"}, "", ["not YAML"]),
        ({"data.yaml": "train: x\n"}, "", ["names the numbers", "classes.txt"]),
        ({}, "test", ["unknown split 'test'", "train", "all"]),
        (
            {"data.yaml": "names: [cat, dog]\ntrain: images/train\nval: images/vale\n"},
            "val",
            ["not there", "data.yaml"],
        ),
        (
            {"data.yaml": "names: [cat, dog]\ntrain: labels\nval: images/val\n"},
            "train",
            ["no image in", "labels"],
        ),
        (
            dict.fromkeys(BOTH, "1girl, solo"),
            "",
            ["a.txt, line 1", "'1girl, solo' is no box"],
        ),
        (dict.fromkeys(BOTH, "0 nan 1 1 1"), "", ["is no box"]),
        (dict.fromkeys(BOTH, "-1 0 1 1 1"), "", ["is no box"]),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, changes, split, words):
    made(tmp_path, {**ULTRALYTICS, **changes})
    with pytest.raises(InputError) as error:
        read_yolo(tmp_path, split)
    assert all(word in str(error.value) for word in words), error.value


def test_a_folder_without_a_single_label_file_is_refused(tmp_path):
    made(tmp_path, {"data.yaml": "names: [cat]\n", "images/a.jpg": None})
    with pytest.raises(InputError, match=r"none of 1 images has a label file, such as .*labels/a\.txt"):
        read_yolo(tmp_path, "")


def test_the_reader_of_tags_names_boxes_as_what_they_are(tmp_path):
    made(tmp_path, {"a.jpg": None, "a.txt": f"0 {BOX}\n", "b.jpg": None, "b.txt": ""})
    with pytest.raises(InputError, match=r"these are YOLO boxes, not tags.*yolo:"):
        read_sidecar(tmp_path, "")
    made(tmp_path, {"b.txt": "cat, dog"})
    assert "dog" in read_sidecar(tmp_path, "", options=ReadOptions()).vocabulary


def test_confidences_of_a_model_are_said(tmp_path):
    made(tmp_path, {"a.jpg": None, "a.txt": f"0 {BOX} 0.93\n1 {BOX} 0.1\n", "classes.txt": "cat\ndog\n"})
    data = read_yolo(tmp_path, "")
    assert labels(data) == {"a.jpg": ("cat", "dog")}
    assert any("2 boxes have a sixth number" in note and "0.1 to 0.93" in note for note in data.notes)
