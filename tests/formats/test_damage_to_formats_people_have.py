"""Files of the formats that other programs write, damaged: read, or an error in words; never a traceback."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from mutations import damages, reads_or_refuses

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.recognition import recognised
from labelbeam.formats.registry import open_dataset

KEEP = ReadOptions(missing="keep")

META = {"class-map": {"0": "cat"}, "type": "groundtruth/image-classification-multilabel"}
LVIS = {
    "images": [
        {"id": 1, "coco_url": "http://x/v/1.jpg", "neg_category_ids": [2], "not_exhaustive_category_ids": []}
    ],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1}],
    "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
}
SAMPLE = {"filepath": "data/a.jpg", "tags": ["t"], "truth": {"_cls": "Classification", "label": "cat"}}

FILES = {
    "yolo:.": {
        "data.yaml": "train: a\nnames: {0: cat, 1: dog}\n",
        "a/x.jpg": "",
        "a/x.txt": "0 .1 .1 .2 .2\n",
    },
    "yolo:.#train": {"classes.txt": "cat\n", "train.txt": "x.jpg\n", "x.jpg": "", "x.txt": "0 .1 .1 .2 .2\n"},
    "voc:.": {"a.xml": "<annotation><filename>a.jpg</filename><object><name>c</name></object></annotation>"},
    "labelme:.": {
        "a.json": json.dumps(
            {"imagePath": "a.jpg", "flags": {"cat": True}, "shapes": [{"label": "dog", "flags": {}}]}
        )
    },
    "createml:a.json": {
        "a.json": json.dumps([{"filename": "a.jpg", "annotations": ["cat", {"label": "dog"}]}])
    },
    "datumaro:.": {
        "annotations/a.json": json.dumps(
            {
                "categories": {"label": {"labels": [{"name": "cat"}]}},
                "items": [
                    {"id": "a", "annotations": [{"type": "label", "label_id": 0}], "image": {"path": "a.jpg"}}
                ],
            }
        )
    },
    "coco:a.json": {"a.json": json.dumps(LVIS)},
    "fiftyone:.": {"samples.json": json.dumps({"samples": [SAMPLE]})},
    "vertex:a.jsonl": {
        "a.jsonl": json.dumps(
            {"imageGcsUri": "gs://b/a.jpg", "classificationAnnotations": [{"displayName": "cat"}]}
        )
    },
    "azure:a.jsonl": {"a.jsonl": json.dumps({"image_url": "azureml://x/paths/a.jpg", "label": ["cat"]})},
    "sagemaker:a.jsonl": {
        "a.jsonl": json.dumps({"source-ref": "s3://b/a.jpg", "t": [0], "t-metadata": META})
    },
    "list:a.txt": {"a.txt": "2\ncat dog\na.jpg 1 -1\nb.jpg -1 1\n"},
    "mmpretrain:a.json": {
        "a.json": json.dumps(
            {
                "metainfo": {"categories": [{"id": 0, "category_name": "cat"}]},
                "data_list": [{"img_path": "a.jpg", "gt_label": [0]}],
            }
        )
    },
}


@pytest.fixture
def place(request, tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES[request.param].items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    return request.param


def damaged_files(spec: str) -> list[Path]:
    return [Path(name) for name, text in FILES[spec].items() if text]


@pytest.mark.parametrize("place", FILES, indirect=True)
def test_the_files_are_good_before(place):
    assert len(open_dataset(place, options=KEEP)) > 0


@pytest.mark.parametrize("place", FILES, indirect=True)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=damages())
def test_damage_is_read_or_told_in_words(place, damage):
    for file in damaged_files(place):
        reads_or_refuses(file, damage, lambda: open_dataset(place, options=KEEP))


@pytest.mark.parametrize("place", FILES, indirect=True)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=damages())
def test_what_is_damaged_can_still_be_looked_at_for_its_format(place, damage):
    file = damaged_files(place)[0]
    raw = file.read_bytes()
    file.write_bytes(damage(raw))
    try:
        recognised(Path())
        recognised(file)
    finally:
        file.write_bytes(raw)


def test_a_parquet_file_that_is_damaged_is_refused(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    file = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"image": [b"x", b"y"], "cat": [True, False]}), file)
    raw = file.read_bytes()
    for cut in range(0, len(raw), 7):
        file.write_bytes(raw[:cut] + b"\xff" * 3 + raw[cut + 3 :])
        message = ""
        try:
            open_dataset(f"parquet:{file}", options=KEEP)
        except InputError as error:
            message = str(error)
        assert len(message) < 2000
