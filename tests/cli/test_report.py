"""`labelbeam report` as a user runs it: one page, its numbers beside it, nothing a user wrote as markup."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from labelbeam.cli.app import with_messages
from labelbeam.cli.report import report

WICKED = "<script>alert(1)</script>"


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(with_messages(report))

    def run(*arguments):
        done = CliRunner().invoke(app, [str(one) for one in arguments])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


@pytest.fixture
def wicked(copied, drawn, tmp_path) -> tuple[Path, str]:
    """A run and data in which the most frequent label is called `<script>…`."""
    labels = json.loads((copied / "labels.json").read_text(encoding="utf-8"))
    name = labels["names"][0]
    labels["names"][0] = WICKED
    (copied / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    folder = Path(shutil.copytree(drawn, tmp_path / "drawn"))
    rows = (folder / "tags.csv").read_text(encoding="utf-8")
    (folder / "tags.csv").write_text(re.sub(rf"\b{name}\b", WICKED, rows), encoding="utf-8")
    return copied, f"csv:{folder / 'tags.csv'}#test"


class Tags(HTMLParser):
    """Names of all elements, and addresses that a browser would fetch or follow."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]


def test_the_page_is_one_file_and_its_numbers_stand_beside_it(run, wicked, tmp_path):
    folder, data = wicked
    out = tmp_path / "report.html"
    done = run(
        *(folder, "--data", data, "--beside", folder, "--out", out, "--images", 3, "--bootstrap", 20),
        *("--combinations", "keep"),
    )
    assert done.exit_code == 0, done.output
    page, found = out.read_text(encoding="utf-8"), json.loads(out.with_suffix(".json").read_text("utf-8"))
    parser = Tags()
    parser.feed(page)
    assert "script" not in parser.seen
    assert "&lt;script&gt;alert(1)" in page
    assert all(one.startswith(("data:", "#")) for one in parser.addresses)
    assert {one[1:] for one in parser.addresses if one[0] == "#"} == set(
        re.findall('<section id="(.+?)"', page)
    )
    assert [one["why"] for one in found["images"]] == ["worst", "worst", "random"]
    assert f"{found['calibration']['mean_label_ece'] * 100:.2f} averaged" in page
    low, high = (100 * found["scores"]["intervals"]["of"]["OF1"][end] for end in ("low", "high"))
    assert f"<td>{low:.1f} to {high:.1f}</td>" in page
    assert {one["difference"] for one in found["scores"]["versus"]["differences"].values()} == {0}
    assert found["search"]["image"] == found["images"][0]["image"]
    assert found["images"][0]["explanation"]["steps"]


def test_what_is_missing_is_named_in_a_sentence(run, train, drawn, tmp_path):
    folder = train(tmp_path / "softmax", "--head", "softmax", "--epochs", 1, "--val-fraction", 0)
    (folder / "log.csv").unlink()
    config = (folder / "config.yaml").read_text(encoding="utf-8")
    (folder / "config.yaml").write_text(config.replace("tags.csv#train", "gone.csv"), encoding="utf-8")
    out = tmp_path / "report.html"
    done = run(
        folder, "--data", f"csv:{drawn / 'tags.csv'}#test", "--out", out, "--images", 1, "--bootstrap", 0
    )
    assert done.exit_code == 0, done.output
    page, found = out.read_text(encoding="utf-8"), json.loads(out.with_suffix(".json").read_text("utf-8"))
    for part in ("training", "pairs", "search", "label_errors"):
        assert found[part] is None
        assert found["missing"][part]
    assert found["failures"]["sizes"] is None
    for words in ("no log.csv", "gone.csv", "voc2007", "ranking", "no search to show"):
        assert words in page, words
    assert "95 % interval</th>" not in page.partition('id="training"')[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--out", "report.pdf"], [".html"]),
        (["--out", "no/where/report.html"], ["no folder"]),
        (["--out", "report.html", "--bootstrap", "1"], ["at least 2"]),
        (["--out", "report.html", "--answer-at-most", "1"], ["--answer-at-most", "2"]),
    ],
)
def test_wrong_options_are_explained(options, words, run, finished, drawn):
    done = run(finished, "--data", f"csv:{drawn / 'tags.csv'}#test", *options)
    assert done.exit_code == 2, done.output
    assert all(word in done.output for word in words), done.output


def test_images_of_the_training_data_are_counted_at_the_top(run, finished, drawn, tmp_path):
    out = tmp_path / "report.html"
    data = f"csv:{drawn / 'tags.csv'}"
    done = run(finished, "--data", data, "--out", out, "--images", 0, "--bootstrap", 0)
    assert done.exit_code == 0, done.output
    found = json.loads(out.with_suffix(".json").read_text("utf-8"))
    assert found["about"]["images_in_training_data"] == 48
    assert "48 of the 60 images are among the training data" in out.read_text(encoding="utf-8")


def test_of_many_images_some_are_drawn_and_the_page_says_so(run, finished, drawn, tmp_path):
    out, data = tmp_path / "report.html", f"csv:{drawn / 'tags.csv'}#test"
    options = ("--images", 1, "--bootstrap", 0, "--answer-at-most", 7)
    pages = []
    for seed in (3, 3, 4):
        done = run(finished, "--data", data, "--out", out, *options, "--seed", seed)
        assert done.exit_code == 0, done.output
        pages.append(json.loads(out.with_suffix(".json").read_text("utf-8")))
    assert [pages[0]["about"][key] for key in ("images", "images_drawn", "images_given")] == [7, 7, 12]
    assert pages[0]["scores"]["protocol"]["images"] == 7
    assert pages[0]["scores"] == pages[1]["scores"] != pages[2]["scores"]
    assert "7 of 12 images, drawn at random (seed 4)" in out.read_text(encoding="utf-8")
    run(finished, "--data", data, "--out", out, *options[:4], "--answer-at-most", 12)
    assert json.loads(out.with_suffix(".json").read_text("utf-8"))["about"]["images_drawn"] is None
