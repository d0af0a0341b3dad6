"""The scripts of examples/ run and say what they should."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def run_example(name: str, *arguments: str, folder: Path) -> str:
    """Return what a script prints, run with one thread, its own cache and no network."""
    variables = {"LABELBEAM_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_own_csv_learns_its_pictures_and_all_scores_shows_three_ways_of_deciding(tmp_path: Path) -> None:
    printed = run_example("own_csv.py", "own", folder=tmp_path)
    right = re.search(r"subset accuracy on held-out pictures: (\S+)", printed)
    assert right is not None
    assert float(right[1]) > 0.5  # one set in eight is right by chance
    assert printed.count("(true: ") == 4

    printed = run_example("all_scores.py", "own/run", "own/new0.png", folder=tmp_path)
    scores = [float(score) for score in re.findall(r"^  (\d\.\d{3}) ", printed, flags=re.MULTILINE)]
    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)
    assert all(f"{way}: own/new0.png: " in printed for way in ("path", "score >= 0.5", "score >= 0.2"))


def test_score_anybody_gives_the_numbers_that_the_command_line_gives(tmp_path: Path) -> None:
    printed = run_example("score_anybody.py", "scored", folder=tmp_path)
    shown = dict(re.findall(r"^(\S+) +(\d\.\d+)$", printed, flags=re.MULTILINE))
    command = printed.splitlines()[-1].removeprefix("the same: labelbeam ").split()
    done = subprocess.run(
        [sys.executable, "-m", "labelbeam", *command, "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    import json

    result = json.loads(done.stdout)
    assert {"OF1", "CF1", "MAP@10", "mAP_area", "subset_accuracy"} <= set(shown)
    assert {name: float(value) for name, value in shown.items()} == pytest.approx(
        {name: result[name] for name in shown}, abs=1e-4
    )


def test_every_example_is_run_here_or_against_the_service() -> None:
    beside = Path(__file__).parent / "service" / "test_service_docs.py"
    text = "".join(file.read_text(encoding="utf-8") for file in (Path(__file__), beside))
    assert [path.name for path in sorted(EXAMPLES.glob("*.py")) if f'"{path.name}"' not in text] == []
