"""Many methods measured on the same draws: the same numbers as the two-sided bootstrap, and seeds on top."""

import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.metrics.comparison import Comparison, Protocol, compare
from labelbeam.metrics.intervals import bootstrap, map_intervals, paired_bootstrap, resample

TRUTH = (np.random.default_rng(0).random((40, 5)) < 0.4).astype(np.int8)


def a_method(noise: float, seed: int = 1) -> Comparison:
    scores = TRUTH + noise * np.random.default_rng(seed).normal(size=TRUTH.shape)
    return compare(TRUTH, list("abcde"), protocol=Protocol("exact-k", k=2), scores=scores)


def test_with_one_training_seed_the_intervals_are_those_of_the_bootstrap() -> None:
    one = a_method(1.0)
    found = resample([one], resamples=60, seed=7)
    for name, expected in bootstrap(one, rng=np.random.default_rng(7), resamples=60).items():
        mine = found.interval(name)
        assert (mine.value, mine.low, mine.high) == pytest.approx(
            (expected.value, expected.low, expected.high)
        )
    assert found.over_seeds == {}


def test_a_difference_is_that_of_the_paired_bootstrap() -> None:
    good, bad = a_method(0.5), a_method(2.0, seed=2)
    expected = paired_bootstrap(good, bad, rng=np.random.default_rng(7), resamples=60)
    first, second = (resample([one], resamples=60, seed=7) for one in (good, bad))
    for name in ("OF1", "mAP_area", "MAP@10"):
        mine = first.minus(second, name)
        theirs = expected[name]
        assert (mine.difference, mine.low, mine.high, mine.p) == pytest.approx(
            (theirs.difference, theirs.low, theirs.high, theirs.p)
        )
    assert first.minus(second, "log_likelihood") is None


def test_the_value_over_seeds_is_their_mean_and_their_spread_their_deviation() -> None:
    seeds = [a_method(1.0, seed) for seed in (1, 2, 3)]
    single = [resample([one], resamples=0, seed=0).value["OF1"] for one in seeds]
    found = resample(seeds, resamples=40, seed=0)
    assert found.value["OF1"] == pytest.approx(sum(single) / 3)
    assert found.over_seeds["OF1"] == pytest.approx(np.std(single, ddof=1))


def test_equal_seeds_give_the_interval_of_one_of_them() -> None:
    one = a_method(1.0)
    thrice, once = (resample([one] * n, resamples=40, seed=0).interval("CF1") for n in (3, 1))
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))


def test_seeds_that_differ_widen_the_interval() -> None:
    good, bad = a_method(0.1), a_method(5.0)
    one = resample([bad], resamples=300, seed=0).interval("OF1")
    both = resample([good, bad], resamples=300, seed=0).interval("OF1")
    assert both.high - both.low > 1.5 * (one.high - one.low)


def test_without_draws_there_is_a_value_and_no_interval() -> None:
    found = resample([a_method(1.0)], resamples=0, seed=0)
    assert found.value["OF1"] > 0
    assert found.interval("OF1") is None


@pytest.mark.parametrize(
    ("comparisons", "resamples", "words"),
    [
        ([], 10, "one comparison per training seed"),
        ([a_method(1.0)], 1, "at least 2 resamples, given 1"),
        (
            [
                a_method(1.0),
                compare(1 - TRUTH, list("abcde"), protocol=Protocol("sets"), decisions=TRUTH == 1),
            ],
            10,
            "same truth",
        ),
    ],
)
def test_what_cannot_be_measured_together_is_refused(comparisons, resamples, words) -> None:
    with pytest.raises(InputError, match=words):
        resample(comparisons, resamples=resamples, seed=0)


def test_a_difference_needs_the_same_number_of_draws() -> None:
    few, many = (resample([a_method(1.0)], resamples=n, seed=0) for n in (10, 20))
    with pytest.raises(InputError, match="drawn 10 and 20 times"):
        few.minus(many, "OF1")


def test_of_mean_average_precision_the_error_is_that_of_images_and_that_of_the_mean_over_seeds() -> None:
    comparisons = [a_method(0.5, seed) for seed in (1, 2, 3, 4)]
    found = resample(comparisons, resamples=20, seed=0)
    alone = map_intervals(comparisons)["mAP_area"].standard_deviation
    of_seeds = found.over_seeds["mAP_area"] / 4**0.5
    assert found.interval("mAP_area").standard_deviation == pytest.approx(np.hypot(alone, of_seeds))
