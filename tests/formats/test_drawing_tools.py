"""CVAT for images: tags, shapes, subsets, the list of labels, and XML that is something else."""

from pathlib import Path

import pytest
from PIL import Image

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.drawing_tools import read_cvat, write_cvat

KEEP = ReadOptions(missing="keep")

META = """<meta><task><name>birds</name><labels>
<label><name>sky</name><attributes/></label><label><name>bird</name></label><label><name>sea</name></label>
</labels></task><dumped>2024-01-01</dumped></meta>"""

IMAGES = """
<image id="0" name="a.jpg" width="4" height="3" subset="train">
  <tag label="bird" source="manual"><attribute name="sure">yes</attribute></tag><tag label="sky"/><tag label="bird"/>
</image>
<image id="1" name="sub\\b.jpg" width="4" height="3" subset="test"><box label="boat" xtl="1"/></image>
"""


def write(folder: Path, body: str = META + IMAGES, root: str = "annotations") -> Path:
    file = folder / "annotations.xml"
    file.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n<{root}><version>1.1</version>{body}</{root}>')
    return file


def test_tags_are_labels_in_the_order_of_the_files_own_list(tmp_path):
    dataset = read_cvat(write(tmp_path), "", options=KEEP)
    assert dataset.images == ("a.jpg", "sub/b.jpg")
    assert dataset.vocabulary.names == ("sky", "bird", "sea")
    assert dataset.targets.tolist() == [[1, 1, 0], [0, 0, 0]]
    assert "shapes were not: 1 box" in dataset.notes[1]


def test_subsets_are_splits_and_all_is_every_image(tmp_path):
    write(tmp_path)
    assert read_cvat(tmp_path, "test", options=KEEP).images == ("sub/b.jpg",)
    assert len(read_cvat(tmp_path, "all", options=KEEP)) == 2


def test_a_file_of_shapes_only_gives_the_set_of_their_labels_and_says_so(tmp_path):
    body = '<image id="0" name="a.jpg"><box label="boat"/><polygon label="sea"/><box label="boat"/></image>'
    dataset = read_cvat(write(tmp_path, body), "", options=KEEP)
    assert dataset.example(0).present == ("boat", "sea")
    assert "labels of shapes, because the file has no tag" in dataset.notes[0]


@pytest.mark.parametrize("where", [".", "images"])
def test_images_are_found_beside_the_file_or_in_the_folder_images(tmp_path, where):
    (tmp_path / where / "sub").mkdir(parents=True)
    for name in ("a.jpg", "sub/b.jpg"):
        (tmp_path / where / name).write_bytes(b"")
    assert all(path.is_file() for path in read_cvat(write(tmp_path), "").paths)


@pytest.mark.parametrize(
    ("body", "root", "split", "words"),
    [
        (META + IMAGES, "annotation", "", ["<annotation>", "CVAT for images 1.1"]),
        ('<track id="0" label="a"/>', "annotations", "", ["tracks of a video"]),
        (META + IMAGES, "annotations", "trian", ["unknown split 'trian'", "'train'"]),
        (META + '<image id="0" name="a.jpg"/>', "annotations", "train", ["no subset", "#train"]),
        ('<image id="0">\n</image>', "annotations", "", ["line 2", "the image is empty"]),
        ('\n<image name="a.jpg"><tag/></image>', "annotations", "", ["line 3", "a tag has no label"]),
        (META, "annotations", "", ["no image is listed"]),
        ('<image name="a.jpg"/>', "annotations", "", ["no image has a label"]),
        (
            '<image name="a.jpg"><tag label="x"/></image><image name="a.jpg"/>',
            *("annotations", "", ["'a.jpg' is there twice"]),
        ),
        ('<image name="a.jpg"><tag label="&lt;end&gt;"/></image>', "annotations", "", ["'<end>'", "token"]),
        ("<image", "annotations", "", ["line 2", "not readable XML"]),
    ],
)
def test_a_file_that_cannot_be_read_says_where_and_why(tmp_path, body, root, split, words):
    with pytest.raises(InputError) as error:
        read_cvat(write(tmp_path, body, root), split, options=KEEP)
    assert all(word in str(error.value) for word in words), error.value


def test_width_height_and_subset_are_written_as_cvat_has_them(tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (7, 5)).save(tmp_path / "in/a.jpg")
    given = read_cvat(write(tmp_path / "in"), "train")
    dataset = Dataset("x", tmp_path / "in", given.images, given.vocabulary, given.targets)
    notes = write_cvat(dataset, tmp_path / "out/b.xml", split="train", images="keep")
    text = (tmp_path / "out/b.xml").read_text()
    assert notes == ()
    assert f'<image id="0" name="{tmp_path.resolve()}/in/a.jpg" subset="train" width="7" height="5">' in text
    assert text.count("<label>") == 3


PROJECT = """<image name="f0.png" subset="Train"><tag label="full"/></image>
<image name="f1.png" subset="Train"><tag label="empty"/></image>
<image name="f0.png" subset="Validation"><tag label="empty"/></image>"""


@pytest.mark.parametrize("root", [None, "images", "images/Train"])
def test_one_name_in_two_subsets_is_two_images_in_the_folders_of_a_project(tmp_path, root):
    for name in ("Train/f0.png", "Train/f1.png", "Validation/f0.png"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(b"")
    dataset = read_cvat(write(tmp_path, PROJECT), "", options=ReadOptions(root=root and tmp_path / root))
    assert dataset.images == ("Train/f0.png", "Train/f1.png", "Validation/f0.png")
    assert [dataset.example(i).present for i in range(3)] == [("full",), ("empty",), ("empty",)]
    assert all(path.is_file() for path in dataset.paths)


def test_one_name_in_two_subsets_is_two_images_though_none_is_there(tmp_path):
    dataset = read_cvat(write(tmp_path, PROJECT), "", options=KEEP)
    assert dataset.images == ("Train/f0.png", "f1.png", "Validation/f0.png")


def test_attributes_of_labels_are_said_not_to_be_read(tmp_path):
    notes = read_cvat(write(tmp_path), "", options=KEEP).notes
    assert "attributes of labels are not read: sure (1)." in notes
