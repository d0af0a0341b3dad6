"""Prefixes that may still agree with evidence: the tree with its bounds, continued by likelihood weighting."""

import itertools

import numpy as np
from jaxtyping import Bool, Float, Int, Int8, UInt64

from labelbeam.decoding.expansion import Expansion
from labelbeam.decoding.open_estimate import ratio
from labelbeam.decoding.random_numbers import uniforms
from labelbeam.decoding.sampling import Keys
from labelbeam.decoding.trie import Ids, PrefixTrie
from labelbeam.labels.vocabulary import ABSENT, PRESENT

# A prefix agrees while it holds no rejected label and can still gain every accepted one. All others are
# dropped when they are met: their mass is known not to count. What remains splits into mass that is
# finished and agrees, mass that is open but certain to agree, and mass that is open and may or may not.
LEAST_PROMISE = 1e-6
TINY = 1e-300


class EvidenceTree(Expansion):
    """Expanded prefixes that may still agree with the evidence; `rest` holds agreeing continuations only.

    Attributes:
        accepted: bool [images labels].
        rejected: bool [images labels].
        contains: bool [images entries labels], the labels of each entry.
        missing: int32 [images entries], accepted labels that the entry has not got.
        ends: float64 [images entries], probability of the finished path that END makes of the entry; 0 where
            that does not agree with the evidence.
        promise: float64 [images entries labels], log of a guess how likely a continuation is to agree in the end.

    Args:
        evidence: 1 accepted, 0 rejected, -1 nothing known.
    """

    def __init__(
        self,
        trie: PrefixTrie,
        image_rows: Float[np.ndarray, "images width"],
        evidence: Int8[np.ndarray, "images labels"],
        budget: int,
    ) -> None:
        super().__init__(trie, image_rows, budget)
        self.accepted, self.rejected = evidence == PRESENT, evidence == ABSENT
        self.contains = np.zeros((len(image_rows), budget, trie.num_labels), dtype=bool)
        self.missing = np.zeros((len(image_rows), budget), dtype=np.int32)
        self.ends = np.zeros((len(image_rows), budget))
        self.promise = np.empty((len(image_rows), budget, trie.num_labels))
        if trie.rules is None:
            self.settled = np.ones((len(image_rows), budget, trie.num_labels), dtype=bool)
        self._canonical = trie.step.allowed == "canonical"
        self._ids = np.arange(trie.num_labels)
        self.start(np.arange(len(image_rows)))

    def fill(self, images: Ids, entries: Ids, nodes: Ids) -> None:
        """Compute the agreeing continuations of new entries, and whether END agrees."""
        labelled = self.depths[images, entries] > 0
        if labelled.any():
            at, e = images[labelled], entries[labelled]
            self.contains[at, e] = self.contains[at, self.parents[at, e]]
            self.contains[at, e, self.labels[at, e]] = True
        lacking = self.accepted[images] & ~self.contains[images, entries]  # [active labels]
        missing = lacking.sum(axis=1)
        self.missing[images, entries] = missing
        end = self.trie.num_labels
        steps = self.trie.log_probs(nodes, self.image_rows[images], np.float64)
        log_probs = self.totals[images, entries][:, None] + np.minimum(steps, 0.0)
        agrees = ~self.rejected[images]
        if self._canonical:  # what lies beyond the next accepted label would jump over it
            agrees &= self._ids <= next_accepted(lacking)[:, None]
        room = self.trie.longest - 1 - self.depths[images, entries]
        agrees &= missing[:, None] - lacking <= room[:, None]
        ends = missing == 0
        if self.trie.rules is not None:
            agrees &= self.trie.live[nodes, :end]
            ends &= self.trie.live[nodes, end]
        rest = np.where(agrees, log_probs[:, :end], -np.inf)
        self.rest[images, entries] = rest
        self.best[images, entries] = rest.max(axis=1)
        self.open_mass[images] += np.exp(rest).sum(axis=1)
        self.ends[images, entries] = np.where(ends, np.exp(log_probs[:, end]), 0.0)
        self.promise[images, entries] = self._promise(np.exp(steps), lacking, self.rejected[images])

    def _promise(
        self,
        probs: Float[np.ndarray, "active outcomes"],
        lacking: Bool[np.ndarray, "active labels"],
        rejected: Bool[np.ndarray, "active labels"],
    ) -> Float[np.ndarray, "active labels"]:
        """Guess the log-probability that each continuation agrees, as if labels were decided independently.

        Only a guide of where to sample: it changes the variance of an estimate, never its expectation.
        """
        if self._canonical:  # the chance of "yes" to a label when the path comes to it
            tail = np.cumsum(probs[:, ::-1], axis=1)[:, ::-1]
            yes = (probs / np.maximum(tail, TINY))[:, :-1]
        else:  # the chance that it comes before END
            yes = probs[:, :-1] / np.maximum(probs[:, :-1] + probs[:, -1:], TINY)
        yes = np.clip(yes, LEAST_PROMISE, 1.0 - LEAST_PROMISE)
        log_agrees = np.where(lacking, np.log(yes), np.where(rejected, np.log1p(-yes), 0.0))
        after = np.cumsum(log_agrees[:, ::-1], axis=1)[:, ::-1] - log_agrees
        return after if self._canonical else log_agrees.sum(axis=1, keepdims=True) - log_agrees

    def open(self) -> Float[np.ndarray, "images entries labels"]:
        """Return the probability of every continuation that is not expanded and may still agree."""
        count = int(self.counts.max(initial=0))
        there = np.arange(count) < self.counts[:, None]
        return np.exp(np.where(there[:, :, None], self.rest[:, :count], -np.inf))

    def finished(self) -> tuple[Float[np.ndarray, " images"], Float[np.ndarray, "images labels"]]:
        """Return the finished mass that agrees with the evidence, and its part with each label."""
        return self.ends.sum(axis=1), np.einsum("ie,iel->il", self.ends, self.contains)

    def closed(self) -> np.ndarray:
        """Tell after which continuations END is certain; bool [images entries labels]."""
        count = int(self.counts.max(initial=0))
        full = self.depths[:, :count, None] + 1 >= self.trie.longest
        last = self._canonical & (self._ids == self.trie.num_labels - 1)
        return full | last

    def bounds(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return hard bounds of p(label | image, evidence) and of p(evidence | image).

        With A, A_l the mass that certainly agrees (all, already with l), G_l the part of A that may gain l,
        U, U_l the open mass that may or may not agree (all, already with l) and V_l the part of U that may gain l,
        p lies in [A_l / (A + U - U_l), (A_l + G_l + U_l + V_l) / (A + U_l + V_l)]. Without evidence U = 0, and
        these are the bounds of `marginals`.

        Returns:
            low and high of the labels, float64 [images labels]; low and high of the evidence, [images].
        """
        open_, closed = self.open(), self.closed()
        sure = np.where(self._certain(closed), open_, 0.0)
        unsure = open_ - sure
        A, A_l = self.finished()
        A, A_l = A + sure.sum(axis=(1, 2)), A_l + self.with_label(sure)
        U, U_l = unsure.sum(axis=(1, 2)), self.with_label(unsure)
        may_gain = self._may_gain(np.where(closed, 0.0, unsure))
        most = U_l + may_gain
        low = ratio(A_l, A[:, None] + np.maximum(U[:, None] - U_l, 0.0))
        high = ratio(A_l + self._may_gain(np.where(closed, 0.0, sure)) + most, A[:, None] + most)
        off = np.exp(self.most_rounding())  # every mass may be off by this factor, a ratio by its square
        low, high = low / off[:, None] ** 2, high * off[:, None] ** 2
        low = np.where(self.accepted, 1.0, np.where(self.rejected, 0.0, np.clip(low, 0.0, 1.0)))
        high = np.where(self.accepted, 1.0, np.where(self.rejected, 0.0, np.clip(high, low, 1.0)))
        return low, high, np.minimum(A / off, 1.0), np.minimum((A + U) * off, 1.0)

    def _certain(self, closed: np.ndarray) -> np.ndarray:
        """Tell which continuations agree whatever follows; bool [images entries labels]."""
        count = closed.shape[1]
        gains = self.accepted[:, None] & ~self.contains[:, :count]
        complete = self.missing[:, :count, None] - gains == 0
        harmless = ~self.rejected.any(axis=1)[:, None, None]
        if self._canonical:  # no rejected label has a greater id
            after = np.cumsum(self.rejected[:, ::-1], axis=1)[:, ::-1] - self.rejected
            harmless = (after == 0)[:, None]
        return complete & (harmless & self.settled[:, :count] | closed)

    def with_label(self, mass: Float[np.ndarray, "images entries labels"]) -> np.ndarray:
        """Return the mass of continuations that hold each label, the continuing label included."""
        contains = self.contains[:, : mass.shape[1]]
        before = np.einsum("iel,ie->il", contains, mass.sum(axis=2))
        return before + np.where(contains, 0.0, mass).sum(axis=1)

    def _may_gain(self, mass: Float[np.ndarray, "images entries labels"]) -> np.ndarray:
        """Return the mass of continuations, none closed, that lack each label and may gain it."""
        if self._canonical:
            by_label = mass.sum(axis=1)
            gaining = np.cumsum(by_label, axis=1) - by_label
        else:
            gaining = np.maximum(mass.sum(axis=(1, 2))[:, None] - self.with_label(mass), 0.0)
        return gaining


def next_accepted(lacking: np.ndarray) -> Int[np.ndarray, " rows"]:
    """Return the least id of each row's missing accepted labels; the number of labels where none is missing."""
    return np.where(lacking.any(axis=1), lacking.argmax(axis=1), lacking.shape[1])


# Continuing prefixes: likelihood weighting. Under `canonical` a path is a chain of yes/no decisions, one per label in
# label order. Where the chain reaches an accepted label the answer is forced to yes, at a rejected one to no, and the
# sample's weight is multiplied by the probability of that answer; everything else is drawn as the model says. So
# labels beyond an accepted one never jump over it, and the mass that a rejected label would have had goes to what
# comes after it. Other rules have no such chain: there accepted labels are given a share of every step and the weight
# is the ratio of both probabilities, which is unbiased too but needs more samples.

FORCED_SHARE = 1 / 3
"""Without a fixed order, the least share of a step that goes to accepted labels which are still missing."""

BLIND_SHARE = 0.1
"""Share of the samples' starts that are drawn by mass alone, so that a wrong promise cannot hide a continuation."""


def draw_frontier(
    tree: EvidenceTree, images: Ids, keys: UInt64[np.ndarray, "items samples"]
) -> tuple[
    Int[np.ndarray, "items samples"], Int[np.ndarray, "items samples"], Float[np.ndarray, "items samples"]
]:
    """Draw open continuations by mass and promise, stratified.

    Returns:
        Entries and labels, int32, and mass over probability of being drawn: the mean of that times what follows
        is an unbiased estimate of what follows over the whole frontier.
    """
    samples, num_labels = keys.shape[1], tree.trie.num_labels
    masses = np.where(tree.closed()[images], 0.0, tree.open()[images]).reshape(len(images), -1)
    promise = tree.promise[images, : masses.shape[1] // num_labels].reshape(len(images), -1)
    promise = np.where(masses > 0, promise, -np.inf)
    hoped = masses * np.exp(promise - promise.max(axis=1, keepdims=True))
    chance = (1 - BLIND_SHARE) * ratio(hoped, hoped.sum(axis=1, keepdims=True))
    chance += BLIND_SHARE * ratio(masses, masses.sum(axis=1, keepdims=True))
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
    tree: EvidenceTree, images: Ids, entries: Ids, labels: Ids, keys: Keys
) -> tuple[Float[np.ndarray, " items"], Float[np.ndarray, "items labels"]]:
    """Continue samples to END under the evidence of their images: images, entries, labels, random numbers.

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
    rules_settled = tree.settled[images, entries, labels]
    items = np.arange(len(images))
    for step in itertools.count(1):
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
        if trie.rules is not None:
            proposal = np.where(trie.live[nodes], proposal, 0.0)
            settled &= rules_settled[items]
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
        if trie.rules is not None:
            rules_settled[items] = trie.settled[nodes, outcomes]
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
    mass = ratio(mass, mass.sum(axis=1, keepdims=True))
    wanted = ratio(wanted, wanted.sum(axis=1, keepdims=True))
    share = np.where(waiting, FORCED_SHARE, 0.0)
    share[room <= lacking.sum(axis=1)] = 1.0
    share[~waiting] = 0.0
    return (1 - share)[:, None] * mass + share[:, None] * wanted
