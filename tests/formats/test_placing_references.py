"""References to many images are those to each of them."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from labelbeam.formats.placing import reference, references

PARTS = st.lists(st.sampled_from(["photos", "a", "が", "..", "b c"]), min_size=0, max_size=4)


@given(st.lists(PARTS, min_size=1, max_size=5), PARTS)
def test_many_at_once_are_the_same_as_one_by_one(sources, folder):
    paths = [Path("/no/such/place", *parts, "x.jpg") for parts in sources]
    here = Path("/no/such/place", *folder)
    assert references(paths, here) == [reference(path, here) for path in paths]


def test_relative_paths_start_from_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert references([Path("a.jpg"), Path("b/c.jpg")], Path()) == ["a.jpg", "b/c.jpg"]
    assert references([Path("a.jpg")], Path("out")) == [f"{tmp_path.as_posix()}/a.jpg"]


def test_a_file_at_the_root_has_one_slash():
    assert references([Path("/x.jpg")], Path("/out")) == ["/x.jpg"]
