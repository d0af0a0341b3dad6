"""CSV files in the dialects seen in the wild, and the messages for those that cannot be understood."""

import tracemalloc
from pathlib import Path

import pytest

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.csv_table import read_csv


def write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    file = folder / "tags.csv"
    file.write_bytes(text.encode(encoding))
    return file


def read(folder: Path, text: str, split: str = "", *, written_as: str = "utf-8", **options):
    file = write(folder, text, written_as)
    return read_csv(file, split, options=ReadOptions(**{"missing": "keep", **options}))


def labels_of(dataset) -> dict[str, tuple[str, ...]]:
    return {image: dataset.example(i).present for i, image in enumerate(dataset.images)}


def test_image_and_tags_are_read_and_the_understanding_is_stated(tmp_path):
    dataset = read(tmp_path, "image,tags\na.jpg,dog; cat\nsub/b.jpg,dog\nc.jpg,\n")
    assert labels_of(dataset) == {"a.jpg": ("cat", "dog"), "sub/b.jpg": ("dog",), "c.jpg": ()}
    assert dataset.notes[0] == (
        "this is what I understood: 3 images, 2 labels, delimiter ';', e.g. a.jpg -> cat, dog; "
        "1 images without a label."
    )


@pytest.mark.parametrize(
    "text",
    [
        'image,tags\na.jpg,"cat,dog"\nb.jpg,dog\n',
        "image;tags\r\na.jpg;cat|dog\r\nb.jpg;dog\r\n",
        "image\ttags\na.jpg\tcat, dog\nb.jpg\tdog\n",
        "filename, labels\na.jpg, cat|dog\nb.jpg, dog\n",
        "label,split_name,filepath\n\"['cat', 'dog']\",train,a.jpg\n['dog'],train,b.jpg\n",
        "\ufeffimage,tags\na.jpg,cat;dog\n\nb.jpg,dog\n",
        "image,tags\na.jpg,cat;dog\nb.jpg,dog\na.jpg,dog;cat\n",
        "image,cat,dog\na.jpg,1,1\nb.jpg,0,1\n",
        "filename, cat, dog\na.jpg, 1, 1\nb.jpg, 0, 1\n",
        "TRAIN,gs://bucket/a.jpg,cat,dog\nTEST,gs://bucket/b.jpg,dog\n",
        "image,tags\n./a.jpg,cat;dog\n./b.jpg,dog\n",
    ],
)
def test_every_dialect_gives_the_same_data_set(tmp_path, text):
    dataset = read(tmp_path, text)
    assert labels_of(dataset) == {"a.jpg": ("cat", "dog"), "b.jpg": ("dog",)}
    assert dataset.targets.tolist() == [[1, 1], [0, 1]]


def test_columns_of_unknown_and_absent_labels_are_read_and_stated(tmp_path):
    text = "image,tags,Unknown,absent\na.jpg,cat,dog;ant,\nb.jpg,dog;cat,,yak\nc.jpg\n"
    dataset = read(tmp_path, text)
    assert dataset.vocabulary.names == ("ant", "cat", "dog", "yak")
    assert dataset.targets.tolist() == [[-1, 1, -1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert "delimiter ';', column 'Unknown' names what nobody knows" in dataset.notes[0]


def test_roboflow_s_folder_has_a_file_in_each_split_s_folder(tmp_path):
    for split in ("train", "valid"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "_classes.csv").write_text(f"filename, cat, dog\n{split}.jpg, 1, 0\n")
    dataset = read_csv(tmp_path, "valid", options=ReadOptions(missing="keep"))
    assert labels_of(dataset) == {"valid.jpg": ("cat",)}
    assert dataset.path(0) == tmp_path / "valid" / "valid.jpg"
    with pytest.raises(InputError, match=r"unknown split 'val'.*'valid'.*_classes.csv"):
        read_csv(tmp_path, "val")


def test_roboflow_s_boxes_in_a_file_of_each_split_are_a_row_each(tmp_path):
    for split, name in (("train", "cat"), ("valid", "dog")):
        (tmp_path / split).mkdir()
        rows = f"a.jpg,8,8,{name},1,1,2,2\na.jpg,8,8,{name},3,3,4,4\n"
        (tmp_path / split / "_annotations.csv").write_text(
            f"filename,width,height,class,xmin,ymin,xmax,ymax\n{rows}"
        )
    dataset = read_csv(tmp_path, "valid", options=ReadOptions(missing="keep"))
    assert (dataset.vocabulary.names, labels_of(dataset)) == (("cat", "dog"), {"a.jpg": ("dog",)})


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("gs://bucket/a.jpg,cat,dog\ngs://bucket/b.jpg,dog\n", {"layout": "ragged"}),
        ("training,gs://bucket/a.jpg,cat,dog\ngs://bucket/b.jpg,dog\n", {}),
        ("UNASSIGNED,gs://bucket/a.jpg,cat,dog\n,gs://bucket/b.jpg,dog\n", {}),
    ],
)
def test_vertex_rows_start_with_a_split_or_without_and_none_is_taken_for_a_header(tmp_path, text, options):
    dataset = read(tmp_path, text, **options)
    assert labels_of(dataset) == {"a.jpg": ("cat", "dog"), "b.jpg": ("dog",)}
    assert "the first line is a row too" in dataset.notes[0]


def test_rows_of_several_lines_are_named_by_their_first(tmp_path):
    with pytest.raises(InputError, match="line 4 has 3 fields"):
        read(tmp_path, 'image,tags\n"a\n.jpg",cat\nb.jpg,cat,dog\n')


def test_ten_thousand_rows_keep_no_object_each_beside_their_paths(tmp_path):
    rows = "".join(f"{i:05}.jpg,l{i % 7};l{i % 11}\n" for i in range(10_000))
    file = write(tmp_path, "image,tags\n" + rows)
    read_csv(file, options=ReadOptions(missing="keep"))  # imports and caches are not what is measured
    tracemalloc.start()
    dataset = read_csv(file, options=ReadOptions(missing="keep"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert dataset.example(8).present == ("l1", "l8")
    assert (
        peak < 10_000 * 400
    )  # paths are 60 bytes each, their set 60, keys of entries 100; a dict a row is 230 more


def test_one_column_per_label_has_three_values_and_keeps_the_order_of_the_header(tmp_path):
    dataset = read(tmp_path, "image,zebra,ant\na.jpg,1,\nb.jpg,-1,0\nc.jpg,1.0,nan\n")
    assert dataset.vocabulary.names == ("zebra", "ant")
    assert dataset.targets.tolist() == [[1, -1], [-1, 0], [1, -1]]


def test_one_column_per_label_with_splits_and_repeats_keeps_each_image_s_own_row(tmp_path):
    text = "image,split,cat,dog\na.jpg,train,1,0\nb.jpg,test,0,1\na.jpg,train,1,0\nc.jpg,test,1,1\n"
    assert read(tmp_path, text, "test").targets.tolist() == [[0, 1], [1, 1]]
    assert read(tmp_path, text).targets.tolist() == [[1, 0], [0, 1], [1, 1]]


def test_open_images_rows_verify_presence_and_absence_and_leave_the_rest_unknown(tmp_path):
    dataset = read(
        tmp_path,
        "ImageID,Source,LabelName,Confidence\n0a,verification,/m/1,1\n0a,verification,/m/2,0\n0b,v,/m/2,1\n",
    )
    assert dataset.images == ("0a.jpg", "0b.jpg")
    assert dataset.targets.tolist() == [[1, 0], [-1, 1]]


def test_one_row_per_image_and_label_is_read_on_request_and_what_is_unsaid_is_absent(tmp_path):
    dataset = read(tmp_path, "image,label\na.jpg,cat\na.jpg,dog\nb.jpg,dog\n", layout="long")
    assert labels_of(dataset) == {"a.jpg": ("cat", "dog"), "b.jpg": ("dog",)}
    assert dataset.targets.min() == 0


def test_ragged_rows_under_a_header_are_read_on_request(tmp_path):
    dataset = read(tmp_path, "image,tags\na.jpg,cat,dog\nb.jpg,dog\n", layout="ragged")
    assert labels_of(dataset) == {"a.jpg": ("cat", "dog"), "b.jpg": ("dog",)}


def test_a_column_of_splits_chooses_rows_and_never_labels(tmp_path):
    text = "image,tags,split\na.jpg,cat,train\nb.jpg,dog,test\n"
    assert read(tmp_path, text, "train").images == ("a.jpg",)
    assert read(tmp_path, text, "test").vocabulary.names == ("cat", "dog")
    assert read(tmp_path, text, "all").images == read(tmp_path, text).images == ("a.jpg", "b.jpg")


def test_an_image_in_several_splits_is_noted(tmp_path):
    dataset = read(tmp_path, "image,tags,split\na.jpg,cat,train\na.jpg,cat,test\n", "train")
    assert any("in several splits" in note and "a.jpg" in note for note in dataset.notes)


def test_rows_that_repeat_an_image_with_the_same_labels_are_merged_and_noted(tmp_path):
    dataset = read(tmp_path, "image,tags\na.jpg,cat;dog\na.jpg,dog;cat\n")
    assert len(dataset) == 1
    assert any("1 rows repeat an image with the same labels" in note for note in dataset.notes)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_japanese_labels_are_read_with_and_without_a_byte_order_mark(tmp_path, encoding):
    dataset = read(tmp_path, "image,tags\n写真/犬.jpg,犬;海\nb.jpg,海\n", written_as=encoding)
    assert labels_of(dataset) == {"写真/犬.jpg": ("海", "犬"), "b.jpg": ("海",)}


@pytest.mark.parametrize("encoding", ["cp932", "utf-16", "utf-8", "utf-8-sig"])
def test_an_encoding_that_is_named_is_read(tmp_path, encoding):
    written_as = "utf-8-sig" if encoding == "utf-8" else encoding
    dataset = read(tmp_path, "image,tags\na.jpg,犬;海\n", written_as=written_as, encoding=encoding)
    assert labels_of(dataset) == {"a.jpg": ("海", "犬")}


def test_labels_with_blanks_are_kept_whole_when_the_delimiter_is_named(tmp_path):
    dataset = read(tmp_path, "image,tags\na.jpg,traffic light\nb.jpg,stop sign\n", delimiter=";")
    assert dataset.vocabulary.names == ("stop sign", "traffic light")


def test_columns_of_other_names_are_read_when_they_are_named(tmp_path):
    dataset = read(tmp_path, "写真,札\na.jpg,犬;海\n", image_column="写真", tags_column="札")
    assert labels_of(dataset) == {"a.jpg": ("海", "犬")}


def test_backslashes_are_slashes(tmp_path):
    dataset = read(tmp_path, "image,tags\nsub\\a.jpg,cat\n")
    assert dataset.images == ("sub/a.jpg",)
    assert any("backslashes" in note for note in dataset.notes)


def test_images_are_found_beside_the_file_below_a_root_and_by_absolute_path(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.jpg").write_bytes(b"")
    text = "image,tags\na.jpg,cat\n"
    assert read(tmp_path, text, missing="error", root=elsewhere).path(0) == elsewhere / "a.jpg"
    absolute = read(tmp_path, f"image,tags\n{elsewhere}/a.jpg,cat\n", missing="error")
    assert absolute.path(0) == elsewhere / "a.jpg"
    (tmp_path / "a.jpg").write_bytes(b"")
    assert read(tmp_path, text, missing="error").path(0) == tmp_path / "a.jpg"


def test_missing_image_files_are_counted_and_listed_or_skipped(tmp_path):
    (tmp_path / "b.jpg").write_bytes(b"")
    text = "image,tags\n" + "".join(f"{name}.jpg,cat\n" for name in "abcdefg")
    with pytest.raises(
        InputError, match=r"6 of 7 image files are missing .*a.jpg, c.jpg, d.jpg, e.jpg, f.jpg, …"
    ):
        read(tmp_path, text, missing="error")
    assert read(tmp_path, text, missing="skip").images == ("b.jpg",)


@pytest.mark.parametrize(
    ("text", "split", "options", "words"),
    [
        ("", "", {}, ["empty", "image,tags"]),
        ("image,tags\n", "", {}, ["no row after its first line"]),
        ("name,tags\na.jpg,cat\n", "", {}, ["no column of images", "name, tags", "--image-column"]),
        (
            "image,words\na.jpg,cat\n",
            "",
            {},
            ["no column of labels", "image, words", "'words' hold other", "--tags-column"],
        ),
        ("image\na.jpg\n", "", {}, ["no column of labels"]),
        ("image,file,tags\na,b,cat\n", "", {}, ["several columns", "image, file", "--image-column"]),
        ("image,tags\na.jpg,cat\n", "", {"tags_column": "tgas"}, ["unknown column 'tgas'", "'tags'"]),
        ("image,tags\na.jpg,cat;dog\nb.jpg,cat|dog\n", "", {}, ["ambiguous", "--delimiter ';'"]),
        ("image,tags\na,x|y\nb,y|z\nc,x|z\n", "", {"delimiter": ";"}, ["combinations", "--delimiter '|'"]),
        ("image,tags\na,x+y\nb,y+z\nc,x+z\n", "", {}, ["combinations", "--delimiter '+'"]),
        (
            "image,tags\na.jpg,cat\na.jpg,dog\n",
            "",
            {},
            ["1 rows repeat", "a.jpg (lines 2 and 3)", "--layout long"],
        ),
        ("image,tags\na.jpg,<end>;cat\n", "", {}, ["<end>", "special token"]),
        ("image,tags\na.jpg,\nb.jpg,None\n", "", {}, ["no row has a label"]),
        ("image,tags\n,cat\n", "", {}, ["line 2", "image is empty"]),
        ("image,tags\na.jpg,cat,dog\n", "", {}, ["line 2 has 3 fields", "--layout ragged"]),
        ('image,tags\na.jpg,"cat\nb.jpg,dog\n', "", {}, ["quotation mark"]),
        ("image,tags;x\na.jpg,cat\n", "", {}, ["commas and semicolons"]),
        ("image,tags\na.jpg,cat\n", "train", {}, ["no column 'split'"]),
        ("image,tags,split\na.jpg,cat,train\n", "trian", {}, ["unknown split 'trian'", "'train'"]),
        ("image,tags\na.jpg,cat\n", "", {"encoding": "cp9932"}, ["no encoding 'cp9932'"]),
        ("image,tags\na.jpg,犬\n", "", {"encoding": "ascii"}, ["not in the encoding ascii"]),
        (
            "ImageID,LabelName,Confidence\na,x,0.7\n",
            "",
            {},
            ["line 2", "column 'Confidence'", "'0.7'", "1 and 0"],
        ),
        ("ImageID,LabelName,Confidence\na,x,1\na,x,0\n", "", {}, ["repeat an image with different labels"]),
        (
            "image,tags\na.jpg,[cat\n",
            "",
            {},
            ["line 2", "column 'tags'", "not a list of texts", "never ends"],
        ),
        ("image,cat,dog\na.jpg,1,0\nb.jpg,1,maybe\n", "", {}, ["'dog' hold other values", "line 3"]),
        (
            "image,tags,unknown\na.jpg,cat,cat;dog\n",
            "",
            {},
            ["line 2", "'cat' is in the columns 'tags' and 'unknown'"],
        ),
        ("a\0b,tags\nx.jpg,cat\n", "", {"image_column": "a\0b", "missing": "skip"}, ["files are missing"]),
        ("image,tags\nx\0.jpg,cat\n", "", {}, ["line 2", "no name that an image file can have"]),
        (",,\n", "", {}, ["separators and nothing else"]),
        ("image,cat,cat\na.jpg,1,0\n", "", {}, ["column names must differ"]),
    ],
)
def test_a_file_that_cannot_be_understood_says_why_and_what_to_do(tmp_path, text, split, options, words):
    with pytest.raises(InputError) as error:
        read(tmp_path, text, split, **options)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("image,tags\n犬.jpg,犬;海\n".encode("cp932"), ["not UTF-8", "--encoding cp932", "犬;海"]),
        (b"image,tags\na.jpg,caf\xe9\xff\xff\n", ["not UTF-8", "--encoding cp1252"]),
    ],
)
def test_an_encoding_that_is_not_utf8_is_suggested_never_assumed(tmp_path, raw, words):
    file = tmp_path / "tags.csv"
    file.write_bytes(raw)
    with pytest.raises(InputError) as error:
        read_csv(file)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    "raw",
    [
        "image,tags\na.jpg,犬\n".encode("utf-16"),
        b"\xfe\xff" + "image,tags\r\na.jpg,犬\r\n".encode("utf-16-be"),
        "sep=;\nimage;tags\na.jpg;犬\n".encode(),
        '\ufeff"sep=,"\r\nimage,tags\r\na.jpg,犬\r\n'.encode(),
        "image|tags\na.jpg|犬\n".encode(),
    ],
)
def test_what_spreadsheets_write_before_and_between_is_understood(tmp_path, raw):
    (tmp_path / "tags.csv").write_bytes(raw)
    found = read_csv(tmp_path / "tags.csv", options=ReadOptions(missing="keep"))
    assert (found.images, found.vocabulary.names) == (("a.jpg",), ("犬",))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image\ttags\na.jpg\tcat,dog\nb.jpg   dog\n", ["line 3", "b.jpg   dog", "Separate"]),
        ("image,tags\na.jpg;cat\nb.jpg,dog\n", ["line 2", "a.jpg;cat"]),
        ("image,cat,dog\na.jpg,1,0\nb.jpg;0;1\n", ["line 3", "b.jpg;0;1"]),
        ("image,tags\na.jpg,cat:0.9;dog:0.1\nb.jpg,dog:0.8\n", ["end in a number", "threshold"]),
        ("image,tags\na.jpg,cat<br>dog\nb.jpg,dog\n", ["HTML", "cat<br>dog"]),
        ("image,tags\na.jpg,cat&dog\nb.jpg,dog\nc.jpg,cat\n", ["combinations", "--delimiter '&'"]),
        ('image,tags\na.jpg,"- cat\n- dog"\nb.jpg,- dog\n', ["a mark before each item"]),
        ("image,label_1,label_2\na.jpg,cat,dog\nb.jpg,dog,\n", ["--layout ragged"]),
    ],
)
def test_rows_that_were_taken_for_something_else_are_refused(tmp_path, text, words):
    with pytest.raises(InputError) as error:
        read(tmp_path, text, missing="keep")
    assert all(word in str(error.value) for word in words), error.value


def test_a_label_that_objects_only_deny_is_a_label(tmp_path):
    text = 'image;tags\na.jpg;{"cat": 1, "dog": 0}\nb.jpg;{"cat": 0, "dog": 0}\n'.replace('"', "'")
    found = read(tmp_path, text, missing="keep", keep_unlabelled=True)
    assert (found.vocabulary.names, found.targets.tolist()) == (("cat", "dog"), [[1, 0], [0, 0]])


@pytest.mark.parametrize(
    ("yes", "no"), [("T", "F"), ("Yes", "No"), ("WAHR", "FALSCH"), ("ja", "nein"), ("✓", "✗"), ("1,0", "0,0")]
)
def test_columns_of_yes_and_no_are_read_in_the_words_that_spreadsheets_write(tmp_path, yes, no):
    found = read(tmp_path, f"image;cat;dog\na.jpg;{yes};{no}\nb.jpg;{no};{yes}\n", missing="keep")
    assert found.targets.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("head", ["image,tags,fold\na.jpg,cat,0", "image,cat,fold\na.jpg,1,0"])
def test_a_column_of_folds_says_how_it_is_read_as_splits(tmp_path, head):
    found = read(tmp_path, f"{head}\n", missing="keep")
    assert found.vocabulary.names == ("cat",)
    assert any("call it 'split'" in note for note in found.notes)


def test_a_folder_is_told_that_a_file_is_wanted(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        read_csv(tmp_path)


def test_one_name_in_two_splits_is_two_images_where_each_has_a_folder(tmp_path):
    for folder in ("train", "test"):
        (tmp_path / "images" / folder).mkdir(parents=True)
        (tmp_path / "images" / folder / "0.jpg").write_bytes(b"")
    (tmp_path / "a.csv").write_text("image,tags,split\n0.jpg,cat,train\n0.jpg,dog,test\n")
    dataset = read_csv(tmp_path / "a.csv")
    assert dataset.images == ("train/0.jpg", "test/0.jpg")
    assert all(path.is_file() for path in dataset.paths)
    assert read_csv(tmp_path / "a.csv", "test").paths == [tmp_path / "images/test/0.jpg"]


def test_labels_that_are_all_numbers_are_noted(tmp_path):
    (tmp_path / "a.csv").write_text("image,tags\na.jpg,0;7\nb.jpg,7\n")
    dataset = read_csv(tmp_path / "a.csv", options=ReadOptions(missing="keep"))
    assert any("numbers of classes" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("raw", "words"), [(b"PK\x03\x04" + bytes(20), "spreadsheet"), (b"\x1f\x8b\x08" + bytes(9), "compressed")]
)
def test_a_file_that_is_no_text_is_called_what_it_is(tmp_path, raw, words):
    (tmp_path / "a.csv").write_bytes(raw)
    with pytest.raises(InputError, match=words):
        read_csv(tmp_path / "a.csv")


def test_a_column_of_0_and_1_alone_is_asked_about(tmp_path):
    text = "image,cat\na.jpg,1\nb.jpg,0\n"
    assert read(tmp_path, text).vocabulary.names == ("cat",)
    with pytest.raises(
        InputError, match=r"'target' holds 0 and 1, no names.*--layout one-hot.*--tags-column"
    ):
        read(tmp_path, text.replace("cat", "target"))


def test_a_partition_is_a_split_and_a_set_no_label(tmp_path):
    text = "image,cat,partition,set\na.jpg,1,train,0\nb.jpg,0,test,1\n"
    data = read(tmp_path, text, "train")
    assert (data.images, data.vocabulary.names) == (("a.jpg",), ("cat",))


def test_a_table_of_markdown_has_no_row_of_dashes(tmp_path):
    data = read(tmp_path, "| image | tags |\n|:---|---|\n| a.jpg | cat;dog |\n| b.jpg | dog |\n")
    assert labels_of(data) == {"a.jpg": ("cat", "dog"), "b.jpg": ("dog",)}


def test_a_header_in_the_middle_is_no_row(tmp_path):
    with pytest.raises(InputError, match="line 3 is the first line again"):
        read(tmp_path, "image,tags\na.jpg,cat\nimage,tags\nb.jpg,dog\n")
