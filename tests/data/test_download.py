"""A published data set in a folder: checked, all of it or nothing, once."""

import hashlib
import io
import json
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from labelbeam.data import download as downloading
from labelbeam.data.download import (
    BOTH,
    IMAGES,
    LABELS,
    PUBLISHED,
    RECORD,
    PublishedDataset,
    RemoteFile,
    install,
)
from labelbeam.data.fetching import Patience
from labelbeam.errors import InputError

QUICK = Patience(tries=3, timeout=5.0, sleep=lambda seconds: None)


def zipped(members: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        for name, text in members.items():
            packed.writestr(name, text)
    return content.getvalue()


def tarred(members: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as packed:
        for name, text in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            packed.addfile(member, io.BytesIO(text.encode()))
    return content.getvalue()


def remote(
    site, name: str, content: bytes, holds: str = BOTH, *, checked: bool = True, **others
) -> RemoteFile:
    site.files[f"/{name}"] = content
    known = {}
    if checked:
        known = {
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "md5": hashlib.md5(content).hexdigest(),
            "source": "the test",
        }
    return RemoteFile(f"{site.address}/{name}", holds, **{**known, **others})


def dataset(*files: RemoteFile, name: str = "sheep2016") -> PublishedDataset:
    return PublishedDataset(name, "Sheep", ("Ask the sheep.",), files, ("csv:{}/a.csv",))


def names(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def test_archives_are_merged_into_one_folder_and_recorded(site, tmp_path):
    first = remote(site, "train.tar", tarred({"kit/a.txt": "1", "kit/b.txt": "2"}))
    second = remote(site, "labels.zip", zipped({"kit/c.txt": "3"}), checked=False)
    found = install(dataset(first, second), tmp_path, patience=QUICK)
    assert found.fetched == ("train.tar", "labels.zip")
    assert names(tmp_path) == [
        f"sheep2016/{name}" for name in ("kit/a.txt", "kit/b.txt", "kit/c.txt", RECORD)
    ]
    record = json.loads((found.folder / RECORD).read_text())
    assert record["terms"] == ["Ask the sheep."]
    assert record["files"][0]["checked"] == "as published (the test)"
    assert record["files"][1]["checked"].startswith("not published")
    assert record["files"][1]["sha256"] == hashlib.sha256(site.files["/labels.zip"]).hexdigest()
    assert any("labels.zip" in note and RECORD in note for note in found.notes)


def test_a_second_call_asks_nobody_and_changes_nothing(site, tmp_path):
    published = dataset(remote(site, "a.zip", zipped({"a.txt": "1"})))
    install(published, tmp_path, patience=QUICK)
    site.asked.clear()
    (tmp_path / "sheep2016" / "mine.txt").write_text("kept")
    found = install(published, tmp_path, patience=QUICK)
    assert (found.fetched, site.asked) == ((), [])
    assert "there already" in found.notes[0]
    assert (tmp_path / "sheep2016" / "mine.txt").exists()


def test_labels_first_and_images_later_fetch_each_file_once(site, tmp_path):
    published = dataset(
        remote(site, "labels.zip", zipped({"annotations/a.json": "{}"}), LABELS),
        remote(site, "images.zip", zipped({"val/a.jpg": "x"}), IMAGES),
    )
    assert install(published, tmp_path, labels_only=True, patience=QUICK).fetched == ("labels.zip",)
    assert install(published, tmp_path, labels_only=True, patience=QUICK).fetched == ()
    assert install(published, tmp_path, patience=QUICK).fetched == ("images.zip",)
    assert names(tmp_path / "sheep2016") == ["annotations/a.json", RECORD, "val/a.jpg"]
    assert [path for path, _, _ in site.asked] == ["/labels.zip", "/images.zip"]
    assert install(published, tmp_path, patience=QUICK).fetched == ()


def test_what_is_in_the_way_of_later_files_is_told_and_kept(site, tmp_path):
    published = dataset(
        remote(site, "labels.zip", zipped({"a.json": "{}"}), LABELS),
        remote(site, "images.zip", zipped({"val/a.jpg": "x"}), IMAGES),
    )
    install(published, tmp_path, labels_only=True, patience=QUICK)
    (tmp_path / "sheep2016" / "val").mkdir()
    with pytest.raises(InputError, match="val is in the way"):
        install(published, tmp_path, patience=QUICK)
    (tmp_path / "sheep2016" / "val").rmdir()
    site.asked.clear()
    assert install(published, tmp_path, patience=QUICK).fetched == ("images.zip",)
    assert site.asked == []  # the archive was kept


def test_an_interrupted_download_installs_nothing_and_goes_on_later(site, tmp_path):
    content = zipped({"a.txt": "x" * 50_000})
    published = dataset(remote(site, "a.zip", content), remote(site, "b.zip", zipped({"b.txt": "2"})))
    site.faults["/a.zip"] = ["drop 20000", "503", "503", "503"]
    with pytest.raises(InputError, match="run again to go on"):
        install(published, tmp_path, patience=QUICK)
    assert not (tmp_path / "sheep2016").exists()
    assert install(published, tmp_path, patience=QUICK).fetched == ("a.zip", "b.zip")
    assert ("/a.zip", "bytes=20000-", '"one"') in site.asked
    assert names(tmp_path) == ["sheep2016/a.txt", "sheep2016/b.txt", f"sheep2016/{RECORD}"]


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_wrong_bytes_of_the_right_size_are_thrown_away(site, tmp_path, kind):
    file = remote(site, "a.zip", zipped({"a.txt": "1"}))
    wrong = replace(file, **{kind: "0" * len(getattr(file, kind))})
    with pytest.raises(
        InputError, match=rf"other content than published: its {kind} is .*the test.*thrown away"
    ):
        install(dataset(wrong), tmp_path, patience=QUICK)
    assert not (tmp_path / "sheep2016").exists()
    assert install(dataset(file), tmp_path, patience=QUICK).fetched == ("a.zip",)


def test_a_short_file_is_never_installed_whatever_the_server_says_of_its_length(site, tmp_path):
    content = zipped({"a.txt": "x" * 1000})
    site.faults["/a.zip"] = ["short 500"]
    with pytest.raises(InputError, match="500 bytes, where"):
        install(dataset(remote(site, "a.zip", content)), tmp_path, patience=QUICK)
    site.faults["/a.zip"] = ["short 500"]
    with pytest.raises(InputError, match=r"a\.zip is no archive|damaged"):
        install(dataset(remote(site, "a.zip", content, checked=False)), tmp_path, patience=QUICK)
    assert not (tmp_path / "sheep2016").exists()
    assert install(dataset(remote(site, "a.zip", content, checked=False)), tmp_path, patience=QUICK).fetched


def test_an_archive_that_reaches_outside_installs_nothing(site, tmp_path):
    file = remote(site, "a.zip", zipped({"ok.txt": "1", "../../evil.txt": "2"}))
    with pytest.raises(InputError, match="outside the folder"):
        install(dataset(file), tmp_path / "data", patience=QUICK)
    assert not (tmp_path / "data" / "sheep2016").exists()
    assert not list(tmp_path.rglob("evil.txt"))


def test_a_file_that_may_be_missing_is_noted_and_one_that_may_not_stops_all(site, tmp_path):
    there = remote(site, "a.zip", zipped({"a.txt": "1"}))
    gone = RemoteFile(f"{site.address}/lists.zip", LABELS, optional=True)
    found = install(dataset(there, gone), tmp_path, patience=QUICK)
    assert found.fetched == ("a.zip",)
    assert any("lists.zip is missing" in note and "404" in note for note in found.notes)
    assert install(dataset(there, gone), tmp_path, patience=QUICK).fetched == ()
    with pytest.raises(InputError, match="404"):
        install(dataset(there, replace(gone, optional=False), name="other"), tmp_path, patience=QUICK)
    assert not (tmp_path / "other").exists()


def test_a_folder_that_somebody_else_made_is_left_alone(site, tmp_path):
    (tmp_path / "sheep2016").mkdir()
    (tmp_path / "sheep2016" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="did not put it there"):
        install(dataset(remote(site, "a.zip", zipped({"a.txt": "1"}))), tmp_path, patience=QUICK)
    assert (names(tmp_path), site.asked) == (["sheep2016/mine.txt"], [])


def test_a_damaged_record_is_told(site, tmp_path):
    published = dataset(remote(site, "a.zip", zipped({"a.txt": "1"})))
    install(published, tmp_path, patience=QUICK)
    (tmp_path / "sheep2016" / RECORD).write_text("[" * 100_000)
    with pytest.raises(InputError, match="is damaged"):
        install(published, tmp_path, patience=QUICK)


def test_a_disk_without_room_for_archives_and_content_is_told_before_the_first_byte(
    site, tmp_path, monkeypatch
):
    published = dataset(remote(site, "a.zip", zipped({"a.txt": "x" * 10_000})))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=15_000))
    with pytest.raises(InputError, match="GB are needed for the archives and what is in them"):
        install(published, tmp_path, patience=QUICK)
    assert site.asked == []


def test_two_downloads_into_the_same_place_do_not_mix(site, tmp_path):
    pytest.importorskip("fcntl")
    published = dataset(remote(site, "a.zip", zipped({"a.txt": "1"})))
    stage = tmp_path / ".sheep2016.download"
    stage.mkdir()
    with downloading._alone(stage), pytest.raises(InputError, match="another process is downloading"):
        install(published, tmp_path, patience=QUICK)
    assert install(published, tmp_path, patience=QUICK).fetched == ("a.zip",)


def test_a_place_that_cannot_be_written_is_told(site, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        install(dataset(remote(site, "a.zip", zipped({"a.txt": "1"}))), tmp_path / "file", patience=QUICK)


@pytest.mark.parametrize("published", PUBLISHED.values(), ids=PUBLISHED)
def test_the_table_is_complete_and_no_checksum_is_without_its_source(published):
    assert published.terms[1].startswith("http")
    assert published.wanted(labels_only=True)
    assert len({file.name for file in published.files}) == len(published.files)
    for file in published.files:
        assert file.url.startswith(("http://", "https://"))
        assert all(character in "0123456789abcdef" for character in (file.sha256 or "") + (file.md5 or ""))
    assert published.specs_in(Path("data/x"))[0].split("#")[0].endswith(("data/x", "data/x/VOCdevkit"))


@pytest.mark.parametrize("known", [{"sha256": "abc", "source": "x"}, {"size": 5}, {"source": "x"}])
def test_a_checksum_that_is_none_or_from_nowhere_is_refused(known):
    with pytest.raises(InputError, match="and a source"):
        RemoteFile("http://x/y", BOTH, **known)
