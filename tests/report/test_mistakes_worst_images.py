import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.report.mistakes import summed_log_likelihood, worst_images

TRUTH = np.array([[1, 0, -1], [0, 1, 0], [1, 1, 0]], dtype=np.int8)


def test_the_least_probable_come_first_with_what_went_wrong() -> None:
    decided = np.array([[False, True, True], [False, True, False], [True, False, True]])
    first, second = worst_images(TRUTH, decided, np.array([-2.0, -0.1, -np.inf]), count=2)
    assert (first.image, first.missed, first.wrong) == (2, (1,), (2,))
    assert (second.image, second.missed, second.wrong) == (0, (0,), (1,))  # the unknown one is no mistake
    assert first.to_json(["a", "b", "c"], ["x", "y", "z"])["nats"] is None


def test_the_summed_log_likelihood_is_that_of_independent_labels() -> None:
    scores = np.array([[0.9, 0.2, 0.5], [0.1, 0.8, 0.3], [1.0, 0.0, 0.4]])
    found = summed_log_likelihood(scores, TRUTH)
    assert found[0] == pytest.approx(np.log(0.9 * 0.8))
    assert found[1] == pytest.approx(np.log(0.9 * 0.8 * 0.7))
    assert np.isfinite(found[2])


def test_columns_of_other_lengths_are_refused() -> None:
    with pytest.raises(InputError, match="same images"):
        worst_images(TRUTH, TRUTH == 1, np.zeros(2), count=1)
