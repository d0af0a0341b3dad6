"""Lists of images with labels behind them: columns, class numbers, words."""

from pathlib import Path

import pytest

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.lists import read_list

KEEP = ReadOptions(missing="keep")


def written(folder: Path, text: str, name: str = "list.txt", **beside: str) -> Path:
    for file, content in beside.items():
        (folder / f"{file}.txt").write_text(content)
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def test_columns_without_names_are_one_hot_where_a_value_repeats(tmp_path):
    file = written(tmp_path, "my cat.jpg 1 0 0\nb.jpg 0 1 1\n")
    dataset = read_list(file, "", options=KEEP)
    assert dataset.images == ("my cat.jpg", "b.jpg")
    assert dataset.vocabulary.names == ("0", "1", "2")
    assert dataset.targets.tolist() == [[1, 0, 0], [0, 1, 1]]
    assert "called by their numbers" in dataset.notes[0]
    named = read_list(written(tmp_path, file.read_text(), labels="0 sea\n1 sky\n2 boat\n"), "", options=KEEP)
    assert named.vocabulary.names == ("sea", "sky", "boat")


def test_class_numbers_are_recognised_by_their_count_or_size(tmp_path):
    dataset = read_list(written(tmp_path, "a.jpg 2 0\nb.jpg 0\n"), "", options=KEEP)
    assert dataset.targets.tolist() == [[1, 0, 1], [1, 0, 0]]
    folders = read_list(written(tmp_path, "x/a.png 0\nx/b.png 1\n", classes="cat\ndog\n"), "", options=KEEP)
    assert folders.example(1).present == ("dog",)


def test_images_without_a_suffix_are_found(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/000005.png").touch()
    dataset = read_list(written(tmp_path, "000005  1\n", labels="cat\n"), "")
    assert dataset.paths == [tmp_path / "images/000005.png"]


def test_two_readings_are_refused_and_decided_by_the_option(tmp_path):
    file = written(tmp_path, "a.jpg 1 0\nb.jpg 0 1\n")
    with pytest.raises(InputError, match=r"two readings are possible.*--layout one-hot or --layout numbers"):
        read_list(file, "", options=KEEP)
    one_hot = read_list(file, "", options=ReadOptions(missing="keep", layout="one-hot"))
    assert one_hot.targets.tolist() == [[1, 0], [0, 1]]
    numbers = read_list(file, "", options=ReadOptions(missing="keep", layout="numbers"))
    assert numbers.targets.tolist() == [[1, 1], [1, 1]]


CELEBA = "3\nEyeglasses Smiling\n000001.jpg -1  1\n000002.jpg  1 -1\n000003.jpg -1 -1\n"


def test_celeba_has_a_count_names_and_minus_one_for_absent_and_a_list_of_splits(tmp_path):
    written(tmp_path, CELEBA, "Anno/list_attr_celeba.txt")
    written(tmp_path, "000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n", "Eval/list_eval_partition.txt")
    (tmp_path / "Img/img_align_celeba").mkdir(parents=True)
    for number in (1, 2, 3):
        (tmp_path / f"Img/img_align_celeba/{number:06d}.jpg").touch()
    dataset = read_list(tmp_path, "")
    assert dataset.vocabulary.names == ("Eyeglasses", "Smiling")
    assert dataset.targets.tolist() == [[0, 1], [1, 0], [0, 0]]
    assert "-1 is absent, as there is no 0" in dataset.notes[0]
    assert read_list(tmp_path, "train").images == ("Img/img_align_celeba/000001.jpg",)
    assert read_list(tmp_path, "valid").images == ("Img/img_align_celeba/000002.jpg",)


def test_minus_one_beside_zero_is_unknown(tmp_path):
    dataset = read_list(written(tmp_path, "image cat dog\na.jpg 1 -1\nb.jpg 0 1\n"), "", options=KEEP)
    assert dataset.vocabulary.names == ("cat", "dog")
    assert dataset.targets.tolist() == [[1, -1], [0, 1]]


def test_words_are_labels(tmp_path):
    dataset = read_list(written(tmp_path, "a.jpg cat dog\nb.jpg\nc d.jpg\tred car\tsky\n"), "", options=KEEP)
    assert dataset.images == ("a.jpg", "b.jpg", "c d.jpg")
    assert dataset.example(0).present == ("cat", "dog")
    assert dataset.example(2).present == ("red car", "sky")
    commas = read_list(written(tmp_path, "a.jpg cat,red car\nb.jpg red car\n"), "", options=KEEP)
    assert commas.example(0).present == ("cat", "red car")


def test_numbers_may_have_commas_between(tmp_path):
    dataset = read_list(written(tmp_path, "a.jpg 0,1,1\nb.jpg 1,0,0\n"), "", options=KEEP)
    assert dataset.targets.tolist() == [[0, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["has no line"]),
        ("a.jpg\nb.jpg\n", ["no label stands behind 'a.jpg'"]),
        ("3\nA B C D\na.jpg 1 0\nb.jpg 1 1\n", ["line 2", "4 names for 2 values"]),
        ("a.jpg 1 0 0\nb.jpg 1 -1\n", ["line 2", "2 values, the first line has 3"]),
        ("x y\na.jpg 1 5\nb.jpg 0 1\n", ["line 2", "'5' among the values"]),
        ("a.jpg 7 300000\n", ["line 1", "'300000' is no class number"]),
        ("a.jpg 1 1 0\na.jpg 1 1 0\n", ["a.jpg", "more than once"]),
        ("5\t1\tdog.jpg\n7\t0\tcat.jpg\n", ["line 1", "the image comes last"]),
        ("a.jpg 1,2,30,40,0 5,6,7,8,1\nb.jpg 1,2,3,4,0\n", ["'1,2,30,40,0' is a box"]),
        ("cat cat\na.jpg 1 0\nb.jpg 0 1\n", ["must differ"]),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, text, words):
    with pytest.raises(InputError) as error:
        read_list(written(tmp_path, text), "", options=KEEP)
    assert all(word in str(error.value) for word in words), error.value


def test_columns_with_decimals_are_columns_and_scores_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("a.jpg 1.0 -0.0\nb.jpg 0.0 1.0\n")
    dataset = read_list(tmp_path / "a.txt", "", options=ReadOptions(missing="keep", layout="one-hot"))
    assert dataset.targets.tolist() == [[1, 0], [0, 1]]
    (tmp_path / "a.txt").write_text("a.jpg 0.9 0.1\nb.jpg 0.2 1.0\n")
    with pytest.raises(InputError, match="threshold"):
        read_list(tmp_path / "a.txt", "", options=ReadOptions(missing="keep"))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a.jpg 101\nb.jpg 010\n", "without blanks, or the number"),
        ("a.jpg 1 0\nb.jpg 0 1 1\n", "too many or too few"),
    ],
)
def test_values_that_are_neither_columns_nor_numbers_are_refused(tmp_path, text, word):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(InputError, match=word):
        read_list(tmp_path / "a.txt", "", options=ReadOptions(missing="keep"))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_lists_with_a_byte_order_mark_are_read(tmp_path, encoding):
    (tmp_path / "list.txt").write_bytes("a.jpg 1 0 0\r\nb.jpg 0 1 1\r\n".encode(encoding))
    assert read_list(tmp_path / "list.txt", "", options=KEEP).images == ("a.jpg", "b.jpg")


@pytest.mark.parametrize(
    ("text", "absent", "values"),
    [
        ("a.jpg 1 -1\nb.jpg -1 1\n", None, [[1, 0], [0, 1]]),
        ("a.jpg 1 -1\nb.jpg -1 1\n", "none", [[1, -1], [-1, 1]]),
        ("a.jpg 1 -1\nb.jpg 0 1\n", None, [[1, -1], [0, 1]]),
        ("a.jpg 1 -1\nb.jpg 0 1\n", "-1", [[1, 0], [0, 1]]),
    ],
)
def test_what_minus_one_says_is_an_option(tmp_path, text, absent, values):
    options = ReadOptions(missing="keep", absent=absent, keep_unlabelled=True)
    assert read_list(written(tmp_path, text), "", options=options).targets.tolist() == values


def test_comments_and_colons_behind_images_are_no_part_of_the_list(tmp_path):
    commented = "# image labels\na.jpg 1 0 1\n# a remark\nb.jpg 0 1 1\n"
    data = read_list(written(tmp_path, commented), "", options=ReadOptions(missing="keep"))
    assert data.images == ("a.jpg", "b.jpg")
    assert data.vocabulary.names == ("0", "1", "2")
    named = "# image cat dog sky\na.jpg 1 0 1\nb.jpg 0 1 1\n"
    data = read_list(written(tmp_path, named), "", options=ReadOptions(missing="keep"))
    assert data.vocabulary.names == ("cat", "dog", "sky")
    colons = "a.jpg: cat, dog\nb.jpg: dog\n"
    data = read_list(written(tmp_path, colons), "", options=ReadOptions(missing="keep"))
    assert (data.images, data.example(0).present) == (("a.jpg", "b.jpg"), ("cat", "dog"))


def test_columns_with_their_values_are_refused(tmp_path):
    with pytest.raises(InputError, match="'1:1' is the number of a column and its value"):
        read_list(written(tmp_path, "a.jpg 1:1 3:1\nb.jpg 2:1\n"), "", options=ReadOptions(missing="keep"))


@pytest.mark.parametrize("first", ["# ", "#  \t", "# a remark of several words"])
def test_a_comment_may_be_empty_and_an_image_may_be_called_like_one(tmp_path, first):
    text = f"{first}\n# a.jpg\t1 0 1\nb.jpg\t0 1 1\n"
    data = read_list(written(tmp_path, text), "", options=ReadOptions(missing="keep"))
    assert data.images == ("# a.jpg", "b.jpg")


def test_true_and_false_and_numbers_between_semicolons_are_no_words(tmp_path):
    flags = read_list(
        written(tmp_path, "a.jpg True True\nb.jpg False True\n", classes="cat\ndog\n"), "", options=KEEP
    )
    assert (flags.vocabulary.names, flags.targets.tolist()) == (("cat", "dog"), [[1, 1], [0, 1]])
    numbers = read_list(
        written(tmp_path, "a.jpg 0;2\nb.jpg 1\n", classes="cat\ndog\nemu\n"), "", options=KEEP
    )
    assert numbers.example(0).present == ("cat", "emu")


def test_a_bracket_left_over_in_a_word_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"left over in the label '1"):
        read_list(written(tmp_path, "a.jpg [1 1]\nb.jpg [0 1]\n"), "", options=KEEP)
