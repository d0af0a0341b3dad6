"""Arguments that name images: files, folders, patterns, lists."""

import io
import os
import tarfile
from itertools import islice
from pathlib import Path

import pytest

from labelbeam.data.listing import LeftOut, list_images
from labelbeam.errors import InputError

FILES = (
    "b.jpg",
    "a.PNG",
    "sub/d.jpeg",
    "sub/deep/c.webp",
    "notes.txt",
    ".hidden.jpg",
    ".cache/e.jpg",
    "sub/data.json",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "0bare").write_bytes(b"\x89PNG\r\n")
    (tmp_path / "0text").write_bytes(b"hello")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(paths, **options) -> list[str]:
    return [path.as_posix() for path in list_images(paths, **options)]


def test_a_folder_is_walked_in_sorted_order_without_hidden_files_and_side_cars(folder):
    assert names(["."]) == ["0bare", "a.PNG", "b.jpg", "sub/d.jpeg", "sub/deep/c.webp"]


def test_a_file_that_is_named_is_taken_whatever_it_is_called_and_as_often(folder):
    assert names(["notes.txt", "b.jpg", Path("b.jpg")]) == ["notes.txt", "b.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["b.jpg"]),
        ("**/*.jpeg", ["sub/d.jpeg"]),
        ("sub/**", ["sub/data.json", "sub/deep/c.webp", "sub/d.jpeg"]),
        ("s?b/*/[a-c].webp", ["sub/deep/c.webp"]),
        ("su*", ["sub/d.jpeg", "sub/deep/c.webp"]),
    ],
)
def test_a_pattern_matches_in_each_folder(folder, pattern, expected):
    assert sorted(names([pattern])) == sorted(expected)


def test_a_list_gives_its_lines_and_does_not_look_them_up(folder):
    Path("list.txt").write_bytes("b.jpg\r\n\nlost.jpg\n写真.jpg\n".encode("utf-8-sig"))
    assert names(["@list.txt"]) == ["b.jpg", "lost.jpg", "写真.jpg"]
    assert names(["-"], stdin=io.StringIO("b.jpg\nsub\n")) == ["b.jpg", "sub/d.jpeg", "sub/deep/c.webp"]


def test_a_list_carries_names_that_are_not_utf8(folder):
    Path("list.txt").write_bytes(b"caf\xe9.jpg\n")
    assert list(list_images(["@list.txt"])) == [Path("caf\udce9.jpg")]


def test_a_name_with_the_characters_of_a_pattern_is_a_name_where_it_exists(folder):
    Path("a[1].jpg").write_bytes(b"")
    assert names(["a[1].jpg"]) == ["a[1].jpg"]


def test_a_link_that_leads_back_up_does_not_go_on_for_ever(folder):
    (folder / "sub" / "loop").symlink_to(folder)
    assert len(names(["."])) == 5


def test_paths_come_as_they_are_asked_for(folder):
    endless = (f"{i}.jpg\n" for i in iter(int, 1))
    assert len(list(islice(list_images(["-"], stdin=endless), 1000))) == 1000


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("lost.jpg", ["'lost.jpg' does not exist", "looked from"]),
        ("lost/*.jpg", ["no file matches 'lost/*.jpg'"]),
        ("@lost.txt", ["the list 'lost.txt' does not exist"]),
    ],
)
def test_an_argument_that_names_nothing_is_an_error_before_the_first_image(folder, argument, words):
    with pytest.raises(InputError) as error:
        list_images(["b.jpg", argument])
    assert all(word in str(error.value) for word in words), error.value


def test_all_missing_arguments_are_named_at_once(folder):
    with pytest.raises(InputError, match=r"'x.jpg' does not exist.*'y.jpg' does not exist"):
        list_images(["x.jpg", "y.jpg"])


@pytest.fixture
def archive(folder: Path) -> Path:
    with tarfile.open(folder / "shard.tar", "w") as tar:
        for name in ("0002.jpg", "0002.json", "sub/0001.PNG", "._0002.jpg", ".hidden/0003.jpg"):
            tar.addfile(tarfile.TarInfo(name))
    return folder / "shard.tar"


def test_an_archive_that_is_named_stands_for_the_images_in_it_in_its_order(archive):
    inside = ["shard.tar/0002.jpg", "shard.tar/sub/0001.PNG"]
    assert names(["shard.tar"]) == names(["*.tar"]) == inside
    assert names(["shard.tar/sub/0001.PNG", "b.jpg"]) == ["shard.tar/sub/0001.PNG", "b.jpg"]


def test_an_archive_in_a_folder_is_no_image_and_not_opened(archive):
    assert not any("shard.tar" in name for name in names(["."]))


def test_a_member_that_is_not_there_and_a_file_that_is_no_archive_are_errors(archive, folder):
    with pytest.raises(InputError, match="does not exist"):
        list_images(["shard.tar/lost.jpg"])
    (folder / "text.tar").write_bytes(b"hello")
    with pytest.raises(InputError, match="not a tar archive"):
        names(["text.tar"])


@pytest.mark.parametrize("argument", ["x" * 300 + ".jpg", "a\0.jpg", "@" + "x" * 300, "x" * 300 + "/*.jpg"])
def test_a_name_that_no_file_can_have_is_an_error_in_words(folder, argument):
    with pytest.raises(InputError, match=r"does not exist|no file matches"):
        list_images([argument])


LISTS = {
    "a byte order mark": "\ufeffa.jpg\nb.jpg\n".encode(),
    "carriage returns": b"a.jpg\r\nb.jpg",
    "UTF-16 of Windows": "a.jpg\r\nb.jpg\r\n".encode("utf-16"),
    "UTF-16, high byte first": "\ufeffa.jpg\nb.jpg\n".encode("utf-16-be"),
    "UTF-16 without a mark": "a.jpg\nb.jpg\n".encode("utf-16-le"),
    "find -print0": b"a.jpg\0b.jpg\0",
}


@pytest.mark.parametrize("written", LISTS)
def test_lists_of_other_programs_are_read_from_a_file_and_from_standard_input(folder, written):
    (folder / "l").write_bytes(LISTS[written])
    assert names(["@l"]) == names(["-"], stdin=io.BytesIO(LISTS[written])) == ["a.jpg", "b.jpg"]


def test_a_name_with_a_line_end_survives_between_nuls(folder):
    assert names(["-"], stdin=io.BytesIO(b"a\nb.jpg\0c.jpg")) == ["a\nb.jpg", "c.jpg"]


def test_a_list_that_is_no_list_of_names_is_refused_before_memory_ends(folder):
    with pytest.raises(InputError, match="a line of"):
        names(["-"], stdin=io.BytesIO(b"x" * 3_000_000))


def test_one_entry_that_cannot_be_looked_at_ends_no_walk(folder, monkeypatch):
    (folder / "sub" / "loop.jpg").symlink_to("loop.jpg")
    scandir = os.scandir

    def refusing(path):
        if Path(path).name in ("deep", "gone"):
            raise PermissionError(13, "denied") if Path(path).name == "deep" else FileNotFoundError(2, "gone")
        return scandir(path)

    (folder / "gone").mkdir()
    monkeypatch.setattr(os, "scandir", refusing)
    left_out = LeftOut()
    found = names(["."], left_out=left_out)
    assert found == ["0bare", "a.PNG", "b.jpg", "sub/d.jpeg", "sub/loop.jpg"]
    denied = [sentence for sentence in left_out.sentences() if "sub/deep" in sentence]
    assert len(denied) == 1
    assert "no permission to list" in denied[0]
    with pytest.raises(InputError, match="the folder gone"):
        names(["."])


def test_pictures_that_cannot_be_read_are_counted(folder, monkeypatch):
    monkeypatch.setattr("labelbeam.data.raw_preview.readable", lambda: False)
    for name in ("c.dng", "d.DNG", "e.jxl", "f.mpo", "g.xmp"):
        (folder / name).write_bytes(b"")
    left_out = LeftOut()
    assert "f.mpo" in names(["."], left_out=left_out)
    assert left_out.suffixes == {".dng": 2, ".jxl": 1}
    assert "3 pictures of kinds that cannot be read were left out (2 .dng, 1 .jxl)" in left_out.sentences()[0]
    assert "pip install 'labelbeam[raw]'" in left_out.sentences()[0]


def test_raw_photographs_are_listed_where_their_previews_can_be_read(folder, monkeypatch):
    monkeypatch.setattr("labelbeam.data.raw_preview.readable", lambda: True)
    for name in ("b.CR2", "c.dng", "e.jxl"):
        (folder / name).write_bytes(b"")
    assert {"b.CR2", "b.jpg", "c.dng"} <= set(names(["."], left_out=LeftOut()))
    left_out = LeftOut(twins=False)
    found = names(["."], left_out=left_out)
    assert "c.dng" in found
    assert "b.CR2" not in found
    assert "1 raw photographs have a JPEG of their name beside them" in left_out.sentences()[0]
    assert "c.dng" not in names(["."])  # data sets of other formats


def test_folders_may_lie_deeper_than_the_stack_of_python(folder, monkeypatch):
    monkeypatch.chdir(folder / "sub")
    for _ in range(1200):
        Path("x").mkdir()
        os.chdir("x")
    Path("z.jpg").write_bytes(b"")
    found = names([folder / "sub"])
    Path("z.jpg").unlink()
    for _ in range(1200):  # what removes folders afterwards has a stack too
        os.chdir("..")
        Path("x").rmdir()
    assert len([name for name in found if name.endswith("/x/z.jpg")]) == 1


def test_marks_around_a_name_and_addresses_of_files_are_read_where_nothing_is_called_so(tmp_path):
    for name in ("a b.jpg", '"c".jpg', "'d'"):
        (tmp_path / name).write_bytes(b"")
    lines = [f'"{tmp_path}/a b.jpg"', f"file://{tmp_path}/a%20b.jpg", f'{tmp_path}/"c".jpg', "'gone.jpg'"]
    found = list_images(["-"], stdin=io.BytesIO("\n".join(lines).encode()))
    assert list(found) == [tmp_path / "a b.jpg"] * 2 + [tmp_path / '"c".jpg', Path("gone.jpg")]
