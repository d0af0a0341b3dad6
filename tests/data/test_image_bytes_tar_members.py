"""Headers of archives, against the standard library's reader, and damage told in words."""

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelbeam.data.image_bytes import tar_members
from labelbeam.errors import InputError

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}

NAMES = [
    "a.jpg",
    "sub/b.jpg",
    "x" * 90 + "/" + "y" * 90 + ".jpg",
    "d" * 160 + ".jpg",
    "画像/猫.jpg",
    "./c.jpg",
]


def write(path: Path, names: list[str], kind: str = "pax", size: int = 700) -> Path:
    with tarfile.open(path, "w", format=FORMATS[kind]) as tar:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for i, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.size = size + i
            tar.addfile(info, io.BytesIO(bytes([i]) * info.size))
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "a.jpg"
        tar.addfile(link)
    return path


@pytest.mark.parametrize("kind", FORMATS)
def test_names_and_places_agree_with_the_standard_library(tmp_path, kind):
    names = [name for name in NAMES if kind != "ustar" or len(name) < 100 or "/" in name]
    path = write(tmp_path / "a.tar", names, kind)
    with tarfile.open(path) as tar:
        expected = [
            (info.name.removeprefix("./"), info.offset_data, info.size)
            for info in tar.getmembers()
            if info.isreg()
        ]
    assert [(one.name, one.offset, one.size) for one in tar_members(path)] == expected
    raw = path.read_bytes()
    for i, one in enumerate(tar_members(path)):
        assert raw[one.offset : one.offset + one.size] == bytes([i]) * one.size


@given(
    name=st.text(min_size=1, max_size=130).filter(lambda name: "\0" not in name and not name.endswith("/"))
)
@settings(max_examples=50, deadline=None)
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
def test_any_name_that_a_pax_archive_holds_comes_back(tmp_path_factory, name):
    path = write(tmp_path_factory.mktemp("tar") / "a.tar", [name])
    with tarfile.open(path) as tar:
        expected = tar.getmembers()[1].name
    assert [one.name for one in tar_members(path)] in ([name.removeprefix("./")], [expected])


def test_a_size_beyond_eight_gigabytes_is_read_from_its_binary_form(tmp_path):
    info = tarfile.TarInfo("big.jpg")
    info.size = 9 << 30
    header = info.tobuf(format=tarfile.GNU_FORMAT)
    path = tmp_path / "a.tar"
    with path.open("wb") as file:
        file.write(header)
        file.truncate(512 + info.size + 1024)  # sparse on disk
    assert [one.size for one in tar_members(path)] == [9 << 30]


def broken_header(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[512 + 3] ^= 1
    path.write_bytes(raw)


def cut(path: Path, at: int) -> None:
    path.write_bytes(path.read_bytes()[:at])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (broken_header, ["byte 512", "checksum", "Copy it again"]),
        (lambda path: cut(path, 512 + 512 + 300), ["byte 512", "'a.jpg' ends beyond the end"]),
        (lambda path: cut(path, 512 + 512 + 1024), ["without an end mark"]),
        (lambda path: path.write_bytes(b"no archive" * 100), ["not a tar archive", "tar -cf"]),
        (lambda path: path.write_bytes(b""), ["not a tar archive"]),
        (lambda path: path.write_bytes(b"\x1f\x8b" + bytes(600)), ["compressed", "gunzip"]),
    ],
)
def test_an_archive_that_cannot_be_read_says_where_and_why(tmp_path, change, words):
    path = write(tmp_path / "a.tar", ["a.jpg", "b.jpg"])
    change(path)
    with pytest.raises(InputError) as error:
        list(tar_members(path))
    assert all(word in str(error.value) for word in [str(path), *words]), error.value
