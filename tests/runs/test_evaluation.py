"""Evaluation: unknown labels, labels that one side does not know, and `score` agrees with `evaluate`."""

import json
import math
import shutil

import numpy as np
import pytest

from labelbeam.data.dataset import Dataset
from labelbeam.features.extract import extract
from labelbeam.formats.registry import open_dataset
from labelbeam.labels.vocabulary import Vocabulary
from labelbeam.metrics.evaluation import evaluate
from labelbeam.predict.decision import Decision
from labelbeam.runs.evaluation import evaluate_features
from labelbeam.runs.tagger import Tagger

SHARED = ("OP", "OR", "OF1", "CP", "CR", "CF1", "MAP@10", "mAP_area", "mAP_voc11", "subset_accuracy")


@pytest.fixture(scope="module")
def tagger(finished):
    return Tagger.load(finished)


@pytest.fixture(scope="module")
def test_set(drawn):
    return open_dataset(f"csv:{drawn / 'tags.csv'}#test")


def judged(tagger: Tagger, dataset: Dataset):
    features = extract(dataset.paths, tagger.run.encoder).values
    return evaluate_features(tagger, dataset, features)


@pytest.mark.parametrize("options", [(), ("--decide", "threshold", "--threshold", "0.1"), ("--k", "3")])
def test_the_files_it_writes_score_the_same(options, finished, command, drawn, tmp_path):
    data, pred, truth = f"csv:{drawn / 'tags.csv'}#test", tmp_path / "p.jsonl", tmp_path / "t.jsonl"
    done = command(
        *("evaluate", finished, "--data", data, *options, "--bootstrap", 0, "--json"),
        *("--predictions", pred, "--truth", truth),
    )
    assert done.exit_code == 0, done.output
    evaluated = json.loads(done.stdout)
    by_k = options if "--k" in options else ("--sets",)
    scored = command("score", "--truth", truth, "--pred", pred, *by_k, "--json")
    assert scored.exit_code == 0, scored.output
    scored = json.loads(scored.stdout)
    for name in SHARED:
        assert evaluated[name] == pytest.approx(scored[name], abs=1e-12), name
    assert evaluated["OP"] is not None


def test_a_label_the_run_cannot_say_is_never_right_and_leaves_no_likelihood(tagger, test_set):
    names = (*test_set.vocabulary.names, "zebra")
    zebra = np.ones((len(test_set), 1), dtype=np.int8)
    strange = Dataset(
        "strange", test_set.root, test_set.images, Vocabulary(names), np.hstack([test_set.targets, zebra])
    )
    found = judged(tagger, strange)
    assert any("does not know, never predicted: zebra" in note for note in found.notes)
    scores = evaluate(found.comparison(tagger.run.config.decision)).to_json()
    assert scores["subset_accuracy"] == 0
    assert scores["per_class"]["zebra"]["recall"] == 0
    assert scores.get("log_likelihood") is None


def test_a_label_the_data_does_not_have_is_wrong_where_it_is_decided(tagger, test_set):
    kept = test_set.with_vocabulary(test_set.vocabulary.names[:-3])
    found = judged(tagger, kept)
    assert any("that the data does not have" in note for note in found.notes)
    everything = Decision("threshold", 0.0)
    scores = evaluate(found.comparison(everything)).to_json()
    # Every label of the run is decided for every image, those that the data lacks too.
    right = int((kept.targets == 1).sum())
    assert scores["OP"] == pytest.approx(right / (len(kept) * len(tagger.labels)))


def test_unknown_targets_are_neither_right_nor_wrong(tagger, test_set):
    targets = test_set.targets.copy()
    targets[:, 0] = -1
    hidden = Dataset("hidden", test_set.root, test_set.images, test_set.vocabulary, targets)
    scores = evaluate(judged(tagger, hidden).comparison(Decision("threshold", 0.0))).to_json()
    known = targets[:, 1:]
    assert scores["OP"] == pytest.approx((known == 1).sum() / known.size)
    assert scores["OR"] == 1
    assert math.isfinite(scores["log_likelihood"])


def test_the_order_of_the_datas_columns_changes_nothing(tagger, test_set):
    turned = test_set.with_vocabulary(test_set.vocabulary.names[::-1])
    decision = tagger.run.config.decision
    ours, theirs = (evaluate(judged(tagger, data).comparison(decision)).values for data in (test_set, turned))
    assert ours == pytest.approx(theirs, nan_ok=True)


def test_unreadable_images_are_left_out_and_reported(finished, command, drawn, tmp_path):
    shutil.copyfile(drawn / "00001.png", tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("no picture")
    (tmp_path / "tags.csv").write_text("image,tags\ngood.png,holiday\nbad.png,holiday\n")
    done = command("evaluate", finished, "--data", f"csv:{tmp_path / 'tags.csv'}", "--bootstrap", 0, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["protocol"]["images"] == 1
    assert any("1 of 2 images" in note and "left out" in note for note in found["notes"])


def test_an_evaluation_measures_how_far_scores_are_probabilities(finished, command, drawn) -> None:
    import json

    data = f"csv:{drawn / 'tags.csv'}#test"
    told = json.loads(command("evaluate", finished, "--data", data, "--bootstrap", "0", "--json").stdout)
    pooled = told["reliability"]["pooled"]
    assert sum(one["count"] for one in pooled["bins"]) == 12 * len(told["reliability"]["per_label"])
    assert 0 <= pooled["ece"] <= 1
    shown = command("evaluate", finished, "--data", data, "--bootstrap", "0").stdout
    assert f"expected calibration error {100 * pooled['ece']:.2f} percentage points" in shown
