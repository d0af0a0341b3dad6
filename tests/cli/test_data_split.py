"""`labelbeam data split`: parts and folds of drawn pictures, what it tells, and that they train."""

import csv
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from labelbeam.cli.app import with_messages
from labelbeam.cli.data import split
from labelbeam.data.dataset import ReadOptions
from labelbeam.formats.registry import open_dataset

app = typer.Typer()
app.command()(with_messages(split))


def run(*arguments: object) -> Result:
    done = CliRunner().invoke(app, [str(one) for one in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.fixture
def tags(tmp_path: Path) -> str:
    rows = [f"walk{i // 5}/{i}.jpg,{'sheep;grass' if i % 4 else 'sea'}" for i in range(40)]
    (tmp_path / "tags.csv").write_text("\n".join(["image,tags", *rows, "40.jpg,whale"]))
    return f"csv:{tmp_path / 'tags.csv'}"


def parts_of(file: Path) -> dict[str, str]:
    with file.open(newline="") as text:
        return {row["image"]: row["split"] for row in csv.DictReader(text)}


def test_parts_are_written_and_their_balance_is_reported(tags, tmp_path):
    out = tmp_path / "parts.csv"
    done = run(tags, "--parts", "train=0.75,test=0.25", "--out", out, "--missing", "keep")
    assert done.exit_code == 0, done.output
    parts = list(parts_of(out).values())
    assert (parts.count("train"), parts.count("test")) == (31, 10)
    assert "Every label is within one image of its share" in done.stdout
    assert f"csv:{out}#train" in done.stdout
    assert "this is what I understood" in done.stderr
    assert len(open_dataset(f"csv:{out}#test", options=ReadOptions(missing="keep"))) == 10


def test_the_json_is_one_object_with_every_label_and_part(tags, tmp_path):
    out = tmp_path / "parts.csv"
    done = run(tags, "--folds", 4, "--out", out, "--json", "--missing", "keep", "--seed", 3)
    told = json.loads(done.stdout)
    assert (told["images"], told["labels"], told["seed"], told["groups"]) == (41, 4, 3, None)
    assert [part["part"] for part in told["parts"]] == ["fold0", "fold1", "fold2", "fold3"]
    assert sum(told["per_label"]["sheep"]["per_part"].values()) == 30
    assert sorted(len(part["labels_without_images"]) for part in told["parts"]) == [0, 1, 1, 1]  # one whale


def test_the_same_seed_gives_the_same_file_and_groups_stay_together(tags, tmp_path):
    for name in ("a.csv", "b.csv"):
        common = ("--folds", 2, "--group-by", "match:walk[0-9]|.*", "--missing", "keep")
        done = run(tags, "--out", tmp_path / name, *common)
        assert "9 groups were kept together" in done.stdout
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
    folds = parts_of(tmp_path / "a.csv")
    for walk in range(8):
        assert len({folds[f"walk{walk}/{i}.jpg"] for i in range(5 * walk, 5 * walk + 5)}) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--folds", "5", "--parts", "a=0.5,b=0.5"], ["one of them"]),
        ([], ["--parts train=0.8", "--folds 5"]),
        (["--parts", "a=0.5"], ["at least two parts"]),
        (["--folds", "50"], ["41 images cannot be split into 50 parts"]),
        (["--folds", "2", "--group-by", "person"], ["unknown way to group", "column:NAME"]),
        (["--folds", "2", "--seed", "-1"], ["--seed must be 0 or more"]),
    ],
)
def test_what_cannot_be_done_is_reported_and_nothing_is_written(tags, tmp_path, options, words):
    done = run(tags, "--out", tmp_path / "out.csv", "--missing", "keep", *options)
    assert done.exit_code == 2
    assert all(word in done.stderr for word in words), done.stderr
    assert not (tmp_path / "out.csv").exists()


def test_a_file_that_is_there_stays(tags, tmp_path):
    (tmp_path / "out.csv").write_text("mine")
    done = run(tags, "--folds", 2, "--out", tmp_path / "out.csv", "--missing", "keep")
    assert (done.exit_code, (tmp_path / "out.csv").read_text()) == (2, "mine")
    assert "nothing is overwritten" in done.stderr
