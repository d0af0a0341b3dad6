"""The best sum over the labels said so far: against values worked out by hand, and against a slow optimiser."""

import numpy as np
import pytest
from scipy.optimize import minimize

from labelbeam.scenes.bayes import TrueDistribution, bayes_values, population, true_distribution
from labelbeam.scenes.best_sum import best_sum
from labelbeam.scenes.world import Cues


def three_labels(chances: dict[str, float]) -> TrueDistribution:
    """One picture whose sets over the labels a, b and c have these chances."""
    sets = np.array([[name in names for name in "abc"] for names in chances])
    probs = np.array(list(chances.values()))
    return TrueDistribution(np.zeros(len(sets), dtype=np.int64), sets, probs, np.ones(1))


def test_the_third_of_three_labels_that_is_there_when_the_first_two_differ_is_a_coin_to_a_sum():
    # c with 0.9 where exactly one of a and b is there, else with 0.1. A sum sees 0.5 whatever it knows: a alone, b
    # alone and neither say nothing of c.
    truth = three_labels(
        {
            name + c: 0.25 * (0.9 if (len(name) == 1) == bool(c) else 0.1)
            for name in ("", "a", "b", "ab")
            for c in ("", "c")
        }
    )
    found = best_sum(truth)
    assert found.reached == pytest.approx(-3 * np.log(2), abs=1e-6)
    assert found.bound == pytest.approx(-3 * np.log(2), abs=1e-6)
    assert -truth.entropies[0] == pytest.approx(-2 * np.log(2) + 0.9 * np.log(0.9) + 0.1 * np.log(0.1))


def test_independent_labels_lose_nothing_in_a_sum():
    share = {"a": 0.7, "b": 0.4, "c": 0.2}
    truth = three_labels(
        {
            names: float(np.prod([p if one in names else 1 - p for one, p in share.items()]))
            for names in ("", "a", "b", "c", "ab", "ac", "bc", "abc")
        }
    )
    assert best_sum(truth).bound == pytest.approx(-truth.entropies[0], abs=1e-6)


def test_a_slow_optimiser_that_knows_the_rows_only_finds_the_same():
    cues = [
        Cues("sea", "dawn"),
        Cues("sea", "mist", ("person",)),
        Cues("kitchen", "dusk"),
        Cues("nothing", "noon"),
    ]
    truth = true_distribution(cues, np.array([0.4, 0.3, 0.2, 0.1]))
    order = np.argsort(-(truth.weights @ truth.marginals).round(12), kind="stable")
    end, rows, outcomes = len(order), {}, []
    for image, present, chance in zip(truth.image, truth.sets[:, order], truth.probs, strict=True):
        path = [*np.flatnonzero(present), end]
        for i, outcome in enumerate(path):
            seen = np.zeros(end + len(cues))
            seen[path[:i]] = seen[end + image] = 1
            row = rows.setdefault(tuple(seen), len(rows))
            outcomes.append((row, outcome, truth.weights[image] * chance))
    speakers, mass = np.array(list(rows)), np.zeros((len(rows), end + 1))
    for row, outcome, chance in outcomes:
        mass[row, outcome] += chance

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        logits = np.where(mass > 0, speakers @ theta.reshape(speakers.shape[1], -1), -1e9)
        said = np.exp(logits - logits.max(axis=1, keepdims=True))
        said /= said.sum(axis=1, keepdims=True)
        gradient = speakers.T @ (mass.sum(axis=1, keepdims=True) * said - mass)
        return -float(mass[mass > 0] @ np.log(said[mass > 0])), gradient.ravel()

    slow = minimize(
        loss, np.zeros(speakers.shape[1] * (end + 1)), jac=True, options={"gtol": 1e-9}, method="L-BFGS-B"
    )
    found = best_sum(truth)
    assert found.reached == pytest.approx(-slow.fun, abs=1e-4)
    assert -slow.fun <= found.bound + 1e-9
    assert found.bound < -float(truth.weights @ truth.entropies)


def test_in_the_whole_world_no_sum_comes_within_three_tenths_of_a_nat_of_the_best_reader():
    found = best_sum(population())
    assert found.reached <= found.bound <= found.reached + 1e-6
    assert found.bound <= bayes_values().joint_log_likelihood - 0.3


def test_pictures_of_which_nothing_is_open_need_no_search():
    assert best_sum(true_distribution([Cues("nothing", "dawn")])).bound == 0.0
