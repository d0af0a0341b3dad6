"""Sidecars: where they go, what stays of other people's, and that photo programs read them."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labelbeam.errors import InputError
from labelbeam.formats.photo_metadata.xmp import xmp_keywords
from labelbeam.formats.sidecar import read_sidecar
from labelbeam.predict.prediction import Prediction, ScoredLabel
from labelbeam.tagging.sidecars import Sidecars, untag


def said(image: Path | str, *labels: str) -> Prediction:
    return Prediction(str(image), tuple(ScoredLabel(one, 0.5, 0.5, 0.5, 0.0) for one in labels))


@pytest.fixture
def beside() -> Iterator[Callable[..., Sidecars]]:
    """What makes sidecars of a new job, the one before it ended."""
    opened: list[Sidecars] = []

    def make(folder: Path, kind: str = "txt", **options: object) -> Sidecars:
        if opened:
            opened.pop().finish()
        opened.append(Sidecars(kind, folder, **{"labels": ["dog", "cat"], "named": [str(folder)], **options}))
        return opened[0]

    yield make
    for one in opened:
        one.close()


def test_an_image_inside_the_folder_gets_its_file_beside_it_and_others_below_it(
    beside: Callable[..., Sidecars], tmp_path: Path
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    (photos / "a").mkdir(parents=True)
    assert beside(photos).place(photos / "a" / "b.jpg") == photos / "a" / "b.jpg"
    assert beside(out, named=[str(photos)]).place(photos / "a" / "b.jpg") == out / "a" / "b.jpg"
    elsewhere = beside(out, named=[str(photos)])
    assert elsewhere.place(Path("../x/b.jpg")) == out / "x" / "b.jpg"
    assert elsewhere.place(Path("/x/b.jpg")) == out / "x" / "b.jpg"
    assert elsewhere.place(Path("shards/a.tar/b.jpg")) == out / "shards" / "a.tar" / "b.jpg"


def test_text_files_are_read_back_as_a_data_set(beside: Callable[..., Sidecars], tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(b"")
    texts = beside(tmp_path)
    texts.write(said(tmp_path / "a.jpg", "dog", "cat"))
    texts.write(said(tmp_path / "b.jpg", "cat"))
    assert texts.write(said(tmp_path / "c.jpg")) == ""
    assert (tmp_path / "a.txt").read_text() == "dog, cat\n"
    assert (tmp_path / "c.txt").read_text() == ""
    read = read_sidecar(tmp_path, "")
    assert [read.example(i).present for i in range(3)] == [("cat", "dog"), ("cat",), ()]


def test_a_text_file_of_somebody_elses_is_replaced_only_when_asked(
    beside: Callable[..., Sidecars], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("by hand\n")
    assert "is there with other content" in beside(tmp_path).write(said(tmp_path / "a.jpg", "dog"))
    assert (tmp_path / "a.txt").read_text() == "by hand\n"
    assert beside(tmp_path, replace=True).write(said(tmp_path / "a.jpg", "dog")) == ""
    assert (tmp_path / "a.txt").read_text() == "dog\n"
    assert beside(tmp_path).write(said(tmp_path / "a.jpg", "dog")) == "", "the same again is no loss"


def test_two_images_that_would_share_a_text_file_do_not(
    beside: Callable[..., Sidecars], tmp_path: Path
) -> None:
    for name in ("a.jpg", "a.png"):
        (tmp_path / name).write_bytes(b"")
    texts = beside(tmp_path, replace=True)
    assert texts.write(said(tmp_path / "a.jpg", "dog")) == ""
    assert "is the file of" in texts.write(said(tmp_path / "a.png", "cat"))
    assert texts.write(said(tmp_path / "a.jpg", "dog")) == "", "the same image again is the same file"
    assert (tmp_path / "a.txt").read_text() == "dog\n"
    keywords = beside(tmp_path, "xmp")
    assert keywords.write(said(tmp_path / "a.jpg", "dog")) == keywords.write(said(tmp_path / "a.png")) == ""
    assert (tmp_path / "a.jpg.xmp").exists()
    assert not (tmp_path / "a.png.xmp").exists(), "a sidecar that says nothing is none"


OTHERS = """<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmp:Rating="4"><dc:subject><rdf:Bag><rdf:li>grandma</rdf:li><rdf:li>cat</rdf:li></rdf:Bag></dc:subject>
</rdf:Description></rdf:RDF></x:xmpmeta>
"""


def test_of_a_sidecar_that_is_there_everything_stays_and_labels_are_added(
    beside: Callable[..., Sidecars], tmp_path: Path
) -> None:
    sidecar = tmp_path / "a.xmp"  # as Lightroom names it
    sidecar.write_text(OTHERS)
    keywords = beside(tmp_path, "xmp")
    assert keywords.write(said(tmp_path / "a.jpg", "dog", "cat")) == ""
    first = sidecar.read_bytes()
    assert b'xmp:Rating="4"' in first
    assert [first.count(word) for word in (b"grandma", b">cat<", b">dog<")] == [3, 3, 3], "in every list"
    assert not (tmp_path / "a.jpg.xmp").exists()
    assert keywords.write(said(tmp_path / "a.jpg", "dog", "cat")) == ""
    assert sidecar.read_bytes() == first, "writing again changes nothing"
    if shutil.which("exiftool"):
        told = subprocess.run(
            ["exiftool", "-json", "-Subject", "-Rating", sidecar], capture_output=True, check=True
        )
        [read] = json.loads(told.stdout)
        assert (read["Subject"], read["Rating"]) == (["grandma", "cat", "dog"], 4)
    assert keywords.write(said(tmp_path / "a.jpg")) == ""
    assert sidecar.read_text() == OTHERS, (
        "another run's answer: what the first one wrote goes, and nothing else"
    )


def test_a_sidecar_that_cannot_be_merged_stays_and_is_told(
    beside: Callable[..., Sidecars], tmp_path: Path
) -> None:
    (tmp_path / "a.jpg.xmp").write_text("<broken")
    assert "a.jpg.xmp" in beside(tmp_path, "xmp").write(said(tmp_path / "a.jpg", "dog"))
    assert (tmp_path / "a.jpg.xmp").read_text() == "<broken"


@pytest.mark.parametrize(("kind", "label"), [("txt", "dog, cat"), ("txt", "a\nb"), ("xmp", "a\x01b")])
def test_a_label_that_the_file_cannot_hold_is_refused_before_any_work(
    beside: Callable[..., Sidecars], kind: str, label: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="which this format cannot"):
        beside(tmp_path, kind, labels=[label])


def test_what_could_not_be_written_is_no_tag_that_a_person_took_away(
    beside: Callable[..., Sidecars], tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    sidecar = tmp_path / "a.jpg.xmp"
    beside(tmp_path, "xmp").write(said(tmp_path / "a.jpg", "cat"))
    sidecar.chmod(0o444)
    assert "is read-only" in beside(tmp_path, "xmp").write(said(tmp_path / "a.jpg", "cat", "dog"))
    sidecar.chmod(0o644)
    assert beside(tmp_path, "xmp").write(said(tmp_path / "a.jpg", "cat", "dog")) == ""
    assert "<rdf:li>dog</rdf:li>" in sidecar.read_text()


def test_tags_of_a_run_on_a_raw_photograph_are_no_persons_keywords_on_its_jpeg(
    beside: Callable[..., Sidecars], tmp_path: Path
) -> None:
    for name in ("a.dng", "a.jpg"):
        (tmp_path / name).write_bytes(b"")
    writing = beside(tmp_path, "xmp")
    writing.write(said(tmp_path / "a.dng", "dog"))
    writing.write(said(tmp_path / "a.jpg", "cat"))
    writing.finish()
    assert "<rdf:li>dog</rdf:li>" in (tmp_path / "a.xmp").read_text()
    assert xmp_keywords((tmp_path / "a.jpg.xmp").read_bytes(), "a") == ["cat"]
    untag(tmp_path)
    assert not list(tmp_path.glob("*.xmp"))
