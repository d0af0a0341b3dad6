"""`labelbeam data inspect` as a user runs it."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from labelbeam.cli.app import with_messages
from labelbeam.cli.data import _as_json, _write, inspect
from labelbeam.data.dataset import Dataset
from labelbeam.inspect.inspection import inspect_data, show_inspection
from labelbeam.inspect.page import inspection_page
from labelbeam.labels.vocabulary import Vocabulary


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(with_messages(inspect))

    def run(*arguments):
        done = CliRunner().invoke(app, [str(one) for one in arguments])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


def test_text_json_file_and_page_come_from_one_call(run, drawn, tmp_path):
    train, test = (f"csv:{drawn / 'tags.csv'}#{split}" for split in ("train", "test"))
    page, out = tmp_path / "page.html", tmp_path / "out.json"
    done = run(train, "--val", test, "--page", page, "--out", out)
    assert (done.exit_code, done.stdout) == (0, "")
    printed = run(train, "--val", test, "--json")
    assert json.loads(printed.stdout) == json.loads(out.read_text(encoding="utf-8"))
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    text = run(train, "--val", test)
    assert text.stdout.startswith("train: 48 images,")
    assert "What deserves a look" in text.stdout


def test_the_number_of_pairs_is_the_user_s(run, drawn):
    found = json.loads(run(f"csv:{drawn / 'tags.csv'}", "--pairs", 1, "--no-images", "--json").stdout)
    assert len(found["pairs"]["together"]["strongest"]) == 1
    assert found["pairs"]["together"]["count"] > 1
    assert found["images"]["read"] is False


def test_a_file_name_that_is_not_utf_8_is_reported_everywhere(tmp_path, capsys):
    name = "caf\udce9.png"  # as Python spells the byte 0xE9
    data = Dataset("x", tmp_path, (name, "b.png"), Vocabulary(("cat",)), np.eye(2, 1, dtype=np.int8))
    found = inspect_data({"all": data})
    assert json.loads(_as_json(found))["images"]["unreadable"][0]["image"] == name
    _write(tmp_path / "page.html", inspection_page(found, {"all": data}))
    assert "caf?.png" in (tmp_path / "page.html").read_text(encoding="utf-8")
    show_inspection(found)
    assert "caf\\udce9.png" in capsys.readouterr().out


WRONG = [
    (["csv:gone.csv"], ["gone.csv", "does not exist"]),
    (["scenes#val", "--val", "scenes#val"], ["given twice"]),
    (["scenes#val", "--missing", "skip"], ["has no option --missing"]),
    (["scenes#val", "--page", "nowhere/page.html"], ["--page", "no folder nowhere"]),
    (["scenes#val", "--out", "nowhere/a.json"], ["--out", "no folder nowhere"]),
    (["scenes#val", "--out", "a.json", "--page", "a.json"], ["same file", "two files"]),
    (["scenes#val", "--pairs", "0"], ["--pairs"]),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG)
def test_wrong_options_are_explained(arguments, words, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    assert all(word in done.stderr for word in words), done.stderr
    assert list(tmp_path.iterdir()) == []
