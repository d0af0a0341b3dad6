"""Rules from a file to what people get: tag, evaluate, suggest, serve, an export, the Python interface."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.labels.rules import parse_rules
from labelbeam.predict.decision import Decision
from labelbeam.runs.run_directory import load_run
from labelbeam.runs.tagger import Tagger


@pytest.fixture(scope="module")
def sigmoid(train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("runs") / "sigmoid", "--head", "sigmoid")


@pytest.fixture(params=["finished", "sigmoid"])
def run(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture
def rules(finished: Path, tmp_path: Path) -> Path:
    """Rules that an untrained model would hardly keep by itself."""
    a, b, c, d, e, *_ = load_run(finished).vocabulary.names
    file = tmp_path / "rules.txt"
    file.write_text(
        f"# ours\nexactly one of: {c}, {d}\n{d} -> {a}\n{a} and {b} never together\nat most 3 labels\nnever: {e}\n",
        encoding="utf-8",
    )
    return file


def kept(file: Path, run: Path, lines: list[str]) -> list[bool]:
    """Whether the decided sets of lines of JSON keep the rules of a file."""
    vocabulary = load_run(run).vocabulary
    told = [[one["label"] for one in json.loads(line)["labels"]] for line in lines]
    sets = np.array([[name in one for name in vocabulary] for one in told])
    limits = parse_rules(file.read_text(encoding="utf-8"), vocabulary).limits
    return [not any(limit.broken_by(one[None]).any() for limit in limits) for one in sets]


@pytest.mark.parametrize("decide", ["path", "threshold", "expected-f1"])
def test_every_decided_set_keeps_the_rules_whatever_decides_it(run, rules, drawn, command, decide):
    asked = ("--json", "--decide", decide, *(("--threshold", 0.2) if decide == "threshold" else ()))
    with_rules = command("tag", run, drawn, *asked, "--rules", rules)
    assert with_rules.exit_code == 0, with_rules.output
    assert all(kept(rules, run, with_rules.stdout.splitlines()))
    assert not all(kept(rules, run, command("tag", run, drawn, *asked).stdout.splitlines()))
    for line in map(json.loads, with_rules.stdout.splitlines()):
        assert 0 < line["kept"] <= 1
        assert line["exact"]


def test_scores_are_conditioned_and_called_uncalibrated(run, rules, drawn, command):
    told = command("tag", run, drawn / "00000.png", "--json", "--all-scores", "--rules", rules)
    scores = json.loads(told.stdout)["scores"]
    names = load_run(run).vocabulary.names
    assert scores[names[4]] == 0
    assert scores[names[2]] + scores[names[3]] == pytest.approx(1, abs=0.02)
    assert scores[names[3]] <= scores[names[0]] + 0.02


def test_python_gives_what_the_command_line_gives(run, rules, drawn, command):
    told = command("tag", run, drawn, "--json", "--rules", rules).stdout.splitlines()
    paths = sorted(drawn.glob("*.png"))
    assert [one.to_json() for one in Tagger.load(run, rules=rules).tag(paths)] == told
    loaded = load_run(run)
    parsed = parse_rules(rules.read_text(encoding="utf-8"), loaded.vocabulary)
    assert [one.to_json() for one in Tagger(loaded, rules=parsed).tag(paths)] == told


def test_a_job_is_not_continued_under_other_rules(finished, rules, drawn, command, tmp_path):
    out = tmp_path / "a.jsonl"
    assert command("tag", finished, drawn, "--out", out, "--rules", rules).exit_code == 0
    assert all(kept(rules, finished, out.read_text(encoding="utf-8").splitlines()))
    other = tmp_path / "other.txt"
    other.write_text("at most 1 label\n", encoding="utf-8")
    refused = command("tag", finished, drawn, "--out", out, "--rules", other)
    assert refused.exit_code == 2


def test_evaluate_measures_the_answers_under_the_rules(run, rules, drawn, command):
    told = command("evaluate", run, "--data", f"csv:{drawn / 'tags.csv'}#test", "--rules", rules, "--json")
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found["mean_labels_predicted"] <= 3
    notes = " ".join(found["notes"])
    assert ("true sets break the rules" if run.name == "sigmoid" else "within bounds only") in notes


def test_suggestions_keep_the_rules_and_what_contradicts_them_is_named(run, rules, drawn, command):
    a, b, c, d, *_ = load_run(run).vocabulary.names
    image = drawn / "00000.png"
    asked = ("suggest", run, image, "--rules", rules, "--json", "--count", 100)
    told = command(*asked, "--known", d)
    assert told.exit_code == 0, told.output
    scores = {one["label"]: one["score"] for one in json.loads(told.stdout)["suggestions"]}
    assert scores[a] == pytest.approx(1, abs=1e-3)  # what d implies
    assert scores[b] == pytest.approx(0, abs=1e-3)  # what that excludes
    assert scores[c] == pytest.approx(0, abs=1e-3)
    refused = command(*asked, "--known", f"{d},{b}")
    assert refused.exit_code == 2
    for words in (f"accepted: {d}", f"accepted: {b}", f"{d} -> {a}", f"{a} and {b} never together"):
        assert words in refused.stderr
    assert "at most 3" not in refused.stderr


def test_an_export_keeps_its_rules_without_being_given_again_and_so_does_its_decoder(
    run, rules, drawn, command, tmp_path
):
    out = tmp_path / "export"
    assert command("export", run, "--to", "numpy", "--out", out, "--rules", rules).exit_code == 0
    features = np.stack([one for _, one in Tagger.load(run).features(sorted(drawn.glob("*.png")))])
    tagger = Tagger.load(out)
    answers = tagger.answer(features)
    assert tagger.run.rules is not None
    assert not any(limit.broken_by(answers.path_sets()).any() for limit in tagger.run.rules.limits)
    np.save(tmp_path / "features.npy", features)
    done = subprocess.run(
        [sys.executable, out / "decode.py", tmp_path / "features.npy"],
        capture_output=True,
        text=True,
        check=True,
    )
    alone = [json.loads(line) for line in done.stdout.splitlines()]
    for line, path in zip(alone, answers.paths, strict=True):
        assert set(line["labels"]) == set(tagger.run.vocabulary.names_of(path))


def test_contradicting_rules_and_wrong_names_end_with_status_2(finished, drawn, command, tmp_path):
    a, b, *_ = load_run(finished).vocabulary.names
    file = tmp_path / "rules.txt"
    file.write_text(f"always: {a}\nat most 4 labels\nnever: {a}\n", encoding="utf-8")
    refused = command("tag", finished, drawn, "--rules", file)
    assert refused.exit_code == 2
    assert "line 1" in refused.stderr
    assert "line 3" in refused.stderr
    assert "line 2" not in refused.stderr
    file.write_text(f"{a}x -> {b}\n", encoding="utf-8")
    refused = command("tag", finished, drawn, "--rules", file)
    assert f"Did you mean '{a}'?" in refused.stderr
    file.write_text(f"{a} -> {b}\n", encoding="utf-8")
    refused = command("tag", finished, drawn, "--rules", file, "--implications", file)
    assert refused.exit_code == 2


def test_what_rules_cannot_condition_is_refused_with_the_reason(
    finished, train, rules, drawn, command, tmp_path
):
    refused = command("tag", finished, drawn, "--rules", rules, "--set", "search.score=first-step")
    assert (refused.exit_code, "another number" in refused.stderr) == (2, True)
    refused = command(
        "evaluate", finished, finished, "--data", f"csv:{drawn / 'tags.csv'}#test", "--rules", rules
    )
    assert (refused.exit_code, "--rules is for one run" in refused.stderr) == (2, True)
    tuned = Tagger.load(finished, rules=rules, decision=Decision("threshold", tuned_for="of1"))
    with pytest.raises(InputError, match="tuned without the rules"):
        list(tuned.tag([drawn / "00000.png"]))
    tree = train(tmp_path / "tree", "--head", "chow-liu")
    refused = command("tag", tree, drawn, "--rules", rules)
    assert (refused.exit_code, "'chow-liu'" in refused.stderr) == (2, True)
