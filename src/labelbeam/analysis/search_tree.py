"""The search of one image, visible: the prefixes it considers, with their probabilities and their ends.

Expanded best first, as the exact search expands them. Knows a trie and an image row; knows no names and no model.

Source:
    Wang et al. 2016, Figure 5 (a beam of 2 with END leaves); here the whole tree that decides, and both paths.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from labelbeam.decoding.batch import check_image_rows
from labelbeam.decoding.best_first import check_budget
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.errors import InputError

NO_PARENT = -1


@dataclass(frozen=True)
class TreeNode:
    """A prefix of labels.

    Attributes:
        prefix: label ids; empty for the root.
        parent: position of the prefix one label shorter, NO_PARENT for the root.
        step: probability of its last label after the labels before it; 1 for the root.
        prob: probability that a path begins with the prefix.
        end: probability of END after it; None where it was not expanded.
        hidden: probability of its children that are not in the tree, of all paths.
    """

    prefix: tuple[int, ...]
    parent: int
    step: float
    prob: float
    end: float | None
    hidden: float

    @property
    def path_prob(self) -> float | None:
        """Probability of the path that is just this prefix and END; None where it was not expanded."""
        return None if self.end is None else self.prob * self.end


@dataclass(frozen=True)
class SearchTree:
    """Prefixes of one image, each after its parent.

    Attributes:
        nodes: the root first; children of a node by falling probability.
        open: probability of all paths that the tree does not finish.
    """

    nodes: tuple[TreeNode, ...]
    open: float

    def children_of(self, node: int) -> list[int]:
        """Return the positions of a node's children, the most probable first."""
        return [i for i, one in enumerate(self.nodes) if one.parent == node]

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the tree as plain values; probabilities have six digits behind the point."""
        return {
            "open": round(self.open, 6),
            "nodes": [
                {
                    "prefix": [names[label] for label in node.prefix],
                    "parent": None if node.parent == NO_PARENT else node.parent,
                    "step": round(node.step, 6),
                    "probability": round(node.prob, 6),
                    "end": None if node.end is None else round(node.end, 6),
                    "path_probability": None if node.path_prob is None else round(node.path_prob, 6),
                    "hidden": round(node.hidden, 6),
                }
                for node in self.nodes
            ],
        }


def search_tree(
    trie: PrefixTrie,
    image_row: Float[np.ndarray, " width"],
    *,
    expansions: int = 24,
    least: float = 0.01,
    shown: Sequence[tuple[int, ...]] = (),
) -> SearchTree:
    """Grow the tree of an image's most probable prefixes.

    Args:
        trie: prefixes of the label model.
        image_row: of the image.
        expansions: prefixes expanded, at most; those of `shown` come on top.
        least: prefixes less probable than this are left out (and counted as hidden).
        shown: paths that must be in the tree whatever their probability.

    Raises:
        InputError: a budget below 1, `least` outside [0, 1), a row of another width, or a shown path that the
            model cannot say.

    Example:
        >>> from labelbeam.decoding.table import TableStep
        >>> tree = search_tree(PrefixTrie(TableStep({}, num_labels=2)), np.zeros(3, np.float32))
        >>> [(node.prefix, round(node.prob, 3), round(node.path_prob, 3)) for node in tree.nodes]
        [((), 1.0, 0.333), ((0,), 0.333, 0.167), ((1,), 0.333, 0.333), ((0, 1), 0.167, 0.167)]
    """
    check_budget(expansions)
    check_image_rows(trie, image_row[None])
    if not 0 <= least < 1:
        raise InputError(f"least must be at least 0 and below 1, given {least}.")
    wanted = {path[:length] for path in shown for length in range(len(path) + 1)}
    found: dict[tuple[int, ...], TreeNode] = {}
    left = expansions
    heap: list[tuple[float, tuple[int, ...], float]] = [(-1.0, (), 1.0)]
    while heap:
        negative, prefix, step = heapq.heappop(heap)
        parent, prob = NO_PARENT, -negative
        if left <= 0 and prefix not in wanted:
            found[prefix] = TreeNode(prefix, parent, step, prob, None, 0.0)
            continue
        left -= prefix not in wanted
        chances = _chances(trie, image_row, prefix)
        hidden = 0.0
        for label in np.flatnonzero(chances[:-1] > 0).tolist():
            child, mass = (*prefix, label), prob * float(chances[label])
            if mass >= least or child in wanted:
                heapq.heappush(heap, (-mass, child, float(chances[label])))
            else:
                hidden += mass
        found[prefix] = TreeNode(prefix, parent, step, prob, float(chances[-1]), hidden)
    if missing := [path for path in wanted if path not in found]:
        raise InputError(f"the model cannot say {sorted(missing)[0]}; paths hold label ids that it allows.")
    # By depth, so that a parent stands before its children; among siblings the more probable first.
    order = sorted(found, key=lambda prefix: (len(prefix), -found[prefix].prob, prefix))
    place = {prefix: i for i, prefix in enumerate(order)}
    nodes = tuple(
        TreeNode(
            prefix,
            place[prefix[:-1]] if prefix else NO_PARENT,
            *(found[prefix].step, found[prefix].prob, found[prefix].end, found[prefix].hidden),
        )
        for prefix in order
    )
    finished = sum(node.path_prob or 0.0 for node in nodes)
    return SearchTree(nodes, max(0.0, 1.0 - finished))


def _chances(
    trie: PrefixTrie, image_row: Float[np.ndarray, " width"], prefix: tuple[int, ...]
) -> Float[np.ndarray, " outcomes"]:
    """Return the probability of every label and END after a prefix."""
    trie.start_batch()
    path = np.array([prefix], dtype=np.int32).reshape(1, len(prefix))
    nodes = trie.find(path, np.array([len(prefix)]))
    chances: np.ndarray = np.exp(trie.log_probs(nodes, image_row[None])[0].astype(np.float64))
    return chances
