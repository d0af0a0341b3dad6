"""New folders appear whole or not at all."""

from pathlib import Path

import pytest

from labelbeam.errors import InputError
from labelbeam.files import new_folder


def test_what_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), new_folder(tmp_path / "out") as part:  # noqa: PT012
        (part / "a.txt").write_text("half")
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_filled_and_a_full_one_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "out"
    place.mkdir(parents=True)
    with new_folder(place) as part:
        (part / "a.txt").write_text("all")
    assert [file.name for file in place.iterdir()] == ["a.txt"]
    with pytest.raises(InputError, match="there already"), new_folder(place):
        pass


def test_a_file_in_the_way_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be made"), new_folder(tmp_path / "file" / "out"):
        pass
