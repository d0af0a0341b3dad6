"""Every head as arrays against its torch twin, which trains it."""

import numpy as np
import pytest
import torch

from labelbeam.heads.arrays_torch import trained
from labelbeam.heads.label_model import TrainedLabelModel
from labelbeam.heads.label_model_torch import CNNRNN
from labelbeam.heads.label_scores import TrainedAnySubset, TrainedRanking, TrainedSigmoid, TrainedTree
from labelbeam.heads.label_scores_torch import (
    AnySubsetHead,
    AsymmetricHead,
    LabelScores,
    SigmoidHead,
    SoftmaxHead,
    TreeHead,
    WarpHead,
)
from labelbeam.heads.nearest_neighbours import TrainedNeighbours
from labelbeam.heads.nearest_neighbours_torch import NearestNeighbours
from labelbeam.heads.options import (
    AsymmetricOptions,
    LabelModelOptions,
    NeighbourOptions,
    SigmoidOptions,
)
from labelbeam.predict.label_model import known_log_prob

LABELS, FEATURES, IMAGES = 4, 6, 9


def images() -> np.ndarray:
    return np.random.default_rng(0).normal(1, 2, size=(IMAGES, FEATURES)).astype(np.float16)


def tensor(features: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(features.astype(np.float32))


def targets() -> np.ndarray:
    return np.random.default_rng(1).integers(-1, 2, size=(IMAGES, LABELS)).astype(np.int8)


def scaled(head: torch.nn.Module) -> torch.nn.Module:
    head.scaling.fit(images())
    return head


def label_model(name: str = "standardize", **options: object) -> CNNRNN:
    torch.manual_seed(1)
    small = LabelModelOptions(**({"embedding_size": 8, "hidden_size": 7} | options))  # type: ignore[arg-type]
    model = scaled(CNNRNN(LABELS, FEATURES, small, scaling=name)).eval()
    model.U_l.data *= 3
    return model


def spread(head: LabelScores) -> LabelScores:
    torch.manual_seed(2)
    torch.nn.init.normal_(head.last.weight)
    torch.nn.init.normal_(head.last.bias)
    return head.eval()


MODELS = [
    {"cell": cell, "activation": activation, "cell_bias": bias}
    for cell in ("lstm", "paper", "paper-gated", "none")
    for activation in ("identity", "relu")
    for bias in (True, False)
] + [{"image_hidden_size": 5}, {"image_hidden_size": 5, "activation": "relu"}, {"start": "zero"}]


@pytest.mark.parametrize("options", MODELS, ids=str)
def test_a_label_models_logits_are_those_of_the_torch_model_after_every_prefix(options) -> None:
    model = label_model(**options)
    head = trained(model)
    assert isinstance(head, TrainedLabelModel)
    path = [0, 2, 3, LABELS]
    with torch.inference_mode():
        expected = model.logits(tensor(images()), torch.tensor([path] * IMAGES)).numpy()
    rows = head.image_rows(images())
    state, row = head.start()
    for step, label in enumerate(path):
        found = head.combine(row.repeat(IMAGES, axis=0), rows)
        np.testing.assert_allclose(found, expected[:, step], atol=1e-4)
        if label < LABELS:
            state, row = head.step(state, np.array([label]))


@pytest.mark.parametrize("name", ["standardize", "l2", "none"])
def test_features_are_scaled_as_in_training_images_of_zeros_too(name) -> None:
    features = np.concatenate((images(), np.zeros((1, FEATURES), np.float16)))
    model = label_model(name)
    with torch.inference_mode():
        expected = model.scaling(tensor(features)).numpy()
    np.testing.assert_allclose(trained(model).scaling(features), expected, atol=1e-6)


@pytest.mark.parametrize("allowed", ["canonical", "paper"])
@pytest.mark.parametrize("activation", ["identity", "relu"])
def test_set_likelihoods_with_unknown_labels_are_the_training_losses(allowed, activation) -> None:
    model = label_model(allowed=allowed, activation=activation)
    head = trained(model)
    assert isinstance(head, TrainedLabelModel)
    with torch.inference_mode():
        expected = -model(tensor(images()), torch.from_numpy(targets())).numpy()
    found = known_log_prob(head, head.image_rows(images()), targets())
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_query_point_gives_the_logits_of_its_step() -> None:
    head = trained(label_model(activation="relu"))
    assert isinstance(head, TrainedLabelModel)
    state, row = head.start()
    points = head.joint_points(images()[:1], np.array([1]))
    np.testing.assert_allclose(
        points[0] @ head.U_l.T, head.combine(row, head.image_rows(images()[:1]))[0], atol=1e-5
    )
    _, row = head.step(state, np.array([1]))
    np.testing.assert_allclose(
        points[1] @ head.U_l.T, head.combine(row, head.image_rows(images()[:1]))[0], atol=1e-5
    )


@pytest.mark.parametrize("hidden", [0, 5])
def test_a_sigmoid_heads_log_odds_are_those_of_the_torch_head(hidden) -> None:
    module = spread(
        scaled(SigmoidHead(LABELS, FEATURES, SigmoidOptions(hidden_size=hidden), scaling="standardize"))
    )
    head = trained(module)
    assert isinstance(head, TrainedSigmoid)
    with torch.inference_mode():
        expected = module.logits(tensor(images())).numpy()
    np.testing.assert_allclose(head.logits(images()), expected, atol=1e-5)


def test_an_any_subset_head_given_some_labels_answers_as_the_torch_head() -> None:
    module = spread(
        scaled(AnySubsetHead(LABELS, FEATURES, SigmoidOptions(hidden_size=5), scaling="standardize"))
    )
    assert isinstance(module, AnySubsetHead)
    head, known = trained(module), targets()
    assert isinstance(head, TrainedAnySubset)
    with torch.inference_mode():
        expected = torch.sigmoid(module.logits(tensor(images()), torch.from_numpy(known))).numpy()
    found, asked = head.conditional(images(), known), known == -1
    np.testing.assert_allclose(found[asked], expected[asked], atol=1e-6)
    assert (found[~asked] == known[~asked]).all()


@pytest.mark.parametrize("made", [SoftmaxHead, WarpHead, AsymmetricHead])
def test_a_rankings_numbers_are_those_of_the_torch_head_and_its_rule_is_its_own(made) -> None:
    extra = (AsymmetricOptions(),) if made is AsymmetricHead else ()
    module = scaled(made(LABELS, FEATURES, SigmoidOptions(), *extra, scaling="standardize"))
    module.labels_per_image.fill_(2)
    head = trained(spread(module))
    assert isinstance(head, TrainedRanking)
    with torch.inference_mode():
        logits = module.logits(tensor(images()))
    np.testing.assert_allclose(head.logits(images()), logits.numpy(), atol=1e-5)
    scores = logits.softmax(dim=1) if made is SoftmaxHead else torch.sigmoid(logits)
    np.testing.assert_allclose(head.scores(images()), scores.numpy(), atol=1e-6)
    decided = head.decided(head.scores(images()))
    if made is AsymmetricHead:
        assert (decided == (scores >= 0.5).numpy()).all()
    else:
        assert (decided.sum(axis=1) == 2).all()


def tree(parents: list[int]) -> TreeHead:
    module = spread(scaled(TreeHead(LABELS, FEATURES, SigmoidOptions(), scaling="standardize")))
    assert isinstance(module, TreeHead)
    given = np.random.default_rng(3).dirichlet([1, 1], size=(LABELS, 2)).astype(np.float32)
    given[[parent < 0 for parent in parents], 1] = given[[parent < 0 for parent in parents], 0]
    module.set_tree(torch.tensor(parents), torch.from_numpy(given))
    return module


@pytest.mark.parametrize("parents", [[-1, 0, 0, 1], [2, -1, 1, -1], [-1, -1, -1, -1]], ids=str)
def test_a_trees_likelihoods_are_those_of_the_torch_head(parents) -> None:
    module = tree(parents)
    head = trained(module)
    assert isinstance(head, TrainedTree)
    with torch.inference_mode():
        unary = module.logits(tensor(images())).double()
    s = unary.numpy()
    np.testing.assert_allclose(head.logits(images()), s, atol=1e-5)
    assert head.log_partition(s) == pytest.approx(module.log_partition(unary).numpy(), abs=1e-6)
    known = module.log_partition(unary, torch.from_numpy(targets())).numpy()
    assert head.log_partition(s, targets()) == pytest.approx(known, abs=1e-6)


@pytest.mark.parametrize("weighting", ["equal", "cosine"])
@pytest.mark.parametrize("neighbours", [3, 50])
def test_neighbours_vote_as_in_torch(weighting, neighbours) -> None:
    options = NeighbourOptions(neighbours=neighbours, weighting=weighting)
    module = scaled(NearestNeighbours(LABELS, FEATURES, options, scaling="standardize"))
    module.remember(tensor(images()), torch.from_numpy(targets()))
    head = trained(module)
    assert isinstance(head, TrainedNeighbours)
    asked = images()[::2] + np.float16(0.3)
    with torch.inference_mode():
        expected = module.logits(tensor(asked)).numpy()
    np.testing.assert_allclose(head.logits(asked), expected, atol=1e-4)


def test_training_on_does_not_change_what_was_handed_over() -> None:
    model = label_model()
    head = trained(model)
    before = head.U_l.copy()
    with torch.no_grad():
        model.U_l.add_(1.0)
    assert (head.U_l == before).all()


@pytest.mark.parametrize("cell", ["lstm", "paper", "none"])
@pytest.mark.parametrize("activation", ["identity", "relu"])
def test_a_prefix_has_the_same_bits_whatever_prefixes_are_computed_with_it(cell, activation) -> None:
    torch.manual_seed(3)
    options = LabelModelOptions(cell=cell, activation=activation)  # the usual sizes: where products are split
    head = trained(scaled(CNNRNN(30, FEATURES, options, scaling="standardize")).eval())
    assert isinstance(head, TrainedLabelModel)
    random = np.random.default_rng(0)
    state, _ = head.start()
    states, _ = head.step(state.repeat(30, axis=0), np.arange(30))
    labels = random.permutation(30)
    together = head.step(states, labels)
    for size in (1, 2, 7, 16):
        some = random.choice(30, size, replace=False)
        for alone, all_of_them in zip(head.step(states[some], labels[some]), together, strict=True):
            assert np.array_equal(alone, all_of_them[some])
