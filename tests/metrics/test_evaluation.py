"""A comparison's scores: the protocols by name, what is null and why, what the protocol block says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from labelbeam.errors import InputError
from labelbeam.metrics.comparison import Protocol, compare, require_fit
from labelbeam.metrics.evaluation import evaluate

TRUTH = np.array([[1, 0, 1, -1], [0, 1, 0, 0], [0, 0, 0, 0]], np.int8)
SCORES = np.array([[0.9, 0.8, 0.7, 1.0], [0.1, 0.6, 0.2, 0.6], [0.4, 0.3, 0.2, 0.1]])
NAMES = ["a", "b", "c", "d"]


def test_exact_2_of_a_case_worked_out_by_hand():
    # image 0 decides a, b (d is unknown and leaves the ranking); image 1 b, d; image 2 a, b
    result = evaluate(compare(TRUTH, NAMES, protocol=Protocol("exact-k", k=2), scores=SCORES))
    assert result["OP"] == pytest.approx(2 / 6)
    assert result["OR"] == pytest.approx(2 / 3)
    assert result["OF1"] == pytest.approx(4 / 9)
    assert result["CP"] == pytest.approx((1 / 2 + 1 / 3 + 0) / 3)
    assert result["CR"] == pytest.approx(2 / 3)
    assert result["CF1"] == pytest.approx(2 * (5 / 18) * (2 / 3) / (5 / 18 + 2 / 3))
    assert result["CF1_mean_of_classes"] == pytest.approx((2 / 3 + 2 / 4 + 0) / 3)
    assert result["MAP@10"] == pytest.approx(
        ((1 + 2 / 3) / 2 + 1) / 2
    )  # image 2 has no label and is left out
    assert result["mAP_area"] == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert result["subset_accuracy"] == 0.0
    assert result["mean_labels_true"] == 1.0
    assert result["mean_labels_predicted"] == 2.0
    assert result.per_class["d"].support == 0
    assert result.per_class["d"].recall is None
    assert result.per_class["d"].ap_area is None
    assert result.protocol["images_without_labels"] == 1
    assert result.protocol["labels_with_a_positive"] == 3


def test_the_threshold_itself_is_decided_and_unknown_labels_are_not_counted():
    result = evaluate(compare(TRUTH, NAMES, protocol=Protocol("threshold", threshold=0.6), scores=SCORES))
    assert result["mean_labels_predicted"] == pytest.approx((3 + 2 + 0) / 3)
    assert result["OP"] == pytest.approx(3 / 5)
    assert result["subset_accuracy"] == pytest.approx(
        1 / 3
    )  # the image without labels is decided empty: right


def test_only_labels_that_are_unknown_wherever_they_are_not_present_were_never_absent():
    truth = np.array([[1, 1, -1, 0], [1, -1, -1, -1]], np.int8)
    names = ["always", "or unknown", "unknown", "once absent"]
    comparison = compare(truth, names, protocol=Protocol("none"), scores=np.zeros(truth.shape))
    assert comparison.never_absent.tolist() == [False, True, True, False]
    areas = [row["ap_area"] for row in evaluate(comparison).to_json()["per_class"].values()]
    assert areas == [1.0, None, None, None]


def test_ml_gcns_top_3_is_not_called_exact_3_and_passes_its_ceiling_where_exact_3_cannot():
    truth = np.zeros((4, 5), np.int8)
    truth[np.arange(4), [0, 1, 2, 3]] = 1  # one label an image: exact-3 precision cannot pass 1/3
    scores = np.where(truth == 1, 0.9, 0.1)
    exact = evaluate(compare(truth, list("abcde"), protocol=Protocol("exact-k", k=3), scores=scores))
    both = Protocol("top-k-and-threshold", k=3, threshold=0.5)
    gcn = evaluate(compare(truth, list("abcde"), protocol=both, scores=scores))
    assert exact["OP"] == pytest.approx(1 / 3)
    assert exact.protocol["exact_k_ceiling"] == {"OP": 1 / 3, "OR": 1.0, "OF1": 0.5}
    assert gcn["OP"] == 1.0 > exact.protocol["exact_k_ceiling"]["OP"]
    assert gcn.protocol["name"] == "top-k-and-threshold"
    assert "not exact-3" in gcn.protocol["decides"]


def test_sets_alone_leave_every_ranking_measure_null_with_the_reason():
    result = evaluate(compare(TRUTH, NAMES, protocol=Protocol("sets"), decisions=TRUTH == 1))
    assert result["OF1"] == 1.0
    for name in ("mAP_area", "mAP_voc10", "mAP_voc11", "MAP@10"):
        assert result[name] is None
        assert result.reasons[name]
    assert "no scores" in result.reasons["mAP_area"]


def test_scores_without_a_protocol_leave_decisions_null_and_give_the_rest():
    result = evaluate(compare(TRUTH, NAMES, protocol=Protocol("none"), scores=SCORES))
    assert result["mAP_area"] is not None
    assert result["mean_labels_true"] == 1.0
    nulls = {name for name, value in result.values.items() if value is None}
    decided = {"OP", "OR", "OF1", "CP", "CR", "CF1", "CF1_mean_of_classes"}
    assert nulls == decided | {"subset_accuracy", "mean_labels_predicted"}
    assert result.per_class["a"].precision is None


def test_without_any_true_label_recall_and_ranking_are_null_because_nothing_can_be_found():
    none = np.zeros((2, 2), np.int8)
    result = evaluate(compare(none, ["a", "b"], protocol=Protocol("exact-k", k=1), scores=np.eye(2)))
    assert result["OP"] == 0.0
    assert result["OR"] is None
    assert result["mAP_area"] is None
    assert "no image has a label" in result.reasons["OR"]


def test_a_log_likelihood_is_carried_as_its_mean():
    given = np.array([-1.0, -2.0, -6.0])
    comparison = compare(TRUTH, NAMES, protocol=Protocol("none"), scores=SCORES, log_likelihood=given)
    assert evaluate(comparison)["log_likelihood"] == -3.0


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_nothing_depends_on_the_order_of_images_or_labels(seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(-1, 2, (8, 4)).astype(np.int8)
    scores = rng.integers(0, 4, (8, 4)) / 4
    rows, columns = rng.permutation(8), rng.permutation(4)
    exact = Protocol("exact-k", k=2)
    one = evaluate(compare(truth, NAMES, protocol=exact, scores=scores))
    shuffled = [NAMES[c] for c in columns]
    other = compare(truth[rows][:, columns], shuffled, protocol=exact, scores=scores[rows][:, columns])
    assert evaluate(other).values == pytest.approx(one.values, nan_ok=True)


def test_map_equals_scikit_learns_macro_average_on_a_seeded_problem():
    rng = np.random.default_rng(0)
    truth = (rng.random((200, 6)) < 0.3).astype(np.int8)
    scores = np.round(rng.normal(size=(200, 6)) + truth, 1)
    result = evaluate(compare(truth, list("abcdef"), protocol=Protocol("none"), scores=scores))
    expected = average_precision_score(truth, scores, average="macro")
    assert result["mAP_area"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Protocol("exact"), ["unknown decision protocol 'exact'", "'exact-k'"]),
        (lambda: Protocol("exact-k"), ["needs k"]),
        (lambda: Protocol("exact-k", k=0), ["at least 1", "given 0"]),
        (lambda: Protocol("threshold", k=3, threshold=0.5), ["has no k", "3"]),
        (lambda: Protocol("threshold", threshold=float("nan")), ["NaN"]),
        (lambda: compare(TRUTH, NAMES, protocol=Protocol("exact-k", k=1)), ["needs a ranking"]),
        (lambda: compare(TRUTH, NAMES, protocol=Protocol("threshold", threshold=0.1)), ["needs scores"]),
        (lambda: compare(TRUTH, NAMES, protocol=Protocol("sets"), scores=SCORES), ["needs decided sets"]),
        (lambda: compare(TRUTH, ["a"], protocol=Protocol("none"), scores=SCORES), ["4 label columns", "1"]),
        (
            lambda: compare(
                TRUTH, NAMES, protocol=Protocol("none"), scores=np.where(SCORES == 0.7, np.nan, SCORES)
            ),
            ["'c'", "image 0", "NaN", "-inf"],
        ),
        (lambda: compare(TRUTH * np.int8(2), NAMES, protocol=Protocol("none"), scores=SCORES), ["-2 to 2"]),
        (lambda: require_fit(TRUTH, NAMES, scores=SCORES[:2]), ["(2, 4)", "(3, 4)", "one row per image"]),
        (lambda: require_fit(TRUTH[:0], NAMES), ["at least one", "(0, 4)"]),
    ],
)
def test_what_does_not_fit_is_refused_in_words_that_repair_it(make, words):
    with pytest.raises(InputError) as caught:
        make()
    for word in words:
        assert word in str(caught.value)
