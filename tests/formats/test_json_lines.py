"""labelbeam's own lines: predictions and truth read back as data, and written."""

import tempfile
from pathlib import Path
from unicodedata import category

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.json_lines import read_json_lines, write_json_lines
from labelbeam.labels.names import clean
from labelbeam.labels.vocabulary import Vocabulary

LABELS_ONLY = ReadOptions(missing="keep")


def lines(folder: Path, text: str) -> Path:
    file = folder / "tags.jsonl"
    file.write_text(text, encoding="utf-8")
    return file


def test_what_tag_writes_is_read_and_its_errors_are_left_out(tmp_path: Path) -> None:
    said = '{"image": "a.jpg", "labels": [{"label": "sheep", "score": 0.9}], "path": ["sheep"]}\n'
    file = lines(tmp_path, said + '{"image": "b.jpg", "error": "not an image"}\n')
    data = read_json_lines(file, "", options=LABELS_ONLY)
    assert data.example(0).present == ("sheep",)
    assert len(data) == 1
    assert "1 lines hold an error" in data.notes[1]


def test_paths_start_at_the_working_folder_where_only_that_holds_the_images(tmp_path, monkeypatch) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"x")
    (tmp_path / "out").mkdir()
    file = lines(tmp_path / "out", '{"image": "photos/a.jpg", "labels": ["sheep"]}\n')
    monkeypatch.chdir(tmp_path)
    assert read_json_lines(file, "").paths == [Path("photos/a.jpg")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"image": "a.jpg"}\n', "line 1.*'labels' is missing"),
        ('{"image": "a.jpg", "labels": ["x"], "unknown": ["x"]}\n', "line 1.*in one of them"),
        ('{"image": "a.jpg", "labels": []}\n', "no image has a label"),
        ("", "no image is listed"),
        ('\n{"image": "a.jpg", "labels": [', "line 2: not JSON"),
    ],
)
def test_what_cannot_be_read_names_its_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_json_lines(lines(tmp_path, text), "")


names = (
    st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
    .map(str.strip)
    .filter(lambda name: any(category(one)[0] not in "MZ" and category(one) != "Cf" for one in name))
)


@settings(max_examples=60)
@given(st.lists(names, min_size=1, max_size=5, unique=True), st.data())
def test_what_is_written_is_read_again(labels: list[str], data: st.DataObject) -> None:
    labels = sorted({clean(name) for name in labels})
    cells = st.lists(st.sampled_from([1, 0, -1]), min_size=len(labels), max_size=len(labels))
    rows = data.draw(st.lists(cells, min_size=1, max_size=6))
    targets = np.array([[1] * len(labels), *rows], dtype=np.int8)
    images = tuple(f"人 {i}.jpg" for i in range(len(targets)))
    with tempfile.TemporaryDirectory() as folder:
        made = Dataset("", Path(folder), images, Vocabulary(tuple(labels)), targets)
        assert write_json_lines(made, Path(folder) / "a.jsonl", split="", images="keep") == ()
        again = read_json_lines(Path(folder) / "a.jsonl", "", options=LABELS_ONLY)
    assert (again.images, again.vocabulary.names) == (images, tuple(labels))
    assert (again.targets == targets).all()


def test_nothing_is_overwritten_and_lost_labels_are_told(tmp_path: Path) -> None:
    made = Dataset("", tmp_path, ("a.jpg",), Vocabulary(("cat", "dog")), np.array([[1, 0]], dtype=np.int8))
    notes = write_json_lines(made, tmp_path / "a.jsonl", split="", images="keep")
    assert notes == ("1 labels that no image has are not kept by this format: dog.",)
    with pytest.raises(InputError, match="nothing is overwritten"):
        write_json_lines(made, tmp_path / "a.jsonl", split="", images="keep")


def test_images_of_one_name_in_two_folders_are_placed_apart(tmp_path: Path) -> None:
    for place in ("x", "y"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "a.jpg").write_text(place)
    targets = np.ones((2, 1), dtype=np.int8)
    made = Dataset("", tmp_path, ("x/a.jpg", "y/a.jpg"), Vocabulary(("cat",)), targets)
    write_json_lines(made, tmp_path / "out" / "val.jsonl", split="", images="copy")
    again = read_json_lines(tmp_path / "out" / "val.jsonl", "")
    assert again.images == ("val_images/x/a.jpg", "val_images/y/a.jpg")
    assert [path.read_text() for path in again.paths] == ["x", "y"]


@pytest.mark.parametrize(
    ("label", "image", "words"),
    [("\udcff", "a.jpg", r"label '\\udcff'"), ("cat", "\udcff.jpg", r"file name .*udcff")],
)
def test_names_that_are_no_text_are_refused(tmp_path: Path, label: str, image: str, words: str) -> None:
    made = Dataset("", tmp_path, (image,), Vocabulary((label,)), np.ones((1, 1), dtype=np.int8))
    with pytest.raises(InputError, match=words):
        write_json_lines(made, tmp_path / "a.jsonl", split="", images="keep")
    assert list(tmp_path.iterdir()) == []


def test_one_list_of_such_objects_is_read_too(tmp_path: Path) -> None:
    file = lines(
        tmp_path, '[\n {"image": "a.jpg", "labels": ["cat"]},\n {"image": "b.jpg", "labels": []}\n]\n'
    )
    data = read_json_lines(file, "", options=LABELS_ONLY)
    assert [data.example(i).present for i in range(2)] == [("cat",), ()]
    with pytest.raises(InputError, match=r"entry 2: .*must be a JSON object"):
        read_json_lines(
            lines(tmp_path, '[{"image": "a.jpg", "labels": ["cat"]}, 3]'), "", options=LABELS_ONLY
        )
