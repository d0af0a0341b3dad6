"""`labelbeam tag` in a shell: lists on standard input, pipes that close, Ctrl-C, pages of pictures."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LABELBEAM = [sys.executable, "-m", "labelbeam"]


def environment(cache: Path) -> dict[str, str]:
    return {**os.environ, "LABELBEAM_CACHE": str(cache), "OMP_NUM_THREADS": "1"}


def test_names_come_from_standard_input(finished, command, drawn):
    names = "".join(f"{drawn / name}\n" for name in ("00001.png", "00000.png"))
    done = command("tag", finished, "-", input=names)
    assert done.exit_code == 0, done.output
    assert [Path(line.split("\t")[0]).name for line in done.stdout.splitlines()] == ["00001.png", "00000.png"]


def test_text_names_the_labels_with_two_decimals(finished, command, drawn):
    everything = command("tag", finished, drawn / "00000.png", "--threshold", 0).stdout
    assert re.fullmatch(r"[^\t]+\t([\w ]+ [01]\.\d\d(, |\n))+", everything)
    assert command("tag", finished, drawn / "00000.png", "--threshold", 1).stdout.endswith("\t(no label)\n")


def test_nothing_to_tag_is_said(finished, command, tmp_path):
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


def test_an_interrupt_ends_it_with_a_word_and_without_a_half_file(finished, drawn, own_cache, tmp_path):
    names, out = tmp_path / "list.txt", tmp_path / "out.jsonl"
    names.write_text(f"{drawn / '00000.png'}\n" * 200_000)
    with subprocess.Popen(
        [*LABELBEAM, "tag", str(finished), f"@{names}", "--out", str(out)],
        stderr=subprocess.PIPE,
        env=environment(own_cache),
    ) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".out.jsonl.*.part")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told == b"labelbeam: interrupted.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["list.txt"]


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
    monkeypatch.setattr("labelbeam.verbs.tag.PAGE_PICTURES", 3)
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
