import numpy as np
import pytest
from enumeration import ReluStep, all_paths, random_rows, true_marginals
from hypothesis import given, settings
from hypothesis import strategies as st

from labelbeam.decoding.set_samples import sample_sets
from labelbeam.decoding.step import PathLength, TableStep
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.errors import InputError

small_models = st.one_of(
    st.tuples(st.just("canonical"), st.integers(1, 7)),
    st.tuples(st.just("no-repeat"), st.integers(1, 4)),
    st.tuples(st.just("paper"), st.integers(1, 3)),
)


def build(rule, num_labels, seed, scale=1.0):
    step = TableStep({}, num_labels=num_labels, allowed=rule, seed=seed, scale=scale)
    length = PathLength(maximum=4) if rule == "paper" else PathLength()
    return PrefixTrie(step, length=length), random_rows(2, num_labels + 1, seed, scale)


def enumerated(trie, row):
    """Probability of every set, from all paths."""
    probs = {}
    for path, log_prob in all_paths(trie.step, row, maximum=trie.length.maximum).items():
        probs[frozenset(path)] = probs.get(frozenset(path), 0.0) + np.exp(log_prob)
    return probs


def weighted(sets, weights):
    """Weight of every set among the rows of one image."""
    probs = {}
    for row, weight in zip(sets, weights, strict=True):
        if weight:
            key = frozenset(np.flatnonzero(row).tolist())
            probs[key] = probs.get(key, 0.0) + weight
    return probs


@settings(max_examples=150, deadline=None)
@given(model=small_models, seed=st.integers(0, 10**6), scale=st.sampled_from([0.3, 1.0, 3.0]))
def test_with_everything_expanded_the_weights_are_the_enumerated_probabilities(model, seed, scale):
    trie, rows = build(*model, seed, scale)
    found = sample_sets(trie, rows, expansions=400, samples=2)
    for i, row in enumerate(rows):
        true, probs = enumerated(trie, row), weighted(found.sets[i], found.weights[i])
        assert set(probs) <= set(true)
        assert all(probs.get(key, 0.0) == pytest.approx(prob, abs=1e-5) for key, prob in true.items())


@settings(max_examples=150, deadline=None)
@given(model=small_models, seed=st.integers(0, 10**6), budget=st.integers(1, 12))
def test_weights_sum_to_one_and_a_finished_path_has_its_exact_probability(model, seed, budget):
    trie, rows = build(*model, seed)
    found = sample_sets(trie, rows, expansions=budget, samples=5, seed=seed)
    assert found.sets.shape == (2, budget + 5, trie.num_labels)
    assert found.weights.min() >= 0
    assert found.weights.sum(axis=1) == pytest.approx(1.0, abs=1e-12)
    assert not found.sets[found.weights == 0].any()
    for i, row in enumerate(rows):
        true = enumerated(trie, row)
        finished = weighted(found.sets[i, :budget], found.weights[i, :budget])
        if trie.step.allowed == "canonical":
            assert all(prob == pytest.approx(true[key], abs=1e-5) for key, prob in finished.items())
        else:  # other orders of the same set may still be open
            assert all(prob <= true[key] + 1e-5 for key, prob in finished.items())


@pytest.mark.parametrize(("rule", "num_labels"), [("canonical", 6), ("no-repeat", 4), ("paper", 2)])
def test_the_weight_of_every_set_is_unbiased_over_streams(rule, num_labels):
    trie, rows = build(rule, num_labels, 9)
    count = 800
    found = sample_sets(
        trie, np.repeat(rows[:1], count, axis=0), expansions=3, samples=4, streams=np.arange(count)
    )
    true = enumerated(trie, rows[0])
    weights = [weighted(sets, row) for sets, row in zip(found.sets, found.weights, strict=True)]
    for key, prob in true.items():
        seen = np.array([row.get(key, 0.0) for row in weights])
        # 1e-3: a set that is hardly ever drawn shows no spread.
        assert abs(seen.mean() - prob) <= 4.5 * seen.std() / np.sqrt(count) + 1e-3


@pytest.mark.parametrize(("rule", "num_labels"), [("canonical", 12), ("no-repeat", 6)])
def test_marginals_of_the_sample_come_close_to_the_enumerated_ones(rule, num_labels):
    trie, rows = build(rule, num_labels, 3)
    found = sample_sets(trie, rows, expansions=50, samples=2000)
    true = np.stack([true_marginals(all_paths(trie.step, row), num_labels) for row in rows])
    assert np.abs(found.marginals() - true).max() < 0.03


@pytest.mark.parametrize("rule", ["canonical", "no-repeat", "paper"])
def test_a_batch_a_small_trie_and_the_backend_change_no_row(rule):
    step = TableStep({}, num_labels=8, allowed=rule, seed=4)
    rows = random_rows(12, 9, 1)
    small = PrefixTrie(step, byte_limit=60 * PrefixTrie(step).bytes_per_node)
    options = {"expansions": 20, "samples": 30, "seed": 5}
    limited = sample_sets(small, rows, **options)
    assert small.evictions > 0
    for i in range(len(rows)):
        alone = sample_sets(PrefixTrie(step), rows[i : i + 1], **options, backend="numpy")
        assert alone.sets[0].tolist() == limited.sets[i].tolist()
        np.testing.assert_allclose(alone.weights[0], limited.weights[i], atol=1e-5)


def test_streams_make_images_independent_and_the_same_seed_gives_the_same_rows():
    trie, rows = build("canonical", 7, 2)
    rows = np.repeat(rows[:1], 2, axis=0)
    options = {"expansions": 2, "samples": 10, "seed": 1}
    shared, again = (sample_sets(trie, rows, **options) for _ in range(2))
    assert shared.sets.tolist() == again.sets.tolist()
    assert shared.sets[0].tolist() == shared.sets[1].tolist()
    own = sample_sets(trie, rows, streams=np.array([0, 1]), **options)
    assert own.sets[0].tolist() == shared.sets[0].tolist()
    assert own.sets[1].tolist() != shared.sets[1].tolist()


def test_every_set_of_exactly_k_labels_has_k_labels():
    trie = PrefixTrie(TableStep({}, num_labels=7, seed=2), length=PathLength.exactly(3))
    found = sample_sets(trie, random_rows(3, 8, 1), expansions=5, samples=20)
    assert set(found.sets.sum(axis=2)[found.weights > 0].tolist()) == {3}


def test_a_relu_model_has_set_samples_too_and_no_images_give_none():
    trie = PrefixTrie(ReluStep(6, allowed="canonical", seed=2))
    rows = random_rows(2, 4, 1)
    found = sample_sets(trie, rows, expansions=200, samples=2)
    true = np.stack([true_marginals(all_paths(trie.step, row), 6) for row in rows])
    np.testing.assert_allclose(found.marginals(), true, atol=1e-4)
    assert len(sample_sets(trie, rows[:0])) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"expansions": 0}, ["at least 1", "given 0"]),
        ({"samples": 0}, ["at least 1 sample", "samples=0"]),
        ({"streams": np.arange(5)}, ["one number per image, 2", "given 5"]),
    ],
)
def test_impossible_budgets_say_what_is_possible(options, words):
    trie, rows = build("canonical", 3, 1)
    with pytest.raises(InputError) as error:
        sample_sets(trie, rows, **options)
    assert all(word in str(error.value) for word in words)
