"""Sets with the greatest expected F1, against every set of a small vocabulary."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelbeam.predict.decision import (
    best_f1_sets,
    sized_marginals_of_independent,
    sized_marginals_of_samples,
)


def every_set(labels: int) -> np.ndarray:
    return np.array(list(itertools.product([False, True], repeat=labels)), dtype=bool).reshape(-1, labels)


def f1(decided: np.ndarray, true: np.ndarray) -> float:
    """F1 of two sets as one writes it down; of two empty ones 1."""
    if not decided.any() and not true.any():
        return 1.0
    return 2 * float((decided & true).sum()) / float(decided.sum() + true.sum())


def f1_table(labels: int) -> np.ndarray:
    sets = every_set(labels)
    return np.array([[f1(decided, true) for true in sets] for decided in sets])


TABLES = {labels: f1_table(labels) for labels in range(1, 7)}


def check_against_every_set(probs: np.ndarray, labels: int) -> None:
    """The found sets reach what the best of all sets reaches, and the run reports it."""
    sets, images = every_set(labels), len(probs)
    found = best_f1_sets(
        sized_marginals_of_samples(np.broadcast_to(sets, (images, *sets.shape)).copy(), probs)
    )
    table = TABLES.get(labels)
    expected = probs @ (f1_table(labels) if table is None else table).T  # [images sets]
    own = np.array([np.flatnonzero((sets == one).all(axis=1))[0] for one in found.sets])
    np.testing.assert_allclose(expected[np.arange(images), own], expected.max(axis=1), atol=1e-12)
    np.testing.assert_allclose(found.values, expected.max(axis=1), atol=1e-12)


@given(st.integers(1, 6), st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.3, 1.0, 5.0]))
@settings(deadline=None, max_examples=200)
def test_no_set_of_a_random_distribution_has_a_greater_expected_f1(
    labels: int, seed: int, spread: float
) -> None:
    random = np.random.default_rng(seed)
    check_against_every_set(random.dirichlet(np.full(2**labels, spread), size=5), labels)


def test_no_set_of_eight_labels_has_a_greater_expected_f1() -> None:
    random = np.random.default_rng(0)
    probs = np.concatenate([random.dirichlet(np.full(256, spread), size=5) for spread in (0.02, 0.2, 1.0)])
    check_against_every_set(probs, 8)


@given(st.integers(1, 8), st.integers(0, 2**32 - 1), st.booleans())
@settings(deadline=None, max_examples=100)
def test_independent_labels_have_the_sized_marginals_of_their_enumerated_sets(
    labels: int, seed: int, certain: bool
) -> None:
    random = np.random.default_rng(seed)
    p = random.random((3, labels)) ** 3
    if certain:
        p[random.random(p.shape) < 0.3] = 1.0
        p[random.random(p.shape) < 0.3] = 0.0
    sets = every_set(labels)
    probs = np.where(sets, p[:, None], 1 - p[:, None]).prod(axis=2)
    enumerated = sized_marginals_of_samples(np.broadcast_to(sets, (3, *sets.shape)).copy(), probs)
    exact = sized_marginals_of_independent(p)
    sizes = exact.joint.shape[2]
    np.testing.assert_allclose(exact.joint, enumerated.joint[:, :, :sizes], atol=1e-12)
    assert enumerated.joint[:, :, sizes:].max(initial=0.0) <= 1e-11
    np.testing.assert_allclose(exact.empty, enumerated.empty, atol=1e-12)


def test_many_independent_labels_lose_no_precision() -> None:
    p = np.random.default_rng(0).random((4, 300))
    exact = sized_marginals_of_independent(p)
    np.testing.assert_allclose(exact.joint.sum(axis=2), p, atol=1e-9)
    sizes = np.arange(1, exact.joint.shape[2] + 1)
    assert (exact.joint / sizes).sum(axis=(1, 2)) + exact.empty == pytest.approx(1, abs=1e-9)


def test_an_image_that_probably_has_no_label_gets_none() -> None:
    sets = every_set(2)[None]
    likely_empty = best_f1_sets(sized_marginals_of_samples(sets, np.array([[0.6, 0.1, 0.2, 0.1]])))
    assert likely_empty.sets.tolist() == [[False, False]]
    assert likely_empty.values.tolist() == pytest.approx([0.6])


def test_two_unsure_halves_are_both_decided() -> None:
    """One of two labels, 50 to 50: saying both is right in part for certain (2/3), a guess half the time (1/2)."""
    sets = every_set(2)[None]
    best = best_f1_sets(sized_marginals_of_samples(sets, np.array([[0.0, 0.5, 0.5, 0.0]])))
    assert best.sets.tolist() == [[True, True]]
    assert best.values.tolist() == pytest.approx([2 / 3])


def test_results_do_not_depend_on_how_many_images_are_decided_at_once() -> None:
    p = np.random.default_rng(1).random((6, 5))
    together = best_f1_sets(sized_marginals_of_independent(p))
    for i in range(len(p)):
        alone = best_f1_sets(sized_marginals_of_independent(p[i : i + 1]))
        assert alone.sets[0].tolist() == together.sets[i].tolist()
