"""`labelbeam tag` over many files: formats, kills, statuses, stored vectors, a cluster."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

if os.name != "nt":
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    from faults import Command, until

LABELBEAM = [sys.executable, "-m", "labelbeam"]
LOW = ("--threshold", "0.05")
"""So that the small run says something."""


def environment(cache: Path) -> dict[str, str]:
    return {**os.environ, "LABELBEAM_CACHE": str(cache), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def mixed(drawn: Path, tmp_path: Path) -> Path:
    """A list of three readable files, one damaged, one that is not there."""
    broken = tmp_path / "broken.png"
    broken.write_bytes((drawn / "00003.png").read_bytes()[:200])
    names = [drawn / "00001.png", broken, drawn / "00000.png", tmp_path / "gone.png", drawn / "00002.png"]
    (tmp_path / "mixed.txt").write_text("".join(f"{name}\n" for name in names))
    return tmp_path / "mixed.txt"


def test_the_suffix_or_format_decides_and_every_file_has_a_status(finished, mixed, command, tmp_path):
    for name, options in (("a.csv", ()), ("a", ("--format", "csv")), ("a.parquet", ())):
        done = command("tag", finished, f"@{mixed}", "--out", tmp_path / name, *LOW, *options)
        assert done.exit_code == 0, done.output
        assert "2 of 5 files could not be read" in done.stderr
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "a").read_bytes()
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["ok", "unreadable", "ok", "unreadable", "ok"]
    assert "no such file" in rows[3]["error"]
    assert rows[0]["tags"]
    parquet = pytest.importorskip("pyarrow.parquet").read_table(tmp_path / "a.parquet").to_pylist()
    assert [row["status"] for row in parquet] == [row["status"] for row in rows]
    assert ";".join(parquet[0]["labels"]) == rows[0]["tags"]


def test_sidecars_go_beside_the_images_and_the_record_says_what_became_of_each(
    finished, drawn, command, tmp_path
):
    photos = tmp_path / "photos"
    (photos / "deep").mkdir(parents=True)
    for name in ("a.png", "deep/b.png"):
        shutil.copyfile(drawn / "00000.png", photos / name)
    (photos / "c.png").write_bytes(b"no picture")
    (photos / "a.txt").write_text("by hand")
    done = command("tag", finished, photos, "--format", "txt", "--out", photos, *LOW)
    assert done.exit_code == 0, done.output
    assert "1 sidecars were not written" in done.stderr
    assert (photos / "a.txt").read_text() == "by hand"
    assert (photos / "deep" / "b.txt").read_text().strip()
    record = [json.loads(line) for line in (photos / "tags.jsonl").read_text().splitlines()]
    assert [Path(one["image"]).name for one in record] == ["a.png", "c.png", "b.png"]
    assert ["not_written" in one for one in record] == [True, False, False]
    assert "error" in record[1]
    done = command("tag", finished, photos, "--format", "xmp", "--out", photos, "--overwrite", *LOW)
    assert done.exit_code == 0, done.output
    assert (photos / "deep" / "b.png.xmp").exists()
    if shutil.which("exiftool"):
        told = subprocess.run(
            ["exiftool", "-json", "-Subject", photos / "a.png.xmp"], capture_output=True, check=True
        )
        subject = json.loads(told.stdout)[0]["Subject"]
        assert (subject if isinstance(subject, list) else [subject]) == [
            one["label"] for one in record[0]["labels"]
        ]


def test_a_job_of_which_nothing_could_be_read_fails_and_keeps_its_record(finished, command, tmp_path):
    (tmp_path / "list.txt").write_text("gone.png\nlost.png\n")
    done = command("tag", finished, f"@{tmp_path / 'list.txt'}", "--out", tmp_path / "out.jsonl")
    assert done.exit_code == 2
    assert "none of 2 files could be read. The first: gone.png: no such file" in done.stderr
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is not on Windows")
def test_a_job_killed_again_and_again_ends_with_the_bytes_of_an_unbroken_one(
    finished, drawn, command, own_cache, tmp_path
):
    names, out = tmp_path / "list.txt", tmp_path / "out.csv"
    names.write_text("".join(f"{drawn / f'{i % 60:05d}.png'}\n" for i in range(600)))
    partial, dice = tmp_path / "out.csv.partial", random.Random(7)
    call = ["tag", finished, f"@{names}", "--store", tmp_path / "v", "--out", out]

    def lines() -> int:
        return partial.read_bytes().count(b"\n") if partial.exists() else 0

    # Images are answered 256 at a time: within the first of them nothing is kept, within the second those before are.
    for wanted in (dice.randrange(1, 200), dice.randrange(257, 450)):
        killed = Command(call, own_cache / "said.txt")
        until(lambda: lines() >= wanted, killed)  # noqa: B023
        assert killed.kill(), killed.said()
        assert not out.exists()
        assert lines() >= wanted
    done = command(*call)
    assert done.exit_code == 0, done.output
    assert "are done already; going on" in done.stderr
    command("tag", finished, f"@{names}", "--out", tmp_path / "whole.csv")
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    # The store holds each of the sixty pictures, however often it was read.
    known = {json.loads(line)["image"] for line in (tmp_path / "v" / "names.jsonl").read_text().splitlines()}
    assert len(known) == 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.txt", "out.csv", "v", "whole.csv"]


def test_stored_vectors_answer_without_reading_and_without_files(
    finished, drawn, command, tmp_path, monkeypatch
):
    photos, store = tmp_path / "photos", tmp_path / "vectors"
    shutil.copytree(drawn, photos)
    (photos / "00005.png").write_bytes(b"no picture")
    whole = command("tag", finished, photos, "--json", *LOW).stdout
    first = command("tag", finished, photos, "--json", "--store", store)
    assert first.exit_code == 0, first.output
    read = []
    features = "labelbeam.runs.tagger.Tagger.features"
    monkeypatch.setattr(features, lambda self, paths: iter([read.append(path) for path in paths]))
    assert command("tag", finished, photos, "--json", "--store", store, *LOW).stdout == whole
    assert not read, "nothing that is stored is read"
    monkeypatch.undo()
    os.utime(photos / "00007.png", ns=(1, 1))
    shutil.copyfile(photos / "00001.png", photos / "00006.png")
    changed = command("tag", finished, photos, "--json", *LOW).stdout
    assert changed != whole
    assert command("tag", finished, photos, "--json", "--store", store, *LOW).stdout == changed
    shutil.rmtree(photos)
    gone = command("tag", finished, "--store", store, "--json", *LOW)
    assert gone.exit_code == 0, gone.output
    assert gone.stdout == changed, "a picture that changed has its place still, and a new row"
    assert np.load(store / "vectors.npy").shape == (62, 32)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{run}"], "no image is named"),
        (["{run}", "{image}", "--format", "xlsx"], "unknown format 'xlsx'"),
        (["{run}", "{image}", "--out", "a.xlsx"], "which format is '.xlsx'"),
        (["{run}", "{image}", "--format", "csv"], "--format csv needs --out FILE"),
        (["{run}", "{image}", "--format", "xmp"], "--format xmp needs --out FOLDER"),
        (["{run}", "{image}", "--out", "{folder}"], "is a folder. Name a file, such as"),
        (["{run}", "{image}", "--out", "{folder}/no/a.csv"], "there is no folder"),
        (
            ["{run}", "{image}", "--format", "txt", "--out", "{folder}/file"],
            "this is a file. Give the folder",
        ),
        (["{run}", "{image}", "--format", "txt", "--out", "{folder}/no/no"], "there is no folder"),
        (["{run}", "{image}", "--out", "{folder}/own.csv", "--overwrite"], "not overwritten"),
        (["{run}", "{image}", "--out", "{folder}/own.parquet", "--overwrite"], "not overwritten"),
        (["{run}", "{image}", "--cluster", "rya"], "Did you mean 'ray'"),
        (["{run}", "{image}", "--cluster", "ray", "--store", "{folder}/v"], "Leave one out"),
        (["{run}", "--store", "{folder}/nothing"], "holds no vectors"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(arguments, words, finished, drawn, command, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "own.csv").write_text("image,tags\n")
    (tmp_path / "own.parquet").write_text("PAR1")
    places = {"run": finished, "image": drawn / "00000.png", "folder": tmp_path}
    done = command("tag", *(one.format(**places) for one in arguments))
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.split())


def test_several_runs_are_evaluated_as_one(finished, train, command, drawn, tmp_path):
    other = train(tmp_path / "other", "--seed", 3)
    data = ["--data", f"csv:{drawn / 'tags.csv'}#test", "--bootstrap", 0, "--json"]
    each = [json.loads(command("evaluate", run, *data).stdout) for run in (finished, other)]
    done = command("evaluate", finished, other, *data)
    assert done.exit_code == 0, done.output
    both = json.loads(done.stdout)
    assert both["run"] == [str(finished), str(other)]
    # The mean of two probabilities is at least the mean of their logarithms.
    assert both["log_likelihood"] >= sum(one["log_likelihood"] for one in each) / 2
    done = command("evaluate", finished, other, *data, "--beam", 3)
    assert done.exit_code == 2
    assert "--beam is for one run" in done.stderr


def workers_of(parent: int) -> list[int]:
    """Processes of a Ray cluster below a process that do its work."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            name = (status.parent / "cmdline").read_text()
            if not name.startswith("ray::") or "Map" not in name:
                continue
            above = int(status.parent.name)
            while above > 1 and above != parent:
                told = (Path("/proc") / str(above) / "status").read_text()
                above = int(told.split("PPid:")[1].split()[0])
        except OSError:
            continue
        if above == parent:
            found.append(int(status.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="finds processes as Linux shows them")
def test_a_cluster_gives_the_same_bytes_also_when_a_worker_is_killed(
    finished, drawn, command, own_cache, tmp_path
):
    pytest.importorskip("ray")
    names = tmp_path / "list.txt"
    names.write_text("".join(f"{drawn / f'{i % 60:05d}.png'}\n" for i in range(1300)) + "gone.png\n")
    command("tag", finished, f"@{names}", "--out", tmp_path / "alone.jsonl")
    out, partial = tmp_path / "out.jsonl", tmp_path / "out.jsonl.partial"
    call = [*LABELBEAM, "tag", str(finished), f"@{names}", "--cluster", "ray", "--out", str(out)]
    killed = 0
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True, env=environment(own_cache)) as process:
        deadline = time.monotonic() + 240
        while process.poll() is None and time.monotonic() < deadline:
            if not killed and partial.exists() and partial.stat().st_size:
                for worker in workers_of(process.pid)[:1]:
                    os.kill(worker, signal.SIGKILL)
                    killed += 1
            time.sleep(0.01)
        _, told = process.communicate(timeout=240)
    assert process.returncode == 0, told
    assert killed == 1, "no worker was found to be killed"
    assert out.read_bytes() == (tmp_path / "alone.jsonl").read_bytes()
