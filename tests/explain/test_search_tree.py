import numpy as np
import pytest

from labelbeam.decoding.likelihood import path_log_prob
from labelbeam.decoding.step import TableStep
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.errors import InputError
from labelbeam.explain.search_tree import search_tree


def trie(allowed: str = "canonical") -> PrefixTrie:
    return PrefixTrie(TableStep({}, num_labels=4, allowed=allowed, seed=0, scale=1.5))


ROW = np.array([0.5, -0.2, 0.1, 0.3, 0.8], dtype=np.float32)


@pytest.mark.parametrize("allowed", ["canonical", "no-repeat"])
def test_a_tree_without_limits_holds_every_path_with_its_probability(allowed) -> None:
    own = trie(allowed)
    tree = search_tree(own, ROW, expansions=1000, least=0.0)
    assert len(tree.nodes) == {"canonical": 16, "no-repeat": 65}[allowed]
    assert tree.open == pytest.approx(0.0, abs=1e-6)
    for node in tree.nodes:
        path = np.array([[*node.prefix, -1]])
        (log_prob,) = path_log_prob(own, ROW[None], path)
        assert node.path_prob == pytest.approx(np.exp(log_prob), abs=1e-7)


def test_masses_add_up_at_every_node() -> None:
    tree = search_tree(trie(), ROW, expansions=5, least=0.02)
    for i, node in enumerate(tree.nodes):
        if node.end is not None:
            below = sum(child.prob for child in tree.nodes[1:] if child.parent == i)
            assert below + node.hidden + node.path_prob == pytest.approx(node.prob, abs=1e-6)
        if node.prefix:
            assert tree.nodes[node.parent].prefix == node.prefix[:-1]
            assert node.parent < i
    assert sum(node.end is not None for node in tree.nodes) == 5


def test_a_path_that_is_asked_for_is_there_whatever_its_probability() -> None:
    unlikely = (0, 1, 2, 3)
    tree = search_tree(trie(), ROW, expansions=1, least=0.5, shown=[unlikely])
    (node,) = [node for node in tree.nodes if node.prefix == unlikely]
    assert node.path_prob is not None
    assert tree.to_json("abcd")["nodes"][-1]["prefix"] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"expansions": 0}, "at least 1"),
        ({"least": 1.0}, "below 1"),
        ({"shown": [(2, 1)]}, r"cannot say \(2, 1\)"),
    ],
)
def test_what_cannot_be_shown_is_reported(options, words) -> None:
    with pytest.raises(InputError, match=words):
        search_tree(trie(), ROW, **options)
