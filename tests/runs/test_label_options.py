"""Label hygiene is every format's: the same options, whatever read the data."""

import json
from pathlib import Path

import pytest

from labelbeam.data.dataset import OF_LABELS, ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.registry import FORMATS, open_dataset
from labelbeam.runs.config import configure, from_plain, to_plain

COCO = {
    "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(4)],
    "categories": [{"id": j, "name": name} for j, name in enumerate(["puppy", "dog", "rare"])],
    "annotations": [
        {"id": n, "image_id": i, "category_id": j}
        for n, (i, j) in enumerate([(0, 0), (1, 1), (2, 0), (2, 2)])
    ],
}


@pytest.fixture(params=["csv", "coco"])
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The same four images in two formats."""
    (tmp_path / "d.json").write_text(json.dumps(COCO))
    (tmp_path / "d.csv").write_text("image,tags\n0.jpg,puppy\n1.jpg,dog\n2.jpg,puppy;rare\n3.jpg,\n")
    return f"csv:{tmp_path / 'd.csv'}" if request.param == "csv" else f"coco:{tmp_path / 'd.json'}#all"


def test_the_same_options_do_the_same_for_every_format(spec, tmp_path):
    (tmp_path / "aliases.txt").write_text("puppy -> dog\n")
    (tmp_path / "implications.txt").write_text("dog -> animal\n")
    options = ReadOptions(
        missing="keep",
        aliases=tmp_path / "aliases.txt",
        implications=tmp_path / "implications.txt",
        min_images=2,
    )
    data = open_dataset(spec, options=options)
    assert data.vocabulary.names == ("dog", "animal")
    assert data.targets.tolist() == [[1, 1], [1, 1], [1, 1], [0, 0]]
    assert data.protocol["aliases"] == 1
    assert data.protocol["min_images"] == 2


def test_a_file_of_pairs_that_is_wrong_is_reported_whatever_the_format(spec, tmp_path):
    (tmp_path / "bad.txt").write_text("dog\n")
    with pytest.raises(InputError, match=r"bad\.txt, line 1"):
        open_dataset(spec, options=ReadOptions(missing="keep", implications=tmp_path / "bad.txt"))


def test_no_format_has_the_options_of_labels_as_its_own():
    assert all(set(OF_LABELS).isdisjoint(entry.options) for entry in FORMATS.values())


def test_the_options_go_into_a_run_s_configuration_and_come_back(tmp_path):
    asked = {"aliases": tmp_path / "a.txt", "deny": "x,y", "keep_only": "z", "min_images": 3}
    config = configure(options={"read": asked})
    again = from_plain(type(config), to_plain(config), source="config.yaml")
    assert again.read == config.read
    assert again.read.changed() == ("aliases", "deny", "keep_only", "min_images")
