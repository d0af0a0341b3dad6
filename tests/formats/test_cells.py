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
        (["cat;#dog", "dog;#sky"], "delimiter ';#'", ["cat", "dog"]),
        (["#cat;#dog", "#sky"], "delimiter ';'", ["#cat", "#dog"]),
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
        (["cat and dog", "dog and sky", "cat"], ["' and '", "--delimiter ' and '"]),
        (["cat dog", "dog sky", "cat,dog"], ["ambiguous whether blanks", "'cat dog'", "','"]),
        (["rock &amp; roll;cat", "cat"], ["HTML", "&amp;"]),
        (["0,1,1", "1,0,0"], ["row of 3 values of 0 and 1", "column for each label"]),
        (["1.0 0.0 0.0", "0. 1. 1."], ["row of 3 values"]),
        (['"cat;dog"', '"dog"'], ["every cell is in quotation marks"]),
        (["[x]", "[y]"], ["ambiguous whether '[x]' is a list of labels or a name"]),
    ],
)
def test_what_is_ambiguous_is_an_error_that_names_the_option(cells, words):
    with pytest.raises(InputError) as error:
        recognise(cells, "a.csv, column 'tags'")
    assert all(word in str(error.value) for word in ["a.csv, column 'tags'", *words]), error.value


@pytest.mark.parametrize(
    "cell", ["", " ", "NaN", "None", "null", "<NA>", "N/A", "#N/A", "\\N", "-", "—", "[]"]
)
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


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["“cat”, “dog”", "“dog”"], ["left over", "“cat”"]),
        (["[«cat», «dog»]"], ["quotation marks of another kind"]),
        (["[`cat`, `dog`]"], ["quotation marks of another kind"]),
        (["［cat，dog］", "cat"], ["left over", "［cat"]),
        (["b'cat'", "b'dog'"], ["left over", "b'cat'"]),
        (['""cat"", ""dog""'], ["left over"]),
        (["cat\\, big,dog"], ["backslash", "cat"]),
        (["0    cat\n1    dog\nName: tags, dtype: object"], ["pandas or polars print it"]),
        (["shape: (2,)\nSeries: '' [str]\n[\n\t\"cat\"\n]"], ["pandas or polars print it"]),
        (["Index(['cat', 'dog'], dtype='object')"], ["pandas or polars print it"]),
        (["1. cat\n2. dog", "cat"], ["a mark before each item"]),
    ],
)
def test_what_other_programs_print_is_refused_and_shown(cells, words):
    def read():
        style = recognise(cells, "a.csv")
        return [style.labels(cell) for cell in cells]

    with pytest.raises(InputError) as error:
        read()
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    "name", ["cat^dog", "cat__dog", "cat::dog", "cat·dog", "cat🐾dog", "cat\u200bdog", "cat & dog"]
)
def test_a_name_that_is_two_others_with_a_mark_between_is_a_combination(name):
    with pytest.raises(InputError, match="combinations"):
        refuse_combinations([name, "cat", "dog"], "a.csv")


@pytest.mark.parametrize(
    "names", [["#cat#dog", "#cat", "#dog"], ["「cat」「dog」", "「dog」"], ["(cat)(dog)"]]
)
def test_names_that_carry_their_own_mark_are_combinations_too(names):
    with pytest.raises(InputError, match=r"combinations|several names"):
        refuse_combinations(names, "a.csv")


@pytest.mark.parametrize(
    "names", [["wild-cat", "wild", "cat"], ["hot dog", "hot", "dog"], ["a_b", "a", "b"], ["「dog」"]]
)
def test_names_with_ordinary_marks_beside_their_parts_pass(names):
    refuse_combinations(names, "a.csv")


@pytest.mark.parametrize("cell", [r"cat\ndog", r"caf\u00e9", r"cat\tdog", "cat%2Cdog", "#REF!", '="cat"'])
def test_an_escape_that_nobody_took_back_is_shown(cell):
    with pytest.raises(InputError, match="escape is left over"):
        CellStyle(";").labels(cell)


@pytest.mark.parametrize("mark", ["､", "｜"])
def test_marks_of_half_and_full_width_separate(mark):
    assert recognise([f"猫{mark}犬", "犬"], "a.csv").delimiter == mark


def test_line_ends_separate_where_no_mark_does_and_blanks_belong_to_names():
    style = recognise(["traffic light\ndog", "dog", "cat\r\ntraffic light"], "a.csv")
    assert style.labels("cat\r\ntraffic light\n") == ["cat", "traffic light"]
