"""A call of `tag` without a command line: how often images are listed, and what it says on the way."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labelbeam.tagging import job as tagging
from labelbeam.tagging.job import Counts, tag_images
from labelbeam.tagging.request import TagRequest


@pytest.mark.parametrize(
    ("asked", "shown", "walks"),
    [({}, False, 1), ({}, True, 2), ({"engine": "torch", "precision": "bfloat16"}, False, 2)],
)
def test_images_are_listed_twice_at_most_and_once_where_nobody_needs_their_number(
    asked: dict[str, Any],
    shown: bool,
    walks: int,
    finished: Path,
    drawn: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = []
    list_images = tagging.list_images

    def counted(named: list[str], **options: object) -> Iterator[Path]:
        begun.append(named)
        yield from list_images(named, **options)

    monkeypatch.setattr(tagging, "list_images", counted)
    names = [str(path) for path in sorted(drawn.glob("*.png"))[:3]]
    request = TagRequest(run=finished, images=names, out=tmp_path / "tags.jsonl", **asked)
    said: list[str] = []
    counts = tag_images(request, {}, shown=shown, report=said.append)
    assert counts == Counts(3, 0, "", 0, "")
    assert len(begun) == walks
    assert said == (["features by torch in bfloat16."] if asked else [])
