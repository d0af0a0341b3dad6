"""What is said of a comparison beside its numbers: intervals with how they were made, files that may be written."""

import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.metrics.comparison import Sets, Threshold, compare
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
