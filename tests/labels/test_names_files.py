"""Lists of names and pairs of names: what a line may be, and the words for lines that are neither."""

from pathlib import Path

import pytest

from labelbeam.errors import InputError
from labelbeam.labels.names import read_names, read_pairs


def written(folder: Path, text: str | bytes) -> Path:
    file = folder / "names.txt"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_pairs_are_cleaned_and_comments_blank_lines_and_line_ends_left_out(tmp_path):
    file = written(tmp_path, "\ufeff# ours\r\n\r\n  cafe\u0301 ->  café bar \r\n#sunset -> sunset\n#\n")
    assert [(pair.left, pair.right) for pair in read_pairs(file)] == [
        ("café", "café bar"),
        ("#sunset", "sunset"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dog -> animal\ncat, animal\n", ["line 2", "'cat, animal'", "puppy -> dog"]),
        ("a -> b -> c\n", ["line 1", "one arrow"]),
        ("-> b\n", ["line 1", "two labels"]),
        ("a ->\n", ["line 1", "two labels"]),
        ("# nothing\n", ["no pair"]),
        ("犬 -> 動物".encode("cp932"), ["not UTF-8"]),
    ],
)
def test_lines_that_are_no_pair_are_reported_with_their_number(tmp_path, text, words):
    file = written(tmp_path, text)
    with pytest.raises(InputError) as error:
        read_pairs(file)
    assert all(word in str(error.value) for word in [str(file), *words]), error.value


def test_a_file_of_pairs_that_is_not_there_is_reported(tmp_path):
    with pytest.raises(InputError, match=r"no\.txt cannot be read"):
        read_pairs(tmp_path / "no.txt")


def test_names_come_from_commas_or_from_a_file_where_names_may_hold_commas(tmp_path):
    assert read_names(" cat ,dog,,cat") == ("cat", "dog")
    assert read_names(str(written(tmp_path, "salt, pepper\n# no\n#sunset\n"))) == ("salt, pepper", "#sunset")
    assert len(read_names(",".join(f"label{i}" for i in range(2000)))) == 2000  # no file name is so long


@pytest.mark.parametrize(("given", "words"), [("deny.txt", ["deny.txt", "not there"]), (" , ", ["no label"])])
def test_a_list_of_nothing_and_a_file_that_is_not_there_are_refused(given, words):
    with pytest.raises(InputError) as error:
        read_names(given)
    assert all(word in str(error.value) for word in words), error.value
