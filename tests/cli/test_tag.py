"""`labelbeam tag` in a shell: lists on standard input, pipes that close, Ctrl-C, pages of pictures."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest

from labelbeam.cli.tag import KEYWORDS, OUTPUT, VECTORS
from labelbeam.tagging.request import TagRequest

LABELBEAM = [sys.executable, "-m", "labelbeam"]


def environment(cache: Path) -> dict[str, str]:
    return {**os.environ, "LABELBEAM_CACHE": str(cache), "OMP_NUM_THREADS": "1"}


def test_every_option_is_a_field_of_the_request_and_every_field_can_be_asked_for():
    given = {"run", "images", "page_pictures"}
    fields_asked = {field.name for field in fields(TagRequest) if field.init} - given
    assert {option.field for option in (*OUTPUT, *KEYWORDS, *VECTORS)} == fields_asked


def test_names_come_from_standard_input(finished, command, drawn):
    names = "".join(f"{drawn / name}\n" for name in ("00001.png", "00000.png"))
    done = command("tag", finished, "-", input=names)
    assert done.exit_code == 0, done.output
    assert [Path(line.split("\t")[0]).name for line in done.stdout.splitlines()] == ["00001.png", "00000.png"]


def test_text_names_the_labels_with_two_decimals(finished, command, drawn):
    everything = command("tag", finished, drawn / "00000.png", "--threshold", 0).stdout
    assert re.fullmatch(r"[^\t]+\t([\w ]+ [01]\.\d\d(, |\n))+", everything)
    assert command("tag", finished, drawn / "00000.png", "--threshold", 1).stdout.endswith("\t(no label)\n")


def test_a_folder_without_images_gives_a_line_and_no_error(finished, command, tmp_path):
    done = command("tag", finished, tmp_path)
    assert (done.exit_code, done.stdout) == (0, "")
    assert f"no image found in {tmp_path}" in done.stderr


def test_a_reader_that_leaves_early_ends_it_quietly(finished, drawn, own_cache, tmp_path):
    names = tmp_path / "list.txt"
    names.write_text(f"{drawn / '00000.png'}\n" * 3000)
    with subprocess.Popen(
        [*LABELBEAM, "tag", str(finished), f"@{names}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(own_cache),
    ) as process:
        assert process.stdout is not None
        assert b"00000.png" in process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_job_goes_on_and_ends_with_the_same_bytes(finished, drawn, own_cache, tmp_path, stop):
    names, out, whole = tmp_path / "list.txt", tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    names.write_text("".join(f"{drawn / f'{i % 60:05d}.png'}\n" for i in range(8000)))
    call = [*LABELBEAM, "tag", str(finished), f"@{names}", "--out"]
    partial = tmp_path / "out.jsonl.partial"
    with subprocess.Popen([*call, str(out)], stderr=subprocess.PIPE, env=environment(own_cache)) as process:
        deadline = time.monotonic() + 240
        while not (partial.exists() and partial.stat().st_size > 100_000) and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(stop)
        _, told = process.communicate(timeout=240)
    if stop == signal.SIGINT:
        assert process.returncode == 130
        assert told.endswith(b"labelbeam: interrupted.\n")
    assert not out.exists()
    assert 0 < partial.read_bytes().count(b"\n") < 8000
    with partial.open("ab") as file:
        file.write(b'{"image": "half a li')
    again = subprocess.run([*call, str(out)], capture_output=True, env=environment(own_cache), check=True)
    assert b"are done already; going on" in again.stderr
    subprocess.run([*call, str(whole)], capture_output=True, env=environment(own_cache), check=True)
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.txt", "out.jsonl", "whole.jsonl"]


def test_a_job_of_other_settings_is_not_continued(finished, command, drawn, tmp_path):
    (tmp_path / "out.jsonl.partial").write_text("")
    (tmp_path / "out.jsonl.job.json").write_text('{"all_scores": true}')
    done = command("tag", finished, drawn / "00000.png", "--out", tmp_path / "out.jsonl")
    assert done.exit_code == 2
    assert "begun with other settings (all_scores, config, encoder, format, images, run differ)" in " ".join(
        done.stderr.split()
    )
    done = command("tag", finished, drawn / "00000.png", "--out", tmp_path / "out.jsonl", "--overwrite")
    assert done.exit_code == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 1


@pytest.fixture
def renamed(copied: Path) -> Path:
    """The run with a label that is a script, and a Japanese one."""
    file = copied / "labels.json"
    told = json.loads(file.read_text(encoding="utf-8"))
    told["names"][:2] = ["<script>alert(1)</script>", "人物"]
    file.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
    return copied


def test_the_page_shows_every_picture_small_escaped_and_without_network(
    renamed, command, drawn, tmp_path, monkeypatch
):
    monkeypatch.setattr("labelbeam.cli.tag.PAGE_PICTURES", 3)
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(4):
        shutil.copyfile(drawn / f"{i:05d}.png", photos / f"<b>{i}.png")
    (photos / "<b>1.png").write_text("no picture")
    page = tmp_path / "page.html"
    done = command("tag", renamed, photos, "--threshold", 0, "--page", page)
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) == 4
    html = page.read_text(encoding="utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "人物" in html
    assert html.count("<img ") == html.count('src="data:image/jpeg;base64,') == 2
    assert "&lt;b&gt;0.png" in html
    assert "<b>0" not in html
    assert "not an image" in html
    assert "The first 3 of 4" in html
    assert "http" not in html


def test_what_a_decided_label_implies_is_decided_too(finished, command, drawn, tmp_path):
    picture, file = drawn / "00000.png", tmp_path / "implications.txt"
    decide = ("--threshold", "0.2", "--json")
    plain = [one["label"] for one in json.loads(command("tag", finished, picture, *decide).stdout)["labels"]]
    names = json.loads((finished / "labels.json").read_text())["names"]
    added = next(name for name in names if name not in plain)
    file.write_text(f"{plain[0]} -> {added}\n")
    done = command("tag", finished, picture, *decide, "--implications", file)
    assert {one["label"] for one in json.loads(done.stdout)["labels"]} == {*plain, added}


def test_a_result_that_is_there_is_replaced_only_when_asked(finished, command, drawn, tmp_path):
    out = tmp_path / "tags.jsonl"
    for options, code in ((), 0), ((), 2), (("--overwrite",), 0):
        done = command("tag", finished, drawn / "00000.png", "--out", out, *options)
        assert done.exit_code == code
    for verb in (
        ["tag", finished, drawn / "00000.png", "--page"],
        ["data", "inspect", f"csv:{drawn / 'tags.csv'}", "--out"],
    ):
        (tmp_path / "own.csv").write_text("image,tags\n")
        done = command(*verb, tmp_path / "own.csv")
        assert done.exit_code == 2
        assert "not overwritten" in done.stderr
        assert (tmp_path / "own.csv").read_text() == "image,tags\n"


def test_two_outputs_at_one_place_are_refused(finished, command, drawn, tmp_path):
    done = command("tag", finished, drawn / "00000.png", "--out", tmp_path / "a", "--page", tmp_path / "a")
    assert done.exit_code == 2
    assert "--out and --page are both" in done.stderr


def test_an_image_that_fits_nothing_is_marked_so(finished, command, drawn):
    done = command("tag", finished, drawn / "00000.png", "--abstain", "0.999")
    assert done.stdout.endswith("(nothing fits)\n")
    told = json.loads(command("tag", finished, drawn / "00000.png", "--abstain", "0.999", "--json").stdout)
    assert (told["refused"], told["labels"]) == (True, [])
