"""Aliases: chains are followed, what contradicts or circles is told with its line."""

import pytest

from labelbeam.errors import InputError
from labelbeam.labels.names import NamePair, read_aliases, resolve


def test_a_file_of_aliases_gives_the_names_at_the_end_of_each_chain(tmp_path):
    file = tmp_path / "aliases.txt"
    file.write_text("pup -> puppy\npuppy -> dog\nTV -> television\n", encoding="utf-8")
    assert dict(read_aliases(file)) == {"pup": "dog", "puppy": "dog", "TV": "television"}


def test_a_line_given_twice_is_one():
    pair = NamePair("a", "b", "line 1")
    assert dict(resolve([pair, pair])) == {"a": "b"}


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([("a", "b"), ("a", "c")], ["line 2", "line 1", "'a' -> 'b'", "one new name"]),
        ([("a", "b"), ("b", "c"), ("c", "a")], ["'a' -> 'b' -> 'c' -> 'a'", "circle"]),
        ([("a", "a")], ["'a' -> 'a'", "circle", "line 1"]),
    ],
)
def test_aliases_that_contradict_or_circle_are_reported(pairs, words):
    with pytest.raises(InputError) as error:
        resolve([NamePair(old, new, f"line {n}") for n, (old, new) in enumerate(pairs, 1)])
    assert all(word in str(error.value) for word in words), error.value
