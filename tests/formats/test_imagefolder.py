"""Hugging Face's ImageFolder: metadata in three kinds of file, splits as folders, numbers only with names."""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from round_trip import drawn, names_any, said, with_files, written

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.imagefolder import read_imagefolder, write_imagefolder
from labelbeam.labels.vocabulary import Vocabulary


def jsonl(*rows: dict) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


ROWS = (
    {"file_name": "a.jpg", "labels": ["cat", "traffic light"]},
    {"file_name": "sub/b.jpg", "labels": []},
    {"file_name": "c.jpg", "labels": None},
)


def read(folder: Path, files: dict[str, str | bytes], split: str = "", **options) -> Dataset:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_imagefolder(folder, split, options=ReadOptions(**{"missing": "keep", **options}))


def labels_of(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {image: dataset.example(i).present for i, image in enumerate(dataset.images)}


def test_lists_are_labels_an_empty_list_is_none_and_null_is_unknown(tmp_path):
    dataset = read(tmp_path, {"metadata.jsonl": jsonl(*ROWS)})
    assert dataset.images == ("a.jpg", "sub/b.jpg", "c.jpg")
    assert dataset.vocabulary.names == ("cat", "traffic light")
    assert dataset.targets.tolist() == [[1, 1], [0, 0], [-1, -1]]
    assert dataset.notes[0].startswith(
        "this is what I understood: 3 images, 2 labels, column 'labels' of metadata.jsonl, folders are no labels, "
        "e.g. a.jpg -> cat, traffic light"
    )


def test_the_columns_unknown_and_absent_name_labels_too(tmp_path):
    row = {"file_name": "a.jpg", "tags": ["cat"], "unknown": ["dog"], "absent": ["ant"]}
    dataset = read(tmp_path, {"metadata.jsonl": jsonl(row)})
    assert said(dataset) == {"a.jpg": {"cat": 1, "dog": -1, "ant": 0}}


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("file_name,tags\na.jpg,cat;dog\nsub/b.jpg,dog\n", {}),
        ("file_name,cat,dog\na.jpg,1,1\nsub/b.jpg,0,1\n", {}),
        ("file_name,name,what\na.jpg,x,cat|dog\nsub/b.jpg,y,dog\n", {"tags_column": "what"}),
    ],
)
def test_metadata_in_csv_are_read_as_csv_is(tmp_path, text, options):
    dataset = read(tmp_path, {"metadata.csv": text}, **options)
    assert labels_of(dataset) == {"a.jpg": ("cat", "dog"), "sub/b.jpg": ("dog",)}


def test_texts_are_taken_apart_by_the_one_delimiter_there_is(tmp_path):
    rows = [{"file_name": "a.jpg", "caption": "x", "tags": "cat, dog"}, {"file_name": "b.jpg", "tags": "dog"}]
    dataset = read(tmp_path, {"metadata.jsonl": jsonl(*rows)})
    assert labels_of(dataset) == {"a.jpg": ("cat", "dog"), "b.jpg": ("dog",)}
    assert "delimiter ','" in dataset.notes[0]


README = """---
dataset_info:
  features:
  - name: image
    dtype: image
  - name: labels
    sequence:
      class_label:
        names:
          '0': zebra
          '1': ant
---
# A data set
"""


def test_numbers_have_the_names_that_the_readme_gives_them(tmp_path):
    rows = [{"file_name": "a.jpg", "labels": [1, 0]}, {"file_name": "b.jpg", "labels": 1}]
    dataset = read(tmp_path, {"train/metadata.jsonl": jsonl(*rows), "README.md": README}, "train")
    assert dataset.vocabulary.names == ("zebra", "ant")
    assert dataset.targets.tolist() == [[1, 1], [0, 1]]


def test_parquet_is_read_with_the_names_that_it_describes_itself(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra `parquet`")
    from pyarrow import parquet

    table = pyarrow.table({"file_name": ["a.jpg", "b.jpg"], "labels": [["cat", "dog"], []]})
    parquet.write_table(table, tmp_path / "metadata.parquet")
    assert labels_of(read(tmp_path, {})) == {"a.jpg": ("cat", "dog"), "b.jpg": ()}
    names = {"labels": {"feature": {"names": ["zebra", "ant"], "_type": "ClassLabel"}, "_type": "Sequence"}}
    described = json.dumps({"info": {"features": names}})
    numbers = pyarrow.table({"file_name": ["a.jpg", "b.jpg"], "labels": [[0, 1], [1]]})
    parquet.write_table(
        numbers.replace_schema_metadata({"huggingface": described}), tmp_path / "metadata.parquet"
    )
    dataset = read(tmp_path, {})
    assert dataset.vocabulary.names == ("zebra", "ant")
    assert dataset.targets.tolist() == [[1, 1], [0, 1]]


def test_without_pyarrow_parquet_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'labelbeam\[parquet\]'.*jsonl"):
        read(tmp_path, {"metadata.parquet": b"PAR1"})


@pytest.mark.parametrize("inner", ["", "data/"])
def test_splits_are_folders_and_all_joins_them(tmp_path, inner):
    files = {
        f"{inner}train/metadata.jsonl": jsonl({"file_name": "a.jpg", "labels": ["cat"]}),
        f"{inner}test/metadata.csv": "file_name,tags\na.jpg,dog\n",
    }
    assert labels_of(read(tmp_path, files, "train")) == {f"{inner}train/a.jpg": ("cat",)}
    everything = read(tmp_path, files, "all")
    assert labels_of(everything) == {f"{inner}test/a.jpg": ("dog",), f"{inner}train/a.jpg": ("cat",)}
    assert everything.targets.min() == 0
    for wrong in ("", "tset"):
        with pytest.raises(InputError, match=r"unknown split .*test, train"):
            read(tmp_path, files, wrong)


def test_a_split_may_be_the_folder_that_names_start_with(tmp_path):
    rows = [{"file_name": f"{name}/a.jpg", "labels": [name]} for name in ("train", "test")]
    files = {"metadata.jsonl": jsonl(*rows), "train/a.jpg": "", "test/a.jpg": ""}
    assert read(tmp_path, files, "test").images == ("test/a.jpg",)
    assert read(tmp_path, files, "test").vocabulary.names == ("test", "train")
    with pytest.raises(InputError, match="unknown split 'valid'"):
        read(tmp_path, files, "valid")


def test_images_outside_the_metadata_are_left_out_and_counted(tmp_path):
    files = {"metadata.jsonl": jsonl(*ROWS[:1]), "a.jpg": "", "x/new.jpg": ""}
    dataset = read(tmp_path, files, missing="error")
    assert dataset.images == ("a.jpg",)
    assert any("1 images are not in the metadata" in note and "x/new.jpg" in note for note in dataset.notes)
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(InputError, match="1 of 1 image files are missing"):
        read(tmp_path, {}, missing="error")


@settings(deadline=None)
@given(drawn())
def test_what_is_written_is_read_back_or_refused_by_name(content):
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        dataset = with_files(content.dataset(), root / "from")
        _, refusal = written(write_imagefolder, dataset, root / "to")
        if refusal:
            assert names_any(refusal, dataset)
            return
        again = read_imagefolder(root / "to", "")
        assert said(again) == said(dataset)
        assert [path.read_bytes() for path in again.paths] == [path.read_bytes() for path in dataset.paths]


def test_splits_are_written_beside_each_other(tmp_path):
    dataset = Dataset("x", Path(), ("a.jpg",), Vocabulary(("cat", "ant")), np.array([[1, 0]], np.int8))
    dataset = with_files(dataset, tmp_path / "from")
    for split in ("train", "test"):
        notes = write_imagefolder(dataset, tmp_path / "to", split=split, images="copy")
    assert "order" in notes[0]
    assert (tmp_path / "to/test/metadata.jsonl").read_text() == (
        '{"file_name": "a.jpg", "labels": ["cat"], "absent": ["ant"]}\n'
    )
    assert read_imagefolder(tmp_path / "to", "all").images == ("test/a.jpg", "train/a.jpg")
    with pytest.raises(InputError, match="is there already"):
        write_imagefolder(dataset, tmp_path / "to", split="test", images="copy")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"cat/a.jpg": ""}, ["no metadata.jsonl", "folder:"]),
        ({"metadata.jsonl": "", "metadata.csv": ""}, ["metadata.jsonl and metadata.csv"]),
        ({"metadata.jsonl": "\n"}, ["has no line"]),
        ({"metadata.jsonl": "{}\n[1]\n"}, ["line 2", "not a JSON object"]),
        ({"metadata.jsonl": '{"file_name": "a.jpg", "labels": [}\n'}, ["metadata.jsonl, line 1", "not JSON"]),
        ({"metadata.jsonl": "[" * 100_000}, ["line 1"]),
        (
            {"metadata.jsonl": jsonl({"file_name": "a.jpg", "x": []})},
            ["no column of labels", "--tags-column"],
        ),
        (
            {"metadata.jsonl": jsonl({"file_name": "a.jpg", "label": [], "tags": []})},
            ["several columns", "label, tags"],
        ),
        ({"metadata.jsonl": jsonl({"image": "a.jpg", "labels": ["x"]})}, ["line 1", "'file_name'"]),
        ({"metadata.jsonl": jsonl({"file_name": "a.jpg", "labels": [1]})}, ["line 1", "names are nowhere"]),
        (
            {"metadata.jsonl": jsonl({"file_name": "a.jpg", "labels": [2]}), "README.md": README},
            ["line 1, column 'labels'", "class number 2", "2 classes"],
        ),
        (
            {"metadata.jsonl": jsonl({"file_name": "a", "labels": [1]}), "README.md": "---\n[\n---\n"},
            ["README"],
        ),
        ({"metadata.jsonl": jsonl({"file_name": "a.jpg", "labels": {"a": 1}})}, ["neither a list of texts"]),
        ({"metadata.jsonl": jsonl({"file_name": "a.jpg", "labels": [True]})}, ["class number"]),
        (
            {"metadata.jsonl": jsonl({"file_name": "a.jpg", "labels": ["x"], "unknown": ["x"]})},
            ["line 1", "'x' is in two columns"],
        ),
        ({"metadata.jsonl": jsonl(*ROWS, ROWS[0])}, ["a.jpg", "more than once"]),
        ({"metadata.csv": "file_name,tags\na.jpg,<end>\n"}, ["<end>", "special token"]),
        ({"metadata.csv": "image,tags\na.jpg,cat\n"}, ["unknown column 'file_name'"]),
    ],
)
def test_metadata_that_cannot_be_understood_say_where_and_why(tmp_path, files, words):
    with pytest.raises(InputError) as error:
        read(tmp_path, files)
    assert all(word in str(error.value) for word in words), error.value


def test_labels_of_other_splits_only_are_what_missing_tags_are(tmp_path):
    for split, label in (("train", "cat"), ("test", "dog")):
        (tmp_path / split).mkdir()
        line = json.dumps({"file_name": "a.jpg", "labels": [label]})
        (tmp_path / split / "metadata.jsonl").write_text(line)
    for missing_tags, value in (("absent", 0), ("unknown", -1)):
        options = ReadOptions(missing="keep", missing_tags=missing_tags)
        dataset = read_imagefolder(tmp_path, "all", options=options)
        by_name = {name: dataset.targets[:, j].tolist() for j, name in enumerate(dataset.vocabulary)}
        assert by_name == {"dog": [1, value], "cat": [value, 1]}
