"""The regression that adds one label: against scikit-learn, against its own gradient, on what it must refuse."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from labelbeam.decoding.trie import PrefixTrie
from labelbeam.errors import InputError
from labelbeam.heads.arrays_torch import trained
from labelbeam.heads.label_model import TrainedLabelModel
from labelbeam.heads.label_model_torch import CNNRNN
from labelbeam.heads.label_scores import TrainedAnySubset, TrainedSigmoid
from labelbeam.heads.label_scores_torch import AnySubsetHead, SigmoidHead
from labelbeam.heads.new_label import (
    any_subset_with,
    decisions_of_label_model,
    fit_offset_regression,
    label_model_with,
    sigmoid_with,
)
from labelbeam.heads.options import LabelModelOptions, LocalOptions, SigmoidOptions


def drawn(seed: int = 0, rows: int = 300, inputs: int = 4):
    rng = np.random.default_rng(seed)
    x, offsets = rng.standard_normal((rows, inputs)), rng.standard_normal(rows) - 1
    logits = x @ np.linspace(-2, 2, inputs) + offsets
    return x, offsets, rng.random(rows) < 1 / (1 + np.exp(-logits))


def test_without_offsets_it_is_the_logistic_regression_of_scikit_learn() -> None:
    x, _, present = drawn()
    found = fit_offset_regression(x, np.zeros(len(x)), present, groups=np.arange(len(x)), bias=True)
    other = LogisticRegression(C=1 / found.penalty, tol=1e-10, max_iter=1000).fit(x, present)
    assert found.weights == pytest.approx(other.coef_[0], abs=1e-4)
    assert found.bias == pytest.approx(other.intercept_[0], abs=1e-4)


def test_the_gradient_of_the_penalised_loss_is_zero_at_what_is_found() -> None:
    x, offsets, present = drawn(1)
    found = fit_offset_regression(x, offsets, present, groups=np.arange(len(x)) // 3, bias=False)
    p = 1 / (1 + np.exp(-(x @ found.weights + offsets)))
    assert x.T @ (p - present) + found.penalty * found.weights == pytest.approx(np.zeros(4), abs=1e-5)
    assert found.bias == 0.0


@pytest.mark.parametrize("scale", [5.0, 30.0])
def test_where_whole_steps_would_overshoot_the_minimum_is_found_by_halves(scale: float) -> None:
    x, offsets, present = drawn(4)
    offsets = (
        scale * np.where(present, -1.0, 1.0) + offsets
    )  # sure of the opposite, so the loss is all but straight
    found = fit_offset_regression(x, offsets, present, groups=np.arange(len(x)), bias=True)
    p = 1 / (1 + np.exp(-(x @ found.weights + found.bias + offsets)))
    gradient = x.T @ (p - present) + found.penalty * found.weights
    assert gradient == pytest.approx(np.zeros(4), abs=1e-3)
    assert (p - present).sum() == pytest.approx(0, abs=1e-3)


def test_a_row_is_judged_by_a_fit_that_did_not_see_its_group() -> None:
    """Each group repeats one row that says its answer; only a fit that saw the group could know it."""
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(60), 5)
    x = np.repeat(rng.standard_normal((60, 200)), 5, axis=0)
    present = np.repeat(rng.random(60) < 0.5, 5)
    found = fit_offset_regression(x, np.zeros(300), present, groups=groups, bias=True)
    fitted = x @ found.weights + found.bias
    assert ((fitted > 0) == present).mean() > 0.95
    assert ((found.held_out > 0) == present).mean() < 0.75
    assert found.log_loss > 0.9 * found.base_log_loss


def test_too_few_images_on_one_side_are_refused() -> None:
    x, offsets, _ = drawn()
    few = np.arange(len(x)) < 4
    for present in (few, ~few):
        with pytest.raises(InputError, match="at least 5 images"):
            fit_offset_regression(x, offsets, present, groups=np.arange(len(x)), bias=False)


def test_a_grown_sigmoid_head_says_of_the_old_labels_what_it_said_and_of_the_new_one_what_was_fitted() -> (
    None
):
    torch.manual_seed(0)
    module = SigmoidHead(3, 4, local=LocalOptions("csra"), channels=2)
    torch.nn.init.normal_(module.last.weight), torch.nn.init.normal_(module.local.weight)
    head = trained(module)
    features = np.random.default_rng(0).standard_normal((5, 4 + 2 * 9)).astype(np.float32)
    weights = np.array([1.0, -2.0, 0.5, 3.0])
    grown = TrainedSigmoid(
        sigmoid_with(head, weights, -0.25),
        head.options,
        scaling="none",
        num_labels=4,
        local=LocalOptions("csra"),
    )
    logits = grown.logits(features)
    np.testing.assert_allclose(logits[:, :3], head.logits(features), atol=1e-5)
    np.testing.assert_allclose(logits[:, 3], features[:, :4] @ weights - 0.25, atol=1e-5)


def test_a_grown_any_subset_head_says_of_the_old_labels_what_it_said_whatever_is_known_of_the_new_one() -> (
    None
):
    torch.manual_seed(0)
    module = AnySubsetHead(3, 4, SigmoidOptions(hidden_size=5))
    for one in module.parameters():
        torch.nn.init.normal_(one)
    head = trained(module)
    features = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    known = np.random.default_rng(1).integers(-1, 2, (6, 3)).astype(np.int8)
    row = np.random.default_rng(2).standard_normal(head.last.shape[1])
    grown = TrainedAnySubset(any_subset_with(head, row, 0.5), head.options, scaling="none", num_labels=4)
    asked = np.full((6, 1), -1, np.int8)
    wanted = 1 / (1 + np.exp(-head.before_last_given(features, known) @ row - 0.5))
    found = grown.conditional(features, np.concatenate((known, asked), axis=1))
    np.testing.assert_allclose(found[:, 3], wanted, rtol=1e-4)
    for new in (-1, 0, 1):
        found = grown.conditional(features, np.concatenate((known, asked * 0 + new), axis=1))
        np.testing.assert_allclose(found[:, :3], head.conditional(features, known), atol=1e-6)


CASES: list[dict[str, object]] = [
    {},
    {"activation": "relu"},
    {"cell": "none"},
    {"allowed": "no-repeat"},
    {"per_label": 1.0, "nothing": "independent"},
    {"per_label": 1.0, "allowed": "no-repeat", "activation": "relu"},
]


@pytest.mark.parametrize("options", CASES, ids=str)
def test_a_grown_label_model_says_the_new_label_with_the_odds_that_were_fitted(options: dict) -> None:
    torch.manual_seed(2)
    small = LabelModelOptions(**({"embedding_size": 6, "hidden_size": 5} | options))
    module = CNNRNN(4, 3, small)
    if module.per_label is not None:
        torch.nn.init.normal_(module.per_label.weight)
    head = trained(module)
    features = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
    targets = (np.random.default_rng(1).random((8, 4)) < 0.5).astype(np.int8)
    decisions = decisions_of_label_model(head, features, targets)
    weights = np.random.default_rng(2).standard_normal(decisions.inputs.shape[1])
    arrays = label_model_with(head, weights)
    wide = replace(small, embedding_size=arrays["U_l"].shape[1])
    grown = TrainedLabelModel(arrays, wide, scaling="none", num_labels=5)
    trie, rows = PrefixTrie(grown), grown.image_rows(features)
    fitted, at = decisions.inputs @ weights + decisions.offsets, 0
    for image, row in enumerate(targets):
        path = np.flatnonzero(row).astype(np.int32)
        for step in range(len(path) + 1):
            trie.start_batch()
            node = trie.find(path[None, :step], np.array([step]))
            p = np.exp(trie.log_probs(node, rows[image : image + 1], np.float64))[0, 4]
            assert np.log(p / (1 - p)) == pytest.approx(fitted[at], abs=1e-3)
            assert (decisions.image[at], decisions.last[at]) == (image, step == len(path))
            at += 1
        assert decisions.judged[image] == at - 1
    assert at == len(fitted)


def test_a_seeded_regression_keeps_its_numbers() -> None:
    x, offsets, present = drawn(3, rows=80)
    found = fit_offset_regression(x, offsets, present, groups=np.arange(80) // 2, bias=True)
    numbers = [*found.weights, found.bias, found.penalty, found.log_loss, found.base_log_loss]
    assert numbers == pytest.approx(GOLDEN, rel=1e-4)


GOLDEN = [-1.85501, -0.7788, 0.53279, 1.51637, 0.29399, 1.0, 0.40229, 0.66762]
