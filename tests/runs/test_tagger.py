"""The Python interface: the same answers as the command line, lazily, in order, whatever the files are."""

import json
import shutil
from pathlib import Path

import pytest

from labelbeam.decoding.search import Search
from labelbeam.errors import InputError
from labelbeam.predict.decision import Decision
from labelbeam.runs.tagger import ANSWERED_TOGETHER, Tagger


@pytest.fixture
def mixed(drawn: Path, tmp_path: Path) -> list[Path]:
    """Readable, unreadable, missing, and the same again."""
    broken = tmp_path / "broken.png"
    broken.write_bytes((drawn / "00003.png").read_bytes()[:200])
    copy = tmp_path / "コピー.png"
    shutil.copyfile(drawn / "00000.png", copy)
    first, second = drawn / "00000.png", drawn / "00001.png"
    return [second, broken, first, tmp_path / "gone.png", copy, first]


def test_it_gives_the_lines_of_the_command_line(finished, mixed, command, tmp_path):
    ours = [one.to_json() for one in Tagger.load(finished).tag(mixed, all_scores=True)]
    names = tmp_path / "list.txt"
    names.write_text("".join(f"{path}\n" for path in mixed), encoding="utf-8")
    told = command("tag", finished, f"@{names}", "--json", "--all-scores")
    assert told.exit_code == 0, told.output
    assert told.stdout.splitlines() == ours
    assert "2 of 6 files could not be read" in told.stderr
    out = tmp_path / "out.jsonl"
    assert command("tag", finished, f"@{names}", "--out", out, "--all-scores").stdout == ""
    assert out.read_text(encoding="utf-8").splitlines() == ours


def test_order_is_kept_repeats_are_repeated_and_a_broken_file_is_a_line(finished, mixed):
    answers = list(Tagger.load(finished).tag(mixed))
    assert [answer.image for answer in answers] == [str(path) for path in mixed]
    assert [bool(answer.error) for answer in answers] == [False, True, False, True, False, False]
    assert "damaged" in answers[1].error
    assert "no such file" in answers[3].error
    assert answers[2].labels == answers[4].labels == answers[5].labels


def test_a_batch_is_the_same_as_one_by_one(finished, drawn):
    tagger = Tagger.load(finished)
    paths = sorted(drawn.glob("*.png"))[:12]
    together = list(tagger.tag(paths, all_scores=True))
    for path, answer in zip(paths, together, strict=True):
        [alone] = tagger.tag([path], all_scores=True)
        assert alone.path == answer.path
        assert alone.scores == pytest.approx(answer.scores, abs=2e-3)  # features are half precision


def test_paths_are_taken_as_answers_are(finished, drawn):
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield drawn / "00000.png"

    answers = Tagger.load(finished).tag(endless())
    assert not taken, "nothing is read before the first answer is asked for"
    assert next(answers).image == str(drawn / "00000.png")
    assert len(taken) < 8 * ANSWERED_TOGETHER
    answers.close()


def test_it_reports_how_far_it_is(finished, mixed):
    done = []
    list(Tagger.load(finished).tag(mixed, report=done.append))
    assert sum(done) == len(mixed)


def test_decision_and_search_may_be_others_than_the_runs(finished, drawn):
    all_of_them = Tagger.load(finished, decision=Decision("threshold", 0.0), search=Search("beam"))
    [answer] = all_of_them.tag([drawn / "00000.png"])
    assert len(answer.labels) == len(all_of_them.labels)
    assert answer.decide == "threshold"
    assert json.loads(answer.to_json())["decide"] == "threshold"


def test_no_paths_give_no_answers(finished):
    assert list(Tagger.load(finished).tag([])) == []


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a finished run"):
        Tagger.load(tmp_path)
