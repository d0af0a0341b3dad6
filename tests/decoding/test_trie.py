import numpy as np
import pytest
from enumeration import ReluStep

from labelbeam.decoding.step import PathLength, TableStep
from labelbeam.decoding.trie import MISSING, ROOT, PrefixTrie
from labelbeam.errors import InputError
from labelbeam.labels.rules import Limit


class CountingStep(TableStep):
    """A table that counts how often and for how many prefixes it is asked."""

    calls, prefixes = 0, 0

    def step(self, states, labels):
        self.calls += 1
        self.prefixes += len(labels)
        return super().step(states, labels)


def live_nodes(trie):
    """Nodes reached from the root through the tables of children."""
    reached, waiting = [], [ROOT]
    while waiting:
        node = waiting.pop()
        reached.append(node)
        waiting += [int(child) for child in trie.children[node] if child != MISSING]
    return reached


def node_arrays(trie):
    names = ("states", "rows", "weights", "peaks", "spans", "masks", "rule_states", "live", "settled", "children",
             "parents", "labels", "depths", "last_used", "_free")  # fmt: skip
    return [getattr(trie, name) for name in names]


@pytest.mark.parametrize("limits", [(), (Limit((0, 2), (), 1, 1),)], ids=["no rules", "rules"])
@pytest.mark.parametrize("relu", [False, True], ids=["additive", "relu"])
def test_the_bytes_of_a_node_are_those_of_its_arrays(relu, limits):
    step = ReluStep(5, allowed="canonical", seed=0) if relu else TableStep({}, num_labels=5)
    trie = PrefixTrie(step, limits=limits, byte_limit=50_000)
    assert sum(array.nbytes for array in node_arrays(trie)) == trie.capacity * trie.bytes_per_node
    assert trie.capacity == 50_000 // trie.bytes_per_node


def test_a_prefix_is_computed_once_and_all_missing_ones_in_one_step():
    step = CountingStep({}, num_labels=4, seed=0)
    trie = PrefixTrie(step)
    assert (trie.batch, trie.created, trie.evictions) == (0, 1, 0)
    trie.start_batch()
    nodes = trie.extend(np.array([0, 0, 0]), np.array([1, 3, 1]))
    assert nodes[0] == nodes[2] != nodes[1]
    assert (step.calls, step.prefixes) == (1, 2)
    assert trie.find(np.array([[1], [3]]), np.array([1, 1])).tolist() == nodes[:2].tolist()
    assert (step.calls, step.prefixes) == (1, 2)
    assert (trie.batch, trie.created, trie.evictions) == (1, 3, 0)


def test_probabilities_are_the_softmax_over_allowed_outcomes():
    trie = PrefixTrie(TableStep({(1,): [5.0, 5.0, 0.0, np.log(3.0)]}, num_labels=3))
    trie.start_batch()
    node = trie.extend(np.array([0]), np.array([1]))
    probs = np.exp(trie.log_probs(node, np.zeros((1, 4), np.float32)))
    assert probs[0].tolist() == pytest.approx([0.0, 0.0, 0.25, 0.75])


def test_the_byte_limit_holds_and_no_node_outlives_its_parent():
    step = TableStep({}, num_labels=6, allowed="no-repeat", seed=1)
    limit = 20 * PrefixTrie(step).bytes_per_node
    trie = PrefixTrie(step, byte_limit=limit)
    generator = np.random.default_rng(0)
    for _ in range(60):
        trie.start_batch()
        paths = np.array([generator.permutation(6)[:3] for _ in range(3)])
        nodes = trie.find(paths, np.array([3, 3, 3]))
        assert [trie.path_of(int(node)) for node in nodes] == [tuple(path) for path in paths.tolist()]
        assert trie.nbytes <= limit
        assert len(live_nodes(trie)) == trie.num_nodes
    assert trie.evictions > 0
    assert sum(array.nbytes for array in node_arrays(trie)) <= limit


def test_the_longest_unused_and_deepest_prefixes_go_first():
    step = TableStep({}, num_labels=6, seed=1)
    trie = PrefixTrie(step, byte_limit=8 * PrefixTrie(step).bytes_per_node)
    for path in ([0, 1, 2], [3, 4], [5]):
        trie.start_batch()
        trie.find(np.array([path]), np.array([len(path)]))
    assert trie.num_nodes == 7
    trie.start_batch()
    trie.find(np.array([[1], [2]]), np.array([1, 1]))  # room for one: two nodes, a quarter of eight, go
    kept = {trie.path_of(node) for node in live_nodes(trie)}
    assert kept == {(), (0,), (3,), (3, 4), (5,), (1,), (2,)}


def test_a_model_that_is_not_additive_is_masked_too():
    trie = PrefixTrie(ReluStep(3, allowed="canonical", seed=0), length=PathLength.exactly(2))
    probs = np.exp(trie.log_probs(np.array([0]), np.ones((1, 4), np.float32)))[0]
    assert probs[[2, 3]].tolist() == [0.0, 0.0]
    assert probs.sum() == pytest.approx(1.0)


class NanStep(TableStep):
    def step(self, states, labels):
        states, rows = super().step(states, labels)
        return states, rows * np.float32(np.nan)


class NarrowStep(TableStep):
    def start(self):
        state, row = super().start()
        return state, row[:, :-1]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PrefixTrie(TableStep({}, num_labels=3), byte_limit=100), ["100 bytes", "Give at least"]),
        (
            lambda: PrefixTrie(NarrowStep({}, num_labels=3)),
            ["one number per label and END", "4", "given rows of 3"],
        ),
        (lambda: PrefixTrie(TableStep({}, num_labels=0)), ["at least one label", "num_labels=0"]),
        (
            lambda: PrefixTrie(NanStep({}, num_labels=3)).extend(np.array([0]), np.array([1])),
            ["NaN", "train again"],
        ),
        (lambda: PrefixTrie(TableStep({}, num_labels=3), length=PathLength(4)), ["at least 4", "at most 3"]),
    ],
)
def test_unusable_models_and_limits_say_what_to_do(make, words):
    with pytest.raises(InputError) as error:
        make()
    assert all(word in str(error.value) for word in words)


def test_an_unknown_rule_proposes_the_nearest():
    step = TableStep({}, num_labels=3)
    step.allowed = "canonicle"
    with pytest.raises(InputError, match="Did you mean 'canonical'"):
        PrefixTrie(step)


class TwoEnds(TableStep):
    """END stands twice: behind the empty prefix only the second counts, elsewhere only the first."""

    def _row(self, prefix):
        row = super()._row(prefix)
        ends = [-np.inf, row[-1]] if not prefix else [row[-1], -np.inf]
        return np.concatenate((row[:-1], np.float32(ends)))


def test_where_end_stands_twice_a_prefix_has_one_of_the_two_and_its_labels_stay_masked():
    trie = PrefixTrie(
        TwoEnds({(): [0.0, 2.0, 1.0], (1,): [7.0, 7.0, 3.0], (0,): [7.0, 0.0, 1.0]}, num_labels=2)
    )
    trie.start_batch()
    nodes = np.concatenate(([ROOT], trie.extend(np.array([0, 0]), np.array([1, 0]))))
    minus = -np.inf
    assert trie.rows[nodes].tolist() == [[0, 2, minus, 1], [minus, minus, 3, minus], [minus, 0, 1, minus]]
    assert (trie.peaks[nodes].tolist(), trie.spans[nodes].tolist()) == ([2, 3, 1], [2, 0, 1])
    image_rows = np.float32([[0, 0, 5, 6], [0, 0, 5, 6], [0, 0, 5, 6]])
    probs = np.exp(trie.log_probs(nodes, image_rows, np.float64))
    wanted = [np.exp([0, 2, 7]), np.exp([minus, minus, 8]), np.exp([minus, 0, 6])]
    np.testing.assert_allclose(probs, [one / one.sum() for one in wanted])


def test_rounding_is_two_units_of_single_precision_of_the_greatest_numbers_and_what_double_adds():
    trie = PrefixTrie(TableStep({(): [1.0, -3.0, 2.0]}, num_labels=2))
    found = trie.rounding(np.array([ROOT]), np.zeros((1, 3), np.float32), np.array([0.5]))
    assert found.tolist() == [(2 * 2.0**-24 + 4 * 2.0**-52) * 3.5 + 3 * 2.0**-52]
