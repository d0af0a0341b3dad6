"""Average precision by three rules: against scikit-learn, and against slow readings of the definitions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from labelbeam.metrics.ranking import average_precision, sort_label


def plain(truth, scores):
    once = np.ones((1, len(truth)), dtype=np.int64)
    return {rule: float(ap[0]) for rule, ap in average_precision(sort_label(truth, scores), once).items()}


def slow(truth, scores):
    """Every threshold, exact fractions, the definitions word by word."""
    known = [(s, t) for s, t in zip(scores.tolist(), truth.tolist(), strict=True) if t != -1]
    positives = sum(t for _, t in known)
    points = []
    for threshold in sorted({s for s, _ in known}, reverse=True):
        decided = [t for s, t in known if s >= threshold]
        points.append((Fraction(sum(decided), positives), Fraction(sum(decided), len(decided))))
    area = interpolated = last = Fraction(0)
    for recall, precision in points:
        area += (recall - last) * precision
        interpolated += (recall - last) * max(p for r, p in points if r >= recall)
        last = recall
    eleven = sum(max(p for r, p in points if r >= Fraction(t, 10)) for t in range(11)) / Fraction(11)
    return {"area": float(area), "voc10": float(interpolated), "voc11": float(eleven)}


@st.composite
def labels(draw):
    n = draw(st.integers(1, 25))
    truth = draw(st.lists(st.sampled_from([-1, 0, 0, 1]), min_size=n, max_size=n).filter(lambda t: 1 in t))
    scores = draw(st.lists(st.sampled_from([-np.inf, 0.0, 0.25, 0.5, 0.75, 1.0]), min_size=n, max_size=n))
    return np.array(truth, np.int8), np.array(scores)


@given(labels())
@settings(max_examples=200, deadline=None)
def test_all_three_rules_equal_slow_readings_with_ties_and_unknowns(label):
    fast = plain(*label)
    for rule, value in slow(*label).items():
        assert fast[rule] == pytest.approx(value, abs=1e-12), rule


@given(labels(), st.data())
@settings(max_examples=80, deadline=None)
def test_a_weight_is_the_image_repeated_that_often(label, data):
    truth, scores = label
    weights = np.array([data.draw(st.lists(st.integers(0, 3), min_size=len(truth), max_size=len(truth)))])
    rows = np.repeat(np.arange(len(truth)), weights[0])
    fast = average_precision(sort_label(truth, scores), weights)
    if not (truth[rows] == 1).any():
        assert all(np.isnan(value[0]) for value in fast.values())
        return
    for rule, value in slow(truth[rows], scores[rows]).items():
        assert fast[rule][0] == pytest.approx(value, abs=1e-12), rule


@pytest.mark.parametrize("digits", [0, 1, 6])
def test_area_equals_scikit_learns_average_precision_however_many_scores_tie(digits):
    rng = np.random.default_rng(digits)
    truth = (rng.random(300) < 0.2).astype(np.int8)
    scores = np.round(rng.normal(size=300) + truth, digits)
    assert plain(truth, scores)["area"] == pytest.approx(average_precision_score(truth, scores), abs=1e-12)


def test_the_three_rules_differ_on_a_case_worked_out_by_hand():
    truth = np.array([0, 1, 0, 1], np.int8)  # precision at the positives: 1/2 and 2/4
    by_rule = plain(truth, np.array([4.0, 3.0, 2.0, 1.0]))
    assert by_rule == {"area": 0.5, "voc10": 0.5, "voc11": pytest.approx(0.5)}
    truth = np.array([1, 0, 0, 1, 1], np.int8)  # 1/1, 2/4, 3/5; the envelope lifts 2/4 to 3/5
    by_rule = plain(truth, np.array([5.0, 4.0, 3.0, 2.0, 1.0]))
    assert by_rule["area"] == pytest.approx((1 + 0.5 + 0.6) / 3)
    assert by_rule["voc10"] == pytest.approx((1 + 0.6 + 0.6) / 3)
    assert by_rule["voc11"] == pytest.approx((4 * 1 + 7 * 0.6) / 11)  # recall 0, .1, .2, .3 <= 1/3


def test_equal_scores_are_one_threshold_so_their_order_cannot_help():
    assert plain(np.array([1, 0], np.int8), np.array([0.5, 0.5]))["area"] == 0.5
    assert plain(np.array([0, 1], np.int8), np.array([0.5, 0.5]))["area"] == 0.5


def test_an_eleven_point_recall_that_is_reached_exactly_counts():
    truth = np.array([1] * 3 + [0] * 4 + [1] * 7, np.int8)  # recall 3/10 exactly, at precision 1
    assert plain(truth, -np.arange(14.0))["voc11"] == pytest.approx((4 * 1 + 7 * 10 / 14) / 11)


def test_a_label_without_positives_has_no_average_precision():
    assert all(np.isnan(value) for value in plain(np.array([0, -1], np.int8), np.array([0.5, 0.6])).values())
