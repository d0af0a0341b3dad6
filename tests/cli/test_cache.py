"""A cache that is full or cannot be written: the message names LABELBEAM_CACHE, and what is finished is kept."""

import errno
import json
import os
from pathlib import Path

import pytest

from labelbeam import files as whole_file


def training(drawn: Path, encoder_file: Path, out: Path) -> list[object]:
    return [
        *("train", "--data", f"csv:{drawn / 'tags.csv'}#train", "--weights", encoder_file, "--out", out),
        *("--epochs", 1, "--set", "label_model.hidden_size=16"),
    ]


def test_a_cache_that_cannot_be_written_is_named_with_the_remedy(
    command, drawn, encoder_file, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LABELBEAM_CACHE", str(tmp_path / "file" / "cache"))
    done = command(*training(drawn, encoder_file, tmp_path / "out"))
    assert done.exit_code == 2, done.output
    assert "feature cache" in done.stderr
    assert "LABELBEAM_CACHE" in done.stderr
    assert not (tmp_path / "out" / "labels.json").exists()


def test_a_full_cache_ends_training_in_words_and_what_was_written_before_is_used_again(
    command, drawn, encoder_file, tmp_path, monkeypatch
):
    monkeypatch.setenv("LABELBEAM_CACHE", str(tmp_path / "cache"))
    write, full = Path.write_bytes, False

    def no_room(path: Path, data: bytes) -> int:
        if full and path.name.startswith(".chunk"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", no_room)
    full = True
    done = command(*training(drawn, encoder_file, tmp_path / "out"))
    assert done.exit_code == 2, done.output
    assert "No space left on device" in done.stderr
    assert "LABELBEAM_CACHE" in done.stderr
    assert not list((tmp_path / "cache").rglob("*.part"))
    full = False
    again = command(*training(drawn, encoder_file, tmp_path / "out"))
    assert again.exit_code == 0, again.output


def test_tagging_needs_no_cache(command, drawn, finished, tmp_path, monkeypatch):
    monkeypatch.setenv("LABELBEAM_CACHE", str(tmp_path / "none"))
    assert command("tag", finished, drawn / "00000.png").exit_code == 0
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("verb", ["tag", "evaluate"])
def test_a_full_disk_leaves_no_half_file_and_ends_in_words(
    verb, command, drawn, finished, tmp_path, monkeypatch
):
    """The operating system's own errors, wherever they come up, are not defects of ours."""
    out = tmp_path / "out.json"
    out.write_text("{}")

    def full(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    arguments = (
        ["tag", finished, drawn / "00000.png", "--overwrite", "--out", out]
        if verb == "tag"
        else [
            "evaluate",
            finished,
            "--data",
            f"csv:{drawn / 'tags.csv'}#test",
            "--bootstrap",
            0,
            "--out",
            out,
        ]
    )
    command(*arguments[:-2])  # features are in the cache
    monkeypatch.setattr(whole_file.Path, "replace", full)
    done = command(*arguments)
    assert done.exit_code == 2, done.output
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert out.read_text() == "{}"
    # What is tagged already stays for the next call; nothing else does.
    kept = {"out.json.partial"} if verb == "tag" else set()
    assert {path.name for path in tmp_path.iterdir()} - {"out.json.job.json"} == {"out.json", *kept}


def test_a_second_training_finds_the_features_of_the_first(
    command, drawn, encoder_file, tmp_path, monkeypatch
):
    monkeypatch.setenv("LABELBEAM_CACHE", str(tmp_path / "cache"))
    command(*training(drawn, encoder_file, tmp_path / "one"))
    chunks = sorted((tmp_path / "cache").rglob("chunk-*"))
    assert chunks
    done = command(*training(drawn, encoder_file, tmp_path / "two"))
    assert done.exit_code == 0, done.output
    assert sorted((tmp_path / "cache").rglob("chunk-*")) == chunks
    metrics = [json.loads((tmp_path / run / "metrics.json").read_text()) for run in ("one", "two")]
    assert metrics[0] == metrics[1]
