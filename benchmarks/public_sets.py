"""Ten public multi-label sets: labelbeam's heads beside scikit-learn's, on the official splits.

    python benchmarks/public_sets.py run SET METHOD … --out results/     trains and measures what is not done
    python benchmarks/public_sets.py next --seconds 240 --out results/   goes on with what is missing, for so long
    python benchmarks/public_sets.py table --out results/                the tables of docs/public_sets.md

Every method gets `CONFIGURATIONS` configurations, compared by the log-likelihood of held-out rows of the training part
(three folds below 100 rows, else a quarter of at most 5,000), and is then trained on all of it; the test part is
looked at once. Needs the sets (`LABELBEAM_DATA`/mulan) and scikit-learn.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labelbeam.data.feature_rows import FeatureRows
from labelbeam.formats.registry import open_dataset
from labelbeam.training.tuning import MOST_ROWS, parts_of

CONFIGURATIONS = 4
SETS = (
    "flags",
    "emotions",
    "scene",
    "birds",
    "yeast",
    "medical",
    "enron",
    "bibtex",
    "Corel5k",
    "tmc2007-500",
)
OURS = ("cnn-rnn", "no-rnn", "sigmoid-mlp", "sigmoid")
FIRST = ("cnn-rnn", "sigmoid-mlp", "relevance", "chain-beam", "forest")
PEERS = ("relevance", "chain", "chain-beam", "chain-ensemble", "forest")
STRENGTHS = (0.01, 0.1, 1.0, 10.0)
"""C of the logistic regressions."""
LEAVES = (1, 2, 5, 10)
"""Rows in a leaf of the forest, at least."""
BEAM, MEMBERS, TREES = 100, 10, 200
EPSILON = 1e-4
"""Probabilities of forests and constant labels are kept this far from 0 and 1: their likelihood would be infinite."""


@dataclass(frozen=True)
class Part:
    """Features and targets of a split."""

    X: np.ndarray
    Y: np.ndarray


@dataclass(frozen=True)
class Answered:
    """What a method says of test rows: sets, log p(true set), seconds, and nodes that exact search expanded."""

    sets: np.ndarray
    nats: np.ndarray
    seconds: float
    expanded: float | None = None


def data_folder() -> Path:
    """Return the folder of real data."""
    return Path(os.environ.get("LABELBEAM_DATA", "data"))


def read(name: str) -> tuple[Part, Part]:
    """Return the official train and test part."""
    ending = "-sparse" if name == "Corel5k" else ""
    parts = []
    for part in ("train", "test"):
        data = open_dataset(f"vectors:{data_folder() / 'mulan' / name}.xml#{part}{ending}")
        assert isinstance(data.features, FeatureRows)
        parts.append(Part(np.asarray(data.features[:]), np.asarray(data.targets)))
    return parts[0], parts[1]


# --- labelbeam


def ours(head: str, train: Part, test: Part, seed: int) -> tuple[Answered, float, str]:
    """Train a head and answer by exact search."""
    from labelbeam.decoding.best_first import best_paths
    from labelbeam.sklearn import LabelSetClassifier

    model = LabelSetClassifier(head, tune=CONFIGURATIONS, random_state=seed)
    start = time.perf_counter()
    model.fit(train.X, train.Y)
    trained = time.perf_counter() - start
    answerer = model._tagger().answerer
    nats = model.log_likelihood(test.X, test.Y)
    if not hasattr(answerer, "trie"):
        start = time.perf_counter()
        sets = model.predict(test.X)
        return Answered(sets, nats, time.perf_counter() - start), trained, model.chosen_
    best_paths(answerer.trie, answerer.step.image_rows(test.X[:2]))  # compiles
    start = time.perf_counter()
    found = best_paths(answerer.trie, answerer.step.image_rows(test.X))
    seconds = time.perf_counter() - start
    sets = np.zeros(test.Y.shape, np.int8)
    for row in range(len(sets)):
        sets[row, model._order[list(found.path(row))]] = 1
    return Answered(sets, nats, seconds, float(found.expansions.mean())), trained, model.chosen_


# --- logistic regressions


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

    def greedy(self, X: np.ndarray, width: int = 1) -> np.ndarray:
        """Return the best set that a beam finds; one example at a time, as a beam goes, its candidates together."""
        alone, sets = X @ self.of_features + self.bias, np.zeros((len(X), len(self.order)), np.int8)
        for row, logits in enumerate(alone):
            said, scores = np.zeros((1, len(self.order))), np.zeros(1)
            for place in range(len(self.order)):
                logit = logits[place] + (
                    0.0 if self.relevance else said[:, :place] @ self.of_labels[:place, place]
                )
                both = np.concatenate([scores - np.logaddexp(0, -logit), scores - np.logaddexp(0, logit)])
                best = np.argsort(-both, kind="stable")[:width]
                said, present = said[best % len(scores)], best < len(scores)
                said[:, place], scores = present, both[best]
            sets[row, self.order] = said[0]
        return sets


def regressions(method: str, train: Part, test: Part, seed: int) -> tuple[Answered, float, str]:
    """Train relevance, a chain or an ensemble of chains; the configurations are strengths C."""
    sparse = bool((train.X == 0).mean() > 0.8)
    scaled = [part.X for part in (train, test)]
    if not sparse:
        mean, deviation = train.X.mean(axis=0), train.X.std(axis=0)
        scaled = [(X - mean) / np.where(deviation > 1e-9, deviation, 1) for X in scaled]
    labels, relevance = train.Y.shape[1], method == "relevance"
    random = np.random.default_rng(seed)
    usual = np.argsort(-train.Y.sum(axis=0), kind="stable")
    start = time.perf_counter()

    def held_out(C: float) -> float:
        return chosen_by(
            train.Y,
            lambda kept, held: (
                Chain(C, usual, sparse=sparse, relevance=relevance)
                .fit(scaled[0][kept], train.Y[kept])
                .nats(scaled[0][held], train.Y[held])
            ),
        )

    C = max(STRENGTHS, key=held_out)
    orders = [random.permutation(labels) for _ in range(MEMBERS)] if method == "chain-ensemble" else [usual]
    chains = [Chain(C, order, sparse=sparse, relevance=relevance).fit(scaled[0], train.Y) for order in orders]
    trained = time.perf_counter() - start
    nats = np.logaddexp.reduce([one.nats(scaled[1], test.Y) for one in chains], axis=0) - np.log(len(chains))
    start = time.perf_counter()
    if method == "chain-beam":
        sets = chains[0].greedy(scaled[1], BEAM)
    elif relevance:  # needs no chain of steps
        sets = np.zeros(test.Y.shape, np.int8)
        sets[:, usual] = scaled[1] @ chains[0].of_features + chains[0].bias > 0
    else:
        votes = np.mean([one.greedy(scaled[1]) for one in chains], axis=0)
        sets = (votes > 0.5).astype(np.int8)
    return Answered(sets, nats, time.perf_counter() - start), trained, f"C={C:g}"


def forest(train: Part, test: Part, seed: int) -> tuple[Answered, float, str]:
    """Train a forest of all labels; its likelihood is that of independent labels."""
    from sklearn.ensemble import RandomForestClassifier

    def fitted(leaf: int, X: np.ndarray, Y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        model = RandomForestClassifier(TREES, min_samples_leaf=leaf, random_state=seed).fit(X, Y)

        def probabilities(rows: np.ndarray) -> np.ndarray:
            found = model.predict_proba(rows)
            columns = [
                one[:, 1] if one.shape[1] == 2 else np.full(len(rows), float(classes[0]))
                for one, classes in zip(found, model.classes_, strict=True)
            ]
            return np.clip(np.stack(columns, axis=1), EPSILON, 1 - EPSILON)

        return probabilities

    def nats(probabilities: np.ndarray, Y: np.ndarray) -> np.ndarray:
        return np.where(Y == 1, np.log(probabilities), np.log1p(-probabilities)).sum(axis=1)

    start = time.perf_counter()
    leaf = max(
        LEAVES,
        key=lambda leaf: chosen_by(
            train.Y,
            lambda kept, held: nats(fitted(leaf, train.X[kept], train.Y[kept])(train.X[held]), train.Y[held]),
        ),
    )
    answer = fitted(leaf, train.X, train.Y)
    trained = time.perf_counter() - start
    start = time.perf_counter()
    found = answer(test.X)
    seconds = time.perf_counter() - start
    return Answered((found > 0.5).astype(np.int8), nats(found, test.Y), seconds), trained, f"leaf={leaf}"


def chosen_by(Y: np.ndarray, nats: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> float:
    """Return the mean log-likelihood of held-out rows, on the rows that labelbeam's choice looks at too."""
    drawn = np.sort(np.random.default_rng(0).permutation(len(Y))[:MOST_ROWS])
    return float(
        np.concatenate([nats(drawn[kept], drawn[held]) for kept, held in parts_of(Y[drawn], 0)]).mean()
    )


# --- running


def run(name: str, method: str, out: Path, seed: int) -> Path:
    """Train and measure a method on a set, unless that is done."""
    file = out / f"{name}--{method}--{seed}.json"
    if file.exists():
        return file
    train, test = read(name)
    if method in OURS:
        answered, trained, chosen = ours(method, train, test, seed)
    elif method == "forest":
        answered, trained, chosen = forest(train, test, seed)
    else:
        answered, trained, chosen = regressions(method, train, test, seed)
    told = {
        **{"set": name, "method": method, "seed": seed, "chosen": chosen},
        **{"train_seconds": round(trained, 2), "predict_seconds": round(answered.seconds, 4)},
        "expanded": answered.expanded,
        "rows": len(test.Y),
        "nats": [round(float(one), 4) for one in answered.nats],
        "sets": [np.flatnonzero(row).tolist() for row in answered.sets],
    }
    out.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(told))
    part.rename(file)
    right = (answered.sets == test.Y).all(axis=1).mean()
    print(
        f"{name:12} {method:14} right {100 * right:5.1f} %  log-likelihood {answered.nats.mean():8.3f}  {chosen}  "
        f"train {trained:.0f} s  predict {answered.seconds:.2f} s",
        flush=True,
    )
    return file


def missing(out: Path, seed: int) -> Iterator[tuple[str, str]]:
    """Yield what is not done: small sets first, and what decides the comparison before the rest."""
    for methods in (FIRST, (*OURS, *PEERS)):
        for name, method in ((name, method) for name in SETS for method in methods):
            if not (out / f"{name}--{method}--{seed}.json").exists():
                yield name, method


# --- tables


def measures(sets: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return sets right, example-F1, O-F1 and Hamming loss."""
    hit, said, true = (sets & truth).sum(axis=1), sets.sum(axis=1), truth.sum(axis=1)
    example = np.where(said + true > 0, 2 * hit / np.maximum(said + true, 1), 1.0)
    return {
        "right": float((sets == truth).all(axis=1).mean()),
        "example_f1": float(example.mean()),
        "of1": float(2 * hit.sum() / max(1, said.sum() + true.sum())),
        "hamming": float((sets != truth).mean()),
    }


def interval(differences: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of a mean of paired differences over rows."""
    random = np.random.default_rng(seed)
    means = [
        differences[random.integers(len(differences), size=len(differences))].mean() for _ in range(2000)
    ]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def table(out: Path, seed: int) -> None:
    """Print the tables, in Markdown."""
    found: dict[tuple[str, str], dict] = {}
    for file in sorted(out.glob(f"*--{seed}.json")):
        told = json.loads(file.read_text())
        found[told["set"], told["method"]] = told
    methods = [one for one in (*OURS, *PEERS) if any(one == method for _, method in found)]
    truths = {name: read(name)[1].Y for name in SETS if any(name == one for one, _ in found)}
    rows: dict[tuple[str, str], dict] = {}
    for (name, method), told in found.items():
        sets = np.zeros(truths[name].shape, np.int8)
        for row, labels in zip(sets, told["sets"], strict=True):
            row[labels] = 1
        right = (sets == truths[name]).all(axis=1)
        rows[name, method] = {
            **measures(sets, truths[name]),
            **told,
            "hits": right,
            "nats": np.array(told["nats"]),
        }
    for heading, cell in {
        "sets right, %": lambda one: f"{100 * one['right']:.1f}",
        "log-likelihood, nats": lambda one: f"{one['nats'].mean():.2f}",
        "example-F1, %": lambda one: f"{100 * one['example_f1']:.1f}",
        "O-F1, %": lambda one: f"{100 * one['of1']:.1f}",
        "Hamming loss, %": lambda one: f"{100 * one['hamming']:.2f}",
        "seconds to train, choice included": lambda one: f"{one['train_seconds']:.0f}",
        "milliseconds to decode an example": lambda one: f"{1000 * one['predict_seconds'] / one['rows']:.3f}",
    }.items():
        print(f"\n| {heading} | " + " | ".join(methods) + " |\n|---" * 1 + "|---" * len(methods) + "|")
        for name in truths:
            cells = [cell(rows[name, method]) if (name, method) in rows else "" for method in methods]
            print(f"| {name} | " + " | ".join(cells) + " |")
    print(
        "\n| CNN-RNN minus the best of the others | sets right, points | log-likelihood, nats | nodes expanded |"
    )
    print("|---|---|---|---|")
    for name in truths:
        if (name, "cnn-rnn") not in rows:
            continue
        mine, texts = rows[name, "cnn-rnn"], []
        for key, factor, digits in (("hits", 100, 1), ("nats", 1, 2)):
            others = {method: rows[name, method][key] for method in PEERS if (name, method) in rows}
            if not others:
                texts.append("")
                continue
            best = max(others, key=lambda method: others[method].mean())
            difference = factor * (mine[key].astype(float) - others[best].astype(float))
            low, high = interval(difference)
            texts.append(
                f"{difference.mean():+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f}) over {best}"
            )
        print(f"| {name} | " + " | ".join(texts) + f" | {mine['expanded']:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["run", "next", "table"])
    parser.add_argument("names", nargs="*", help="for run: a set, then methods (none: all)")
    parser.add_argument("--out", type=Path, default=Path("public_sets"))
    parser.add_argument("--seconds", type=float, default=240, help="for next: begins nothing after so long")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.what == "table":
        table(options.out, options.seed)
    elif options.what == "run":
        name, *methods = options.names
        for method in methods or (*OURS, *PEERS):
            run(name, method, options.out, options.seed)
    else:
        start = time.monotonic()
        for name, method in missing(options.out, options.seed):
            if time.monotonic() - start > options.seconds:
                break
            run(name, method, options.out, options.seed)


if __name__ == "__main__":
    main()
