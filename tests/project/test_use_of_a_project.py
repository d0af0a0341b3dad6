"""What was decided is data: training and conversion read a project as it is, in use or not."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_pictures import add

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.project import read_project
from labelbeam.formats.registry import open_dataset, write_dataset
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN
from labelbeam.project.project_file import Project
from labelbeam.project.schema import Change


@pytest.fixture
def tagged(drawn: Path, tmp_path: Path) -> Path:
    """A project of forty drawn pictures: of each, its labels accepted and four others rejected."""
    file = tmp_path / "drawn.lbp"
    data = open_dataset(f"csv:{drawn / 'tags.csv'}#train")
    names = data.vocabulary.names
    with Project(file) as project:
        project.add_labels(names)
        for i in range(40):
            one = project.add_photograph(data.path(i).read_bytes(), name=data.images[i])
            absent = [name for name, value in zip(names, data.targets[i], strict=True) if value == ABSENT]
            changes = [Change(one.id, name, PRESENT) for name in data.example(i).present]
            project.decide(changes + [Change(one.id, name, ABSENT) for name in absent[:4]])
    return file


def test_a_project_trains_a_model(
    command: Callable, tagged: Path, encoder_file: Path, tmp_path: Path
) -> None:
    done = command(
        *("train", "--data", f"project:{tagged}", "--head", "sigmoid", "--weights", encoder_file),
        *("--out", tmp_path / "run", "--epochs", 1),
    )
    assert done.exit_code == 0, done.output
    assert (tmp_path / "run" / "labels.json").is_file()


def test_a_project_converts_to_any_format(command: Callable, tagged: Path, tmp_path: Path) -> None:
    done = command("data", "convert", f"project:{tagged}", f"csv:{tmp_path / 'tags.csv'}")
    assert done.exit_code == 0, done.output
    with (tmp_path / "tags.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 40
    project, converted = open_dataset(f"project:{tagged}"), open_dataset(f"csv:{tmp_path / 'tags.csv'}")
    for i in range(40):
        assert set(project.example(i).present) == set(converted.example(i).present)


def test_a_project_in_use_is_read_as_it_was_acknowledged(tagged: Path) -> None:
    with Project(tagged) as project:
        project.add_labels(["new"])
        project.decide([Change(1, "new", PRESENT)])
        data = read_project(tagged, "")
        column = data.vocabulary.id_of("new")
        assert data.targets[0, column] == PRESENT
        assert np.all(data.targets[1:, column] == UNKNOWN)


def test_a_missing_photograph_is_named_and_can_be_skipped(tagged: Path) -> None:
    with Project(tagged) as project:
        project.photograph(1).path.unlink()
    with pytest.raises(InputError, match="1 of 40 image files are missing"):
        read_project(tagged, "")
    assert len(read_project(tagged, "", options=ReadOptions(missing="skip"))) == 39


def test_a_project_has_no_splits(tagged: Path) -> None:
    with pytest.raises(InputError, match="train"):
        read_project(tagged, "train")


def test_two_projects_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    with Project(tmp_path / "a" / "x.lbp") as one, Project(tmp_path / "b" / "x.lbp") as other:
        assert one.id != other.id
        with Project(tmp_path / "a" / "x.lbp") as again:
            assert again.id == one.id


def people_only_accept(project: Project) -> None:
    project.decide([Change(1, "boat", PRESENT), Change(2, "sea", PRESENT)])


def one_rejects(project: Project) -> None:
    people_only_accept(project)
    project.decide([Change(2, "boat", ABSENT)])


def all_are_complete(project: Project) -> None:
    people_only_accept(project)
    project.complete([1, 2])


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (people_only_accept, "warning: all labels were accepted but are nowhere known to be absent"),
        (one_rejects, "warning: 1 of 2 labels (sea) were accepted but are nowhere known to be absent"),
        (all_are_complete, None),
    ],
)
def test_labels_that_teach_only_where_they_are_are_named_with_what_to_do(
    said: Callable[[Project], None], words: str | None, tmp_path: Path
) -> None:
    with Project(tmp_path / "a.lbp") as project:
        project.add_labels(["boat", "sea"])
        add(project, 1), add(project, 2), add(project, 3)
        said(project)
    notes = [note for note in read_project(tmp_path / "a.lbp", "").notes if "warning" in note]
    if words is None:
        assert notes == []
    else:
        (note,) = notes
        assert words in note
        assert "mark photographs as complete (d: nothing else is on it), or reject labels" in note


def test_what_is_not_on_a_complete_photograph_is_absent_and_what_came_later_unknown(tmp_path: Path) -> None:
    with Project(tmp_path / "a.lbp") as project:
        project.add_labels(["boat", "sea"])
        add(project, 1), add(project, 2), add(project, 3)
        project.decide([Change(1, "boat", PRESENT), Change(2, "sea", PRESENT)])
        project.complete([1, 3])
        project.add_labels(["later"])
        project.decide([Change(2, "later", PRESENT)])
        project.remove([2])
        assert len(read_project(tmp_path / "a.lbp", "")) == 2, "what left the project teaches nothing"
        project.undo()
    data = read_project(tmp_path / "a.lbp", "")
    assert data.vocabulary.names == ("boat", "sea", "later")
    expected = [[PRESENT, ABSENT, UNKNOWN], [UNKNOWN, PRESENT, PRESENT], [ABSENT, ABSENT, UNKNOWN]]
    np.testing.assert_array_equal(data.targets, expected)


def test_a_project_where_people_only_accept_is_warned_of_and_not_trained_on(
    command: Callable, tmp_path: Path, drawn: Path, encoder_file: Path
) -> None:
    data = open_dataset(f"csv:{drawn / 'tags.csv'}#train")
    with Project(tmp_path / "a.lbp") as project:
        project.add_labels(data.vocabulary.names)
        for i in range(12):
            one = project.add_photograph(data.path(i).read_bytes(), name=data.images[i])
            project.decide(Change(one.id, name, PRESENT) for name in data.example(i).present)
    done = command(
        *("train", "--data", f"project:{tmp_path / 'a.lbp'}", "--head", "sigmoid", "--weights", encoder_file),
        *("--out", tmp_path / "run", "--epochs", 1),
    )
    words = " ".join(done.output.split())
    assert done.exit_code == 2, done.output
    assert "all that can be learned is to say every label of every image" in words
    assert not (tmp_path / "run").exists()


def test_photographs_elsewhere_are_copied_from_a_folder_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"\xff\xd8\xff a photograph")
    with Project(tmp_path / "work/a.lbp") as project:
        project.add_labels(["cat"])
        one = project.add_reference(tmp_path / "photos/a.jpg", name="a.jpg")
        project.decide([Change(one.id, "cat", 1)])
    spec = f"project:{tmp_path / 'work/a.lbp'}"
    with pytest.raises(InputError, match="lies outside of"):
        write_dataset(open_dataset(spec), f"csv:{tmp_path / 'o.csv'}", images="copy")
    found = open_dataset(spec, options=ReadOptions(root=tmp_path))
    assert found.images == ("photos/a.jpg",)
    write_dataset(found, f"csv:{tmp_path / 'o.csv'}", images="copy")
    assert (tmp_path / "o_images/photos/a.jpg").read_bytes() == b"\xff\xd8\xff a photograph"
