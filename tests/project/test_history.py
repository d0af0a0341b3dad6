"""Steps: whatever a person does to a project is done once, however often it is asked, and can be taken back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_pictures import add

from labelbeam.errors import InputError
from labelbeam.project import history
from labelbeam.project.project_file import Project, temporary_project
from labelbeam.project.schema import Change, Step

RECORD = history.record

State = tuple[dict[int, bool], dict[int, dict[str, int]], tuple[str, ...]]


def state(project: Project) -> State:
    """Return what can be seen: photographs and whether they are complete, decisions, labels."""
    decisions = project.decisions()
    used = {name for said in (*decisions.values(), *project.known().values()) for name in said}
    assert used <= set(project.labels())
    return {one.id: one.complete for one in project.photographs()}, decisions, project.labels()


@pytest.fixture
def project(tmp_path: Path):
    """A project of two photographs and the labels a, b, c."""
    with Project(tmp_path / "holiday.lbp") as opened:
        opened.add_labels("abc")
        add(opened, 1), add(opened, 2)
        yield opened


def test_the_newest_photograph_of_an_empty_project_is_none(tmp_path: Path) -> None:
    with Project(tmp_path / "empty.lbp") as project:
        assert project.newest() == 0


def test_undo_that_is_asked_twice_takes_one_step_back(project: Project) -> None:
    for label in "ab":
        project.decide([Change(1, label, 1)])
    first, again = project.undo(2), project.undo(2)
    assert first == again == Step((Change(1, "b", None),))
    assert project.decisions() == {1: {"a": 1}}
    assert project.redo(2) == project.redo(2) == Step((Change(1, "b", 1),))
    assert project.decisions() == {1: {"a": 1, "b": 1}}


def test_a_step_that_is_not_the_last_is_not_taken_back(project: Project) -> None:
    for label in "abc":
        project.decide([Change(1, label, 1)])
    before = state(project)
    for turn, step, words in (
        (project.undo, 2, "step 2 cannot be taken back now"),
        (project.undo, 9, "something else was changed meanwhile"),
        (project.redo, 3, None),  # it is as it shall be
        (project.redo, 9, "step 9 cannot be done again now"),
    ):
        if words is None:
            turn(step)
        else:
            with pytest.raises(InputError, match=words):
                turn(step)
        assert state(project) == before


def test_a_new_step_never_has_the_number_of_one_that_is_gone(project: Project) -> None:
    project.decide([Change(1, "a", 1)])
    project.undo(1)
    project.decide([Change(2, "b", 1)])
    with pytest.raises(InputError, match="step 1"):
        project.undo(1)  # a lost answer, asked for again from another window
    assert project.decisions() == {2: {"b": 1}}
    assert project.turns() == (2, None)


def test_a_photograph_that_leaves_keeps_its_file_and_its_decisions_for_the_way_back(project: Project) -> None:
    project.decide([Change(1, "a", 1), Change(2, "b", 0)])
    file = project.photograph(1).path
    assert project.remove([1]) == Step((), others=True)
    assert project.remove([1]) == Step()
    assert file.is_file()
    assert [one.id for one in project.photographs()] == [2]
    assert project.decisions() == project.known() == {2: {"b": 0}}
    for refused in (
        lambda: project.photograph(1),
        lambda: project.decide([Change(1, "a", 0)]),
        lambda: project.complete([1]),
        lambda: project.remove([9]),
    ):
        with pytest.raises(InputError, match="no photograph"):
            refused()
    project.undo()
    assert project.decisions() == {1: {"a": 1}, 2: {"b": 0}}
    project.redo()
    assert add(project, 1).id == 1, "who adds it again has it back"
    assert project.decisions() == {1: {"a": 1}, 2: {"b": 0}}
    project.undo()
    assert [one.id for one in project.photographs()] == [2]
    assert add(project, 1).id == 1, "and again"
    assert sorted(one.id for one in project.photographs()) == [1, 2]


def test_a_photograph_of_a_folder_that_was_removed_stays_away_when_the_folder_is_read_again(
    project: Project, tmp_path: Path
) -> None:
    own = tmp_path / "own.png"
    own.write_bytes(project.photograph(1).path.read_bytes() + b"more")
    found = project.add_reference(own, name="own.png")
    project.remove([found.id])
    project.add_reference(own, name="own.png")
    assert [one.id for one in project.photographs()] == [1, 2]


def test_complete_says_of_the_labels_there_are_that_they_are_absent(project: Project) -> None:
    project.decide([Change(1, "a", 1), Change(2, "b", 1)])
    assert project.complete([1]) == Step((), others=True)
    assert project.complete([1]) == Step()
    project.add_labels(["later"])
    project.decide([Change(2, "later", 1)])
    assert project.known() == {1: {"b": 0, "a": 1}, 2: {"b": 1, "later": 1}}, "c is decided nowhere"
    project.complete([1], value=False)
    assert project.known()[1] == {"a": 1}
    project.complete([1])  # looked at again, with the new label in mind
    assert project.known()[1] == {"b": 0, "a": 1, "later": 0}


def test_a_complete_photograph_without_any_label_is_known(project: Project) -> None:
    project.decide([Change(1, "a", 1)])
    project.complete([2])
    assert project.known() == {1: {"a": 1}, 2: {"a": 0}}


def test_a_label_is_renamed_everywhere_and_back(project: Project) -> None:
    project.add_labels(["bote"])
    project.decide([Change(1, "bote", 1), Change(2, "bote", 0)])
    project.complete([1])
    assert project.rename("bote", " boat ").others
    assert project.rename("bote", "boat") == Step(), "asked twice, done once"
    assert project.labels() == ("a", "b", "c", "boat")
    assert project.decisions() == {1: {"boat": 1}, 2: {"boat": 0}}
    project.add_labels(["bote"])  # the old name is free
    project.decide([Change(1, "bote", 0)])
    assert project.decisions()[1] == {"boat": 1, "bote": 0}
    project.undo(), project.undo(), project.undo()
    assert project.decisions() == {1: {"bote": 1}, 2: {"bote": 0}}
    project.redo(), project.redo(), project.redo()
    assert project.decisions()[1] == {"boat": 1, "bote": 0}


def test_a_label_that_takes_the_name_of_another_becomes_one_with_it(project: Project) -> None:
    project.decide([Change(1, "a", 1), Change(1, "b", 0), Change(2, "a", 0)])
    project.rename("a", "b")
    assert project.labels() == ("b", "c")
    assert project.decisions() == {1: {"b": 1}, 2: {"b": 0}}, "accepted outweighs rejected"
    project.undo()
    assert project.labels() == ("a", "b", "c")
    assert project.decisions() == {1: {"a": 1, "b": 0}, 2: {"a": 0}}


@pytest.mark.parametrize(("to", "words"), [("", "1 to 200 characters"), ("<END>", "END"), ("x\ny", "label")])
def test_a_label_cannot_be_called_just_anything(project: Project, to: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        project.rename("a", to)
    with pytest.raises(InputError, match="no label 'bote'"):
        project.rename("bote", "boot")


@pytest.mark.parametrize("old", [1, 0, None])
@pytest.mark.parametrize("new", [1, 0, None])
def test_of_two_labels_that_become_one_an_acceptance_outweighs_and_nothing_is_forgotten(
    project: Project, old: int | None, new: int | None
) -> None:
    project.decide([Change(1, "a", old), Change(1, "b", new)])
    before = state(project)
    project.rename("a", "b")
    decided = [value for value in (old, new) if value is not None]
    assert project.decisions() == ({1: {"b": max(decided)}} if decided else {})
    project.undo()
    assert state(project) == (before if decided else (before[0], {}, ("a", "b", "c")))


@pytest.mark.parametrize(
    "act",
    [
        lambda project: project.decide([Change(1, "a", 1), Change(2, "b", 1)]),
        lambda project: project.rename("a", "b"),
        lambda project: project.rename("a", "new"),
        lambda project: project.complete([1, 2]),
        lambda project: project.remove([1]),
        lambda project: project.add_labels(["a", "new"]),
        lambda project: project.undo(),
    ],
    ids=["decide", "merge", "rename", "complete", "remove", "add", "undo"],
)
def test_a_step_that_fails_half_way_leaves_nothing_behind(
    project: Project, act: Callable[[Project], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    project.decide([Change(1, "c", 1), Change(1, "a", 0)])
    before, turns = state(project), project.turns()

    def fail(connection: object, rows: object) -> Step:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("labelbeam.project.history.record", lambda *given: RECORD(*given) and fail(*given))
        patch.setattr("labelbeam.project.history._as_it_is", fail)
        with pytest.raises(MemoryError):
            act(project)
    assert (state(project), project.turns()) == (before, turns)
    with Project(project.path) as again:
        assert (state(again), again.turns()) == (before, turns)


ACTIONS = st.one_of(
    st.sampled_from([("undo",), ("redo",)]),
    st.tuples(
        st.just("decide"),
        st.lists(
            st.tuples(st.integers(1, 2), st.sampled_from("abc"), st.sampled_from([0, 1, None])), min_size=1
        ),
    ),
    st.tuples(st.just("complete"), st.sets(st.integers(1, 2)), st.booleans()),
    st.tuples(st.just("remove"), st.sets(st.integers(1, 2))),
    st.tuples(st.just("rename"), st.sampled_from("abcd"), st.sampled_from("abcde")),
    st.tuples(st.just("add label"), st.sampled_from("abcde")),
    st.tuples(st.just("add photograph"), st.integers(1, 2)),
)


def do(project: Project, kind: str, *what: Any) -> Step:
    actions: dict[str, Callable[..., Step]] = {
        "decide": lambda changes: project.decide(Change(*change) for change in changes),
        "complete": lambda images, value: project.complete(sorted(images), value=value),
        "remove": lambda images: project.remove(sorted(images)),
        "rename": project.rename,
        "add label": lambda name: turned(project, lambda: project.add_labels([name])),
        "add photograph": lambda image: turned(project, lambda: add(project, image)),
    }
    return actions[kind](*what)


def turned(project: Project, act: Callable[[], object]) -> Step:
    """Return whether adding was a step: of what was there before and is back."""
    before = project.turns()[0]
    act()
    return Step(others=project.turns()[0] != before)


@settings(max_examples=80, deadline=None)
@given(st.lists(ACTIONS, max_size=14))
def test_undo_and_redo_agree_with_a_list_of_states(actions: list) -> None:
    with temporary_project() as project:
        project.add_labels("abcde")
        project.rename("d", "a"), project.rename("e", "f")  # two that are gone may come back
        add(project, 1), add(project, 2)
        project.undo(), project.undo()
        project.redo(), project.redo()
        states = [state(project)]
        for _ in range(2):
            project.undo()
            states.insert(0, state(project))
        project.redo(), project.redo()
        at = 2
        for kind, *what in actions:
            if kind == "undo":
                project.undo()
                at = max(at - 1, 0)
            elif kind == "redo":
                project.redo()
                at = min(at + 1, len(states) - 1)
            else:
                try:
                    step = do(project, kind, *what)
                except InputError:
                    step = Step()
                if step != Step():
                    states[at + 1 :] = [state(project)]
                    at += 1
            assert state(project) == states[at]
        while project.turns()[0]:
            project.undo()
        assert state(project) == states[0]
        while project.turns()[1]:
            project.redo()
        assert state(project) == states[-1]


def test_what_is_decided_is_what_was_decided_last(project: Project) -> None:
    """The list of states above trusts the project for what a step does; this says it of decisions."""
    project.decide([Change(1, "a", 1), Change(1, "a", 0), Change(2, "b", 1)])
    project.decide([Change(2, "b", None), Change(1, "c", 1)])
    assert project.decisions() == {1: {"a": 0, "c": 1}}


def test_a_label_that_was_merged_and_is_added_again_can_be_decided_undone_and_redone(
    project: Project,
) -> None:
    project.decide([Change(1, "a", 1)])
    project.rename("a", "b")
    project.add_labels(["a"])
    project.decide([Change(2, "a", 1)])
    done = state(project)
    project.undo(), project.undo(), project.undo()
    assert project.decisions() == {1: {"a": 1}}
    project.redo(), project.redo(), project.redo()
    assert state(project) == done == ({1: False, 2: False}, {1: {"b": 1}, 2: {"a": 1}}, ("a", "b", "c"))
