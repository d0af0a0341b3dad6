"""Text files of tags beside images: read as they are found, written so that they come back."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from round_trip import drawn, names_any, said, with_files, written

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.sidecar import read_sidecar, write_sidecar
from labelbeam.labels.vocabulary import Vocabulary


def read(folder: Path, files: dict[str, str | bytes], split: str = "", **options) -> Dataset:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_sidecar(folder, split, options=ReadOptions(**options))


def labels_of(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {image: dataset.example(i).present for i, image in enumerate(dataset.images)}


def test_tags_are_separated_by_commas_and_line_ends(tmp_path):
    files = {"a.jpg": "", "a.txt": "1girl, long hair, ;)\n", "x/b.png": "", "x/b.txt": "\ufeffsolo\r\n1girl,"}
    dataset = read(tmp_path, files)
    assert labels_of(dataset) == {"a.jpg": ("1girl", ";)", "long hair"), "x/b.png": ("1girl", "solo")}
    assert dataset.notes[0].startswith(
        "this is what I understood: 2 images, 4 labels, a .txt file of tags beside each image, delimiter ','"
    )
    assert any("line ends separate tags too, as in b.txt" in note for note in dataset.notes)


def test_no_file_is_unknown_and_an_empty_file_is_no_label(tmp_path):
    files = {"a.jpg": "", "a.txt": "cat", "b.jpg": "", "b.txt": "", "c.jpg": "", "README.txt": "hello"}
    dataset = read(tmp_path, files)
    assert dataset.targets.tolist() == [[1], [0], [-1]]
    notes = " ".join(dataset.notes)
    assert all(word in notes for word in ["1 images have no .txt", "belong to no image", "README.txt"])


def test_the_text_file_may_carry_the_image_s_suffix_but_not_both(tmp_path):
    assert labels_of(read(tmp_path, {"a.jpg": "", "a.jpg.txt": "cat"})) == {"a.jpg": ("cat",)}
    with pytest.raises(InputError, match=r"two files of tags: a.txt and a.jpg.txt"):
        read(tmp_path, {"a.txt": "dog"})


@pytest.mark.parametrize(
    ("text", "options", "labels"),
    [
        ("cat;dog", {}, ("cat", "dog")),
        ("cat dog", {"delimiter": " "}, ("cat", "dog")),
        ("a, b|c", {"delimiter": "|"}, ("a, b", "c")),
        ("犬、海".encode("cp932"), {"encoding": "cp932"}, ("海", "犬")),
    ],
)
def test_other_delimiters_and_encodings_are_recognised_or_named(tmp_path, text, options, labels):
    assert labels_of(read(tmp_path, {"a.jpg": "", "a.txt": text}, **options)) == {"a.jpg": labels}


def test_a_split_is_a_folder(tmp_path):
    files = {"train/a.jpg": "", "train/a.txt": "cat,", "test/b.jpg": "", "test/b.txt": "dog,"}
    assert labels_of(read(tmp_path, files, "train")) == {"train/a.jpg": ("cat",)}
    assert len(read(tmp_path, {}, "all")) == 2
    with pytest.raises(InputError, match=r"unknown split 'tran'"):
        read(tmp_path, {}, "tran")


@settings(deadline=None)
@given(drawn())
def test_what_is_written_is_read_back_or_refused_by_name(content):
    untold = (content.targets == -1).all(axis=1)
    known = np.where(untold[:, None], -1, np.maximum(content.targets, 0)).astype(np.int8)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        dataset = with_files(content.dataset(), root / "from")
        notes, refusal = written(write_sidecar, dataset, root / "to")
        if refusal:
            assert names_any(refusal, dataset) or not (dataset.targets == 1).any()
            assert not (root / "to").exists()
            return
        again = read_sidecar(root / "to", "")
    expected = said(Dataset("made:up", root, dataset.images, dataset.vocabulary, known))
    used = set(again.vocabulary)
    assert said(again) == {
        image: {name: value for name, value in labels.items() if name in used}
        for image, labels in expected.items()
    }
    unused = set(dataset.vocabulary) - used
    assert any(f"{len(unused)} labels that no image has" in note for note in notes) == bool(unused)
    assert any("unknown" in note for note in notes) == bool((dataset.targets[~untold] == -1).any())


@given(st.binary(max_size=60))
def test_a_file_of_any_bytes_is_read_or_refused(raw):
    with tempfile.TemporaryDirectory() as folder:
        try:
            dataset = read(Path(folder), {"a.jpg": "", "a.txt": raw})
        except InputError:
            return
        assert len(dataset) == 1


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.jpg": ""}, ["none of 1 images has a .txt", "a.txt"]),
        ({"a.jpg": "", "a.txt": ""}, ["no image has a label"]),
        ({"a.jpg": "", "a.txt": "犬海".encode("cp932")}, ["a.txt", "UTF-8", "--encoding"]),
        ({"a.jpg": "", "a.txt": b"x" * 2_000_000}, ["2,000,000 bytes", "at most"]),
        ({"a.jpg": "", "a.txt": "traffic light"}, ["ambiguous", "--delimiter ' '"]),
        ({"a.jpg": "", "a.txt": "a;b|c"}, ["ambiguous", "--delimiter ';'"]),
        ({"a.jpg": "", "a.txt": "<end>,cat"}, ["<end>", "special token"]),
    ],
)
def test_text_that_cannot_be_understood_says_why(tmp_path, files, words):
    with pytest.raises(InputError) as error:
        read(tmp_path, files)
    assert all(word in str(error.value) for word in words), error.value


def test_texts_of_old_windows_programs_are_read_and_said_and_an_encoding_that_is_named_holds(tmp_path):
    files = {"a.jpg": "", "a.txt": "caf\xe9, m\xfcde".encode("latin-1"), "b.jpg": "", "b.txt": "caf\xe9, cat"}
    dataset = read(tmp_path, files)
    assert labels_of(dataset) == {"a.jpg": ("café", "müde"), "b.jpg": ("café", "cat")}
    assert any("1 .txt files, such as a.txt" in note and "Windows-1252" in note for note in dataset.notes)
    named = read(tmp_path, {}, encoding="utf-8")
    assert labels_of(named)["a.jpg"] == ()
    assert any("a.txt is not in the encoding utf-8" in note for note in named.notes)


@pytest.mark.parametrize(
    ("label", "images", "way", "words"),
    [
        ("a, b", ("a.jpg",), "link", ["'a, b'", "','"]),
        ("cat", ("a.jpg", "a.png"), "link", ["a.jpg", "a.png", "suffix only"]),
        ("cat", ("a.jpg",), "keep", ["--images link"]),
    ],
)
def test_what_the_files_cannot_hold_is_refused(tmp_path, label, images, way, words):
    targets = np.ones((len(images), 1), np.int8)
    dataset = with_files(Dataset("made:up", tmp_path, images, Vocabulary((label,)), targets), tmp_path)
    with pytest.raises(InputError) as error:
        write_sidecar(dataset, tmp_path / "to", images=way)
    assert all(word in str(error.value) for word in words), error.value
    assert not (tmp_path / "to").exists()


def test_one_damaged_file_among_many_is_that_images_fault(tmp_path):
    for i in range(20):
        (tmp_path / f"{i:02}.jpg").write_bytes(b"")
        (tmp_path / f"{i:02}.txt").write_bytes(b"\x8c\xa2" if i == 7 else b"cat, dog" if i % 2 else b"dog")
    (tmp_path / "03.txt").write_bytes("cat, dog".encode("utf-16"))
    found = read_sidecar(tmp_path, "", options=ReadOptions(keep_unlabelled=True))
    assert found.vocabulary.names == ("cat", "dog")
    assert found.targets[[3, 7]].tolist() == [[1, 1], [-1, -1]]
    assert any("1 .txt files cannot be read" in note and "07.txt" in note for note in found.notes)


def test_labels_that_are_all_numbers_are_said_to_be(tmp_path):
    for name, text in (("a", "0"), ("b", "1\n2")):
        (tmp_path / f"{name}.jpg").write_bytes(b"")
        (tmp_path / f"{name}.txt").write_text(text)
    assert any("every label is a number" in note for note in read_sidecar(tmp_path, "").notes)


def test_boxes_with_names_are_no_tags(tmp_path):
    files = {
        "a.jpg": "",
        "a.txt": "cat 0.5 0.5 0.2 0.2\n",
        "b.jpg": "",
        "b.txt": "dog 1 2 3 4\ncat 5 6 7 8\n",
    }
    with pytest.raises(InputError, match=r"boxes with names.*a\.txt"):
        read(tmp_path, files)


def test_class_numbers_get_the_names_of_the_file_beside_them(tmp_path):
    files = {"a.jpg": "", "a.txt": "1\n", "b.jpg": "", "b.txt": "0\n1\n", "classes.txt": "cat\ndog\n"}
    assert labels_of(read(tmp_path, files)) == {"a.jpg": ("dog",), "b.jpg": ("cat", "dog")}
    with pytest.raises(InputError, match=r"class number 7; classes\.txt names 2"):
        read(tmp_path, {**files, "a.txt": "7"})


@pytest.mark.parametrize("box", ["0 0.5 0.5 0.2 0.2", "1.0 2.0 3.0 2.0 3.0 4.0 1.0 4.0 plane 0"])
def test_boxes_are_no_tags_where_one_text_among_them_is_odd(tmp_path, box):
    files = {f"{name}.{end}": box if end == "txt" else "" for name in "abc" for end in ("jpg", "txt")}
    with pytest.raises(InputError, match="boxes"):
        read(
            tmp_path,
            files | {"b.txt": "imagesource:GoogleEarth\ngsd:0.1\n" + box if "plane" in box else "0 0.5"},
        )


def test_a_text_without_the_comma_that_others_have_is_asked_about(tmp_path):
    files = {"a.jpg": "", "a.txt": "cat, dog", "b.jpg": "", "b.txt": "dog; bird"}
    with pytest.raises(InputError, match=r"'dog; bird' has no comma.*--delimiter"):
        read(tmp_path, files)
    assert read(tmp_path, files | {"b.txt": ";)"}).vocabulary.names == (";)", "cat", "dog")
