"""Files of images and labels, damaged in any way, are read or refused; nothing else comes of it."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from mutations import damages, reads_or_refuses

from labelbeam.data.dataset import ReadOptions
from labelbeam.formats.registry import open_dataset

FILES = {
    "csv tags": ("csv", "a.csv", 'image,tags,unknown,split\na.jpg,cat;dog,ant,train\n"b,.jpg",dog,,test\n'),
    "csv list": ("csv", "a.csv", "image,tags\na.jpg,\"['cat', 'dog']\"\nb.jpg,['dog']\n"),
    "csv one-hot": ("csv", "a.csv", "image,cat,dog\na.jpg,1,0\nb.jpg,,-1\n"),
    "csv long": ("csv", "a.csv", "ImageID,Source,LabelName,Confidence\na,v,/m/1,1\na,v,/m/2,0\n"),
    "csv ragged": ("csv", "a.csv", "TRAIN,gs://b/a.jpg,cat,dog\nTEST,gs://b/b.jpg,dog\n"),
    "jsonl": (
        "imagefolder",
        "metadata.jsonl",
        '{"file_name": "a.jpg", "labels": ["cat", "dog"]}\n{"file_name": "b.jpg", "labels": null}\n',
    ),
    "mmpretrain": (
        "mmpretrain",
        "a.json",
        json.dumps(
            {
                "metainfo": {"classes": ["cat", "dog"]},
                "data_list": [{"img_path": "a.jpg", "gt_label": [0, 1]}],
            }
        ),
    ),
    "paddle": ("paddle", "train_list.txt", "a.jpg\t1,0\nx/b.jpg\t0,1\n"),
    "sidecar": ("sidecar", "a.txt", "cat, dog\nlong hair"),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("missing", ["keep", "skip"])
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(damage=damages())
def test_a_damaged_file_is_read_or_refused(kind, missing, damage):
    form, name, text = FILES[kind]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for image in ("a.jpg", "b.jpg"):
            (folder / image).write_bytes(b"")
        (folder / name).write_text(text, encoding="utf-8")
        path = folder if form in {"imagefolder", "sidecar"} else folder / name
        options = ReadOptions(missing=missing)
        reads_or_refuses(folder / name, damage, lambda: open_dataset(f"{form}:{path}", options=options))


@settings(deadline=None, max_examples=50)
@given(damage=damages())
def test_damaged_parquet_is_read_or_refused(damage):
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra `parquet`")
    from pyarrow import parquet

    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "metadata.parquet"
        table = pyarrow.table({"file_name": ["a.jpg", "b.jpg"], "labels": [["cat", "dog"], []]})
        parquet.write_table(table, file)
        options = ReadOptions(missing="keep")
        reads_or_refuses(file, damage, lambda: open_dataset(f"imagefolder:{temporary}", options=options))
