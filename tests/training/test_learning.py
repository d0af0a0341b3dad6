"""A head learned from features in memory, and a configuration chosen by held-out rows."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from labelbeam.errors import InputError
from labelbeam.heads.nearest_neighbours_torch import NearestNeighbours
from labelbeam.runs.config import RunConfig, configure
from labelbeam.runs.recipe import DataSize
from labelbeam.training.batches import FeatureBatches
from labelbeam.training.learning import as_rows, candidates, learn, parts_of, remember, size_of, tune


def rows(count: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features whose signs are the labels; the second label is rare."""
    features = np.random.default_rng(seed).standard_normal((count, 4)).astype(np.float32)
    return features, (features[:, :3] > [0.0, 1.0, -1.0]).astype(np.int8)


def small(head: str = "sigmoid", **recipe: Any) -> RunConfig:
    return configure(
        head=head,
        options={"recipe": {"epochs": 8, "batch_size": 16, "learning_rate": 0.05, **recipe}, "seed": 1},
    )


def test_a_head_is_learned_and_the_epoch_that_predicts_held_out_rows_best_is_kept() -> None:
    seen: list[dict[str, int | float]] = []
    held = rows(40, seed=1)
    found = learn(small(patience=99), *rows(), held, after_epoch=seen.append)
    assert seen == found.history
    nats = [row["val_nats"] for row in found.history]
    assert len(nats) == 8
    assert found.nats == min(nats) == nats[found.best_epoch - 1] < nats[0]
    logits, truth = found.head.logits(held[0]).astype(np.float64), held[1][:, found.order]
    own = (np.logaddexp(0, logits) - truth * logits).sum(axis=1).mean()
    assert found.nats == pytest.approx(own, abs=1e-4)


def test_without_held_out_rows_the_last_epoch_is_kept_and_nothing_is_measured() -> None:
    found = learn(small(), *rows())
    assert math.isnan(found.nats)
    assert found.best_epoch == len(found.history) == 8


def test_the_seed_decides_a_training_and_the_order_of_labels_has_a_seed_of_its_own() -> None:
    one, again = (learn(small(), *rows()) for _ in range(2))
    other = learn(configure(head="sigmoid", options={"recipe": vars(small().recipe), "seed": 2}), *rows())
    np.testing.assert_array_equal(one.head.last, again.head.last)
    assert not np.array_equal(one.head.last, other.head.last)


def test_a_head_that_learns_nothing_remembers_its_rows() -> None:
    features, targets = rows()
    found = learn(small("knn"), features, targets)
    assert found.history == []
    logits = found.head.logits(features)
    assert ((logits > 0) == targets[:, found.order]).mean() > 0.8
    both = np.stack((features, -features), axis=1)  # two views of each image: as it is, and mirrored
    head = NearestNeighbours(3, 4)
    remember(head, FeatureBatches(both, targets, 16, 0))
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(head.remembered.numpy(), features / lengths, atol=1e-3)
    assert torch.equal(head.known, torch.from_numpy(targets))


def test_few_rows_are_judged_in_three_folds_and_many_by_a_quarter() -> None:
    targets = rows(99)[1]
    folds = parts_of(targets, seed=0)
    assert len(folds) == 3
    assert sorted(np.concatenate([held for _, held in folds])) == list(range(99))
    for kept, held in folds:
        assert sorted(np.concatenate((kept, held))) == list(range(99))
        assert len(held) == pytest.approx(33, abs=2)
    ((kept, held),) = parts_of(rows(100)[1], seed=0)
    assert (len(held), len(kept)) == (pytest.approx(25, abs=2), pytest.approx(75, abs=2))


def test_what_features_are_like_is_taken_from_their_numbers() -> None:
    dense, words = rows()[0], (np.random.default_rng(0).random((50, 100)) < 0.05).astype(np.float32)
    found = size_of(dense, 3)
    assert (found.rows, found.features, found.labels) == (60, 4, 3)
    assert (found.sparse, found.small, found.vectors, found.active) == (False, False, True, 4.0)
    found = size_of(words, 7)
    assert (found.sparse, found.small) == (True, True)
    assert found.active == pytest.approx(5, abs=1)


def test_configurations_beyond_the_listed_ones_are_drawn_by_the_seed() -> None:
    size = DataSize(400, 72, 6)
    drawn, again, other = (candidates(size, "sigmoid", 9, seed=seed) for seed in (0, 0, 1))
    assert drawn == again != other
    assert len({name for name, _ in drawn}) == 9
    rates = [values["recipe"]["learning_rate"] for _, values in drawn]
    assert all(rates[0] / 2 <= rate <= 2 * rates[0] for rate in rates[5:])
    own, half, twice = (drawn[i][1]["recipe"]["epochs"] for i in (0, 3, 4))
    assert half < own < twice
    for count, head, words in ((0, "sigmoid", "at least 1"), (2, "knn", "not for 'knn'")):
        with pytest.raises(InputError, match=words):
            candidates(size, head, count)


def test_the_best_on_held_out_rows_is_chosen_with_what_the_others_had() -> None:
    features, targets = rows()
    said: list[str] = []

    def configured(differences: Mapping[str, Any]) -> RunConfig:
        return small(epochs=1 if differences.get("recipe", {}).get("epochs", 0) % 2 else 3)

    found = tune(configured, size_of(features, 3), features, targets, count=2, report=said.append)
    assert len(found.others) == 2
    assert found.nats == min(found.others.values()) == found.others[found.name]
    assert len(said) == 3
    assert said[-1] == f"chosen of 2: {found.name}."
    tune(configured, size_of(features, 3), features[:12], targets[:12], count=1)  # twelve are enough
    with pytest.raises(InputError, match="there are 11"):
        tune(configured, size_of(features, 3), features[:11], targets[:11], count=1)
    assert len(as_rows(features)) == 60


LATER = {"allowed": "no-repeat"}
GOLDEN: list[tuple[str, dict[str, Any], tuple[float, float]]] = [
    ("no-rnn", {}, (2.5062, 2.6364)),
    ("sigmoid", {}, (1.5713, 1.4118)),
    ("sigmoid-mlp", {}, (1.6310, 1.4294)),
    ("any-subset", {}, (1.1009, 1.4366)),
    ("softmax", {}, (0.7237, 0.6868)),
    ("warp", {}, (0.5443, 0.2504)),
    ("asymmetric", {}, (0.8128, 0.6866)),
    ("chow-liu", {}, (1.5680, 1.3935)),
    ("cnn-rnn", {}, (2.5329, 2.5856)),
    ("cnn-rnn", {"order": "shuffle", "label_model": LATER}, (2.7059, 2.6730)),
    ("cnn-rnn", {"label_model": LATER | {"loss": "remaining-set"}}, (2.7288, 2.6931)),
    ("cnn-rnn", {"label_model": LATER | {"loss": "mla"}}, (2.4947, 2.6179)),
    (
        "cnn-rnn",
        {
            "recipe": {"warmup": 0.5},
            "label_model": {
                **{"per_label": 1.0, "nothing": "independent"},
                **{"image_hidden_size": 5, "cell": "paper-gated"},
            },
        },
        (2.9393, 1.4622),
    ),
    ("sigmoid", {"recipe": {"optimiser": "sgd", "schedule": "constant", "average": 0.9}}, (1.5369, 1.4191)),
    (
        "cnn-rnn",
        {"recipe": {"optimiser": "rmsprop", "clip_norm": 0.1, "weight_decay": 0.5}},
        (2.3567, 2.6209),
    ),
]


@pytest.mark.parametrize(("head", "more", "nats"), GOLDEN, ids=[f"{head} {more}" for head, more, _ in GOLDEN])
def test_a_seeded_training_keeps_its_numbers(
    head: str, more: dict[str, Any], nats: tuple[float, float]
) -> None:
    options: dict[str, Any] = {
        "label_model": {"hidden_size": 8, "embedding_size": 6, "image_hidden_size": 0},
        "sigmoid": {"hidden_size": 9 if head in ("sigmoid-mlp", "any-subset") else 0},
        "recipe": {"epochs": 3, "batch_size": 16, "learning_rate": 0.02},
        "seed": 1,
    }
    for name, value in more.items():
        options[name] = options[name] | value if isinstance(value, dict) else value
    features, targets = rows()
    targets[::7, 1] = -1
    last = learn(configure(head=head, options=options), features, targets, rows(40, seed=1)).history[-1]
    assert (last["train_nats"], last["val_nats"]) == pytest.approx(nats, rel=1e-3)


@pytest.mark.parametrize(("vectors", "other"), [(False, "h = ReLU"), (True, "additive")])
def test_what_is_tried_of_a_label_model_is_strength_length_activation_and_depth(
    vectors: bool, other: str
) -> None:
    names = [name for name, _ in candidates(DataSize(400, 72, 6, vectors=vectors), "cnn-rnn", 9, seed=0)]
    assert names == [
        *("middle", "light", "strong", "middle, half as long", "middle, twice as long", f"middle, {other}"),
        *("middle, no hidden layer", "light, 0.73 times as long, rate 0.001058"),
        "middle, 0.51 times as long, rate 0.003088",
    ]


@pytest.mark.parametrize("own", [0.0, 1.0])
def test_after_the_strengths_the_best_of_a_label_model_is_tried_with_or_without_labels_own_logits(
    own: float,
) -> None:
    features, targets = rows(24)
    seen: list[Mapping[str, Any]] = []

    def configured(differences: Mapping[str, Any]) -> RunConfig:
        seen.append(differences)
        small = {"hidden_size": 4, "embedding_size": 3, "image_hidden_size": 0, "per_label": own}
        small |= {
            name: value for name, value in differences.get("label_model", {}).items() if name == "per_label"
        }
        return configure(
            head="cnn-rnn",
            options={"label_model": small, "recipe": {"epochs": 1, "batch_size": 16}, "seed": 1},
        )

    found = tune(configured, DataSize(24, 4, 3), features, targets, count=5)
    names = list(found.others)
    best = min(names[:3], key=lambda name: found.others[name])
    assert names[3] == f"{best}, {'no ' if own else ''}labels' own logits"
    assert names[4] == "middle, twice as long"  # in place of half as long
    assert seen[-2]["label_model"]["per_label"] == 1.0 - own
