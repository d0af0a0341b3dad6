from itertools import product

import numpy as np
import pytest
from enumeration import ReluStep, all_paths, random_rows

from labelbeam.decoding.likelihood import path_log_prob, set_log_prob
from labelbeam.decoding.step import PathLength, TableStep
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.errors import InputError

EVERY_SET = np.array(list(product([0, 1], repeat=5)), dtype=np.int8)


@pytest.mark.parametrize("make", [
    lambda rule: TableStep({}, num_labels=5, allowed=rule, seed=1, scale=2.0),
    lambda rule: ReluStep(5, allowed=rule, seed=1),
])  # fmt: skip
@pytest.mark.parametrize("rule", ["canonical", "no-repeat"])
def test_the_probabilities_of_all_sets_are_those_of_their_paths_and_sum_to_one(make, rule):
    step = make(rule)
    row = random_rows(1, step.start()[1].shape[1], 3)
    log_probs = set_log_prob(PrefixTrie(step), np.repeat(row, 32, axis=0), EVERY_SET)
    assert np.exp(log_probs).sum() == pytest.approx(1.0, abs=1e-5)
    expected = dict.fromkeys(map(tuple, EVERY_SET.tolist()), 0.0)
    for path, log_prob in all_paths(step, row[0]).items():
        expected[tuple(int(j in path) for j in range(5))] += np.exp(log_prob)
    assert np.exp(log_probs) == pytest.approx(list(expected.values()), abs=1e-6)


def test_by_hand_a_set_of_two_under_no_repeat_is_the_sum_of_two_orders():
    table = {
        (): np.log([1, 2, 1]).tolist(),
        (0,): np.log([9, 1, 1]).tolist(),
        (1,): np.log([3, 9, 1]).tolist(),
    }
    trie = PrefixTrie(TableStep(table, num_labels=2, allowed="no-repeat"))
    both = set_log_prob(trie, np.zeros((1, 3), np.float32), np.array([[1, 1]]))
    assert np.exp(both[0]) == pytest.approx(1 / 4 * 1 / 2 + 1 / 2 * 3 / 4)


def test_a_small_trie_changes_no_likelihood():
    step = TableStep({}, num_labels=5, allowed="no-repeat", seed=1)
    small = PrefixTrie(step, byte_limit=12 * PrefixTrie(step).bytes_per_node)
    rows = random_rows(32, 6, 3)
    limited, free = set_log_prob(small, rows, EVERY_SET), set_log_prob(PrefixTrie(step), rows, EVERY_SET)
    assert small.evictions > 0
    np.testing.assert_allclose(limited, free, atol=1e-5)


def test_paths_that_are_not_allowed_have_no_probability():
    trie = PrefixTrie(TableStep({}, num_labels=5), length=PathLength(minimum=1))
    paths = np.array([[3, 1], [2, 2], [-1, -1], [1, 3]])
    log_probs = path_log_prob(trie, np.zeros((4, 6), np.float32), paths)
    assert np.isneginf(log_probs).tolist() == [True, True, True, False]


def sets(rule, num_labels, targets):
    trie = PrefixTrie(TableStep({}, num_labels=num_labels, allowed=rule))
    return set_log_prob(trie, np.zeros((1, num_labels + 1), np.float32), targets)


def paths(ids):
    trie = PrefixTrie(TableStep({}, num_labels=2))
    return path_log_prob(trie, np.zeros((1, 3), np.float32), ids)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: sets("paper", 2, np.array([[1, 0]])), ["infinitely many"]),
        (lambda: sets("canonical", 2, np.array([[1, -1]])), ["0 and 1", "unknown"]),
        (lambda: sets("canonical", 2, np.array([[1]])), ["(1, 2)", "given (1, 1)"]),
        (
            lambda: sets("no-repeat", 9, np.array([[1] * 8 + [0]])),
            ["up to 7 labels", "image 0 has 8"],
        ),
        (lambda: paths(np.array([[2]])), ["0 to 1", "given 2"]),
        (lambda: paths(np.array([[-1, 1]])), ["behind its end"]),
    ],
)  # fmt: skip
def test_sets_without_a_likelihood_are_refused_with_the_reason(make, words):
    with pytest.raises(InputError) as error:
        make()
    assert all(word in str(error.value) for word in words)
