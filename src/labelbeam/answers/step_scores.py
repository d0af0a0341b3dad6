"""Two cheap per-label scores from step probabilities, for comparison with marginals.

The paper does not say which number per label made its MAP@10 and VOC numbers; both readings are in use.
Neither is a probability that a label is present: at each step the labels compete.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from labelbeam.decoding.batch import in_halves
from labelbeam.decoding.paths import NO_LABEL
from labelbeam.decoding.trie import ROOT, PrefixTrie


def first_step_scores(
    trie: PrefixTrie, image_rows: Float[np.ndarray, "images width"]
) -> Float[np.ndarray, "images labels"]:
    """Return the probability of each label at the first step."""
    roots = np.full(len(image_rows), ROOT, dtype=np.int32)
    return np.exp(trie.log_probs(roots, image_rows))[:, : trie.num_labels]


def max_step_scores(
    trie: PrefixTrie, image_rows: Float[np.ndarray, "images width"], paths: Sequence[tuple[int, ...]]
) -> Float[np.ndarray, "images labels"]:
    """Return the highest probability that each label had at any step of each image's path.

    Source:
        Dutta et al. 2020 (multi-order RNN) and Chen et al. 2018 (category-wise maximum over steps).
    """

    def of_batch(rows: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        trie.start_batch()
        nodes = np.full(len(rows), ROOT, dtype=np.int32)
        scores = np.exp(trie.log_probs(nodes, rows))[:, : trie.num_labels]
        for labels in tokens.T:
            going = np.flatnonzero(labels != NO_LABEL)
            nodes[going] = trie.extend(nodes[going], labels[going], keep=nodes)
            step = np.exp(trie.log_probs(nodes[going], rows[going]))[:, : trie.num_labels]
            scores[going] = np.maximum(scores[going], step)
        return scores

    longest = max((len(path) for path in paths), default=0)
    tokens = np.full((len(paths), longest), NO_LABEL, dtype=np.int64)
    for image, path in enumerate(paths):
        tokens[image, : len(path)] = path
    return np.concatenate(in_halves(trie, of_batch, image_rows, tokens))
