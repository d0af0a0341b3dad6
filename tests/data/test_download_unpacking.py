"""Archives from elsewhere: what is inside comes out, what reaches outside does not."""

import contextlib
import io
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labelbeam.data.download import unpack
from labelbeam.errors import InputError


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return path


def tarred(path: Path, members: dict[str, bytes], *, kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w") as packed:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.type, member.linkname = len(content), kind, "../outside"
            packed.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def inside(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()
    }


MEMBERS = {"a/b.txt": b"sheep", "が.txt": b"", "c.bin": bytes(1000)}


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_what_was_packed_comes_out(pack, tmp_path, out):
    assert unpack(pack(tmp_path / "x.pack", MEMBERS), out) == 3
    assert inside(out) == MEMBERS


def test_a_file_that_is_no_archive_is_copied(tmp_path, out):
    (tmp_path / "labels.csv").write_text("image,tags\n")
    assert unpack(tmp_path / "labels.csv", out) == 1
    assert inside(out) == {"labels.csv": b"image,tags\n"}


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside", "..\\outside", "C:/outside"])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_members_that_reach_outside_are_refused_before_anything_is_written(pack, name, tmp_path, out):
    archive = pack(tmp_path / "x.pack", {"first.txt": b"1", name: b"2"})
    with pytest.raises(InputError, match=r"x\.pack is not unpacked: its member .* outside the folder"):
        unpack(archive, out)
    assert inside(out) == {}
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind, tmp_path, out):
    archive = tarred(tmp_path / "x.tar", {"link": b""}, kind=kind)
    with pytest.raises(InputError, match="'link' is a link or a device"):
        unpack(archive, out)


def test_links_in_a_zip_are_refused(tmp_path, out):
    member = zipfile.ZipInfo("link")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr(member, "../outside")
    with pytest.raises(InputError, match="'link' is a link or a device"):
        unpack(tmp_path / "x.zip", out)


def test_an_archive_that_unpacks_to_more_than_there_is_room_for_is_refused(tmp_path, out, monkeypatch):
    archive = zipped(tmp_path / "bomb.zip", {"zeros": bytes(2_000_000)})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    with pytest.raises(InputError, match=r"unpacks to 0\.0 GB"):
        unpack(archive, out)
    assert inside(out) == {}


def test_a_page_in_place_of_an_archive_is_told(tmp_path, out):
    (tmp_path / "x.zip").write_text("<html>")
    with pytest.raises(InputError, match="no archive, whatever its name says"):
        unpack(tmp_path / "x.zip", out)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pack=st.sampled_from([zipped, tarred]), data=st.data())
def test_a_damaged_archive_is_an_error_in_words_or_unpacks_inside(pack, data, tmp_path):
    folder = tmp_path / "out"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    archive = pack(tmp_path / "x.zip", {"a.txt": b"sheep" * 50, "b/c.txt": b"grass" * 50})
    content = bytearray(archive.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    archive.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    before = sorted(path.name for path in tmp_path.iterdir())
    with contextlib.suppress(InputError):
        unpack(archive, folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
