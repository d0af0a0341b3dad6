"""One file's fault is its own: damaged labels, pipes and dead links among files that are in order."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from labelbeam.errors import InputError
from labelbeam.formats.registry import open_dataset

BOX = "0 .5 .5 .1 .1"
XML = "<annotation><object><name>cat</name></object></annotation>"
FLAGS = json.dumps({"imagePath": "a.jpg", "flags": {"cat": True}, "shapes": []})


def made(folder: Path, labels: dict[str, str | bytes]) -> Path:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / name)
    for name, text in labels.items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def states(spec: str) -> tuple[dict[str, list[int]], str]:
    dataset = open_dataset(spec)
    return dict(zip(dataset.images, dataset.targets.tolist(), strict=True)), " ".join(dataset.notes)


@pytest.mark.parametrize(
    ("data_format", "good", "bad", "suffix"),
    [
        ("sidecar", "cat", "犬海".encode("cp932"), ".txt"),
        ("yolo", BOX, b"0 .5 .5", ".txt"),
        ("voc", XML, b"<annotation><obj", ".xml"),
        (
            "voc",
            XML,
            b"<annotation><object><name>caf\x81</name></object></annotation>",
            ".xml",
        ),
        ("labelme", FLAGS, b'{"imagePath":', ".json"),
    ],
)
def test_a_damaged_file_of_labels_is_counted_and_the_others_are_read(
    tmp_path, data_format, good, bad, suffix
):
    made(tmp_path, {f"a{suffix}": good, f"b{suffix}": good.replace("a.jpg", "b.jpg"), f"c{suffix}": bad})
    if data_format == "yolo":
        (tmp_path / "classes.txt").write_text("cat\ndog\n")
    found, notes = states(f"{data_format}:{tmp_path}")
    assert found["a.jpg"][0] == found["b.jpg"][0] == 1
    assert (
        f"1 {'label files' if data_format == 'yolo' else suffix.upper()[1:] if suffix != '.txt' else '.txt'}"
        in notes
    )
    # Nobody can tell what such a file said: unknown, or not there at all, but never absent.
    assert all(value == -1 for value in found.get("c.jpg", []))
    (tmp_path / f"b{suffix}").write_bytes(bad)
    with pytest.raises(InputError, match=f"b{suffix}|c{suffix}"):
        open_dataset(f"{data_format}:{tmp_path}")


@pytest.mark.parametrize("data_format", ["folder", "sidecar", "keywords"])
def test_pipes_and_dead_links_among_images_are_counted_by_kind(tmp_path, data_format):
    (tmp_path / "cat").mkdir()
    made(tmp_path / "cat", {"a.txt": "cat", "b.txt": "cat", "c.txt": ""})
    packet = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    packet += '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject><rdf:Bag><rdf:li>cat</rdf:li>'
    packet += "</rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"
    (tmp_path / "cat/a.jpg.xmp").write_text(packet)
    os.mkfifo(tmp_path / "cat/p.jpg")
    (tmp_path / "cat/l.jpg").symlink_to("nowhere")
    found, notes = states(f"{data_format}:{tmp_path}")
    assert set(found) == {"cat/a.jpg", "cat/b.jpg", "cat/c.jpg"}
    assert "1 pipes or devices" in notes
    assert "1 links to nothing" in notes


@pytest.mark.parametrize("data_format", ["voc", "labelme", "yolo"])
def test_a_pipe_in_place_of_labels_is_not_waited_for(tmp_path, data_format):
    good, suffix = {"voc": (XML, ".xml"), "labelme": (FLAGS, ".json"), "yolo": (BOX, ".txt")}[data_format]
    made(tmp_path, {f"a{suffix}": good})
    if data_format == "yolo":
        (tmp_path / "classes.txt").write_text("cat\n")
    os.mkfifo(tmp_path / f"b{suffix}")
    assert "pipe" in states(f"{data_format}:{tmp_path}")[1]


def test_a_sidecar_of_keywords_that_is_a_pipe_is_not_waited_for(tmp_path):
    made(tmp_path, {})
    os.mkfifo(tmp_path / "a.jpg.xmp")
    with pytest.raises(InputError, match="no image has a label"):
        open_dataset(f"keywords:{tmp_path}")


def test_a_pipe_that_is_named_itself_is_refused(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(InputError, match="pipe or a device"):
        open_dataset(f"csv:{tmp_path / 't.csv'}")


def test_a_damaged_arrow_file_is_refused_before_its_offsets_are_used(tmp_path):
    raw = (Path(__file__).parents[1] / "fuzz_inputs/vectors.arrow/offset.bin").read_bytes()
    (tmp_path / "a.arrow").write_bytes(raw)
    with pytest.raises(InputError, match="is no whole arrow file"):
        open_dataset(f"vectors:{tmp_path / 'a.arrow'}")
