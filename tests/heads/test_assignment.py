import itertools

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from labelbeam.heads.order_free_torch import cheapest_assignment


def cost(costs: np.ndarray, columns) -> float:
    return float(costs[np.arange(len(costs)), columns].sum())


@pytest.mark.parametrize("size", range(1, 7))
def test_no_permutation_is_cheaper(size: int) -> None:
    random = np.random.default_rng(size)
    for draw in range(30):
        costs = random.normal(size=(size, size)) if draw % 2 else random.integers(0, 4, (size, size)) * 1.0
        found = cheapest_assignment(costs)
        assert sorted(found) == list(range(size))
        least = min(cost(costs, columns) for columns in itertools.permutations(range(size)))
        assert cost(costs, found) == pytest.approx(least)


def test_large_ones_with_forbidden_pairs_cost_what_scipy_s_do() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        costs = random.random((25, 25))
        costs[random.random((25, 25)) < 0.5] = 1e6
        np.fill_diagonal(costs, 0.9)
        assert cost(costs, cheapest_assignment(costs)) == pytest.approx(
            cost(costs, linear_sum_assignment(costs)[1])
        )


def test_nothing_is_assigned_to_nothing() -> None:
    assert cheapest_assignment(np.zeros((0, 0))).tolist() == []
