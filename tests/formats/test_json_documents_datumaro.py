"""Datumaro's folder, as Datumaro and CVAT write it."""

import json
from pathlib import Path

import pytest

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.json_documents import read_datumaro


def item(identity: str, *labels: int, kind: str = "label", path: str | None = None) -> dict:
    notes = [{"id": i, "type": kind, "label_id": label, "group": 0} for i, label in enumerate(labels)]
    return {
        "id": identity,
        "annotations": notes,
        "image": {"path": f"{identity}.png" if path is None else path},
    }


def written(folder: Path, split: str, *items: dict, names: tuple[str, ...] = ("cat", "dog")) -> Path:
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    labels = [{"name": name, "parent": "", "attributes": []} for name in names]
    document = {"info": {}, "categories": {"label": {"labels": labels}}, "items": list(items)}
    (folder / f"annotations/{split}.json").write_text(json.dumps(document))
    return folder


def with_images(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "images" / name).touch()
    return folder


def test_labels_by_split_with_images_in_the_splits_folder(tmp_path):
    written(tmp_path, "train", item("a", 0, 1), item("b"))
    written(tmp_path, "val", item("a", 1, path=""))
    with_images(tmp_path, "train/a.png", "train/b.png", "val/a.jpg", "other/a.png")
    other = written(tmp_path / "o", "other", item("a", 0), names=("dog", "cat"))
    assert read_datumaro(other, "", options=ReadOptions(missing="keep")).vocabulary.names == ("dog", "cat")
    train = read_datumaro(tmp_path, "train")
    assert train.images == ("train/a.png", "train/b.png")
    assert train.targets.tolist() == [[1, 1], [0, 0]]
    assert read_datumaro(tmp_path, "val").images == ("val/a.jpg",)
    assert len(read_datumaro(tmp_path, "")) == 3


def test_shapes_count_only_where_no_item_has_a_label(tmp_path):
    with_images(tmp_path, "a.png", "b.png")
    written(tmp_path, "default", item("a", 1, kind="bbox"), item("b"))
    shapes = read_datumaro(tmp_path, "")
    assert shapes.targets.tolist() == [[0, 1], [0, 0]]
    assert "labels of shapes" in shapes.notes[0]
    written(tmp_path, "default", item("a", 1, kind="bbox"), item("b", 0))
    labels = read_datumaro(tmp_path, "")
    assert labels.targets.tolist() == [[0, 0], [1, 0]]
    assert any("those of shapes were not: 1 bbox" in note for note in labels.notes)


@pytest.mark.parametrize(
    ("items", "names", "split", "words"),
    [
        ([item("a", 2)], ("cat",), "", ["class number 2"]),
        ([{"annotations": []}], ("cat",), "", ["neither an 'id' nor a path"]),
        ([{"id": "a", "annotations": [3]}], ("cat",), "", ["items[0]", "'annotations'"]),
        ([item("a", 0)], ("cat", "cat"), "", ["the same one twice"]),
        ([item("a", 0)], ("cat",), "tset", ["unknown split 'tset'", "train"]),
        ([item("a", 0)], ("cat",), "", ["1 of 1 image files are missing"]),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, items, names, split, words):
    with pytest.raises(InputError) as error:
        read_datumaro(written(tmp_path, "train", *items, names=names), split)
    assert all(word in str(error.value) for word in words), error.value
