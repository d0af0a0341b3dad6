"""The tree of prefixes that may still agree with evidence, and the hard bounds that it gives.

A prefix agrees while it holds no rejected label and can still gain every accepted one. All others are dropped
when they are met: their mass is known not to count. What remains splits into mass that is finished and agrees,
mass that is open but certain to agree, and mass that is open and may or may not. Sits on `expansion`, whose
search it steers by dropping; `evidence` drives it, `likelihood_weighting` continues its frontier.
"""

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from labelbeam.decoding.expansion import Expansion
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.labels.targets import ABSENT, PRESENT

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
        trie: prefixes of the label model.
        image_rows: float32, one row per image.
        known: 1 accepted, 0 rejected, -1 nothing known.
        budget: most entries per image.
    """

    def __init__(
        self,
        trie: PrefixTrie,
        image_rows: Float[np.ndarray, "images width"],
        known: Int8[np.ndarray, "images labels"],
        budget: int,
    ) -> None:
        super().__init__(trie, image_rows, budget)
        self.accepted, self.rejected = known == PRESENT, known == ABSENT
        self.contains = np.zeros((len(image_rows), budget, trie.num_labels), dtype=bool)
        self.missing = np.zeros((len(image_rows), budget), dtype=np.int32)
        self.ends = np.zeros((len(image_rows), budget))
        self.promise = np.empty((len(image_rows), budget, trie.num_labels))
        self._canonical = trie.step.allowed == "canonical"
        self._ids = np.arange(trie.num_labels)
        self.start(np.arange(len(image_rows)))

    def fill(
        self,
        images: Int[np.ndarray, " active"],
        entries: Int[np.ndarray, " active"],
        nodes: Int[np.ndarray, " active"],
    ) -> None:
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
        steps = self.trie.log_probs(nodes, self.image_rows[images]).astype(np.float64)
        log_probs = self.totals[images, entries][:, None] + np.minimum(steps, 0.0)
        agrees = ~self.rejected[images]
        if self._canonical:  # what lies beyond the next accepted label would jump over it
            agrees &= self._ids <= next_accepted(lacking)[:, None]
        room = self.trie.longest - 1 - self.depths[images, entries]
        agrees &= missing[:, None] - lacking <= room[:, None]
        rest = np.where(agrees, log_probs[:, :end], -np.inf)
        self.rest[images, entries] = rest
        self.best[images, entries] = rest.max(axis=1)
        self.open_mass[images] += np.exp(rest).sum(axis=1)
        self.ends[images, entries] = np.where(missing == 0, np.exp(log_probs[:, end]), 0.0)
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

    def bounds(
        self,
    ) -> tuple[
        Float[np.ndarray, "images labels"],
        Float[np.ndarray, "images labels"],
        Float[np.ndarray, " images"],
        Float[np.ndarray, " images"],
    ]:
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
        low = _ratio(A_l, A[:, None] + np.maximum(U[:, None] - U_l, 0.0))
        high = _ratio(A_l + self._may_gain(np.where(closed, 0.0, sure)) + most, A[:, None] + most)
        low = np.where(self.accepted, 1.0, np.where(self.rejected, 0.0, np.clip(low, 0.0, 1.0)))
        high = np.where(self.accepted, 1.0, np.where(self.rejected, 0.0, np.clip(high, low, 1.0)))
        return low, high, np.minimum(A, 1.0), np.minimum(A + U, 1.0)

    def _certain(self, closed: np.ndarray) -> np.ndarray:
        """Tell which continuations agree whatever follows; bool [images entries labels]."""
        count = closed.shape[1]
        gains = self.accepted[:, None] & ~self.contains[:, :count]
        complete = self.missing[:, :count, None] - gains == 0
        harmless = ~self.rejected.any(axis=1)[:, None, None]
        if self._canonical:  # no rejected label has a greater id
            after = np.cumsum(self.rejected[:, ::-1], axis=1)[:, ::-1] - self.rejected
            harmless = (after == 0)[:, None]
        return complete & (harmless | closed)

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
        return np.where(self.rejected, 0.0, gaining)


def next_accepted(lacking: np.ndarray) -> Int[np.ndarray, " rows"]:
    """Return the least id of each row's missing accepted labels; the number of labels where none is missing."""
    return np.where(lacking.any(axis=1), lacking.argmax(axis=1), lacking.shape[1])


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
