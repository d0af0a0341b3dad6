"""Every search under rules against the enumeration of all sets that keep them."""

from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest
from enumeration import ReluStep, all_paths, random_rows, ranked

from labelbeam.decoding.beam import beam_search, greedy_search
from labelbeam.decoding.best_first import best_paths
from labelbeam.decoding.evidence import conditional_marginals
from labelbeam.decoding.marginals import label_marginals
from labelbeam.decoding.rule_machine import RuleMachine
from labelbeam.decoding.search import Search
from labelbeam.decoding.set_samples import sample_sets
from labelbeam.decoding.step import PathLength, TableStep
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.errors import InputError
from labelbeam.labels.rules import Limit
from random_rules import kept_sets, random_limits

HAS_NUMBA = find_spec("numba") is not None
ANY = PathLength()
BACKENDS = ("numpy", pytest.param("numba", marks=pytest.mark.skipif(not HAS_NUMBA, reason="needs Numba")))


@cache
def cases(length=ANY):
    """Hundreds of random models with rules that some set keeps: trie, image row, the sets that keep them, all paths."""
    generator = np.random.default_rng(7)
    found = []
    while len(found) < 600:
        num_labels = int(generator.integers(2, 6))
        limits = random_limits(generator, num_labels)
        kept = kept_sets(limits, num_labels)
        kept = {one for one in kept if length.minimum <= len(one) <= (length.maximum or num_labels)}
        if not kept or length.minimum > num_labels:
            continue
        number, scale = int(generator.integers(10**6)), float(generator.choice([0.3, 1.0, 3.0]))
        if len(found) % 8:
            step = TableStep({}, num_labels=num_labels, seed=number, scale=scale)
            row = random_rows(1, num_labels + 1, number, scale)
        else:
            step, row = ReluStep(num_labels, allowed="canonical", seed=number), random_rows(1, 4, number)
        paths = all_paths(step, row[0], minimum=length.minimum, maximum=length.maximum)
        found.append((PrefixTrie(step, length=length, limits=limits, byte_limit=10**6), row, kept, paths))
    return found


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("length", [ANY, PathLength(1, 3)], ids=["any length", "1 to 3 labels"])
def test_the_certified_path_is_the_most_probable_of_the_sets_that_keep_the_rules(backend, length):
    for trie, row, kept, paths in cases(length)[: 600 if length is ANY else 200]:
        found = best_paths(trie, row, backend=backend)
        best = ranked({one: paths[one] for one in kept})[0][1]
        assert found.exact.all()
        assert found.path(0) in kept
        assert paths[found.path(0)] == pytest.approx(best, abs=1e-5)
        assert found.log_probs[0] == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_beams_hold_only_sets_that_keep_the_rules_and_a_wide_one_holds_them_all(backend):
    for trie, row, kept, paths in cases()[:300]:
        chosen = backend if trie.step.additive else "numpy"  # beams of others are not compiled
        wide = beam_search(trie, row, Search(beam_width=32, stop="worst"), backend=chosen).candidates(0)
        expected = ranked({one: paths[one] for one in kept})
        assert {path for path, _ in wide} == {path for path, _ in expected}
        values = [value for _, value in expected]
        np.testing.assert_allclose([value for _, value in wide], values, atol=1e-5)
        assert greedy_search(trie, row, backend=chosen).best(0) in kept
        assert beam_search(trie, row, Search(beam_width=2), backend=chosen).best(0) in kept


@pytest.mark.parametrize("backend", BACKENDS)
def test_past_the_budget_the_path_still_keeps_the_rules_and_the_bound_holds(backend):
    missed = 0
    for trie, row, kept, paths in cases()[:200]:
        best = ranked({one: paths[one] for one in kept})[0][1]
        for budget in (1, 3):
            found = best_paths(trie, row, budget=budget, backend=backend)
            assert found.path(0) in kept
            assert found.upper[0] >= best - 1e-6
            assert not found.exact[0] or found.log_probs[0] == pytest.approx(best, abs=1e-5)
            missed += not found.exact[0]
    assert missed > 50


def conditioned(paths, kept, known, num_labels):
    """Marginals, and probability, of the sets that keep the rules and agree with what is known."""
    mass, total = np.zeros(num_labels), 0.0
    for one in kept:
        has = np.isin(np.arange(num_labels), one)
        if (has[known == 1]).all() and not has[known == 0].any():
            total += np.exp(paths[one])
            mass[has] += np.exp(paths[one])
    return (mass / total if total else None), total


def test_marginals_are_those_of_the_conditioned_distribution_and_compose_with_evidence():
    generator = np.random.default_rng(4)
    exact = estimated = beyond = 0
    for trie, row, kept, paths in cases()[:300]:
        for given in (0, 2):
            known = np.full((1, trie.num_labels), -1, dtype=np.int8)
            known[0, generator.permutation(trie.num_labels)[:given]] = generator.integers(0, 2, size=given)
            true, total = conditioned(paths, kept, known[0], trie.num_labels)
            if true is None:
                continue
            for expansions in (1, 3, 200):
                found = conditional_marginals(trie, row, known, expansions=expansions, samples=50)
                assert (found.low[0] <= true + 1e-9).all()
                assert (found.high[0] >= true - 1e-9).all()
                assert found.evidence_low[0] - 1e-9 <= total <= found.evidence_high[0] + 1e-9
                beyond += (np.abs(found.score[0] - true) > 5 * found.stderr[0] + 1e-4).any()
                estimated += expansions < 200
            exact += (found.high - found.low).max() < 1e-4
    assert exact > 400
    assert estimated > 800
    assert beyond <= 0.01 * estimated  # rare sets of which no sample came


def test_estimates_under_rules_are_unbiased():
    step = TableStep({}, num_labels=9, seed=5)
    limits = [Limit((1, 5, 8), (), 1, 1), Limit((7,), (2,), 0, 1), Limit(tuple(range(9)), (), 0, 4)]
    trie, rows = PrefixTrie(step, limits=limits), random_rows(1, 10, 5)
    kept, paths = kept_sets(limits, 9), all_paths(step, rows[0])
    nothing = np.full((1, 9), -1, dtype=np.int8)
    true, total = conditioned(paths, kept, nothing[0], 9)
    scores, kept_mass = [], []
    for seed in range(40):
        found = conditional_marginals(trie, rows, nothing, expansions=3, samples=200, seed=seed)
        scores.append(found.score[0])
        kept_mass.append(found.evidence[0])
    error = np.std(scores, axis=0) / np.sqrt(len(scores))
    assert (np.abs(np.mean(scores, axis=0) - true) <= 4 * error + 1e-4).all()
    assert np.mean(kept_mass) == pytest.approx(total, abs=4 * np.std(kept_mass) / np.sqrt(40) + 1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_scores_under_rules_lie_within_hard_bounds_of_the_conditioned_distribution(backend):
    estimated = beyond = exact = 0
    for trie, row, kept, paths in cases()[:300]:
        true, total = conditioned(paths, kept, np.full(trie.num_labels, -1), trie.num_labels)
        for expansions, stderr in ((1, None), (3, 0.01), (200, 0.01)):
            found = label_marginals(
                trie, row, expansions=expansions, samples=50, stderr=stderr, backend=backend
            )
            assert (found.low[0] <= true + 1e-9).all()
            assert (found.high[0] >= true - 1e-9).all()
            assert found.paths.path(0) in kept
            off = np.abs(found.score[0] - true)
            beyond += (off > 5 * found.stderr[0] + 1e-4).any()
            estimated += expansions < 200
            if found.exact[0] and expansions == 200:
                exact += 1
                assert off.max() < 1e-4
                assert found.kept[0] == pytest.approx(total, abs=1e-4)
    assert exact > 200
    assert beyond <= 0.015 * estimated  # rare sets of which no sample came


def long_rules(kind):
    """Twelve labels whose sets rules hardly bind, or bind hard."""
    loose = [Limit((1, 5, 11), (), 0, 2), Limit((7,), (2,), 0, 1), Limit(tuple(range(12)), (), 0, 10)]
    hard = [Limit((1, 5, 11), (), 1, 1), Limit((7,), (2,), 0, 1), Limit((0, 3, 9), (), 2, 3)]
    step, limits = TableStep({}, num_labels=12, seed=5), loose if kind == "loose" else hard
    return PrefixTrie(step, limits=limits), random_rows(1, 13, 5), kept_sets(limits, 12), step


@pytest.mark.parametrize("kind", ["loose", "hard"])
def test_scores_under_rules_are_right_on_average_and_their_errors_are_what_they_say(kind):
    trie, row, kept, step = long_rules(kind)
    true, total = conditioned(all_paths(step, row[0]), kept, np.full(12, -1), 12)
    found = [label_marginals(trie, row, expansions=4, samples=200, seed=seed) for seed in range(60)]
    scores, errors = np.array([one.score[0] for one in found]), np.array([one.stderr[0] for one in found])
    spread = scores.std(axis=0)
    assert (np.abs(scores.mean(axis=0) - true) <= 4 * spread / 60**0.5 + 5e-3).all()
    assert np.mean([one.kept[0] for one in found]) == pytest.approx(total, rel=0.05)
    assert (spread <= 1.3 * errors.mean(axis=0)).all()
    assert errors.max() < 0.1


@pytest.mark.skipif(not HAS_NUMBA, reason="needs Numba")
def test_under_rules_nothing_is_open_behind_a_path_of_the_greatest_length_for_both_backends():
    step = TableStep({}, num_labels=6, seed=5)
    trie = PrefixTrie(step, limits=[Limit((1, 4), (), 0, 1)], length=PathLength(maximum=2))
    rows = random_rows(2, 7, 5)
    plain, compiled = (
        label_marginals(trie, rows, expansions=4, samples=0, backend=one) for one in ("numpy", "numba")
    )
    np.testing.assert_allclose(plain.low, compiled.low, atol=1e-5)
    np.testing.assert_allclose(plain.high, compiled.high, atol=1e-5)
    assert (plain.high - plain.low).max() > 0.01


@pytest.mark.skipif(not HAS_NUMBA, reason="needs Numba")
@pytest.mark.parametrize("kind", ["loose", "hard"])
def test_both_backends_score_alike_under_rules(kind):
    trie, row, _, _ = long_rules(kind)
    plain, compiled = (
        label_marginals(trie, row, expansions=4, samples=100, backend=one) for one in ("numpy", "numba")
    )
    for name in ("score", "low", "high", "stderr", "kept"):
        np.testing.assert_allclose(getattr(plain, name), getattr(compiled, name), atol=2e-5)


def test_rules_that_hardly_bind_cost_no_precision():
    _, row, _, step = long_rules("loose")
    free, ruled = (
        label_marginals(PrefixTrie(step, limits=limits), row, expansions=4, samples=200)
        for limits in ([], [Limit((1, 5, 8), (), 0, 2)])
    )
    assert ruled.kept[0] > 0.9
    assert ruled.stderr.max() < 1.5 * free.stderr.max()


@pytest.mark.parametrize("expansions", [2, 200])
def test_sampled_sets_keep_the_rules_and_weigh_what_the_conditioned_distribution_gives_them(expansions):
    errors = []
    for trie, row, kept, paths in cases()[:150]:
        found = sample_sets(trie, row, expansions=expansions, samples=400)
        used = found.sets[found.weights > 0]
        assert {tuple(np.flatnonzero(one).tolist()) for one in used} <= kept
        true, _ = conditioned(paths, kept, np.full(trie.num_labels, -1), trie.num_labels)
        errors.append(np.abs(found.marginals()[0] - true).max())
    assert np.mean(errors) < (0.03 if expansions == 2 else 1e-4)


def test_a_trie_that_drops_nodes_and_a_batch_change_nothing():
    step = TableStep({}, num_labels=12, seed=3)
    limits = [Limit((1, 5, 8), (), 1, 1), Limit((7,), (2,), 0, 1), Limit(tuple(range(12)), (), 2, 4)]
    rows = random_rows(30, 13, 4)
    whole = best_paths(PrefixTrie(step, limits=limits), rows)
    small = PrefixTrie(step, limits=limits, byte_limit=40 * PrefixTrie(step, limits=limits).bytes_per_node)
    limited = best_paths(small, rows)
    assert small.evictions > 0
    assert (whole.labels == limited.labels).all()


def test_rules_that_no_set_of_the_searchs_lengths_keeps_are_refused():
    step = TableStep({}, num_labels=4)
    with pytest.raises(InputError, match="no set of 0 to 1 labels keeps the rules"):
        PrefixTrie(step, length=PathLength(maximum=1), limits=[Limit((0, 1, 2), (), 2, 3)])


def test_rules_for_a_model_without_label_order_are_refused_with_the_reason():
    step = TableStep({}, num_labels=4, allowed="no-repeat")
    with pytest.raises(InputError, match=r"fixed order.*'no-repeat'"):
        PrefixTrie(step, limits=[Limit((0, 1), (), 0, 1)])


def test_a_rule_is_not_settled_by_labels_that_come_before_its_own():
    machine = RuleMachine([Limit((1,), (), 1, 1)], num_labels=3)
    settled = machine.settles(machine.start[None], np.array([0]))
    assert settled[0, :2].tolist() == [False, True]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_seeded_run_keeps_its_numbers(backend):
    limits = [Limit((0, 2, 5), (), 1, 1), Limit((1,), (3,), 0, 1)]
    trie = PrefixTrie(TableStep({}, num_labels=8, seed=7), limits=limits)
    found = label_marginals(trie, random_rows(2, 9, 7), expansions=4, samples=40, seed=3, backend=backend)
    for name, numbers in GOLDEN.items():
        assert getattr(found, name)[1].tolist() == pytest.approx(numbers, rel=2e-3, abs=2e-4), name


GOLDEN = {
    "low": [0.0929, 0.1991, 0.0948, 0.0, 0.0, 0.2469, 0.1268, 0.0078],
    "high": [0.3206, 0.6438, 0.3876, 0.3923, 0.5776, 0.8245, 0.9514, 0.9592],
    "score": [0.1843, 0.5023, 0.157, 0.1887, 0.1647, 0.6494, 0.6848, 0.3568],
    "stderr": [0.0384, 0.0769, 0.0268, 0.0587, 0.0456, 0.0837, 0.0615, 0.034],
    "kept": 0.2168,
}
