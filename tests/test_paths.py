"""A path where no file can be is one where none is."""

from pathlib import Path

import pytest

from labelbeam.files import exists, is_file, is_folder


def test_what_is_there_is_there(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    assert [look(tmp_path / "a.jpg") for look in (exists, is_file, is_folder)] == [True, True, False]
    assert [look(tmp_path) for look in (exists, is_file, is_folder)] == [True, False, True]


@pytest.mark.parametrize(
    "name", ["x" * 300, "x" * 300 + "/a.jpg", "y/" * 3000 + "a.jpg", "a\0b", "\ud800", "a.jpg/b.jpg"]
)
def test_where_no_file_can_be_none_is(tmp_path, name):
    (tmp_path / "a.jpg").write_bytes(b"")
    assert not any(look(tmp_path / Path(name)) for look in (exists, is_file, is_folder))
