"""Rankings, exact-k sets, MAP@N and the exact-k ceilings."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelbeam.metrics.ranking import (
    NOTHING,
    OUTSIDE,
    average_precision_at,
    decide_top_k,
    exact_k_ceiling,
    rank_labels,
)

NAMES = ["b", "a", "ねこ", "Z", "é"]


@st.composite
def scored(draw):
    images, labels = draw(st.integers(1, 5)), len(NAMES)
    cells = images * labels
    truth = draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=cells, max_size=cells))
    scores = draw(st.lists(st.sampled_from([-np.inf, 0.1, 0.5, 0.9]), min_size=cells, max_size=cells))
    return np.array(truth, np.int8).reshape(images, labels), np.array(scores).reshape(images, labels)


@given(scored(), st.integers(1, 8))
@settings(max_examples=100, deadline=None)
def test_a_ranking_equals_sorting_by_score_and_then_by_name(case, depth):
    truth, scores = case
    ranking = rank_labels(scores, NAMES, observed=truth != -1, depth=depth)
    for i in range(len(truth)):
        observed = [c for c in range(len(NAMES)) if truth[i, c] != -1]
        slow = sorted(observed, key=lambda c: (-scores[i, c], NAMES[c]))[:depth]
        assert ranking[i].tolist() == slow + [NOTHING] * (depth - len(slow))


@given(scored(), st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_average_precision_at_n_equals_a_loop_over_the_list(case, n):
    truth, scores = case
    ranking = rank_labels(scores, NAMES, observed=truth != -1, depth=6)
    with np.errstate(all="raise"):  # an image without labels is left out, not divided by nothing
        fast = average_precision_at(truth, ranking, n=n)
    for i in range(len(truth)):
        positives, hits, total = int((truth[i] == 1).sum()), 0, 0.0
        for j, c in enumerate(ranking[i, :n], start=1):
            if c >= 0 and truth[i, c] == 1:
                hits += 1
                total += hits / j
        expected = total / min(n, positives) if positives else np.nan
        np.testing.assert_allclose(fast[i], expected)


def test_ties_go_by_code_point_so_capitals_come_before_small_letters_and_accents_last():
    ranking = rank_labels(np.zeros((1, 5)), NAMES, observed=np.ones((1, 5), dtype=np.bool_), depth=5)
    assert [NAMES[c] for c in ranking[0]] == ["Z", "a", "b", "é", "ねこ"]


def test_a_label_outside_the_truth_takes_its_place_and_pushes_a_right_one_out():
    ranking = np.array([[OUTSIDE, 0, 1]])
    truth = np.array([[1, 0]], np.int8)
    decisions, outside = decide_top_k(ranking, 2, k=1)
    assert not decisions.any()
    assert outside.tolist() == [1]
    assert average_precision_at(truth, ranking, n=10).tolist() == [0.5]  # found at rank 2


def test_more_labels_than_n_are_normalised_by_n():
    truth = np.ones((1, 12), np.int8)
    ranking = np.arange(12)[None]
    assert average_precision_at(truth, ranking, n=10).tolist() == [1.0]


@given(scored(), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_the_ceiling_is_what_scores_that_are_the_truth_reach(case, k):
    truth, _ = case
    perfect = rank_labels(truth.astype(np.float64), NAMES, observed=truth != -1, depth=k)
    decisions, _ = decide_top_k(perfect, len(NAMES), k=k)
    right, true = int((decisions & (truth == 1)).sum()), int((truth == 1).sum())
    ceiling = exact_k_ceiling(truth, k=k)
    if true == 0:
        assert ceiling == {"OP": None, "OR": None, "OF1": None}
    else:
        assert ceiling["OP"] == pytest.approx(right / decisions.sum())
        assert ceiling["OR"] == pytest.approx(right / true)


def percent(ceiling):
    return [round(100 * ceiling[name], 1) for name in ("OP", "OR", "OF1")]


def test_coco_ceilings_are_those_of_our_notes_with_and_without_unlabelled_images(labelbeam_data):
    arrays = np.load(labelbeam_data / "labels" / "coco80_labels.npz")
    labelled = arrays["labels"][arrays["is_val2014"] == 1].astype(np.int8)
    assert len(labelled) == 40_137
    assert percent(exact_k_ceiling(labelled, k=3)) == [75.8, 78.3, 77.0]
    everything = np.concatenate([labelled, np.zeros((40_504 - 40_137, 80), np.int8)])
    assert percent(exact_k_ceiling(everything, k=3)) == [75.1, 78.3, 76.7]


def test_nuswide_ceilings_are_those_of_our_notes(labelbeam_data):
    arrays = np.load(labelbeam_data / "labels" / "nuswide81_labels.npz")
    test = arrays["labels"][arrays["is_test"]].astype(np.int8)
    labelled = test[test.any(axis=1)]
    assert (len(test), len(labelled)) == (107_859, 83_898)
    assert percent(exact_k_ceiling(labelled, k=3)) == [66.5, 82.7, 73.7]


def test_many_equal_scores_keep_the_order_of_names():
    names = [f"{i:03d}" for i in np.random.default_rng(0).permutation(200)]
    scores = np.random.default_rng(1).integers(0, 2, (3, 200)).astype(np.float64)
    ranking = rank_labels(scores, names, observed=np.ones((3, 200), dtype=np.bool_), depth=200)
    for i in range(3):
        assert ranking[i].tolist() == sorted(range(200), key=lambda c: (-scores[i, c], names[c]))


def test_an_image_without_labels_has_no_average_precision_and_no_division_by_zero_is_reported():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = average_precision_at(np.int8([[0, 0], [1, 0]]), np.array([[0, 1], [1, 0]]), n=2)
    assert np.isnan(found[0])
    assert found[1] == 0.5
