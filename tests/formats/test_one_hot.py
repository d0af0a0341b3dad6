"""A column per label: what cells say is recognised by all of them, said, and decided otherwise by an option."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats import one_hot
from labelbeam.formats.csv_table import read_csv


def read(folder, text, split="", **options):
    file = folder / "a.csv"
    file.write_text(text, encoding="utf-8")
    return read_csv(file, split, options=ReadOptions(missing="keep", **options))


@pytest.mark.parametrize(
    ("rows", "absent", "targets", "note"),
    [
        ("1,-1\n-1,1\n", None, [[1, 0], [0, 1]], "-1 was read as absent; --absent none"),
        ("1,-1\n-1,1\n", "none", [[1, -1], [-1, 1]], ""),
        ("1,\n,1\n", None, [[1, 0], [0, 1]], "blank was read as absent; --absent none"),
        ("x,\n,x\n", None, [[1, 0], [0, 1]], "blank was read as absent"),
        ("1,\n,1\n", "none", [[1, -1], [-1, 1]], ""),
        ("1,-1\n0,\n", None, [[1, -1], [0, -1]], ""),
        ("1,-1\n0,\n", "blank", [[1, -1], [0, 0]], ""),
        ("1,-1\n0,\n", "-1,blank", [[1, 0], [0, 0]], ""),
        ("1,-1\n,1\n", "-1", [[1, 0], [-1, 1]], ""),
        ("True,False\nFALSE,true\n", None, [[1, 0], [0, 1]], ""),
        ("yes,no\nN,Y\n", None, [[1, 0], [0, 1]], ""),
        ("1.0,0.0\n-1.0,nan\n", None, [[1, 0], [-1, -1]], ""),
        ("1.00,0.00\n-1.000,1,\n", None, [[1, 0], [-1, 1]], ""),
        ("1.000000e+00,0e0\n0.0e+00,+1.\n", None, [[1, 0], [0, 1]], ""),
        ("да,нет\nнет,да\n", None, [[1, 0], [0, 1]], ""),
        ("是,否\n否,是\n", None, [[1, 0], [0, 1]], ""),
        ("はい,いいえ\nいいえ,はい\n", None, [[1, 0], [0, 1]], ""),
        ("Tak,Nie\nnie,tak\n", None, [[1, 0], [0, 1]], ""),
        ("present,absent\nneg,pos\n", None, [[1, 0], [0, 1]], ""),
        ("on,off\noff,on\n", None, [[1, 0], [0, 1]], ""),
        ("1,?\nunknown,1\n", None, [[1, -1], [-1, 1]], ""),
        ("1,?\n,1\n", None, [[1, -1], [0, 1]], "blank was read as absent"),
    ],
)
def test_what_minus_one_and_blank_are_is_decided_by_what_else_is_there(tmp_path, rows, absent, targets, note):
    first, second, _ = rows.split("\n")
    dataset = read(tmp_path, f"image,cat,dog\na.jpg,{first}\nb.jpg,{second}\n", absent=absent)
    assert dataset.targets.tolist() == targets
    assert bool(note) == any("was read as absent" in said for said in dataset.notes)
    assert not note or any(note in said for said in dataset.notes)


def test_minus_one_and_blank_without_any_zero_are_two_readings_and_both_are_named(tmp_path):
    with pytest.raises(InputError, match=r"ambiguous .*--absent -1, --absent blank"):
        read(tmp_path, "image,cat,dog\na.jpg,1,-1\nb.jpg,,1\n")


@pytest.mark.parametrize(
    ("header", "row", "options", "names"),
    [
        ("Unnamed: 0,image,cat,dog", "0,a.jpg,1,0", {}, ("cat", "dog")),
        (",image,cat,dog", "0,a.jpg,1,0", {}, ("cat", "dog")),
        ("image,cat,dog,fold,width,height", "a.jpg,1,0,1,640,480", {}, ("cat", "dog")),
        ("image,cat,fold", "a.jpg,1,1", {"drop_columns": "none"}, ("cat", "fold")),
        ("image,Sex,cat,Age", "a.jpg,Female,1,68", {"drop_columns": "Sex,Age"}, ("cat",)),
        ("image,index,cat", "a.jpg,1,1", {"drop_columns": "cat"}, ("index",)),
    ],
)
def test_bookkeeping_is_left_out_and_an_option_decides_otherwise(tmp_path, header, row, options, names):
    dataset = read(tmp_path, f"{header}\n{row}\n", **options)
    assert dataset.vocabulary.names == names
    assert any("left out" in note and "--drop-columns" in note for note in dataset.notes) == (not options)


def test_columns_of_other_values_are_named_with_the_option_that_leaves_them_out(tmp_path):
    with pytest.raises(
        InputError, match=r"'Sex', 'Age' hold other values, first in line 3.*--drop-columns 'Sex,Age'"
    ):
        read(tmp_path, "Path,Sex,Age,Edema\na.jpg,1,1,1\nb.jpg,Male,87,0\n")


def test_a_column_that_nothing_drops_is_told_the_nearest(tmp_path):
    with pytest.raises(InputError, match=r"--drop-columns: unknown column 'sex'. Did you mean 'Sex'"):
        read(tmp_path, "Path,Sex,Edema\na.jpg,f,1\n", drop_columns="sex")


def test_is_valid_is_a_split_as_fastai_means_it(tmp_path):
    text = "image,cat,dog,is_valid\na.jpg,1,0,False\nb.jpg,0,1,True\n"
    assert read(tmp_path, text, "valid").images == ("b.jpg",)
    assert read(tmp_path, text, "train").vocabulary.names == ("cat", "dog")
    assert read(tmp_path, text, drop_columns="none").vocabulary.names == ("cat", "dog", "is_valid")


CELLS = st.sampled_from(["1", "0", "-1", "", "1.0", "nan", "True", " 1", "no"])


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=9),
    block=st.sampled_from([1, 2, 100]),
    quoted=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
    between=st.sampled_from([0, 1, 3]),
)
def test_blocks_of_bytes_say_what_the_csv_module_says(tmp_path_factory, rows, block, quoted, end, between):
    folder = tmp_path_factory.mktemp("csv")
    header = ["a", "b", "c"]
    header.insert(between, "image")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=end)
    writer.writerow(header)
    for i, row in enumerate(rows):
        fields = list(row)
        fields.insert(between, f"{i}.jpg")
        writer.writerow(fields)
    plain = text.getvalue()
    spelled = plain.replace("0.jpg", '"0.jpg"') if quoted else plain
    usual, one_hot._BLOCK = one_hot._BLOCK, block
    try:
        by_blocks = read(folder, plain, absent="none")
    finally:
        one_hot._BLOCK = usual
    by_module = read(folder, spelled, absent="none", encoding="utf-8")
    assert by_blocks.images == by_module.images
    np.testing.assert_array_equal(by_blocks.targets, by_module.targets)
    said = {"1": 1, "1.0": 1, "True": 1, " 1": 1, "0": 0, "no": 0}
    assert by_blocks.targets.tolist() == [[said.get(cell, -1) for cell in row] for row in rows]


@pytest.mark.parametrize("name", ["confidence", "score", "Probability"])
def test_a_confidence_decides_what_a_row_says_and_is_never_ignored(tmp_path, name):
    text = f"image,label,{name}\na.jpg,cat,1\nb.jpg,dog,0\n"
    dataset = read(tmp_path, text)
    assert dataset.targets.tolist() == [[1, -1], [-1, 0]]
    with pytest.raises(InputError, match=rf"line 4, column '{name}': '0.12'.*--drop-columns '{name}'"):
        read(tmp_path, text + "c.jpg,dog,0.12\n")
    assert read(tmp_path, text, drop_columns=name).targets.tolist() == [[1, 0], [0, 1]]


def test_columns_that_are_not_read_are_said(tmp_path):
    dataset = read(tmp_path, "image,tags,width,cat\na.jpg,x;y,3,1\n")
    assert "columns that were not read: width, cat." in dataset.notes


@pytest.mark.parametrize(
    ("rows", "read_as"), [("1,-1\n0,1\n", "-1"), ("1,\n0,1\n", "blank"), ("1,-1\n0,\n", "-1,blank")]
)
def test_what_is_unknown_beside_zero_is_said_with_the_option(tmp_path, rows, read_as):
    first, second, _ = rows.split("\n")
    notes = read(tmp_path, f"image,cat,dog\na.jpg,{first}\nb.jpg,{second}\n").notes
    assert any(f"--absent {read_as} reads it as absent" in note for note in notes)


def test_a_column_that_says_yes_everywhere_is_said(tmp_path):
    notes = read(tmp_path, "image,striped,cat\na.jpg,1,0\nb.jpg,1,1\n").notes
    assert any("yes in every row" in note and "striped" in note and "cat" not in note for note in notes)


def test_columns_are_known_with_blanks_and_hyphens_in_their_names(tmp_path):
    dataset = read(tmp_path, "Image Index,Finding Labels,Patient ID\na.png,Edema|Mass,7\nb.png,Mass,8\n")
    assert dataset.example(0).present == ("Edema", "Mass")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_tables_in_utf_16_are_read_with_and_without_a_byte_order_mark(tmp_path, encoding):
    (tmp_path / "a.csv").write_text("image,tags\na.jpg,café\n", encoding=encoding)
    assert read_csv(tmp_path / "a.csv", options=ReadOptions(missing="keep")).example(0).present == ("café",)


def test_corners_of_boxes_are_no_labels(tmp_path):
    text = "TRAIN,gs://b/a.jpg,cat,0.1,0.1,,,0.2,0.2,,\nTRAIN,gs://b/a.jpg,dog,.5,.5,.9,.5,.9,.9,.5,.9\n"
    dataset = read(tmp_path, text)
    assert dataset.example(0).present == ("cat", "dog")
    assert any("2 rows are boxes" in note for note in dataset.notes)


@pytest.mark.parametrize("name", ["num_objects", "is_crowd", "Reviewed", "rad_id", "box_count", "depth"])
def test_columns_that_keep_the_books_are_left_out_and_said(tmp_path, name):
    data = read(tmp_path, f"image,cat,{name}\na.jpg,1,1\nb.jpg,0,0\n")
    assert data.vocabulary.names == ("cat",)
    assert any(f"left out: {name}" in note for note in data.notes)


def test_competitions_name_images_by_an_id(tmp_path):
    assert read(tmp_path, "Id,Target\na1,cat;dog\nb2,dog\n").images == ("a1", "b2")
    assert read(tmp_path, "image,id,cat\na.jpg,1,1\nb.jpg,0,0\n").images == ("a.jpg", "b.jpg")


def test_numbers_and_words_in_the_place_of_yes_and_no_are_shown_each_with_its_remedy(tmp_path):
    for cell, remedy in (("0.7", "decide on a threshold"), ("bird", "--layout ragged")):
        with pytest.raises(InputError, match=rf"\({cell!r}\).*{remedy}"):
            read(tmp_path, f"image,one,two\na.jpg,{cell},\nb.jpg,{cell},\n")


@pytest.mark.parametrize(
    ("column", "yes", "no"),
    [
        ("present", 1, 0),
        ("value", "true", "false"),
        ("polarity", "positive", "negative"),
        ("negated", 0, 1),
        ("is_positive", "True", "False"),
        ("label_present", "yes", "no"),
        ("Is Negative", 0, 1),
        ("decision", "accepted", "rejected"),
        ("label_confidence", 1, 0),
    ],
)
def test_a_column_beside_labels_that_says_whether_they_are_there_counts(tmp_path, column, yes, no):
    data = read(tmp_path, f"image,label,{column}\na.jpg,cat,{yes}\na.jpg,dog,{no}\nb.jpg,dog,{yes}\n")
    assert data.example(0).present == ("cat",)
    assert data.example(1).unknown == ("cat",)
    with pytest.raises(InputError, match=rf"--drop-columns '{column}'"):
        read(tmp_path, f"image,label,{column}\na.jpg,cat,0.3\n")


@pytest.mark.parametrize("name", ["target", "label", "class"])
def test_a_column_of_0_and_1_among_others_is_no_column_of_names(tmp_path, name):
    text = f"image,{name},cat\na.jpg,1,0\nb.jpg,0,1\n"
    with pytest.raises(InputError, match=rf"'{name}' holds 0 and 1.*--layout one-hot.*--tags-column"):
        read(tmp_path, text)
    assert read(tmp_path, text, layout="one-hot").targets.tolist() == [[1, 0], [0, 1]]
    assert read(tmp_path, text, tags_column=name).vocabulary.names == ("0", "1")


def test_a_second_column_of_one_name_as_pandas_calls_it_is_asked_about(tmp_path):
    text = "image,cat,dog,cat.1\na.jpg,1,0,0\nb.jpg,0,1,1\n"
    with pytest.raises(InputError, match=r"'cat.1' is what pandas calls a second column 'cat'.*none"):
        read(tmp_path, text)
    assert read(tmp_path, text, drop_columns="none").vocabulary.names == ("cat", "dog", "cat.1")
    assert read(tmp_path, text, drop_columns="cat.1").vocabulary.names == ("cat", "dog")


@pytest.mark.parametrize("value", ["1.00", "1e+00", "1,0"])
def test_a_confidence_of_one_is_one_however_it_is_written(tmp_path, value):
    data = read(tmp_path, f"image;label;confidence\na.jpg;cat;{value}\na.jpg;dog;0.000\n")
    assert data.example(0).present == ("cat",)
