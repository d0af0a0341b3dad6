"""The run directory: moves to another machine as it is; what is damaged or malicious is refused in words."""

import json
import os
import pickle
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from labelbeam.errors import InputError
from labelbeam.runs.run_directory import load_run, save_run
from labelbeam.runs.tagger import Tagger


@pytest.mark.parametrize("head", ["cnn-rnn", "no-rnn", "sigmoid", "sigmoid-mlp"])
def test_a_run_loads_as_it_was_and_saves_the_same_bytes(head, train, tmp_path):
    run = load_run(train(tmp_path / "run", "--head", head, "--epochs", 1))
    again = tmp_path / "again"
    again.mkdir()
    save_run(run, again, opening=[])
    for name in ("model.safetensors", "encoder.safetensors", "preprocess.json"):
        assert (again / name).read_bytes() == (tmp_path / "run" / name).read_bytes(), name
    labels = [json.loads((folder / "labels.json").read_text()) for folder in (again, tmp_path / "run")]
    for one in labels:
        del one["files"]["config.yaml"]  # its opening lines say how it was made
    assert labels[0] == labels[1]
    assert load_run(again).config == run.config
    assert run.config.head == head
    assert sum(run.counts) > 0


def test_on_another_machine_without_cache_or_training_data_it_tags_the_same(
    train, drawn, tmp_path, monkeypatch
):
    here, there = tmp_path / "here", tmp_path / "there"
    monkeypatch.setenv("LABELBEAM_CACHE", str(tmp_path / "cache"))
    train(here, "--epochs", 1)
    pictures = sorted(drawn.glob("*.png"))[:3]
    before = [prediction.to_json() for prediction in Tagger.load(here).tag(pictures)]
    shutil.copytree(here, there)
    shutil.rmtree(here)
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    monkeypatch.setenv("LABELBEAM_CACHE", str(tmp_path / "none"))
    assert [prediction.to_json() for prediction in Tagger.load(there).tag(pictures)] == before
    assert not (tmp_path / "none").exists()


def test_a_run_that_cannot_be_written_leaves_the_older_one_whole(finished, copied, monkeypatch):
    run = load_run(finished)
    before = {path.name: path.read_bytes() for path in copied.iterdir()}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("labelbeam.runs.run_directory.save_file", full)
    with pytest.raises(InputError, match=r"cannot be written .*No space left on device.* Make room"):
        save_run(replace(run, metrics={"new": True}), copied, opening=["new"])
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before


def test_others_may_read_a_run_as_far_as_the_users_umask_lets_them(train, tmp_path):
    before = os.umask(0o027)
    try:
        run = train(tmp_path / "run", "--epochs", 1)
    finally:
        os.umask(before)
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in run.iterdir()} == {
        path.name: "0o640" for path in run.iterdir()
    }


def test_without_room_in_the_cache_the_encoder_is_written_all_the_same(finished, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LABELBEAM_CACHE", str(tmp_path / "file"))
    run = load_run(finished)
    (tmp_path / "run").mkdir()
    save_run(run, tmp_path / "run", opening=[])
    assert load_run(tmp_path / "run").encoder.identity == run.encoder.identity


def cut(run: Path, name: str) -> None:
    (run / name).write_bytes((run / name).read_bytes()[:-100])


def huge_header(run: Path, name: str) -> None:
    (run / name).write_bytes(struct.pack("<Q", 2**62) + b"{}")


class Malicious:
    """Unpickled, it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.mark),)


def pickled(run: Path, name: str) -> None:
    (run / name).write_bytes(pickle.dumps(Malicious(run / "executed")))


def test_the_malicious_pickle_does_act_where_it_is_unpickled(tmp_path):
    pickle.loads(pickle.dumps(Malicious(tmp_path / "executed")))
    assert (tmp_path / "executed").is_dir()


def says(run: Path, **changes: object) -> None:
    """Change what encoder.safetensors says of itself."""
    path = run / "encoder.safetensors"
    size = struct.unpack("<Q", path.read_bytes()[:8])[0]
    told = json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]["labelbeam_encoder"]
    save_file(load_file(path), path, metadata={"labelbeam_encoder": json.dumps(json.loads(told) | changes)})


def labels(run: Path, **changes: object) -> None:
    told = json.loads((run / "labels.json").read_text(encoding="utf-8"))
    (run / "labels.json").write_text(json.dumps(told | changes), encoding="utf-8")


SPOILED = {
    "no model": (
        lambda run: (run / "model.safetensors").unlink(),
        ["not a finished run", "model.safetensors"],
    ),
    "no labels": (
        lambda run: (run / "labels.json").unlink(),
        ["not a finished run", "labels.json", "--resume"],
    ),
    "a cut model": (lambda run: cut(run, "model.safetensors"), ["model.safetensors", "does not fit"]),
    "a cut encoder": (lambda run: cut(run, "encoder.safetensors"), ["encoder.safetensors", "not a whole"]),
    "a pickle for a model": (lambda run: pickled(run, "model.safetensors"), ["model.safetensors"]),
    "a pickle for an encoder": (lambda run: pickled(run, "encoder.safetensors"), ["encoder.safetensors"]),
    "a pickle for a configuration": (lambda run: pickled(run, "config.yaml"), ["config.yaml", "not YAML"]),
    "a huge header": (lambda run: huge_header(run, "model.safetensors"), ["model.safetensors"]),
    "a huge header of the encoder": (lambda run: huge_header(run, "encoder.safetensors"), ["not a whole"]),
    "one label": (lambda run: labels(run, names=["a"], counts=[1]), ["does not fit", "labels.json"]),
    "fewer counts than names": (lambda run: labels(run, counts=[1]), ["labels.json", "1 counts"]),
    "names that are none": (lambda run: labels(run, names=None), ["labels.json", "'names' and 'counts'"]),
    "a name twice": (lambda run: labels(run, names=["a", "a"], counts=[1, 1]), ["labels.json"]),
    "labels that are a list": (
        lambda run: (run / "labels.json").write_text("[]"),
        ["labels.json", "'names' and 'counts'"],
    ),
    "labels that are no JSON": (
        lambda run: (run / "labels.json").write_text("{"),
        ["labels.json", "not JSON"],
    ),
    "an unknown key": (
        lambda run: (run / "config.yaml").write_text("heads: sigmoid\n"),
        ["config.yaml", "unknown key 'heads'", "'head'"],
    ),
    "an unknown head": (
        lambda run: (run / "config.yaml").write_text("head: transformer\n"),
        ["config.yaml", "unknown head 'transformer'"],
    ),
    "another head": (
        lambda run: (run / "config.yaml").write_text("head: sigmoid\n"),
        ["does not fit", "config.yaml"],
    ),
    "an architecture of nobody": (
        lambda run: says(run, architecture="os.system"),
        ["unknown encoder architecture 'os.system'"],
    ),
    "a path for an architecture": (
        lambda run: says(run, architecture="../../../bin/sh"),
        ["unknown encoder architecture"],
    ),
    "a model of the network": (
        lambda run: says(run, architecture="timm", arguments={"model": "hf-hub:somebody/something"}),
        ["hf-hub:somebody/something"],
    ),
    "arguments of nobody": (
        lambda run: says(run, arguments={"command": "rm"}),
        ["encoder.safetensors", "arguments"],
    ),
    "arguments that are none": (lambda run: says(run, arguments=3), ["encoder.safetensors"]),
    "a transform of nobody": (lambda run: says(run, preprocess={"size": "big"}), ["encoder.safetensors"]),
    "a transform of another size": (
        lambda run: says(run, num_features=7),
        ["does not fit"],
    ),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_spoiled_run_is_refused_in_words_and_runs_nothing(case, copied, command, drawn):
    spoil, words = SPOILED[case]
    # The encoder is a hard link: a test must not write through it.
    for name in ("encoder.safetensors", "model.safetensors"):
        content = (copied / name).read_bytes()
        (copied / name).unlink()
        (copied / name).write_bytes(content)
    spoil(copied)
    done = command("tag", copied, drawn / "00000.png")
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert [word for word in words if word not in done.stderr] == [], done.stderr
    assert not (copied / "executed").exists()
