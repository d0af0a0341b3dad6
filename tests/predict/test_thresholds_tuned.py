"""Thresholds tuned for F1 and for whole sets: against every threshold, drawn where labels are rare, stored."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from labelbeam.errors import InputError
from labelbeam.predict.thresholds import (
    GRID,
    OBJECTIVES,
    TunedThresholds,
    drawn_thresholds,
    example_f1,
    example_f1_threshold,
    fit_thresholds,
    label_f1_threshold,
    label_f1_thresholds,
    of1_threshold,
    whole_set_thresholds,
)


def problem(images: int = 60, seed: int = 0, labels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    scores = random.random((images, labels)) ** 2
    return scores, (random.random(scores.shape) < scores).astype(np.int8)


@pytest.mark.parametrize(
    ("tune", "average"),
    [(of1_threshold, "micro"), (label_f1_threshold, "macro"), (example_f1_threshold, "samples")],
)
@pytest.mark.parametrize("seed", range(3))
def test_one_threshold_for_all_reaches_scikit_learns_best_f1(tune, average: str, seed: int) -> None:
    scores, targets = problem(seed=seed)

    def f1(threshold: float) -> float:
        return float(f1_score(targets, scores >= threshold, average=average, zero_division=1.0))

    assert f1(tune(scores, targets)) == pytest.approx(max(map(f1, GRID)))


@given(st.integers(2, 30), st.integers(0, 2**32 - 1), st.integers(2, 20))
@settings(deadline=None, max_examples=60)
def test_a_labels_own_threshold_reaches_the_best_f1_of_all(images: int, seed: int, distinct: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(1, distinct, size=(images, 1)) / distinct
    targets = random.integers(0, 2, size=(images, 1)).astype(np.int8)
    targets[0] = 1
    tuned = drawn_thresholds(scores, targets, strength=1e-9)
    reached = f1_score(targets[:, 0], (scores >= tuned)[:, 0])
    best = max(f1_score(targets[:, 0], scores[:, 0] >= cut) for cut in np.unique(scores))
    assert reached == pytest.approx(best)


def test_rare_labels_are_drawn_to_the_threshold_for_all_labels_and_frequent_ones_keep_their_own() -> None:
    scores, targets = problem(400)
    targets[:, 0] = scores[:, 0] > 0.1  # best cut at 0.1
    targets[:, 1] = 0
    targets[:3, 1] = scores[:3, 1] = 1  # three positives, best cut near 1
    for_all = label_f1_threshold(scores, targets)
    own, drawn = (drawn_thresholds(scores, targets, strength=k) for k in (1e-9, 20.0))
    assert abs(drawn[0] - own[0]) < 0.3 * abs(for_all - own[0])
    assert abs(drawn[1] - for_all) < 0.7 * abs(own[1] - for_all)
    assert drawn_thresholds(scores, targets, strength=np.inf).tolist() == [for_all] * 3


def test_a_label_without_a_positive_gets_the_threshold_for_all_labels() -> None:
    scores, targets = problem()
    targets[:, 2] = 0
    for_all = label_f1_threshold(scores, targets)
    assert drawn_thresholds(scores, targets, strength=5.0)[2] == pytest.approx(for_all)


def test_unknown_labels_play_no_part() -> None:
    scores, targets = problem(80)
    masked = targets.copy()
    masked[50:] = -1
    for tune in (of1_threshold, label_f1_threshold, example_f1_threshold):
        assert tune(scores, masked) == tune(scores[:50], targets[:50])
    kept = drawn_thresholds(scores[:50], targets[:50], strength=5.0)
    assert drawn_thresholds(scores, masked, strength=5.0) == pytest.approx(kept)
    decided = np.array([[True, True]])
    assert example_f1(decided, np.array([[1, -1]], dtype=np.int8)).tolist() == [1.0]


def test_thresholds_per_label_find_what_one_threshold_cannot() -> None:
    """Labels whose scores are on different scales: each is perfectly divided, at a place of its own."""
    random = np.random.default_rng(0)
    targets = (random.random((400, 3)) < 0.3).astype(np.int8)
    scores = np.array([0.1, 0.4, 0.8]) + 0.15 * targets + 0.04 * random.random(targets.shape)
    for tuned in (label_f1_thresholds(scores, targets)[0], whole_set_thresholds(scores, targets)):
        assert ((scores >= tuned) == targets).mean() > 0.99


def test_thresholds_for_whole_sets_on_few_images_are_no_worse_than_a_half_on_new_ones() -> None:
    """Unrestrained, they fit the images' accidents: the reason why they are drawn to one for all labels."""
    lost = []
    for seed in range(12):
        scores, targets = problem(560, seed, labels=10)
        scores, targets = scores**1.5, (targets * (scores > 0.4)).astype(np.int8)
        tuned = whole_set_thresholds(scores[:60], targets[:60])
        fresh = [((scores[60:] >= cut) == targets[60:]).all(axis=1).mean() for cut in (0.5, tuned)]
        lost.append(fresh[0] - fresh[1])
    assert np.mean(lost) < 0.01


def test_thresholds_come_back_from_json_as_they_were() -> None:
    tuned = fit_thresholds(*problem())
    assert TunedThresholds.from_json(json.loads(json.dumps(tuned.to_json())), num_labels=3) == tuned
    for objective in OBJECTIVES:
        assert tuned.of(objective).shape == (3,)


STORED = {objective: [0.5] for objective in OBJECTIVES}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (3, "thresholds must hold exactly of1, example-f1, label-f1, subset-accuracy; it holds int"),
        (STORED | {"of1": [2.0]}, "of1 is 2.0, outside"),
        (STORED | {"of1": [0.5, 0.5]}, "of1 must be a list of 1 numbers"),
        (STORED | {"of1": "0.5"}, "of1 must be a list of 1 numbers"),
    ],
)
def test_damaged_thresholds_are_refused_with_words(values: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        TunedThresholds.from_json(values, num_labels=1)


def test_an_unknown_objective_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(InputError, match="Did you mean 'label-f1'"):
        fit_thresholds(*problem()).of("label_f1")
