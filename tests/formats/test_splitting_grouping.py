"""Groups of images by their names."""

import pytest

from labelbeam.errors import InputError
from labelbeam.formats.splitting import folders_of, matches_of, numbered


def test_groups_are_numbered_by_first_appearance():
    assert numbered(folders_of(["b/1.jpg", "a/x/2.jpg", "b/3.jpg", "4.jpg"])).tolist() == [0, 1, 0, 2]


def test_the_first_parentheses_are_the_group_and_without_any_the_whole_match():
    images = ["p07_1.jpg", "p07_2.jpg", "p8_1.jpg"]
    assert matches_of(images, r"(p\d+)_(\d)") == ["p07", "p07", "p8"]
    assert matches_of(images, r"p\d") == ["p0", "p0", "p8"]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(p", ["'(p'", "not a regular expression"]),
        ("q", ["'q' finds nothing in 2 of 2", "p1.jpg", "Widen it"]),
        ("(p2)|.*", ["finds an empty group in 1 of 2", "p1.jpg"]),
    ],
)
def test_an_expression_that_groups_nothing_is_told(pattern, words):
    with pytest.raises(InputError) as error:
        matches_of(["p1.jpg", "p2.jpg"], pattern)
    assert all(word in str(error.value) for word in words), error.value
