"""The mechanisms that `conditional.py` compares: each turns what is known of images into scores of the other labels.

What a mechanism may choose (strength of a re-weighting, smoothing of counts) is chosen on a part's validation images,
with 1, 2 and 4 labels known at random, by nats per image.
"""

import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from conditional_sources import Part
from conditional_truth import AWARE, TRUE
from cooccurrence import CooccurrenceReweighting

from labelbeam.decoding.evidence import conditional_marginals
from labelbeam.decoding.search import Search
from labelbeam.heads.chow_liu import ChowLiuTree
from labelbeam.heads.label_scores import log_sigmoid
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN, drawn_evidence
from labelbeam.predict.label_model import LabelModelAnswerer
from labelbeam.suggest import EXPANSIONS, SAMPLES

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))

from prefix_feed import prefix_feed

PROBABLE = 1e-4
"""Probabilities are kept this far from 0 and 1 before their logarithm is taken, those of all mechanisms alike."""

WEIGHTING, WEIGHTING_MORE = "likelihood weighting", "likelihood weighting, large budget"
"""A click's budget, and `Part.more` times as much of everything: what is left then is the model's error."""

PREFIX = "prefix feed"
SUBSET, COOCCURRENCE = "any-subset", "co-occurrence"
TREE, TREE_UNARY, TREE_MATCHED = (
    "Chow-Liu, no image",
    "Chow-Liu, odds of sigmoid",
    "Chow-Liu, marginals of sigmoid",
)
FREQUENCIES = "label frequencies"
ORDER = (
    TRUE, AWARE, WEIGHTING, WEIGHTING_MORE, PREFIX, SUBSET, "sigmoid", "sigmoid-mlp", FREQUENCIES, COOCCURRENCE,
    TREE_UNARY, TREE_MATCHED, TREE,
)  # fmt: skip
STRENGTHS, SMOOTHINGS = (0.0, 0.25, 0.5, 0.75, 1.0), (0.3, 1.0, 3.0, 10.0, 30.0)

Scores = Callable[[np.ndarray], np.ndarray]  # evidence [images labels] to probabilities [images labels]


def nats(scores: np.ndarray, targets: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return nats [images] of the labels that are not known; labels whose truth is unknown do not count."""
    p = np.clip(scores, PROBABLE, 1 - PROBABLE)
    losses = -np.where(targets == PRESENT, np.log(p), np.log(1 - p))
    return np.where((known == UNKNOWN) & (targets != UNKNOWN), losses, 0.0).sum(axis=1)


class Mechanisms:
    """Everything that was trained or counted for a part, asked with evidence."""

    def __init__(self, part: Part, *, at_least: int) -> None:
        self.part, self.at_least = part, at_least
        self.told: dict[str, Any] = {}
        self.answerer = LabelModelAnswerer(part.heads["cnn-rnn"], Search())
        self.plain = [name for name in ("sigmoid", "sigmoid-mlp") if name in part.heads]
        val = {name: self._probs(name, part.val_features) for name in self.plain}
        self.base, val_scores = FREQUENCIES, self._frequencies(len(part.val_targets))
        if val:
            nothing = np.full_like(part.val_targets, UNKNOWN)
            self.base = min(val, key=lambda name: nats(val[name], part.val_targets, nothing).mean())
            val_scores = val[self.base]
        trees = [ChowLiuTree.fit(part.train_targets, smoothing=s) for s in SMOOTHINGS]
        likely = [tree.log_prob(part.val_targets).mean() for tree in trees]
        self.tree = trees[int(np.argmax(likely))]
        pairs = [CooccurrenceReweighting.fit(part.train_targets, smoothing=s) for s in SMOOTHINGS]
        tried = [(one, strength) for one in pairs for strength in STRENGTHS]
        best = self._chosen(lambda rows, k: [o.reweighted(val_scores[rows], k, strength=s) for o, s in tried])
        self.pairs, self.strength = tried[best]
        unary = [self.tree.unary_of_scores(val_scores, strength=s) for s in STRENGTHS]
        self.unary_strength = STRENGTHS[
            self._chosen(lambda rows, k: [self.tree.conditional(k, one[rows]) for one in unary])
        ]
        self.told |= {
            "base of re-weightings": self.base, "Chow-Liu smoothing": SMOOTHINGS[int(np.argmax(likely))],
            "Chow-Liu nats a validation set": round(float(-max(likely)), 4),
            "co-occurrence smoothing": SMOOTHINGS[best // len(STRENGTHS)], "co-occurrence strength": self.strength,
            "unary strength": self.unary_strength,
        }  # fmt: skip

    def scores(self, rows: np.ndarray, known: np.ndarray, *, frequent_first: bool) -> dict[str, np.ndarray]:
        """Return each mechanism's p(label | image, known) for some of the part's held-out images."""
        features = self.part.features[rows]
        found = {
            WEIGHTING: self._weighted(features, known),
            WEIGHTING_MORE: self._weighted(features, known, times=self.part.more),
            PREFIX: self._fed(features, known),
            SUBSET: self._probs(SUBSET, features, known),
            TREE: self.tree.conditional(known),
        }
        found |= {name: self._probs(name, features) for name in self.plain}
        base = found[self.base] if self.plain else self._frequencies(len(rows))
        found.setdefault(self.base, base)
        found[COOCCURRENCE] = self.pairs.reweighted(base, known, strength=self.strength)
        if self.plain:
            unary = self.tree.unary_of_scores(base, strength=self.unary_strength)
            found[TREE_UNARY] = self.tree.conditional(known, unary)
            found[TREE_MATCHED] = self.tree.conditional(known, self.tree.unary_matching(base))
        if self.part.true_conditionals is not None:
            found |= self.part.true_conditionals(rows, known, frequent_first=frequent_first)
        return {name: found[name] for name in ORDER if name in found}

    def _weighted(self, features: np.ndarray, known: np.ndarray, *, times: int = 1) -> np.ndarray:
        found = conditional_marginals(
            self.answerer.trie, self.answerer.step.image_rows(features), known,
            expansions=EXPANSIONS * times, samples=SAMPLES * times, seed=self.part.seed,
        )  # fmt: skip
        if len(known):
            key = "effective samples" + (f", {times} times the budget" if times > 1 else "")
            self.told[key] = round(float(np.median(found.effective_samples)), 1)
            self.told[key + ", not trusted"] = round(float((~found.trusted).mean()), 4)
        return found.score

    def _fed(self, features: np.ndarray, known: np.ndarray) -> np.ndarray:
        rows = self.answerer.step.image_rows(features)
        return prefix_feed(self.answerer.trie, rows, known, samples=2 * SAMPLES, seed=self.part.seed)

    def _probs(self, name: str, features: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
        head = self.part.heads[name]
        if known is None:
            return np.exp(log_sigmoid(head.logits(features).astype(np.float64)))
        return head.conditional(features, known)

    def _frequencies(self, images: int) -> np.ndarray:
        train = self.part.train_targets
        shares = ((train == PRESENT).sum(axis=0) + 0.5) / ((train != UNKNOWN).sum(axis=0) + 1)
        return np.repeat(shares[None], images, axis=0)

    def _chosen(self, candidates: Callable[[np.ndarray, np.ndarray], Iterable[np.ndarray]]) -> int:
        """Return which candidate has the fewest nats on validation images, 1, 2 and 4 labels known at random."""
        targets, losses = self.part.val_targets, []
        for rows, known in given_evidence(
            targets, (1, 2, 4), frequent_first=False, at_least=self.at_least, seed=100
        ):
            if len(rows):
                losses.append([nats(one, targets[rows], known).mean() for one in candidates(rows, known)])
        return int(np.mean(losses, axis=0).argmin())


def given_evidence(
    targets: np.ndarray, numbers: Iterable[int], *, frequent_first: bool, at_least: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each number n the images with at least max(at_least, n) labels, and evidence on them.

    n present labels are accepted, and n // 2 absent ones, drawn at random, are rejected.
    """
    counts, drawn = (targets == PRESENT).sum(axis=1), []
    reveal = partial(drawn_evidence, frequent_first=frequent_first)
    for n in numbers:
        rows = np.flatnonzero(counts >= max(at_least, n))
        drawn.append((rows, reveal(targets[rows], accepted=n, rejected=n // 2, seed=seed + n)))
    return drawn
