"""Continuing prefixes under evidence: likelihood weighting in label order.

Under `canonical` a path is a chain of yes/no decisions, one per label in label order. Where the chain reaches an
accepted label the answer is forced to yes, at a rejected one to no, and the sample's weight is multiplied by the
probability of that answer; everything else is drawn as the model says. Labels beyond an accepted one therefore
never jump over it, and the mass that a rejected label would have had goes to what comes after it, not before.
Other rules have no such chain: there accepted labels are given a share of every step and the weight is the
ratio of both probabilities, which is unbiased too but needs more samples. Knows a tree's frontier and the trie.
"""

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64

from labelbeam.decoding.evidence_tree import EvidenceTree, next_accepted
from labelbeam.decoding.random_numbers import uniforms

FORCED_SHARE = 1 / 3
"""Without a fixed order, the least share of a step that goes to accepted labels which are still missing."""

BLIND_SHARE = 0.1
"""Share of the samples' starts that are drawn by mass alone, so that a wrong promise cannot hide a continuation."""


def draw_frontier(
    tree: EvidenceTree, images: Int[np.ndarray, " active"], keys: UInt64[np.ndarray, "active samples"]
) -> tuple[
    Int[np.ndarray, "active samples"], Int[np.ndarray, "active samples"], Float[np.ndarray, "active samples"]
]:
    """Draw open continuations by mass and promise, stratified.

    Args:
        tree: the search.
        images: images with open mass.
        keys: of their samples.

    Returns:
        Entries and labels, int32, and mass over probability of being drawn: the mean of that times what follows
        is an unbiased estimate of what follows over the whole frontier.
    """
    samples, num_labels = keys.shape[1], tree.trie.num_labels
    masses = np.where(tree.closed()[images], 0.0, tree.open()[images]).reshape(len(images), -1)
    promise = tree.promise[images, : masses.shape[1] // num_labels].reshape(len(images), -1)
    promise = np.where(masses > 0, promise, -np.inf)
    hoped = masses * np.exp(promise - promise.max(axis=1, keepdims=True))
    chance = (1 - BLIND_SHARE) * _ratio(hoped, hoped.sum(axis=1, keepdims=True))
    chance += BLIND_SHARE * _ratio(masses, masses.sum(axis=1, keepdims=True))
    entries, labels = np.empty(keys.shape, dtype=np.int32), np.empty(keys.shape, dtype=np.int32)
    worth = np.empty(keys.shape)
    for k in range(len(images)):
        there = np.flatnonzero(masses[k])
        heaped = np.cumsum(chance[k, there])
        points = (np.arange(samples) + uniforms(keys[k], 0)) / samples * heaped[-1]
        drawn = there[np.minimum(np.searchsorted(heaped, points), len(there) - 1)]
        entries[k], labels[k] = drawn // num_labels, drawn % num_labels
        worth[k] = masses[k, drawn] / chance[k, drawn] * heaped[-1]
    return entries, labels, worth


def weighted_samples(
    tree: EvidenceTree,
    images: Int[np.ndarray, " items"],
    entries: Int[np.ndarray, " items"],
    labels: Int[np.ndarray, " items"],
    keys: UInt64[np.ndarray, " items"],
) -> tuple[Float[np.ndarray, " items"], Float[np.ndarray, "items labels"]]:
    """Continue samples to END under the evidence of their images.

    Args:
        tree: the search whose frontier was sampled.
        images: image of each sample.
        entries: entry that the sample continues.
        labels: label that it continues it by.
        keys: its random numbers.

    Returns:
        Weights, float64 [items], whose expectation is the probability that the continuation agrees with the
        evidence; and for each label 1 where the sample has it. Once a sample is certain to agree, the
        probability with which a label comes next is added instead of whether it came.

    Raises:
        TrieFullError: the prefixes of this block do not fit into the trie.
    """
    trie = tree.trie
    end, canonical = trie.num_labels, trie.step.allowed == "canonical"
    nodes = trie.find(*tree.prefixes(images, entries, labels))
    has = tree.contains[images, entries]
    has[np.arange(len(images)), labels] = True
    gained, weights = has.astype(np.float64), np.ones(len(images))
    accepted, rejected = tree.accepted[images], tree.rejected[images]
    greatest_rejected = np.where(rejected, np.arange(end), -1).max(axis=1) if canonical else None
    last = labels.astype(np.int64)
    items = np.arange(len(images))
    for step in range(1, trie.longest + 1):
        probs = np.exp(trie.log_probs(nodes, tree.image_rows[images[items]]).astype(np.float64))
        lacking, refused = accepted[items] & ~has[items], rejected[items]
        room = trie.longest - trie.depths[nodes]
        if canonical:
            proposal = _in_label_order(probs, lacking, refused, room)
            harmless = greatest_rejected[items] <= last[items]  # type: ignore[index]
        else:
            proposal = _in_any_order(probs, lacking, refused, room)
            harmless = ~refused.any(axis=1)
        settled = harmless & ~lacking.any(axis=1)
        gained[items[settled]] += np.where(has[items[settled]], 0.0, probs[settled, :end])
        heaped = np.cumsum(proposal, axis=1)
        total = heaped[:, -1]
        points = uniforms(keys[items], step) * total
        outcomes = np.minimum((heaped <= points[:, None]).sum(axis=1), end)
        rows = np.arange(len(items))
        drawn = proposal[rows, outcomes]
        weights[items] *= np.divide(
            probs[rows, outcomes] * total, drawn, out=np.zeros(len(items)), where=drawn > 0
        )
        going = (outcomes < end) & (weights[items] > 0)
        items, outcomes, nodes, settled = items[going], outcomes[going], nodes[going], settled[going]
        has[items, outcomes] = True
        gained[items[~settled], outcomes[~settled]] = 1.0
        last[items] = outcomes
        closed = trie.depths[nodes] + 1 >= trie.longest
        if canonical:
            closed |= outcomes == end - 1
        items, outcomes, nodes = items[~closed], outcomes[~closed], nodes[~closed]
        if not len(items):
            break
        nodes = trie.extend(nodes, outcomes.astype(np.int32))
    return weights, gained


def _in_label_order(
    probs: Float[np.ndarray, "items outcomes"],
    lacking: Bool[np.ndarray, "items labels"],
    rejected: Bool[np.ndarray, "items labels"],
    room: Int[np.ndarray, " items"],
) -> Float[np.ndarray, "items outcomes"]:
    """Return with which probability each outcome is drawn: the chain of yes/no decisions, evidence forced.

    Deciding label by label, "yes" to l has probability probs[l] / tail[l], where tail[l] is the mass of l and
    all that comes after it. Forcing "no" at a rejected r divides all that comes after r by tail[r+1] / tail[r].
    """
    num_labels = lacking.shape[1]
    tail = np.cumsum(probs[:, ::-1], axis=1)[:, ::-1]  # [items outcomes]
    keep = np.ones_like(probs)
    if rejected.any():
        no = np.divide(tail[:, 1:], tail[:, :-1], out=np.ones_like(tail[:, 1:]), where=tail[:, :-1] > 0)
        np.cumprod(np.where(rejected, no, 1.0), axis=1, out=keep[:, 1:])
    ahead = next_accepted(lacking)
    forced = np.flatnonzero(ahead < num_labels)
    mass = probs.copy()
    mass[:, :num_labels][rejected] = 0.0
    mass[forced[:, None], np.arange(num_labels + 1)] *= np.arange(num_labels + 1) < ahead[forced, None]
    full = forced[room[forced] <= lacking[forced].sum(axis=1)]  # every label that may follow must be accepted
    mass[full] = 0.0
    possible = probs[forced, ahead[forced]] > 0
    mass[forced, ahead[forced]] = np.where(possible, tail[forced, ahead[forced]], 0.0)
    return np.divide(mass, keep, out=np.zeros_like(mass), where=keep > 0)


def _in_any_order(
    probs: Float[np.ndarray, "items outcomes"],
    lacking: Bool[np.ndarray, "items labels"],
    rejected: Bool[np.ndarray, "items labels"],
    room: Int[np.ndarray, " items"],
) -> Float[np.ndarray, "items outcomes"]:
    """Return with which probability each outcome is drawn: accepted labels get a share, END waits for them."""
    waiting = lacking.any(axis=1)
    mass = probs.copy()
    mass[:, :-1][rejected] = 0.0
    mass[waiting, -1] = 0.0
    wanted = np.zeros_like(mass)
    wanted[:, :-1] = np.where(lacking, probs[:, :-1], 0.0)
    mass = _ratio(mass, mass.sum(axis=1, keepdims=True))
    wanted = _ratio(wanted, wanted.sum(axis=1, keepdims=True))
    share = np.where(waiting, FORCED_SHARE, 0.0)
    share[room <= lacking.sum(axis=1)] = 1.0
    share[~waiting] = 0.0
    return (1 - share)[:, None] * mass + share[:, None] * wanted


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
