from importlib.util import find_spec

import numpy as np
import pytest
from enumeration import ReluStep, all_paths, random_rows, ranked
from hypothesis import given, settings
from hypothesis import strategies as st

from labelbeam.decoding.beam import beam_search
from labelbeam.decoding.best_first import best_paths, expanded, likely_sets, new_expansion
from labelbeam.decoding.expansion import Expansion
from labelbeam.decoding.search import Search
from labelbeam.decoding.step import PathLength, TableStep
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.errors import InputError

HAS_NUMBA = find_spec("numba") is not None
BACKENDS = ("numpy", pytest.param("numba", marks=pytest.mark.skipif(not HAS_NUMBA, reason="needs Numba")))
models = st.tuples(
    st.sampled_from(["canonical", "no-repeat", "paper"]),
    st.integers(1, 5),
    st.integers(0, 10_000),
    st.sampled_from([0.3, 1.0, 4.0]),
)


def build(model, length=None):
    rule, num_labels, seed, scale = model
    step = TableStep({}, num_labels=num_labels, allowed=rule, seed=seed, scale=scale)
    length = length or (PathLength(maximum=3) if rule == "paper" else PathLength())
    return PrefixTrie(step, length=length), random_rows(3, num_labels + 1, seed, scale)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=40, deadline=None)
@given(model=models)
def test_the_certified_path_is_the_most_probable_of_all_paths(backend, model):
    trie, rows = build(model)
    found = best_paths(trie, rows, backend=backend)
    assert found.exact.all()
    for i, row in enumerate(rows):
        paths = all_paths(trie.step, row, maximum=trie.length.maximum)
        best = ranked(paths)[0]
        assert found.log_probs[i] == pytest.approx(best[1], abs=1e-4)
        assert paths[found.path(i)] == pytest.approx(best[1], abs=1e-4)
        assert found.upper[i] == found.log_probs[i]


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=40, deadline=None)
@given(model=models, budget=st.integers(1, 6))
def test_past_the_budget_the_bound_holds_and_no_certificate_is_false(backend, model, budget):
    trie, rows = build(model)
    found = best_paths(trie, rows, budget=budget, backend=backend)
    assert (found.expansions <= budget).all()
    for i, row in enumerate(rows):
        paths = all_paths(trie.step, row, maximum=trie.length.maximum)
        best = ranked(paths)[0][1]
        assert found.log_probs[i] == pytest.approx(paths[found.path(i)], abs=1e-4)
        assert found.log_probs[i] <= best + 1e-4
        assert found.upper[i] >= best - 1e-4
        if found.exact[i]:
            assert found.log_probs[i] == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("offset", [1e3, 1e5])
def test_the_bound_of_what_is_open_includes_the_digits_that_cancelling_rows_lose(backend, offset):
    step, rows = TableStep({}, num_labels=6, seed=1), random_rows(60, 7, 0)
    sure_end = np.float32([-90] * 6 + [0])  # after a label nothing is open but END: the bound has no slack

    def row(prefix, moved=0.0):
        drawn = step._row(()) if not prefix else 30 * sure_end
        return (drawn + np.float32(moved)).astype(np.float32)

    meant, moved = (TableStep({}, num_labels=6) for _ in range(2))
    meant._row, moved._row = row, lambda prefix: row(prefix, offset)
    best = best_paths(PrefixTrie(meant), rows)
    assert best.exact.all()
    found = best_paths(PrefixTrie(moved), rows - np.float32(offset), budget=1, backend=backend)
    left = ~found.exact
    assert left.sum() > 20
    assert (found.upper[left] >= best.log_probs[left]).all()
    assert (found.upper[left] <= best.log_probs[left] + 1e-6 * offset).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_equal_log_probabilities_are_decided_by_label_sequence(backend):
    # The empty set has 1/7; {0}, {1} and {2} have 2/7 each, in one sequence of one label.
    sure_end = [-np.inf, -np.inf, -np.inf, 0.0]
    table = {(): np.log([2.0, 2.0, 2.0, 1.0]).tolist(), (0,): sure_end, (1,): sure_end, (2,): sure_end}
    for allowed in ("canonical", "no-repeat"):
        trie = PrefixTrie(TableStep({k: np.maximum(v, -300).tolist() for k, v in table.items()}, num_labels=3,
                                    allowed=allowed))  # fmt: skip
        assert best_paths(trie, np.zeros((1, 4), np.float32), backend=backend).path(0) == (0,)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_and_a_trie_of_a_few_nodes_change_nothing(backend):
    step = TableStep({}, num_labels=10, allowed="no-repeat", seed=3)
    rows = random_rows(40, 11, 4)
    small = PrefixTrie(step, byte_limit=40 * PrefixTrie(step).bytes_per_node)
    limited = best_paths(small, rows, budget=300, backend=backend)
    assert small.evictions > 0
    assert small.nbytes <= small.byte_limit
    for i in range(len(rows)):
        alone = best_paths(PrefixTrie(step), rows[i : i + 1], budget=300, backend=backend)
        assert alone.path(0) == limited.path(i)
        assert alone.log_probs[0] == pytest.approx(limited.log_probs[i], abs=1e-5)
        assert alone.expansions[0] == limited.expansions[i]
        assert alone.exact[0] == limited.exact[i]


def test_no_beam_is_ever_better_than_a_certified_path():
    trie, rows = build(("no-repeat", 5, 1, 1.0))
    best = best_paths(trie, rows)
    for width in (1, 2, 5, 50):
        found = beam_search(trie, rows, Search(beam_width=width))
        assert (found.log_probs[:, 0] <= best.log_probs + 1e-6).all()


def test_where_no_path_is_finished_within_the_budget_the_greedy_one_is_given():
    trie, rows = build(("canonical", 5, 2, 1.0), PathLength.exactly(3))
    found = best_paths(trie, rows, budget=1)
    assert not found.exact.any()
    assert found.lengths.tolist() == [3, 3, 3]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_relu_model_is_certified_too(backend):
    step = ReluStep(5, allowed="canonical", seed=2)
    rows = random_rows(4, 4, 1)
    found = best_paths(PrefixTrie(step), rows, backend=backend)
    assert found.exact.all()
    for i, row in enumerate(rows):
        assert found.path(i) == ranked(all_paths(step, row))[0][0]


@pytest.mark.skipif(not HAS_NUMBA, reason="needs Numba")
@pytest.mark.parametrize(("nodes", "images"), [(60, 2), (4000, 30)], ids=["few nodes", "many nodes"])
@pytest.mark.parametrize("rule", ["canonical", "no-repeat", "paper"])
@pytest.mark.parametrize("relu", [False, True], ids=["additive", "relu"])
def test_a_compiled_tree_is_the_plain_one(relu, rule, nodes, images):
    if relu:
        step, width = ReluStep(7, allowed=rule, seed=5), 4
    else:
        step, width = TableStep({}, num_labels=7, allowed=rule, seed=5), 8
    rows, length = random_rows(images, width, 6), PathLength(maximum=5) if rule == "paper" else PathLength()
    limit = nodes * PrefixTrie(step, length=length).bytes_per_node
    trees = [
        expanded(PrefixTrie(step, length=length, byte_limit=limit), rows, 25, backend)
        for backend in ("numpy", "numba")
    ]
    for name in ("counts", "labels", "depths", "parents", "keys", "path_entry"):
        assert (getattr(trees[0], name) == getattr(trees[1], name)).all(), name
    for name in ("mass", "open_mass", "best", "end_log_probs", "totals"):
        np.testing.assert_allclose(*(getattr(tree, name) for tree in trees), atol=2e-5, err_msg=name)
    plain, compiled = (tree.rounding for tree in trees)
    if relu:  # the plain tree also counts logits that are not allowed
        assert (compiled <= plain * (1 + 1e-5)).all()
        own = compiled - np.take_along_axis(compiled, np.maximum(trees[1].parents, 0), axis=1)
        assert (own[trees[1].depths > 0] > 1e-14).mean() > 0.5
    else:
        np.testing.assert_allclose(plain, compiled, rtol=1e-12)
    assert (trees[0].counts > 5).all()


@pytest.mark.skipif(not HAS_NUMBA, reason="needs Numba")
def test_a_trained_model_whose_images_speak_of_labels_is_searched_alike_by_both_arithmetics():
    torch = pytest.importorskip("torch")
    from labelbeam.heads.arrays_torch import trained
    from labelbeam.heads.label_model_torch import CNNRNN
    from labelbeam.heads.options import LabelModelOptions

    torch.manual_seed(1)
    options = LabelModelOptions(
        embedding_size=3, hidden_size=5, nothing="independent", activation="relu", per_label=1.0
    )
    model = CNNRNN(4, 6, options)
    torch.nn.init.normal_(model.per_label.weight)
    head = trained(model)
    rows = head.image_rows(np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32))
    plain, compiled = (best_paths(PrefixTrie(head), rows, backend=one) for one in ("numpy", "numba"))
    assert plain.paths == compiled.paths
    assert len(set(plain.paths)) > 3
    np.testing.assert_allclose(plain.log_probs, compiled.log_probs, atol=1e-5)


def test_a_budget_below_one_is_refused():
    trie, rows = build(("canonical", 3, 2, 1.0))
    with pytest.raises(InputError, match="at least 1, given 0"):
        best_paths(trie, rows, budget=0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rule", ["canonical", "no-repeat"])
def test_past_the_budget_no_path_is_worse_than_greedy_and_beam_and_the_bound_holds(backend, rule):
    missed = 0
    num_labels = 12 if rule == "canonical" else 6
    for seed in range(6):
        step = TableStep({}, num_labels=num_labels, allowed=rule, seed=seed, scale=0.7)
        trie, rows = PrefixTrie(step), random_rows(8, num_labels + 1, seed, 0.7)
        rows[:, -1] -= 3.0  # sets of several labels, which a small budget does not finish
        best = best_paths(trie, rows, budget=3000)
        for budget in (1, 3, 10):
            found = best_paths(trie, rows, budget=budget, backend=backend)
            for options in (Search(beam_width=1, end="competes"), Search()):
                other = beam_search(trie, rows, options, backend=backend)
                assert (found.log_probs >= other.log_probs[:, 0] - 1e-5).all()
            assert (found.upper >= best.log_probs - 1e-9).all()
            assert (found.upper[found.exact] == found.log_probs[found.exact]).all()
            missed += (~found.exact).sum()
    assert missed > 50


def test_the_greedy_path_beats_a_bad_one_that_was_finished_first():
    table = {(): [5.0, 0.0, 0.0], (0,): [0.0, 0.0, 9.0]}
    trie = PrefixTrie(TableStep(table, num_labels=2))
    assert best_paths(trie, np.zeros((1, 3), np.float32), budget=1).path(0) == (0,)


@pytest.mark.parametrize("backend", BACKENDS)
def test_of_equal_continuations_the_first_by_label_sequence_is_expanded_not_the_first_that_was_met(backend):
    tree = new_expansion(PrefixTrie(TableStep({}, num_labels=4)), np.zeros((1, 5), np.float32), 5, backend)
    for label in (2, 1):
        tree.expand(np.array([0]), np.array([0]), np.array([label]), np.array([-1.0]))
    tree.rest[0, :3] = -np.inf
    tree.rest[0, 1:3, 3], tree.best[0, :3] = -2.0, [-np.inf, -2.0, -2.0]
    entries, labels, values = tree.top(np.array([0]))
    assert [*tree.path_of(0, int(entries[0])), int(labels[0])] == [1, 3]
    assert values.tolist() == [-2.0]


# The empty set has 1/2; {0} and {0, 1} have 1/4 each.
HALVES = {(): [0.0, -1000.0, 0.0], (0,): [0.0, 0.0, 0.0]}


def listed(backend, **options):
    return likely_sets(
        PrefixTrie(TableStep(HALVES, num_labels=2)), np.zeros((1, 3), np.float32), backend=backend, **options
    )[0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_sets_are_listed_until_they_hold_the_mass_and_only_where_they_are_certain(backend):
    assert listed(backend, count=9, mass=0.5) == [((), 0.5)]
    assert listed(backend, count=9, mass=0.51) == [((), 0.5), ((0,), 0.25), ((0, 1), 0.25)]
    assert listed(backend, count=9, budget=1) == []  # {0} and what holds it may be as probable
    assert listed(backend, count=9, budget=2) == [((), 0.5)]


def test_where_every_set_is_listed_nothing_more_is_expanded(monkeypatch):
    expansions = []
    expand = Expansion.expand
    monkeypatch.setattr(Expansion, "expand", lambda *given: (expansions.append(1), expand(*given)))
    assert len(listed("numpy", count=9, mass=2.0)) == 4  # with {1}, all but impossible
    assert len(expansions) == 3
