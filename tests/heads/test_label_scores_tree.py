"""A trained tree head's answers against enumeration of all label sets."""

import itertools

import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from labelbeam.heads.label_scores import TrainedTree
from labelbeam.heads.options import SigmoidOptions

PARENTS = {"tree": [2, 2, -1, 1, 1], "chain": [-1, 0, 1, 2, 3], "forest": [-1, 0, -1, 2, -1]}
LABELS, FEATURES = 5, 3
SETS = np.array(list(itertools.product([0, 1], repeat=LABELS)), dtype=np.int8)


def log_given(shape: str) -> np.ndarray:
    """log p(y_l = column | y_parent = row), [labels 2 2]; a root's rows are equal."""
    present = np.random.default_rng(3).uniform(0.1, 0.9, (LABELS, 2))
    roots = np.array(PARENTS[shape]) < 0
    present[roots, 1] = present[roots, 0]
    return np.log(np.stack((1 - present, present), axis=2)).astype(np.float32)


def head(shape: str) -> TrainedTree:
    arrays = {
        "scaling.mean": np.zeros(FEATURES, dtype=np.float32),
        "scaling.deviation": np.ones(FEATURES, dtype=np.float32),
        "last.weight": np.zeros((LABELS, FEATURES), dtype=np.float32),
        "last.bias": np.zeros(LABELS, dtype=np.float32),
        "parent": np.array(PARENTS[shape]),
        "log_given": log_given(shape),
    }
    return TrainedTree(arrays, SigmoidOptions(), scaling="none", num_labels=LABELS)


def log_weights(shape: str, unary: np.ndarray) -> np.ndarray:
    """Log T(y) + s.y of every set, [images sets], one factor at a time."""
    total = (SETS @ unary.T).T
    for label, parent in enumerate(PARENTS[shape]):
        above = SETS[:, parent] if parent >= 0 else np.zeros(len(SETS), dtype=int)
        total = total + log_given(shape)[label][above, SETS[:, label]].astype(np.float64)
    return total


def unary(images: int = 6) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(images, LABELS)) * 2


@pytest.mark.parametrize("shape", PARENTS)
def test_marginals_the_most_probable_set_and_likelihoods_are_those_of_enumeration(shape: str) -> None:
    model, s = head(shape), unary()
    weights = log_weights(shape, s)
    np.testing.assert_allclose(model.log_partition(s), logsumexp(weights, axis=1))
    np.testing.assert_allclose(model.marginals(s), softmax(weights, axis=1) @ SETS)
    assert (model.most_probable(s) == SETS[weights.argmax(axis=1)].astype(bool)).all()


def test_what_is_not_known_is_summed_out() -> None:
    model, s = head("tree"), unary(1)
    known = np.array([[1, -1, -1, 0, -1]], dtype=np.int8)
    fits = ((known == SETS) | (known == -1)).all(axis=1)
    expected = logsumexp(log_weights("tree", s)[:, fits], axis=1)
    np.testing.assert_allclose(model.log_partition(s, known), expected)


def test_samples_are_drawn_from_the_distribution() -> None:
    model, s = head("forest"), unary(2)
    uniform = np.random.default_rng(1).random((40_000, LABELS))
    drawn = model.sample(s, uniform)
    numbers = drawn @ (2 ** np.arange(LABELS)[::-1])
    probs = softmax(log_weights("forest", s), axis=1)
    for image in range(2):
        shares = np.bincount(numbers[image], minlength=len(SETS)) / len(uniform)
        assert np.abs(shares - probs[image]).max() < 0.01
    assert (model.sample(s[1:], uniform) == drawn[1:]).all()
