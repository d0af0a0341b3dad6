from itertools import product

import numpy as np
import pytest
from bernoulli import IndependentLabels

from labelbeam.errors import InputError

SETS = np.array(list(product((0, 1), repeat=5)), dtype=np.int8)


def test_log_probabilities_hand_computed() -> None:
    model = IndependentLabels(np.array([0.5, 0.9]))
    known = np.array([[1, 1], [1, 0], [-1, 0], [-1, -1]], dtype=np.int8)
    np.testing.assert_allclose(np.exp(model.log_prob(known)), [0.45, 0.05, 0.1, 1.0])


def test_the_probabilities_of_all_sets_sum_to_one() -> None:
    targets = (np.random.default_rng(0).random((50, 5)) < 0.3).astype(np.int8)
    assert np.exp(IndependentLabels.fit(targets).log_prob(SETS)).sum() == pytest.approx(1)


def test_unknown_labels_are_left_out_of_the_counts() -> None:
    targets = np.array([[1, 0], [0, -1], [1, -1]], dtype=np.int8)
    np.testing.assert_allclose(IndependentLabels.fit(targets, smoothing=1.0).marginals, [2.5 / 4, 0.5 / 2])


def test_smoothing_that_imagines_nothing_is_refused_in_words() -> None:
    with pytest.raises(InputError, match="must be above 0"):
        IndependentLabels.fit(SETS, smoothing=0.0)


def test_sets_of_other_labels_are_refused_in_words() -> None:
    with pytest.raises(InputError, match=r"\[images 5\].*\(1, 2\)"):
        IndependentLabels.fit(SETS).log_prob(np.zeros((1, 2), dtype=np.int8))
