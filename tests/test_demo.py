"""The demo as a user runs it, and what its table must show."""

import json
import os
import subprocess
import sys

import pytest

SIGMOIDS = ("sigmoid, two layers", "sigmoid, linear")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, str, str]:
    """Run the demo once with an empty cache; return its numbers, its page and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "labelbeam", "demo", "--out", str(folder / "run")],
        env=os.environ | {"LABELBEAM_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    numbers = json.loads((folder / "run" / "demo.json").read_text(encoding="utf-8"))
    return numbers, (folder / "run" / "index.html").read_text(encoding="utf-8"), done.stdout


def test_cnn_rnn_closes_most_of_the_gap_between_knowing_labels_and_knowing_sets(
    demo: tuple[dict, str, str],
) -> None:
    closed = demo[0]["gap_closed"]["CNN-RNN"]
    assert closed["log_likelihood"] >= 0.95
    assert closed["subset_accuracy"] >= 0.95


def test_no_rnn_falls_short_because_no_sum_over_the_labels_so_far_can_do_better(
    demo: tuple[dict, str, str],
) -> None:
    numbers, page, printed = demo
    best = numbers["rows"]["Bayes: knows the sets"]["log_likelihood"]
    short = best - numbers["rows"]["No RNN"]["log_likelihood"]
    assert short >= 0.3
    assert short >= numbers["sum_short"] - 0.02  # that of the whole world, not of these pictures
    assert numbers["sum_short"] >= 0.3
    assert best - numbers["rows"]["CNN-RNN"]["log_likelihood"] < short - 0.3
    for text in (page, " ".join(printed.split())):
        assert f"No RNN, which only sums the labels so far, is {short:.2f} nats short" in text


def test_pictures_that_show_nothing_get_no_label_and_others_get_some(demo: tuple[dict, str, str]) -> None:
    rows = demo[0]["rows"]
    assert rows["Bayes: knows the sets"]["nothing"] == 0
    for name in ("CNN-RNN", "No RNN", *SIGMOIDS):
        assert rows[name]["nothing"] < 0.05, name


def test_no_model_beats_the_joint_optimum(demo: tuple[dict, str, str]) -> None:
    rows = demo[0]["rows"]
    for name, row in rows.items():
        for measure in ("log_likelihood", "subset_accuracy"):
            assert row[measure] <= rows["Bayes: knows the sets"][measure] + 1e-6, name


def test_sigmoid_heads_are_level_in_ranking_and_emit_impossible_sets(demo: tuple[dict, str, str]) -> None:
    rows = demo[0]["rows"]
    for name in SIGMOIDS:
        for measure in ("mAP", "OF1", "MAP10"):
            assert rows[name][measure] == pytest.approx(rows["CNN-RNN"][measure], abs=0.015)
        assert rows[name]["impossible"] > 0.1 > 10 * rows["CNN-RNN"]["impossible"]


def test_the_page_and_the_table_show_every_row_and_the_page_needs_no_network(
    demo: tuple[dict, str, str],
) -> None:
    numbers, page, printed = demo
    for name in numbers["rows"]:
        assert name in page
        assert name in printed
    assert page.count("<img") == 24
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page
