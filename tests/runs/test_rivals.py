"""Every rival is trained, stored, evaluated and asked by the same verbs as the label model."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from labelbeam.errors import InputError
from labelbeam.heads.arrays_torch import trained
from labelbeam.heads.registry import HEADS
from labelbeam.predict.answers import EnsembleAnswerer
from labelbeam.runs.build import build_answerer, build_head, start_head
from labelbeam.runs.config import configure
from labelbeam.runs.run_directory import load_run
from labelbeam.runs.tagger import Tagger, load_ensemble

RANKINGS = ("softmax", "warp", "asymmetric")
NO_REPEAT = ("--set", "label_model.allowed=no-repeat")


def an_image(drawn: Path) -> str:
    return (drawn / "tags.csv").read_text(encoding="utf-8").splitlines()[1].split(",")[0]


@pytest.mark.parametrize("head", ["softmax", "warp", "asymmetric", "chow-liu", "knn"])
def test_a_rival_is_trained_stored_evaluated_and_tags(head, train, command, drawn, tmp_path):
    folder = train(tmp_path / head, "--head", head)
    done = command(
        *("evaluate", folder, "--data", f"csv:{drawn / 'tags.csv'}#test", "--bootstrap", 20, "--json")
    )
    assert done.exit_code == 0, done.output
    scores = json.loads(done.stdout)
    assert scores["mAP_area"] is not None
    assert (scores.get("log_likelihood") is None) == (head in RANKINGS)
    assert any("ranks labels" in note for note in scores["notes"]) == (head in RANKINGS)
    done = command("tag", folder, drawn / an_image(drawn), "--out", tmp_path / "said.jsonl")
    assert done.exit_code == 0, done.output
    line = json.loads((tmp_path / "said.jsonl").read_text(encoding="utf-8"))
    assert (line["log_prob"] is None) == (head in RANKINGS)


@pytest.mark.parametrize("head", HEADS)
def test_every_head_answers_as_before_after_it_was_stored(head):
    config = configure(head=head, settings=["label_model.hidden_size=8"])
    targets = np.random.default_rng(0).integers(0, 2, (20, 4)).astype(np.int8)
    features = np.random.default_rng(1).normal(size=(20, 6)).astype(np.float32)
    made = build_head(config, num_labels=4, feature_size=6)
    start_head(made, targets)
    if head == "knn":
        made.remember(torch.from_numpy(features), torch.from_numpy(targets))
    again = build_head(config, num_labels=4, feature_size=6)
    again.load_state_dict({name: tensor.clone() for name, tensor in made.state_dict().items()})
    first, second = (build_answerer(trained(one), config).answer(features) for one in (made, again))
    np.testing.assert_array_equal(first.scores, second.scores)
    assert list(first.paths) == list(second.paths)


@pytest.mark.parametrize("loss", ["mla", "pla", "remaining-set"])
def test_an_order_free_loss_trains_a_run(loss, train, tmp_path):
    folder = train(
        tmp_path / loss, *NO_REPEAT, "--set", f"label_model.loss={loss}", "--set", "suggester=false"
    )
    run = load_run(folder)
    assert (run.config.label_model.loss, run.config.label_model.allowed) == (loss, "no-repeat")
    assert json.loads((folder / "metrics.json").read_text())["log_likelihood"] < 0


def test_a_shuffled_run_is_not_the_one_in_the_label_order(train, tmp_path):
    rest = (*NO_REPEAT, "--set", "suggester=false", "--epochs", 1)
    in_order = train(tmp_path / "in order", *rest)
    shuffled = train(tmp_path / "shuffled", *rest, "--order", "shuffle")
    ours, theirs = (load_run(folder).head.arrays for folder in (in_order, shuffled))
    assert not np.array_equal(ours["U_l"], theirs["U_l"])


def test_the_easiest_order_is_that_of_the_runs_labels(train, tmp_path):
    folder = train(tmp_path / "easiest", "--order", "easiest", "--set", "suggester=false")
    run, by_frequency = load_run(folder), load_run(train(tmp_path / "frequent", "--set", "suggester=false"))
    assert sorted(run.vocabulary) == sorted(by_frequency.vocabulary)
    assert run.vocabulary.names != by_frequency.vocabulary.names


def test_an_ensemble_of_orders_answers_as_one_tagger(train: Callable[..., Path], tmp_path):
    folders = [
        train(
            tmp_path / str(seed),
            "--order",
            "random",
            "--set",
            f"order_seed={seed}",
            "--set",
            "suggester=false",
        )
        for seed in (1, 2)
    ]
    tagger, members = load_ensemble(folders), [Tagger.load(folder) for folder in folders]
    assert isinstance(tagger.answerer, EnsembleAnswerer)
    features = (
        np.random.default_rng(0).normal(size=(3, members[0].run.encoder.num_features)).astype(np.float32)
    )
    assert members[0].labels != members[1].labels
    found = tagger.answer(features).scores
    for label, name in enumerate(tagger.labels):
        own = [one.answerer.answer(features).scores[:, one.labels.index(name)] for one in members]
        np.testing.assert_allclose(found[:, label], np.mean(own, axis=0), atol=1e-6)


def test_runs_that_are_no_ensemble_are_refused(finished, train, drawn, tmp_path):
    with pytest.raises(InputError, match="at least one run"):
        load_ensemble([])
    other = train(tmp_path / "other", "--head", "softmax", "--finetune")
    with pytest.raises(InputError, match="has another encoder than"):
        load_ensemble([finished, other])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["head=knn", "train_encoder=true"], "'knn' learns nothing"),
        (["order=easiest", "train_encoder=true"], "'easiest' is found from a frozen encoder"),
        (
            ["label_model.allowed=no-repeat", "order=shuffle", "label_model.loss=mla"],
            "'mla' finds its own order",
        ),
        (["order_seed=-1"], "the order_seed is -1; it must not be negative"),
        (["neighbours.weighting=cosin"], "Did you mean 'cosine'"),
        (["asymmetric.margin=1.5"], "the margin is 1.5"),
    ],
)
def test_what_does_not_fit_together_is_refused(settings, words):
    with pytest.raises(InputError, match=words):
        configure(settings=settings)
