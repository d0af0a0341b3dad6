"""A folder per label: several labels are several folders, whatever the names; what cannot be a folder is refused."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image
from round_trip import drawn, names_any, with_files, written

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.folder import UNLABELLED, read_folder, write_folder
from labelbeam.labels.vocabulary import Vocabulary


def place(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"\xff\xd8\xff" + name.rpartition("/")[2].encode())


def labels_of(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {image: dataset.example(i).present for i, image in enumerate(dataset.images)}


def by_content(dataset: Dataset) -> dict[bytes, dict[str, int]]:
    """Content -> label -> value, with unknown as absent."""
    return {
        path.read_bytes(): dict(zip(dataset.vocabulary, np.maximum(row, 0).tolist(), strict=True))
        for path, row in zip(dataset.paths, dataset.targets, strict=True)
    }


def test_the_same_file_in_several_folders_has_several_labels(tmp_path):
    place(tmp_path, "cat/a.jpg", "dog/a.jpg", "dog/b.jpg", "犬 小屋/c.jpg")
    dataset = read_folder(tmp_path, "")
    assert labels_of(dataset) == {
        "cat/a.jpg": ("cat", "dog"),
        "dog/b.jpg": ("dog",),
        "犬 小屋/c.jpg": ("犬 小屋",),
    }
    assert dataset.notes[0].startswith(
        "this is what I understood: 3 images, 3 labels, a folder per label, 1 images in several"
    )


def test_hard_links_and_copies_are_one_image_and_other_content_is_another(tmp_path):
    place(tmp_path, "cat/a.jpg")
    (tmp_path / "dog").mkdir()
    os.link(tmp_path / "cat/a.jpg", tmp_path / "dog/a.jpg")
    place(tmp_path, "cat/b.jpg", "dog/b.jpg")
    (tmp_path / "dog/b.jpg").write_bytes(b"another picture")
    dataset = read_folder(tmp_path, "")
    assert labels_of(dataset) == {"cat/a.jpg": ("cat", "dog"), "cat/b.jpg": ("cat",), "dog/b.jpg": ("dog",)}
    assert any("1 file names occur in several folders with different content" in n for n in dataset.notes)


def test_images_in_no_folder_are_unknown_and_those_in_the_unlabelled_folder_have_none(tmp_path):
    place(tmp_path, "cat/a.jpg", "b.jpg", f"{UNLABELLED}/c.jpg")
    dataset = read_folder(tmp_path, "")
    assert dict(zip(dataset.images, dataset.targets[:, 0].tolist(), strict=True)) == {
        "cat/a.jpg": 1,
        f"{UNLABELLED}/c.jpg": 0,
        "b.jpg": -1,
    }
    assert dataset.vocabulary.names == ("cat",)


def test_empty_folders_are_labels_and_folders_of_other_files_are_not(tmp_path):
    place(tmp_path, "cat/sub/a.jpg", "cat/b.jpg", "notes/readme.txt", ".thumbs/a.jpg", "__MACOSX/x.jpg")
    (tmp_path / "zebra").mkdir()
    dataset = read_folder(tmp_path, "")
    assert dataset.vocabulary.names == ("cat", "zebra")
    assert labels_of(dataset) == {"cat/b.jpg": ("cat",), "cat/sub/a.jpg": ("cat",)}
    said = " ".join(dataset.notes)
    assert all(word in said for word in ["empty: zebra", "no labels: notes", "1 images lie deeper"])


def test_splits_are_folders_that_must_be_named(tmp_path):
    place(tmp_path, "train/cat/a.jpg", "train/dog/a.jpg", "test/cat/b.jpg")
    assert labels_of(read_folder(tmp_path, "train")) == {"train/cat/a.jpg": ("cat", "dog")}
    assert read_folder(tmp_path, "all").images == ("test/cat/b.jpg", "train/cat/a.jpg")
    with pytest.raises(InputError, match=r"Are they splits\? .*#test.*#all"):
        read_folder(tmp_path, "")
    with pytest.raises(InputError, match=r"unknown split 'tset'.*'test'"):
        read_folder(tmp_path, "tset")


@settings(deadline=None)
@given(drawn())
def test_what_is_written_is_read_back_or_refused_by_name(content):
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        dataset = with_files(content.dataset(), root / "from")
        notes, refusal = written(write_folder, dataset, root / "to")
        if refusal:
            assert names_any(refusal, dataset)
            assert not (root / "to").exists()
            return
        assert by_content(read_folder(root / "to", "")) == by_content(dataset)
        assert any("unknown" in note for note in notes) == (dataset.targets == -1).any()


@pytest.mark.parametrize("images", ["link", "copy"])
def test_splits_are_added_one_by_one_and_never_overwritten(tmp_path, images):
    targets = np.array([[1, 1], [0, 0]], dtype=np.int8)
    dataset = Dataset("made:up", Path(), ("x/a.jpg", "y/a.jpg"), Vocabulary(("cat", "dog")), targets)
    dataset = with_files(dataset, tmp_path / "from")
    for split in ("train", "fold0"):
        notes = write_folder(dataset, tmp_path / "to", split=split, images=images)
    assert notes == (f"1 images have no label; they are in the folder {UNLABELLED}.",)
    written = sorted(file.relative_to(tmp_path / "to").as_posix() for file in tmp_path.glob("to/*/*/*"))
    assert written == [
        f"{split}/{file}"
        for split in ("fold0", "train")
        for file in (f"{UNLABELLED}/y_a.jpg", "cat/x_a.jpg", "dog/x_a.jpg")
    ]
    assert len(read_folder(tmp_path / "to", "all")) == 4
    with pytest.raises(InputError, match="is there already"):
        write_folder(dataset, tmp_path / "to", split="train", images=images)
    write_folder(dataset, tmp_path / "plain", images=images)
    with pytest.raises(InputError, match="without splits"):
        write_folder(dataset, tmp_path / "plain", split="train", images=images)


@pytest.mark.parametrize(
    ("label", "image", "images", "words"),
    [
        ("animal/dog", "a.jpg", "link", ["'animal/dog'", "'/'"]),
        (".dog", "a.jpg", "link", ["'.dog'", "folder"]),
        (UNLABELLED, "a.jpg", "link", [UNLABELLED, "reserved"]),
        ("犬" * 100, "a.jpg", "link", ["255 bytes"]),
        ("dog", "a.dat", "link", ["'a.dat'", "suffix"]),
        ("dog", "a.jpg", "keep", ["--images link", "--images copy"]),
        ("dog", "a.jpg", "move", ["unknown way", "'move'"]),
        ("dog", "lost.jpg", "copy", ["lost.jpg", "missing"]),
    ],
)
def test_what_cannot_be_a_folder_is_refused_and_nothing_is_left(tmp_path, label, image, images, words):
    (tmp_path / "a.jpg").write_bytes(b"")
    dataset = Dataset("made:up", tmp_path, (image,), Vocabulary((label,)), np.ones((1, 1), np.int8))
    with pytest.raises(InputError) as error:
        write_folder(dataset, tmp_path / "to", images=images)
    assert all(word in str(error.value) for word in words), error.value
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], ["no folder"]),
        (["a.jpg"], ["no folder", "cat/a.jpg"]),
        (["cat/readme.txt"], ["no image"]),
        (["<end>/a.jpg"], ["<end>", "special token"]),
    ],
)
def test_a_folder_that_is_none_of_labels_says_why(tmp_path, files, words):
    place(tmp_path, *files)
    with pytest.raises(InputError) as error:
        read_folder(tmp_path, "")
    assert all(word in str(error.value) for word in words), error.value


def test_folders_that_are_no_labels_are_named_before_anything_is_learnt(tmp_path):
    for name in ("dog/a.jpg", "Unsorted/b.jpg", "2023-08/c.jpg", "cat/d.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(name.encode())
    with pytest.raises(InputError, match=r"2023-08 \(1 images\), Unsorted \(1 images\).*--odd-folders skip"):
        read_folder(tmp_path, "")
    skipped = read_folder(tmp_path, "", options=ReadOptions(odd_folders="skip"))
    assert skipped.vocabulary.names == ("cat", "dog")
    assert skipped.targets.tolist() == [[1, 0], [0, 1], [-1, -1], [-1, -1]]
    assert any("folder:" in note and "+ keywords:" in note for note in skipped.notes)
    denied = read_folder(tmp_path, "", options=ReadOptions(deny="Unsorted,2023-08"))
    assert denied.vocabulary.names == ("cat", "dog")
    kept = read_folder(tmp_path, "", options=ReadOptions(odd_folders="keep"))
    assert kept.vocabulary.names == ("2023-08", "Unsorted", "cat", "dog")


def test_folders_and_keywords_are_one_data_set_in_which_a_persons_rejection_counts(tmp_path):
    from labelbeam.formats.photo_metadata.xmp import new_packet
    from labelbeam.formats.registry import open_dataset
    from labelbeam.labels.vocabulary import ABSENT, PRESENT
    from labelbeam.project.project_file import Project
    from labelbeam.project.schema import Change

    for name in ("dog/a.jpg", "cat/b.jpg"):
        (tmp_path / "p" / name).parent.mkdir(parents=True)
        Image.new("RGB", (8, 8), (ord(name[0]), 0, 0)).save(tmp_path / "p" / name)
    (tmp_path / "p/dog/a.jpg.xmp").write_bytes(new_packet({"dc:subject": ["sea"]}))
    both = open_dataset(f"folder:{tmp_path / 'p'} + keywords:{tmp_path / 'p'}")
    assert both.vocabulary.names == ("cat", "dog", "sea")
    assert both.targets.tolist() == [[1, 0, -1], [0, 1, 1]], "nobody gave b.jpg keywords"
    with Project(tmp_path / "x.lbp") as project:
        project.add_labels(["dog", "boat"])
        one = project.add_reference(tmp_path / "p/dog/a.jpg", name="a.jpg")
        project.decide([Change(one.id, "dog", ABSENT), Change(one.id, "boat", PRESENT)])
    all_three = open_dataset(
        f"project:{tmp_path / 'x.lbp'} + folder:{tmp_path / 'p'} + keywords:{tmp_path / 'p'}"
    )
    assert all_three.example(1).present == ("boat", "sea")
    assert any("1 labels were rejected" in note for note in all_three.notes)


@pytest.mark.parametrize(
    "names", [("train", "valid"), ("train2017", "val2017"), ("test_images", "train_images")]
)
def test_folders_of_splits_are_no_labels(tmp_path, names):
    place(tmp_path, f"{names[0]}/a.jpg", f"{names[1]}/b.jpg", f"{names[1]}/c.jpg")
    with pytest.raises(InputError, match=f"{names[0]}, {names[1]} are splits of a data set, not labels"):
        read_folder(tmp_path, "")


def test_a_train_is_a_label_among_others(tmp_path):
    place(tmp_path, "train/a.jpg", "bus/b.jpg")
    assert read_folder(tmp_path, "").vocabulary.names == ("bus", "train")


def test_folders_called_by_several_labels_are_said(tmp_path):
    place(tmp_path, "cat/a.jpg", "cat+dog/b.jpg", "dog/c.jpg")
    assert any("hold others with a mark between" in note for note in read_folder(tmp_path, "").notes)
