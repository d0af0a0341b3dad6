"""What a writer of people's own formats wrote, its reader reads: any names, or an error that quotes the name."""

import tempfile
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelbeam.data.dataset import Dataset
from labelbeam.data.image_bytes import image_bytes
from labelbeam.errors import InputError
from labelbeam.formats.registry import open_dataset, write_dataset
from labelbeam.labels.vocabulary import ABSENT, UNKNOWN, Vocabulary

PLACES = {
    "labelstudio": "tasks/tasks.json",
    "cvat": "task/annotations.xml",
    "fiftyone": "folder",
    "openimages": "folder",
    "webdataset": "folder",
    "keywords": "folder",
}
HOLD_UNKNOWN = {"openimages", "webdataset"}
HOLD_UNANSWERED = {"labelstudio", "fiftyone"}
"""Formats that can say that nobody labelled an image, and no more of unknown."""

labels = st.text(min_size=1, max_size=8).map(str.strip).filter(bool)
stems = st.text(min_size=1, max_size=8).filter(lambda name: not set(name) & {"/", "\0"})
folders = st.sampled_from(["", "sub folder/", "ほ.げ/"])


@st.composite
def datasets(draw: st.DrawFn) -> tuple[list[str], tuple[str, ...], np.ndarray]:
    names = draw(st.lists(labels, min_size=1, max_size=4, unique=True))
    keys = draw(
        st.lists(st.tuples(folders, stems), min_size=1, max_size=4, unique_by=lambda key: key[0] + key[1])
    )
    values = st.lists(st.sampled_from([1, 1, 0, -1]), min_size=len(names), max_size=len(names))
    targets = np.array([draw(values) for _ in keys], dtype=np.int8)
    return [f"{folder}{stem}.jpg" for folder, stem in keys], tuple(names), targets


def on_disk(root: Path, keys: list[str]) -> None:
    for i, key in enumerate(keys):
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(b"picture %d" % i)


def expected(format_name: str, dataset: Dataset) -> dict[bytes, dict[str, int]]:
    """What is to come back: of each picture's content, the labels by name."""
    targets = dataset.targets.copy()
    if format_name not in HOLD_UNKNOWN:
        answered = (targets != UNKNOWN).any(axis=1) | (format_name not in HOLD_UNANSWERED)
        targets[(targets == UNKNOWN) & answered[:, None]] = ABSENT
    kept = np.ones(len(dataset), dtype=bool)
    columns = np.ones(len(dataset.vocabulary), dtype=bool)
    if format_name == "openimages":
        kept, columns = (targets != UNKNOWN).any(axis=1), (targets != UNKNOWN).any(axis=0)
    if format_name == "keywords":
        columns = (targets == 1).any(axis=0)
    names = [name for name, stays in zip(dataset.vocabulary, columns, strict=True) if stays]
    return {
        dataset.path(int(i)).read_bytes(): dict(zip(names, targets[i, columns].tolist(), strict=True))
        for i in np.flatnonzero(kept)
    }


@pytest.mark.parametrize("images", ["keep", "link", "copy"])
@pytest.mark.parametrize("format_name", PLACES)
@settings(max_examples=25, deadline=None)
@given(content=datasets())
def test_images_and_labels_come_back_or_are_refused_by_name(format_name, images, content):
    keys, names, targets = content
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder).resolve()
        on_disk(home / "photos", keys)
        dataset = Dataset("csv:x", home / "photos", tuple(keys), Vocabulary(names), targets)
        target = home / ("photos" if (format_name, images) == ("keywords", "keep") else PLACES[format_name])
        wanted = expected(format_name, dataset)
        try:
            write_dataset(dataset, f"{format_name}:{target}", images=images)
        except InputError as error:
            quoted = [repr(name) for name in (*names, *keys)]
            said = str(error)
            assert any(name in said for name in quoted) or (format_name, images) == ("webdataset", "keep")
            return
        if not any(wanted.values()):
            with pytest.raises(InputError, match=r"no image|no row"):
                open_dataset(f"{format_name}:{target}")
            return
        found = open_dataset(f"{format_name}:{target}")
        assert {
            image_bytes(path): dict(zip(found.vocabulary, row, strict=True))
            for path, row in zip(found.paths, found.targets.tolist(), strict=True)
        } == wanted
        if format_name not in {"keywords", "openimages"}:
            assert found.vocabulary.names == names
            assert [image_bytes(path) for path in found.paths] == [
                (home / "photos" / key).read_bytes() for key in keys
            ]


@pytest.mark.parametrize("format_name", PLACES)
def test_a_usual_data_set_is_not_refused(tmp_path, format_name):
    keys = ["a.jpg", "sub folder/b ü.jpg", "c.d.JPG"]
    names = ("traffic light", "海", 'a "b", c/d', "<i>&amp;'")
    assert all(normalize("NFC", name) == name for name in names)
    on_disk(tmp_path / "photos", keys)
    targets = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0]], dtype=np.int8)
    dataset = Dataset("csv:x", tmp_path / "photos", tuple(keys), Vocabulary(names), targets)
    place = tmp_path / PLACES[format_name]
    write_dataset(dataset, f"{format_name}:{place}", images="copy")
    found = open_dataset(f"{format_name}:{place}").with_vocabulary(names)
    rows = {image_bytes(path): row for path, row in zip(found.paths, found.targets.tolist(), strict=True)}
    assert [rows[b"picture %d" % i] for i in range(3)] == targets.tolist()
    assert found.notes[0].startswith("this is what I understood: 3 images, 4 labels, ")


@pytest.mark.parametrize("format_name", PLACES)
def test_nothing_is_overwritten_and_a_failure_leaves_nothing(tmp_path, format_name):
    on_disk(tmp_path / "photos", ["a.jpg"])
    targets = np.ones((2, 1), dtype=np.int8)
    there = Dataset("csv:x", tmp_path / "photos", ("a.jpg", "lost.jpg"), Vocabulary(("cat",)), targets)
    place = tmp_path / "new" / PLACES[format_name]
    with pytest.raises(InputError, match=r"lost\.jpg.*(missing|cannot be read)"):
        write_dataset(there, f"{format_name}:{place}", images="copy")
    assert [path for path in (tmp_path / "new").rglob("*") if path.is_file()] == []
    write_dataset(there.subset([0]), f"{format_name}:{place}", images="copy")
    before = sorted((path, path.read_bytes()) for path in (tmp_path / "new").rglob("*") if path.is_file())
    with pytest.raises(InputError, match="there already"):
        write_dataset(there.subset([0]), f"{format_name}:{place}", images="copy")
    assert before == sorted(
        (path, path.read_bytes()) for path in (tmp_path / "new").rglob("*") if path.is_file()
    )


def test_a_label_of_separators_alone_is_no_keyword(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"picture")
    made = Dataset("", tmp_path, ("a.jpg",), Vocabulary(("| |",)), np.array([[1]], dtype=np.int8))
    with pytest.raises(InputError, match=r"'\| \|' is nothing but what separates"):
        write_dataset(made, f"keywords:{tmp_path / 'out'}", images="copy")
