"""A job that is added to: what changed is tagged again, what moved keeps its tags, keywords inside change nothing."""

import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from labelbeam.tagging import job, sources
from labelbeam.tagging.request import TagRequest
from labelbeam.tagging.sidecars import untag


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of photographs that the model was asked about, in order."""
    asked: list[str] = []
    source = sources.from_images

    def noted(tagger, choices, kept=sources.NONE_KEPT):
        answers = source(tagger, choices, kept)

        def of(paths):
            def each():
                for path in paths:
                    asked.append(path.name)
                    yield path

            return answers(each())

        return of

    monkeypatch.setattr(sources, "from_images", noted)
    return asked


@pytest.fixture
def photos(drawn: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "old").mkdir(parents=True)
    for name, picture in zip(("old/a.png", "b.png", "c.png"), sorted(drawn.glob("*.png")), strict=False):
        shutil.copy(picture, folder / name)
    return folder


@pytest.fixture(params=["jsonl", "xmp"])
def tag(request, finished: Path, photos: Path, tmp_path: Path) -> Callable[[], dict[str, dict]]:
    """Tag what is new, and return the record's lines by image."""
    out = photos if request.param == "xmp" else tmp_path / "tags.jsonl"

    def do() -> dict[str, dict]:
        asked = TagRequest(run=finished, images=[str(photos)], out=out, format=request.param, update=True)
        job.tag_images(asked, {}, shown=False, report=lambda line: None)
        record = photos / "tags.jsonl" if request.param == "xmp" else out
        lines = [json.loads(line) for line in record.read_text().splitlines()]
        assert len({line["image"] for line in lines}) == len(lines)
        return {str(Path(line["image"]).relative_to(photos)): line for line in lines}

    return do


def test_a_photograph_that_has_other_pixels_now_is_tagged_again(
    tag, photos: Path, drawn: Path, read: list[str]
) -> None:
    tag()
    before = tag()
    assert sorted(read) == ["a.png", "b.png", "c.png"]
    shutil.copy(sorted(drawn.glob("*.png"))[7], photos / "b.png")
    after = tag()
    assert read[3:] == ["b.png"]
    assert set(after) == set(before)
    assert after["b.png"]["file"]["hash"] != before["b.png"]["file"]["hash"]


def test_a_file_that_was_touched_or_got_keywords_is_not(tag, photos: Path, read: list[str]) -> None:
    before = tag()
    (photos / "c.png").touch()
    text = b"tEXtComment\0what a program wrote"
    chunk = (len(text) - 4).to_bytes(4, "big") + text + zlib.crc32(text).to_bytes(4, "big")
    content = (photos / "b.png").read_bytes()
    (photos / "b.png").write_bytes(content[:33] + chunk + content[33:])
    again = tag()
    assert len(read) == 3
    assert again["b.png"]["file"]["hash"] == before["b.png"]["file"]["hash"]
    assert again["b.png"]["file"]["size"] != before["b.png"]["file"]["size"]


def test_a_photograph_that_moved_keeps_its_tags_and_is_not_tagged_twice(
    tag, photos: Path, drawn: Path, read: list[str]
) -> None:
    before = tag()
    (photos / "new").mkdir()
    for name in ("a.png", "a.png.xmp"):
        if (photos / "old" / name).exists():
            (photos / "old" / name).rename(photos / "new" / name)
    shutil.copy(sorted(drawn.glob("*.png"))[9], photos / "d.png")
    after = tag()
    assert read[3:] == ["d.png"]
    assert set(after) == {"b.png", "c.png", "d.png", "new/a.png"}
    assert after["new/a.png"]["labels"] == before["old/a.png"]["labels"]
    if (photos / "new" / "a.png.xmp").exists():  # still the run's, not a person's
        untag(photos)
        assert not list(photos.rglob("*.xmp"))


def test_a_line_of_a_photograph_that_is_gone_stays(tag, photos: Path, read: list[str]) -> None:
    tag()
    (photos / "c.png").unlink()
    assert set(tag()) == {"old/a.png", "b.png", "c.png"}
    assert len(read) == 3
