"""Promises hold over draws of calibration images, are sharp, and break where finite-sample corrections are left out.

The distribution is known: independent labels whose log-odds are drawn, and a model that is overconfident.
"""

import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.predict import conformal
from labelbeam.predict.conformal import (
    conformal_quantile,
    error_p_value,
    fewest_cases,
    last_passing,
    lowest_kept,
    mean_p_value,
    risk_p_value,
)
from labelbeam.predict.decision import Decision
from labelbeam.predict.promise_kinds import GRID, miss_losses, set_probability, tag_losses
from labelbeam.predict.promises import Promise, Promises, Sample
from labelbeam.predict.set_lists import independent_sets, mass_before

POPULATION = 3000
BASE = np.array([0.5, -0.5, -1.0, -1.5, -2.0])


@pytest.fixture(scope="module")
def population() -> Sample:
    rng = np.random.default_rng(0)
    odds = rng.normal(0, 2.0, (POPULATION, len(BASE))) + BASE
    scores = (1 / (1 + np.exp(-1.4 * odds))).astype(np.float32)
    truth = (rng.random(odds.shape) < 1 / (1 + np.exp(-odds))).astype(np.int8)
    nowhere = np.full(POPULATION, np.nan)
    before = mass_before(independent_sets(scores), truth)
    return Sample(scores, truth, scores >= 0.5, nowhere, nowhere, before)


def rows(sample: Sample, at: np.ndarray) -> Sample:
    return Sample(*(getattr(sample, name)[at] for name in Sample.__dataclass_fields__))


def drawn(population: Sample, images: int, seed: int) -> Promises:
    rng = np.random.default_rng(seed)
    sample, guide = (rows(population, rng.integers(POPULATION, size=n)) for n in (images, 100))
    return Promises(sample, guide, "marginal", {}, "drawn")


def share_broken(population: Sample, promise: Promise, losses, images: int = 150, draws: int = 60) -> float:
    broken = []
    for seed in range(draws):
        try:
            kept = drawn(population, images, seed).keep(promise)
        except InputError:
            continue  # a promise that is not given is not broken
        broken.append(losses(population, kept.thresholds[0]).mean() > 1 - promise.target)
    assert len(broken) > draws / 2
    return float(np.mean(broken))


def test_precision_is_kept_with_confidence(population) -> None:
    assert share_broken(population, Promise("precision", 0.8), tag_losses, images=400) <= 0.07


def test_recall_is_kept_with_confidence(population) -> None:
    assert share_broken(population, Promise("recall", 0.9), miss_losses) <= 0.07


@pytest.mark.parametrize(
    ("kind", "target", "losses", "images"),
    [("recall", 0.9, miss_losses, 150), ("precision", 0.8, tag_losses, 400)],
)
def test_without_the_test_a_promise_is_broken_many_times(
    population, monkeypatch, kind, target, losses, images
) -> None:
    monkeypatch.setattr(
        "labelbeam.predict.promise_kinds.mean_p_value",
        lambda losses, most: 0.0 if losses.mean() <= most else 1.0,
    )
    assert share_broken(population, Promise(kind, target), losses, images=images) > 0.3


def missed_on_average(population: Sample, images: int) -> tuple[float, float]:
    """Mean over calibrations of the share of true labels that is missed, and its standard error."""
    labelled = rows(population, np.flatnonzero((population.truth == 1).sum(axis=1) == 1))
    found = []
    for seed in range(200):
        at = np.random.default_rng(seed).integers(len(labelled), size=images)
        promises = Promises(rows(labelled, at), rows(labelled, at), "marginal", {}, "drawn")
        found.append(miss_losses(labelled, promises.keep(Promise("recall", 0.9, None)).thresholds[0]).mean())
    return float(np.mean(found)), float(np.std(found) / 200**0.5)


@pytest.mark.parametrize("images", [10, 40])
def test_recall_on_average_is_kept_and_not_by_much_more(population, images) -> None:
    mean, error = missed_on_average(population, images)
    assert 0.1 - 1 / images - 3 * error < mean < 0.1 + 2 * error


def test_without_its_correction_recall_on_average_is_broken(population, monkeypatch) -> None:
    monkeypatch.setattr("labelbeam.predict.promise_kinds.expected_risk", lambda losses: losses.mean())
    mean, error = missed_on_average(population, 10)
    assert mean > 0.1 + 3 * error


@pytest.mark.parametrize("images", [10, 30])
def test_a_list_holds_the_true_set_as_often_as_promised_and_not_without_the_correction(
    population, images
) -> None:
    rng, held, plain = np.random.default_rng(1), [], []
    for _ in range(4000):
        calibration = population.before[rng.integers(POPULATION, size=images)]
        new = population.before[rng.integers(POPULATION)]
        held.append(new <= conformal_quantile(calibration, 0.1))
        plain.append(new <= np.quantile(calibration, 0.9, method="inverted_cdf"))
    error = (0.9 * 0.1 / 4000) ** 0.5
    assert np.mean(held) >= 0.9 - 2 * error
    assert np.mean(held) < 0.9 + 1 / images + 3 * error
    assert np.mean(plain) < 0.9 - 3 * error or images == 30  # there the two differ by 3 %


def test_every_label_keeps_its_own_recall(population) -> None:
    missed = []
    for seed in range(150):
        kept = drawn(population, 300, seed).keep(Promise("label-recall", 0.8))
        present = population.truth == 1
        share = ((population.scores < kept.thresholds) & present).sum(axis=0) / present.sum(axis=0)
        missed.append((share > 0.2)[kept.promised])
    assert np.concatenate(missed).mean() <= 0.07
    assert np.concatenate(missed).mean() > 0.005  # no more cautious than need be


def test_every_decided_label_keeps_its_own_precision(population) -> None:
    wrong = []
    for seed in range(40):
        kept = drawn(population, 500, seed).keep(Promise("label-precision", 0.7))
        decided = population.scores >= kept.thresholds
        share = (decided & (population.truth == 0)).sum(axis=0) / np.maximum(decided.sum(axis=0), 1)
        wrong.append((share > 0.3)[kept.promised])
        assert not decided[:, ~kept.promised].any()
    assert np.concatenate(wrong).mean() <= 0.07


def test_images_that_nobody_looks_at_are_as_right_as_promised(population) -> None:
    sure = set_probability(population.scores, population.paths, None)
    right = (population.paths == (population.truth == 1)).all(axis=1)
    broken, shares = [], []
    for seed in range(60):
        try:
            least = drawn(population, 500, seed).keep_unseen(0.45, "path", None)
        except InputError:
            continue
        chosen = sure >= least
        broken.append(right[chosen].mean() < 0.45)
        shares.append(chosen.mean())
    assert len(broken) > 20
    assert np.mean(broken) <= 0.07
    assert np.mean(shares) > 0.1


def test_an_odd_image_always_goes_to_a_person(population) -> None:
    odd = rows(population, np.arange(500))
    odd = Sample(odd.scores, odd.truth, odd.paths, odd.log_probs, np.full(500, 0.01), odd.before)
    with pytest.raises(InputError, match="there are 0"):
        Promises(odd, odd, "marginal", {}, "drawn").keep_unseen(0.5, "path", None)


@pytest.mark.parametrize(
    ("promise", "images", "words"),
    [
        (Promise("precision", 0.95), 40, ["at least 59", "precision 0.95", "there are"]),
        (Promise("precision", 0.95), 300, ["precision 0.95", "takes about", "Calibrate with more"]),
        (Promise("precision", 0.999), 3000, ["no number of images would do", "Promise less"]),
        (Promise("recall", 0.99), 30, ["at least 299", "have labels"]),
        (Promise("recall", 0.99, None), 30, ["at least 99"]),
        (Promise("label-recall", 0.99), 100, ["at least 299", "no label has more than"]),
        (Promise("label-precision", 0.999), 100, ["any label", "needs at least 2995"]),
    ],
)
def test_a_promise_that_cannot_be_kept_is_refused_with_the_number_that_would_do(
    population, promise, images, words
) -> None:
    with pytest.raises(InputError) as caught:
        drawn(population, images, 0).keep(promise)
    for word in words:
        assert word in str(caught.value)


def test_a_list_that_would_need_sets_out_of_reach_is_refused(population) -> None:
    at = np.arange(200)
    lost = Sample(
        *(getattr(rows(population, at), name) for name in list(Sample.__dataclass_fields__)[:5]),
        np.full(200, np.inf),
    )
    with pytest.raises(InputError, match="only 0 have their true set among the 100"):
        Promises(lost, lost, "", {}, "drawn").keep_listed(0.5)
    with pytest.raises(InputError, match="at least 99 calibration images; there are 20"):
        drawn(population, 20, 0).keep_listed(0.99)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("precison=0.9", "Did you mean 'precision'"),
        ("precision", "KIND=SHARE"),
        ("recall=90", "between 0 and 1"),
        ("recall=nan", "between 0 and 1"),
    ],
)
def test_a_promise_that_is_not_understood_is_refused(text, words) -> None:
    with pytest.raises(InputError, match=words):
        Promise.parse(text)


def test_precision_is_not_promised_on_average() -> None:
    with pytest.raises(InputError, match="leave --on-average out"):
        Decision(rule="promise", promise="precision=0.9", on_average=True)


def test_promises_come_back_from_their_arrays_and_damage_is_named(population) -> None:
    promises = drawn(population, 100, 0)
    again = Promises.from_arrays(promises.arrays(), promises.about(), num_labels=5)
    promise = Promise("recall", 0.8)
    assert again.keep(promise).thresholds.tolist() == promises.keep(promise).thresholds.tolist()
    with pytest.raises(InputError, match="5 labels, the run has 6"):
        Promises.from_arrays(promises.arrays(), promises.about(), num_labels=6)
    with pytest.raises(InputError, match=r"sample\.truth"):
        Promises.from_arrays(
            {name: one for name, one in promises.arrays().items() if name != "sample.truth"},
            promises.about(),
            num_labels=5,
        )


def test_p_values_are_no_smaller_than_they_should_be() -> None:
    rng = np.random.default_rng(0)
    for most in (0.05, 0.3):
        losses = rng.choice([0.0, 0.5, 1.0], p=[1 - 1.5 * most, most, 0.5 * most], size=(2000, 80))
        assert losses.mean() == pytest.approx(most, rel=0.05)
        bets = np.array([mean_p_value(one, most) for one in losses])
        assert (bets <= 0.05).mean() <= 0.06
        assert (risk_p_value(losses.mean(axis=1), 80, most) <= 0.05).mean() <= 0.05
        errors = rng.binomial(80, most, size=2000)
        assert (error_p_value(errors, np.full(2000, 80), most) <= 0.05).mean() <= 0.06


def test_the_fewest_cases_are_those_that_pass_without_an_error() -> None:
    for miss, confidence in ((0.05, 0.95), (0.2, 0.9)):
        n = fewest_cases(miss, confidence)
        assert error_p_value(np.array(0), np.array(n), miss) <= 1 - confidence
        assert error_p_value(np.array(0), np.array(n - 1), miss) > 1 - confidence
        assert lowest_kept(n, miss, confidence) == 1
        assert lowest_kept(n - 1, miss, confidence) == 0
    assert conformal_quantile(np.arange(float(fewest_cases(0.1, None))), 0.1) < np.inf
    assert conformal_quantile(np.arange(float(fewest_cases(0.1, None) - 1)), 0.1) == np.inf


def test_tests_stop_at_the_first_failure() -> None:
    assert last_passing([3, 2, 1, 0], lambda k: [0.0, 0.9, 0.01, 0.01][k], 0.05) == 2
    assert last_passing([1], lambda k: 1.0, 0.05) is None
    assert conformal.CONFIDENCE == 0.95
    assert GRID[0] == 0.0
