"""The data set argument, and the messages for arguments that name nothing."""

import subprocess
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.registry import FORMATS, open_dataset, parse_spec


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    file = tmp_path / "a#b.csv"
    file.write_text("image,tags,split\na.jpg,cat,train\nb.jpg,dog,test\n")
    return file


def test_a_hash_sign_belongs_to_the_path_where_such_a_file_exists(csv_file):
    assert parse_spec(f"csv:{csv_file}").split == ""
    parsed = parse_spec(f"csv:{csv_file}#train")
    assert (parsed.path, parsed.split) == (csv_file, "train")


def test_the_data_set_remembers_the_argument_that_named_it(csv_file):
    dataset = open_dataset(f"csv:{csv_file}#test", options=ReadOptions(missing="keep"))
    assert dataset.spec == f"csv:{csv_file}#test"
    assert dataset.images == ("b.jpg",)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("tags.csv", ["no colon", "FORMAT:PATH#SPLIT", "csv:tags.csv"]),
        ("voc2007#test", ["names no folder", "voc2007:PATH#SPLIT"]),
        ("voc2007:#test", ["names no folder", "voc2007:PATH#SPLIT"]),
        ("cooc:dir#val2017", ["unknown data set format 'cooc'", "'coco'", "csv"]),
        ("coco:/no/such/folder#val2017", ["/no/such/folder", "does not exist"]),
        ("scenes:x#train", ["scenes has no path", "scenes#SPLIT"]),
    ],
)
def test_an_argument_that_names_nothing_is_told_what_would(spec, words):
    with pytest.raises(InputError) as error:
        open_dataset(spec)
    assert all(word in str(error.value) for word in words), error.value


def test_an_option_that_the_format_does_not_have_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"coco has no option --difficult. Its options: --keep-unlabelled, --missing"
    ):
        open_dataset(f"coco:{tmp_path}#val2017", options=ReadOptions(difficult="absent"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"difficult": "ignored"}, ["--difficult", "'ignored'", "absent, present, unknown"]),
        ({"missing": "skipp"}, ["Did you mean 'skip'"]),
        ({"delimiter": ""}, ["--delimiter is empty"]),
    ],
)
def test_an_option_with_another_value_is_told_the_values(options, words):
    with pytest.raises(InputError) as error:
        ReadOptions(**options)
    assert all(word in str(error.value) for word in words), error.value


def test_every_format_names_only_options_that_exist():
    known = set(ReadOptions.__dataclass_fields__)
    assert all(set(entry.options) <= known for entry in FORMATS.values())


def test_scenes_need_no_path_and_get_the_split(csv_file, monkeypatch):
    drawn = open_dataset(f"csv:{csv_file}", options=ReadOptions(missing="keep"))
    asked = []

    def read_scenes(split: str) -> Dataset:
        asked.append(split)
        return drawn

    monkeypatch.setitem(sys.modules, "labelbeam.scenes.files", SimpleNamespace(read_scenes=read_scenes))
    assert open_dataset("scenes#train").spec == "scenes#train"
    assert asked == ["train"]


def test_reading_labels_and_pixels_does_not_import_torch():
    code = """if True:
        import sys
        import labelbeam.formats.registry
        from labelbeam.data import images, stratified
        from labelbeam.formats import coco, csv_table, voc
        assert 'torch' not in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_names_functions_that_exist(name: str) -> None:
    entry = FORMATS[name]
    for function in filter(None, (entry.read, entry.write)):
        module, _, attribute = function.partition(":")
        assert callable(getattr(import_module(f"labelbeam.{module}"), attribute))
    assert set(entry.options) <= {field.name for field in fields(ReadOptions)}


def test_the_labels_of_a_split_are_those_of_the_whole_data_set(tmp_path):
    for name in ("f/train/cat/a.jpg", "f/val/dog/b.jpg", "s/train/a.jpg", "s/val/b.jpg", "s/val/c.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "s/train/a.txt").write_text("cat, sky")
    (tmp_path / "s/val/b.txt").write_text("dog, sky")
    for split, head in (("train", "cat"), ("valid", "dog")):
        (tmp_path / "r" / split).mkdir(parents=True)
        (tmp_path / "r" / split / "_classes.csv").write_text(f"filename, {head}\na.jpg, 1\nb.jpg, 0\n")
    keep = ReadOptions(missing="keep")
    folder = open_dataset(f"folder:{tmp_path}/f#val", options=keep)
    assert (folder.vocabulary.names, folder.targets.tolist()) == (("cat", "dog"), [[0, 1]])
    beside = open_dataset(f"sidecar:{tmp_path}/s#val", options=keep)
    assert beside.vocabulary.names == ("cat", "dog", "sky")
    assert beside.targets.tolist() == [[0, 1, 1], [-1, -1, -1]]
    assert any("in other splits only: cat" in note for note in beside.notes)
    export = open_dataset(f"csv:{tmp_path}/r#valid", options=keep)
    assert (export.vocabulary.names, export.targets.tolist()) == (("cat", "dog"), [[0, 1], [0, 0]])
