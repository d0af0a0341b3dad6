"""Training through the command line: every head and order, exact resume, reproducible numbers."""

import csv
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from labelbeam.runs.run_directory import load_run
from tiny_runs import SMALL


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def same_model(one: Path, other: Path) -> bool:
    ours, theirs = (load_file(run / "model.safetensors") for run in (one, other))
    return ours.keys() == theirs.keys() and all((ours[key] == theirs[key]).all() for key in ours)


@pytest.mark.parametrize(
    "options",
    [
        ["--head", "sigmoid"],
        ["--head", "sigmoid-mlp"],
        ["--head", "no-rnn"],
        ["--set", "label_model.cell=paper", "--set", "label_model.activation=relu"],
        ["--set", "label_model.cell=paper-gated", "--recipe", "paper"],
        ["--order", "rare"],
        ["--order", "random", "--seed", "3"],
        ["--order", "shuffle", "--set", "label_model.allowed=no-repeat"],
        ["--recipe", "paper"],
        ["--val-fraction", "0"],
    ],
    ids=" ".join,
)
def test_every_choice_trains_evaluates_and_tags(options, train, command, drawn, tmp_path):
    run = train(tmp_path / "run", *options)
    assert len(rows_of(run)) == 2
    evaluated = command("evaluate", run, "--data", f"csv:{drawn / 'tags.csv'}#test", "--bootstrap", 0)
    assert evaluated.exit_code == 0, evaluated.output
    assert "subset_accuracy" in evaluated.stdout
    tagged = command("tag", run, drawn / "00000.png", drawn / "00001.png")
    assert tagged.exit_code == 0, tagged.output
    assert len(tagged.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ([], ("identity", 1.0, True)),
        (["--set", "label_model.per_label=0"], ("identity", 0.0, True)),
        (["--set", "label_model.activation=relu"], ("relu", 1.0, True)),
        (["--recipe", "paper"], ("identity", 0.0, False)),
        (["--finetune"], ("identity", 1.0, True)),
    ],
    ids=["by default", "without", "relu", "paper", "end to end"],
)
def test_photographs_get_one_head_for_scores_and_sets_and_what_is_asked_wins(
    options, chosen, train, tmp_path
):
    config = load_run(train(tmp_path / "run", *options)).config.label_model
    assert (config.activation, config.per_label, config.per_label_detached) == chosen


def test_without_validation_all_epochs_are_trained_and_the_last_is_kept(train, tmp_path):
    run = train(tmp_path / "run", "--val-fraction", 0, "--epochs", 3, "--set", "recipe.patience=1")
    assert [row["epoch"] for row in rows_of(run)] == ["1", "2", "3"]
    assert "val_nats" not in rows_of(run)[0]
    assert "best 3" in (run / "config.yaml").read_text(encoding="utf-8")


def test_fine_tuning_changes_the_encoder_and_its_features_are_not_those_in_the_cache(
    train, command, finished, drawn, tmp_path
):
    run = train(tmp_path / "run", "--finetune", "--val-fraction", 0)
    before, after = (load_file(folder / "encoder.safetensors") for folder in (finished, run))
    assert any((before[key] != after[key]).any() for key in before)
    spec = f"csv:{drawn / 'tags.csv'}#test"
    scores = [command("evaluate", run, "--data", spec, "--bootstrap", 0, "--json").stdout for _ in range(2)]
    assert scores[0] == scores[1]
    # The head of one with the encoder of the other answers otherwise: features came from this encoder.
    stale = tmp_path / "stale"
    stale.mkdir()
    for file in run.iterdir():
        (stale / file.name).write_bytes(file.read_bytes())
    (stale / "encoder.safetensors").write_bytes((finished / "encoder.safetensors").read_bytes())
    other = command("evaluate", stale, "--data", spec, "--bootstrap", 0, "--json").stdout
    assert other.replace(str(stale), str(run)) != scores[0]


def test_a_changed_image_is_encoded_again(train, command, drawn, tmp_path, finished):
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copyfile(drawn / "00000.png", folder / "a.png")
    (folder / "tags.csv").write_text("image,tags\na.png,holiday\n", encoding="utf-8")

    def scored() -> str:
        out = folder / "p.jsonl"
        done = command(
            *("evaluate", finished, "--data", f"csv:{folder / 'tags.csv'}", "--bootstrap", 0),
            *("--predictions", out, "--json"),
        )
        assert done.exit_code == 0, done.output
        return out.read_text(encoding="utf-8")

    before = scored()
    shutil.copyfile(drawn / "00007.png", folder / "a.png")
    assert scored() != before
    shutil.copyfile(drawn / "00000.png", folder / "a.png")
    assert scored() == before


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(train, finished, tmp_path):
    again = train(tmp_path / "again")
    assert rows_of(again) == rows_of(finished)
    assert same_model(again, finished)
    assert not same_model(train(tmp_path / "other", "--seed", 1), finished)


KILLED = """
import os, signal, threading
from labelbeam.cli.app import main
from labelbeam.training import train
line, killer = train.epoch_line, threading.Timer(0.03, os.kill, (os.getpid(), signal.SIGKILL))
def third(row, epochs):  # is killed within its third epoch, or just after it
    if row["epoch"] == 2:
        killer.start()
    elif row["epoch"] > 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return line(row, epochs)
train.epoch_line = third
main()
"""


def test_a_killed_training_resumes_to_exactly_what_it_would_have_been(
    train, command, drawn, encoder_file, own_cache, tmp_path
):
    options = ["--epochs", "6", "--set", "recipe.patience=0", "--batch-size", "8"]
    whole = train(tmp_path / "whole", *options)
    run = tmp_path / "killed"
    asked = ["train", "--data", f"csv:{drawn / 'tags.csv'}#train", "--out", str(run)]
    asked += ["--weights", str(encoder_file), *SMALL, *options]
    environment = {**os.environ, "LABELBEAM_CACHE": str(own_cache), "OMP_NUM_THREADS": "1"}
    process = subprocess.run([sys.executable, "-c", KILLED, *asked], env=environment, capture_output=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert (run / "resume.safetensors").exists()
    assert not (run / "labels.json").exists()
    assert 1 <= len(rows_of(run)) < 6
    refused = command(*asked)
    assert refused.exit_code == 2
    assert "--resume" in refused.stderr
    other = command(*asked, "--resume", "--learning-rate", 0.5)
    assert other.exit_code == 2
    assert "other settings" in other.stderr
    resumed = command(*asked, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert rows_of(run) == rows_of(whole)
    assert same_model(run, whole)
    assert not (run / "resume.safetensors").exists()


def test_an_interrupted_training_is_not_continued_with_another_encoder(
    train, command, drawn, encoder_file, tmp_path, monkeypatch
):
    """Another one under the same name: as its file was trained anew between the two halves."""
    from labelbeam.encoders.catalogue import load_encoder
    from labelbeam.encoders.image_encoder import save_encoder

    own = tmp_path / "own.safetensors"
    shutil.copyfile(encoder_file, own)
    options = ["--data", f"csv:{drawn / 'tags.csv'}#train", "--out", tmp_path / "run", "--weights", own]
    options += ["--head", "sigmoid", "--epochs", 2, "--batch-size", 16]

    def killed(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("labelbeam.training.train.epoch_line", killed)
        assert command("train", *options).exit_code != 0
    assert (tmp_path / "run" / "resume.safetensors").exists()
    other = load_encoder(own)
    next(other.module.parameters()).data *= 1.5
    own.unlink()
    save_encoder(other, own)
    refused = command("train", *options, "--resume")
    assert refused.exit_code == 2, refused.output
    assert "other settings" in " ".join(refused.stderr.split())
    own.unlink()
    shutil.copyfile(encoder_file, own)
    assert command("train", *options, "--resume").exit_code == 0


def test_an_encoder_whose_share_of_the_rate_is_zero_stays_as_it_was(train, finished, tmp_path):
    run = train(tmp_path / "run", "--finetune", "--epochs", 1, "--set", "recipe.encoder_rate=0")
    before, after = (load_file(folder / "encoder.safetensors") for folder in (finished, run))
    learned = [key for key in before if "running" not in key and "num_batches" not in key]
    assert learned
    assert all((before[key] == after[key]).all() for key in learned)
