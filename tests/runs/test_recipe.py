"""The default recipe by what the data are: strength, heads side by side, logits of the labels' own."""

from dataclasses import replace

import numpy as np
import pytest

from labelbeam.runs.config import configure
from labelbeam.runs.recipe import DataSize, Recipe, format_recipe, one_head, recipe_for, strength_for
from labelbeam.training.learning import size_of

VECTORS = DataSize(400, 72, 6, vectors=True)


def test_words_count_where_a_row_has_them() -> None:
    random = np.random.default_rng(0)
    words = (random.random((600, 1500)) < 0.01).astype(np.float32)  # 15 words a row
    size = size_of(words, 10)
    assert (size.sparse, size.small, round(size.per_feature / 40, 1)) == (True, True, 1.0)
    assert strength_for(size).name == "light"
    assert strength_for(size_of(random.normal(size=(600, 1500)).astype(np.float32), 10)).name == "strong"


def test_of_few_vectors_several_heads_are_together_as_wide_as_one() -> None:
    few, many = (recipe_for(replace(VECTORS, rows=rows), "cnn-rnn") for rows in (9999, 10_000))
    assert few["members"] * few["label_model"]["image_hidden_size"] == 1024
    assert "members" not in many
    assert "image_hidden_size" not in many["label_model"]
    words = recipe_for(replace(VECTORS, sparse=True, active=9.0), "cnn-rnn")
    assert "image_hidden_size" not in words["label_model"], "of hundreds of words each keeps its units"


def test_long_lists_of_labels_of_vectors_have_wider_embeddings() -> None:
    long = replace(VECTORS, labels=65)
    sizes = [
        recipe_for(size, head)["label_model"].get("embedding_size")
        for head in ("cnn-rnn", "no-rnn")
        for size in (long, replace(long, labels=64), replace(long, vectors=False))
    ]
    assert sizes == [128, None, None] * 2


def test_labels_of_vectors_have_logits_of_their_own_with_a_weight_by_the_kind_of_features() -> None:
    weights = [
        recipe_for(size, "cnn-rnn")["label_model"]["per_label"]
        for size in (VECTORS, replace(VECTORS, sparse=True, active=9.0))
    ]
    assert weights == [0.1, 1.0]


@pytest.mark.parametrize("head", ["cnn-rnn", "no-rnn"])
def test_a_label_model_of_photographs_is_additive_and_its_labels_have_logits_that_it_does_not_teach(head):
    found = one_head(configure(head=head), replace(VECTORS, vectors=False))
    chosen = configure(head=head, by_data=found).label_model
    assert (chosen.activation, chosen.per_label, chosen.per_label_detached) == ("identity", 1.0, True)


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({}, VECTORS),
        ({"head": "sigmoid"}, replace(VECTORS, vectors=False)),
        ({"options": {"local": {"name": "csra"}}}, replace(VECTORS, vectors=False)),
        ({"settings": ["label_model.allowed=no-repeat"]}, replace(VECTORS, vectors=False)),
    ],
    ids=["vectors", "sigmoid", "local", "any order"],
)
def test_what_was_measured_without_those_logits_stays_without(asked, size):
    assert one_head(configure(**asked), size) == {}


def test_train_says_how_many_heads_learn_side_by_side() -> None:
    line = format_recipe(VECTORS, Recipe(), members=4)
    assert line.endswith("; of so few rows 4 heads learn side by side and answer as one.")
    assert "side by side" not in format_recipe(VECTORS, Recipe())


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_a_refit_has_as_much_learning_rate_in_all_as_the_chosen_epoch_had(schedule: str) -> None:
    recipe = Recipe(epochs=60, schedule=schedule, warmup=0.1 if schedule == "cosine" else 0.0)

    def total(one: Recipe, epochs: int) -> float:
        return sum(one.rate_at(step, 10 * one.epochs) for step in range(10 * epochs))

    for epoch in (9, 30, 60):
        again = recipe.refitted(epoch)
        assert again.patience == 0
        assert (
            abs(total(again, again.epochs) - total(recipe, epoch)) < 6
        )  # of 10 a full epoch: half a rounded one
