"""WebDataset shards: what is a sample, where its labels are, which shards belong to a split."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.data.image_bytes import image_bytes
from labelbeam.errors import InputError
from labelbeam.formats import webdataset as webdataset_writer
from labelbeam.formats.registry import open_dataset
from labelbeam.formats.webdataset import expand_braces, read_webdataset, write_webdataset
from labelbeam.labels.vocabulary import Vocabulary


def shard(path: Path, members: dict[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, value in members.items():
            if isinstance(value, np.ndarray):
                buffer = io.BytesIO()
                np.save(buffer, value)
                content = buffer.getvalue()
            else:
                content = value.encode() if isinstance(value, str) else json.dumps(value).encode()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def read(path: Path, split: str = "", **options: object) -> Dataset:
    return read_webdataset(path, split, options=ReadOptions(**options))


@pytest.mark.parametrize(
    ("members", "classes", "options"),
    [
        ({"a.jpg": "", "a.json": ["cat", "sea"], "b.png": "", "b.json": ["dog"]}, "", {}),
        (
            {
                "a.jpg": "",
                "a.json": {"labels": ["cat", "sea"], "x": 1},
                "b.png": "",
                "b.json": {"labels": ["dog"]},
            },
            "",
            {},
        ),
        ({"a.jpg": "", "a.json": {"tags": "cat;sea"}, "b.png": "", "b.json": {"tags": "dog"}}, "", {}),
        (
            {"a.jpg": "", "a.json": {"labels": [0, 2]}, "b.png": "", "b.json": {"labels": [1]}},
            "cat\ndog\nsea\n",
            {},
        ),
        ({"a.jpg": "", "a.txt": "cat|sea", "b.png": "", "b.txt": "dog\n"}, "", {}),
        ({"a.jpg": "", "a.txt": "cat\nsea\n", "b.png": "", "b.txt": "dog"}, "", {}),
        ({"a.jpg": "", "a.txt": "cat+sea", "b.png": "", "b.txt": "dog"}, "", {"delimiter": "+"}),
        ({"a.jpg": "", "a.cls": "0 2", "b.png": "", "b.cls": "1"}, "cat\r\ndog\r\nsea", {}),
        (
            {"a.jpg": "", "a.npy": np.array([1, 0, 1]), "b.png": "", "b.npy": np.array([0, 1, 0], np.uint8)},
            *("cat\ndog\nsea\n", {}),
        ),
        (
            {"a.jpg": "", "a.txt": "a caption", "a.cls": "0,2", "b.png": "", "b.txt": "more", "b.cls": "1"},
            *("cat\ndog\nsea\n", {"tags_column": "cls"}),
        ),
        (
            {"a.jpg": "", "a.json": {"what": ["cat", "sea"]}, "b.png": "", "b.json": {"what": ["dog"]}},
            *("", {"tags_column": "what"}),
        ),
    ],
)
def test_labels_are_read_from_every_kind_of_member(tmp_path, members, classes, options):
    path = shard(tmp_path / "s-000000.tar", members)
    if classes:
        (tmp_path / "classnames.txt").write_text(classes)
    dataset = read(path, **options)
    assert dataset.images == ("s-000000.tar/a.jpg", "s-000000.tar/b.png")
    assert [set(dataset.example(i).present) for i in (0, 1)] == [{"cat", "sea"}, {"dog"}]


def test_the_first_dot_ends_the_key_and_other_members_are_no_samples(tmp_path):
    members = {
        **{"x/a.jpg": "", "x/a.json": ["cat"], "x/a.seg.png": "", "y/a.JPG": "", "y/a.json": ["dog"]},
        **{"._a.jpg": "", "__info__.json": {}, "alone.json": ["sea"], "readme": ""},
    }
    dataset = read(shard(tmp_path / "s.tar", members))
    assert dataset.images == ("s.tar/x/a.jpg", "s.tar/y/a.JPG")
    assert dataset.targets.tolist() == [[1, 0], [0, 1]]
    assert "1 samples have no image" in dataset.notes[1]


def test_images_of_a_sample_without_labels_have_none_and_that_is_told(tmp_path):
    dataset = read(shard(tmp_path / "s.tar", {"a.jpg": "", "a.cls": "cat", "b.jpg": ""}))
    assert dataset.targets.tolist() == [[1], [0]]
    assert "1 samples have no labels in .cls" in dataset.notes[-1]


@pytest.mark.parametrize(
    ("argument", "images"),
    [
        ("#train", ["train/9.tar/a.jpg", "train/10.tar/b.jpg"]),
        ("#val", ["val-000000.tar/c.jpg"]),
        ("", ["train/9.tar/a.jpg", "train/10.tar/b.jpg", "val-000000.tar/c.jpg"]),
        ("/train/10.tar", ["10.tar/b.jpg"]),
        ("/train/{9..10}.tar", ["9.tar/a.jpg", "10.tar/b.jpg"]),
        ("/*-00000?.tar", ["val-000000.tar/c.jpg"]),
    ],
)
def test_a_split_is_a_folder_or_the_start_of_a_name_and_patterns_name_shards(tmp_path, argument, images):
    for name, key in (("train/10", "b"), ("train/9", "a"), ("val-000000", "c")):
        shard(tmp_path / f"{name}.tar", {f"{key}.jpg": "", f"{key}.cls": "cat"})
    dataset = open_dataset(f"webdataset:{tmp_path}{argument}")
    assert sorted(dataset.images) == sorted(images)
    assert [image for image in dataset.images if "train" in image or argument.startswith("/")] == [
        image for image in images if "train" in image or argument.startswith("/")
    ]


def test_braces_stand_for_what_a_shell_makes_of_them():
    assert list(expand_braces("{0..1}/a-{099..101}.tar"))[1:4] == [
        "0/a-100.tar",
        "0/a-101.tar",
        "1/a-099.tar",
    ]
    with pytest.raises(InputError, match="low to high"):
        list(expand_braces("a-{5..1}.tar"))
    with pytest.raises(InputError, match="stands for"):
        list(expand_braces("a-{0..99999999999}.tar"))


def test_a_number_of_shards_that_is_not_the_stated_one_is_noted(tmp_path):
    shard(tmp_path / "test/0.tar", {"a.jpg": "", "a.cls": "cat"})
    (tmp_path / "test/nshards.txt").write_text("3\n")
    assert "says 3 shards, 1 were read" in read(tmp_path, "test").notes[1]


@pytest.mark.parametrize(
    ("members", "classes", "words"),
    [
        (
            {"a.jpg": "", "a.png": "", "a.cls": "x"},
            "",
            ["byte 1,024", "sample a has two images", "a.jpg and a.png"],
        ),
        ({"a.jpg": "", "a.cls": "3"}, "", ["[3] are ids", "classnames.txt"]),
        ({"a.jpg": "", "a.cls": "3"}, "cat\n", ["id 3 is beyond the 1 lines"]),
        ({"a.jpg": "", "a.cls": "cat", "a.txt": "dog"}, "", ["--tags-column cls or --tags-column txt"]),
        (
            {"a.jpg": "", "a.json": {"id": 4}},
            "",
            ["no member of the samples holds labels", "JSON field 'id'"],
        ),
        ({"a.jpg": "", "a.bin": "x"}, "", ["There is: .bin", "--tags-column"]),
        ({"a.jpg": "", "a.json": {"labels": [0, 1, 1]}}, "a\nb\nc\n", ["ids repeat", "multi-hot"]),
        ({"a.jpg": "", "a.json": {"labels": [1.5]}}, "", ["neither label names nor ids"]),
        ({"a.jpg": "", "a.npy": np.array([1, 0])}, "a\nb\nc\n", ["a vector of 2 numbers for 3 lines"]),
        ({"a.jpg": "", "a.npy": np.array([0.2, 1])}, "a\nb\n", ["0 and 1 only"]),
        (
            {"a.jpg": "", "a.npy": np.array([["a"]], object)},
            "a\nb\n",
            [".npy of a.jpg", "not a vector of numbers"],
        ),
        ({"a.jpg": "", "a.txt": "red car", "b.jpg": "", "b.txt": "x"}, "", ["ambiguous whether blanks"]),
        ({"a.jpg": "", "a.cls": "0"}, "a\n\nb\n", ["classnames.txt, line 2 is empty"]),
        ({"a.json": ["x"]}, "", ["no sample with an image"]),
        ({"a.jpg": "", "a.txt": "x" * (1 << 20) + "y"}, "", ["1,048,577 bytes are no labels"]),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, members, classes, words):
    path = shard(tmp_path / "s.tar", members)
    if classes:
        (tmp_path / "classnames.txt").write_text(classes)
    with pytest.raises(InputError) as error:
        read(path)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("#train", ["unknown split 'train'", "a"]),
        ("/a.tar#train", ["Leave #train away"]),
        ("/a-{0..2}.tar", ["3 of 3 shards are missing"]),
        ("/b*.tar", ["no file matches"]),
        ("/sub", ["no *.tar in"]),
    ],
)
def test_shards_that_are_not_there_are_told(tmp_path, argument, words):
    shard(tmp_path / "a.tar", {"a.jpg": "", "a.cls": "cat"})
    (tmp_path / "sub").mkdir()
    with pytest.raises(InputError) as error:
        open_dataset(f"webdataset:{tmp_path}{argument}")
    assert all(word in str(error.value) for word in words), error.value


def photos(folder: Path, count: int) -> Dataset:
    folder.mkdir()
    for i in range(count):
        (folder / f"{i}.jpg").write_bytes(b"%d" % i * 400)
    targets = (np.arange(count * 2).reshape(count, 2) % 3 - 1).astype(np.int8)
    return Dataset("x", folder, tuple(f"{i}.jpg" for i in range(count)), Vocabulary(("cat", "dog")), targets)


def test_shards_are_cut_by_images_and_bytes_and_are_the_same_bytes_every_time(tmp_path, monkeypatch):
    dataset = photos(tmp_path / "photos", 7)
    monkeypatch.setattr(webdataset_writer, "MOST_IMAGES", 3)
    for name in ("one", "two"):
        write_webdataset(dataset, tmp_path / name, split="train", images="copy")
    names = ["classnames.txt", *(f"train-00000{i}.tar" for i in range(3))]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    monkeypatch.setattr(webdataset_writer, "MOST_BYTES", 900)
    write_webdataset(dataset, tmp_path / "three", split="", images="copy")
    assert len(list((tmp_path / "three").glob("shard-*.tar"))) == 4
    again = read(tmp_path / "three")
    assert [image_bytes(path) for path in again.paths] == [path.read_bytes() for path in dataset.paths]
    assert again.targets.tolist() == dataset.targets.tolist()


def test_another_split_joins_shards_of_the_same_labels_only(tmp_path):
    dataset = photos(tmp_path / "photos", 3)
    write_webdataset(dataset, tmp_path / "out", split="train", images="copy")
    write_webdataset(dataset.subset([2]), tmp_path / "out", split="val", images="copy")
    assert (len(read(tmp_path / "out", "train")), len(read(tmp_path / "out", "val"))) == (3, 1)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("classnames.txt", "train-000000.tar", "val-000000.tar"),
    ]
    with pytest.raises(InputError, match=r"train-000000\.tar is there already"):
        write_webdataset(dataset, tmp_path / "out", split="train", images="copy")
    other = dataset.with_vocabulary(("dog", "cat"))
    with pytest.raises(InputError, match="lists other labels"):
        write_webdataset(other, tmp_path / "out", split="test", images="copy")


def test_shards_are_written_from_shards(tmp_path):
    dataset = photos(tmp_path / "photos", 3)
    write_webdataset(dataset, tmp_path / "a", split="", images="copy")
    write_webdataset(read(tmp_path / "a"), tmp_path / "b", split="", images="copy")
    assert [image_bytes(path) for path in read(tmp_path / "b").paths] == [
        path.read_bytes() for path in dataset.paths
    ]


def test_images_must_go_into_the_shards(tmp_path):
    with pytest.raises(InputError, match="--images link"):
        write_webdataset(photos(tmp_path / "photos", 1), tmp_path / "a", split="", images="keep")


def test_a_photograph_outside_of_the_named_folder_is_not_packed(tmp_path):
    (tmp_path / "named").mkdir()
    (tmp_path / "secret.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    dataset = Dataset(
        "csv:x", tmp_path / "named", ("../secret.png",), Vocabulary(("cat",)), np.ones((1, 1), np.int8)
    )
    with pytest.raises(InputError, match="lies outside of"):
        write_webdataset(dataset, tmp_path / "new", split="", images="copy")
    assert not (tmp_path / "new").exists()
