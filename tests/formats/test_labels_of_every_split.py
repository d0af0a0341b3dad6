"""The labels of a data set are those of all its splits, whichever split is read."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.registry import FORMATS, open_dataset, write_dataset
from labelbeam.labels.vocabulary import Vocabulary

SPLITS = {"train": ("a.png", "cat"), "val": ("b.png", "dog")}
"""One image and one label each; neither split has the other's label."""

WRITTEN = ("coco", "folder", "sidecar", "imagefolder", "fiftyone")
"""Formats whose writer puts one split beside another."""

NO_SPLITS = {
    **dict.fromkeys(
        ("azure", "sagemaker", "jsonl", "labelstudio", "keywords", "project"), "one file, no splits"
    ),
    **dict.fromkeys(("mmpretrain", "paddle", "cleanlab"), "a split is a file that is named by itself"),
    **dict.fromkeys(("nuswide81", "nuswide1000", "voc2007", "voc2012"), "the labels are a published list"),
    "cvat": "the splits are subsets of one file",
    **dict.fromkeys(("openimages", "webdataset"), "a folder has one list of classes"),
    "scenes": "the labels are the program's own",
}


def picture(place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (90, 120, 30)).save(place)


def text(place: Path, content: object) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def written(name, folder):
    for split, (image, label) in SPLITS.items():
        picture(folder / "pictures" / image)
        one = Dataset("x", folder / "pictures", (image,), Vocabulary((label,)), np.ones((1, 1), np.int8))
        write_dataset(one, f"{name}:{folder / 'set'}#{split}", images="copy")
    return folder / "set"


def in_csv(folder):
    rows = [f"{image},{label},{split}" for split, (image, label) in SPLITS.items()]
    text(folder / "t.csv", "\n".join(["image,tags,split", *rows]))
    return folder / "t.csv"


def in_roboflow_csv(folder):
    for split, (image, label) in SPLITS.items():
        picture(folder / split / image)
        text(folder / split / "_classes.csv", f"filename,{label}\n{image},1\n")
    return folder


def in_voc(folder):
    for split, (image, label) in SPLITS.items():
        picture(folder / split / image)
        objects = f"<object><name>{label}</name></object>"
        text(
            (folder / split / image).with_suffix(".xml"),
            f"<annotation><filename>{image}</filename>{objects}</annotation>",
        )
    return folder


def in_labelme(folder):
    for split, (image, label) in SPLITS.items():
        picture(folder / split / image)
        shapes = [{"label": label, "points": [[0, 0], [1, 1]], "flags": {}}]
        text(
            (folder / split / image).with_suffix(".json"),
            {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": image, "imageData": None},
        )
    return folder


def in_yolo(folder):
    text(folder / "data.yaml", "train: images/train\nval: images/val\nnames: [cat, dog]\n")
    for number, (split, (image, _)) in enumerate(SPLITS.items()):
        picture(folder / "images" / split / image)
        text((folder / "labels" / split / image).with_suffix(".txt"), f"{number} 0.5 0.5 0.2 0.2\n")
    return folder


def in_createml(folder):
    for split, (image, label) in SPLITS.items():
        picture(folder / split / image)
        text(
            folder / split / "_annotations.createml.json",
            [{"image": image, "annotations": [{"label": label}]}],
        )
    return folder


def in_datumaro(folder):
    for split, (image, label) in SPLITS.items():
        picture(folder / "images" / split / image)
        items = [
            {
                "id": Path(image).stem,
                "annotations": [{"id": 0, "type": "label", "label_id": 0}],
                "image": {"path": image},
            }
        ]
        names = [{"name": label, "parent": ""}]
        text(
            folder / f"annotations/{split}.json", {"categories": {"label": {"labels": names}}, "items": items}
        )
    return folder


def in_parquet(folder):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    for split, (image, label) in SPLITS.items():
        picture(folder / image)
        (folder / "data").mkdir(exist_ok=True)
        content = {"bytes": (folder / image).read_bytes(), "path": image}
        table = pyarrow.table({"image": [content], "labels": [[label]]})
        parquet.write_table(table, folder / f"data/{split}-00000-of-00001.parquet")
    return folder


def in_vertex(folder):
    lines = []
    for split, (image, label) in SPLITS.items():
        picture(folder / image)
        use = {"train": "training", "val": "validation"}[split]
        annotations = [{"displayName": label}]
        lines.append(
            json.dumps(
                {
                    "imageGcsUri": f"gs://bucket/{image}",
                    "classificationAnnotations": annotations,
                    "dataItemResourceLabels": {"aiplatform.googleapis.com/ml_use": use},
                }
            )
        )
    text(folder / "manifest.jsonl", "\n".join(lines))
    return folder / "manifest.jsonl"


def in_list(folder):
    text(folder / "list_attr_celeba.txt", "2\ncat dog\na.png 1 -1\nb.png -1 1\n")
    text(folder / "list_eval_partition.txt", "a.png 0\nb.png 1\n")
    return folder


def in_vectors(folder):
    np.savez(folder / "v.npz", features=np.eye(2, dtype=np.float32), image=["a", "b"], tags=["cat", "dog"])
    return folder / "v.npz"


OTHERS = {
    "csv": in_csv,
    "createml": in_createml,
    "voc": in_voc,
    "labelme": in_labelme,
    "yolo": in_yolo,
    "datumaro": in_datumaro,
    "parquet": in_parquet,
    "vertex": in_vertex,
    "list": in_list,
}
NAMES = {"vertex": ("training", "validation"), "list": ("train", "valid")}


@pytest.mark.parametrize("name", [*WRITTEN, *OTHERS, "roboflow"])
def test_the_labels_are_those_of_every_split(name, tmp_path):
    if name == "roboflow":
        path, name = in_roboflow_csv(tmp_path), "csv"
    else:
        path = OTHERS[name](tmp_path) if name in OTHERS else written(name, tmp_path)
    options = ReadOptions(missing="keep")
    parts = [
        open_dataset(f"{name}:{path}#{split}", options=options) for split in NAMES.get(name, tuple(SPLITS))
    ]
    assert [part.vocabulary.names for part in parts] == [("cat", "dog")] * 2
    assert [len(part) for part in parts] == [1, 1]
    assert parts[0].targets.tolist()[0][0] == parts[1].targets.tolist()[0][1] == 1


def test_every_format_is_asked_or_has_no_splits():
    assert {*WRITTEN, *OTHERS, *NO_SPLITS, "vectors"} == set(FORMATS)


def test_vectors_have_no_splits_that_could_lose_a_label(tmp_path):
    with pytest.raises(InputError, match="split"):
        open_dataset(f"vectors:{in_vectors(tmp_path)}#train")


def test_labels_of_open_images_are_those_of_all_files_and_unknown_elsewhere(tmp_path):
    for split, (image, label) in SPLITS.items():
        picture(tmp_path / split / image)
        rows = f"ImageID,Source,LabelName,Confidence\n{Path(image).stem},verification,{label},1\n"
        text(tmp_path / f"{split}-annotations-human-imagelabels.csv", rows)
    dataset = open_dataset(f"openimages:{tmp_path}#train")
    assert dataset.vocabulary.names == ("cat", "dog")
    assert dataset.targets.tolist() == [[1, -1]]


def test_labels_of_shards_are_those_of_all_shards(tmp_path):
    for split, (image, label) in SPLITS.items():
        picture(tmp_path / image)
        (tmp_path / f"{split}.txt").write_text(label)
        with tarfile.open(tmp_path / f"{split}-0.tar", "w") as shard:
            shard.add(tmp_path / image, image)
            shard.add(tmp_path / f"{split}.txt", f"{Path(image).stem}.txt")
    dataset = open_dataset(f"webdataset:{tmp_path}#train")
    assert dataset.vocabulary.names == ("cat", "dog")
    assert dataset.targets.tolist() == [[1, 0]]


def test_vertex_in_csv_takes_small_letters_for_a_split(tmp_path):
    picture(tmp_path / "a.png")
    text(tmp_path / "t.csv", "TRAIN,gs://b/a.png,cat\nTEST,gs://b/b.png,dog\n")
    assert open_dataset(f"vertex:{tmp_path / 't.csv'}#training").images == ("a.png",)


def test_what_voc_and_lvis_hold_besides_classes_is_said(tmp_path):
    picture(tmp_path / "a.png")
    more = "<part><name>head</name></part><attributes/>"
    text(tmp_path / "a.xml", f"<annotation><object><name>person</name>{more}</object></annotation>")
    notes = open_dataset(f"voc:{tmp_path}").notes
    assert any("<part> in 1 files" in note and "<attributes>" in note for note in notes)
    lvis = {
        "images": [{"id": 1, "file_name": "a.png", "neg_category_ids": []}],
        "annotations": [{"image_id": 1, "category_id": 1}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    text(tmp_path / "l.json", lvis)
    dataset = open_dataset(f"coco:{tmp_path / 'l.json'}")
    assert dataset.targets.tolist() == [[1, -1]]
    assert any(note.startswith("LVIS") for note in dataset.notes)


def test_json_lines_start_where_their_images_are_though_the_first_is_lost(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture(Path("pics/a.png"))
    lines = ['{"image": "pics/x.png", "labels": ["cat"]}', '{"image": "pics/a.png", "labels": ["cat"]}']
    text(Path("out/p.jsonl"), "\n".join(lines))
    assert open_dataset("jsonl:out/p.jsonl", options=ReadOptions(missing="skip")).images == ("pics/a.png",)
