"""What every writer does alike: images inside archives, and keys that lead out of the folder."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelbeam.data.dataset import Dataset
from labelbeam.data.image_bytes import image_bytes
from labelbeam.errors import InputError
from labelbeam.formats.registry import FORMATS, open_dataset, write_dataset
from labelbeam.labels.vocabulary import Vocabulary

PLACES = {
    **{"mmpretrain": "out.json", "paddle": "out.txt", "jsonl": "out.jsonl", "labelstudio": "out.json"},
    **{"cvat": "out.xml", "csv": "out.csv", "cleanlab": "out.json"},
}
"""Formats that are one file; the others are folders."""

SPLITS = {"voc2007": "train", "voc2012": "train", "coco": "train"}

WRITERS = [name for name, entry in FORMATS.items() if entry.write and name != "vectors"]
"""Those of photographs."""


def argument(name: str, folder: Path) -> str:
    split = f"#{SPLITS[name]}" if name in SPLITS else ""
    return f"{name}:{folder / PLACES.get(name, 'out')}{split}"


def picture(width: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, 5), 90).save(buffer, "PNG")
    return buffer.getvalue()


def found(dataset: Dataset) -> dict[bytes, set[str]]:
    return {image_bytes(path): set(dataset.example(i).present) for i, path in enumerate(dataset.paths)}


@pytest.fixture
def archived(tmp_path) -> Dataset:
    """Three images in an archive, of 4, 6 and 8 pixels."""
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        for i in range(3):
            info = tarfile.TarInfo(f"sub/{i}.png")
            info.size = len(picture(4 + 2 * i))
            tar.addfile(info, io.BytesIO(picture(4 + 2 * i)))
    keys = tuple(f"photos.tar/sub/{i}.png" for i in range(3))
    targets = np.array([[1, 0], [1, 1], [0, 1]], dtype=np.int8)
    return Dataset("made:up", tmp_path, keys, Vocabulary(("cat", "dog")), targets)


@pytest.mark.parametrize("name", WRITERS)
def test_images_inside_an_archive_are_written_and_read_back(tmp_path, archived, name):
    write_dataset(archived, argument(name, tmp_path / "new"), images="link")
    assert found(open_dataset(argument(name, tmp_path / "new"))) == found(archived)


@pytest.mark.parametrize("name", WRITERS)
def test_keys_that_lead_out_of_the_folder_are_placed_inside_it(tmp_path, name):
    (tmp_path / "root/sub").mkdir(parents=True)
    (tmp_path / "root/own").mkdir()
    places = (tmp_path / "root/own/a.png", tmp_path / "root/sub/b.png", tmp_path / "root/c.png")
    for i, place in enumerate(places):
        place.write_bytes(picture(4 + 2 * i))
    keys = (str(places[0]), "../root/sub/b.png", "c.png")
    targets = np.array([[1, 0], [1, 1], [0, 1]], dtype=np.int8)
    dataset = Dataset("made:up", tmp_path / "root", keys, Vocabulary(("cat", "dog")), targets)
    before = sorted(tmp_path.rglob("*"))
    write_dataset(dataset, argument(name, tmp_path / "new"), images="copy")
    assert (
        sorted(file for file in tmp_path.rglob("*") if "new" not in file.relative_to(tmp_path).parts)
        == before
    )
    assert found(open_dataset(argument(name, tmp_path / "new"))) == found(dataset)


@pytest.mark.parametrize(
    ("name", "images"), [("coco", "keep"), ("coco", "copy"), ("cvat", "keep"), ("voc2007", "copy")]
)
def test_sizes_of_images_inside_an_archive_are_written(tmp_path, archived, name, images):
    notes = write_dataset(archived, argument(name, tmp_path / "new"), images=images)
    assert not any(("size" in note and "0" in note) or "width" in note for note in notes), notes
    text = "".join(
        file.read_text() for file in (tmp_path / "new").rglob("*") if file.suffix in {".json", ".xml"}
    )
    shown = {"coco": '"width": {}', "cvat": 'width="{}"', "voc2007": "<width>{}</width>"}[name]
    assert all(shown.format(width) in text for width in (4, 6, 8))


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in {"keywords", "webdataset"}])
@pytest.mark.parametrize("label", ["<end>", "\udcff", "e\u0301"])
def test_labels_that_would_not_come_back_are_refused_and_nothing_is_left(tmp_path, archived, name, label):
    made = Dataset("made:up", tmp_path, archived.images, Vocabulary((label, "dog")), archived.targets)
    with pytest.raises(InputError) as error:
        write_dataset(made, argument(name, tmp_path / "new"), images="copy")
    assert repr(label) in str(error.value) or label in str(error.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "photos.tar"]
