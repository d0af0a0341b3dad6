"""What was clicked on the page teaches a model: page, project file, training, tags; and one more label for a run."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from labelbeam.formats.registry import open_dataset
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN
from labelbeam.project.project_file import Project
from labelbeam.runs.run_directory import load_run

NEW = "brücke <b>"


@pytest.fixture
def clicked(
    client_of: Callable[..., TestClient], drawn: Path, tmp_path: Path
) -> Iterator[tuple[Path, list[tuple[int, str, int]]]]:
    """A project in use, in which 24 photographs were tagged by clicks, and what was clicked.

    What a picture has is accepted, three of what it has not is rejected. A label that the run does not have is given to
    every second picture and rejected on the others.
    """
    data = open_dataset(f"csv:{drawn / 'tags.csv'}#train")
    file, clicks = tmp_path / "holiday.lbp", []
    with Project(file) as project:
        page = client_of(project=project)
        for row in range(24):
            path = data.path(row)
            form = [("photograph", (path.name, path.read_bytes()))]
            added = page.post("/v1/project/photographs", files=form).json()["photographs"]
            present = data.example(row).present
            absent = [name for name in data.vocabulary.names if name not in present][:3]
            said = [*((name, 1) for name in present), *((name, 0) for name in absent), (NEW, row % 2)]
            clicks += [(added[0]["id"], label, value) for label, value in said]
        assert page.post("/v1/project/labels", json={"name": NEW}).status_code == 200
        for click in clicks:
            told = dict(zip(("image", "label", "value"), click, strict=True))
            assert page.post("/v1/project/decisions", json={"changes": [told]}).status_code == 200
        yield file, clicks


@pytest.mark.parametrize("head", ["sigmoid", "cnn-rnn"])
def test_clicks_become_a_run_that_tags(
    head: str, clicked: tuple[Path, list], command: Callable, drawn: Path, encoder_file: Path, tmp_path: Path
) -> None:
    file, clicks = clicked
    out = tmp_path / head
    done = command(
        *("train", "--data", f"project:{file}", "--head", head, "--weights", encoder_file, "--out", out),
        *("--epochs", 2, "--batch-size", 16),
        *(() if head == "sigmoid" else ("--set", "label_model.hidden_size=32")),
    )
    assert done.exit_code == 0, done.output
    assert set(load_run(out).vocabulary.names) == {label for _, label, _ in clicks}
    image = next(path for path in sorted(drawn.iterdir()) if path.suffix == ".png")
    said = command("tag", out, image, "--json")
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout.splitlines()[-1])["image"] == str(image)


def test_what_was_not_clicked_is_unknown_to_the_training(clicked: tuple[Path, list]) -> None:
    file, clicks = clicked
    data = open_dataset(f"project:{file}")
    assert int((data.targets != UNKNOWN).sum()) == len(clicks)
    assert int((data.targets == PRESENT).sum()) == sum(value for _, _, value in clicks)


def test_a_run_is_extended_with_a_label_that_was_clicked(
    clicked: tuple[Path, list], finished: Path, command: Callable, drawn: Path, tmp_path: Path
) -> None:
    file, _ = clicked
    out = tmp_path / "more"
    done = command("extend-labels", finished, "--data", f"project:{file}", "--label", NEW, "--out", out)
    assert done.exit_code == 0, done.output
    assert "on 12 of 24 images" in done.stdout
    before, after = load_run(finished), load_run(out)
    assert after.vocabulary.names == (*before.vocabulary.names, NEW)
    size = before.head.options.embedding_size  # what is beyond is the new label's own
    assert np.array_equal(after.head.arrays["U_l"][:-2, :size], before.head.arrays["U_l"][:-1])
    image = next(path for path in sorted(drawn.iterdir()) if path.suffix == ".png")
    assert command("tag", out, image, "--json").exit_code == 0
