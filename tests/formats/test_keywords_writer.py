"""Sidecars: other programs read them, what others wrote stays, photographs are not touched."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelbeam.data.dataset import Dataset
from labelbeam.errors import InputError
from labelbeam.formats.keywords import read_keywords, write_keywords
from labelbeam.formats.photo_metadata.xmp import new_packet, with_lists, xmp_keywords
from labelbeam.labels.vocabulary import Vocabulary

EXIFTOOL = shutil.which("exiftool")
needs_exiftool = pytest.mark.skipif(
    EXIFTOOL is None, reason="needs exiftool (apt install libimage-exiftool-perl)"
)

DARKTABLE = """<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:darktable="http://darktable.sf.net/"
   darktable:xmp_version="5">
   <!-- a comment -->
   <dc:subject>
    <rdf:Seq>
     <rdf:li>holiday</rdf:li>
     <rdf:li>dog</rdf:li>
    </rdf:Seq>
   </dc:subject>
   <darktable:history><rdf:Seq><rdf:li darktable:operation="exposure"/></rdf:Seq></darktable:history>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""


def photos(folder: Path, *names: str) -> Dataset:
    folder.mkdir(parents=True)
    for name in names:
        Image.new("RGB", (4, 4)).save(folder / name)
    targets = np.array([[1, 0, -1]] * len(names), dtype=np.int8)
    return Dataset("x", folder, names, Vocabulary(("cat & <b>", "dog", "海")), targets)


@needs_exiftool
def test_exiftool_reads_what_is_written(tmp_path):
    dataset = photos(tmp_path / "p", "a.jpg", "b.jpg")
    dataset = Dataset("x", dataset.root, dataset.images, dataset.vocabulary, np.ones((2, 3), dtype=np.int8))
    (tmp_path / "p/b.jpg.xmp").write_text(DARKTABLE)
    write_keywords(dataset, tmp_path / "p", split="", images="keep")
    files = [tmp_path / "p/a.jpg.xmp", tmp_path / "p/b.jpg.xmp"]
    said = subprocess.run(
        [EXIFTOOL, "-json", "-validate", "-XMP-dc:Subject", *files], capture_output=True, check=True
    )
    first, second = json.loads(said.stdout)
    assert first["Subject"] == ["cat & <b>", "dog", "海"]
    assert second["Subject"] == ["holiday", "dog", "cat & <b>", "海"]
    assert first["Validate"] == second["Validate"] == "OK"


def test_of_a_sidecar_that_is_there_only_the_list_changes(tmp_path):
    dataset = photos(tmp_path / "p", "a.jpg")
    (tmp_path / "p/a.jpg.xmp").write_text(DARKTABLE)
    photograph = (tmp_path / "p/a.jpg").read_bytes()
    notes = write_keywords(dataset, tmp_path / "p", split="", images="keep")
    changed = (tmp_path / "p/a.jpg.xmp").read_text()
    start, stop = DARKTABLE.index("<dc:subject>"), DARKTABLE.index("</dc:subject>") + len("</dc:subject>")
    assert changed.startswith(DARKTABLE[:start])
    # The lists that other programs look at come before the end; what was there stays, byte by byte.
    before_end = DARKTABLE[stop:].index("</rdf:RDF>")
    assert DARKTABLE[stop:][:before_end] in changed
    assert changed.endswith(DARKTABLE[stop:][before_end:])
    assert (
        "<rdf:Seq>\n     <rdf:li>holiday</rdf:li>\n     <rdf:li>cat &amp; &lt;b&gt;</rdf:li>\n    </rdf:Seq>"
        in changed
    )
    # dog is known to be absent and goes; holiday is no label of the data set and stays.
    assert xmp_keywords(changed.encode(), "a") == ["holiday", "cat & <b>"]
    assert any("1 sidecars were there" in note for note in notes)
    assert (tmp_path / "p/a.jpg").read_bytes() == photograph


def test_an_unknown_label_stays_as_the_sidecar_has_it(tmp_path):
    dataset = photos(tmp_path / "p", "a.jpg")
    (tmp_path / "p/a.jpg.xmp").write_bytes(new_packet({"dc:subject": ["海"]}))
    write_keywords(dataset, tmp_path / "p", split="", images="keep")
    assert read_keywords(tmp_path / "p", "").example(0).present == ("cat & <b>", "海")


@pytest.mark.parametrize(
    "body",
    [
        '<rdf:Description rdf:about="uuid:1"/>',
        '<rdf:Description rdf:about="uuid:1"><d:subject xmlns:d="http://purl.org/dc/elements/1.1/"/></rdf:Description>',
        '<rdf:Description rdf:about="" xmlns="http://purl.org/dc/elements/1.1/"><subject>one</subject></rdf:Description>',
        "",
    ],
)
def test_a_list_is_put_into_sidecars_however_they_are_written(body):
    rdf = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
    before = f'<a><rdf:RDF xmlns:rdf="{rdf}">{body}</rdf:RDF></a>'.encode()
    assert xmp_keywords(with_lists(before, {"dc:subject": ["x", "é&"]}, "a"), "a") == ["x", "é&"]


def test_writing_twice_changes_nothing_more(tmp_path):
    dataset = photos(tmp_path / "p", "a.jpg", "b.png")
    for _ in range(2):
        write_keywords(dataset, tmp_path / "p", split="", images="keep")
        files = {path.name: path.read_bytes() for path in (tmp_path / "p").iterdir()}
    write_keywords(dataset, tmp_path / "p", split="", images="keep")
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "p").iterdir()}


@pytest.mark.parametrize(
    ("sidecar", "content", "words"),
    [
        ("b.png.xmp", "<a/>", ["b.png.xmp", "no rdf:RDF"]),
        ("b.png.xmp", "<a", ["b.png.xmp", "not readable XML"]),
        (
            "b.png.xmp",
            DARKTABLE.replace("history", "subject", 2).replace("darktable:sub", "dc:sub"),
            ["2 lists dc:subject"],
        ),
        ("b.png.xmp", '<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>', ["no rdf:RDF"]),
    ],
)
def test_one_sidecar_that_cannot_be_merged_leaves_all_as_they_were(tmp_path, sidecar, content, words):
    dataset = photos(tmp_path / "p", "a.jpg", "b.png")
    (tmp_path / "p" / sidecar).write_text(content)
    with pytest.raises(InputError) as error:
        write_keywords(dataset, tmp_path / "p", split="", images="keep")
    assert all(word in str(error.value) for word in words), error.value
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["a.jpg", "b.png", sidecar]


def test_two_images_do_not_share_a_sidecar(tmp_path):
    dataset = photos(tmp_path / "p", "a.jpg", "a.png")
    (tmp_path / "p/a.xmp").write_text(DARKTABLE)
    with pytest.raises(InputError, match=r"'a\.jpg' and 'a\.png' would share the sidecar"):
        write_keywords(dataset, tmp_path / "p", split="", images="keep")


def test_images_elsewhere_in_archives_and_splits_are_refused(tmp_path):
    dataset = photos(tmp_path / "p", "a.jpg")
    (tmp_path / "q").mkdir()
    with pytest.raises(InputError, match=r"1 images are not files below .*--images copy"):
        write_keywords(dataset, tmp_path / "q", split="", images="keep")
    with pytest.raises(InputError, match="no splits"):
        write_keywords(dataset, tmp_path / "p", split="train", images="keep")


def test_a_raw_photograph_gets_the_sidecar_of_raw_photographs(tmp_path: Path) -> None:
    taken = photos(tmp_path / "p", "a.jpg")
    (tmp_path / "p/a.jpg").rename(tmp_path / "p/a.dng")
    dataset = Dataset("x", taken.root, ("a.dng",), taken.vocabulary, taken.targets)
    write_keywords(dataset, tmp_path / "p", split="", images="keep")
    assert xmp_keywords((tmp_path / "p/a.xmp").read_bytes(), "a.xmp") == ["cat & <b>"]
