"""Reliability and expected calibration error: by hand, and what they must be for scores known to be right."""

import json

import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.metrics.calibration import calibration_report, reliability


def test_bins_of_equal_mass_hold_equally_many_scores() -> None:
    scores = np.random.default_rng(0).random(1000) ** 5
    found = reliability(scores, scores > 0.5, bins=10)
    assert found.count.tolist() == [100] * 10
    assert (np.diff(found.score) > 0).all()


def test_equal_scores_stay_in_one_bin() -> None:
    scores = np.array([0.0] * 50 + [0.5] * 30 + [0.9] * 20)
    found = reliability(scores, np.arange(100) % 2 == 0, bins=15)
    assert found.count.tolist() == [50, 30, 20]
    assert found.score == pytest.approx([0.0, 0.5, 0.9])
    assert found.present == pytest.approx([0.5, 0.5, 0.5])
    assert found.ece == pytest.approx(0.5 * 0.5 + 0.3 * 0.0 + 0.2 * 0.4)


def test_the_error_of_right_scores_vanishes_and_of_shifted_ones_is_the_shift() -> None:
    random = np.random.default_rng(0)
    true = random.random(200_000) * 0.8
    present = random.random(len(true)) < true
    assert reliability(true, present).ece < 0.005
    assert reliability(true + 0.2, present).ece == pytest.approx(0.2, abs=0.005)


def test_the_order_of_the_images_does_not_matter() -> None:
    random = np.random.default_rng(0)
    scores, present = random.integers(0, 20, 300) / 20, random.random(300) < 0.3
    shuffled = random.permutation(300)
    one, other = reliability(scores, present), reliability(scores[shuffled], present[shuffled])
    assert one.ece == pytest.approx(other.ece, abs=1e-12)
    assert one.count.tolist() == other.count.tolist()


def test_a_report_leaves_unknown_labels_out_and_is_plain_json() -> None:
    truth = np.array([[1, 0], [0, -1], [1, -1]], dtype=np.int8)
    report = calibration_report(truth, np.array([[0.9, 0.2], [0.1, 0.9], [0.8, 0.9]]), ["cat", "dog"])
    assert report.pooled.count.sum() == 4
    assert report.per_label["dog"].ece == pytest.approx(0.2)
    assert report.mean_label_ece == pytest.approx((0.4 / 3 + 0.2) / 2)
    told = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert told["per_label"]["dog"]["bins"] == [{"score": 0.2, "present": 0.0, "count": 1}]


def test_opposite_errors_that_pooling_hides_show_in_the_mean_over_labels() -> None:
    truth = np.array([[1, 0]] * 50, dtype=np.int8)
    report = calibration_report(truth, np.full((50, 2), 0.5), ["a", "b"])
    assert report.pooled.ece == pytest.approx(0.0)
    assert report.mean_label_ece == pytest.approx(0.5)


def test_a_label_that_nobody_looked_at_has_no_error() -> None:
    report = calibration_report(np.array([[-1]], dtype=np.int8), np.array([[0.5]]), ["a"])
    assert np.isnan(report.per_label["a"].ece)
    assert report.to_json() == {
        "pooled": {"ece": None, "bins": []},
        "mean_label_ece": None,
        "per_label": {"a": {"ece": None, "bins": []}},
    }


@pytest.mark.parametrize(
    ("scores", "present", "bins", "words"),
    [
        ([0.1], [True], 0, "the number of bins is 0"),
        ([0.1], [True], -1, "the number of bins is -1"),
        ([0.1, 0.2], [True], 5, "2 scores and 1 truths"),
    ],
)
def test_what_does_not_fit_is_refused(scores: list, present: list, bins: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        reliability(np.array(scores), np.array(present), bins=bins)


def test_one_bin_holds_everything() -> None:
    found = reliability(np.array([0.1, 0.5, 0.9]), np.array([False, True, True]), bins=1)
    assert found.count.tolist() == [3]
    assert found.ece == pytest.approx(2 / 3 - 0.5)
