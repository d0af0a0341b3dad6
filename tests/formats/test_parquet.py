"""Parquet files with the images inside: columns of labels and of flags, and the images themselves."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from labelbeam.data import image_bytes as image_bytes_module
from labelbeam.data.dataset import ReadOptions
from labelbeam.data.image_bytes import image_bytes, image_exists
from labelbeam.data.images import read_rgb
from labelbeam.errors import InputError
from labelbeam.formats.parquet import read_parquet
from labelbeam.formats.registry import open_dataset

pa = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2), (shade, shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


def images(count: int, start: int = 0) -> Any:
    cells = [{"bytes": png(start + i), "path": f"{start + i}.png"} for i in range(count)]
    return pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


def written(
    file: Path, columns: dict[str, Any], names: dict[str, list[str]] | None = None, group: int = 2
) -> Path:
    table = pa.table(columns)
    if names:
        features = {
            column: {"feature": {"names": labels, "_type": "ClassLabel"}, "_type": "Sequence"}
            for column, labels in names.items()
        }
        described = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({b"huggingface": described.encode()})
    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, file, row_group_size=group)
    return file


def test_lists_of_class_numbers_and_images_inside_the_files(tmp_path):
    names = {"labels": ["cat", "dog", "sea"]}
    for shard, start in ((0, 0), (1, 3)):
        labels = pa.array([[0, 2], [], [1]] if shard == 0 else [[2], None, [0, 1, 2]], pa.list_(pa.int64()))
        written(
            tmp_path / f"data/train-0000{shard}-of-00002.parquet",
            {"image": images(3, start), "labels": labels},
            names,
        )
    last = {"image": images(1, 9), "labels": pa.array([[1]], pa.list_(pa.int64()))}
    written(tmp_path / "data/test-00000-of-00001-ab12.parquet", last, names)
    dataset = read_parquet(tmp_path, "train")
    assert dataset.vocabulary.names == ("cat", "dog", "sea")
    assert dataset.targets.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 1], [-1, -1, -1], [1, 1, 1]]
    assert dataset.images[4] == "data/train-00001-of-00002.parquet/image/000001.png"
    assert [int(read_rgb(path)[0, 0, 0]) for path in dataset.paths] == [0, 1, 2, 3, 4, 5]
    assert len(read_parquet(tmp_path, "")) == 7
    assert len(open_dataset(f"parquet:{tmp_path}#not-train")) == 1


def test_a_column_for_each_label(tmp_path):
    columns = {
        "image": images(3),
        "cat": pa.array([True, False, None]),
        "dog": pa.array([1, 0, -1], pa.int8()),
        "id": pa.array([0, 1, 1]),
        "width": pa.array([2, 2, 2]),
        "caption": pa.array(["x", "y", "z"]),
    }
    dataset = read_parquet(written(tmp_path / "a.parquet", columns), "")
    assert dataset.vocabulary.names == ("cat", "dog")
    assert dataset.targets.tolist() == [[1, 1], [0, 0], [-1, -1]]
    assert any("columns that are not read: id, width, caption" in note for note in dataset.notes)


def test_each_row_group_gives_its_own_images(tmp_path):
    file = written(tmp_path / "a.parquet", {"image": images(5), "cat": pa.array([True] * 5)}, group=2)
    assert [image_bytes(file / f"image/{i:06d}.png") for i in (4, 3, 2, 1, 0)] == [
        png(i) for i in (4, 3, 2, 1, 0)
    ]


def test_minus_one_without_a_zero_is_absent(tmp_path):
    columns = {"image": images(2), "cat": pa.array([1, -1]), "dog": pa.array([-1, -1])}
    dataset = read_parquet(written(tmp_path / "a.parquet", columns), "")
    assert dataset.targets.tolist() == [[1, 0], [0, 0]]
    assert any("-1 is read as absent" in note for note in dataset.notes)


def test_lists_of_zeros_and_ones_are_a_value_for_each_class(tmp_path):
    columns = {"image": images(2), "labels": pa.array([[0, 1, 1], [0, 0, 0]])}
    file = written(tmp_path / "a.parquet", columns, {"labels": ["cat", "dog", "sea"]})
    assert read_parquet(file, "").targets.tolist() == [[0, 1, 1], [0, 0, 0]]
    file = written(tmp_path / "a.parquet", columns)
    with pytest.raises(InputError, match=r"3 values of 0 and 1 a row, and nothing names them.*labels\.txt"):
        read_parquet(file, "")
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    assert read_parquet(file, "").vocabulary.names == ("a", "b", "c")


def test_two_readings_of_a_list_are_refused(tmp_path):
    columns = {"image": images(2), "labels": pa.array([[0, 1], [1, 0]])}
    file = written(tmp_path / "a.parquet", columns, {"labels": ["cat", "dog"]})
    with pytest.raises(InputError, match=r"two readings are possible.*--layout one-hot or --layout numbers"):
        read_parquet(file, "")
    assert read_parquet(file, "", options=ReadOptions(layout="one-hot")).targets.tolist() == [[0, 1], [1, 0]]
    assert read_parquet(file, "", options=ReadOptions(layout="numbers")).targets.tolist() == [[1, 1], [1, 1]]


def test_texts_and_lists_of_texts_are_labels(tmp_path):
    texts = {"image": images(2), "tags": pa.array(["cat;dog", "sea"])}
    assert read_parquet(written(tmp_path / "a.parquet", texts), "").example(0).present == ("cat", "dog")
    lists = {"image": images(2), "tags": pa.array([["cat", "dog"], []])}
    assert read_parquet(written(tmp_path / "a.parquet", lists), "").example(0).present == ("cat", "dog")


def test_rows_without_bytes_name_files_beside_the_parquet_file(tmp_path):
    cells = [{"bytes": None, "path": "p/a.png"}, {"bytes": png(7), "path": None}]
    image = pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    (tmp_path / "data/p").mkdir(parents=True)
    (tmp_path / "data/p/a.png").write_bytes(png(3))
    written(
        tmp_path / "data/train-00000-of-00001.parquet", {"image": image, "tags": pa.array([["cat"], ["dog"]])}
    )
    dataset = read_parquet(tmp_path, "train")
    assert dataset.images[0] == "data/p/a.png"
    assert [int(read_rgb(path)[0, 0, 0]) for path in dataset.paths] == [3, 7]


def test_names_of_images_in_a_column_of_texts(tmp_path):
    (tmp_path / "a.png").write_bytes(png(3))
    columns = {"file_name": pa.array(["a.png"]), "cat": pa.array([True])}
    assert read_parquet(written(tmp_path / "a.parquet", columns), "").images == ("a.png",)


def test_an_image_that_is_not_there_is_missing_and_no_traceback(tmp_path):
    file = written(tmp_path / "a.parquet", {"image": images(3), "cat": pa.array([True, True, False])})
    assert image_bytes(file / "image/000002.png") == png(2)
    assert image_exists(file / "image/000002.jpg")
    for name in ("image/000003.png", "other/000000.png", "image/x.png", "000000.png"):
        assert not image_exists(file / name) or name.startswith("other")
        with pytest.raises(FileNotFoundError):
            image_bytes(file / name)


@pytest.mark.parametrize(
    ("columns", "options", "words"),
    [
        ({"cat": pa.array([True])}, {}, ["no column holds images", "--image-column"]),
        ({"image": images(1), "x": pa.array(["a"])}, {}, ["no column of labels", "--tags-column"]),
        (
            {"image": images(1), "mask": images(1), "cat": pa.array([True])},
            {},
            ["several columns hold images"],
        ),
        (
            {"image": images(1), "tags": pa.array(["a"]), "label": pa.array([1])},
            {},
            ["several columns could hold"],
        ),
        ({"image": images(1), "label": pa.array([1])}, {}, ["class numbers", "their names are nowhere"]),
        ({"image": images(1), "tags": pa.array(["a"])}, {"tags_column": "tgas"}, ["unknown column 'tgas'"]),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, columns, options, words):
    with pytest.raises(InputError) as error:
        read_parquet(written(tmp_path / "a.parquet", columns), "", options=ReadOptions(**options))
    assert all(word in str(error.value) for word in words), error.value


def test_a_file_that_is_cut_short_is_refused(tmp_path):
    file = written(tmp_path / "a.parquet", {"image": images(2), "cat": pa.array([True, False])})
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match="is not a Parquet file"):
        read_parquet(file, "")


@pytest.mark.parametrize("listed", [False, True])
def test_boxes_of_object_detection_are_the_set_of_their_labels(tmp_path, listed):
    cells: list[Any] = [
        {"bbox": [[0.0, 0.0, 1.0, 1.0]] * 2, "category": ["cat", "cat"]},
        {"bbox": [], "category": []},
        {"bbox": [[0.0, 0.0, 1.0, 1.0]], "category": ["dog"]},
    ]
    if listed:
        cells = [[{"bbox": [0.0], "category": name} for name in cell["category"]] for cell in cells]
    written(tmp_path / "train-00000-of-00001.parquet", {"image": images(3), "objects": cells})
    data = read_parquet(tmp_path, "")
    assert [data.example(i).present for i in range(3)] == [("cat",), (), ("dog",)]
    assert any("where the boxes are is not read" in note for note in data.notes)


def test_class_names_of_lists_are_found_in_old_descriptions_too(tmp_path):
    file = written(tmp_path / "train.parquet", {"image": images(2), "labels": [[0, 1], [1]]})
    described = {"info": {"features": {"labels": [{"names": ["cat", "dog"], "_type": "ClassLabel"}]}}}
    table = parquet.read_table(file).replace_schema_metadata({b"huggingface": json.dumps(described).encode()})
    parquet.write_table(table, file)
    assert read_parquet(tmp_path, "").example(0).present == ("cat", "dog")


def test_addresses_name_images_where_nothing_else_does(tmp_path):
    columns = {"image_url": ["https://host/x/a.jpg", "https://host/x/b.jpg"], "labels": [["cat"], ["dog"]]}
    data = read_parquet(written(tmp_path / "t.parquet", columns), "", options=ReadOptions(missing="keep"))
    assert data.images == ("x/a.jpg", "x/b.jpg")


def test_a_damaged_group_with_fewer_rows_than_it_says_is_a_missing_image(tmp_path, monkeypatch):
    file = written(tmp_path / "train.parquet", {"image": images(2), "labels": [["cat"], ["dog"]]})
    monkeypatch.setattr(image_bytes_module, "_group", lambda *_: pa.chunked_array([images(1)]))
    assert image_bytes_module.parquet_image(file, "image/000000.png") == png(0)
    with pytest.raises(FileNotFoundError, match="no image in row 1"):
        image_bytes_module.parquet_image(file, "image/000001.png")
