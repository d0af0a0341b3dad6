"""Resampling images: against a loop that really repeats them, and on cases with a known answer."""

from dataclasses import astuple

import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.metrics import intervals as module
from labelbeam.metrics.comparison import Protocol, compare
from labelbeam.metrics.evaluation import evaluate, numbers
from labelbeam.metrics.intervals import bootstrap, paired_bootstrap


def problem(noise=1.0, images=40, seed=0, protocol=None):
    truth = np.random.default_rng(0).integers(-1, 2, (images, 5)).astype(np.int8)
    drawn = np.random.default_rng(seed).normal(size=truth.shape)
    scores = np.round(noise * drawn + 2 * (truth == 1), 1)
    likelihood = -np.abs(drawn).sum(axis=1)
    protocol = protocol or Protocol("exact-k", k=2)
    return compare(truth, list("abcde"), protocol=protocol, scores=scores, log_likelihood=likelihood)


def test_every_number_of_a_resample_is_that_of_the_images_really_repeated():
    comparison = problem()
    weights = np.stack(
        [np.bincount(np.random.default_rng(r).integers(40, size=40), minlength=40) for r in range(6)]
    )
    fast = numbers(comparison, weights)
    for r, weight in enumerate(weights):
        rows = np.repeat(np.arange(40), weight)
        repeated = compare(
            comparison.truth[rows],
            comparison.names,
            protocol=comparison.protocol,
            scores=comparison.scores[rows],
            log_likelihood=comparison.log_likelihood[rows],
        )
        slow = evaluate(repeated).values
        assert {name: values[r] for name, values in fast.items()} == pytest.approx(slow, rel=1e-12)


def test_the_interval_holds_the_value_and_has_the_spread_of_a_proportion():
    truth = np.zeros((400, 1), np.int8)
    truth[:100] = 1
    comparison = compare(truth, ["a"], protocol=Protocol("sets"), decisions=np.ones((400, 1), dtype=np.bool_))
    interval = bootstrap(comparison, rng=np.random.default_rng(1), resamples=2000)["OP"]
    assert interval.value == 0.25
    expected = np.sqrt(0.25 * 0.75 / 400)  # the standard error of a share
    assert interval.standard_deviation == pytest.approx(expected, rel=0.06)
    assert interval.low == pytest.approx(0.25 - 1.96 * expected, abs=0.006)
    assert interval.high == pytest.approx(0.25 + 1.96 * expected, abs=0.006)


def test_the_same_seed_gives_the_same_intervals_however_many_resamples_are_held_at_once(monkeypatch):
    once = bootstrap(problem(), rng=np.random.default_rng(7), resamples=30)
    monkeypatch.setattr(module, "CELLS_AT_ONCE", 200)
    again = bootstrap(problem(), rng=np.random.default_rng(7), resamples=30)
    assert {name: astuple(i) for name, i in again.items()} == {
        name: pytest.approx(astuple(i), rel=1e-12) for name, i in once.items()
    }
    assert once != bootstrap(problem(), rng=np.random.default_rng(8), resamples=30)


def test_better_predictions_are_found_better_and_the_reverse_is_not():
    good, bad = problem(noise=0.3, seed=1), problem(noise=5.0, seed=2)
    forward = paired_bootstrap(good, bad, rng=np.random.default_rng(0), resamples=200)
    assert forward["mAP_area"].low > 0
    assert forward["mAP_area"].p == pytest.approx(1 / 201)
    assert forward["OF1"].difference == pytest.approx(evaluate(good)["OF1"] - evaluate(bad)["OF1"])
    backward = paired_bootstrap(bad, good, rng=np.random.default_rng(0), resamples=200)
    assert backward["mAP_area"].p == 1.0
    assert backward["mAP_area"].high < 0


def test_a_file_against_itself_differs_by_exactly_nothing():
    same = paired_bootstrap(problem(), problem(), rng=np.random.default_rng(0), resamples=20)
    assert all((d.difference, d.low, d.high, d.p) == (0.0, 0.0, 0.0, 1.0) for d in same.values())
    assert "mean_labels_true" not in same


def test_pairing_makes_the_interval_narrower_than_two_unrelated_ones():
    first, second = problem(noise=1.0, seed=3), problem(noise=1.05, seed=3)
    paired = paired_bootstrap(first, second, rng=np.random.default_rng(0), resamples=300)["mAP_area"]
    alone = bootstrap(first, rng=np.random.default_rng(0), resamples=300)["mAP_area"]
    assert paired.high - paired.low < 0.7 * (alone.high - alone.low)


def test_numbers_that_are_null_have_no_interval():
    protocol = Protocol("sets")
    truth = np.array([[1, 0], [0, 1]], np.int8)
    comparison = compare(truth, ["a", "b"], protocol=protocol, decisions=truth == 1)
    intervals = bootstrap(comparison, rng=np.random.default_rng(0), resamples=10)
    assert "mAP_area" not in intervals
    assert "OF1" in intervals


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda rng: bootstrap(problem(), rng=rng, resamples=1), ["at least 2", "given 1"]),
        (lambda rng: bootstrap(problem(), rng=rng, confidence=95.0), ["between 0 and 1", "95"]),
        (lambda rng: paired_bootstrap(problem(), problem(images=39), rng=rng), ["same images", "differ"]),
    ],
)
def test_impossible_requests_are_refused_in_words(call, words):
    with pytest.raises(InputError) as caught:
        call(np.random.default_rng(0))
    for word in words:
        assert word in str(caught.value)
