"""Open Images: verified absent is not unknown, machine ids have names, and names may be shared."""

from pathlib import Path

import pytest

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.open_images import read_open_images

KEEP = ReadOptions(missing="keep")

ROWS = (
    "ImageID,Source,LabelName,Confidence\n"
    "000a,verification,/m/01g,1\n000a,verification,/m/09j,0\n000b,crowdsource-verification,/m/09j,1\n"
)


def write(folder: Path, rows: str = ROWS, names: str = "", split: str = "train") -> Path:
    file = folder / f"{split}-annotations-human-imagelabels.csv"
    file.write_text(rows, encoding="utf-8")
    if names:
        (folder / "class-descriptions-boxable.csv").write_text(names, encoding="utf-8")
    return file


def test_zero_is_absent_and_what_is_not_said_is_unknown(tmp_path):
    dataset = read_open_images(write(tmp_path, names="/m/09j,Dog\n/m/01g,Tree\n"), "", options=KEEP)
    assert dataset.images == ("000a.jpg", "000b.jpg")
    assert dataset.vocabulary.names == ("Dog", "Tree")
    assert dataset.targets.tolist() == [[0, 1], [1, -1]]
    assert "(2 present, 1 verified absent)" in dataset.notes[0]


def test_descriptions_with_a_header_and_one_folder_up_are_read(tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "oidv7-class-descriptions.csv").write_text('LabelName,DisplayName\n/m/01g,"Tree, tall"\n')
    dataset = read_open_images(write(tmp_path / "labels"), "", options=KEEP)
    assert dataset.vocabulary.names == ("Tree, tall", "/m/09j")
    assert "1 labels have no display name" in dataset.notes[1]


def test_two_ids_of_one_display_name_are_kept_apart(tmp_path):
    dataset = read_open_images(write(tmp_path, names="/m/09j,Bass\n/m/01g,Bass\n"), "", options=KEEP)
    assert dataset.vocabulary.names == ("Bass (/m/09j)", "Bass (/m/01g)")


def test_people_who_disagree_make_a_label_unknown(tmp_path):
    dataset = read_open_images(write(tmp_path, ROWS + "000a,crowdsource,/m/01g,0\n"), "", options=KEEP)
    assert dataset.example(0).unknown == ("/m/01g",)
    assert "1 labels are said to be present and absent" in dataset.notes[-1]


def test_machine_ids_without_descriptions_are_told(tmp_path):
    assert (
        "labels are machine ids such as /m/01g"
        in read_open_images(write(tmp_path), "", options=KEEP).notes[1]
    )


def test_a_folder_holds_a_file_and_a_folder_of_images_for_each_split(tmp_path):
    write(tmp_path)
    write(tmp_path, ROWS.replace("000a", "000c"), split="oidv6-validation")
    (tmp_path / "validation").mkdir()
    for name in ("000c.jpg", "000b.png"):
        (tmp_path / "validation" / name).write_bytes(b"")
    assert read_open_images(tmp_path, "validation").images == ("000c.jpg", "000b.png")
    with pytest.raises(InputError, match=r"unknown split 'vaildation'\. Did you mean 'validation'"):
        read_open_images(tmp_path, "vaildation")
    with pytest.raises(InputError, match="several files fit"):
        read_open_images(tmp_path, "")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (ROWS + "000d,machine,/m/01g,0.7\n", ["line 5", "confidence '0.7'", "threshold"]),
        (ROWS + "000d,machine\n", ["line 5", "2 fields, the header has 4"]),
        (ROWS + ",verification,/m/01g,1\n", ["line 5", "ImageID is empty"]),
        (ROWS + "000d,verification,,1\n", ["line 5", "LabelName is empty"]),
        (ROWS + '000d,verification,"/m,1\n', ["line 5", "quotation mark"]),
        ("image,tags\na.jpg,cat\n", ["line 1", "ImageID and LabelName and Confidence", "'image, tags'"]),
        ("ImageID,Source,LabelName,Confidence\n", ["no row after its header"]),
        ("", ["line 1", "no column ImageID"]),
    ],
)
def test_a_file_that_cannot_be_read_says_where_and_why(tmp_path, rows, words):
    with pytest.raises(InputError) as error:
        read_open_images(write(tmp_path, rows), "", options=KEEP)
    assert all(word in str(error.value) for word in words), error.value


def test_missing_images_are_an_error_and_the_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=r"2 of 2 image files are missing .*000a\.jpg, 000b\.jpg"):
        read_open_images(write(tmp_path), "")
