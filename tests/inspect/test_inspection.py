"""An inspection as plain values: what it finds in a folder in which everything is wrong, and that it is quick."""

import csv
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.errors import InputError
from labelbeam.inspect.inspection import inspect_data, open_splits, show_inspection
from labelbeam.inspect.labels import inspected_labels
from labelbeam.labels.vocabulary import Vocabulary


def save_picture(path: Path, seed: int, *, width: int = 160) -> None:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((width, width * 3 // 4), Image.Resampling.BICUBIC).save(path)


@pytest.fixture(scope="module")
def wrong(tmp_path_factory) -> Path:
    """A CSV file of two splits with an example of everything that is looked for."""
    folder = tmp_path_factory.mktemp("wrong")
    rows = []
    for i in range(24):
        save_picture(folder / f"{i:02d}.png", i)
        rows.append((f"{i:02d}.png", ("dog;animal", "cat;animal", "tree")[i % 3], "train"))
    for i in range(30, 36):
        save_picture(folder / f"{i}.png", i)
        rows.append((f"{i}.png", ("dog;animal", "bird")[i % 2], "test"))
    shutil.copy(folder / "00.png", folder / "exact.png")
    rows.append(("exact.png", "cat", "test"))
    save_picture(folder / "near.png", 1, width=80)
    rows.append(("near.png", "cat;animal", "test"))
    shutil.copy(folder / "02.png", folder / "twice.png")
    rows.append(("twice.png", "tree", "train"))
    (folder / "cut.png").write_bytes((folder / "03.png").read_bytes()[:300])
    Image.new("RGB", (30, 30), "navy").save(folder / "blank.png")
    rows += [("cut.png", "Tree", "train"), ("blank.png", "", "train"), ("gone.png", "dogs", "test")]
    with (folder / "tags.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "tags", "split"), *rows])
    return folder


@pytest.fixture(scope="module")
def found(wrong):
    return inspect_data(open_splits([f"csv:{wrong / 'tags.csv'}#train", f"csv:{wrong / 'tags.csv'}#test"]))


def test_everything_wrong_is_found_and_the_gravest_comes_first(found):
    told = [(one["weight"], one["text"]) for one in found["findings"]]
    assert told[:3] == [
        ("bad", "Leakage: 1 image of test is in train too."),
        ("bad", "2 image files cannot be read."),
        ("bad", "1 group of exact copies has different labels."),
    ]
    texts = " ".join(text for _, text in told)
    for words in (
        "Possible leakage: 1 image of test looks the same as one of train.",
        "2 labels only in test: bird, dogs.",
        "2 labels only in train: tree, Tree.",
        "2 labels on one image only: Tree, dogs.",
        "1 group of copies inside one split.",
        "1 picture of one plain colour.",
        "2 names or groups of names look odd.",
        "1 image of train without a label (3.7 %).",
    ):
        assert words in texts, texts


def test_the_counts_are_those_of_the_file(found):
    train, test = found["data"]
    assert (train["images"], test["images"]) == (27, 9)
    assert train["images_by_number_of_labels"] == [1, 10, 16]
    assert train["images_without_labels"] == ["blank.png"]
    rows = {row["label"]: row["splits"] for row in found["labels"]}
    assert rows["animal"]["train"] == {"present": 16, "absent": 11, "unknown": 0}
    assert rows["bird"]["test"]["present"] == 3
    assert found["labels"][0]["label"] == "animal"


def test_copies_name_their_images_splits_and_labels(found):
    copies = found["duplicates"]
    by_first = {row["images"][0]["image"]: row for row in copies["groups"]}
    assert sorted(by_first) == ["00.png", "01.png", "02.png"]
    leak = by_first["00.png"]
    assert (leak["exact"], leak["across_splits"], leak["labels_differ"]) == (
        True,
        True,
        ["animal", "cat", "dog"],
    )
    assert [one["split"] for one in leak["images"]] == ["train", "test"]
    near = by_first["01.png"]
    assert (near["exact"], near["across_splits"], near["labels_differ"]) == (False, True, [])
    assert [one["bytes"] for one in near["images"]] == [0, 1]
    assert copies["leaks"] == [{"split": "test", "copies_in": "train", "exact": 1, "near": 1}]


def test_unreadable_files_have_their_reasons(found):
    reasons = {one["image"]: one["reason"] for one in found["images"]["unreadable"]}
    assert sorted(reasons) == ["cut.png", "gone.png"]
    assert "truncated" in reasons["cut.png"]
    assert "no such file" in reasons["gone.png"]
    assert [one["image"] for one in found["images"]["blank"]] == ["blank.png"]


def test_names_come_with_counts_and_whether_they_meet(found):
    odd = {row["kind"]: row for row in found["names"]}
    assert odd["case or width"]["names"] == [{"label": "Tree", "images": 1}, {"label": "tree", "images": 9}]
    assert odd["case or width"]["both"] == 0
    assert [one["label"] for one in odd["plural"]["names"]] == ["dog", "dogs"]


def test_it_is_plain_json_without_nan(found):
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_text_says_what_the_values_say(found, capsys):
    show_inspection(found)
    text = capsys.readouterr().out
    for one in found["findings"]:
        assert one["text"] in text.replace("\n", " ")
    assert "same bytes, in several splits; labels differ: animal, cat, dog" in text
    assert "'Tree' (1), 'tree' (9)" in text


def test_without_opening_images_missing_files_and_shared_ones_are_still_found(wrong):
    whole, test = (f"csv:{wrong / 'tags.csv'}{split}" for split in ("", "#test"))
    found = inspect_data(open_splits([whole, test]), images=False)
    assert {one["image"] for one in found["images"]["unreadable"]} == {"gone.png"}
    assert found["duplicates"]["leaks"] == [
        {"split": test, "copies_in": whole, "exact": 9, "near": 0},
    ]
    assert all(row["one_file"] for row in found["duplicates"]["groups"])
    assert "width" not in found["images"]


def test_copies_differ_only_where_both_labels_are_known(tmp_path):
    save_picture(tmp_path / "a.png", 0)
    shutil.copy(tmp_path / "a.png", tmp_path / "b.png")
    vocabulary = Vocabulary(("cat", "dog", "cow"))
    targets = np.array([[1, 1, 0], [-1, 0, 0]], dtype=np.int8)
    found = inspect_data({"all": Dataset("x", tmp_path, ("a.png", "b.png"), vocabulary, targets)})
    assert found["duplicates"]["groups"][0]["labels_differ"] == ["dog"]


def test_a_label_that_a_split_does_not_know_is_neither_absent_nor_a_difference(tmp_path):
    for name in ("a.png", "b.png"):
        save_picture(tmp_path / name, 0)
    one = Dataset("x", tmp_path, ("a.png",), Vocabulary(("cat",)), np.array([[1]], dtype=np.int8))
    other = Dataset("y", tmp_path, ("b.png",), Vocabulary(("dog",)), np.array([[1]], dtype=np.int8))
    found = inspect_data({"one": one, "other": other})
    assert {row["label"]: row["splits"]["other"] for row in found["labels"]}["cat"] is None
    assert found["duplicates"]["groups"][0]["labels_differ"] == []
    assert found["labels_only_in"] == {"one": ["cat"], "other": ["dog"]}


def test_unknown_labels_are_counted_apart():
    targets = np.array([[1, -1], [0, -1], [1, 0]], dtype=np.int8)
    data = Dataset("x", Path(), ("a", "b", "c"), Vocabulary(("cat", "dog")), targets)
    found = inspect_data({"all": data}, images=False)
    assert found["labels"][1]["splits"]["all"] == {"present": 0, "absent": 1, "unknown": 2}
    assert "33 % of the labels of all are unknown, on 2 images." in [one["text"] for one in found["findings"]]
    data = Dataset("x", Path(), ("a", "b"), Vocabulary(("cat",)), np.full((2, 1), -1, dtype=np.int8))
    found = inspect_data({"all": data}, images=False)
    assert "100 % of the labels of all are unknown, on 2 images." in [
        one["text"] for one in found["findings"]
    ]


def test_a_data_set_in_order_has_no_findings(tmp_path):
    for i in range(4):
        save_picture(tmp_path / f"{i}.png", i)
    targets = np.array([[1, 0], [1, 1], [0, 1], [1, 0]], dtype=np.int8)
    images = tuple(f"{i}.png" for i in range(4))
    data = Dataset("x", tmp_path, images, Vocabulary(("cat", "dog")), targets)
    assert inspect_data({"all": data})["findings"] == []


def test_missing_files_are_an_error_only_if_asked_for(wrong):
    spec = f"csv:{wrong / 'tags.csv'}#test"
    assert len(open_splits([spec])["test"]) == 9
    assert len(open_splits([spec], options=ReadOptions(missing="skip"))["test"]) == 8


def test_the_same_data_set_twice_is_refused():
    with pytest.raises(InputError, match="scenes#val is given twice"):
        open_splits(["scenes#val", "scenes#val"])


def test_nus_wide_s_labels_take_seconds(labelbeam_data):
    with np.load(labelbeam_data / "labels" / "nuswide81_labels.npz") as stored:
        targets, names = stored["labels"].astype(np.int8), tuple(stored["names"].tolist())
    images = tuple(f"{i}.jpg" for i in range(len(targets)))
    data = Dataset("nus", Path("nowhere"), images, Vocabulary(names), targets)
    start = time.perf_counter()
    found = inspected_labels({"all": data}, most_pairs=10)
    assert time.perf_counter() - start < 20  # 1 on a quiet machine
    assert found["data"][0]["images_by_number_of_labels"][0] == 60_301
    assert found["pairs"]["tested"] == 3240
    assert [(one["label"], one["implies"]) for one in found["implications"]["found"]] == [("elk", "animal")]


def test_torch_is_never_imported(wrong):
    code = (
        "import sys\n"
        "from labelbeam.inspect.inspection import inspect_data, open_splits\n"
        "from labelbeam.inspect.page import inspection_page\n"
        f"splits = open_splits(['csv:{wrong / 'tags.csv'}#train'])\n"
        "inspection_page(inspect_data(splits), splits)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
