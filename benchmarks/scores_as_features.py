"""Another model's scores as features: what a joint model over them gains (docs/own_scores.md).

    python benchmarks/scores_as_features.py scene emotions

The other model is a logistic regression for each label (it stands for any: a fine-tuned ViT, RAM, CLIP). Its scores of
training rows come from folds that had not seen them; those of test rows from all. Both get the same rows.
"""

import sys

import numpy as np
from public_peers import EPSILON, Answered, Chain
from public_sets import interval, measured, read
from sklearn.model_selection import KFold

from labelbeam.sklearn import LabelSetClassifier

FOLDS, C = 5, 0.1


def logits(chain: Chain, X: np.ndarray, order: np.ndarray) -> np.ndarray:
    found = np.empty((len(X), len(order)), np.float32)
    found[:, order] = X @ chain.of_features + chain.bias
    return np.clip(found, np.log(EPSILON), -np.log(EPSILON))


def compare(name: str) -> None:
    train, test = read(name)
    mean, deviation = train.X.mean(axis=0), train.X.std(axis=0)
    X, A = ((part.X - mean) / np.where(deviation > 1e-9, deviation, 1) for part in (train, test))
    order = np.arange(train.Y.shape[1])

    def other(rows: np.ndarray) -> Chain:
        return Chain(C, order, sparse=False, relevance=True).fit(X[rows], train.Y[rows])

    scores = np.empty(train.Y.shape, np.float32)
    for kept, held in KFold(FOLDS, shuffle=True, random_state=0).split(X):
        scores[held] = logits(other(kept), X[held], order)
    of_test = logits(other(np.arange(len(X))), A, order)
    alone = (of_test > 0).astype(np.int8)
    alone_nats = -np.logaddexp(0, np.where(test.Y == 1, -of_test, of_test)).sum(axis=1)
    joint = LabelSetClassifier().fit(scores, train.Y)
    together, nats = joint.predict(of_test), joint.log_likelihood(of_test, test.Y)
    certified = np.mean([one.exact for one in joint.tag(of_test)])
    for text, sets, value in (
        ("scores at 1/2", alone, alone_nats),
        ("joint model over them", together, nats),
    ):
        found = measured(Answered(sets.astype(np.int8), value, 0.0, "", 0.0), test.Y)
        print(
            f"{name:10} {text:22} right {100 * found['right']:.1f} %  example-F1 {100 * found['example_f1']:.1f} %  "
            f"log-likelihood {value.mean():.2f}"
        )
    hits = (together == test.Y).all(axis=1).astype(float) - (alone == test.Y).all(axis=1)
    low, high = interval(100 * hits)
    print(
        f"{name:10} gain {100 * hits.mean():+.1f} points ({low:+.1f} to {high:+.1f}), {certified:.0%} certified"
    )


if __name__ == "__main__":
    for one in sys.argv[1:] or ["scene", "emotions"]:
        compare(one)
