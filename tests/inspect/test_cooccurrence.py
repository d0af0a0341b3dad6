"""Pairs of labels: counts against a loop, p against SciPy, corrections and intervals against values by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import hypergeom

from labelbeam.inspect import cooccurrence as module
from labelbeam.inspect.cooccurrence import (
    examined_pairs,
    holm,
    implications,
    pair_counts,
    significant,
    strongest,
    two_sided_log_p,
    wilson_low,
)

MATRICES = st.tuples(st.integers(1, 12), st.integers(2, 5)).flatmap(
    lambda shape: arrays(np.int8, shape, elements=st.sampled_from([-1, 0, 1]))
)


def repeated(*rows: tuple[tuple[int, ...], int]) -> np.ndarray:
    return np.array([row for row, times in rows for _ in range(times)], dtype=np.int8)


@given(MATRICES)
def test_pairs_are_counted_over_the_images_where_both_labels_are_known(targets):
    counts = pair_counts(targets)
    for i in range(targets.shape[1]):
        for j in range(targets.shape[1]):
            known = [(a, b) for a, b in targets[:, [i, j]].tolist() if a != -1 and b != -1]
            assert counts.known[i, j] == len(known)
            assert counts.first[i, j] == sum(a == 1 for a, _ in known)
            assert counts.both[i, j] == sum(a == b == 1 for a, b in known)


def test_pairs_of_few_labels_among_many_are_those_of_the_product():
    rng = np.random.default_rng(1)
    targets = (rng.random((300, 120)) < 0.01).astype(np.int8)
    targets[0] = 0
    targets[7, :9] = 1
    assert np.array_equal(pair_counts(targets).both, targets.T.astype(int) @ targets)
    targets[5, 3] = -1
    present = (targets == 1).astype(int)
    assert np.array_equal(pair_counts(targets).both, present.T @ present)


def test_counting_in_pieces_changes_nothing(monkeypatch):
    targets = np.random.default_rng(0).integers(-1, 2, (100, 6), dtype=np.int8)
    targets[:40] = abs(targets[:40])  # a piece without unknowns takes the short way
    whole = pair_counts(targets)
    monkeypatch.setattr(module, "ROWS", 13)
    pieces = pair_counts(targets)
    for name in ("both", "first", "known"):
        assert np.array_equal(getattr(whole, name), getattr(pieces, name))


@settings(deadline=None)
@given(st.integers(1, 400), st.data())
def test_p_is_twice_the_tail_that_scipy_gives(known, data):
    first, second = data.draw(st.integers(0, known)), data.draw(st.integers(0, known))
    both = data.draw(st.integers(max(0, first + second - known), min(first, second)))
    table = hypergeom(known, first, second)
    upper = both * known >= first * second
    tail = table.sf(both - 1) if upper else table.cdf(both)
    columns = (np.array([value]) for value in (both, first, second, known))
    assert math.exp(two_sided_log_p(*columns)[0]) == pytest.approx(min(1.0, 2 * tail), rel=1e-7, abs=1e-300)


def test_a_p_too_small_for_a_float_keeps_its_size():
    log_p = two_sided_log_p(*(np.array([value]) for value in (5000, 5000, 5000, 100_000)))[0]
    # The one table in C(100000, 5000) that is all overlap.
    ways = math.lgamma(100_001) - math.lgamma(5001) - math.lgamma(95_001)
    assert log_p == pytest.approx(math.log(2) - ways, rel=1e-9)
    assert log_p < -700


def test_holm_multiplies_the_smallest_p_by_the_number_of_tests_and_never_falls():
    adjusted = np.exp(holm(np.log([0.02, 0.001, 0.5, 0.011])))
    assert adjusted == pytest.approx([0.04, 0.004, 0.5, 0.033])


def test_chance_and_its_interval_by_hand():
    targets = repeated(((1, 1), 30), ((1, 0), 10), ((0, 1), 20), ((0, 0), 40))
    pairs = examined_pairs(pair_counts(targets))
    assert pairs.expected[0] == pytest.approx(40 * 50 / 100)
    assert pairs.lift[0] == pytest.approx(30 / 20)
    middle = math.log(30.5 * 40.5 / (10.5 * 20.5))
    half = 1.959964 * math.sqrt(1 / 30.5 + 1 / 10.5 + 1 / 20.5 + 1 / 40.5)
    assert pairs.log_odds[0] == pytest.approx(middle)
    assert (pairs.low[0], pairs.high[0]) == pytest.approx((middle - half, middle + half), rel=1e-6)


def test_labels_that_say_nothing_about_pairs_are_not_tested():
    targets = np.array([[1, 1, 0, 1], [1, 0, 0, 0], [1, 1, 0, -1]], dtype=np.int8)
    pairs = examined_pairs(pair_counts(targets))  # everywhere, some, nowhere, some
    assert list(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)) == [(1, 3)]


def test_independent_labels_are_seldom_called_a_finding():
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(40):
        targets = (rng.random((300, 15)) < 0.2).astype(np.int8)
        pairs = examined_pairs(pair_counts(targets))
        alarms += bool(significant(pairs, together=True).any() or significant(pairs, together=False).any())
    assert alarms <= 5  # at most 5 % of 40 are expected; 6 or more would come up less than once in 50 seeds


def test_both_directions_are_found_and_sorted_by_the_sure_end_of_the_interval():
    rng = np.random.default_rng(0)
    base = rng.random(2000) < 0.3
    columns = [
        base,
        base & (rng.random(2000) < 0.9),
        ~base & (rng.random(2000) < 0.5),
        rng.random(2000) < 0.3,
    ]
    pairs = examined_pairs(pair_counts(np.stack(columns, axis=1).astype(np.int8)))
    names = list(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True))
    assert [names[i] for i in strongest(pairs, together=True, count=9)] == [(0, 1)]
    apart = strongest(pairs, together=False, count=9)
    assert {names[i] for i in apart} == {(0, 2), (1, 2)}
    assert pairs.high[apart].tolist() == sorted(pairs.high[apart].tolist())
    assert len(strongest(pairs, together=False, count=1)) == 1


def test_a_dog_implies_an_animal_and_not_the_other_way_round():
    targets = repeated(((1, 1, 0), 30), ((0, 1, 1), 30), ((0, 0, 0), 60))
    found = implications(examined_pairs(pair_counts(targets)))
    assert [(one.narrow, one.wide, one.both, one.count, one.mutual) for one in found] == [
        (0, 1, 30, 30, False),
        (2, 1, 30, 30, False),
    ]
    assert 0.88 < found[0].at_least < 0.89


def test_two_names_for_one_thing_imply_each_other_and_say_so():
    found = implications(examined_pairs(pair_counts(repeated(((1, 1), 30), ((0, 0), 60)))))
    assert [(one.narrow, one.wide, one.mutual) for one in found] == [(0, 1, True), (1, 0, True)]


def test_a_label_that_nearly_every_image_has_is_implied_by_none():
    targets = repeated(((1, 1), 30), ((0, 1), 268), ((0, 0), 2))
    assert implications(examined_pairs(pair_counts(targets))) == []


def test_a_rare_chance_meeting_is_no_implication():
    rng = np.random.default_rng(0)
    targets = (rng.random((500, 20)) < 0.3).astype(np.int8)
    targets[:, 0] = 0
    targets[0, 0] = 1  # on one image, so every label of that image is on 100 % of its images
    assert implications(examined_pairs(pair_counts(targets))) == []


def test_wilson_s_lower_end_is_that_of_the_textbook():
    assert wilson_low(15, 20) == pytest.approx(0.5313, abs=1e-4)
    assert wilson_low(0, 5) == 0.0
