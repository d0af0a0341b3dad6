"""The regression that adds one label: against scikit-learn, against its own gradient, on what it must refuse."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from labelbeam.errors import InputError
from labelbeam.heads.new_label import fit_offset_regression


def drawn(seed: int = 0, rows: int = 300, inputs: int = 4):
    rng = np.random.default_rng(seed)
    x, offsets = rng.standard_normal((rows, inputs)), rng.standard_normal(rows) - 1
    logits = x @ np.linspace(-2, 2, inputs) + offsets
    return x, offsets, rng.random(rows) < 1 / (1 + np.exp(-logits))


def test_without_offsets_it_is_the_logistic_regression_of_scikit_learn() -> None:
    x, _, present = drawn()
    found = fit_offset_regression(x, np.zeros(len(x)), present, groups=np.arange(len(x)), bias=True)
    other = LogisticRegression(C=1 / found.penalty, tol=1e-10, max_iter=1000).fit(x, present)
    assert found.weights == pytest.approx(other.coef_[0], abs=1e-4)
    assert found.bias == pytest.approx(other.intercept_[0], abs=1e-4)


def test_the_gradient_of_the_penalised_loss_is_zero_at_what_is_found() -> None:
    x, offsets, present = drawn(1)
    found = fit_offset_regression(x, offsets, present, groups=np.arange(len(x)) // 3, bias=False)
    p = 1 / (1 + np.exp(-(x @ found.weights + offsets)))
    assert x.T @ (p - present) + found.penalty * found.weights == pytest.approx(np.zeros(4), abs=1e-5)
    assert found.bias == 0.0


def test_a_row_is_judged_by_a_fit_that_did_not_see_its_group() -> None:
    """Each group repeats one row that says its answer; only a fit that saw the group could know it."""
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(60), 5)
    x = np.repeat(rng.standard_normal((60, 200)), 5, axis=0)
    present = np.repeat(rng.random(60) < 0.5, 5)
    found = fit_offset_regression(x, np.zeros(300), present, groups=groups, bias=True)
    fitted = x @ found.weights + found.bias
    assert ((fitted > 0) == present).mean() > 0.95
    assert ((found.held_out > 0) == present).mean() < 0.75
    assert found.log_loss > 0.9 * found.base_log_loss


def test_too_few_images_on_one_side_are_refused() -> None:
    x, offsets, _ = drawn()
    few = np.arange(len(x)) < 4
    for present in (few, ~few):
        with pytest.raises(InputError, match="at least 5 images"):
            fit_offset_regression(x, offsets, present, groups=np.arange(len(x)), bias=False)
