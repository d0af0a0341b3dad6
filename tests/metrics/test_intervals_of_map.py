"""The interval of mAP: it holds the population's value as often as it says, and is refused where little is known."""

import numpy as np
import pytest

from labelbeam.metrics.comparison import Comparison, Protocol, compare
from labelbeam.metrics.evaluation import evaluate, numbers
from labelbeam.metrics.intervals import bootstrap, map_intervals
from labelbeam.metrics.ranking import RULES

FREQUENCIES = np.array([0.4, 0.15, 0.08, *[0.02] * 9])


def of_population(images: int, seed: int, distance: float = 2.2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random((images, len(FREQUENCIES))) < FREQUENCIES
    return truth.astype(np.int8), truth * distance + rng.standard_normal(truth.shape)


def compared(truth: np.ndarray, scores: np.ndarray) -> Comparison:
    return compare(truth, [f"l{c}" for c in range(truth.shape[1])], protocol=Protocol("none"), scores=scores)


def test_the_interval_holds_the_mean_average_precision_of_the_population():
    truth, scores = of_population(20_000, 0)
    known = numbers(compared(truth, scores), np.ones((1, len(truth)), dtype=np.int64))
    rng = np.random.default_rng(1)
    held, values, middles = dict.fromkeys(RULES, 0), [], []
    for _ in range(60):
        rows = rng.integers(len(truth), size=150)
        found = map_intervals([compared(truth[rows], scores[rows])])
        values.append(found["mAP_area"].value)
        middles.append((found["mAP_area"].low + found["mAP_area"].high) / 2)
        for rule in RULES:
            one = found[f"mAP_{rule}"]
            held[rule] += one.low <= known[f"mAP_{rule}"][0] <= one.high
    assert min(held.values()) >= 54  # of 95 %, fewer than 54 of 60 would be a chance of 2 in a hundred
    off = np.mean(values) - known["mAP_area"][0]
    assert off > 0.05  # what few positives do to the value
    assert abs(np.mean(middles) - known["mAP_area"][0]) < 0.4 * off


def test_the_interval_narrows_with_the_root_of_the_images_and_holds_the_value():
    width = {}
    for images in (400, 6400):
        one = compared(*of_population(images, 3))
        found = map_intervals([one])["mAP_area"]
        assert found.value == pytest.approx(evaluate(one)["mAP_area"])
        assert found.low < found.value < found.high
        width[images] = found.high - found.low
    assert 2.8 < width[400] / width[6400] < 5.6


def test_a_perfect_result_on_few_images_is_not_called_certain():
    truth, _ = of_population(150, 0)
    few, many = (
        map_intervals([compared(t, t.astype(float))])["mAP_area"] for t in (truth, np.tile(truth, (20, 1)))
    )
    assert few.value == few.high == 1.0
    positives = truth.sum()
    assert 1 - 8 / positives < few.low < 1 - 3 / positives  # no error in n tosses: up to 3 / n of them may be
    assert many.low > 1 - 20 / (20 * positives)


def test_there_is_no_interval_where_labels_have_a_single_positive():
    truth, scores = of_population(150, 0)
    truth[:, 5:] = 0
    truth[np.arange(7), np.arange(5, 12)] = 1
    one = compared(truth, scores)
    assert map_intervals([one]) == {}
    assert "mAP_area" not in bootstrap(one, rng=np.random.default_rng(0), resamples=5)


def test_the_bootstrap_hands_out_this_interval():
    one = compared(*of_population(200, 5))
    found = bootstrap(one, rng=np.random.default_rng(0), resamples=5)
    assert found["mAP_voc11"] == map_intervals([one])["mAP_voc11"]


def test_a_seeded_problem_keeps_its_intervals():
    rng = np.random.default_rng(1)
    truth = (rng.random((80, 3)) < 0.4).astype(np.int8)
    found = map_intervals([compared(truth, truth + rng.normal(size=truth.shape))])
    for rule, numbers_of_it in GOLDEN.items():
        one = found[f"mAP_{rule}"]
        ends = one.value, one.low, one.high, one.standard_deviation
        assert ends == pytest.approx(numbers_of_it, abs=2e-5)


GOLDEN = {
    "area": (0.72613, 0.58889, 0.82013, 0.05492),
    "voc10": (0.75288, 0.63913, 0.8249, 0.04602),
    "voc11": (0.74862, 0.62741, 0.81546, 0.04489),
}
