"""Hygiene behind every reader: renamed, closed, chosen; every change told and in the protocol."""

from pathlib import Path

import numpy as np
import pytest

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.data.tidy import tidy
from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import Vocabulary


def data(names: tuple[str, ...], *rows: list[int]) -> Dataset:
    targets = np.array(rows, dtype=np.int8)
    images = tuple(f"{i}.jpg" for i in range(len(rows)))
    return Dataset("csv:a.csv", Path(), images, Vocabulary(names), targets)


def file(folder: Path, text: str) -> Path:
    path = folder / "names.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_options_clean_data_comes_back_as_it_was():
    given = data(("cat", "dog"), [1, 0], [0, -1])
    found = tidy(given, ReadOptions())
    assert found.vocabulary == given.vocabulary
    assert found.targets.tolist() == given.targets.tolist()
    assert (found.notes, found.protocol) == ((), {})


def test_names_in_two_unicode_forms_are_one_label_whatever_the_format():
    found = tidy(data(("が", "か\u3099", "a"), [1, 0, 0], [0, 1, 1], [0, -1, 0]), ReadOptions())
    assert found.vocabulary.names == ("が", "a")
    assert found.targets.tolist() == [[1, 0], [1, 1], [-1, 0]]
    assert any("are one when composed" in note for note in found.notes)


def test_merged_columns_are_present_before_unknown_before_absent(tmp_path):
    rows = [[1, 0], [1, -1], [-1, 0], [0, 0], [-1, -1]]
    options = ReadOptions(aliases=file(tmp_path, "pup -> dog\nwolf -> dog\nTV -> television\n"))
    found = tidy(data(("pup", "dog"), *rows), options)
    assert found.vocabulary.names == ("dog",)
    assert found.targets[:, 0].tolist() == [1, 1, -1, 0, -1]
    assert any("'pup' and 'dog' (dog)" in note for note in found.notes)
    assert any("1 of 3 aliases" in note for note in found.notes)
    assert found.protocol == {"aliases": 1}


def test_an_alias_can_rename_a_label_that_has_the_name_of_a_token(tmp_path):
    given = data(("<end>",), [1])
    with pytest.raises(InputError, match="special token"):
        tidy(given, ReadOptions())
    options = ReadOptions(aliases=file(tmp_path, "<end> -> ending\n"))
    assert tidy(given, options).vocabulary.names == ("ending",)


def test_implications_are_closed_after_aliases_and_before_labels_are_left_out(tmp_path):
    (tmp_path / "aliases.txt").write_text("pup -> dog\n")
    options = ReadOptions(
        aliases=tmp_path / "aliases.txt", implications=file(tmp_path, "dog -> animal\n"), deny="dog"
    )
    found = tidy(data(("pup", "cat"), [1, 0], [0, 1]), options)
    assert found.vocabulary.names == ("cat", "animal")
    assert found.targets.tolist() == [[0, 1], [1, 0]]
    assert found.protocol == {"aliases": 1, "implications": "names.txt", "denied": "1 labels"}


def test_rare_labels_go_and_those_that_are_unknown_do_not_count_as_images():
    found = tidy(data(("a", "b", "c"), [1, -1, 1], [1, 1, 0]), ReadOptions(min_images=2))
    assert found.vocabulary.names == ("a",)
    assert any("fewer than 2 images, left out: b, c" in note for note in found.notes)


def test_only_the_labels_that_are_named_stay_and_strangers_are_told(tmp_path):
    options = ReadOptions(keep_only=str(file(tmp_path, "b\nnobody\n")), deny="nothing")
    found = tidy(data(("a", "b"), [1, 0]), options)
    assert found.vocabulary.names == ("b",)
    assert any("--keep-only that the data does not have: nobody" in note for note in found.notes)
    assert any("--deny that the data does not have: nothing" in note for note in found.notes)


def test_images_that_lose_every_label_go_only_where_unlabelled_ones_do():
    given = data(("a", "b"), [1, 0], [0, 1])
    assert len(tidy(given, ReadOptions(deny="a"))) == 2
    found = tidy(given, ReadOptions(deny="a", keep_unlabelled=False))
    assert found.images == ("1.jpg",)
    assert any("1 images whose labels were all left out" in note for note in found.notes)


def test_variants_are_noted_for_every_format_and_once():
    found = tidy(data(("Dog", "dog"), [1, 0]), ReadOptions())
    assert sum("only in case" in note for note in found.notes) == 1
    assert sum("only in case" in note for note in tidy(found, ReadOptions()).notes) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"deny": "a,b"}, ["none is left", "a, b", "--deny"]),
        ({"keep_only": "x"}, ["none is left"]),
        ({"min_images": 9}, ["none is left", "--min-images"]),
        ({"deny": "a", "keep_unlabelled": False}, ["no image has one"]),
        ({"deny": "gone.txt"}, ["gone.txt", "not there"]),
    ],
)
def test_data_with_nothing_left_is_refused(options, words):
    with pytest.raises(InputError) as error:
        tidy(data(("a", "b"), [1, 0]), ReadOptions(**options))
    assert all(word in str(error.value) for word in words), error.value


def test_a_negative_number_of_images_is_refused():
    with pytest.raises(InputError, match="--min-images must be 0 or more, given -1"):
        ReadOptions(min_images=-1)


def test_what_cannot_be_seen_at_the_ends_of_a_name_is_no_part_of_it():
    found = tidy(data(("\ufeffcat", "dog\u200b", "cat"), [1, 0, 0], [0, 1, 1]), ReadOptions())
    assert found.vocabulary.names == ("cat", "dog")
    with pytest.raises(InputError, match="nothing can be seen"):
        tidy(data(("\u200b", "cat"), [1, 0]), ReadOptions())


def test_names_that_differ_in_what_cannot_be_seen_are_noted():
    assert any(
        "cannot be seen" in note for note in tidy(data(("ca\u200bt", "cat"), [1, 0]), ReadOptions()).notes
    )
