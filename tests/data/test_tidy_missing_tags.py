"""What a label is that an image is not tagged with: absent, unknown or unlikely, whatever the format."""

import json

import pytest

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.registry import maybe_incomplete, open_dataset
from labelbeam.inspect.inspection import inspect_data, open_splits


def read(spec: str, meaning: str, **more) -> list[list[int]]:
    options = ReadOptions(missing="keep", missing_tags=meaning, **more)
    return open_dataset(spec, options=options).targets.tolist()


LISTED = {
    "csv": "image,tags\na.jpg,cat;dog\nb.jpg,dog\n",
    "list": "a.jpg cat dog\nb.jpg dog\n",
    "jsonl": '{"image": "a.jpg", "labels": ["cat", "dog"]}\n{"image": "b.jpg", "labels": ["dog"]}\n',
    "coco": json.dumps(
        {
            "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
            "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
            "annotations": [
                {"id": 1, "image_id": 1, "category_id": 1},
                {"id": 2, "image_id": 1, "category_id": 2},
                {"id": 3, "image_id": 2, "category_id": 2},
            ],
        }
    ),
}


@pytest.mark.parametrize("name", LISTED)
def test_a_tag_that_is_not_listed_is_absent_or_unknown_as_was_asked(tmp_path, name) -> None:
    file = tmp_path / ("instances_all.json" if name == "coco" else f"tags.{name}")
    file.write_text(LISTED[name])
    spec = f"{name}:{file}"
    assert read(spec, "absent") == [[1, 1], [0, 1]]
    assert read(spec, "unknown") == read(spec, "unlikely") == [[1, 1], [-1, 1]]


def test_what_is_written_as_absent_stays_absent(tmp_path) -> None:
    table = tmp_path / "tags.csv"
    table.write_text("image,tags,absent\na.jpg,cat,dog\nb.jpg,dog,\n")
    assert read(f"csv:{table}", "unknown") == [[1, 0], [-1, 1]]


def test_a_zero_is_a_missing_tag_only_where_nothing_else_is_missing(tmp_path) -> None:
    table = tmp_path / "tags.csv"
    table.write_text("image,cat,dog\na.jpg,1,0\nb.jpg,0,1\n")
    assert read(f"csv:{table}", "unknown") == [[1, -1], [-1, 1]]
    table.write_text("image,cat,dog\na.jpg,1,0\nb.jpg,,1\n")
    assert read(f"csv:{table}", "unknown") == [[1, 0], [-1, 1]]


def test_labels_that_only_other_splits_have_are_missing_too(tmp_path) -> None:
    for image in ("train/cat/a.jpg", "test/dog/b.jpg"):
        (tmp_path / image).parent.mkdir(parents=True)
        (tmp_path / image).touch()
    assert read(f"folder:{tmp_path}#train", "absent") == [[1, 0]]
    assert read(f"folder:{tmp_path}#train", "unknown") == [[1, -1]]


def test_parts_of_a_combination_are_read_alike(tmp_path) -> None:
    for name, tags in (("a", "cat;dog"), ("b", "dog")):
        (tmp_path / f"{name}.csv").write_text(f"image,tags\n{name}.jpg,{tags}\n")
    spec = f"csv:{tmp_path / 'a.csv'} + csv:{tmp_path / 'b.csv'}"
    assert read(spec, "unknown") == [[1, 1], [-1, 1]]


def test_it_is_said_and_part_of_the_protocol(tmp_path) -> None:
    table = tmp_path / "tags.csv"
    table.write_text(LISTED["csv"])
    data = open_dataset(f"csv:{table}", options=ReadOptions(missing="keep", missing_tags="unlikely"))
    assert data.protocol["missing_tags"] == "unlikely"
    assert (
        "missing tags are unlikely: 1 labels of images are unknown, 0 are known to be absent." in data.notes
    )
    with pytest.raises(InputError, match="--missing-tags"):
        ReadOptions(missing_tags="unlikly")


def test_tags_that_may_be_missing_are_mentioned_where_people_list_tags(tmp_path) -> None:
    table = tmp_path / "tags.csv"
    table.write_text("image,tags\na.jpg,cat;dog\nb.jpg,dog\nc.jpg,owl\nd.jpg,\n")

    def told(meaning: str) -> str:
        options = ReadOptions(missing="keep", missing_tags=meaning)
        return maybe_incomplete(open_dataset(f"csv:{table}", options=options))

    assert told("absent").startswith("of 4 images 3 have one label or none")
    assert told("unlikely") == ""
    table.write_text("image,tags\na.jpg,cat;dog\nb.jpg,dog;owl\nc.jpg,owl\n")
    assert told("absent") == ""


def test_an_inspection_says_that_tags_may_be_missing(tmp_path) -> None:
    table = tmp_path / "tags.csv"
    table.write_text("image,tags\na.jpg,cat\nb.jpg,dog\nc.jpg,owl\n")
    found = inspect_data(open_splits([f"csv:{table}"], options=ReadOptions(missing="keep")), images=False)
    assert any("--missing-tags unlikely" in one["text"] for one in found["findings"])
