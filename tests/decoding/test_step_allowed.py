import numpy as np
import pytest

from labelbeam.decoding.step import PAPER_MAX_LABELS, PathLength, allowed_outcomes
from labelbeam.errors import InputError


def outcomes(rule, prefix, length=PathLength(), num_labels=4):  # noqa: B008
    prefixes = np.array([prefix], dtype=np.int64).reshape(1, len(prefix))
    allowed = allowed_outcomes(prefixes, rule=rule, num_labels=num_labels, length=length)
    return np.flatnonzero(allowed[0]).tolist()


@pytest.mark.parametrize(
    ("rule", "prefix", "expected"),
    [
        ("canonical", [], [0, 1, 2, 3, 4]),
        ("canonical", [1], [2, 3, 4]),
        ("canonical", [0, 3], [4]),
        ("no-repeat", [2, 0], [1, 3, 4]),
        ("no-repeat", [0, 1, 2, 3], [4]),
        ("paper", [2, 2], [0, 1, 2, 3, 4]),
    ],
)
def test_each_rule_allows_the_outcomes_it_says(rule, prefix, expected):
    assert outcomes(rule, prefix) == expected


def test_exactly_k_forbids_end_before_k_and_everything_else_at_k():
    two = PathLength.exactly(2)
    assert outcomes("no-repeat", [3], two) == [0, 1, 2]
    assert outcomes("no-repeat", [3, 1], two) == [4]


def test_canonical_never_takes_a_label_from_which_the_minimum_is_out_of_reach():
    assert outcomes("canonical", [], PathLength(minimum=3)) == [0, 1]


def test_paper_paths_end_at_a_stated_length():
    assert outcomes("paper", [0] * PAPER_MAX_LABELS) == [4]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PathLength(-1), ["0 <= minimum", "minimum=-1"]),
        (lambda: PathLength(3, 2), ["minimum=3", "maximum=2", "Leave maximum out"]),
        (lambda: PathLength(5).longest("canonical", 4), ["5 labels", "there are 4", "at most 4"]),
    ],
)
def test_impossible_lengths_say_what_is_possible(make, words):
    with pytest.raises(InputError) as error:
        make()
    assert all(word in str(error.value) for word in words)
