"""NUS-WIDE: a small copy of the official layout with every trap, and all 269,648 rows of it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from mutations import damages, reads_or_refuses

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.nuswide import (
    HASHING21,
    SPLITS,
    paper_side,
    read_nuswide81,
    read_nuswide1000,
)
from nuswide_layout import digits, write_concepts, write_lists, write_photo_ids, write_tags

LABELS_ONLY = ReadOptions(missing="keep")
SKIP = ReadOptions(missing="skip")

# No alphabetical order, and a concept whose name is that of a part.
CONCEPTS = ("tower", "train", *HASHING21, *(f"c{i}" for i in range(58)))
NAMES = [
    *("actor/0001_2124494179.jpg", "actor/0002_174174086.jpg", "bus/0018_702409954.jpg", "cat/0001_5.jpg"),
    *("man/0215_702409954.jpg", "zoos/0598_144768190.jpg"),
]
IDS = [name.rpartition("_")[2].removesuffix(".jpg") for name in NAMES]
IS_TEST = np.array([False, True, True, False, True, False])
LABELS = np.zeros((6, 81), dtype=np.uint8)
LABELS[0, [0, 1]] = LABELS[1, 2] = LABELS[2, 5] = LABELS[4, 6] = LABELS[5, 80] = 1  # image 3 has none
TAGS = np.zeros((6, 1000), dtype=np.uint8)
TAGS[0, [0, 999]] = TAGS[3, 7] = TAGS[4, 500] = 1
TAG_NAMES = [f"tag{i}" for i in range(999)] + ["空"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_concepts(tmp_path, LABELS, IS_TEST, CONCEPTS)
    write_lists(tmp_path, NAMES, IS_TEST)
    write_tags(tmp_path, TAGS, IS_TEST, TAG_NAMES)
    write_photo_ids(tmp_path, IDS)
    return tmp_path


def place(folder: Path, names: list[str], content: bytes | None = None) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() if content is None else content)


@pytest.mark.parametrize(
    ("split", "rows"),
    [
        ("all", [0, 1, 2, 3, 4, 5]),
        ("train", [0, 3, 5]),
        ("test", [1, 2, 4]),
        ("all-labelled", [0, 1, 2, 4, 5]),
        ("train-labelled", [0, 5]),
        ("test-labelled", [1, 2, 4]),
    ],
)
def test_each_official_split_has_its_rows_in_the_official_order(home, split, rows):
    dataset = read_nuswide81(home, split, options=LABELS_ONLY)
    assert dataset.images == tuple(NAMES[i] for i in rows)
    assert dataset.vocabulary.names == CONCEPTS
    np.testing.assert_array_equal(dataset.targets, LABELS[rows])
    assert dataset.protocol["split"].startswith(f"{split} (official")
    assert dataset.protocol["unlabelled"] == ("left out" if "labelled" in split else "kept")


@pytest.mark.parametrize(
    ("split", "rows"), [("all", [0, 1, 2, 3, 4, 5]), ("train", [0, 3, 5]), ("test", [1, 2, 4])]
)
def test_the_thousand_tags_are_read_with_their_trailing_tabs(home, split, rows):
    dataset = read_nuswide1000(home, split, options=LABELS_ONLY)
    assert dataset.vocabulary.names == tuple(TAG_NAMES)
    np.testing.assert_array_equal(dataset.targets, TAGS[rows])
    assert dataset.images == tuple(NAMES[i] for i in rows)


def test_the_hashing_split_has_21_labels_and_images_with_one_of_them(home):
    dataset = read_nuswide81(home, "hashing21", options=LABELS_ONLY)
    assert dataset.vocabulary.names == HASHING21
    assert dataset.images == (NAMES[1], NAMES[2], NAMES[4])
    assert dataset.targets.sum(axis=1).tolist() == [1, 1, 1]


def test_the_papers_split_is_an_approximation_and_says_so(home):
    sides = [read_nuswide81(home, f"paper-{side}", options=LABELS_ONLY) for side in ("train", "test")]
    assert sorted(sides[0].images + sides[1].images) == sorted(set(NAMES) - {NAMES[3]})
    assert any("not public" in note and "seed 2016" in note for note in sides[0].notes)
    tags = read_nuswide1000(home, "paper-train", options=LABELS_ONLY)
    assert tags.images == sides[0].images  # the images that have a concept, for tags too


def test_a_photograph_that_is_there_twice_is_on_one_side_of_the_papers_split_whatever_the_order_of_rows():
    names = [f"a/{i:04d}_{photo}.jpg" for i, photo in enumerate([*range(500), *range(500)])]
    train, test = (set(paper_side(names, np.ones(1000, dtype=bool), test=test)) for test in (False, True))
    assert len(train & test) == 0
    assert len(train | test) == 1000
    assert len(test) == 283  # 59,347 of 209,347 of 1000
    split_pairs = sum((i in train) != (i + 500 in train) for i in range(500))
    assert split_pairs <= 1  # only the one at the border
    shuffled = np.random.default_rng(0).permutation(1000)
    again = paper_side([names[i] for i in shuffled], np.ones(1000, dtype=bool), test=True)
    assert len({names[shuffled[i]] for i in again} ^ {names[i] for i in test}) <= 2


def test_counts_that_differ_from_the_complete_data_set_are_noted(home):
    notes = read_nuswide81(home, "test", options=LABELS_ONLY).notes
    assert notes == ("3 images; the complete NUS-WIDE has 107,859 here (official).",)


def test_the_bad_cell_is_absent_and_noted_once(home):
    file = home / "Groundtruth/TrainTestLabels/Labels_lake_Train.txt"
    file.write_text("0\n-1130179\n1\n")
    dataset = read_nuswide81(home, "train", options=LABELS_ONLY)
    assert dataset.targets[:, CONCEPTS.index("lake")].tolist() == [0, 0, 1]
    notes = [note for note in dataset.notes if "-1130179" in note]
    assert len(notes) == 1
    assert "Labels_lake_Train.txt line 2" in notes[0]


def test_crlf_line_ends_blank_last_lines_and_byte_order_marks_are_read(home):
    for file in home.rglob("*.*"):
        if file.suffix in {".txt", ".dat"}:
            file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    assert read_nuswide81(home, "all", options=LABELS_ONLY).images == tuple(NAMES)
    np.testing.assert_array_equal(read_nuswide81(home, "test", options=LABELS_ONLY).targets, LABELS[IS_TEST])
    np.testing.assert_array_equal(
        read_nuswide1000(home, "train", options=LABELS_ONLY).targets, TAGS[~IS_TEST]
    )


def test_files_are_found_by_name_whatever_the_folders_and_the_case(home, tmp_path_factory):
    flat = tmp_path_factory.mktemp("flat")
    for file in home.rglob("*.*"):
        if file.is_file():
            shutil.copy(file, flat / file.name.replace("Imagelist", "ImageList"))
    assert read_nuswide81(flat, "test", options=LABELS_ONLY).images == tuple(np.array(NAMES)[IS_TEST])


def test_files_of_one_name_in_several_folders_are_noted_and_the_outermost_is_read(home):
    (home / "old/copy/deep").mkdir(parents=True)
    (home / "old/copy/deep/Concepts81.txt").write_text("x\n")
    (home / "old/copy/deep/._Labels_tower.txt").write_text("macOS")
    dataset = read_nuswide81(home, "all", options=LABELS_ONLY)
    assert dataset.vocabulary.names == CONCEPTS
    assert "several folders, of which the outermost were read: Concepts81.txt" in dataset.notes[-1]


def test_without_an_image_list_photo_ids_of_all_tags_take_its_place(home):
    shutil.rmtree(home / "ImageList")
    dataset = read_nuswide81(home, "all", options=LABELS_ONLY)
    assert dataset.images == (
        *("2124494179.jpg", "174174086.jpg", "702409954-line-3.jpg", "5.jpg"),
        *("702409954-line-5.jpg", "144768190.jpg"),
    )
    np.testing.assert_array_equal(dataset.targets, LABELS)
    assert any("photo ids of All_Tags.txt" in note and "2 share their id" in note for note in dataset.notes)
    with pytest.raises(InputError, match=r"no TrainImagelist.txt.*2025.*only #all"):
        read_nuswide81(home, "train", options=LABELS_ONLY)


@pytest.mark.parametrize("kept", ["TestImagelist.txt", "TrainImagelist.txt"])
def test_one_list_of_a_part_and_the_photo_ids_are_enough_for_both_parts(home, kept):
    for file in (home / "ImageList").iterdir():
        if file.name != kept:
            file.unlink()
    place(home / "Flickr", NAMES)
    for split, rows in (("train", ~IS_TEST), ("test", IS_TEST)):
        dataset = read_nuswide81(home, split)
        assert dataset.images == tuple(np.array(NAMES)[rows])
        np.testing.assert_array_equal(dataset.targets, LABELS[rows])


def test_images_without_the_list_of_all_are_both_parts_one_after_the_other(home):
    (home / "ImageList/Imagelist.txt").unlink()
    (home / "NUS_WID_Tags/All_Tags.txt").unlink()
    dataset = read_nuswide81(home, "all", options=LABELS_ONLY)
    assert dataset.images == (*np.array(NAMES)[~IS_TEST], *np.array(NAMES)[IS_TEST])
    np.testing.assert_array_equal(dataset.targets, np.concatenate([LABELS[~IS_TEST], LABELS[IS_TEST]]))


@pytest.mark.parametrize("where", ["Flickr", "images", ".", "some/other/folder"])
def test_images_in_their_folders_are_found_wherever_those_are(home, where):
    place(home / where, NAMES)
    dataset = read_nuswide81(home, "all")
    assert dataset.images == tuple(NAMES)
    assert [path.read_bytes() for path in dataset.paths] == [name.encode() for name in NAMES]


def test_images_in_one_flat_folder_are_found_by_file_name(home):
    flat = [name.rpartition("/")[2] for name in NAMES if not name.startswith("cat")]
    place(home / "images", [*flat, "cat/0001_5.jpg"])
    dataset = read_nuswide81(home, "all")
    assert [path.read_bytes().decode() for path in dataset.paths] == [*flat[:3], "cat/0001_5.jpg", *flat[3:]]


def test_images_named_by_photo_id_alone_are_found_unless_two_rows_share_the_id(home):
    place(home / "images", [f"{photo}.jpg" for photo in set(IDS)])
    dataset = read_nuswide81(home, "all", options=SKIP)
    assert dataset.images == tuple(f"{IDS[i]}.jpg" for i in (0, 1, 3, 5))
    np.testing.assert_array_equal(dataset.targets, LABELS[[0, 1, 3, 5]])


def test_images_lost_from_flickr_are_an_error_that_counts_them_or_are_skipped(home):
    place(home / "Flickr", NAMES[:4])
    with pytest.raises(
        InputError, match=r"2 of 6 image files are missing .*man/0215_702409954.jpg.*--missing skip"
    ):
        read_nuswide81(home, "all")
    dataset = read_nuswide81(home, "all", options=SKIP)
    assert dataset.images == tuple(NAMES[:4])
    assert dataset.protocol["missing"] == "skipped"


def many_images(folder: Path) -> list[str]:
    """Write a copy of 40 rows, of which 12 are the picture for lost photographs; return those that are not."""
    names = [f"a/{i:04d}_{1000 + i}.jpg" for i in range(40)]
    labels = np.ones((40, 81), dtype=np.uint8)
    write_concepts(folder, labels, np.arange(40) % 2 == 0, CONCEPTS)
    write_lists(folder, names, np.arange(40) % 2 == 0)
    place(folder / "Flickr", names[:12], b"this photo is no longer available")
    place(folder / "Flickr", names[12:21], b"nine equal pictures are a coincidence")
    for name in names[21:]:  # of the same size, and alike in the middle
        place(folder / "Flickr", [name], name.encode() + b"-" * 200)
    return names[12:]


def test_the_picture_for_lost_photographs_counts_as_missing(tmp_path):
    real = many_images(tmp_path)
    with pytest.raises(
        InputError, match=r'12 of 40 .* "photo unavailable" picture .*a/0000_1000.jpg.*--missing'
    ):
        read_nuswide81(tmp_path, "all")
    dataset = read_nuswide81(tmp_path, "all", options=SKIP)
    assert dataset.images == tuple(real)
    assert dataset.protocol["unavailable"] == "skipped"
    assert len(read_nuswide81(tmp_path, "all", options=LABELS_ONLY)) == 40


def remove(*names: str):
    def change(home: Path) -> None:
        for name in names:
            for file in sorted(home.rglob(name)):
                file.unlink()

    return change


def write(name: str, content: bytes):
    return lambda home: (home / name).write_bytes(content)


ALL, TRAIN = "Groundtruth/AllLabels/Labels_sky.txt", "Groundtruth/TrainTestLabels/Labels_sky_Train.txt"


@pytest.mark.parametrize(
    ("change", "split", "words"),
    [
        (None, "tset", ["unknown split 'tset'", "'test'", "csv:"]),
        (None, "", ["unknown split ''", "train-labelled"]),
        (remove("Concepts81.txt"), "all", ["Concepts81.txt is not below", "order"]),
        (remove("Labels_sky*"), "all", ["no Labels_sky.txt", "*_Tags81", "not the ground truth"]),
        (remove("Labels_*_Train.txt", "Labels_*.txt"), "train", ["Labels_tower_Train.txt", "81 in all"]),
        (remove("*magelist.txt", "All_Tags.txt"), "all", ["no Imagelist.txt"]),
        (write(ALL, b"0\n" * 5), "all", ["Labels_sky.txt has 5 lines", "Imagelist.txt names 6", "untrimmed"]),
        (
            write(TRAIN, b"0\n" * 6),
            "train",
            ["Labels_sky_Train.txt has 6 lines", "TrainImagelist.txt names 3"],
        ),
        (write(ALL, b"0\n1\nx\n0\n0\n0\n"), "all", ["Labels_sky.txt, line 3, column 1: 'x' is not a number"]),
        (write(ALL, b"0\n1\n\n0\n0\n0\n"), "all", ["Labels_sky.txt, line 3: 0 numbers"]),
        (write(ALL, b"0 1\n" * 6), "all", ["Labels_sky.txt, line 1: 2 numbers, but 1 labels"]),
        (write(ALL, b"9" * 5000 + b"\n"), "all", ["Labels_sky.txt, line 1", "not a number"]),
        (write(ALL, b"0" * 99_999), "all", ["line of more than 65,536 bytes"]),
        (write("ImageList/Imagelist.txt", b"a\\1_2.jpg\n\nb\\3_4.jpg\n"), "all", ["Imagelist.txt, line 2"]),
        (write("ImageList/Imagelist.txt", b"..\\1_2.jpg\n"), "all", ["Imagelist.txt, line 1"]),
        (write("ImageList/Imagelist.txt", b"\xff\n"), "all", ["not UTF-8"]),
        (write("ImageList/Imagelist.txt", b""), "all", ["lists no image"]),
        (write("ConceptsList/Concepts81.txt", b"sky\nsky\n"), "all", ["line 2: 'sky', as in line 1"]),
        (write("ConceptsList/Concepts81.txt", b"sky\nlake\n"), "all", ["2 lines, but there are 81"]),
        (write("ConceptsList/Concepts81.txt", b"<end>\n"), "all", ["special token"]),
    ],
)
def test_what_cannot_be_read_is_an_error_that_says_where_and_why(home, change, split, words):
    (home / "NUS_WID_Tags/AllTags81.txt").write_bytes(digits(LABELS))
    if change:
        change(home)
    with pytest.raises(InputError) as error:
        read_nuswide81(home, split, options=LABELS_ONLY)
    assert all(word in str(error.value) for word in words), error.value


def test_a_row_of_tags_that_is_too_short_names_its_line(home):
    rows = digits(TAGS).splitlines(keepends=True)
    rows[4] = rows[4][:-3] + b"\n"
    (home / "NUS_WID_Tags/AllTags1k.txt").write_bytes(b"".join(rows))
    with pytest.raises(InputError, match=r"AllTags1k.txt, line 5: 999 numbers, but 1000 labels"):
        read_nuswide1000(home, "all", options=LABELS_ONLY)


def test_a_split_of_the_concepts_only_is_not_one_of_the_tags(home):
    with pytest.raises(InputError, match="unknown split 'hashing21'"):
        read_nuswide1000(home, "hashing21", options=LABELS_ONLY)


def test_lists_in_another_order_than_all_images_are_refused(home):
    remove("Imagelist.txt", "TrainImagelist.txt")(home)
    lines = (home / "ImageList/TestImagelist.txt").read_text().splitlines()
    (home / "ImageList/TestImagelist.txt").write_text("\n".join(lines[::-1]))
    with pytest.raises(InputError, match=r"TestImagelist.txt, line \d.*not in their order"):
        read_nuswide81(home, "train", options=LABELS_ONLY)


@pytest.fixture(scope="session")
def full(labelbeam_data, tmp_path_factory) -> Path:
    """All rows in the official layout; the names of training images have made-up folders."""
    home = tmp_path_factory.mktemp("NUS-WIDE")
    stored = np.load(labelbeam_data / "labels/nuswide81_labels.npz")
    is_test = stored["is_test"] == 1
    ids = [photo or str(9_000_000_000 + i) for i, photo in enumerate(stored["flickr_id"].tolist())]
    test_list = (labelbeam_data / "labels/nuswide_TestImagelist.txt").read_text().split()
    names = np.array([f"train/{i:06d}_{photo}.jpg" for i, photo in enumerate(ids)], dtype=object)
    names[is_test] = [name.replace("\\", "/") for name in test_list]
    write_concepts(home, stored["labels"], is_test, stored["names"].tolist())
    write_lists(home, names.tolist(), is_test)
    write_photo_ids(home, ids)
    return home


SCRIPT = """
import json, re, sys, time
from pathlib import Path
from labelbeam.data.dataset import ReadOptions
from labelbeam.formats.nuswide import read_nuswide81
for split in sys.argv[2:]:
    start = time.process_time()  # of this process: the tests of others may run beside it
    data = read_nuswide81(Path(sys.argv[1]), split, options=ReadOptions(missing="keep"))
    seconds = time.process_time() - start
    # ru_maxrss would start at what the parent of this process holds.
    peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1)) / 1024
    print(json.dumps([split, len(data), int(data.targets.sum()), data.images[-1], list(data.notes), seconds, peak]))
"""


def test_at_full_scale_every_split_has_its_published_count_within_seconds_and_far_below_2_gib(full):
    out = subprocess.run([sys.executable, "-c", SCRIPT, str(full), *SPLITS], capture_output=True, check=True)
    for line in out.stdout.splitlines():
        split, count, labels, last, notes, seconds, peak = json.loads(line)
        assert count == SPLITS[split].counts["nuswide81"]
        assert not any("complete NUS-WIDE" in note for note in notes)
        assert seconds < 5
        assert peak < 512  # MiB
        if split == "test":
            assert last == "zoos/0598_144768190.jpg"
            assert labels == 202_389


def test_at_full_scale_the_test_list_and_photo_ids_alone_give_the_same_training_rows(full, tmp_path):
    with_lists = read_nuswide81(full, "train", options=LABELS_ONLY)
    for name in ("Groundtruth/AllLabels", "ConceptsList", "NUS_WID_Tags"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(full / name)
    shutil.copy(full / "ImageList/TestImagelist.txt", tmp_path)
    without = read_nuswide81(tmp_path, "train", options=LABELS_ONLY)
    np.testing.assert_array_equal(without.targets, with_lists.targets)
    ids = [name.rpartition("_")[2] for name in with_lists.images]
    differ = [(a, b) for a, b in zip(ids, without.images, strict=True) if a != b]
    assert len(differ) == 6  # of the 12 rows whose photograph is there twice
    assert all(f"{a.removesuffix('.jpg')}-line-" in b for a, b in differ)


def test_the_21_concepts_of_hashing_are_the_most_frequent_ones(labelbeam_data):
    stored = np.load(labelbeam_data / "labels/nuswide81_labels.npz")
    order = np.argsort(-stored["labels"].sum(axis=0, dtype=np.int64), kind="stable")
    assert set(stored["names"][order[:21]].tolist()) == set(HASHING21)
    assert stored["labels"].sum(axis=0, dtype=np.int64)[order[20]] > 5000


DAMAGED = [
    *("ConceptsList/Concepts81.txt", "ImageList/Imagelist.txt", "ImageList/TestImagelist.txt", ALL, TRAIN),
    *("NUS_WID_Tags/All_Tags.txt", "NUS_WID_Tags/AllTags1k.txt", "NUS_WID_Tags/TagList1k.txt"),
]


@pytest.mark.parametrize("file", DAMAGED)
@given(damage=damages())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_damaged_file_is_read_or_refused(home, file, damage):
    if file.endswith(("All_Tags.txt", "TestImagelist.txt")):  # files that matter where others are missing
        remove("Imagelist.txt", "TrainImagelist.txt")(home)
    reads = [
        lambda: read_nuswide81(home, "all", options=SKIP),
        lambda: read_nuswide81(home, "train", options=SKIP),
    ]
    if "1k" in file:
        reads = [lambda: read_nuswide1000(home, "all", options=LABELS_ONLY)]
    place(home / "Flickr", NAMES)
    for read in reads:
        reads_or_refuses(home / file, damage, read)
