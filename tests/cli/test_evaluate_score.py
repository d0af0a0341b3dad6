"""`labelbeam score` as a user runs it."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from labelbeam.cli.app import app

TRUTH = [
    {"image": "a.jpg", "labels": ["cat", "dog"], "unknown": ["tree"]},
    {"image": "b.jpg", "labels": ["tree"]},
    {"image": "c.jpg", "labels": []},
]
SCORED = [
    {"image": "a.jpg", "scores": {"cat": 0.9, "dog": 0.4, "tree": 0.99}},
    {"image": "b.jpg", "scores": {"cat": 0.6, "dog": 0.1, "tree": 0.7}},
    {"image": "c.jpg", "scores": {"cat": 0.2, "dog": 0.3, "tree": 0.1}},
]
WORSE = [line | {"scores": {name: 1 - s for name, s in line["scores"].items()}} for line in SCORED]
KEYS = "OP OR OF1 CP CR CF1 CF1_mean_of_classes MAP@10 mAP_area mAP_voc10 mAP_voc11 subset_accuracy "
KEYS = (KEYS + "mean_labels_true mean_labels_predicted protocol per_class").split()


def write(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


@pytest.fixture
def files(tmp_path):
    parts = {"truth": TRUTH, "pred": SCORED, "worse": WORSE}
    return {name: write(tmp_path / f"{name}.jsonl", lines) for name, lines in parts.items()}


def run(files, *options):
    return CliRunner().invoke(app, ["score", "--truth", files["truth"], "--pred", files["pred"], *options])


def test_json_is_one_object_with_every_key_of_the_contract_and_nothing_else(files):
    result = run(files, "--k", "1", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert set(KEYS) <= found.keys()
    assert found["OP"] == pytest.approx(2 / 3)
    assert found["OR"] == pytest.approx(2 / 3)
    assert found["mAP_area"] == 1.0  # cat .9 > .6; dog .4 > .3; tree .7 > .1, its .99 being unknown
    assert found["protocol"]["name"] == "exact-k"
    assert found["protocol"]["k"] == 1
    assert found["protocol"]["exact_k_ceiling"]["OP"] == pytest.approx(2 / 3)
    assert found["per_class"]["cat"]["support"] == 1


def test_the_table_shows_percent_the_protocol_and_the_ceiling(files):
    result = run(files, "--k", "1", "--per-class")
    assert result.exit_code == 0, result.output
    for words in ("exact-k: the 1 best-ranked", "66.7", "mAP_area", "best possible OP / OR / OF1", "support"):
        assert words in result.stdout


def test_without_a_protocol_the_table_says_why_precision_is_null(files):
    result = run(files)
    assert result.exit_code == 0, result.output
    assert "null, because the predictions are scores" in result.stdout
    assert "--threshold T" in result.stdout


def test_versus_gives_difference_interval_and_p_and_a_seed_repeats_them(files):
    options = ["--k", "1", "--versus", files["worse"], "--bootstrap", "50", "--json"]
    result = run(files, *options)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    pair = found["versus"]["differences"]["OF1"]
    assert pair["difference"] == pytest.approx(found["OF1"] - found["versus"]["scores"]["OF1"])
    assert pair["low"] <= pair["high"]
    assert 0 < pair["p"] <= 1
    assert found["intervals"]["resamples"] == 50
    assert found["intervals"]["of"]["OF1"]["low"] <= found["OF1"]
    assert run(files, *options).stdout == result.stdout
    assert "difference" in run(files, *options[:-1]).stdout


def test_the_threshold_and_ml_gcns_rule_are_named_for_what_they_are(files):
    by_threshold = json.loads(run(files, "--threshold", "0.5", "--json").stdout)
    assert by_threshold["protocol"]["name"] == "threshold"
    assert by_threshold["mean_labels_predicted"] == pytest.approx(1.0)
    both = json.loads(run(files, "--k", "3", "--min-score", "0.5", "--json").stdout)
    assert both["protocol"]["name"] == "top-k-and-threshold"


def test_out_holds_the_json_whole_and_leaves_no_temporary_file(files, tmp_path):
    out = tmp_path / "results" / "scores.json"
    out.parent.mkdir()
    result = run(files, "--k", "1", "--out", str(out))
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert json.loads(out.read_text(encoding="utf-8"))["protocol"]["name"] == "exact-k"
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--k", "1", "--threshold", "0.5"], ["exactly one decision protocol", "--k and --threshold"]),
        (["--sets"], ["--sets needs 'labels'"]),
        (["--k", "1", "--missing", "skip"], ["unknown policy for missing images 'skip'", "empty"]),
        (["--k", "1", "--bootstrap", "1"], ["at least 2 resamples"]),
        (["--k", "1", "--bootstrap", "-5"], ["at least 2 resamples", "-5"]),
        (["--k", "1", "--seed", "-1"], ["--seed", "-1"]),
        (["--k", "1", "--out", "nowhere/scores.json"], ["there is no folder nowhere"]),
        (["--k", "1", "--versus", "nowhere.jsonl"], ["there is no file nowhere.jsonl"]),
    ],
)
def test_wrong_options_are_refused_in_words(files, options, words):
    result = run(files, *options)
    assert result.exit_code == 2
    for word in words:
        assert word in result.stderr


def test_versus_refuses_files_that_imply_different_protocols(files, tmp_path):
    lists = write(tmp_path / "lists.jsonl", [{"image": line["image"], "labels": ["cat"]} for line in TRUTH])
    result = run(files, "--versus", lists)
    assert result.exit_code == 2
    assert "--versus compares under one protocol" in result.stderr


def test_the_program_scores_without_importing_torch_and_exits_0(files):
    code = (
        "import sys\n"
        "from labelbeam.cli.app import main\n"
        "try:\n    main()\n"
        "except SystemExit as done:\n    assert not done.code, done.code\n"
        "assert 'labelbeam.metrics.evaluation' in sys.modules\n"
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    arguments = ["score", "--truth", files["truth"], "--pred", files["pred"], "--k", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["protocol"]["k"] == 1


def test_the_program_exits_2_with_one_message_and_no_traceback(files, tmp_path):
    short = write(tmp_path / "short.jsonl", SCORED[:1])
    command = [sys.executable, "-m", "labelbeam", "score", "--truth", files["truth"], "--pred", short]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("labelbeam: ")
    assert "--missing empty" in done.stderr
    assert "Traceback" not in done.stderr
