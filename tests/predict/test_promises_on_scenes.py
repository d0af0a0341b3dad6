"""Promises on the drawn world, whose distribution is known: over thousands of calibrations, each judged exactly.

A draw is a picture with its label set, taken from the whole world with its probability. What a rule really reaches is
a sum over the world, so only calibrations are drawn. The model is made wrong on purpose: promises are to hold for any.
"""

from functools import cache

import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.predict.promise_kinds import selection_cut, set_probability, tag_losses
from labelbeam.predict.promises import Promise, Promises, Sample
from labelbeam.scenes.bayes import population


@cache
def world() -> tuple[Sample, np.ndarray]:
    """The world as a sample, a row per picture and possible set, and the rows' probabilities."""
    truth, rng = population(), np.random.default_rng(0)
    chances = truth.weights[truth.image] * truth.probs
    odds = np.log(truth.marginals.clip(0.02, 0.98)) - np.log1p(-truth.marginals.clip(0.02, 0.98))
    odds = 1.5 * odds + rng.normal(0, 1.0, odds.shape)  # overconfident, and wrong here and there
    scores = (1 / (1 + np.exp(-odds))).astype(np.float32)[truth.image]
    # A joint of its own: the true one, flattened, and wrong where it is flat.
    sharp = rng.uniform(0.0, 1.0, len(truth))[truth.image]
    guessed = truth.probs**sharp * np.exp(rng.normal(0, 0.7, len(chances)) * (1 - sharp))
    guessed /= np.bincount(truth.image, guessed)[truth.image]
    order = np.lexsort((-guessed, truth.image))
    starts = np.flatnonzero(np.diff(truth.image[order], prepend=-1))
    before = np.empty(len(guessed))
    heaped = np.cumsum(guessed[order]) - guessed[order]
    before[order] = heaped - np.repeat(heaped[starts], np.diff(np.append(starts, len(order))))
    best = order[starts]  # the row of each picture's most probable set
    paths, log_probs = truth.sets[best][truth.image], np.log(guessed[best])[truth.image]
    usual = np.full(len(chances), 0.5)
    return Sample(scores, truth.sets.astype(np.int8), paths, log_probs, usual, before), chances


def drawn(images: int, seed: int) -> Promises:
    """So many calibration images, and a guide of 100."""
    sample, chances = world()
    rng = np.random.default_rng(seed)
    parts = []
    for count in (images, 100):
        at = np.searchsorted(np.cumsum(chances), rng.random(count) * chances.sum(), side="right")
        parts.append(Sample(*(getattr(sample, name)[at] for name in Sample.__dataclass_fields__)))
    return Promises(parts[0], parts[1], "marginal", {}, "drawn")


def held(most: float) -> float:
    """How often a list with at most so much probability before a set holds the true one."""
    sample, chances = world()
    return float(chances[sample.before <= most].sum())


def found(threshold: float) -> float:
    """Mean share of the true labels that is found, over pictures that have some."""
    sample, chances = world()
    present = sample.truth == 1
    some = present.any(axis=1)
    shares = (present & (sample.scores >= threshold))[some].sum(axis=1) / present[some].sum(axis=1)
    return float(chances[some] @ shares / chances[some].sum())


def right_unseen(least: float) -> float:
    """Of pictures whose set is so probable, how many have exactly their labels; 1 where there are none."""
    sample, chances = world()
    chosen = set_probability(sample.scores, sample.paths, sample.log_probs) >= least
    right = (sample.paths == (sample.truth == 1)).all(axis=1)
    total = chances[chosen].sum()
    return float(chances[chosen & right].sum() / total) if total else 1.0


@pytest.mark.parametrize(("images", "target"), [(10, 0.8), (60, 0.9)])
def test_lists_hold_the_true_set_as_often_as_promised_over_4000_calibrations(images, target) -> None:
    reached = np.array([held(drawn(images, seed).keep_listed(target)) for seed in range(4000)])
    assert reached.mean() >= target - 3 * reached.std() / len(reached) ** 0.5
    assert reached.mean() <= target + 1.5 / images + 0.02  # no more cautious than need be


def test_without_the_finite_sample_correction_lists_break_their_word(monkeypatch) -> None:
    monkeypatch.setattr(
        "labelbeam.predict.promises.conformal_quantile",
        lambda scores, miss: float(np.quantile(scores, 1 - miss, method="inverted_cdf")),
    )
    reached = np.array([held(drawn(10, seed).keep_listed(0.8)) for seed in range(2000)])
    assert reached.mean() < 0.8 - 3 * reached.std() / len(reached) ** 0.5


def recall_on_average(images: int, calibrations: int, target: float) -> tuple[float, float]:
    promise = Promise("recall", target, None)
    reached = np.array(
        [found(drawn(images, seed).keep(promise).thresholds[0]) for seed in range(calibrations)]
    )
    return float(reached.mean()), float(reached.std() / calibrations**0.5)


def test_recall_on_average_is_kept_over_hundreds_of_calibrations() -> None:
    mean, error = recall_on_average(30, 300, 0.9)
    assert 0.9 - 3 * error <= mean <= 0.9 + 2 / 30 + 3 * error


def test_without_its_correction_recall_on_average_is_broken(monkeypatch) -> None:
    monkeypatch.setattr("labelbeam.predict.promise_kinds.expected_risk", lambda losses: losses.mean())
    mean, error = recall_on_average(4, 300, 0.95)
    assert mean < 0.95 - 3 * error


def share_broken(images: int, calibrations: int, target: float) -> tuple[float, int]:
    """Of calibrations that give a promise for images unseen, how many break it; and how many give it."""
    broken = []
    for seed in range(calibrations):
        try:
            broken.append(right_unseen(drawn(images, seed).keep_unseen(target, "path", None)) < target)
        except InputError:
            continue
    return float(np.mean(broken)), len(broken)


def test_images_unseen_break_their_word_in_at_most_5_percent_of_the_calibrations() -> None:
    broken, given = share_broken(300, 300, 0.42)
    assert given > 100
    assert broken <= 0.05 + 3 * (0.05 * 0.95 / given) ** 0.5


def test_without_the_binomial_test_images_unseen_break_their_word_often(monkeypatch) -> None:
    monkeypatch.setattr(
        "labelbeam.predict.promise_kinds.error_p_value",
        lambda errors, cases, most: np.where(errors <= most * np.maximum(cases, 1), 0.0, 1.0),
    )
    broken, _ = share_broken(300, 150, 0.42)
    assert broken > 0.2


def test_precision_breaks_its_word_in_at_most_5_percent_of_the_calibrations() -> None:
    sample, chances = world()
    broken, promise = [], Promise("precision", 0.7)
    for seed in range(100):
        try:
            threshold = drawn(300, seed).keep(promise).thresholds[0]
        except InputError:
            continue
        tagged = (sample.scores >= threshold).any(axis=1)
        broken.append(chances[tagged] @ tag_losses(sample, threshold) / chances[tagged].sum() > 0.3)
    assert len(broken) > 50
    assert np.mean(broken) <= 0.05 + 3 * (0.05 * 0.95 / len(broken)) ** 0.5


def wrong_share(images: int, batches: int, target: float) -> tuple[float, float, float]:
    """Mean over calibrations and batches of the share of wrong sets among those selected; its error; share selected."""
    sample, chances = world()
    heaped = np.cumsum(chances)
    wrong = ~(sample.paths == (sample.truth == 1)).all(axis=1)
    sure = set_probability(sample.scores, sample.paths, sample.log_probs)
    shares, selected = [], []
    for seed in range(batches):
        at = np.searchsorted(heaped, np.random.default_rng([seed, 1]).random(60) * heaped[-1], side="right")
        cut = selection_cut(target, drawn(images, seed).sample, None, sure[at])
        chosen = sure[at] >= cut
        shares.append(wrong[at][chosen].mean() if chosen.any() else 0.0)
        selected.append(chosen.mean())
    return float(np.mean(shares)), float(np.std(shares) / batches**0.5), float(np.mean(selected))


@pytest.mark.parametrize(("images", "target"), [(20, 0.5), (200, 0.45)])
def test_of_images_selected_from_a_batch_no_more_are_wrong_on_average_than_promised(images, target) -> None:
    wrong, error, selected = wrong_share(images, 2000, target)
    assert wrong <= 1 - target + 3 * error
    assert selected > 0.02


def test_without_the_new_image_in_its_p_value_selections_break_their_word(monkeypatch) -> None:
    monkeypatch.setattr(
        "labelbeam.predict.promise_kinds.wrong_p_values",
        lambda wrong, images, sure: (wrong[:, None] >= sure).sum(axis=0) / images,
    )
    wrong, error, _ = wrong_share(4, 1000, 0.5)
    assert wrong > 0.5 + 3 * error
