"""The data set noun: three values, by name and by number."""

from pathlib import Path

import numpy as np
import pytest

from labelbeam.data.dataset import Dataset
from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, Vocabulary


def small() -> Dataset:
    targets = np.array([[PRESENT, ABSENT, UNKNOWN], [ABSENT, PRESENT, PRESENT]], dtype=np.int8)
    return Dataset("csv:x", Path("root"), ("a.jpg", "b.jpg"), Vocabulary(("cat", "dog", "猫")), targets)


def test_an_example_names_what_is_present_and_what_is_unknown():
    example = small().example(0)
    assert (example.present, example.unknown, example.path) == (("cat",), ("猫",), Path("root/a.jpg"))


def test_a_subset_keeps_the_order_of_the_indices():
    subset = small().subset([1, 0])
    assert subset.images == ("b.jpg", "a.jpg")
    assert subset.targets.tolist() == [[0, 1, 1], [1, 0, -1]]


def test_a_label_that_the_data_set_does_not_have_is_unknown_under_another_vocabulary():
    other = small().with_vocabulary(("horse", "dog"))
    assert other.targets.tolist() == [[-1, 0], [-1, 1]]


def test_targets_are_read_only_while_the_array_they_came_from_stays_writable():
    targets = np.zeros((1, 1), dtype=np.int8)
    dataset = Dataset("csv:x", Path(), ("a.jpg",), Vocabulary(("cat",)), targets)
    targets[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        dataset.targets[0, 0] = 1


@pytest.mark.parametrize(
    ("images", "targets", "words"),
    [
        ((), np.zeros((0, 1), np.int8), ["csv:x", "no images"]),
        (("a", "a"), np.zeros((2, 1), np.int8), ["more than once", "'a'"]),
        (("a",), np.zeros((1, 2), np.int8), ["int8 (1, 1)", "(1, 2)"]),
        (("a",), np.zeros((1, 1), np.float32), ["int8", "float32"]),
        (("a",), np.full((1, 1), 2, np.int8), ["1 (present), 0 (absent) or -1 (unknown)"]),
        (("a",), np.full((1, 1), -2, np.int8), ["1 (present), 0 (absent) or -1 (unknown)"]),
    ],
)
def test_a_data_set_that_contradicts_itself_is_refused_at_birth(images, targets, words):
    with pytest.raises(InputError) as error:
        Dataset("csv:x", Path(), images, Vocabulary(("cat",)), targets)
    assert all(word in str(error.value) for word in words), error.value
