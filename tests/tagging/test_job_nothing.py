"""The share of photographs that show nothing: found from a job's own, said, kept when it goes on, and for free."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from labelbeam.runs.tagger import Tagger
from labelbeam.tagging.job import watch
from labelbeam.tagging.outputs import Recorded
from labelbeam.tagging.request import TagRequest

SAID = "shows none of the labels (in training: hardly any)"


@pytest.fixture(scope="module")
def run(train, tmp_path_factory) -> Path:
    """A run of two epochs, which takes nearly every picture for one that shows nothing."""
    options = ("label_model.nothing=independent", "search.estimate_nothing=true", "suggester=false")
    return train(
        tmp_path_factory.mktemp("run") / "run", *(part for one in options for part in ("--set", one))
    )


@pytest.fixture
def pictures(drawn, tmp_path) -> Path:
    """A folder of 120 pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for picture in sorted(drawn.glob("*.png")):
        for copy in "ab":
            shutil.copyfile(picture, folder / f"{picture.stem}{copy}.png")
    return folder


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """The names of the pictures that are read, as they are."""
    names: list[str] = []
    features = Tagger.features

    def noted(self, images):
        for name, vector in features(self, images):
            names.append(name)
            yield name, vector

    monkeypatch.setattr(Tagger, "features", noted)
    return names


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_it_is_found_from_the_pictures_each_read_once_and_every_line_says_it(
    run, pictures, command, tmp_path, read
):
    done = command("tag", run, pictures, "--out", tmp_path / "a.jsonl")
    assert done.exit_code == 0, done.output
    (said,) = [line for line in done.stderr.splitlines() if SAID in line]
    assert "by 120 of the images" in said
    assert "--nothing train" in said
    assert len(read) == len(set(read)) == 120
    found = lines(tmp_path / "a.jsonl")
    (share,) = {one["nothing"] for one in found}
    assert f"a share of {share:.3f}" in said
    assert [one["image"] for one in found] == [str(path) for path in sorted(pictures.iterdir())]
    told = command("tag", run, pictures, "--nothing", share, "--out", tmp_path / "b.jsonl")
    assert SAID not in told.stderr
    for one, two in zip(found, lines(tmp_path / "b.jsonl"), strict=True):
        assert one["path"] == two["path"]
        assert one["log_prob"] == pytest.approx(two["log_prob"], abs=1e-3)


@pytest.mark.parametrize(
    ("said", "used"),
    [
        (("--nothing", "train"), None),
        (("--threshold", 0.5), None),
        (("--set", "search.estimate_nothing=false"), None),
        (("--set", "search.nothing=0.3"), 0.3),
    ],
)
def test_it_is_not_looked_for_where_something_else_was_said(run, pictures, command, tmp_path, said, used):
    done = command("tag", run, pictures, *said, "--out", tmp_path / "a.jsonl")
    assert done.exit_code == 0, done.output
    assert SAID not in done.stderr
    assert {one.get("nothing") for one in lines(tmp_path / "a.jsonl")} == {used}


def test_few_pictures_are_taken_as_in_training(run, pictures, command, tmp_path):
    for path in sorted(pictures.iterdir())[99:]:
        path.unlink()
    done = command("tag", run, pictures, "--out", tmp_path / "a.jsonl")
    assert SAID not in done.stderr
    assert "nothing" not in lines(tmp_path / "a.jsonl")[0]
    asked = command("tag", run, pictures, "--nothing", "estimate", "--out", tmp_path / "b.jsonl")
    assert "by 99 of the images" in asked.stderr


def test_a_job_that_goes_on_keeps_the_share_that_it_was_begun_with(run, pictures, command, tmp_path, read):
    later = tmp_path / "later"
    later.mkdir()
    for path in sorted(pictures.iterdir())[110:]:
        shutil.move(path, later)
    job = ("tag", run, pictures, "--update", "--out", tmp_path / "a.jsonl")
    assert command(*job).exit_code == 0
    before = lines(tmp_path / "a.jsonl")
    read.clear()
    for path in later.iterdir():
        shutil.move(path, pictures)
    done = command(*job)
    assert done.exit_code == 0, done.output
    assert "as when this was begun, a share of" in done.stderr
    assert len(read) == 10
    after = lines(tmp_path / "a.jsonl")
    assert len(after) == 120
    assert after[:110] == before
    assert {one["nothing"] for one in after} == {before[0]["nothing"]}


def test_watch_goes_on_with_the_share_of_tag_and_looks_for_none_of_its_own(run, pictures, command, tmp_path):
    out = tmp_path / "a.jsonl"
    first = sorted(pictures.iterdir())[0]
    kept = shutil.copyfile(first, tmp_path / "later.png")
    first.unlink()
    assert command("tag", run, pictures, "--update", "--out", out).exit_code == 0
    shares = {one["nothing"] for one in lines(out)}
    shutil.copyfile(kept, first)
    heard: list[str] = []
    request = TagRequest(run=run, images=[str(pictures)], out=out, update=True)
    watch(request, {}, rounds=1, settled=0.0, report=heard.append)
    assert len(lines(out)) == 120
    assert {one["nothing"] for one in lines(out)} == shares
    alone = tmp_path / "alone.jsonl"
    watch(
        TagRequest(run=run, images=[str(pictures)], out=alone), {}, rounds=1, settled=0.0, report=heard.append
    )
    assert "nothing" not in lines(alone)[0]


def test_a_store_gets_every_vector_once_and_is_asked_without_pictures(run, pictures, command, tmp_path, read):
    stored = ("--store", tmp_path / "store")
    done = command("tag", run, pictures, *stored, "--out", tmp_path / "a.jsonl")
    assert done.exit_code == 0, done.output
    assert len(read) == 120
    read.clear()
    again = command("tag", run, *stored, "--out", tmp_path / "b.csv")
    assert again.exit_code == 0, again.output
    assert "by 120 of the images" in again.stderr
    assert not read
    with (tmp_path / "b.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    shares = {round(float(one["nothing"]), 6) for one in rows}
    assert shares == {one["nothing"] for one in lines(tmp_path / "a.jsonl")}


def test_an_interrupted_job_goes_on_with_the_share_of_its_first_part(
    run, pictures, command, tmp_path, monkeypatch
):
    whole, out, write = tmp_path / "whole.jsonl", tmp_path / "a.jsonl", Recorded.write
    assert command("tag", run, pictures, "--out", whole).exit_code == 0
    written: list[str] = []

    def interrupted(self, prediction):
        if len(written) == 70:
            raise OSError("the disk is full")
        written.append(prediction.image)
        write(self, prediction)

    monkeypatch.setattr(Recorded, "write", interrupted)
    with pytest.raises(OSError, match="full"):
        command("tag", run, pictures, "--out", out)
    monkeypatch.undo()
    for path in sorted(pictures.iterdir())[:30]:  # another look would find another share
        shutil.copyfile(path, pictures / f"z{path.name}")
    done = command("tag", run, pictures, "--out", out)
    assert done.exit_code == 0, done.output
    assert "as when this was begun" in done.stderr
    assert len(lines(out)) == 150
    assert lines(out)[:120] == lines(whole)
    assert {one["nothing"] for one in lines(out)} == {lines(whole)[0]["nothing"]}
