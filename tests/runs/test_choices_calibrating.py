"""Calibration of a run: stored, applied to every answer, left out where it does not hold, refused where damaged."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.predict.decision import Decision
from labelbeam.runs.run_directory import Run, load_run, save_run
from labelbeam.runs.tagger import Tagger


@pytest.fixture(scope="module")
def run(finished: Path) -> Run:
    """A run with some hundred made-up features as its validation images."""
    from labelbeam.runs.choices import calibrate

    trained = load_run(finished)
    vectors = features_of(trained, 120)
    random = np.random.default_rng(1)
    raw = Tagger(replace(trained, calibration=None)).answer(vectors).scores
    # Truth that is less sure than the scores say, so that there is something to calibrate.
    targets = (random.random(raw.shape) < 0.05 + 0.5 * raw).astype(np.int8)
    return replace(trained, calibration=calibrate(trained, vectors, targets, features_of(trained, 200)))


def features_of(run: Run, count: int) -> np.ndarray:
    random = np.random.default_rng(count)
    return 0.1 * random.random((count, run.encoder.num_features), dtype=np.float32)


def test_answers_are_mapped_and_tell_how_well_they_fit(run: Run) -> None:
    vectors = features_of(run, 50)
    raw, mapped = Tagger(replace(run, calibration=None)).answer(vectors), Tagger(run).answer(vectors)
    assert (raw.calibrated, raw.fits) == (False, None)
    assert mapped.calibrated
    assert run.calibration is not None
    assert (mapped.scores == run.calibration.scores.apply(raw).scores).all()
    assert abs(mapped.scores.mean() - 0.05 - 0.5 * raw.scores.mean()) < 0.05
    assert abs(raw.scores.mean() - 0.05 - 0.5 * raw.scores.mean()) > 0.05
    assert (mapped.low <= mapped.scores).all()
    assert (mapped.scores <= mapped.high).all()
    assert mapped.fits is not None
    assert 0 < mapped.fits.min() <= mapped.fits.max() <= 1
    assert mapped.paths == raw.paths


def test_images_that_fit_no_better_than_asked_get_nothing_and_the_others_what_they_had(run: Run) -> None:
    answers = Tagger(run).answer(features_of(run, 60))
    assert answers.fits is not None
    alpha = float(np.quantile(answers.fits, 0.3))
    refused = answers.fits <= alpha
    decided = Decision(abstain=alpha).decide(answers)
    assert 0 < refused.sum() < 60
    assert not decided[refused].any()
    assert (decided[~refused] == answers.path_sets()[~refused]).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [({"score": "first-step"}, "asked is 'first-step'"), ({"max_labels": 2}, "is forced")],
)
def test_a_calibration_that_does_not_hold_is_left_out_and_reported(
    run: Run, change: dict, words: str
) -> None:
    tagger = Tagger(run, search=replace(run.config.search, **change))
    assert tagger.calibration is None
    assert words in tagger.note
    assert not tagger.answer(features_of(run, 3)).calibrated


def test_a_run_keeps_its_calibration_and_one_without_leaves_none_behind(run: Run, tmp_path: Path) -> None:
    save_run(run, tmp_path, opening=())
    again, vectors = load_run(tmp_path), features_of(run, 10)
    assert (Tagger(again).answer(vectors).scores == Tagger(run).answer(vectors).scores).all()
    save_run(replace(run, calibration=None), tmp_path, opening=())
    assert load_run(tmp_path).calibration is None


def test_training_calibrates_unless_configured_otherwise(finished: Path, train, tmp_path: Path) -> None:
    assert load_run(finished).calibration is not None
    assert load_run(train(tmp_path / "plain", "--set", "calibrate=false")).calibration is None


@pytest.mark.parametrize("damage", ["{", "[]", '{"version": 99}', '{"version": 1, "images": 3}'])
def test_a_damaged_calibration_names_its_file(finished: Path, tmp_path: Path, damage: str) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    (folder / "calibration.json").write_text(damage)
    with pytest.raises(InputError, match=r"calibration\.json"):
        load_run(folder)


def test_a_calibration_for_other_labels_is_refused(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    told = json.loads((folder / "calibration.json").read_text())
    for name in ("slopes", "offsets"):
        if name in told["scores"]["maps"]:
            told["scores"]["maps"][name] = told["scores"]["maps"][name][1:]
    told["thresholds"]["of1"] = told["thresholds"]["of1"][1:]
    (folder / "calibration.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match=r"calibration\.json.*labels|thresholds"):
        load_run(folder)


def test_thresholds_and_refusal_are_asked_for_on_the_command_line(finished, command, drawn) -> None:
    picture = drawn / "00000.png"
    for options in (["--tuned-for", "label-f1"], ["--decide", "expected-f1"], ["--abstain", "0.05"]):
        assert command("tag", finished, picture, *options).exit_code == 0
    told = json.loads(command("tag", finished, picture, "--json").stdout)
    assert 0 < told["fits"] <= 1
    assert isinstance(told["calibrated"], bool)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tuned-for", "luck"], "thing to tune thresholds for"),
        (["--tuned-for", "of1", "--threshold", "0.3"], "both say where thresholds come from"),
        (["--tuned-for", "of1", "--decide", "path"], "has no use with --decide path"),
        (["--abstain", "1"], "abstain is 1.0"),
    ],
)
def test_decisions_that_make_no_sense_are_refused(finished, command, drawn, options, words) -> None:
    done = command("tag", finished, drawn / "00000.png", *options)
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.split())
