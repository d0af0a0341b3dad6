from itertools import product

import numpy as np
import pytest
from bernoulli import IndependentLabels
from bernoulli_mixture import BernoulliMixture

from labelbeam.errors import InputError

SETS = np.array(list(product((0, 1), repeat=5)), dtype=np.int8)


def two_kinds(images: int = 3000) -> np.ndarray:
    """Labels 0 to 2 come in one kind of image, 3 and 4 in the other."""
    random = np.random.default_rng(0)
    kind = random.random(images) < 0.3
    chances = np.where(kind[:, None], [0.9, 0.8, 0.7, 0.05, 0.05], [0.05, 0.05, 0.05, 0.9, 0.6])
    return (random.random((images, 5)) < chances).astype(np.int8)


def fitted(targets: np.ndarray, components: int, **options: float) -> BernoulliMixture:
    return BernoulliMixture.fit(targets, components, generator=np.random.default_rng(1), **options)


def test_log_probabilities_hand_computed() -> None:
    mixture = BernoulliMixture(np.array([0.25, 0.75]), np.array([[0.5, 0.5], [0.1, 0.2]]))
    known = np.array([[1, 1], [0, -1]], dtype=np.int8)
    np.testing.assert_allclose(np.exp(mixture.log_prob(known)), [0.25 * 0.25 + 0.75 * 0.02, 0.125 + 0.675])


def test_the_probabilities_of_all_sets_sum_to_one_and_evidence_sums_over_what_is_unknown() -> None:
    mixture = fitted(two_kinds(), 3)
    probs = np.exp(mixture.log_prob(SETS))
    assert probs.sum() == pytest.approx(1)
    known = np.array([[1, -1, 0, -1, -1]], dtype=np.int8)
    agrees = ((known == SETS) | (known == -1)).all(axis=1)
    assert np.exp(mixture.log_prob(known)[0]) == pytest.approx(probs[agrees].sum())


def test_no_step_makes_the_training_sets_less_likely() -> None:
    # Hardly smoothed: what climbs is then the likelihood itself.
    history = fitted(two_kinds(), 4, smoothing=1e-6, tolerance=1e-9).history
    assert len(history) > 5
    assert (np.diff(history) > -1e-9).all()


def test_the_kinds_that_made_the_images_are_found() -> None:
    mixture = fitted(two_kinds(), 2)
    first, second = np.argsort(mixture.shares)
    assert mixture.shares[first] == pytest.approx(0.3, abs=0.05)
    np.testing.assert_allclose(mixture.marginals[first], [0.9, 0.8, 0.7, 0.05, 0.05], atol=0.08)
    np.testing.assert_allclose(mixture.marginals[second], [0.05, 0.05, 0.05, 0.9, 0.6], atol=0.08)


def test_one_component_is_independent_labels() -> None:
    targets = two_kinds()
    independent = IndependentLabels.fit(targets)
    np.testing.assert_allclose(fitted(targets, 1).marginals[0], independent.marginals, rtol=0.01)


def test_the_same_generator_gives_the_same_mixture() -> None:
    targets = two_kinds()
    np.testing.assert_array_equal(fitted(targets, 3).marginals, fitted(targets, 3).marginals)


def test_images_in_another_order_change_nothing() -> None:
    targets = two_kinds()
    np.testing.assert_allclose(fitted(targets, 3).marginals, fitted(targets[::-1].copy(), 3).marginals)


def test_it_stops_at_the_step_asked_for() -> None:
    assert len(fitted(two_kinds(), 3, steps=4, tolerance=0.0).history) == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"components": 0}, ["at least 1 component", "0"]),
        ({"components": 2, "smoothing": 0.0}, ["smoothing is 0", "above 0"]),
    ],
)
def test_a_fit_that_cannot_be_is_refused_in_words(options: dict, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        fitted(SETS, **options)
    assert all(word in str(error.value) for word in words)


def test_sets_of_other_labels_are_refused_in_words() -> None:
    with pytest.raises(InputError, match=r"\[images 5\].*\(1, 2\)"):
        fitted(SETS, 2).log_prob(np.zeros((1, 2), dtype=np.int8))
