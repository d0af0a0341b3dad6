"""Cells of labels: recognised when clear, refused when not, the same names however they are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelbeam.errors import InputError
from labelbeam.formats.cells import DELIMITERS, CellStyle, recognise, refuse_combinations
from labelbeam.labels.names import clean


@pytest.mark.parametrize(
    ("cells", "style", "labels"),
    [
        (["cat;dog", "traffic light", ""], "delimiter ';'", ["cat", "dog"]),
        (["cat|dog", "dog"], "delimiter '|'", ["cat", "dog"]),
        (["cat, dog", "dog"], "delimiter ','", ["cat", "dog"]),
        (["空、海", "海"], "delimiter '、'", ["空", "海"]),
        (["haze primary", "clear primary", "haze clear"], "delimiter ' '", ["haze", "primary"]),
        (["空　海", "海　山", "山　空"], "delimiter ' '", ["空", "海"]),
        (["cat", "dog"], "one label a cell", ["cat"]),
        (["['cat', 'dog']", "[]"], "cells that are lists", ["cat", "dog"]),
        (['["cat", "dog"]', "nan"], "cells that are lists", ["cat", "dog"]),
    ],
)
def test_a_delimiter_is_recognised_and_named(cells, style, labels):
    found = recognise(cells, "a.csv")
    assert str(found) == style
    assert found.labels(cells[0]) == labels


@given(
    st.lists(st.text("abcdef", min_size=1, max_size=3), min_size=2, max_size=5, unique=True),
    st.sampled_from(DELIMITERS),
)
def test_labels_joined_by_a_recognised_delimiter_come_back(labels, delimiter):
    cell = f" {delimiter} ".join(labels)
    assert recognise([cell], "a.csv") == CellStyle(delimiter)
    expected = [] if cell == "nan" else labels
    assert CellStyle(delimiter).labels(cell) == expected


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["cat;dog", "cat,dog"], ["ambiguous", "';'", "','", "--delimiter ';' or --delimiter ','"]),
        (
            ["traffic light", "stop sign", "dog"],
            ["ambiguous whether blanks", "--delimiter ' '", "--delimiter ';'"],
        ),
        (["red car", "blue car", "dog"], ["ambiguous whether blanks", "'blue car'"]),
        (["cat / dog", "cat / sky", "dog"], ["ambiguous whether blanks or '/'", "--delimiter '/'"]),
        (["['cat', 'dog']", "dog,sky"], ["is a list", "'dog,sky' is none"]),
        (["[x]", "[y]"], ["ambiguous whether '[x]' is a list of labels or a name"]),
    ],
)
def test_what_is_ambiguous_is_an_error_that_names_the_option(cells, words):
    with pytest.raises(InputError) as error:
        recognise(cells, "a.csv, column 'tags'")
    assert all(word in str(error.value) for word in ["a.csv, column 'tags'", *words]), error.value


@pytest.mark.parametrize("cell", ["", " ", "NaN", "None", "null", "<NA>", "N/A", "[]"])
def test_cells_that_say_nothing_have_no_label(cell):
    assert CellStyle(";").labels(cell) == []
    assert CellStyle(is_list=True).labels(cell) == []


@pytest.mark.parametrize("cell", ["[[cat]]", "[1, 2]", "[__import__('os')]", "['a'", "{'a': 2}"])
def test_a_cell_that_is_no_list_of_texts_is_refused_and_never_run(cell):
    with pytest.raises(InputError, match="not a list of texts"):
        CellStyle(is_list=True).labels(cell)


def test_names_are_composed_trimmed_and_once_in_a_cell():
    decomposed = "か\u3099"  # が, as macOS writes it
    assert clean(f"\u3000{decomposed} ") == "が"
    assert CellStyle(";").labels(f"が; {decomposed};;") == ["が"]


@pytest.mark.parametrize("mark", ["|", ",", "/", "+", "&"])
def test_labels_that_recombine_look_like_combinations(mark):
    labels = [f"cat{mark}dog", f"dog{mark}bird", f"bird{mark}cat", "dog"]
    with pytest.raises(InputError) as error:
        refuse_combinations(labels, "a.csv")
    words = ["combinations", f"--delimiter {mark!r}", "--combinations keep", f"'cat{mark}dog'"]
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    "labels", [["animal/dog", "animal/cat", "plant/oak"], ["black & white", "dog"], ["a/b"]]
)
def test_labels_that_merely_hold_such_a_character_pass(labels):
    refuse_combinations(labels, "a.csv")
