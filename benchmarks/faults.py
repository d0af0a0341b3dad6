"""Kill -9 at random points, and whether anything told was lost: `python benchmarks/faults.py [--points 20]`.

Each point starts a process, kills it at a random moment of its work, starts it again as a user would, and compares:

- `upload`, `click`, `undo`, `project-export`: `labelbeam serve` on a project; what a client was told is in the file
  afterwards, the next service takes everything that is sent again and does nothing twice, and its export is the bytes
  of an undisturbed project's.
- `train`: `train --resume` ends with log.csv and model.safetensors of an unbroken training, byte for byte.
- `tag-…`: `labelbeam tag --out`, every format, called again, ends with the bytes of an unbroken job.
- `export-…`: no half folder appears, and the second call writes what an undisturbed one does.

Processes are forked from one that has imported labelbeam already, so that kills fall into work and not into imports.
Drawn scenes and a small encoder; needs no data. About ten minutes on 2 cores.
"""

import argparse
import csv
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 240.0
"""Seconds that anything may take on a crowded machine."""
SCENES = 60
STEPS = 200
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["labelbeam.cli", "labelbeam.runs.tagger", "labelbeam.service.server"])


def labelbeam(arguments: Sequence[str], log: str, cache: str) -> None:
    """Run a command of labelbeam in this process, its words into a file; ends the process with its status."""
    os.environ["LABELBEAM_CACHE"] = cache
    from labelbeam.cli.app import app

    with (
        Path(log).open("a", encoding="utf-8", buffering=1) as file,
        redirect_stdout(file),
        redirect_stderr(file),
    ):
        app(list(arguments))


class Command:
    """A command that runs in a process of its own."""

    def __init__(self, arguments: Iterable[object], log: Path) -> None:
        self.log = log
        log.unlink(missing_ok=True)
        texts = [str(one) for one in arguments]
        told = (texts, str(log), os.environ["LABELBEAM_CACHE"])
        self.process = FORKED.Process(target=labelbeam, args=told, daemon=True)
        self.process.start()

    def said(self) -> str:
        """Return its words so far."""
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    def kill(self) -> bool:
        """Kill it with SIGKILL; return whether it was still alive."""
        self.process.kill()
        self.process.join()
        return self.process.exitcode == -9

    def finish(self) -> None:
        """Wait for its end.

        Raises:
            AssertionError: it fails.
        """
        self.process.join(PATIENCE)
        assert self.process.exitcode == 0, f"exit code {self.process.exitcode}: {self.said()[-2000:]}"


def until(happened: Callable[[], object], command: Command) -> None:
    """Wait until something is so, or the command has ended."""
    deadline = time.monotonic() + PATIENCE
    while not happened() and command.process.is_alive():
        assert time.monotonic() < deadline, f"nothing happens: {command.said()[-2000:]}"
        time.sleep(0.001)


@dataclass
class World:
    """What all points share: pictures, a trained run, and what undisturbed commands make.

    Attributes:
        folder: for everything.
        dice: draws the moments.
        made: what undisturbed commands made, by kind, and the seconds of work that they took.
    """

    folder: Path
    dice: random.Random
    made: dict[str, tuple[Path, float]] = field(default_factory=dict)

    @property
    def run(self) -> Path:
        """The trained run."""
        return self.folder / "run"

    @property
    def pictures(self) -> list[Path]:
        """The scenes' files."""
        return sorted((self.folder / "scenes").glob("*.png"))

    def new_place(self) -> Path:
        """Make an empty folder."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def train(self, out: Path, epochs: int) -> list[object]:
        """Return the arguments of a training."""
        return [
            *("train", "--data", f"csv:{self.folder / 'scenes' / 'tags.csv'}#train", "--out", out),
            *("--weights", self.folder / "encoder.safetensors", "--epochs", epochs, "--batch-size", 8),
            *("--set", "label_model.hidden_size=32", "--set", "recipe.patience=0"),
        ]


def make_world(folder: Path, *, seed: int) -> World:
    """Draw scenes, write a small encoder and train a run."""
    from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
    from labelbeam.encoders.image_encoder import save_encoder
    from labelbeam.scenes.files import read_scenes

    scenes = read_scenes("train", count=SCENES)
    (folder / "scenes").mkdir()
    with (folder / "scenes" / "tags.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "tags", "split"])
        for i in range(SCENES):
            example = scenes.example(i)
            shutil.copyfile(example.path, folder / "scenes" / example.image)
            writer.writerow([example.image, ";".join(example.present), "train" if i < 48 else "test"])
    save_encoder(build_encoder(EncoderConfig("tiny", width=16, size=32)), folder / "encoder.safetensors")
    world = World(folder, random.Random(seed))
    Command(world.train(world.run, 2), folder / "log.txt").finish()
    return world


def content(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder and their bytes; also hidden ones."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def assert_same(found: dict[str, bytes], wanted: dict[str, bytes]) -> None:
    assert sorted(found) == sorted(wanted), f"files {sorted(found.keys() ^ wanted.keys())} are not in both"
    different = [name for name in wanted if found[name] != wanted[name]]
    assert not different, f"{different} differ"


def killed_within(
    world: World,
    kind: str,
    arguments: Callable[[Path], list[object]],
    begun: Callable[[Path], object],
    check: Callable[[Path], None],
) -> tuple[Path, Path, float]:
    """Kill a command at a random moment of its work, as long as that of an undisturbed one.

    Args:
        world: shared.
        kind: what it is.
        arguments: of the command that writes into a folder.
        begun: whether there is a first sign of work in the folder.
        check: what must be so of the folder after the kill.

    Returns:
        The folder of the killed command, that of the undisturbed one, the moment in seconds after the first sign.
    """
    if kind not in world.made:
        place = world.new_place()
        command = Command(arguments(place), world.folder / "log.txt")
        until(lambda: begun(place), command)
        start = time.monotonic()
        command.finish()
        world.made[kind] = place, time.monotonic() - start
    whole, seconds = world.made[kind]
    while True:
        place = world.new_place()
        moment = world.dice.uniform(0, seconds)
        command = Command(arguments(place), world.folder / "log.txt")
        until(lambda place=place: begun(place), command)  # type: ignore[misc]
        time.sleep(moment)
        if command.kill():
            check(place)
            return place, whole, moment
        seconds *= 0.7  # it had ended: the machine is faster now than it was


def train_point(world: World) -> str:
    """Kill a training and resume it."""

    def arguments(place: Path) -> list[object]:
        return world.train(place / "run", 12)

    def begun(place: Path) -> bool:
        return (place / "run" / "resume.safetensors").exists()

    def unfinished(place: Path) -> None:
        assert (place / "run" / "labels.json").exists() or (place / "run" / "resume.safetensors").exists()

    place, whole, moment = killed_within(world, "train", arguments, begun, unfinished)
    rows = (place / "run" / "log.csv").read_text().count("\n") if (place / "run" / "log.csv").exists() else 0
    Command([*arguments(place), "--resume"], world.folder / "log.txt").finish()
    found, wanted = content(place / "run"), content(whole / "run")
    # The rest names folders, times and versions.
    compared = [
        name for name in wanted if name.endswith(".safetensors") or name in ("log.csv", "labels.json")
    ]
    assert_same({name: found[name] for name in compared}, {name: wanted[name] for name in compared})
    assert "resume.safetensors" not in found
    return f"{moment:.2f} s after the first epoch, {max(rows - 1, 0)} rows in log.csv"


def tag_point(format_: str) -> Callable[[World], str]:
    """Make the point of a format: kill a tagging job and call it again."""

    def point(world: World) -> str:
        names = world.folder / "names.txt"
        names.write_text("".join(f"{world.pictures[i % SCENES]}\n" for i in range(700)), encoding="utf-8")
        copies = world.folder / "copies"
        if not copies.exists():
            copies.mkdir()
            for i in range(400):
                shutil.copyfile(world.pictures[i % SCENES], copies / f"{i:04d}.png")
        beside = format_ in ("txt", "xmp")

        def arguments(place: Path) -> list[object]:
            named = copies if beside else f"@{names}"
            out = place if beside else place / f"out.{format_}"
            return ["tag", world.run, named, "--format", format_, "--out", out, "--threshold", "0.05"]

        def begun(place: Path) -> bool:
            return any(path.stat().st_size for path in place.glob("*.partial"))

        def no_table_yet(place: Path) -> None:
            if (place / f"out.{format_}").exists():  # it was killed after its last word but one
                whole = world.made[f"tag-{format_}"][0]
                assert_same({f"out.{format_}": content(place)[f"out.{format_}"]}, visible(content(whole)))

        place, whole, moment = killed_within(world, f"tag-{format_}", arguments, begun, no_table_yet)
        done = sum(path.read_bytes().count(b"\n") for path in place.glob("*.partial"))
        Command(arguments(place), world.folder / "log.txt").finish()
        assert_same(visible(content(place)), visible(content(whole)))
        return f"{moment:.2f} s after the first lines, {done} lines done"

    return point


def visible(files: dict[str, bytes]) -> dict[str, bytes]:
    """Leave out hidden files: a kill may leave a `.NAME.….part` that nothing reads."""
    return {name: data for name, data in files.items() if not name.rpartition("/")[2].startswith(".")}


def export_point(target: str) -> Callable[[World], str]:
    """Make the point of a target: kill an export and call it again."""

    def point(world: World) -> str:
        def arguments(place: Path) -> list[object]:
            return ["export", world.run, "--out", place / "exported", "--to", target]

        def begun(place: Path) -> bool:
            return any(place.iterdir())

        def whole_or_not_at_all(place: Path) -> None:
            if (place / "exported").exists():
                assert_same(
                    content(place / "exported"), content(world.made[f"export-{target}"][0] / "exported")
                )
                shutil.rmtree(place / "exported")

        place, whole, moment = killed_within(world, f"export-{target}", arguments, begun, whole_or_not_at_all)
        Command(arguments(place), world.folder / "log.txt").finish()
        assert_same(content(place / "exported"), content(whole / "exported"))
        return f"{moment:.2f} s after the first file"

    return point


@contextmanager
def serving(world: World, project: Path) -> Any:
    """Yield a service of a project and a client of it; it is killed in the end."""
    log = world.folder / "service.txt"
    command = Command(["serve", world.run, "--project", project, "--port", 0], log)
    try:
        until(lambda: "http://" in command.said() and "/ (" in command.said(), command)
        assert command.process.is_alive(), command.said()
        address = "http://" + command.said().split("http://")[1].split("/")[0]
        with httpx.Client(base_url=address, timeout=PATIENCE) as client:
            yield command, client
    finally:
        command.kill()


def killed_while(
    world: World, command: Command, work: Callable[[], None], *, within: float, told: Sequence[object]
) -> float:
    """Kill a service at a random moment while a client works, once it has told something; return the moment."""

    def client() -> None:
        try:
            work()
        except httpx.TransportError:  # the service is dead: what this is about
            return

    working = threading.Thread(target=client, daemon=True)
    working.start()
    until(lambda: told or not working.is_alive(), command)
    moment = world.dice.uniform(0, within)
    time.sleep(moment)
    assert command.kill(), "the service had ended by itself"
    working.join(PATIENCE)
    return moment


def upload(client: httpx.Client, pictures: Sequence[Path]) -> list[dict[str, Any]]:
    files = [("photograph", (path.name, path.read_bytes())) for path in pictures]
    answer = client.post("/v1/project/photographs", files=files)
    assert answer.status_code == 200, answer.text
    return answer.json()["photographs"]


def sound(project: Path) -> None:
    """Check a project's file and folder by other means than labelbeam's."""
    with closing(sqlite3.connect(project)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert not connection.execute("PRAGMA foreign_key_check").fetchall()
        for file, hash_ in connection.execute("SELECT file, hash FROM images"):
            written = project.with_name(project.name + ".images") / file
            assert hashlib.sha256(written.read_bytes()).hexdigest() == hash_, f"{file} is not what was sent"


def upload_point(world: World) -> str:
    """Kill a service while photographs come in, three to a request."""
    project = world.new_place() / "p.lbp"
    told: list[dict[str, Any]] = []

    def work() -> None:
        for first in range(0, SCENES, 3):
            told.extend(upload(client, world.pictures[first : first + 3]))

    with serving(world, project) as (command, client):
        moment = killed_while(world, command, work, within=1.5, told=told)
    sound(project)
    with serving(world, project) as (_, client):
        state = client.get("/v1/project").json()
        kept = {one["id"]: one for one in state["photographs"]}
        for one in told:
            assert kept[one["id"]] == one, f"{one} was told, {kept.get(one['id'])} is there"
        extra = len(kept) - len(told)
        assert 0 <= extra <= 3, f"{extra} photographs more than were sent"
        again = [
            one
            for first in range(0, SCENES, 20)
            for one in upload(client, world.pictures[first : first + 20])
        ]
        assert len({one["id"] for one in again}) == len({path.read_bytes() for path in world.pictures})
        assert [one["id"] for one in again[: len(told)]] == [one["id"] for one in told]
        for one in again[:: SCENES // 4]:
            assert client.get(f"/v1/project/photographs/{one['id']}/suggestions").status_code == 200
    sound(project)
    return f"{moment:.2f} s after the first answer, {len(told)} told, {extra} more kept"


def click_point(world: World) -> str:
    """Kill a service while clicks come in; every one is a step that can be taken back."""
    project = world.new_place() / "p.lbp"
    told: list[dict[str, Any]] = []

    def work() -> None:
        for i in range(10_000):
            asked = {"image": 1 + i % 3, "label": labels[i % len(labels)], "value": (i // 3) % 2}
            sent.append(asked)
            answer = client.post("/v1/project/decisions", json={"changes": [asked]})
            assert answer.status_code == 200, answer.text
            told.append(asked)

    sent: list[dict[str, Any]] = []
    with serving(world, project) as (command, client):
        upload(client, world.pictures[:3])
        labels = [one["name"] for one in client.get("/v1/project").json()["labels"]]
        moment = killed_while(world, command, work, within=1.0, told=told)
    sound(project)

    def decided(asked: Sequence[dict[str, Any]]) -> dict[tuple[int, str], int]:
        return {(one["image"], one["label"]): one["value"] for one in asked}

    with serving(world, project) as (_, client):
        state = client.get("/v1/project").json()
        kept = {
            (one["id"], label): value
            for one in state["photographs"]
            for label, value in one["decided"].items()
        }
        assert kept in (decided(told), decided(sent)), f"{len(told)} clicks were told, others are kept"
        step = state["undo"]
        undone = client.post("/v1/project/undo", json={"step": step}).json()
        assert (undone["undo"] or 0) == step - 1
    return (
        f"{moment:.2f} s after the first answer, {len(told)} clicks told, {len(sent) - len(told)} under way"
    )


def undo_point(world: World) -> str:
    """Kill a service while steps are taken back; the one without an answer is asked for again, as the page does."""
    project = world.new_place() / "p.lbp"
    asked: list[int] = []
    told: list[int] = []

    def undo(client: httpx.Client, step: int) -> int:
        answer = client.post("/v1/project/undo", json={"step": step})
        assert answer.status_code == 200, answer.text
        return answer.json()["undo"] or 0

    def work() -> None:
        for step in range(STEPS, 0, -1):
            asked.append(step)
            told.append(undo(client, step))

    with serving(world, project) as (command, client):
        upload(client, world.pictures[:1])
        (label, *_) = (one["name"] for one in client.get("/v1/project").json()["labels"])
        for i in range(STEPS):
            change = {"image": 1, "label": label, "value": 1 - i % 2}
            assert client.post("/v1/project/decisions", json={"changes": [change]}).status_code == 200
        moment = killed_while(world, command, work, within=0.5, told=told)
    sound(project)
    with serving(world, project) as (_, client):
        taken = client.get("/v1/project").json()["undo"] or 0
        assert taken in (asked[-1], asked[-1] - 1), f"{asked[-1]} was asked for last, {taken} is left"
        assert undo(client, asked[-1]) == asked[-1] - 1, "asking again took back another step"
    return (
        f"{moment:.2f} s after the first answer, {len(told)} steps told, {len(asked) - len(told)} under way"
    )


def project_export_point(world: World) -> str:
    """Kill a service while it exports its project; the next one exports what an undisturbed one does."""
    project = world.new_place() / "p.lbp"
    told: list[str] = []
    archives: dict[str, bytes] = {}

    def export(client: httpx.Client, format_: str) -> bytes:
        answer = client.get(f"/v1/project/export/{format_}")
        assert answer.status_code == 200, answer.text
        return answer.content

    def work() -> None:
        while True:
            for format_ in archives:
                told.append(format_)
                assert export(client, format_) == archives[format_], format_

    with serving(world, project) as (command, client):
        ids = [one["id"] for first in (0, 30) for one in upload(client, world.pictures[first : first + 30])]
        labels = [one["name"] for one in client.get("/v1/project").json()["labels"]]
        changes = [{"image": i, "label": label, "value": 1} for i in ids for label in labels[:2]]
        assert client.post("/v1/project/decisions", json={"changes": changes}).status_code == 200
        formats = [
            name for name in client.get("/v1/project").json()["formats"] if name in ("xmp", "coco", "csv")
        ]
        archives.update({name: export(client, name) for name in formats})
        state = client.get("/v1/project").json()
        moment = killed_while(world, command, work, within=1.0, told=told)
    sound(project)
    with serving(world, project) as (_, client):
        assert client.get("/v1/project").json() == state
        for name, archive in archives.items():
            assert export(client, name) == archive, f"{name} is another archive after the kill"
    return f"{moment:.2f} s after the beginning, within export {len(told)} ({told[-1]})"


POINTS: dict[str, Callable[[World], str]] = {
    "upload": upload_point,
    "train": train_point,
    "tag-jsonl": tag_point("jsonl"),
    "click": click_point,
    "undo": undo_point,
    "export-onnx": export_point("onnx"),
    "tag-csv": tag_point("csv"),
    "project-export": project_export_point,
    "tag-parquet": tag_point("parquet"),
    "export-numpy": export_point("numpy"),
    "tag-txt": tag_point("txt"),
    "tag-xmp": tag_point("xmp"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=POINTS, help="one kind")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    kinds = [options.only] if options.only else list(POINTS)
    told: list[dict[str, str]] = []
    lost = 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"LABELBEAM_CACHE": str(Path(folder, "cache")), "OMP_NUM_THREADS": "1"}
        world = make_world(Path(folder), seed=options.seed)
        for i in range(options.points):
            kind, begun = kinds[i % len(kinds)], time.monotonic()
            try:
                moment, wrong = POINTS[kind](world), ""
            except AssertionError as error:
                moment, wrong = "", str(error) or "an assertion without words"
                lost += 1
            told.append({"kind": kind, "killed": moment, "wrong": wrong})
            print(
                f"{i + 1:3d} {kind:15s} {wrong or 'nothing lost'}; {moment} ({time.monotonic() - begun:.0f} s)",
                flush=True,
            )
    if options.out:
        options.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(f"{len(told)} points, {lost} with a loss")
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()
