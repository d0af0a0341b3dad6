"""The labels' own logits beside a label model: what training adds for them, and their scores."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from labelbeam.data.feature_rows import FeatureRows
from labelbeam.decoding.search import Search
from labelbeam.encoders.encoder import given_features
from labelbeam.errors import InputError
from labelbeam.heads.arrays_torch import arrays_of, trained
from labelbeam.heads.label_model import TrainedLabelModel
from labelbeam.heads.label_model_torch import CNNRNN, LabelModelOptions
from labelbeam.labels.rules import Limit
from labelbeam.labels.vocabulary import Vocabulary
from labelbeam.predict.label_model import LabelModelAnswerer
from labelbeam.runs.choices import with_quick_scores
from labelbeam.runs.config import RunConfig
from labelbeam.runs.run_directory import Run, load_run
from labelbeam.runs.tagger import Tagger
from tiny_runs import SMALL

LABELS, FEATURES = 4, 3


def model(**options: object) -> CNNRNN:
    torch.manual_seed(0)
    made = CNNRNN(
        LABELS, FEATURES, LabelModelOptions(embedding_size=4, hidden_size=8, **{"per_label": 0.5} | options)
    )
    torch.nn.init.normal_(made.per_label.weight)
    return made.eval()


def images() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((5, FEATURES)).astype(np.float32)


@pytest.mark.parametrize(("allowed", "loss"), [("canonical", "sequence"), ("no-repeat", "remaining-set")])
def test_training_adds_the_labels_own_cross_entropies_with_their_weight_and_leaves_unknown_ones_out(
    allowed, loss
):
    made = model(allowed=allowed, loss=loss)
    features, targets = torch.from_numpy(images()[:2]), torch.tensor([[1, 0, -1, 0], [0, 1, 1, 0]])
    before = made(features, targets)
    added = made.train()(features, targets) - before
    own = binary_cross_entropy_with_logits(made.per_label(features), (targets == 1).float(), reduction="none")
    torch.testing.assert_close(added, 0.5 * (own * (targets >= 0)).sum(dim=1), atol=1e-5, rtol=1e-5)


def test_both_losses_reach_the_labels_own_weights_and_the_start_is_each_labels_frequency():
    made = model().train()
    made.start_from(torch.tensor([[1, 0, 0, -1]] * 8 + [[0, 0, 0, 1]] * 1, dtype=torch.int8))
    torch.testing.assert_close(torch.sigmoid(made.per_label.bias)[0].item(), 8.5 / 10)
    targets = torch.tensor([[1, 0, 1, 0]] * 5, dtype=torch.int8)
    found = []
    for weight in (1e-9, 1.0):
        made.options = replace(made.options, per_label=weight)
        made.zero_grad()
        made(torch.from_numpy(images()), targets).mean().backward()
        found.append(made.per_label.weight.grad.clone())
    assert found[0].abs().max() > 1e-3  # of the sequence's loss alone
    assert (found[1] - found[0]).abs().max() > 1e-3
    made.options = replace(made.options, per_label=1e-9, per_label_detached=True)
    made.zero_grad()
    made(torch.from_numpy(images()), targets).mean().backward()
    assert made.per_label.weight.grad.abs().max() < 1e-6  # the sequences leave z alone


def test_the_score_per_label_is_the_sigmoid_of_the_labels_own_logit_and_the_path_is_as_it_was():
    head = trained(model())
    found = LabelModelAnswerer(head, Search(score="per-label")).answer(images())
    other = LabelModelAnswerer(head, Search()).answer(images())
    weight, bias = head.arrays["per_label.weight"], head.arrays["per_label.bias"]
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp(-(images() @ weight.T + bias))), rtol=1e-5)
    assert (found.stderr == 0).all()
    assert found.paths == other.paths
    np.testing.assert_allclose(found.log_probs, other.log_probs)


def test_a_stated_share_of_empty_images_moves_the_score_per_label_as_it_moves_the_marginals():
    made = model(nothing="independent")
    made.start_from(torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0]] * 3, dtype=torch.int8))
    head = trained(made)
    ratios = []
    for score in ("per-label", "marginal"):
        before, after = (
            LabelModelAnswerer(head, Search(score=score, nothing=share, expansions=500))
            .answer(images())
            .scores
            for share in (None, 0.7)
        )
        ratios.append(after / before)
    np.testing.assert_allclose(ratios[0], ratios[1], rtol=1e-4)
    assert ratios[0].max() < 0.95


@pytest.mark.parametrize("asked", [{"limits": (Limit((0,), (), 0, 0),)}, {"min_labels": 2}])
def test_rules_and_forced_numbers_of_labels_condition_the_scores_so_marginals_are_taken(asked):
    head = trained(model())
    limits = asked.pop("limits", ())
    first, second = (
        LabelModelAnswerer(head, Search(score=score, **asked), limits).answer(images()).scores
        for score in ("per-label", "marginal")
    )
    np.testing.assert_array_equal(first, second)


def test_a_model_without_the_term_and_a_label_that_came_later_have_no_such_score():
    plain = trained(CNNRNN(LABELS, FEATURES, LabelModelOptions(hidden_size=4)))
    with pytest.raises(InputError, match=r"no score of each label by itself.*per_label=1"):
        LabelModelAnswerer(plain, Search(score="per-label"))
    made = model()
    arrays = arrays_of(made)
    arrays["per_label.bias"][2] = -np.inf
    grown = TrainedLabelModel(arrays, made.options, scaling="none", num_labels=LABELS)
    with pytest.raises(InputError, match=r"added to this run.*marginal"):
        LabelModelAnswerer(grown, Search(score="per-label"))


@pytest.mark.parametrize(
    ("wrong", "score", "words"),
    [(0.0, "per-label", "scores are each label's own"), (2.0, "marginal", "scores are marginals over sets")],
)
def test_scores_are_the_labels_own_where_validation_images_cannot_tell_them_from_the_marginals(
    wrong, score, words, monkeypatch
):
    made = model()
    torch.nn.init.zeros_(made.U_l)  # the sets' marginals are then the labels' own probabilities
    head = trained(made)
    features = np.random.default_rng(2).standard_normal((60, FEATURES)).astype(np.float32)
    own = head.per_label_scores(features)
    monkeypatch.setattr(TrainedLabelModel, "per_label_scores", lambda self, x: own * np.exp(-wrong))
    targets = (np.random.default_rng(3).random(own.shape) < own).astype(np.int8)
    targets[:, 3] = -1
    encoder, names = given_features(FeatureRows((features,))), Vocabulary(tuple("abcd"))
    run = Run(RunConfig(label_model=made.options), names, (1,) * LABELS, encoder, head)
    chosen, found = with_quick_scores(run, features, targets)
    assert chosen.config.search.score == score
    assert words in found
    assert "on 60 validation images" in found


def test_train_decides_it_unless_the_user_did_and_an_added_label_has_a_score_by_itself_too(command, tmp_path):
    features = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
    labels = (features > 0).astype(np.int8)
    for name, columns in (("v", 2), ("w", 3), ("x", 4)):
        np.savez(
            tmp_path / f"{name}.npz",
            features=features,
            labels=labels[:, :columns],
            names=np.array(list("abcd"[:columns])),
        )
    spec, small = f"vectors:{tmp_path / 'v.npz'}", (*SMALL, "--set", "suggester=false", "--epochs", 3)
    small += ("--set", "label_model.per_label=1", "--set", "label_model.allowed=canonical")
    done = command("train", "--data", spec, "--out", tmp_path / "run", *small)
    assert done.exit_code == 0, done.output
    assert "validation images their log loss is" in done.stderr
    asked = command(
        "train", "--data", spec, "--out", tmp_path / "asked", *small, "--set", "search.score=marginal"
    )
    assert "their log loss is" not in asked.stderr
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("score: marginal", "score: per-label"))
    wider = command(
        "extend-labels",
        tmp_path / "run",
        "--data",
        f"vectors:{tmp_path / 'w.npz'}",
        "--out",
        tmp_path / "more",
    )
    assert wider.exit_code == 0, wider.output
    assert "score: per-label" in (tmp_path / "more" / "config.yaml").read_text()
    before, after = (Tagger(load_run(tmp_path / name)).answer(features) for name in ("run", "more"))
    order = [
        load_run(tmp_path / "more").vocabulary.names.index(name)
        for name in load_run(tmp_path / "run").vocabulary.names
    ]
    np.testing.assert_allclose(after.scores[:, order], before.scores, atol=1e-6)
    assert ((after.scores[:, -1] > 0.5) == (labels[:, 2] == 1)).mean() > 0.8
    again = command(
        "extend-labels",
        tmp_path / "more",
        "--data",
        f"vectors:{tmp_path / 'x.npz'}",
        "--out",
        tmp_path / "again",
    )
    assert again.exit_code == 0, again.output
    twice = Tagger(load_run(tmp_path / "again")).answer(features)
    np.testing.assert_allclose(twice.scores[:, :3], after.scores, atol=1e-6)
    assert ((twice.scores[:, 3] > 0.5) == (labels[:, 3] == 1)).mean() > 0.8
