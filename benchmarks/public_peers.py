"""What people use beside a joint network, in scikit-learn: regressions, chains of them, ensembles, forests.

`public_sets` runs them. Every method is given the same number of configurations (strengths of the regressions, leaves
of the forest), compared by the log-likelihood of held-out rows of the training part. A chain is a probabilistic one:
its product is p(set | row), answered greedily, by a beam or by exact search.
"""

import heapq
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from labelbeam.training.learning import MOST_ROWS, parts_of

STRENGTHS = (0.01, 0.1, 1.0, 10.0)
"""C of the logistic regressions."""
LEAVES = (1, 2, 5, 10)
"""Rows in a leaf of the forest, at least."""
BEAM, BLOCK = 100, 256
"""Width of the chain's beam, and rows that it answers together."""
MEMBERS, FEW_MEMBERS, MANY_LABELS = 10, 3, 100
"""Chains in an ensemble, and where there are at least so many labels: a chain takes minutes there."""
EXACT_LABELS, EXACT_BUDGET = 20, 5000
"""Exact search of a chain: labels at most (a set has that many steps), and prefixes a row; past it, the beam's."""
TREES, FEW_TREES, MANY_CELLS = 200, 50, 300_000
"""Trees of a forest, and where rows times labels are more; leaves are chosen by a quarter of them."""
TREES_TOGETHER = 10
"""Trees in memory at the same time: with hundreds of labels, each takes tens of megabytes."""
EPSILON = 1e-4
"""Probabilities of forests and constant labels are kept this far from 0 and 1: their likelihood would be infinite."""


@dataclass(frozen=True)
class Part:
    """Features and targets of a split."""

    X: np.ndarray
    Y: np.ndarray


@dataclass(frozen=True)
class Answered:
    """What a method says of test rows.

    Attributes:
        sets: decided, [rows labels].
        nats: log p(true set | row).
        seconds: of the processor, to decide them, features given.
        chosen: the configuration.
        trained: seconds of the processor to choose and to train.
        expanded: prefixes that exact search expanded, a row; None: there is no such search.
        exact: share of rows whose set is certified as the most probable one; None: nothing is.
        searched: what of `seconds` the search took; the rest is the network's. None: it was not parted.
        tried: -log p of held-out rows by configuration, where it was kept.
    """

    sets: np.ndarray
    nats: np.ndarray
    seconds: float
    chosen: str
    trained: float
    expanded: float | None = None
    exact: float | None = None
    tried: Mapping[str, float] = field(default_factory=dict)
    searched: float | None = None


class Logistic:
    """A logistic regression for a label; its frequency where all training rows agree."""

    def __init__(self, C: float, *, sparse: bool) -> None:
        from sklearn.linear_model import LogisticRegression

        self.model = LogisticRegression(C=C, solver="liblinear" if sparse else "lbfgs", max_iter=300)
        self.constant: float | None = None

    def fit(self, X: object, y: np.ndarray) -> "Logistic":
        """Fit the regression."""
        if len(np.unique(y)) < 2:
            self.constant = float(np.clip(y[0], EPSILON, 1 - EPSILON))
        else:
            self.model.fit(X, y)
        return self

    def weights(self, width: int) -> np.ndarray:
        """Return weights and intercept, as one row."""
        if self.constant is not None:
            return np.append(np.zeros(width), np.log(self.constant / (1 - self.constant)))
        return np.append(self.model.coef_[0], self.model.intercept_[0])


class Chain:
    """Labels in an order, each regressed on features and the labels before it; `relevance` looks at features alone."""

    def __init__(self, C: float, order: np.ndarray, *, sparse: bool, relevance: bool = False) -> None:
        self.C, self.order, self.sparse, self.relevance = C, order, sparse, relevance

    def fit(self, X: np.ndarray, Y: np.ndarray) -> "Chain":
        """Fit a regression for each label."""
        from scipy import sparse

        width, rows = X.shape[1], []
        given = sparse.csr_matrix(X) if self.sparse else X
        for place, label in enumerate(self.order):
            before = Y[:, self.order[: 0 if self.relevance else place]].astype(np.float32)
            both = sparse.hstack([given, before], format="csr") if self.sparse else np.hstack([given, before])
            row = np.zeros(width + len(self.order) + 1)
            weights = Logistic(self.C, sparse=self.sparse).fit(both, Y[:, label]).weights(both.shape[1])
            row[: len(weights) - 1], row[-1] = weights[:-1], weights[-1]
            rows.append(row)
        table = np.array(rows)
        self.of_features, self.of_labels, self.bias = table[:, :width].T, table[:, width:-1].T, table[:, -1]
        return self

    def nats(self, X: np.ndarray, Y: np.ndarray) -> np.ndarray:
        """Return log p(set | row)."""
        ordered = Y[:, self.order].astype(np.float64)
        logits = X @ self.of_features + ordered @ np.tril(self.of_labels.T, -1).T + self.bias
        return -np.logaddexp(0, np.where(ordered == 1, -logits, logits)).sum(axis=1)

    def beam(self, X: np.ndarray, width: int = 1) -> np.ndarray:
        """Return the best set that a beam finds; all rows of a block and all their candidates together."""
        sets = np.zeros((len(X), len(self.order)), np.int8)
        for first in range(0, len(X), BLOCK):
            part = slice(first, first + BLOCK)
            sets[part, self.order] = self._beam(X[part] @ self.of_features + self.bias, width)
        return sets

    def _beam(self, alone: np.ndarray, width: int) -> np.ndarray:
        rows, labels = alone.shape
        of_labels = self.of_labels.astype(np.float32)
        emitted = np.zeros((rows, 1, labels), np.float32)
        scores = np.zeros((rows, 1))
        for place in range(labels):
            logit = alone[:, place, None]
            if place and not self.relevance:
                logit = logit + emitted[:, :, :place] @ of_labels[:place, place]
            cost = np.logaddexp(0, -logit)  # of the label; without it: cost + logit
            both = np.concatenate([scores - cost, scores - cost - logit], axis=1)
            count = scores.shape[1]
            if both.shape[1] > width:
                kept = np.argpartition(-both, width - 1, axis=1)[:, :width]
                scores = np.take_along_axis(both, kept, axis=1)
                emitted = np.take_along_axis(emitted, (kept % count)[:, :, None], axis=1)
                emitted[:, :, place] = kept < count
            else:
                scores, emitted = both, np.concatenate([emitted, emitted], axis=1)
                emitted[:, :count, place] = 1
        return emitted[np.arange(rows), scores.argmax(axis=1)].astype(np.int8)

    def exact(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the most probable set of each row, whether it is certified, and the prefixes expanded.

        Best-first search over prefixes: the first complete one that comes out is the most probable.
        """
        alone, labels = X @ self.of_features + self.bias, len(self.order)
        columns = [self.of_labels[:place, place] for place in range(labels)]
        sets, proven = self.beam(X, BEAM), np.zeros(len(X), bool)
        expanded = np.zeros(len(X), np.int64)
        for row, logits in enumerate(alone):
            waiting: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
            while waiting and expanded[row] < EXACT_BUDGET:
                cost, prefix = heapq.heappop(waiting)
                place = len(prefix)
                if place == labels:
                    sets[row, self.order], proven[row] = prefix, True
                    break
                expanded[row] += 1
                logit = logits[place] + (
                    0.0 if self.relevance else np.dot(prefix, columns[place]) if place else 0
                )
                absent = np.logaddexp(0, logit)
                heapq.heappush(waiting, (cost + absent, (*prefix, 0)))
                heapq.heappush(waiting, (cost + absent - logit, (*prefix, 1)))
        return sets, proven, expanded


def scaled(train: Part, test: Part) -> tuple[bool, np.ndarray, np.ndarray]:
    """Return whether features are sparse, and both parts' features: standardised where they are not."""
    if (train.X == 0).mean() > 0.8:
        return True, train.X, test.X
    mean, deviation = train.X.mean(axis=0), train.X.std(axis=0)
    deviation = np.where(deviation > 1e-9, deviation, 1)
    return False, (train.X - mean) / deviation, (test.X - mean) / deviation


def strength(
    train: Part, X: np.ndarray, order: np.ndarray, *, sparse: bool, relevance: bool = False
) -> float:
    """Return the C of `STRENGTHS` that gives held-out rows the greatest likelihood."""

    def held_out(C: float) -> float:
        return chosen_by(
            train.Y,
            lambda kept, held: (
                Chain(C, order, sparse=sparse, relevance=relevance)
                .fit(X[kept], train.Y[kept])
                .nats(X[held], train.Y[held])
            ),
        )

    return max(STRENGTHS, key=held_out)


def relevance(train: Part, test: Part, seed: int) -> Mapping[str, Answered]:
    """Train a regression for each label by itself."""
    sparse, X, rows = scaled(train, test)
    order, start = np.arange(train.Y.shape[1]), time.process_time()
    C = strength(train, X, order, sparse=sparse, relevance=True)
    chain = Chain(C, order, sparse=sparse, relevance=True).fit(X, train.Y)
    trained, start = time.process_time() - start, time.process_time()
    sets = (rows @ chain.of_features + chain.bias > 0).astype(np.int8)
    seconds = time.process_time() - start
    return {"relevance": Answered(sets, chain.nats(rows, test.Y), seconds, f"C={C:g}", trained)}


def chains(train: Part, test: Part, seed: int) -> Mapping[str, Answered]:
    """Train a chain, the most frequent label first, and answer greedily, by a beam and, if short, exactly."""
    sparse, X, rows = scaled(train, test)
    order, start = np.argsort(-train.Y.sum(axis=0), kind="stable"), time.process_time()
    C = strength(train, X, order, sparse=sparse)
    chain = Chain(C, order, sparse=sparse).fit(X, train.Y)
    trained, nats, found = time.process_time() - start, chain.nats(rows, test.Y), {}
    for name, width in (("chain", 1), ("chain-beam", BEAM)):
        start = time.process_time()
        sets = chain.beam(rows, width)
        found[name] = Answered(sets, nats, time.process_time() - start, f"C={C:g}", trained)
    if len(order) <= EXACT_LABELS:
        start = time.process_time()
        sets, proven, expanded = chain.exact(rows)
        seconds = time.process_time() - start
        found["chain-exact"] = Answered(
            sets, nats, seconds, f"C={C:g}", trained, float(expanded.mean()), float(proven.mean())
        )
    return found


def chain_ensemble(train: Part, test: Part, seed: int) -> Mapping[str, Answered]:
    """Train chains of random orders; sets by votes (Read et al. 2011), the likelihood of their mixture."""
    sparse, X, rows = scaled(train, test)
    labels, random, start = train.Y.shape[1], np.random.default_rng(seed), time.process_time()
    C = strength(train, X, np.argsort(-train.Y.sum(axis=0), kind="stable"), sparse=sparse)
    count = MEMBERS if labels < MANY_LABELS else FEW_MEMBERS
    members = [Chain(C, random.permutation(labels), sparse=sparse).fit(X, train.Y) for _ in range(count)]
    trained = time.process_time() - start
    nats = np.logaddexp.reduce([one.nats(rows, test.Y) for one in members], axis=0) - np.log(count)
    start = time.process_time()
    sets = (np.mean([one.beam(rows) for one in members], axis=0) > 0.5).astype(np.int8)
    seconds = time.process_time() - start
    return {"chain-ensemble": Answered(sets, nats, seconds, f"C={C:g}, {count} chains", trained)}


def forest(train: Part, test: Part, seed: int) -> Mapping[str, Answered]:
    """Train a forest of all labels together; its likelihood is that of independent labels."""
    from sklearn.ensemble import RandomForestClassifier

    trees = TREES if train.Y.size <= MANY_CELLS else FEW_TREES
    predicting = 0.0

    def probabilities(leaf: int, kept: Part, X: np.ndarray, trees: int) -> np.ndarray:
        nonlocal predicting
        total = np.zeros((len(X), kept.Y.shape[1]))
        for first in range(0, trees, TREES_TOGETHER):
            model = RandomForestClassifier(
                min(TREES_TOGETHER, trees - first), min_samples_leaf=leaf, random_state=seed * TREES + first
            ).fit(kept.X, kept.Y)
            start = time.process_time()
            for j, (one, classes) in enumerate(zip(model.predict_proba(X), model.classes_, strict=True)):
                total[:, j] += model.n_estimators * (one[:, 1] if one.shape[1] == 2 else float(classes[0]))
            predicting += time.process_time() - start
        return np.clip(total / trees, EPSILON, 1 - EPSILON)

    def nats(found: np.ndarray, Y: np.ndarray) -> np.ndarray:
        return np.where(Y == 1, np.log(found), np.log1p(-found)).sum(axis=1)

    def held_out(leaf: int) -> float:
        return chosen_by(
            train.Y,
            lambda kept, held: nats(
                probabilities(leaf, Part(train.X[kept], train.Y[kept]), train.X[held], trees // 4),
                train.Y[held],
            ),
        )

    start = time.process_time()
    leaf = max(LEAVES, key=held_out)
    predicting = 0.0
    found = probabilities(leaf, train, test.X, trees)
    trained = time.process_time() - start - predicting
    sets = (found > 0.5).astype(np.int8)
    chosen = f"leaves of {leaf}, {trees} trees"
    return {"forest": Answered(sets, nats(found, test.Y), predicting, chosen, trained)}


def chosen_by(Y: np.ndarray, nats: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> float:
    """Return the mean log-likelihood of held-out rows, on the rows that labelbeam's choice looks at too."""
    drawn = np.sort(np.random.default_rng(0).permutation(len(Y))[:MOST_ROWS])
    return float(
        np.concatenate([nats(drawn[kept], drawn[held]) for kept, held in parts_of(Y[drawn], 0)]).mean()
    )
