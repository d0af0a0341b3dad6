"""What is written as CSV is read back, whatever the names, or refused by name."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from round_trip import drawn, said, with_files

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.csv_table import read_csv, write_csv
from labelbeam.labels.vocabulary import Vocabulary

KEEP = ReadOptions(missing="keep")


def made(names: tuple[str, ...], targets: list[list[int]], root: Path) -> Dataset:
    images = tuple(f"{i}.jpg" for i in range(len(targets)))
    return Dataset("made:up", root, images, Vocabulary(names), np.array(targets, dtype=np.int8))


@settings(deadline=None)
@given(drawn())
def test_what_is_written_is_read_back_without_an_option(content):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "out.csv"
        dataset = content.dataset(Path(folder))
        write_csv(dataset, file)
        again = read_csv(file, options=KEEP)
    assert said(again) == said(dataset)
    assert again.images == dataset.images


def test_the_file_is_plain_where_names_are(tmp_path):
    dataset = made(("dog", "traffic light", "yak"), [[1, 1, 0], [0, 1, -1], [0, 0, 0]], tmp_path)
    notes = write_csv(dataset, tmp_path / "out.csv")
    text = (tmp_path / "out.csv").read_text()
    assert text == "image,tags,unknown\n0.jpg,dog;traffic light,\n1.jpg,traffic light,yak\n2.jpg,,\n"
    assert notes == ()


def test_cells_are_lists_where_a_name_could_be_taken_apart(tmp_path):
    for i, names in enumerate([("traffic light", "dog"), ("a;b", "dog"), ("nan", "dog"), ("(x)", "dog")]):
        dataset = made(names, [[1, 0], [0, 1]], tmp_path)
        write_csv(dataset, tmp_path / f"{i}.csv")
        assert f'0.jpg,"[""{names[0]}""]"\n' in (tmp_path / f"{i}.csv").read_text()
        assert said(read_csv(tmp_path / f"{i}.csv", options=KEEP)) == said(dataset)


def test_labels_that_no_row_has_are_in_the_first_row_s_column_absent(tmp_path):
    dataset = made(("dog", "cat", "ant"), [[1, 0, 0], [0, 0, 0]], tmp_path)
    notes = write_csv(dataset, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "image,tags,absent\n0.jpg,dog,cat;ant\n1.jpg,,\n"
    assert "order of the labels" in notes[0]
    assert read_csv(tmp_path / "out.csv", options=KEEP).targets.tolist() == [[0, 0, 1], [0, 0, 0]]


def test_a_split_is_a_column_and_a_second_one_is_refused(tmp_path):
    dataset = made(("dog",), [[1], [0]], tmp_path)
    write_csv(dataset, tmp_path / "out.csv", split="train")
    assert len(read_csv(tmp_path / "out.csv", "train", options=KEEP)) == 2
    with pytest.raises(InputError, match="is there already"):
        write_csv(dataset, tmp_path / "out.csv", split="test")


@pytest.mark.parametrize("images", ["link", "copy"])
def test_images_are_placed_beside_the_file_and_found_there(tmp_path, images):
    dataset = with_files(made(("dog",), [[1], [0]], tmp_path), tmp_path / "from")
    write_csv(dataset, tmp_path / "new" / "out.csv", images=images)
    again = read_csv(tmp_path / "new" / "out.csv")
    assert again.images == ("out_images/0.jpg", "out_images/1.jpg")
    assert again.path(1).read_bytes() == dataset.path(1).read_bytes()
    assert again.path(1).samefile(dataset.path(1)) == (images == "link")


def test_images_elsewhere_are_referred_to_by_absolute_path(tmp_path):
    dataset = with_files(made(("dog",), [[1], [0]], tmp_path), tmp_path / "from")
    write_csv(dataset, tmp_path / "new" / "out.csv")
    assert read_csv(tmp_path / "new" / "out.csv").path(0).samefile(dataset.path(0))


@pytest.mark.parametrize(
    ("names", "image", "words"),
    [
        (("<end>",), "a.jpg", ["<end>", "special token"]),
        (("e\N{COMBINING ACUTE ACCENT}",), "a.jpg", ["composed Unicode", "'é'"]),
        (("\udcff",), "a.jpg", ["'\\udcff'", "Rename"]),
        (("dog",), "a\\b.jpg", ["a\\\\b.jpg", "a backslash"]),
        (("dog",), "a.jpg ", ["'a.jpg '", "blanks at its ends"]),
    ],
)
def test_what_would_not_come_back_is_refused_and_nothing_is_left(tmp_path, names, image, words):
    dataset = Dataset("made:up", tmp_path, (image,), Vocabulary(names), np.ones((1, 1), np.int8))
    with pytest.raises(InputError) as error:
        write_csv(dataset, tmp_path / "out.csv")
    assert all(word in str(error.value) for word in words), error.value
    assert list(tmp_path.iterdir()) == []


def test_a_missing_image_file_leaves_neither_file_nor_folder(tmp_path):
    with pytest.raises(InputError, match="is missing"):
        write_csv(made(("dog",), [[1]], tmp_path), tmp_path / "out.csv", images="copy")
    assert list(tmp_path.iterdir()) == []
