"""Likelihoods of sets in any order with unknown labels: against the trie, against every set, and by hand."""

import itertools

import numpy as np
import pytest

from labelbeam.decoding.likelihood import set_log_prob
from labelbeam.decoding.step import TableStep
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.errors import InputError
from labelbeam.predict.label_model import known_orders_log_prob

LABELS = 4
SETS = np.array(list(itertools.product([0, 1], repeat=LABELS)), dtype=np.int8)


def step_and_rows(count: int) -> tuple[TableStep, np.ndarray]:
    rows = np.random.default_rng(0).normal(size=(count, LABELS + 1)).astype(np.float32)
    return TableStep({}, num_labels=LABELS, allowed="no-repeat", seed=1), rows


def test_where_every_label_is_known_it_is_the_sum_that_the_trie_makes() -> None:
    step, rows = step_and_rows(len(SETS))
    expected = set_log_prob(PrefixTrie(step), rows, SETS)
    np.testing.assert_allclose(known_orders_log_prob(step, rows, SETS), expected, rtol=1e-5)


def test_the_sets_of_the_known_labels_have_probability_one_together() -> None:
    step, rows = step_and_rows(1)
    some = SETS[SETS[:, 2] == 0].copy()
    some[:, 2] = -1
    total = np.exp(known_orders_log_prob(step, rows.repeat(len(some), axis=0), some)).sum()
    assert total == pytest.approx(1.0)


def test_an_unknown_label_is_never_decided_and_takes_no_probability() -> None:
    step = TableStep({}, num_labels=3, allowed="no-repeat")  # every outcome is as likely as every other
    targets = np.array([[1, -1, 0], [1, 1, -1], [-1, -1, -1]], dtype=np.int8)
    found = np.exp(known_orders_log_prob(step, np.zeros((3, 4), np.float32), targets))
    np.testing.assert_allclose(found, [1 / 3 / 2, 2 * (1 / 3 / 2), 1.0])


def test_a_set_with_too_many_orders_is_refused_in_words() -> None:
    step = TableStep({}, num_labels=8, allowed="no-repeat")
    with pytest.raises(InputError, match="a set of 8 labels has too many orders to sum over; at most 7"):
        known_orders_log_prob(step, np.zeros((1, 9), np.float32), np.ones((1, 8), dtype=np.int8))
