"""The photographs at hand, written in the layouts of other programs, are read back as the same labels."""

import json
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.data.image_bytes import image_bytes
from labelbeam.formats.registry import open_dataset

COUNT = 60


def link(dataset: Dataset, i: int, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(dataset.path(i).resolve())


def text(place: Path, content: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(content, encoding="utf-8")


def rows(dataset: Dataset) -> list[tuple[int, str, list[int], list[str]]]:
    names = dataset.vocabulary.names
    found = []
    for i, image in enumerate(dataset.images):
        columns = np.flatnonzero(dataset.targets[i] == 1).tolist()
        found.append((i, image, columns, [names[j] for j in columns]))
    return found


def lines_of_boxes(columns: list[int]) -> str:
    return "".join(f"{j} 0.5 0.5 0.25 0.25\n" * 2 for j in columns)


def yolo(dataset: Dataset, folder: Path, *, images: str, labels: str) -> str:
    names = json.dumps(dict(enumerate(dataset.vocabulary.names)))
    text(
        folder / "data.yaml",
        f"path: /content/{folder.name}\ntrain: {images}\nval: {images}\nnames: {names}\n",
    )
    for i, image, columns, _ in rows(dataset):
        link(dataset, i, folder / images.removeprefix("../") / image)
        if columns:
            text(folder / labels / f"{Path(image).stem}.txt", lines_of_boxes(columns))
    return f"{folder}#train"


def ultralytics(dataset: Dataset, folder: Path) -> str:
    return yolo(dataset, folder, images="images/train", labels="labels/train")


def roboflow_yolo(dataset: Dataset, folder: Path) -> str:
    return yolo(dataset, folder, images="../train/images", labels="train/labels")


def labelimg_yolo(dataset: Dataset, folder: Path) -> str:
    text(folder / "classes.txt", "\n".join(dataset.vocabulary.names))
    for i, image, columns, _ in rows(dataset):
        link(dataset, i, folder / image)
        text(folder / f"{Path(image).stem}.txt", lines_of_boxes(columns))
    return str(folder)


def roboflow_voc(dataset: Dataset, folder: Path) -> str:
    for i, image, _, present in rows(dataset):
        link(dataset, i, folder / "train" / image)
        objects = "".join(f"<object><name>{escape(name)}</name></object>" for name in present)
        content = f"<annotation><filename>{image}</filename>{objects}</annotation>"
        text(folder / "train" / f"{Path(image).stem}.xml", content)
    return f"{folder}#train"


def roboflow_coco(dataset: Dataset, folder: Path) -> str:
    categories = [{"id": 0, "name": "things", "supercategory": "none"}]
    categories += [
        {"id": j + 1, "name": name, "supercategory": "things"}
        for j, name in enumerate(dataset.vocabulary.names)
    ]
    annotations = []
    for i, image, columns, _ in rows(dataset):
        link(dataset, i, folder / "train" / image)
        annotations += [{"id": len(annotations) + j, "image_id": i, "category_id": j + 1} for j in columns]
    images = [{"id": i, "file_name": image} for i, image in enumerate(dataset.images)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    text(folder / "train/_annotations.coco.json", json.dumps(document))
    return f"{folder}#train"


def labelme(dataset: Dataset, folder: Path) -> str:
    for i, image, _, present in rows(dataset):
        link(dataset, i, folder / image)
        shapes = [{"label": name, "points": [[0, 0], [1, 1]], "flags": {}} for name in present]
        document = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": image, "imageData": None}
        text(folder / f"{Path(image).stem}.json", json.dumps(document))
    return str(folder)


def createml(dataset: Dataset, folder: Path) -> str:
    entries = []
    for i, image, _, present in rows(dataset):
        link(dataset, i, folder / "train" / image)
        entries.append(
            {"image": image, "annotations": [{"label": name, "coordinates": {}} for name in present]}
        )
    text(folder / "train/_annotations.createml.json", json.dumps(entries))
    return f"{folder}#train"


def datumaro(dataset: Dataset, folder: Path) -> str:
    items = []
    for i, image, columns, _ in rows(dataset):
        link(dataset, i, folder / "images/default" / image)
        notes = [{"id": 0, "type": "label", "label_id": j} for j in columns]
        items.append({"id": Path(image).stem, "annotations": notes, "image": {"path": image}})
    labels = [{"name": name, "parent": ""} for name in dataset.vocabulary.names]
    text(
        folder / "annotations/default.json",
        json.dumps({"categories": {"label": {"labels": labels}}, "items": items}),
    )
    return str(folder)


def samples(dataset: Dataset, folder: Path) -> str:
    listed = []
    for i, image, _, present in rows(dataset):
        link(dataset, i, folder / "data" / image)
        one = [{"_cls": "Classification", "label": name} for name in present]
        truth = {"_cls": "Classifications", "classifications": one}
        listed.append({"filepath": f"data/{image}", "tags": [], "ground_truth": truth})
    text(folder / "samples.json", json.dumps({"samples": listed}))
    return str(folder)


def lines(dataset: Dataset, file: Path, line: Callable[[str, list[int], list[str]], object]) -> str:
    written = []
    for i, image, columns, present in rows(dataset):
        link(dataset, i, file.parent / "images" / image)
        found = line(image, columns, present)
        written.append(found if isinstance(found, str) else json.dumps(found))
    text(file, "\n".join(written) + "\n")
    return str(file)


def vertex(dataset: Dataset, folder: Path) -> str:
    def line(image: str, _: list[int], present: list[str]) -> object:
        notes = [{"displayName": name} for name in present]
        return {"imageGcsUri": f"gs://bucket/voc/images/{image}", "classificationAnnotations": notes}

    return lines(dataset, folder / "import.jsonl", line)


def azure(dataset: Dataset, folder: Path) -> str:
    start = "azureml://subscriptions/1/resourcegroups/2/workspaces/3/datastores/4/paths/voc/images/"
    return lines(
        dataset, folder / "train.jsonl", lambda i, _, names: {"image_url": start + i, "label": names}
    )


def sagemaker(dataset: Dataset, folder: Path) -> str:
    def line(image: str, columns: list[int], present: list[str]) -> object:
        about = {"class-map": dict(zip(map(str, columns), present, strict=True))}
        about["type"] = "groundtruth/image-classification-multilabel"
        return {"source-ref": f"s3://bucket/images/{image}", "voc": columns, "voc-metadata": about}

    return lines(dataset, folder / "output.manifest", line)


def hashing_list(dataset: Dataset, folder: Path) -> str:
    text(folder / "labels.txt", "\n".join(dataset.vocabulary.names))
    width = len(dataset.vocabulary)
    return lines(
        dataset,
        folder / "train.txt",
        lambda image, columns, _: " ".join([image, *(str(int(j in columns)) for j in range(width))]),
    )


def list_of_numbers(dataset: Dataset, folder: Path) -> str:
    text(folder / "classes.txt", "\n".join(dataset.vocabulary.names))
    return lines(
        dataset, folder / "train.txt", lambda image, columns, _: " ".join([image, *map(str, columns)])
    )


def parquet(dataset: Dataset, folder: Path, *, flags: bool) -> str:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet as files

    cells = [{"bytes": path.read_bytes(), "path": path.name} for path in dataset.paths]
    columns = {"image": pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))}
    present = [found for _, _, found, _ in rows(dataset)]
    if flags:
        columns |= {
            name: pa.array([j in found for found in present]) for j, name in enumerate(dataset.vocabulary)
        }
        table = pa.table(columns)
    else:
        names = {
            "feature": {"names": list(dataset.vocabulary.names), "_type": "ClassLabel"},
            "_type": "Sequence",
        }
        described = json.dumps({"info": {"features": {"labels": names}}}).encode()
        table = pa.table({**columns, "labels": pa.array(present)}).replace_schema_metadata(
            {b"huggingface": described}
        )
    (folder / "data").mkdir(parents=True)
    files.write_table(table, folder / "data/train-00000-of-00001.parquet", row_group_size=16)
    return f"{folder}#train"


LAYOUTS = {
    function.__name__: function
    for function in (
        *(
            ultralytics,
            roboflow_yolo,
            labelimg_yolo,
            roboflow_voc,
            roboflow_coco,
            labelme,
            createml,
            datumaro,
            samples,
        ),
        *(vertex, azure, sagemaker, hashing_list, list_of_numbers),
    )
}
LAYOUTS["parquet of numbers"] = lambda dataset, folder: parquet(dataset, folder, flags=False)
LAYOUTS["parquet of flags"] = lambda dataset, folder: parquet(dataset, folder, flags=True)


@pytest.fixture(scope="module", params=["voc", "coco"])
def truth(request, labelbeam_data) -> Dataset:
    if request.param == "voc":
        whole = open_dataset(
            f"voc2007:{labelbeam_data}/VOCdevkit#sub_test", options=ReadOptions(difficult="absent")
        )
    else:
        whole = open_dataset(f"coco:{labelbeam_data}/coco#val2017")
    return whole.subset(range(min(COUNT, len(whole))))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_labels_are_the_same_and_the_format_is_recognised(tmp_path, truth, layout):
    argument = LAYOUTS[layout](truth, tmp_path / "set")
    dataset = open_dataset(argument)
    assert dataset.notes[0].startswith("recognised as")
    assert len(dataset) == len(truth)
    expected = {path.read_bytes(): set(row[3]) for path, row in zip(truth.paths, rows(truth), strict=True)}
    found = {image_bytes(dataset.path(i)): set(dataset.example(i).present) for i in range(len(dataset))}
    assert found == expected
    assert not (dataset.targets == -1).any()
