"""A path without a format: recognised by what is there, or an error that names what it could be."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.photo_metadata.xmp import new_packet
from labelbeam.formats.recognition import recognised
from labelbeam.formats.registry import open_dataset, parse_spec, write_dataset
from labelbeam.labels.vocabulary import Vocabulary

KEEP = ReadOptions(missing="keep")
COCO = json.dumps(
    {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [], "categories": [{"id": 1, "name": "c"}]}
)
VOC = "<annotation><filename>a.jpg</filename><object><name>cat</name></object></annotation>"
LABELME = json.dumps({"version": "5", "flags": {}, "shapes": [], "imagePath": "a.jpg"})
BOX = "0 0.5 0.5 0.1 0.1\n"

FOLDERS = {
    "yolo with data.yaml": (
        {"data.yaml": "names: [cat]\n", "images/a.jpg": "", "labels/a.txt": BOX},
        "yolo",
        "",
    ),
    "yolo beside images": ({"a.jpg": "", "a.txt": BOX, "classes.txt": "cat"}, "yolo", ""),
    "voc beside images": ({"train/a.jpg": "", "train/a.xml": VOC}, "voc", ""),
    "voc official": ({"VOC2007/Annotations/a.xml": VOC, "VOC2007/ImageSets/Main/t.txt": "a"}, "voc2007", ""),
    "coco official": ({"annotations/instances_val2017.json": COCO, "val2017/a.jpg": ""}, "coco", ""),
    "coco of Roboflow": ({"train/_annotations.coco.json": COCO, "train/a.jpg": ""}, "coco", ""),
    "coco of FiftyOne": ({"labels.json": COCO, "data/a.jpg": ""}, "coco", ""),
    "fiftyone": ({"labels.json": '{"classes": ["a"], "labels": {"a": 0}}', "data/a.jpg": ""}, "fiftyone", ""),
    "fiftyone samples": ({"samples.json": '{"samples": [{"filepath": "data/a.jpg"}]}'}, "fiftyone", ""),
    "labelme": ({"a.jpg": "", "a.json": LABELME, "b.json": LABELME}, "labelme", ""),
    "createml": (
        {"train/_annotations.createml.json": '[{"image": "a.jpg", "annotations": []}]'},
        "createml",
        "",
    ),
    "datumaro": ({"annotations/train.json": '{"categories": {}, "items": []}'}, "datumaro", ""),
    "cvat": ({"annotations.xml": "<?xml version='1.0'?>\n<annotations></annotations>"}, "cvat", ""),
    "imagefolder": ({"train/metadata.jsonl": '{"file_name": "a.jpg"}', "train/a.jpg": ""}, "imagefolder", ""),
    "csv of Roboflow": ({"train/_classes.csv": "filename, cat\n"}, "csv", ""),
    "csv beside images": ({"tags.csv": "image,tags\n", "photos/a.jpg": ""}, "csv", "tags.csv"),
    "celeba": ({"Anno/list_attr_celeba.txt": "1\nYoung\na.jpg 1\n"}, "list", "Anno/list_attr_celeba.txt"),
    "sidecar": ({"a.jpg": "", "a.txt": "1girl, solo"}, "sidecar", ""),
    "folder": ({"cat/a.jpg": "", "dog/b.jpg": ""}, "folder", ""),
    "keywords": ({"a.jpg": "", "a.jpg.xmp": "<x/>"}, "keywords", ""),
}

FILES = {
    "a.csv": ("image,tags\n", "csv"),
    "x-imagelabels.csv": ("ImageID,Source,LabelName,Confidence\n", "openimages"),
    "a.jsonl": ('{"image": "a.jpg", "labels": []}\n', "jsonl"),
    "v.jsonl": ('{"imageGcsUri": "gs://b/a.jpg"}\n', "vertex"),
    "z.jsonl": ('{"image_url": "azureml://x/a.jpg"}\n', "azure"),
    "s.manifest": ('{"source-ref": "s3://b/a.jpg"}\n', "sagemaker"),
    "m.json": ('{"metainfo": {}, "data_list": []}', "mmpretrain"),
    "c.json": (COCO, "coco"),
    "l.json": ('[{"id": 1, "annotations": [{"result": []}], "data": {"image": "a.jpg"}}]', "labelstudio"),
    "k.json": ('{"labels": [[0]], "class_names": ["a"], "images": ["a.jpg"]}', "cleanlab"),
    "v.txt": ("0,2 1:0.5 7:1\n", "vectors"),
    "p.txt": ("a.jpg\t0,1\n", "paddle"),
    "w.txt": ("a.jpg 0 1 0\n", "list"),
    "d.yaml": ("names: [cat]\n", "yolo"),
}


def made(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_is_recognised(tmp_path, case):
    files, name, inside = FOLDERS[case]
    guesses = recognised(made(tmp_path, files))
    assert [(guess.format, guess.path) for guess in guesses] == [
        (name, tmp_path / inside if inside else tmp_path)
    ]


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_recognised(tmp_path, name):
    text, format_name = FILES[name]
    (tmp_path / name).write_text(text)
    assert [guess.format for guess in recognised(tmp_path / name)] == [format_name]


def test_a_long_json_file_is_known_by_its_ends(tmp_path):
    images = [{"id": i, "file_name": f"{i:050d}.jpg"} for i in range(4000)]
    document = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "c"}]}
    (tmp_path / "a.json").write_text(json.dumps(document))
    assert [guess.format for guess in recognised(tmp_path / "a.json")] == ["coco"]


def test_the_data_set_says_how_it_was_recognised_and_is_called_by_its_full_name(tmp_path):
    made(tmp_path, {"train/a.jpg": "", "train/a.xml": VOC, "valid/b.jpg": "", "valid/b.xml": VOC})
    dataset = open_dataset(f"{tmp_path}#train")
    assert dataset.spec == f"voc:{tmp_path}#train"
    assert dataset.notes[0].startswith("recognised as voc (XML files that begin with <annotation>")
    assert len(open_dataset(str(tmp_path), options=KEEP)) == 2


def test_parquet_files_are_told_apart_by_their_columns(tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"image": [b"x"], "labels": [["a"]]}), tmp_path / "train.parquet")
    assert [(g.format, g.path) for g in recognised(tmp_path)] == [("parquet", tmp_path)]
    parquet.write_table(pa.table({"image": ["a.jpg"], "v": [[0.5, 1.0]]}), tmp_path / "train.parquet")
    assert [(g.format, g.path) for g in recognised(tmp_path)] == [("vectors", tmp_path / "train.parquet")]


def test_photographs_that_carry_keywords_are_recognised(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg", xmp=new_packet({"dc:subject": ["cat"]}))
    assert [guess.format for guess in recognised(tmp_path)] == ["keywords"]


def test_two_formats_are_named_and_neither_is_taken(tmp_path):
    made(tmp_path, {"cat/a.jpg": "", "cat/a.txt": "fluffy, cute", "dog/b.jpg": "", "dog/b.txt": "cute"})
    with pytest.raises(InputError) as error:
        parse_spec(str(tmp_path))
    assert f"sidecar:{tmp_path}" in str(error.value)
    assert f"folder:{tmp_path}" in str(error.value)
    assert "Say which" in str(error.value)


def test_what_is_not_recognised_lists_the_formats(tmp_path):
    made(tmp_path, {"notes.md": "x"})
    with pytest.raises(InputError, match=r"nothing in it is recognised as labels.*FORMAT:PATH#SPLIT"):
        parse_spec(str(tmp_path))


def test_what_the_reader_finds_wrong_is_told_with_the_format(tmp_path):
    made(tmp_path, {"VOC2007/Annotations/a.xml": VOC, "VOC2007/ImageSets/Main/mine.txt": "a"})
    with pytest.raises(InputError, match=r"recognised as voc2007 \(.*\)\. voc2007:.*say which split.*mine"):
        open_dataset(str(tmp_path))


def test_nothing_is_written_in_a_format_that_was_recognised(tmp_path):
    (tmp_path / "a.csv").write_text("image,tags\n")
    dataset = Dataset("x", tmp_path, ("a.jpg",), Vocabulary(("c",)), np.ones((1, 1), np.int8))
    with pytest.raises(InputError, match="does not say in which format to write"):
        write_dataset(dataset, str(tmp_path / "a.csv"))


def test_several_files_of_one_format_are_several_data_sets(tmp_path):
    document = json.dumps({"images": [], "annotations": [], "categories": []})
    guesses = recognised(made(tmp_path, {"train.json": document, "test.json": document}))
    assert [(guess.format, guess.path.name) for guess in guesses] == [
        ("coco", "test.json"),
        ("coco", "train.json"),
    ]
    official = {"annotations/instances_train.json": document, "annotations/captions_train.json": document}
    assert [guess.path for guess in recognised(made(tmp_path / "official", official))] == [
        tmp_path / "official"
    ]


FOREIGN = {
    "VIA": ({"via.json": '{"a.jpg1": {"filename": "a.jpg", "regions": [], "file_attributes": {}}}'}, "COCO"),
    "VoTT": ({"x.vott": "{}", "a-asset.json": '{"asset": {}, "regions": []}'}, "Pascal VOC"),
    "Supervisely": (
        {
            "x/ann/a.jpg.json": '{"description": "", "tags": [], "size": {}, "objects": []}',
            "x/img/a.jpg": "",
            "y/img/b.jpg": "",
        },
        "COCO",
    ),
    "Labelbox": ({"x.ndjson": '{"data_row": {"id": 1}, "projects": {}}'}, "COCO"),
    "BDD100K": ({"d.json": '[{"name": "a.jpg", "labels": [{"category": "car", "box2d": {}}]}]'}, "COCO"),
    "Cityscapes": (
        {
            "gtFine/a_polygons.json": '{"imgHeight": 1, "imgWidth": 1, "objects": []}',
            "x/a.png": "",
            "y/b.png": "",
        },
        "COCO",
    ),
    "Prodigy": ({"p.jsonl": '{"image": "a.jpg", "accept": ["cat"], "_input_hash": 1}'}, "JSON Lines"),
    "detections": ({"r.json": '[{"image_id": 1, "category_id": 2, "score": 0.5}]'}, "images"),
    "MIRFLICKR": ({"animals.txt": "1\n", "animals_r1.txt": "1\n", "a/im1.jpg": "", "b/im2.jpg": ""}, "CSV"),
    "TFRecord": ({"train.tfrecord-00000-of-00002": "x", "a/1.jpg": "", "b/2.jpg": ""}, "CSV"),
    "save_to_disk": ({"data-00000-of-00001.arrow": "x"}, "Parquet"),
    "MATLAB": ({"labels.mat": "x", "a.jpg": ""}, "CSV"),
    "pickled": ({"train.pkl": "x"}, "CSV"),
    "spreadsheet": ({"tags.xlsx": "PK", "a.jpg": ""}, "CSV"),
    "archive": ({"a.zip": "PK"}, "Unpack"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_other_programs_write_is_named_with_what_to_export_instead(tmp_path, name):
    files, remedy = FOREIGN[name]
    with pytest.raises(InputError, match=rf"{name}.*labelbeam does not read.*{remedy}"):
        parse_spec(str(made(tmp_path, files)))


def test_an_archive_or_a_sheet_beside_photographs_hides_nothing(tmp_path):
    files = {"cat/a.jpg": "", "dog/b.jpg": "", "backup.zip": "PK", "model.pt": "", "list.xlsx": ""}
    assert parse_spec(str(made(tmp_path, files))).format == "folder"


@pytest.mark.parametrize(
    ("name", "text", "format"),
    [
        ("v.csv", "gs://bucket/a.jpg,cat,dog\n", "vertex"),
        ("o-bbox.csv", "ImageID,Source,LabelName,Confidence,XMin\na,x,/m/1,1,0\n", "openimages"),
        ("t.json", '[{"image": "a.jpg", "labels": ["cat"]}]', "jsonl"),
    ],
)
def test_a_file_without_the_usual_name_is_known_by_its_first_line(tmp_path, name, text, format):
    made(tmp_path, {name: text})
    assert parse_spec(str(tmp_path / name)).format == format


def test_json_in_utf_16_is_recognised(tmp_path):
    (tmp_path / "c.json").write_bytes(COCO.encode("utf-16"))
    assert parse_spec(str(tmp_path / "c.json")).format == "coco"


def test_boxes_of_objects_are_no_vectors(tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    kind = pa.struct([("bbox", pa.list_(pa.list_(pa.float64()))), ("category", pa.list_(pa.string()))])
    columns = {
        "image": pa.array([{"bytes": b"x", "path": "a.png"}]),
        "objects": pa.array([{"bbox": [[0.0, 0.0, 1.0, 1.0]], "category": ["cat"]}], kind),
    }
    parquet.write_table(pa.table(columns), tmp_path / "train.parquet")
    assert parse_spec(str(tmp_path)).format == "parquet"


@pytest.mark.parametrize(
    "name", ["csv beside images", "yolo with data.yaml", "fiftyone", "folder", "coco official"]
)
def test_a_folder_in_a_folder_as_archives_have_it_is_looked_into(tmp_path, name):
    files, format, place = FOLDERS[name]
    made(tmp_path / "set" / "set-v2", files)
    (tmp_path / "set" / "__MACOSX").mkdir()
    found = parse_spec(str(tmp_path / "set"))
    assert (found.format, found.path) == (format, tmp_path / "set" / "set-v2" / place)


def test_a_table_in_a_folder_of_labels_is_found(tmp_path):
    made(tmp_path, {"labels/t.csv": "image,labels\na.jpg,cat\n", "images/a.jpg": ""})
    assert parse_spec(str(tmp_path)).path == tmp_path / "labels" / "t.csv"


def test_a_table_of_labels_beside_another_format_is_another_reading(tmp_path):
    made(tmp_path, {"t.csv": "file;label\na.jpg;cat\n", "ann.json": COCO, "sizes.csv": "image,width\n"})
    with pytest.raises(InputError, match=r"could be several.*coco:.*csv:.*t\.csv"):
        parse_spec(str(tmp_path))


def test_a_list_whose_last_image_has_no_label_is_one(tmp_path):
    made(tmp_path, {"w.txt": "a.jpg cat dog\nb.jpg\n"})
    assert parse_spec(str(tmp_path / "w.txt")).format == "list"
