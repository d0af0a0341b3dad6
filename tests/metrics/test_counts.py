"""Counts and the ratios made of them: by hand, against double loops, against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from labelbeam.metrics import counts as ratios
from labelbeam.metrics.counts import Counts, count

sizes = st.tuples(st.integers(1, 7), st.integers(1, 5))


@st.composite
def cases(draw, values=(-1, 0, 1)):
    images, labels = draw(sizes)
    cells = images * labels
    truth = draw(st.lists(st.sampled_from(values), min_size=cells, max_size=cells))
    decided = draw(st.lists(st.booleans(), min_size=cells, max_size=cells))
    outside = draw(st.lists(st.integers(0, 2), min_size=images, max_size=images))
    shape = (images, labels)
    return np.array(truth, np.int8).reshape(shape), np.array(decided).reshape(shape), np.array(outside)


def slow_scores(truth, decisions, outside):
    """The contract, read aloud: loops over images and labels, sets and plain division."""
    images, labels = truth.shape
    tp, n, g = [0] * labels, [0] * labels, [0] * labels
    exact = 0
    for i in range(images):
        for c in range(labels):
            if truth[i][c] == -1:
                continue
            g[c] += truth[i][c] == 1
            n[c] += bool(decisions[i][c])
            tp[c] += truth[i][c] == 1 and bool(decisions[i][c])
        said = {c for c in range(labels) if decisions[i][c] and truth[i][c] != -1}
        exact += said == {c for c in range(labels) if truth[i][c] == 1} and outside[i] == 0
    decided = sum(n) + sum(outside)
    positive = [c for c in range(labels) if g[c] > 0]
    precision = [tp[c] / n[c] if n[c] else 0.0 for c in range(labels)]
    nan = float("nan")
    f1 = [2 * tp[c] / (n[c] + g[c]) for c in positive]
    return {
        "OP": sum(tp) / decided if decided else 0.0,
        "OR": sum(tp) / sum(g) if sum(g) else nan,
        "CP": sum(precision[c] for c in positive) / len(positive) if positive else nan,
        "CR": sum(tp[c] / g[c] for c in positive) / len(positive) if positive else nan,
        "mean F1": sum(f1) / len(positive) if positive else nan,
        "subset": exact / images,
        "true": sum(g) / images,
        "predicted": decided / images,
    }


def fast_scores(counts: Counts) -> dict[str, np.ndarray]:
    return {
        "OP": ratios.overall_precision(counts),
        "OR": ratios.overall_recall(counts),
        "CP": ratios.mean_class_precision(counts),
        "CR": ratios.mean_class_recall(counts),
        "mean F1": ratios.mean_class_f1(counts),
        "subset": ratios.subset_accuracy(counts),
        "true": ratios.mean_labels_true(counts),
        "predicted": ratios.mean_labels_predicted(counts),
    }


@given(cases())
@settings(max_examples=150, deadline=None)
def test_counts_and_ratios_equal_a_slow_double_loop(case):
    truth, decisions, outside = case
    fast = fast_scores(count(truth, decisions, outside=outside))
    for name, value in slow_scores(truth, decisions, outside).items():
        np.testing.assert_allclose(float(fast[name]), value, rtol=1e-12, err_msg=name)


@given(cases(), st.data())
@settings(max_examples=60, deadline=None)
def test_a_weight_is_the_image_repeated_that_often(case, data):
    truth, decisions, outside = case
    draws = st.lists(st.integers(0, 3), min_size=len(truth), max_size=len(truth)).filter(any)
    weights = np.array([data.draw(draws), data.draw(draws)])
    fast = fast_scores(count(truth, decisions, outside=outside, weights=weights))
    for r, weight in enumerate(weights):
        rows = np.repeat(np.arange(len(truth)), weight)
        slow = slow_scores(truth[rows], decisions[rows], outside[rows])
        for name, value in slow.items():
            np.testing.assert_allclose(fast[name][r], value, rtol=1e-12, err_msg=name)


@given(cases(), cases())
@settings(max_examples=40, deadline=None)
def test_counts_of_two_batches_add_up_to_the_counts_of_both(first, second):
    labels = min(first[0].shape[1], second[0].shape[1])
    parts = [(truth[:, :labels], decided[:, :labels], outside) for truth, decided, outside in (first, second)]
    added = count(*parts[0][:2], outside=parts[0][2]) + count(*parts[1][:2], outside=parts[1][2])
    truth, decided, outside = (np.concatenate(both) for both in zip(*parts, strict=True))
    together = count(truth, decided, outside=outside)
    for name in Counts.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(added, name), getattr(together, name))


def test_micro_and_macro_scores_equal_scikit_learns_where_every_label_has_a_positive():
    rng = np.random.default_rng(3)
    truth = (rng.random((60, 7)) < 0.3).astype(np.int8)
    truth[0] = 1
    decisions = rng.random((60, 7)) < 0.4
    counts = count(truth, decisions)
    micro = precision_recall_fscore_support(truth, decisions, average="micro", zero_division=0)
    macro = precision_recall_fscore_support(truth, decisions, average="macro", zero_division=0)
    precision, recall = ratios.overall_precision(counts), ratios.overall_recall(counts)
    np.testing.assert_allclose([precision, recall, ratios.harmonic_mean(precision, recall)], micro[:3])
    ours = [
        ratios.mean_class_precision(counts),
        ratios.mean_class_recall(counts),
        ratios.mean_class_f1(counts),
    ]
    np.testing.assert_allclose(ours, macro[:3])
    assert abs(ratios.harmonic_mean(ours[0], ours[1]) - macro[2]) > 1e-3, "C-F1 is not macro F1"


def test_a_label_never_predicted_has_precision_0_and_a_label_without_positives_leaves_the_average():
    truth = np.array([[1, 1, 0], [1, 0, 0]], np.int8)
    decisions = np.array([[True, False, True], [True, False, False]])  # b never decided, c never true
    counts = count(truth, decisions)
    assert float(ratios.mean_class_precision(counts)) == 0.5  # (1 + 0) / 2
    assert float(ratios.mean_class_recall(counts)) == 0.5
    assert np.isnan(ratios.class_recall(counts)[2])
    assert float(ratios.overall_precision(counts)) == pytest.approx(2 / 3)  # c's decision counts here


def test_labels_outside_the_truth_lower_overall_precision_only_and_spoil_the_exact_set():
    truth, decisions = np.array([[1, 0]], np.int8), np.array([[True, False]])
    counts = count(truth, decisions, outside=np.array([3]))
    assert float(ratios.overall_precision(counts)) == 0.25
    assert float(ratios.mean_class_precision(counts)) == 1.0
    assert float(ratios.subset_accuracy(counts)) == 0.0
    assert float(ratios.mean_labels_predicted(counts)) == 4.0


def test_a_decided_unknown_label_is_neither_right_nor_wrong():
    counts = count(np.array([[1, -1]], np.int8), np.array([[True, True]]))
    assert float(ratios.overall_precision(counts)) == 1.0
    assert float(ratios.subset_accuracy(counts)) == 1.0


def test_nothing_decided_has_precision_0_and_no_truth_has_no_recall():
    nothing = count(np.array([[1]], np.int8), np.array([[False]]))
    assert float(ratios.overall_precision(nothing)) == 0.0
    assert (
        float(ratios.harmonic_mean(ratios.overall_precision(nothing), ratios.overall_recall(nothing))) == 0.0
    )
    untrue = count(np.array([[0]], np.int8), np.array([[True]]))
    assert np.isnan(ratios.overall_recall(untrue))
    assert np.isnan(ratios.mean_class_precision(untrue))
