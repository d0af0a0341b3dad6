"""Projects: what is decided is there after a restart, whatever ended the program, and can be taken back."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from small_pictures import add, picture

from labelbeam.errors import InputError
from labelbeam.project.project_file import Project, temporary_project
from labelbeam.project.schema import VERSION, Change, Step, store

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "holiday.lbp"


def test_what_was_decided_is_there_after_a_restart(path: Path) -> None:
    with Project(path) as project:
        project.add_labels(["boat", "海", SCRIPT, "سفينة"])
        one, two = add(project, 1, "2019/a.png"), add(project, 2)
        project.decide([Change(one.id, "海", 1), Change(one.id, SCRIPT, 0), Change(two.id, "boat", 1)])
    with Project(path) as project:
        assert project.labels() == ("boat", "海", SCRIPT, "سفينة")
        assert project.decisions() == {1: {"海": 1, SCRIPT: 0}, 2: {"boat": 1}}
        assert [one.name for one in project.photographs()] == ["2019/a.png", "a.png"]
        assert project.photograph(1).path.read_bytes() == picture(1)


def test_names_from_requests_never_reach_the_disk(path: Path) -> None:
    with Project(path) as project:
        found = add(project, 1, "../../etc/passwd\0\n.php")
        assert found.name == "../../etc/passwd.php"
        assert found.path.parent == path.parent / "holiday.lbp.images"
        assert found.path.suffix == ".png"
        assert set(found.path.stem) <= set("0123456789abcdef")


def test_the_same_photograph_is_there_once(path: Path) -> None:
    with Project(path) as project:
        first, again = add(project, 1, "a.png"), add(project, 1, "b.png")
        assert first == again
        assert len(list(project.images.iterdir())) == 1


@pytest.mark.parametrize("kept", [0, 1, 40, -1])
def test_a_file_that_was_cut_short_is_written_again_when_the_photograph_comes_again(
    path: Path, kept: int
) -> None:
    with Project(path) as project:
        stored = add(project, 1).path
    stored.write_bytes(picture(1)[:kept])
    assert store(stored.parent, picture(1)) == stored.name
    assert stored.read_bytes() == picture(1)


def test_a_photograph_by_reference_stays_where_it_is(path: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.png"
    own.write_bytes(picture(7))
    with Project(path) as project:
        found = project.add_reference(own, name="own.png")
        assert found.path == own
        assert not found.added
        assert not project.images.exists()


def test_steps_are_taken_back_and_done_again_after_a_restart_too(path: Path) -> None:
    with Project(path) as project:
        project.add_labels(["boat", "sea"])
        add(project, 1), add(project, 2)
        project.decide([Change(1, "boat", 1), Change(2, "boat", 1)])
        project.decide([Change(1, "boat", 0)])
        project.decide([Change(1, "boat", None)])
    with Project(path) as project:
        assert project.undo() == Step((Change(1, "boat", 0),))
        assert project.undo() == Step((Change(1, "boat", 1),))
        assert set(project.undo().changes) == {Change(1, "boat", None), Change(2, "boat", None)}
        assert project.undo() == Step()
        assert project.decisions() == {}
        project.redo()
    with Project(path) as project:
        assert project.decisions() == {1: {"boat": 1}, 2: {"boat": 1}}
        assert project.turns() == (1, 2)
        project.decide([Change(1, "sea", 1)])  # what was taken back is gone now
        assert project.redo() == Step()


def test_a_step_with_a_mistake_changes_nothing(path: Path) -> None:
    with Project(path) as project:
        project.add_labels(["boat"])
        add(project, 1)
        with pytest.raises(InputError, match="no label 'bote'"):
            project.decide([Change(1, "boat", 1), Change(1, "bote", 1)])
        with pytest.raises(InputError, match="no photograph 9"):
            project.decide([Change(1, "boat", 1), Change(9, "boat", 1)])
        assert project.decisions() == {}
        assert project.turns() == (None, None)


def test_features_come_back_and_belong_to_an_encoder(path: Path) -> None:
    with Project(path) as project:
        add(project, 1)
        values = np.array([0.5, -2.0, 65000.0], dtype=np.float32)
        project.keep_features(1, "tiny", values)
        found = project.features(1, "tiny")
        assert found is not None
        np.testing.assert_array_equal(found, values.astype(np.float16))
        assert project.features(1, "other") is None


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201, "<END>", "\ud800"])
def test_a_name_that_no_label_can_have_is_refused(name: str) -> None:
    with temporary_project() as project, pytest.raises(InputError):
        project.add_labels([name])


def test_another_value_is_refused() -> None:
    with pytest.raises(InputError, match="accepted"):
        Change(1, "boat", 2)


def spoil(path: Path) -> None:
    """Overwrite the middle of a project with noise."""
    raw = bytearray(path.read_bytes())
    raw[100 : len(raw)] = random.Random(0).randbytes(len(raw) - 100)
    path.write_bytes(raw)


def other_program(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE notes (text)")


def future(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA user_version = {VERSION + 1}")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda path: path.write_bytes(b"GIF89a, no database at all"),
            "no project of labelbeam, or it is damaged",
        ),
        (spoil, "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "damaged"),
        (other_program, "another program"),
        (future, f"version {VERSION + 1}"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_left_alone(path: Path, change, words: str) -> None:
    with Project(path) as project:
        project.add_labels([f"label {i}" for i in range(500)])
    change(path)
    before = path.read_bytes()
    with pytest.raises(InputError, match=words) as raised:
        Project(path)
    assert str(path) in str(raised.value)
    assert path.read_bytes() == before


def test_a_missing_folder_and_a_folder_in_place_of_the_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Make it first"):
        Project(tmp_path / "none" / "a.lbp")
    with pytest.raises(InputError, match="is a folder"):
        Project(tmp_path)


WRITER = """
    import sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from small_pictures import add
    from labelbeam.project.project_file import Project
    from labelbeam.project.schema import Change

    with Project(Path(sys.argv[1])) as project:
        project.add_labels(str(i) for i in range(1000))
        for i in range(1000):
            one = add(project, i % 250, f"{{i}}.png")
            print("photograph", one.id, flush=True)
            project.decide([Change(one.id, str(i), 1)])
            print("decision", one.id, i, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is not on Windows")
@pytest.mark.parametrize("seed", range(3))
def test_kill_minus_nine_loses_nothing_that_was_told(path: Path, seed: int) -> None:
    script = textwrap.dedent(WRITER.format(tests=str(Path(__file__).parent)))
    writer = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    told = [writer.stdout.readline()]
    time.sleep(random.Random(seed).uniform(0.0, 0.4))
    writer.send_signal(signal.SIGKILL)
    told += writer.stdout.readlines()
    writer.wait()
    with Project(path) as project:  # and needs no repair
        photographs = {one.id: one for one in project.photographs()}
        decisions = project.decisions()
        for line in told:
            if not line.endswith("\n"):
                continue
            kind, *numbers = line.split()
            if kind == "photograph":
                assert photographs[int(numbers[0])].path.stat().st_size > 0
            else:
                assert decisions[int(numbers[0])][numbers[1]] == 1
        assert all(one.path.is_file() for one in photographs.values())
        add(project, 251)
        project.undo()
