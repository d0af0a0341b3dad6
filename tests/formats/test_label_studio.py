"""Label Studio's exports: annotators who agree or not, skipped answers, three forms, addresses of images."""

import json
from pathlib import Path

import pytest

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.label_studio import path_of, read_label_studio

KEEP = ReadOptions(missing="keep")


def answer(*labels: str, control: str = "choice", **more: object) -> dict:
    result = {"from_name": control, "to_name": "image", "type": "choices", "value": {"choices": list(labels)}}
    return {"result": [result] if labels else [], **more}


def task(image: str, *answers: dict, **more: object) -> dict:
    return {"id": 1, "data": {"image": image}, "annotations": list(answers), **more}


def write(folder: Path, document: object, name: str = "export.json") -> Path:
    file = folder / name
    file.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return file


def test_annotators_who_disagree_about_a_label_make_it_unknown(tmp_path):
    tasks = [
        task("a.jpg", answer("cat", "sea"), answer("sea", "dog")),
        task("b.jpg", answer("cat"), answer("cat"), answer("cat")),
        task("c.jpg", answer(), answer("dog")),
    ]
    dataset = read_label_studio(write(tmp_path, tasks), "", options=KEEP)
    assert dataset.vocabulary.names == ("cat", "dog", "sea")
    assert dataset.targets.tolist() == [[-1, -1, 1], [1, 0, 0], [0, -1, 0]]
    assert dataset.notes[1].startswith("3 images were answered more than once; 3 labels")


def test_skipped_answers_and_predictions_are_no_answers(tmp_path):
    tasks = [
        task("a.jpg", answer("cat", was_cancelled=True), answer("dog")),
        task("b.jpg", answer("cat", was_cancelled=True), predictions=[answer("cat")]),
        task("c.jpg", answer()),
    ]
    dataset = read_label_studio(write(tmp_path, tasks), "", options=KEEP)
    assert dataset.targets.tolist() == [[1], [-1], [0]]
    assert "1 images have no answer, or only skipped ones" in dataset.notes[1]


def test_json_min_and_csv_read_as_the_json_they_were_made_from(tmp_path):
    tasks = [task("a.jpg", answer("cat", "sea, calm"), answer("cat")), task("b.jpg", answer("dog"))]
    small = [
        {
            "image": "a.jpg",
            "id": 1,
            "choice": {"choices": ["cat", "sea, calm"]},
            "annotator": 1,
            "lead_time": 2.5,
        },
        {"image": "a.jpg", "id": 1, "choice": "cat", "annotator": 2},
        {"image": "b.jpg", "id": 2, "choice": "dog", "annotator": 1},
    ]
    table = (
        "annotation_id,annotator,choice,created_at,id,image,lead_time\n"
        '1,1,"{""choices"": [""cat"", ""sea, calm""]}",2024-01-01T00:00:00Z,1,a.jpg,2.5\n'
        "2,2,cat,2024-01-01T00:00:00Z,1,a.jpg,1\n3,1,dog,2024-01-01T00:00:00Z,2,b.jpg,1\n"
    )
    files = [write(tmp_path, tasks), write(tmp_path, small, "min.json"), write(tmp_path, table, "min.csv")]
    full, *others = [read_label_studio(file, "", options=KEEP) for file in files]
    assert full.targets.tolist() == [[1, 0, -1], [0, 1, 0]]
    for other in others:
        assert other.images == full.images
        assert other.vocabulary == full.vocabulary
        assert other.targets.tolist() == full.targets.tolist()


def test_the_configuration_beside_the_export_gives_order_and_labels_nobody_chose(tmp_path):
    (tmp_path / "export.xml").write_text(
        '<View><Image name="image" value="$image"/><Choices name="quality"><Choice value="blurred"/></Choices>'
        '<Choices name="choice"><Choice value="sea"/><Choice value="Katze" alias="cat"/></Choices></View>'
    )
    dataset = read_label_studio(write(tmp_path, [task("a.jpg", answer("cat"))]), "", options=KEEP)
    assert dataset.vocabulary.names == ("sea", "cat")


def test_of_several_controls_one_must_be_named(tmp_path):
    both = answer("cat")
    both["result"] += answer("blurred", control="quality")["result"]
    file = write(tmp_path, [task("a.jpg", both)])
    with pytest.raises(InputError, match="--tags-column choice or --tags-column quality"):
        read_label_studio(file, "", options=KEEP)
    dataset = read_label_studio(file, "", options=ReadOptions(missing="keep", tags_column="quality"))
    assert dataset.example(0).present == ("blurred",)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("/data/upload/3/1a2b3c4d-cat.jpg", "1a2b3c4d-cat.jpg"),
        ("/data/upload/3/1a2b3c4d-cat.jpg", "upload/3/1a2b3c4d-cat.jpg"),
        ("/data/upload/3/1a2b3c4d-cat.jpg", "cat.jpg"),
        ("/data/upload/1a2b3c4d-cat%20two.jpg", "images/cat two.jpg"),
        ("/label-studio/data/upload/3/1a2b3c4d-cat.jpg", "3/1a2b3c4d-cat.jpg"),
        ("/data/local-files/?d=my%20photos/cat.jpg", "my photos/cat.jpg"),
        ("http://localhost:8080/data/local-files/?d=cat.jpg", "cat.jpg"),
        ("s3://bucket/photos/cat.jpg", "photos/cat.jpg"),
        ("https://host/photos/cat.jpg?w=3", "cat.jpg"),
        ("photos\\cat.jpg", "photos/cat.jpg"),
    ],
)
def test_an_address_is_found_where_the_file_is(tmp_path, address, place):
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_bytes(b"")
    dataset = read_label_studio(write(tmp_path, [task(address, answer("cat"))]), "")
    assert dataset.images == (place,)
    assert "1 addresses were read as files below" in dataset.notes[1]


def test_a_name_that_only_looks_uploaded_keeps_its_start():
    assert path_of("1a2b3c4d-cat.jpg") == "1a2b3c4d-cat.jpg"


def test_images_are_looked_for_below_the_root_that_is_given(tmp_path):
    (tmp_path / "media").mkdir()
    (tmp_path / "media/cat.jpg").write_bytes(b"")
    file = write(tmp_path, [task("/data/upload/1/1a2b3c4d-cat.jpg", answer("cat"))])
    assert read_label_studio(file, "", options=ReadOptions(root=tmp_path / "media")).paths[0].is_file()


BOXES = {"result": [{"from_name": "b", "type": "rectanglelabels", "value": {"rectanglelabels": ["cat"]}}]}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([task("a.jpg", BOXES)], ["rectanglelabels", "none of choices", "coco:"]),
        (
            [{"data": {"text": "hello"}, "annotations": []}],
            ["which field holds the image", "text", "--image-column"],
        ),
        ([task("a.jpg", answer("cat")), task("", answer())], ["task 2 has no 'image'"]),
        ([task("a.jpg", {"result": "cat"})], ["task 1: result is cat, not a list"]),
        ([{**task("a.jpg"), "annotations": 3}], ["task 1: annotations is 3"]),
        (
            [
                task("/data/upload/1/1a2b3c4d-c.jpg", answer("x")),
                task("/data/upload/1/5a2b3c4d-c.jpg", answer()),
            ],
            ["both lead to 'c.jpg'", "media/upload"],
        ),
        ([task("a.jpg", answer())], ["no image has a label"]),
        ([], ["not a list of tasks", "JSON-MIN"]),
        ([{"image": "a.jpg", "choice": {"choices": [1]}}], ["row 1", "neither a choice"]),
        ([{"image": "a.jpg", "choice": "{cut"}], ["row 1", "not JSON"]),
        (
            [{"image": "a.jpg", "choice": "a", "caption": "b"}],
            ["--tags-column caption or --tags-column choice"],
        ),
    ],
)
def test_an_export_that_cannot_be_read_says_why(tmp_path, document, words):
    with pytest.raises(InputError) as error:
        read_label_studio(write(tmp_path, document), "", options=KEEP)
    assert all(word in str(error.value) for word in words), error.value


def test_a_split_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="without splits"):
        read_label_studio(write(tmp_path, []), "train")
    with pytest.raises(InputError, match=r"is a folder. Give the exported"):
        read_label_studio(tmp_path, "")


def test_what_an_export_holds_besides_the_labels_is_said(tmp_path):
    result = [
        {"from_name": "kind", "type": "choices", "value": {"choices": ["cat"]}},
        {"from_name": "kind", "type": "choices", "value": {"choices": ["tail"], "x": 1, "y": 1}},
        {"from_name": "light", "type": "choices", "value": {"choices": ["dim"]}},
        {"from_name": "box", "type": "rectanglelabels", "value": {"rectanglelabels": ["dog"], "x": 1}},
    ]
    task = {"data": {"image": "a.jpg"}, "annotations": [{"result": result}], "predictions": [{"result": []}]}
    (tmp_path / "a.json").write_text(json.dumps([task]))
    options = ReadOptions(missing="keep", tags_column="kind")
    notes = " ".join(read_label_studio(tmp_path / "a.json", "", options=options).notes)
    for words in (
        "1 rectanglelabels",
        "other controls were not read: light",
        "1 choices belong to a region",
        "predictions of 1",
    ):
        assert words in notes


def test_an_export_of_predictions_alone_says_so(tmp_path):
    task = {"data": {"image": "a.jpg"}, "annotations": [], "predictions": [{"result": []}]}
    (tmp_path / "a.json").write_text(json.dumps([task]))
    with pytest.raises(InputError, match="1 have predictions, which are no answers"):
        read_label_studio(tmp_path / "a.json", "", options=ReadOptions(missing="keep"))
