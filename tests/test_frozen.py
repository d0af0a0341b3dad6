"""What the version before the rebuilding wrote, read by this one: runs, exports, a project, and their outputs.

`tests/frozen` was made by commit 60733bc: 1,576 drawn pictures, a `tiny` encoder trained with the head for 25
epochs (test mAP 68.8), a sigmoid head on the same features, both exports, a project, and the output of each command
on 24 other pictures. Labels saved in another order, weights read in another, a score renamed: all show here.
"""

import json
import math
import shutil
from pathlib import Path

import pytest
from typer.testing import Result

FROZEN = Path(__file__).parent / "frozen"
OF_MAP = (
    "the bootstrap's intervals of mAP missed the value too often (docs/protocol.md); half-sampling is used"
)
CHANGED = {
    "versions": "of the machine it runs on",
    "intervals.method": "it names the way of the intervals of mAP too",
    **{f"intervals.of.mAP_{kind}": OF_MAP for kind in ("area", "voc10", "voc11")},
}
"""The ends of places whose values are meant to differ since, and why."""


@pytest.fixture
def frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = Path(shutil.copytree(FROZEN, tmp_path / "frozen"))
    monkeypatch.chdir(folder)
    return folder


def differences(before: object, now: object, where: str = "") -> list[str]:
    """Return what was there before and is not the same now; what is new is no difference."""
    if any(f".{where}".endswith(f".{place}") for place in CHANGED):
        return []
    if isinstance(before, dict) and isinstance(now, dict):
        missing = [f"{where}.{key} is gone" for key in before if key not in now]
        return missing + [
            line
            for key in before
            if key in now
            for line in differences(before[key], now[key], f"{where}.{key}")
        ]
    if isinstance(before, list) and isinstance(now, list):
        if len(before) != len(now):
            return [f"{where}: {len(before)} values, now {len(now)}"]
        return [
            line
            for i, (a, b) in enumerate(zip(before, now, strict=True))
            for line in differences(a, b, f"{where}[{i}]")
        ]
    if isinstance(before, int | float) and isinstance(now, int | float) and not isinstance(before, bool):
        same = math.isclose(before, now, rel_tol=1e-4, abs_tol=2e-4)
    else:
        same = before == now
    return [] if same else [f"{where}: {before!r}, now {now!r}"]


def objects_of(text: str) -> list[object]:
    return [json.loads(line) for line in text.splitlines()] if "\n{" in text.strip() else [json.loads(text)]


COMMANDS = {
    "evaluate.json": "evaluate run --data csv:tags.csv --json",
    "evaluate_sigmoid.json": "evaluate sigmoid --data csv:tags.csv --json",
    "score.json": "score --truth outputs/truth.jsonl --pred outputs/predictions.jsonl "
    "--versus outputs/sigmoid.jsonl --json",
    "tag.jsonl": "tag run pictures --all-scores --json",
    "tag_exported.jsonl": "tag exported pictures --all-scores --json",
    "suggest.json": "suggest run pictures/01576.png --known chloe --json",
    "neighbors.json": "neighbors run sky cow --json",
    "inspect.json": "data inspect csv:tags.csv --json",
    "explain.json": "explain run pictures/01576.png --json",
}


@pytest.mark.parametrize("output", COMMANDS)
def test_a_command_gives_for_an_old_run_what_it_gave_then(output: str, frozen: Path, command) -> None:
    done: Result = command(*COMMANDS[output].split())
    assert done.exit_code == 0, done.output
    before = objects_of((frozen / "outputs" / output).read_text(encoding="utf-8"))
    assert differences(before, objects_of(done.stdout)) == []


@pytest.mark.parametrize(
    ("output", "call"),
    [
        ("predictions.jsonl", "evaluate run --data csv:tags.csv --predictions out"),
        ("truth.jsonl", "evaluate run --data csv:tags.csv --truth out"),
        ("tag.csv", "tag run pictures --all-scores --out out.csv"),
        ("report.json", "report run --data csv:tags.csv --out out.html --images 2"),
        ("project.csv", "data convert project:project.lbp csv:out.csv"),
    ],
)
def test_a_file_is_written_as_it_was_then(output: str, call: str, frozen: Path, command) -> None:
    done: Result = command(*call.split())
    assert done.exit_code == 0, done.output
    written = frozen / (
        {"report.json": "out.json", "tag.csv": "out.csv", "project.csv": "out.csv"}.get(output, "out")
    )
    before, now = ((path).read_text(encoding="utf-8") for path in (frozen / "outputs" / output, written))
    if output.endswith(".csv"):
        assert now.splitlines()[0] == before.splitlines()[0]
        assert [row.split(",")[:2] for row in now.replace(f"{frozen}/", "").splitlines()] == [
            row.split(",")[:2] for row in before.splitlines()
        ]
    else:
        assert differences(objects_of(before), objects_of(now)) == []


def test_the_runs_have_learned(frozen: Path) -> None:
    """A fixture on which nothing was learned would not notice what costs accuracy."""
    scores = json.loads((frozen / "outputs" / "evaluate.json").read_text(encoding="utf-8"))
    assert scores["mAP_area"] > 0.6
