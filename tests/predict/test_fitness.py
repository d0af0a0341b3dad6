"""Oddness and its p-value: valid on images like the training's, small on others; stored and read back."""

import json

import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.predict.answers import Answers
from labelbeam.predict.fitness import (
    MOST_DIRECTIONS,
    MOST_KEPT,
    FeatureSpace,
    Fitness,
    fit_feature_space,
    fit_fitness,
    oddness,
)

FEATURES, LABELS = 24, 5
MIXING = np.random.default_rng(9).normal(size=(4, FEATURES))


def familiar(images: int, seed: int) -> np.ndarray:
    """Features that vary in four directions, and a little in all."""
    random = np.random.default_rng([1, seed])
    features = random.normal(size=(images, 4)) @ MIXING + 0.3 * random.normal(size=(images, FEATURES))
    return features.astype(np.float32)


def strange(images: int, seed: int) -> np.ndarray:
    return (2 * np.random.default_rng([2, seed]).normal(size=(images, FEATURES))).astype(np.float32)


def answers_with(scores: np.ndarray) -> Answers:
    one, images = scores.astype(np.float32), len(scores)
    nothing = np.zeros_like(one)
    return Answers(one, one, one, nothing, [()] * images, np.zeros(images), np.ones(images, dtype=bool))


def answers(images: int, seed: int, *, scale: float = 1.0) -> Answers:
    return answers_with(scale * np.random.default_rng([3, seed]).random((images, LABELS)))


def fitted(images: int = 99, seed: int = 0) -> Fitness:
    return fit_fitness(familiar(200, 100), answers(images, seed), familiar(images, seed))


def test_images_like_the_validation_images_are_refused_at_most_as_often_as_alpha_says() -> None:
    shares = []
    for seed in range(300):  # over the draw of both, as the guarantee is
        fitness = fitted(39, 2 * seed)
        refused = fitness.refused(answers(20, 2 * seed + 1), familiar(20, 2 * seed + 1), alpha=0.1)
        shares.append(refused.mean())
    assert np.mean(shares) == pytest.approx(0.1, abs=0.015)  # (39 + 1) * 0.1 is whole: exactly alpha


def test_p_values_are_counts_of_validation_images_at_least_as_odd() -> None:
    fitness = Fitness((1.0, 2.0, 2.0, 3.0), None)
    scores = 1 - np.exp(-np.exp([[-0.5], [-2.0], [-4.0]]))  # one label: oddness 0.5, 2 and 4
    found = fitness.fits(answers_with(scores), np.zeros((3, 1), np.float32))
    assert found[[0, 2]].tolist() == [1.0, 0.2]
    assert found[1] in (0.4, 0.8)  # 2.0, up to single precision


def test_strange_features_and_absent_labels_both_are_odd() -> None:
    fitness = fitted()
    usual = fitness.fits(answers(200, 7), familiar(200, 7))
    other_features = fitness.fits(answers(200, 7), strange(200, 7))
    no_labels = fitness.fits(answers(200, 7, scale=0.01), familiar(200, 7))
    assert np.median(usual) == pytest.approx(0.5, abs=0.1)
    assert np.median(other_features) < 0.1
    assert (no_labels == 0.01).all()


def test_the_share_outside_is_one_minus_the_share_of_the_projection() -> None:
    space = FeatureSpace(np.zeros(3, np.float32), np.eye(3, dtype=np.float16)[:1], 0.1)
    found = space.outside(np.array([[2.0, 0, 0], [0, 5.0, 0], [3.0, 0, 4.0], [0, 0, 0]]))
    assert found.tolist() == pytest.approx([0.0, 1.0, 0.64, 1.0])


@pytest.mark.parametrize("images", [16, 200])
def test_directions_are_the_leading_right_singular_vectors(images: int) -> None:
    features = familiar(images, 5)
    space = fit_feature_space(features)
    assert space is not None
    count = len(space.directions)
    _, _, directions = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
    alike = np.abs(space.directions[: min(count, 4)].astype(float) @ directions[: min(count, 4)].T)
    assert alike == pytest.approx(np.eye(len(alike)), abs=5e-3)


def test_directions_are_few_and_there_are_none_of_few_or_equal_images() -> None:
    many = np.random.default_rng(0).normal(size=(3000, 80)).astype(np.float32)
    space = fit_feature_space(many)
    assert space is not None
    assert len(space.directions) == MOST_DIRECTIONS
    assert fit_feature_space(familiar(7, 0)) is None
    assert fit_feature_space(np.ones((50, FEATURES), np.float32)) is None


def test_without_a_space_oddness_is_that_of_the_labels() -> None:
    fitness = fit_fitness(familiar(3, 0), answers(50, 1), familiar(50, 1))
    assert fitness.space is None
    rising = np.diff(oddness(answers_with(np.array([[0.9], [0.5], [0.1]])), familiar(3, 0), None))
    assert (rising > 0).all()


def test_at_most_some_thousand_validation_images_are_kept() -> None:
    assert len(fitted(MOST_KEPT + 500).oddness) == MOST_KEPT


def test_certain_and_impossible_labels_have_finite_oddness() -> None:
    assert np.isfinite(oddness(answers_with(np.array([[1.0], [0.0]])), familiar(2, 0), None)).all()


def test_fitness_comes_back_from_json_and_says_the_same() -> None:
    fitness = fitted()
    back = Fitness.from_json(json.loads(json.dumps(fitness.to_json())))
    test = (answers(30, 3), strange(30, 3))
    assert back.fits(*test).tolist() == fitness.fits(*test).tolist()
    assert Fitness.from_json(json.loads(json.dumps(Fitness((0.5,), None).to_json()))) == Fitness((0.5,), None)


SPACE = FeatureSpace(np.zeros(2, np.float32), np.eye(2, dtype=np.float16)[:1], 0.1).to_json()
STORED = {"oddness": [0.0, 1.0], "space": SPACE}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (None, "fitness must hold exactly oddness, space; it holds NoneType"),
        (STORED | {"oddness": []}, "finite and ascending"),
        (STORED | {"oddness": [1.0, 0.0]}, "finite and ascending"),
        (STORED | {"oddness": ["1"]}, "oddness must be a number, given '1'"),
        (STORED | {"space": {}}, "feature space must hold exactly features, center, directions, spread"),
        (STORED | {"space": SPACE | {"center": "@@"}}, "center is not base64"),
        (STORED | {"space": SPACE | {"center": "é"}}, "center is not base64"),
        (STORED | {"space": SPACE | {"center": SPACE["directions"]}}, "center has 4 bytes"),
        (STORED | {"space": SPACE | {"center": ""}}, "center has 0 bytes"),
        (STORED | {"space": SPACE | {"features": 1}}, "center has 2 rows, must have 1"),
        (STORED | {"space": SPACE | {"features": 0}}, "the number of features is 0, outside"),
        (STORED | {"space": SPACE | {"spread": 0}}, "spread of a feature space is 0.0"),
        (STORED | {"space": SPACE | {"center": "AADAfwAAwH8="}}, "must be finite"),
    ],
)
def test_damaged_fitness_is_refused_with_words(values: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Fitness.from_json(values)


def test_an_impossible_alpha_and_foreign_features_are_refused() -> None:
    fitness = fitted()
    with pytest.raises(InputError, match=r"alpha is 5\.0; it is a share"):
        fitness.refused(answers(2, 0), familiar(2, 0), alpha=5.0)
    with pytest.raises(InputError, match="3 features were given, the run has 24"):
        fitness.fits(answers(2, 0), np.zeros((2, 3), np.float32))
