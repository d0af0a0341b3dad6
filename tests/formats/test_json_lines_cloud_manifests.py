"""Manifests of Vertex AI, Azure Machine Learning and SageMaker."""

import json
from pathlib import Path

import pytest

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.json_lines import read_azure, read_sagemaker, read_vertex

KEEP = ReadOptions(missing="keep")
ML_USE = "aiplatform.googleapis.com/ml_use"


def written(folder: Path, *lines: dict, name: str = "m.jsonl") -> Path:
    file = folder / name
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def vertex(image: str, *labels: str, use: str = "training") -> dict:
    notes = [{"displayName": label, "annotationResourceLabels": {}} for label in labels]
    return {"imageGcsUri": image, "classificationAnnotations": notes, "dataItemResourceLabels": {ML_USE: use}}


def test_vertex_splits_by_ml_use_and_finds_files_with_fewer_folders(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").touch()
    (tmp_path / "b.jpg").touch()
    file = written(
        tmp_path,
        vertex("gs://bucket/x/photos/a.jpg", "dog", "cat"),
        vertex("gs://bucket/b.jpg", "cat", use="test"),
    )
    dataset = read_vertex(file, "")
    assert dataset.images == ("photos/a.jpg", "b.jpg")
    assert dataset.targets.tolist() == [[1, 1], [1, 0]]
    assert any("1 images lie elsewhere than written" in note for note in dataset.notes)
    test = read_vertex(file, "test")
    assert test.images == ("b.jpg",)
    assert test.vocabulary.names == ("cat", "dog")
    with pytest.raises(InputError, match="unknown split 'validation'"):
        read_vertex(file, "validation")


def test_vertex_images_without_an_annotation_are_unknown_and_single_labels_and_boxes_are_read(tmp_path):
    lines = [
        {"imageGcsUri": "gs://b/a.jpg", "classificationAnnotation": {"displayName": "cat"}},
        {"imageGcsUri": "gs://b/b.jpg"},
        {"imageGcsUri": "gs://b/d.jpg", "classificationAnnotations": []},
        {"imageGcsUri": "gs://b/c.jpg", "boundingBoxAnnotations": [{"displayName": "dog", "xMin": 0.1}]},
    ]
    dataset = read_vertex(written(tmp_path, *lines), "", options=KEEP)
    assert dataset.targets.tolist() == [[1, 0], [-1, -1], [-1, -1], [0, 1]]
    assert any("where the boxes are is not read" in note for note in dataset.notes)


def test_vertex_csv_is_ragged(tmp_path):
    (tmp_path / "m.csv").write_text("TRAIN,gs://b/a.jpg,cat,dog\nTEST,gs://b/c.jpg\n")
    assert read_vertex(tmp_path / "m.csv", "train", options=KEEP).example(0).present == ("cat", "dog")


def test_azure_labels_are_a_list_or_one_text(tmp_path):
    start = "azureml://subscriptions/1/resourcegroups/g/workspaces/w/datastores/d/paths/photos/"
    lines = [
        {"image_url": f"{start}a.jpg", "image_details": {"format": "jpg"}, "label": ["cat", "dog"]},
        {"image_url": f"{start}b.jpg", "label": "dog"},
        {"image_url": f"{start}c.jpg", "label": []},
        {"image_url": f"{start}d.jpg"},
    ]
    dataset = read_azure(written(tmp_path, *lines), "", options=KEEP)
    assert dataset.images[0] == "photos/a.jpg"
    assert dataset.targets.tolist() == [[1, 1], [0, 1], [0, 0], [-1, -1]]


def ground_truth(image: str, *ids: int, sure: float = 0.9) -> dict:
    about = {
        "class-map": {str(n): ("person", "bicycle", "sky")[n] for n in ids},
        "confidence-map": {str(n): sure for n in ids},
        "type": "groundtruth/image-classification-multilabel",
    }
    return {"source-ref": f"s3://bucket/{image}", "tags": list(ids), "tags-metadata": about}


def test_sagemaker_class_numbers_have_their_names_in_the_metadata(tmp_path):
    failed = {"source-ref": "s3://bucket/c.jpg", "tags-metadata": {"failure-reason": "x"}}
    file = written(tmp_path, ground_truth("a.jpg", 1, 0), ground_truth("b.jpg", 2, sure=0.2), failed)
    dataset = read_sagemaker(file, "", options=KEEP)
    assert dataset.vocabulary.names == ("bicycle", "person", "sky")
    assert dataset.targets.tolist() == [[1, 1, 0], [0, 0, 1], [-1, -1, -1]]
    assert any("1 labels have a confidence below 0.5" in note for note in dataset.notes)


def test_rekognition_has_an_attribute_for_each_label(tmp_path):
    def single(name: str) -> dict:
        about = {"class-name": name, "confidence": 1, "type": "groundtruth/image-classification"}
        return {f"{name}-attribute": 1, f"{name}-attribute-metadata": about}

    lines = [
        {"source-ref": "s3://b/a.jpg", **single("sun"), **single("sea")},
        {"source-ref": "s3://b/b.jpg", **single("sea")},
    ]
    dataset = read_sagemaker(written(tmp_path, *lines), "", options=KEEP)
    assert dataset.targets.tolist() == [[1, 1], [1, 0]]


def test_sagemaker_with_several_jobs_asks_which(tmp_path):
    line = ground_truth("a.jpg", 0)
    line |= {"more": [1], "more-metadata": {**line["tags-metadata"], "class-map": {"1": "dog"}}}
    file = written(tmp_path, line)
    with pytest.raises(InputError, match=r"several attributes hold labels: tags, more.*--tags-column"):
        read_sagemaker(file, "", options=KEEP)
    dataset = read_sagemaker(file, "", options=ReadOptions(missing="keep", tags_column="more"))
    assert dataset.vocabulary.names == ("dog",)


@pytest.mark.parametrize(
    ("read", "line", "words"),
    [
        (read_vertex, {"image": "a"}, ["line 1", "no text 'imageGcsUri'"]),
        (read_vertex, {"imageGcsUri": "gs://b/a.jpg", "classificationAnnotations": [{}]}, ["'displayName'"]),
        (read_vertex, {"imageGcsUri": "gs://b/a.jpg", "classificationAnnotations": 3}, ["must be a list"]),
        (read_azure, {"image_url": "a.jpg", "label": [3]}, ["a text or a list of texts"]),
        (read_sagemaker, {"source-ref": "s3://b/a.jpg", "x": 1}, ["no attribute has metadata", "x"]),
        (
            read_sagemaker,
            {
                "source-ref": "s3://b/a.jpg",
                "x": [1],
                "x-metadata": {"type": "groundtruth/image-classification-multilabel"},
            },
            ["class number 1 has no name"],
        ),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, read, line, words):
    with pytest.raises(InputError) as error:
        read(written(tmp_path, line), "", options=KEEP)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize("read", [read_vertex, read_azure, read_sagemaker])
def test_a_file_that_is_no_json_lines_names_the_line(tmp_path, read):
    (tmp_path / "m.jsonl").write_text("[\n")
    with pytest.raises(InputError, match=r"m\.jsonl, line 1"):
        read(tmp_path / "m.jsonl", "")
