"""From `--parts`, `--folds` and `--group-by` to a CSV file that trains: every word, every refusal."""

from pathlib import Path

import numpy as np
import pytest

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.registry import open_dataset
from labelbeam.formats.splitting import groups_of, plan_of, split_dataset, write_parts
from labelbeam.labels.vocabulary import Vocabulary

KEEP = ReadOptions(missing="keep")


@pytest.fixture
def tags(tmp_path: Path) -> str:
    rows = [f"{'ab'[i % 2]}/{i}.jpg,{'cat;dog' if i % 3 else 'grass'},p{i // 4}" for i in range(24)]
    (tmp_path / "tags.csv").write_text("\n".join(["image,tags,person", *rows]))
    return f"csv:{tmp_path / 'tags.csv'}"


@pytest.mark.parametrize(
    ("parts", "folds", "words"),
    [
        (None, None, ["--parts", "--folds", "one of them"]),
        ("a=0.5,b=0.5", 5, ["one of them"]),
        ("a=0.5,b=0.6", None, ["sum to 1", "a=0.5, b=0.6", "sum 1.1"]),
        ("a=1", None, ["at least two parts"]),
        ("a=1,b=0", None, ["above 0"]),
        ("a=-1,b=2", None, ["above 0"]),
        ("a=nan,b=0.5", None, ["sum to 1"]),
        ("a,b=0.5", None, ["'a' is not NAME=SHARE"]),
        ("a=x,b=0.5", None, ["'a=x' is not NAME=SHARE"]),
        ("a=0.5,a=0.5", None, ["different names"]),
        ("a#b=0.5,c=0.5", None, ["'#'"]),
        ("all=0.5,c=0.5", None, ["'all' means something else"]),
        ("not-x=0.5,x=0.5", None, ["'not-x' means something else"]),
        (None, 1, ["at least 2 folds, given 1"]),
    ],
)
def test_parts_that_are_none_are_told_how_to_write_them(parts, folds, words):
    with pytest.raises(InputError) as error:
        plan_of(parts=parts, folds=folds)
    assert all(word in str(error.value) for word in words), error.value


def test_the_file_of_parts_reads_back_as_parts(tags, tmp_path):
    dataset = open_dataset(tags, options=KEEP)
    found = split_dataset(dataset, plan_of(parts="train=0.75,test=0.25", folds=None), seed=0)
    write_parts(dataset, found.parts, tmp_path / "parts.csv")
    for name, rows in found.parts.items():
        part = open_dataset(f"csv:{tmp_path / 'parts.csv'}#{name}", options=KEEP)
        assert part.images == tuple(dataset.images[i] for i in rows)
        assert part.vocabulary == dataset.vocabulary
        assert part.targets.tolist() == dataset.targets[rows].tolist()


def test_unknown_labels_and_names_with_commas_survive_a_split(tmp_path):
    (tmp_path / "hot.csv").write_text(
        'image,"salt, pepper",b\n' + "".join(f"{i}.jpg,1,{i % 2 - 1}\n" for i in range(8))
    )
    dataset = open_dataset(f"csv:{tmp_path / 'hot.csv'}", options=KEEP)
    found = split_dataset(dataset, plan_of(parts=None, folds=2), seed=0)
    write_parts(dataset, found.parts, tmp_path / "parts.csv")
    again = open_dataset(f"csv:{tmp_path / 'parts.csv'}", options=KEEP).with_vocabulary(
        dataset.vocabulary.names
    )
    assert again.targets.tolist() == dataset.targets.tolist()


def test_everything_but_a_fold_is_the_other_folds(tags, tmp_path):
    dataset = open_dataset(tags, options=KEEP)
    found = split_dataset(dataset, plan_of(parts=None, folds=4), seed=0)
    write_parts(dataset, found.parts, tmp_path / "folds.csv")
    for k in range(4):
        rest = open_dataset(f"csv:{tmp_path / 'folds.csv'}#not-fold{k}", options=KEEP)
        others = np.sort(np.concatenate([found.parts[f"fold{j}"] for j in range(4) if j != k]))
        assert rest.images == tuple(dataset.images[i] for i in others)
        assert any(f"of the split 'fold{k}' are left out" in note for note in rest.notes)


def test_everything_but_a_split_that_is_not_there_lists_those_that_are(tmp_path):
    (tmp_path / "a.csv").write_text("image,tags,split\na.jpg,x,one\nb.jpg,y,two\n")
    with pytest.raises(InputError, match="one, two"):
        open_dataset(f"csv:{tmp_path / 'a.csv'}#not-three", options=KEEP)


@pytest.mark.parametrize(
    ("way", "number"), [("folder", 2), ("column:person", 6), (r"match:(\d)\.jpg", 10), ("match:^.", 2)]
)
def test_groups_stay_together_whatever_makes_them(tags, way, number):
    dataset = open_dataset(tags, options=KEEP)
    groups = groups_of(dataset, way)
    assert len(set(groups.tolist())) == number
    found = split_dataset(dataset, plan_of(parts=None, folds=2), seed=0, group_by=way)
    assert found.num_groups == number
    first, second = (set(groups[rows].tolist()) for rows in found.parts.values())
    assert first.isdisjoint(second)


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("folders", ["unknown way to group 'folders'", "'folder'"]),
        ("match", ["match:REGEX"]),
        ("column:", ["column:NAME"]),
        ("column:persn", ["unknown column 'persn'", "'person'"]),
        ("match:(", ["not a regular expression"]),
    ],
)
def test_a_grouping_that_is_none_is_told(tags, way, words):
    with pytest.raises(InputError) as error:
        groups_of(open_dataset(tags, options=KEEP), way)
    assert all(word in str(error.value) for word in words), error.value


def test_a_column_with_holes_or_two_values_for_an_image_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("image,tags,who\na.jpg,x,anna\nb.jpg,y,\n")
    with pytest.raises(InputError, match=r"1 images have no value in column 'who': b\.jpg"):
        groups_of(open_dataset(f"csv:{tmp_path / 'a.csv'}", options=KEEP), "column:who")
    (tmp_path / "b.csv").write_text("image,tags,who\na.jpg,x,anna\na.jpg,x,ben\n")
    with pytest.raises(InputError, match=r"line 3: a\.jpg has 'ben'.*'anna' before"):
        groups_of(open_dataset(f"csv:{tmp_path / 'b.csv'}", options=KEEP), "column:who")


def test_a_column_needs_a_csv_file():
    dataset = Dataset("scenes#train", Path(), ("a.png",), Vocabulary(("x",)), np.ones((1, 1), dtype=np.int8))
    with pytest.raises(InputError, match="needs a CSV file; scenes#train is none"):
        groups_of(dataset, "column:who")


def test_more_parts_than_images_or_groups_are_refused(tags):
    dataset = open_dataset(tags, options=KEEP)
    with pytest.raises(InputError, match="2 groups cannot be split into 3"):
        split_dataset(dataset, plan_of(parts=None, folds=3), seed=0, group_by="folder")


def test_a_part_without_an_image_is_refused(tags):
    dataset = open_dataset(tags, options=KEEP).subset(range(3))
    with pytest.raises(InputError, match="'test' would have no image"):
        split_dataset(dataset, plan_of(parts="train=0.99,test=0.01", folds=None), seed=0)


def test_an_existing_file_is_not_overwritten(tags, tmp_path):
    dataset = open_dataset(tags, options=KEEP)
    (tmp_path / "parts.csv").write_text("mine")
    with pytest.raises(InputError, match="already"):
        write_parts(dataset, {"a": np.arange(24)}, tmp_path / "parts.csv")
    assert (tmp_path / "parts.csv").read_text() == "mine"
