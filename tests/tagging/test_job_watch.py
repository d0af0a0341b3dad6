"""Photographs tagged as they arrive, each once; folders and names that are passed over."""

import shutil
from pathlib import Path

import pytest

from labelbeam.data.listing import LeftOut, list_images
from labelbeam.tagging.job import watch
from labelbeam.tagging.request import TagRequest


@pytest.mark.parametrize("format_", ["jsonl", "xmp"])
def test_what_arrives_is_tagged_once_and_what_failed_is_tried_again(
    format_: str, finished: Path, drawn: Path, tmp_path: Path
) -> None:
    pictures = sorted(drawn.glob("*.png"))[:3]
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(pictures[0], photos / "a.png")
    (photos / "broken.png").write_bytes(b"half")
    out = photos if format_ == "xmp" else tmp_path / "tags.jsonl"
    record = photos / "tags.jsonl" if format_ == "xmp" else out
    seen: list[list[str]] = []

    def arrives(seconds: float) -> None:
        seen.append([line.split('"image": "')[1].split('"')[0] for line in record.read_text().splitlines()])
        if len(seen) == 1:
            shutil.copy(pictures[1], photos / "b.png")
            shutil.copy(pictures[2], photos / "broken.png")

    request = TagRequest(run=finished, images=[str(photos)], out=out, format=format_, update=True)
    watch(request, {}, settled=0.0, rounds=3, report=lambda line: None, wait=arrives)
    a, b, broken = (str(photos / name) for name in ("a.png", "b.png", "broken.png"))
    assert seen == [[a, broken], [a, b, broken]]
    assert '"error"' not in record.read_text()


def test_folders_of_network_disks_and_excluded_names_are_passed_over_and_counted(tmp_path: Path) -> None:
    for name in (
        "a.jpg",
        "@eaDir/a.jpg",
        "#recycle/b.jpg",
        "lost+found/c.jpg",
        "Rejects/d.jpg",
        "x_small.jpg",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    left_out = LeftOut(["Rejects", "*_small.jpg"])
    assert [path.name for path in list_images([tmp_path], left_out=left_out)] == ["a.jpg"]
    [sentence] = left_out.sentences()
    assert all(
        name in sentence
        for name in ("1 @eaDir/", "1 #recycle/", "1 lost+found/", "1 Rejects/", "1 x_small.jpg")
    )
