"""Lists of the most probable sets, against full enumeration: of independent labels and of small label models."""

from itertools import combinations

import numpy as np
import pytest

from labelbeam.decoding.best_first import likely_sets
from labelbeam.decoding.likelihood import set_log_prob
from labelbeam.decoding.step import TableStep
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.predict.set_lists import independent_sets, listed_until, mass_before

LABELS = 5
EVERY = [one for size in range(LABELS + 1) for one in combinations(range(LABELS), size)]


def test_sets_of_independent_labels_come_in_falling_probability_and_none_is_left_out() -> None:
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.random((20, LABELS)), [[0.5] * LABELS, [0, 1, 0.5, 1e-9, 1]]])
    for row, listed in zip(scores, independent_sets(scores, count=40), strict=True):
        p = np.clip(row, 1e-12, 1 - 1e-12)
        true = sorted(
            (float(np.prod([p[i] if i in one else 1 - p[i] for i in range(LABELS)])) for one in EVERY),
            reverse=True,
        )
        assert len({one for one, _ in listed}) == len(listed)
        assert sum(q for _, q in listed) >= 1 - 1e-9  # all of them, or all that have any probability
        assert [q for _, q in listed] == pytest.approx(true[: len(listed)], rel=1e-6, abs=1e-12)


def test_few_of_many_independent_sets_are_the_first_ones() -> None:
    scores = np.random.default_rng(1).random((5, LABELS))
    whole, few = independent_sets(scores, count=32), independent_sets(scores, count=4)
    assert [one[:4] for one in whole] == few


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_sets_of_a_label_model_come_in_falling_probability_and_none_is_left_out(backend) -> None:
    for seed in range(6):
        step = TableStep({}, num_labels=LABELS, seed=seed, scale=2.0)
        trie = PrefixTrie(step)
        rows = np.random.default_rng(seed).standard_normal((4, LABELS + 1)).astype(np.float32)
        listed = likely_sets(trie, rows, count=12, backend=backend)
        targets = np.array([[i in one for i in range(LABELS)] for one in EVERY], dtype=np.int8)
        for image, sets in enumerate(listed):
            log_probs = set_log_prob(trie, np.repeat(rows[image : image + 1], len(EVERY), axis=0), targets)
            best = np.sort(np.exp(log_probs))[::-1][:12]
            assert len(sets) == 12
            assert [p for _, p in sets] == pytest.approx(best.tolist(), rel=1e-4)
            assert all(EVERY[int(np.argmin(abs(np.exp(log_probs) - p)))] == one for one, p in sets)


def test_a_list_ends_where_enough_probability_or_the_budget_is_spent() -> None:
    trie = PrefixTrie(TableStep({}, num_labels=LABELS, seed=3, scale=2.0))
    rows = np.zeros((1, LABELS + 1), np.float32)
    whole = likely_sets(trie, rows, count=32)[0]
    half = likely_sets(trie, rows, count=32, mass=0.5)[0]
    held = sum(p for _, p in half)
    assert half == whole[: len(half)]
    assert held >= 0.5 > held - half[-1][1] - 1e-9 or len(half) > 1
    little = likely_sets(trie, rows, count=32, budget=3)[0]
    assert little == whole[: len(little)]
    assert len(little) < 32


def test_the_mass_before_the_true_set_is_that_of_the_sets_above_it() -> None:
    listed = [[((0,), 0.5), ((0, 1), 0.3), ((), 0.1)]]
    assert mass_before(listed, np.array([[1, 1, 0]], np.int8)).tolist() == [0.5]
    assert mass_before(listed, np.array([[0, 0, 1]], np.int8)).tolist() == [np.inf]
    assert mass_before(listed, np.array([[1, -1, 0]], np.int8)).tolist() == [0.0]  # the first that agrees


def test_a_list_goes_on_while_little_stands_before() -> None:
    sets = [((0,), 0.5), ((0, 1), 0.3), ((), 0.1)]
    assert [len(listed_until(sets, most)) for most in (0.0, 0.49, 0.5, 0.8, np.inf)] == [1, 1, 2, 3, 3]
