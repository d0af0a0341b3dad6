"""What is not the client's fault: a file that another program holds, a full disk, a project that somebody else made."""

import json
import os
import re
import resource
import sqlite3
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from labelbeam.project.project_file import Project
from labelbeam.project.schema import Change
from labelbeam.service.access import Access
from labelbeam.service.admission import without_places
from labelbeam.service.project_photographs import add_folder


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with Project(tmp_path / "holiday.lbp") as opened:
        yield opened


@pytest.fixture
def page(client_of: Callable[..., TestClient], project: Project) -> TestClient:
    return client_of(project=project, raising=False)


def picture(colour: str = "red") -> bytes:
    file = BytesIO()
    Image.new("RGB", (8, 6), colour).save(file, "PNG")
    return file.getvalue()


def upload(page: TestClient, content: bytes):
    return page.post("/v1/project/photographs", files=[("photograph", ("a.png", content))])


def decide(page: TestClient, label: str, value: int = 1):
    return page.post(
        "/v1/project/decisions", json={"changes": [{"image": 1, "label": label, "value": value}]}
    )


def test_a_project_that_another_program_holds_is_told_within_a_second_and_health_goes_on(
    page, project, tagger
):
    assert upload(page, picture()).status_code == 200
    with sqlite3.connect(project.path, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        asked: list[str] = []
        project._connection.set_trace_callback(asked.append)
        for ask in (
            lambda: decide(page, tagger.labels[0]),
            lambda: page.post("/v1/project/labels", json={"name": "new"}),
            lambda: page.post("/v1/project/complete", json={"photographs": [1]}),
            lambda: upload(page, picture("blue")),
        ):
            asked.clear()
            answer = ask()
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), answer.text
            assert "another program holds" in answer.json()["error"]
            assert asked.count("BEGIN IMMEDIATE") == 1  # waited for once, and no longer than this:
            assert project._connection.execute("PRAGMA busy_timeout").fetchone()[0] < 1000
            assert page.get("/healthz").status_code == 200
        other.execute("ROLLBACK")
    other.close()
    assert decide(page, tagger.labels[0]).status_code == 200


@pytest.mark.parametrize("where", ["database", "photographs"])
def test_a_full_disk_is_507_and_nothing_is_half_done(page, project, tagger, monkeypatch, where):
    assert upload(page, picture()).status_code == 200
    if where == "database":
        pages = project._connection.execute("PRAGMA page_count").fetchone()[0]
        project._connection.execute(f"PRAGMA max_page_count = {pages}")
        answers = [page.post("/v1/project/labels", json={"name": f"{i:0190}"}) for i in range(60)]
        answer = next(one for one in answers if one.status_code != 200)
    else:

        def full(handle: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        answer = upload(page, picture("blue"))
        assert len(project.photographs()) == 1
        assert not list(project.images.glob(".*"))
    assert (answer.status_code, answer.headers["retry-after"]) == (507, "1")


def test_a_limit_on_the_size_of_files_is_507_as_a_full_disk_is(page, project, tagger):
    assert upload(page, picture()).status_code == 200
    noise = BytesIO()
    Image.frombytes("RGB", (200, 200), os.urandom(120_000)).save(noise, "PNG")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        answers = [upload(page, noise.getvalue())]
        answers += [page.post("/v1/project/labels", json={"name": f"{i:0190}"}) for i in range(60)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    refused = [one for one in answers if one.status_code != 200]
    assert refused[0] is answers[0]
    assert len(refused) > 1
    assert {(one.status_code, one.headers["retry-after"]) for one in refused} == {(507, "1")}
    assert all(one.json()["error"].startswith("there is no room") for one in refused)
    assert not list(project.images.glob(".*"))
    assert upload(page, noise.getvalue()).status_code == 200
    assert decide(page, tagger.labels[0]).status_code == 200


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB of its own; skips where none can be had."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk], capture_output=True)
    if made.returncode:
        pytest.skip(f"needs a small file system of its own: {made.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_disk_that_is_really_full_is_507_at_once_and_all_goes_on_when_there_is_room(
    client_of, tagger, small_disk
):
    with Project(small_disk / "a.lbp") as project:
        page = client_of(project=project, raising=False)
        assert upload(page, picture()).status_code == 200
        with (small_disk / "filling").open("wb", buffering=0) as filling, suppress(OSError):
            while True:
                filling.write(bytes(1024))
        began = time.monotonic()
        full = [upload(page, picture("blue"))]
        full += [page.post("/v1/project/labels", json={"name": f"{i:0190}"}) for i in range(200)]
        full = [one for one in full if one.status_code != 200]
        assert {(one.status_code, one.headers["retry-after"]) for one in full} == {(507, "1")}
        assert all(one.json()["error"].startswith("there is no room") for one in full)
        assert page.get("/healthz").status_code == 200
        assert time.monotonic() - began < 60
        before = len(project.photographs())
        (small_disk / "filling").unlink()
        assert decide(page, tagger.labels[0]).status_code == 200
        assert upload(page, picture("green")).status_code == 200
        assert len(project.photographs()) == before + 1
        assert not list(project.images.glob(".*"))


def test_a_postscript_among_photographs_is_one_item_s_fault_and_starts_no_program(client_of, monkeypatch):
    def started(*arguments: object, **options: object) -> None:
        raise AssertionError(f"starts {arguments}")

    client = client_of(raising=False)
    for name in ("Popen", "check_call", "run"):
        monkeypatch.setattr(subprocess, name, started)
    script = (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n0 0 8 8 rectfill\nshowpage\n%%EOF\n"
    )
    files = [("images", (f"{i}.jpg", script if i == 7 else picture())) for i in range(15)]
    answer = client.post("/v1/tag", files=files)
    assert answer.status_code == 200
    said = answer.json()["predictions"]
    assert [i for i, one in enumerate(said) if "error" in one] == [7]


def test_no_answer_of_any_address_names_where_things_lie(client_of, tagger, tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "photos" / name).write_bytes(picture("red" if name == "a.png" else "blue"))
    with Project(tmp_path / "mine.lbp") as project:
        add_folder(project, tmp_path / "photos")
        page = client_of(project=project, raising=False)
        decide(page, tagger.labels[0])
        (tmp_path / "photos/b.png").unlink()
        asked = 0
        for path, verbs in page.get("/openapi.json").json()["paths"].items():
            for verb in verbs:
                for number in ("1", "2", "3"):
                    place = re.sub(r"\{format\w*\}", "coco", path)
                    place = re.sub(r"\{\w+\}", number, place)
                    body = {} if verb == "get" else {"json": {"photographs": [2], "name": "x", "step": 1}}
                    answer = page.request(verb, place, **body)
                    for text in (answer.text, str(answer.headers)):
                        assert str(tmp_path) not in text, (verb, place, text)
                    asked += 1
        assert asked > 60


def test_bodies_without_photographs_are_small_whatever_they_say_they_are(page, tagger):
    many = b'{"vector": "a", "accepted": [' + b'"a",' * 300_000 + b'"a"]}'
    for kind in ("application/json", "multipart/form-data; boundary=x"):
        for path in ("/v1/project/undo", "/v1/project/labels"):
            answer = page.post(path, content=many, headers={"content-type": kind})
            assert (answer.status_code, "larger than 512,000 bytes" in answer.text) == (413, True)
    assert (
        page.post("/v1/suggest", content=many, headers={"content-type": "application/json"}).status_code
        == 413
    )
    changes = [{"image": 1, "label": tagger.labels[0], "value": 1}] * 20_000
    upload(page, picture())
    assert page.post("/v1/project/decisions", json={"changes": changes}).status_code == 200
    length = {"content-type": "application/json", "content-length": "9" * 5000}
    assert page.post("/v1/project/undo", content=b"{}", headers=length).status_code == 413


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"step": ' + b"7" * 5000 + b"}", b'{"step": "\xff"}', b"null", b""]
)
def test_a_body_that_no_parser_likes_is_422(page, body):
    answer = page.post("/v1/project/undo", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert (
        page.post(
            "/v1/project/undo", content=body or b"x", headers={"content-type": "text/plain"}
        ).status_code
        == 415
    )


def test_wrong_keys_are_slowed_down_and_the_right_one_is_not(client_of):
    key = "a key that nobody guesses".replace(" ", "-")
    client = client_of(api_key=key)
    wrong = [client.get("/v1/labels", headers={"X-API-Key": key[:-1] + str(i % 10)}) for i in range(60)]
    assert [one.status_code for one in wrong[:20]] == [401] * 20
    assert wrong[-1].status_code == 429
    assert int(wrong[-1].headers["retry-after"]) >= 1
    assert client.get("/v1/labels", headers={"X-API-Key": key}).status_code == 200
    assert Access.__doc__


def test_a_wrong_bearer_is_slowed_down_and_who_shows_no_key_is_not(client_of):
    client = client_of(api_key="a-key-that-nobody-guesses")
    none = [client.get("/v1/labels").status_code for _ in range(60)]
    assert none == [401] * 60
    wrong = [client.get("/v1/labels", headers={"Authorization": f"Bearer {i:016}"}) for i in range(60)]
    assert wrong[-1].status_code == 429


def stranger(path: Path, reference: Path) -> None:
    """A project of somebody else's that refers to a file of this machine, as if it were a photograph."""
    with Project(path) as made:
        made.add_labels(["boat"])
        found = made.add_photograph(picture("green"), name="a.png")
        made.decide([Change(found.id, "boat", 1)])
        made._connection.execute("UPDATE images SET added = 0, file = ?", (str(reference),))


@pytest.mark.parametrize("kind", ["text", "picture"])
def test_a_strangers_project_gives_no_file_of_this_machine_away(client_of, tmp_path, kind):
    secret = tmp_path / "secret"
    secret.write_bytes(picture("black") if kind == "picture" else b"root:x:0:0:")
    path = tmp_path / "theirs.lbp"
    stranger(path, secret)
    with Project(path) as project:
        page = client_of(project=project, raising=False)
        for format_ in ("folder", "imagefolder", "coco", "voc2007"):
            answer = page.get(f"/v1/project/export/{format_}")
            if answer.status_code == 200:
                with zipfile.ZipFile(BytesIO(answer.content)) as packed:
                    assert secret.read_bytes() not in [packed.read(name) for name in packed.namelist()]
        shown = page.get("/v1/project/photographs/1/picture")
        assert shown.status_code == 404
        assert str(tmp_path) not in shown.text


def test_a_photograph_of_a_named_folder_or_with_the_content_that_was_added_is_shown(client_of, tmp_path):
    (tmp_path / "photos").mkdir()
    own = tmp_path / "photos/a.png"
    own.write_bytes(picture())
    with Project(tmp_path / "mine.lbp") as project:
        assert add_folder(project, tmp_path / "photos") == (1, 0, [])
        own.write_bytes(picture("blue"))  # changed, but the folder was named
        assert client_of(project=project).get("/v1/project/photographs/1/picture").status_code == 200
    with Project(tmp_path / "mine.lbp") as project:  # the next day, without --images
        page = client_of(project=project)
        assert page.get("/v1/project/photographs/1/picture").status_code == 404
        own.write_bytes(picture())
        assert page.get("/v1/project/photographs/1/picture").status_code == 200


def test_a_project_whose_own_photograph_is_a_path_is_refused(tmp_path):
    path = tmp_path / "theirs.lbp"
    stranger(path, tmp_path / "x")
    with sqlite3.connect(path) as made:
        made.execute("UPDATE images SET added = 1, file = '../../etc/passwd'")
    made.close()
    with pytest.raises(ValueError, match="the table images holds what nobody wrote"):
        Project(path)


def test_a_file_name_that_is_not_utf_8_does_not_stop_the_page(client_of, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / os.fsdecode(b"caf\xe9.png")).write_bytes(picture())
    with Project(tmp_path / "mine.lbp") as project:
        assert add_folder(project, tmp_path / "photos") == (1, 0, [])
        page = client_of(project=project)
        (one,) = page.get("/v1/project").json()["photographs"]
        assert one["name"] == "caf?.png"
        assert page.get("/v1/project/photographs/1/picture").status_code == 200
    with Project(tmp_path / "mine.lbp") as project:
        assert project.photographs()[0].path.name == os.fsdecode(b"caf\xe9.png")


def test_no_answer_names_a_folder_of_this_machine():
    assert without_places("/home/me/a.jpg is gone (looked in '/srv/x/').") == "a.jpg is gone (looked in '')."
    assert (
        without_places("see http://127.0.0.1:8000/v1/tag and a/b")
        == "see http://127.0.0.1:8000/v1/tag and a/b"
    )


def test_one_image_that_fails_in_an_odd_way_spoils_no_other(client_of, tagger, monkeypatch):
    client, resized = client_of(raising=False), type(tagger.run.encoder.preprocess).resized

    def failing(self, pixels):
        if pixels[0, 0].tolist() == [0, 0, 255]:
            raise ZeroDivisionError
        return resized(self, pixels)

    monkeypatch.setattr(type(tagger.run.encoder.preprocess), "resized", failing)
    good = client.post("/v1/tag", files=[("images", ("a.png", picture()))] * 3)
    assert good.status_code == 200
    bad = client.post("/v1/tag", files=[("images", ("b.png", picture("blue")))])
    assert bad.status_code == 500
    assert json.loads(bad.text) == {"error": "a defect of the service; its log says more."}
