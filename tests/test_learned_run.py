"""A run that has learned, compared with the truth by every layer: what costs accuracy, or misnames a label, shows here.

Six hundred rows of eight numbers, seconds to train (`tiny_runs.learned`). Pictures are in `test_frozen`.
"""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from labelbeam.data.dataset import Dataset
from labelbeam.formats.registry import open_dataset
from labelbeam.runs.run_directory import load_run
from labelbeam.runs.tagger import Tagger
from tiny_runs import TAUGHT_ROWS, Command

RIGHT = 0.93
"""Share of label decisions that a run must get right: saying nothing gets 0.75, the truth behind the noise 0.99."""


@pytest.fixture(scope="module")
def test_rows(taught: Path) -> Dataset:
    return open_dataset(f"vectors:{taught}#test")


def truth_of(rows: Dataset) -> dict[str, set[str]]:
    return {
        image: set(rows.vocabulary.names_of(np.flatnonzero(row == 1).tolist()))
        for image, row in zip(rows.images, rows.targets, strict=True)
    }


def share_right(decided: dict[str, set[str]], truth: dict[str, set[str]]) -> float:
    assert decided.keys() == truth.keys()
    return 1 - sum(len(decided[image] ^ truth[image]) for image in truth) / (5 * len(truth))


def test_a_loaded_run_says_the_truth_by_name_for_every_label(learned: Path, test_rows: Dataset) -> None:
    run, truth = load_run(learned), truth_of(test_rows)
    features = test_rows.features[:]
    items = zip(test_rows.images, features, strict=True)
    decided = {one.image: {label.label for label in one.labels} for one in Tagger(run).tag_features(items)}
    assert share_right(decided, truth) > RIGHT
    scores = Tagger(run).answer(features).scores
    for j, name in enumerate(run.labels):
        present = np.array([name in truth[image] for image in test_rows.images])
        assert scores[present, j].mean() > 0.5 > 0.2 > scores[~present, j].mean(), name


def test_names_and_counts_are_those_of_the_training_rows_most_frequent_first(
    learned: Path, taught: Path
) -> None:
    rows = open_dataset(f"vectors:{taught}#train")
    counted = dict(zip(rows.vocabulary, (rows.targets == 1).sum(axis=0).tolist(), strict=True))
    stored = json.loads((learned / "labels.json").read_text(encoding="utf-8"))
    assert stored["names"] == sorted(counted, key=lambda name: -counted[name])
    assert stored["counts"] == [counted[name] for name in stored["names"]]


def test_evaluate_finds_the_run_right_and_its_validation_scores_too(
    learned: Path, taught: Path, command: Command
) -> None:
    done = command("evaluate", learned, "--data", f"vectors:{taught}#test", "--json", "--bootstrap", 0)
    judged = json.loads(done.stdout)
    stored = json.loads((learned / "metrics.json").read_text(encoding="utf-8"))
    for scores in (judged, stored):
        assert scores["mAP_area"] > 0.85  # by chance 0.25
        assert scores["OF1"] > 0.85
    assert stored["data"] == f"vectors:{taught}#val"


def test_the_command_tag_says_the_truth_by_name(
    learned: Path, taught: Path, command: Command, tmp_path: Path, test_rows: Dataset
) -> None:
    out = tmp_path / "t.jsonl"
    assert command("tag", learned, f"vectors:{taught}#test", "--out", out).exit_code == 0
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    decided = {line["image"]: {one["label"] for one in line["labels"]} for line in lines}
    assert share_right(decided, truth_of(test_rows)) > RIGHT


def test_an_export_says_the_truth_without_torch(
    learned: Path, command: Command, tmp_path: Path, test_rows: Dataset
) -> None:
    done = command("export", learned, "--to", "numpy", "--out", tmp_path / "e")
    assert done.exit_code == 0, done.output
    items = zip(test_rows.images, test_rows.features[:], strict=True)
    decided = {
        one.image: {x.label for x in one.labels} for one in Tagger.load(tmp_path / "e").tag_features(items)
    }
    assert share_right(decided, truth_of(test_rows)) > RIGHT


def test_what_a_person_accepts_moves_what_is_suggested(learned: Path, test_rows: Dataset) -> None:
    """A dog comes with a bee: of rows at the border of both, accepting the dog makes the bee likelier."""
    tagger = Tagger.load(learned)
    rows = np.repeat(test_rows.features[:1], 9, axis=0)
    rows[:, 1], rows[:, 3] = np.linspace(-0.3, 0.3, 9), 0.45
    decided = [
        [{one.label: one.score for one in tagger.suggest(row, known)} for row in rows]
        for known in ((), ("dog",))
    ]
    plain, given = ([one["bee"] for one in answers] for answers in decided)
    assert np.mean(given) > np.mean(plain) + 0.1
    assert all(b >= a - 0.02 for a, b in zip(plain, given, strict=True))
    assert all("dog" not in one for one in decided[1])


def test_the_kept_epoch_is_the_best_and_not_the_last(learned: Path) -> None:
    with (learned / "log.csv").open(encoding="utf-8") as file:
        nats = [float(row["val_nats"]) for row in csv.DictReader(file)]
    assert nats[-1] > min(nats) + 0.01, "the fixture must not end at its best"
    stored = json.loads((learned / "metrics.json").read_text(encoding="utf-8"))
    assert -stored["log_likelihood"] == pytest.approx(min(nats), abs=2e-3)


def test_calibration_is_fitted_on_the_validation_rows_and_on_no_others(learned: Path, taught: Path) -> None:
    from dataclasses import replace

    from labelbeam.runs.choices import calibrate

    run = load_run(learned)
    bare = replace(run, calibration=None)
    train, val = (
        open_dataset(f"vectors:{taught}#{split}").with_vocabulary(run.labels) for split in ("train", "val")
    )
    seen = train.features[:]
    expected = calibrate(bare, val.features[:], val.targets, seen).to_json()
    other = calibrate(bare, seen, train.targets, seen).to_json()
    stored = json.loads((learned / "calibration.json").read_text(encoding="utf-8"))
    assert stored == json.loads(json.dumps(expected))
    assert stored != json.loads(json.dumps(other))


def test_validation_rows_are_those_of_val_and_training_rows_those_of_train(taught: Path) -> None:
    from labelbeam.runs.config import RunConfig
    from labelbeam.training.batches import training_data

    named = RunConfig(data=f"vectors:{taught}#train", validation=f"vectors:{taught}#val")
    train, held_out, aside = training_data(named)
    assert aside is None
    assert held_out is not None
    assert (len(train), len(held_out)) == (TAUGHT_ROWS["train"], TAUGHT_ROWS["val"])
    assert set(held_out.images) == set(open_dataset(f"vectors:{taught}#val").images)
    drawn, rest, kept = training_data(
        RunConfig(data=f"vectors:{taught}#train", validation_fraction=0.1, promise_fraction=0.2)
    )
    assert rest is not None
    assert kept is not None
    sizes = [len(drawn), len(rest), len(kept)]
    assert sizes == pytest.approx([432, 48, 120], abs=3)
    assert len({*drawn.images, *rest.images, *kept.images}) == sum(sizes) == TAUGHT_ROWS["train"]
