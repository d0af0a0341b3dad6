"""The prefix feed: accepted labels as the beginning of the path, rejected ones masked. An approximation.

What is commonly done instead of conditioning, offered for comparison only. Under a fixed order it says 0 for every
label before the last accepted one; under random orders it is biased, because how often a label comes first depends
on how many labels there are: with sets {a} and {a, b} at 1/2 each, p(b | a) is 1/2 and the prefix says 1/3.
Masking a rejected label gives its mass to every other outcome, also at steps that its absence says nothing about.
"""

import numpy as np
from jaxtyping import Float, Int8

from labelbeam.decoding.evidence import check_evidence
from labelbeam.decoding.paths import checked_rows, in_halves
from labelbeam.decoding.random_numbers import sample_keys, uniforms
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.labels.vocabulary import ABSENT, PRESENT


def prefix_feed(
    trie: PrefixTrie,
    image_rows: Float[np.ndarray, "images width"],
    known: Int8[np.ndarray, "images labels"],
    *,
    samples: int = 1000,
    seed: int = 0,
) -> Float[np.ndarray, "images labels"]:
    """Estimate how probable each label is after the accepted ones, in label order, as a prefix.

    Args:
        trie: prefixes of the label model.
        image_rows: float32, one row per image.
        known: 1 accepted, 0 rejected, -1 nothing known.
        samples: continuations per image; each adds the probabilities of what may come next, step by step.
        seed: of the samples.

    Returns:
        float64 [images labels]; 1 and 0 for accepted and rejected labels.

    Raises:
        InputError: as `conditional_marginals`, impossible evidence excepted.

    Example:
        >>> from labelbeam.decoding.step import TableStep
        >>> never = -50.0  # random order: "a", "ab" and "ba"; b never comes alone
        >>> table = {(): [0.75, 0.25, 0.0], (0,): [0.0, 1 / 3, 2 / 3], (1,): [1.0, 0.0, 0.0]}
        >>> logits = {prefix: [np.log(p) if p else never for p in probs] for prefix, probs in table.items()}
        >>> trie = PrefixTrie(TableStep(logits, num_labels=2, allowed="no-repeat"))
        >>> fed = prefix_feed(trie, np.zeros((1, 3), np.float32), np.array([[1, -1]], dtype=np.int8))
        >>> fed.round(3).tolist()  # p(b | a) is 1/2
        [[1.0, 0.333]]
    """
    rows = checked_rows(trie, image_rows)
    check_evidence(trie, known, len(rows))
    scores = [
        in_halves(
            trie,
            lambda keys, i=i: _continued(trie, rows[i], known[i], keys),
            sample_keys(seed, np.zeros(1, dtype=np.int64), samples)[0],
        )
        for i in range(len(rows))
    ]
    fed = np.array([np.concatenate(parts).mean(axis=0) for parts in scores]).reshape(known.shape)
    return np.where(known == PRESENT, 1.0, np.where(known == ABSENT, 0.0, np.minimum(fed, 1.0)))


def _continued(
    trie: PrefixTrie,
    image_row: Float[np.ndarray, " width"],
    known: Int8[np.ndarray, " labels"],
    keys: np.ndarray,
) -> Float[np.ndarray, "samples labels"]:
    """Return, per sample, the probability with which each label was gained after the prefix."""
    end = trie.num_labels
    prefix = np.flatnonzero(known == PRESENT).astype(np.int32)
    paths = np.repeat(prefix[None], len(keys), axis=0)
    nodes = trie.find(paths, np.full(len(keys), len(prefix)))
    has = np.zeros((len(keys), end), dtype=bool)
    has[:, prefix] = True
    gained = np.zeros((len(keys), end))
    items = np.arange(len(keys))
    for step in range(1, trie.longest - len(prefix) + 1):
        probs = np.exp(
            trie.log_probs(nodes, np.repeat(image_row[None], len(items), axis=0)).astype(np.float64)
        )
        probs[:, :end][:, known == ABSENT] = 0.0
        total = probs.sum(axis=1, keepdims=True)
        probs = np.divide(probs, total, out=np.zeros_like(probs), where=total > 0)
        gained[items] += np.where(has[items], 0.0, probs[:, :end])
        points = uniforms(keys[items], step)
        outcomes = np.minimum((np.cumsum(probs, axis=1) <= points[:, None]).sum(axis=1), end)
        going = (outcomes < end) & (trie.depths[nodes] + 1 < trie.longest)
        items, nodes, outcomes = items[going], nodes[going], outcomes[going]
        if not len(items):
            break
        has[items, outcomes] = True
        nodes = trie.extend(nodes, outcomes.astype(np.int32))
    return gained
