"""What is said of a comparison beside its numbers: intervals with how they were made, files that may be written."""

import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.metrics.comparison import ExactK, Sets, Threshold, compare
from labelbeam.metrics.evaluation import evaluate
from labelbeam.metrics.score_table import intervals, refuse_one_file_for_two, show_scores


def test_intervals_are_those_of_their_seed_and_say_how_they_were_made():
    random = np.random.default_rng(0)
    truth, scores = (random.random((60, 3)) < 0.4).astype(np.int8), random.random((60, 3))
    comparison = compare(truth, ["a", "b", "c"], protocol=Threshold(0.5), scores=scores)
    found = intervals(comparison, resamples=50, seed=4)
    assert (found["resamples"], found["confidence"], found["seed"]) == (50, 0.95, 4)
    assert found["of"]["OF1"]["low"] < found["of"]["OF1"]["high"]
    assert found == intervals(comparison, resamples=50, seed=4)
    assert found["of"] != intervals(comparison, resamples=50, seed=5)["of"]


def test_protocols_by_name_hold_what_they_were_given():
    assert (Threshold(0.3).name, Threshold(0.3).threshold) == ("threshold", 0.3)
    assert (Sets().name, Sets().threshold) == ("sets", None)


def test_two_outputs_at_one_place_are_refused_and_others_are_not(tmp_path):
    refuse_one_file_for_two(
        {"--out": tmp_path / "a", "--json": tmp_path / "b", "--csv": None, "--html": None}
    )
    with pytest.raises(InputError, match="--out and --json are both"):
        refuse_one_file_for_two({"--out": tmp_path / "a", "--json": tmp_path / "x/../a"})


def test_only_differences_have_a_sign(capsys):
    truth = np.int8([[1, 0], [0, 1], [1, 1], [0, 0]] * 5)
    comparison = compare(truth, ["a", "b"], protocol=Sets(), decisions=truth == 1)
    result = evaluate(comparison).to_json() | {"intervals": intervals(comparison, resamples=20, seed=0)}
    row = {"difference": 0.1, "low": 0.05, "high": 0.2, "p": 0.01}
    show_scores(result | {"versus": {"scores": result, "differences": {"OF1": row}}})
    line = next(line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("OF1"))
    assert line.split() == [
        "OF1",
        "100.0",
        "100.0",
        "to",
        "100.0",
        "100.0",
        "+10.0",
        "+5.0",
        "to",
        "+20.0",
        "0.010",
    ]


def test_a_result_is_printed_with_all_that_is_said_beside_it_and_brackets_are_no_markup(capsys):
    truth = np.int8([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]] * 5)
    scores = np.random.default_rng(0).random(truth.shape)
    result = evaluate(compare(truth, ["a", "[b]", "c"], protocol=ExactK(1), scores=scores)).to_json()
    result["notes"], result["null_because"] = ["an image [red] is odd"], {"x": "no [b]", "y": "no [b]"}
    result |= {"reliability": {"pooled": {"ece": 0.0123}}, "calibrated": True}
    show_scores(result, per_class=True, more=["more [bold]"])
    said = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    wanted = [line.strip() for line in PRINTED.strip().splitlines()]
    assert [line for line in said if line and set(line) != {"\u2500"}] == wanted
    show_scores(result | {"reliability": {"pooled": {"ece": 0.5}}, "calibrated": False})
    said = capsys.readouterr().out
    assert "expected calibration error 50.00 percentage points (scores not calibrated)" in said
    assert "support" not in said
    show_scores(result | {"reliability": {"pooled": {"ece": None}}})
    assert "expected calibration" not in capsys.readouterr().out


PRINTED = """
exact-k: the 1 best-ranked known labels of each image, whatever their scores
score percent
OP 45.0
OR 45.0
OF1 45.0
CP 57.9
CR 45.0
CF1 50.7
CF1_mean_of_classes 50.5
subset_accuracy 25.0
mean_labels_true 1.00
mean_labels_predicted 1.00
MAP@10 77.2
mAP_area 52.3
mAP_voc10 60.5
mAP_voc11 60.8
20 images (5 without labels, kept), 3 labels (2 with a positive); mean_labels are labels per image, not percent
expected calibration error 1.23 percentage points (scores calibrated on validation images)
best possible OP / OR / OF1 of exactly 1 labels per image: 75.0 / 75.0 / 75.0
more [bold]
x, y: null, because no [b]
note: an image [red] is odd
label support predicted TP P R F1 AP area AP voc10 AP voc11
a 10 9 4 44.4 40.0 42.1 46.8 59.3 59.3
[b] 10 7 5 71.4 50.0 58.8 57.9 61.8 62.2
c 0 4 0 0.0 - - - - -
"""
