"""Files that appear whole, and what of a file that is replaced stays."""

import os
from pathlib import Path

import pytest

from labelbeam.errors import InputError
from labelbeam.files import written_whole


def write(path: Path, text: str) -> None:
    with written_whole(path) as part:
        part.write_text(text)


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    path.chmod(0o640)
    write(path, "after")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("after", 0o640)


def test_a_link_stays_a_link_and_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store/k").write_text("before")
    link = tmp_path / "a.txt"
    link.symlink_to("store/k")
    write(link, "after")
    assert link.is_symlink()
    assert (tmp_path / "store/k").read_text() == "after"
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["a.txt", "k", "store"]


def test_a_read_only_file_is_not_replaced_whoever_asks(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    path.chmod(0o444)
    with pytest.raises(InputError, match="read-only; it is not replaced"):
        write(path, "after")
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_stays(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    os.chown(path, 1234, 1234)
    write(path, "after")
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1234)


def test_a_name_as_long_as_the_disk_takes_can_be_written(tmp_path):
    path = tmp_path / ("x" * 251 + ".txt")
    write(path, "after")
    assert path.read_text() == "after"
