"""Cells that are lists: whatever writes a list of names, the names come back, or the cell is refused."""

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from labelbeam.errors import InputError
from labelbeam.formats.cells import DELIMITERS, NO_LABEL, looks_cut, recognise
from labelbeam.formats.list_cells import list_cell
from labelbeam.labels.names import clean

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")


@pytest.mark.parametrize(
    ("cell", "names", "notation"),
    [
        ("['cat' 'dog']", ["cat", "dog"], "NumPy arrays"),
        ("['traffic light'\n 'dog']", ["traffic light", "dog"], "NumPy arrays"),
        ("array(['cat', 'dog'], dtype='<U3')", ["cat", "dog"], "NumPy arrays"),
        ("[np.str_('cat'), np.str_('dog')]", ["cat", "dog"], "lists"),
        (r"[b'caf\xc3\xa9' b'dog']", ["café", "dog"], "NumPy arrays"),
        ("{'cat', 'dog'}", ["cat", "dog"], "sets"),
        ("frozenset({'cat'})", ["cat"], "sets"),
        ("set()", [], "sets"),
        ("('cat',)", ["cat"], "tuples"),
        (
            '{cat,"traffic light",NULL,"say \\"hi\\""}',
            ["cat", "traffic light", 'say "hi"'],
            "Postgres arrays",
        ),
        ("[cat, traffic light]", ["cat", "traffic light"], "lists"),
        ("[hatsune miku (vocaloid), cat]", ["hatsune miku (vocaloid)", "cat"], "lists"),
        (
            r'["\ud83d\ude00 smile", "indoor\/kitchen", "caf\u00e9"]',
            ["😀 smile", "indoor/kitchen", "café"],
            "lists",
        ),
        ("""["dog's", 'say "hi"', 'it\\'s']""", ["dog's", 'say "hi"', "it's"], "lists"),
        ("[nan]", [], "lists"),
        ('c("cat", "traffic light")', ["cat", "traffic light"], "vectors of R"),
        ('list("dog")', ["dog"], "vectors of R"),
        ("character(0)", [], "vectors of R"),
        ("[]", [], "lists"),
    ],
)
def test_what_programs_print_of_a_list_is_read(cell, names, notation):
    found = list_cell(cell)
    assert (list(found.names), found.notation) == (names, notation)


@pytest.mark.parametrize(
    ("cell", "present", "absent"),
    [
        ('{"cat": 1, "dog": 0}', ["cat"], ["dog"]),
        ("{'cat': True, 'traffic light': False}", ["cat"], ["traffic light"]),
        ('{"a:b": true, "c,d": 1.0, "e": false}', ["a:b", "c,d"], ["e"]),
        ("{cat: 1, dog: 0}", ["cat"], ["dog"]),
        ("{'cat': 1.00, 'dog': 0.00}", ["cat"], ["dog"]),
    ],
)
def test_objects_of_yes_and_no_are_read(cell, present, absent):
    found = list_cell(cell)
    assert (list(found.names), list(found.absent)) == (present, absent)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (['{"cat": 1, "dog": 0}', '{"dog": 1}'], ["ambiguous", "'cat'", "absent, or unknown"]),
        (['{"cat": 1}', "dog"], ["is an object", "'dog'"]),
        (['{"cat": 1}', '["dog"]'], ["is an object", "is none"]),
    ],
)
def test_objects_that_could_be_read_in_two_ways_are_refused(cells, words):
    with pytest.raises(InputError) as error:
        recognise(cells, "a.csv")
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    ("cell", "word"),
    [
        ('{"cat": 0.9, "dog": 0}', "threshold"),
        ('{"cat": null}', "null"),
        ('{"cat": 1, "dog"}', "pairs"),
        ('[{"label": "cat"}]', "another list"),
        ("[0, 3]", "number"),
        ("[1. 0. 1.]", "blanks|number|comma"),
        ("['cat' 'dog', 'sky']", "some blanks"),
        ("['cat' ... 'dog']", "cut short"),
        ("['cat', 'dog'", "never ends"),
        ("['cat'] and more", "follows its end"),
        ("['cat';'dog']", "comma"),
        (r"['\d']", "no escape"),
        (r'["\ud83d"]', "half a character"),
        (r"[b'\xff']", "no UTF-8"),
    ],
)
def test_what_is_no_list_of_names_is_refused_with_the_reason(cell, word):
    if cell == "[1. 0. 1.]":
        with pytest.raises(InputError):
            recognise([cell], "a.csv")
        return
    with pytest.raises(InputError, match=word):
        list_cell(cell)


def postgres(names):
    quoted = (f'"{name}"' for name in (n.replace("\\", "\\\\").replace('"', '\\"') for n in names))
    plain = all(name.isalnum() and name.casefold() != "null" for name in names)
    return "{" + ",".join(names if plain else quoted) + "}"


def csv_row(names):
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(names)
    return text.getvalue()


def pandas_cell(names):
    text = pandas.DataFrame({"tags": [names]}).to_csv(index=False)
    return next(csv.reader(io.StringIO(text.partition("\n")[2])))[0]


def pandas_frame_of_arrays(names):
    text = pandas.DataFrame({"tags": [np.array(names, dtype=object)]}).to_csv(index=False)
    return next(csv.reader(io.StringIO(text.partition("\n")[2])))[0]


def polars_json(names):
    """As `write_csv` needs it, which refuses columns of lists."""
    cells = polars.DataFrame({"tags": [names]}).with_columns(
        polars.col("tags").map_elements(lambda tags: json.dumps(tags.to_list()), return_dtype=polars.String)
    )
    return next(csv.reader(io.StringIO(cells.write_csv().partition("\n")[2])))[0]


def polars_joined(names):
    cells = polars.DataFrame({"tags": [names]}).with_columns(polars.col("tags").list.join(";"))
    return next(csv.reader(io.StringIO(cells.write_csv().partition("\n")[2])))[0]


WRITERS = {
    "Python's list": str,
    "Python's tuple": lambda names: str(tuple(names)),
    "Python's set": lambda names: str(set(names)),
    "JSON": json.dumps,
    "JSON with letters as they are": lambda names: json.dumps(names, ensure_ascii=False),
    "JSON of PHP": lambda names: json.dumps(names).replace("/", "\\/"),
    "NumPy's str": lambda names: str(np.array(names)),
    "NumPy's repr": lambda names: repr(np.array(names)),
    "a list of NumPy's texts": lambda names: str(list(np.array(names))),
    "an array of objects": lambda names: str(np.array(names, dtype=object)),
    "Postgres": postgres,
    "csv": csv_row,
    "semicolons": ";".join,
    "pandas": pandas_cell,
    "pandas of arrays": pandas_frame_of_arrays,
    "an Index of pandas": lambda names: str(pandas.Index(names)),
    "polars' list as JSON": polars_json,
    "polars' join": polars_joined,
    "a Series of polars": lambda names: str(polars.Series(names)),
    "a Series of pandas": lambda names: str(pandas.Series(names)),
    "a list of a polars Series": lambda names: str(polars.Series(names).to_list()),
}

REFUSED = ("a Series of polars", "a Series of pandas", "an Index of pandas")
"""What is printed for people: shortened, with numbers and kinds between."""
PLAIN = ("csv", "semicolons", "polars' join")

words = st.sampled_from(
    ["cat", "dog", "sky", "traffic light", "dog's", "a,b", "x;y", '"q"', "[x]", "a'b'c", "1", "nan"]
)
any_text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
names_of_cells = st.lists(
    st.lists((words | any_text).map(clean).filter(bool), min_size=1, max_size=4, unique=True),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("writer", WRITERS)
@settings(deadline=None)
@given(cells=names_of_cells)
def test_a_column_of_written_lists_comes_back_or_is_refused(writer, cells):
    if writer in ("semicolons", "polars' join"):
        assume(not any(name[0] in "\"'" for names in cells for name in names))
    if writer in PLAIN:  # a text that says nothing of its delimiter must not hold another one
        others = set(DELIMITERS) - {"," if writer == "csv" else ""}
        assume(not any(mark in name for names in cells for name in names for mark in others))
        assume(not any(looks_cut(name) or name.casefold() in NO_LABEL for names in cells for name in names))
    written = [WRITERS[writer](names) for names in cells]
    try:
        style = recognise(written, "a.csv")
        read = [style.labels(cell) for cell in written]
    except InputError:
        return
    for names, found in zip(cells, read, strict=True):
        assert set(found) == set(names), (written, found)


@pytest.mark.parametrize("writer", [writer for writer in WRITERS if writer not in (*PLAIN, *REFUSED)])
@settings(deadline=None)
@given(cells=names_of_cells)
def test_what_writes_lists_with_brackets_is_not_refused(writer, cells):
    if writer == "Postgres":
        assume(
            not any(
                name.isdecimal() or name.casefold() in ("true", "false") for names in cells for name in names
            )
        )
        assume(any(len(names) > 1 or not names[0].isalnum() for names in cells))
    written = [WRITERS[writer](names) for names in cells]
    style = recognise(written, "a.csv")
    assert [set(style.labels(cell)) for cell in written] == [set(names) for names in cells]
