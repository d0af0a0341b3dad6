"""Files of vectors: every kind gives the same data set, large ones are mapped, and each mistake has its message."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.data.feature_rows import FeatureRows
from labelbeam.errors import InputError
from labelbeam.formats.registry import open_dataset, write_dataset

X = np.arange(12, dtype=np.float32).reshape(4, 3) / 8
Y = np.array([[1, 0], [1, 1], [0, -1], [0, 1]], dtype=np.int8)
NAMES, IDS, SPLIT = (
    np.array(["cat", "dog"]),
    np.array(["a", "b", "c", "d"]),
    np.array(["train"] * 3 + ["test"]),
)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    file = tmp_path / "x.npz"
    np.savez(file, features=X.astype(np.float16), labels=Y, names=NAMES, ids=IDS, split=SPLIT)
    return file


def same(data: Dataset) -> None:
    assert data.features is not None
    assert data.images == tuple(IDS)
    np.testing.assert_array_equal(data.features[:].astype(np.float32), X)
    column = [data.vocabulary.names.index(name) for name in NAMES]
    np.testing.assert_array_equal(data.targets[:, column], Y)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".parquet", ".arrow"])
def test_what_is_written_comes_back_in_every_kind_of_file(archive: Path, suffix: str) -> None:
    file = archive.with_name("copy" + suffix)
    write_dataset(open_dataset(f"vectors:{archive}"), f"vectors:{file}")
    same(open_dataset(f"vectors:{file}"))


def test_text_for_other_programs_comes_back_but_for_the_ids(archive: Path) -> None:
    data = open_dataset(f"vectors:{archive}")
    notes = write_dataset(data, f"vectors:{archive.with_name('copy.arff')}")
    again = open_dataset(f"vectors:{archive.with_name('copy.arff')}")
    assert "not kept: ids" in notes
    assert again.vocabulary.names == ("cat", "dog")
    np.testing.assert_array_equal(again.features[:], X)
    np.testing.assert_array_equal(again.targets, data.targets)
    with pytest.raises(InputError, match="some labels are unknown, and LIBSVM's text"):
        write_dataset(data, f"vectors:{archive.with_name('copy.svm')}")


@pytest.mark.parametrize("suffix", [".arff", ".svm"])
def test_sparse_rows_and_rows_of_nothing_are_written_as_text(tmp_path: Path, suffix: str) -> None:
    features = np.zeros((5, 12), np.float32)
    features[0, 3], features[2, 0], features[3, 7] = 0.1, -2.5e-8, 3e7
    labels = np.array([[1, 1], [0, 0], [0, 1], [0, 0], [1, 0]], np.int8)
    names = np.array(["it's", "a \\ b, {c}"])
    np.savez(tmp_path / "x.npz", features=features, labels=labels, names=names)
    write_dataset(open_dataset(f"vectors:{tmp_path / 'x.npz'}"), f"vectors:{tmp_path / 'copy'}{suffix}")
    again = open_dataset(f"vectors:{tmp_path / 'copy'}{suffix}")
    np.testing.assert_array_equal(again.features[:], features)
    np.testing.assert_array_equal(again.targets, labels)
    assert again.vocabulary.names == (tuple(names) if suffix == ".arff" else ("0", "1"))


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".arrow"])
def test_large_features_are_mapped_in_half_precision_and_rows_are_chosen_without_reading(
    archive: Path, suffix: str
) -> None:
    file = archive.with_name("copy" + suffix)
    write_dataset(open_dataset(f"vectors:{archive}"), f"vectors:{file}")
    features = open_dataset(f"vectors:{file}").subset([3, 0]).features
    assert features is not None
    assert features.dtype == np.float16
    assert not features.parts[0].flags.owndata
    assert not features.parts[0].flags.writeable
    np.testing.assert_array_equal(features[:], X[[3, 0]])


def test_splits_that_are_read_as_one_are_noted(archive: Path) -> None:
    assert any(
        "splits (train 3, test 1 rows) are read as one" in one
        for one in open_dataset(f"vectors:{archive}").notes
    )
    for meant in ("#train", "#all"):
        assert not any("read as one" in one for one in open_dataset(f"vectors:{archive}{meant}").notes)


def test_a_split_and_all_but_a_split_are_read(archive: Path) -> None:
    assert open_dataset(f"vectors:{archive}#train").images == ("a", "b", "c")
    assert open_dataset(f"vectors:{archive}#not-train").images == ("d",)
    with pytest.raises(InputError, match=r"unknown split 'trian'. Did you mean 'train'"):
        open_dataset(f"vectors:{archive}#trian")


def test_labels_may_be_texts_and_nan_means_unknown(tmp_path: Path) -> None:
    np.savez(tmp_path / "texts.npz", X=X, Y=np.array(["cat", "cat;dog", "", "dog"]))
    texts = open_dataset(f"vectors:{tmp_path / 'texts.npz'}")
    np.testing.assert_array_equal(texts.targets, [[1, 0], [1, 1], [0, 0], [0, 1]])
    assert texts.images[0] == "texts/1"
    np.savez(tmp_path / "nan.npz", X=X.astype(np.float64), Y=np.where(Y < 0, np.nan, Y), names=NAMES)
    np.testing.assert_array_equal(open_dataset(f"vectors:{tmp_path / 'nan.npz'}").targets, Y)


def test_rows_of_several_parts_are_one_matrix() -> None:
    rows = FeatureRows((X[:1], X[1:]))
    np.testing.assert_array_equal(rows[:], X)
    np.testing.assert_array_equal(rows.take(np.array([3, 0, 1]))[1:], X[[0, 1]])
    np.testing.assert_array_equal(np.concatenate(list(rows.blocks(3))), X)


MULAN = """@relation 'toy'
% a comment
@attribute 'size, cm' numeric
@attribute colour {red,green,'dark blue'}
@attribute cat {0,1}
@attribute wide {0,1}
@attribute "dog's" {0,1}
@data
1.5,green,1,0,0
-2,'dark blue',0,1,1

{0 3, 4 1}
"""
LABELS = (
    '<labels xmlns="http://mulan.sourceforge.net/labels"><label name="dog\'s"/><label name="cat"/></labels>'
)


def test_mulan_arff_is_read_with_its_xml_dense_and_sparse(tmp_path: Path) -> None:
    (tmp_path / "toy-train.arff").write_text(MULAN)
    (tmp_path / "toy.xml").write_text(LABELS)
    for spec in (f"vectors:{tmp_path / 'toy-train.arff'}", f"vectors:{tmp_path / 'toy.xml'}#train"):
        data = open_dataset(spec)
        assert data.features is not None
        assert data.vocabulary.names == ("dog's", "cat")
        np.testing.assert_array_equal(data.targets, [[0, 1], [1, 0], [1, 0]])
        assert data.features.names == ("size, cm", "colour=red", "colour=green", "colour=dark blue", "wide")
        # The sparse row leaves out the first nominal value, not none.
        np.testing.assert_array_equal(
            data.features[:], [[1.5, 0, 1, 0, 0], [-2, 0, 0, 1, 1], [3, 1, 0, 0, 0]]
        )
        assert any("colour" in note for note in data.notes)


@pytest.mark.parametrize(("count", "names"), [("2", ("cat", "dog")), ("-2", ("cat", "dog"))])
def test_meka_arff_says_in_its_relation_which_attributes_are_labels(
    tmp_path: Path, count: str, names: tuple[str, ...]
) -> None:
    labels, features = ["@attribute cat {0,1}", "@attribute dog {0,1}"], ["@attribute f numeric"]
    first = count == "2"
    lines = labels + features if first else features + labels
    row = "1,0,2.5" if first else "2.5,1,0"
    text = "\n".join([f"@relation 'toy: -C {count} -V'", *lines, "@data", row])
    (tmp_path / "meka.arff").write_text(text)
    data = open_dataset(f"vectors:{tmp_path / 'meka.arff'}")
    assert data.features is not None
    assert data.vocabulary.names == names
    assert data.targets.tolist() == [[1, 0]]
    assert data.features[:].tolist() == [[2.5]]


def test_libsvm_text_is_read_with_rows_without_labels_and_with_a_header(tmp_path: Path) -> None:
    (tmp_path / "a.svm").write_text("1,7 1:0.5 3:2\n 2:1\n7 1:1 # a comment\n")
    data = open_dataset(f"vectors:{tmp_path / 'a.svm'}")
    assert data.features is not None
    assert data.features[:].tolist() == [[0.5, 0, 2], [0, 1, 0], [1, 0, 0]]
    assert data.vocabulary.names == ("1", "7")
    assert data.targets.tolist() == [[1, 1], [0, 0], [0, 1]]
    (tmp_path / "b.txt").write_text("2 4 3\n0,2 0:1\n1 3:1\n")
    headed = open_dataset(f"vectors:{tmp_path / 'b.txt'}")
    assert headed.features is not None
    assert headed.features.shape == (2, 4)
    assert headed.vocabulary.names == ("0", "1", "2")


def test_arrow_takes_label_columns_and_a_named_column_of_features(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table(
        {"clip": X.tolist(), "dino": (X * 2).tolist(), "cat": [1, 1, 0, 0], "dog": [0, 1, None, 1]}
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"clip and dino hold lists.*--features-column"):
        open_dataset(f"vectors:{tmp_path / 't.parquet'}")
    table = table.drop(["dino"])
    parquet.write_table(table, tmp_path / "t.parquet")
    data = open_dataset(f"vectors:{tmp_path / 't.parquet'}", options=ReadOptions(features_column="clip"))
    np.testing.assert_array_equal(data.targets, Y)


def _npz(**arrays: np.ndarray) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        np.savez(folder / "bad.npz", **arrays)
        return f"vectors:{folder / 'bad.npz'}"

    return write


def _text(name: str, text: str, **others: str) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        (folder / name).write_text(text)
        for other, content in others.items():
            (folder / other.replace("_", ".")).write_text(content)
        return f"vectors:{folder / name}"

    return write


def _matrix(labels: str) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        np.save(folder / "m.npy", X)
        (folder / "m.csv").write_text(labels)
        return f"vectors:{folder / 'm.npy'}"

    return write


def _table(**columns: list) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        pyarrow = pytest.importorskip("pyarrow")
        table = pyarrow.table({"features": X.tolist(), **columns})
        pytest.importorskip("pyarrow.parquet").write_table(table, folder / "t.parquet")
        return f"vectors:{folder / 't.parquet'}"

    return write


MEKA = "@relation 'x -C 1'\n@attribute cat {0,1}\n@attribute f real\n@data\n"

HOLES = X.copy()
HOLES[2, 1] = np.nan

BAD = {
    "more rows than labels": (_npz(features=X, labels=Y[:3]), "4 rows of features and 3 rows of labels"),
    "NaN in features": (_npz(features=HOLES, labels=Y), r"1 of 4 rows .* row 3, feature 2 is nan"),
    "infinity in half precision": (
        _npz(features=np.where(X > 1, np.inf, X).astype(np.float16), labels=Y),
        "is inf.*Fill them in",
    ),
    "names twice": (_npz(features=X, labels=Y, names=np.array(["cat", "cat"])), "given twice.*cat"),
    "feature names twice": (
        _npz(features=X, labels=Y, feature_names=np.array(["f", "g", "f"])),
        "each feature needs a name of its own.*'f'",
    ),
    "too few names": (_npz(features=X, labels=Y, names=np.array(["cat"])), "2 columns of labels and 1 names"),
    "ids twice": (_npz(features=X, labels=Y, ids=np.array(["a", "a", "b", "c"])), "more than once.*'a'"),
    "other numbers than labels": (
        _npz(features=X, labels=Y + 2),
        r"labels must be 1 \(present\).*given 2, 3",
    ),
    "class numbers": (_npz(features=X, labels=np.array([3, 1, 0, 2])), "a column for each label"),
    "no features": (_npz(labels=Y), "holds no features"),
    "no labels": (_npz(features=X), "holds no labels. It can be tagged"),
    "an unknown array": (_npz(features=X, lables=Y), "unknown array 'lables'. Did you mean 'labels'"),
    "features twice": (_npz(features=X, X=X, labels=Y), "features and X: which of them"),
    "features of texts": (_npz(features=X.astype(str), labels=Y), "features must be numbers"),
    "a vector": (_npz(features=X[0], labels=Y), "features must be a matrix"),
    "no file": (lambda folder: f"vectors:{folder / 'none.npz'}", "does not exist"),
    "an unknown suffix": (_text("a.mat", ""), "unknown kind of file '.mat'"),
    "no archive": (_text("a.npz", "hello"), "is no .npz archive"),
    "rows of a CSV": (_matrix("image,tags\na,cat\nb,dog\n"), "4 rows of features and 2 rows"),
    "no relation and no XML": (
        _text("a.arff", "@attribute f numeric\n@attribute cat {0,1}\n@data\n1,0\n"),
        "has no @relation.*no a.xml beside it",
    ),
    "a relation that says nothing": (
        _text("a.arff", "@relation toy\n@attribute f numeric\n@attribute cat {0,1}\n@data\n1,0\n"),
        "the relation 'toy', which does not say",
    ),
    "an XML of other labels": (
        _text(
            "a.arff",
            "@relation t\n@attribute f numeric\n@data\n1\n",
            a_xml='<labels><label name="cat"/></labels>',
        ),
        "no attribute 'cat', which a.xml names",
    ),
    "a label of words": (
        _text("a.arff", "@relation 'x -C 1'\n@attribute cat {yes,no}\n@attribute f real\n@data\nyes,1\n"),
        "may be yes, no; a label is 0 or 1",
    ),
    "an attribute of text": (
        _text("a.arff", "@relation 'x -C 1'\n@attribute cat {0,1}\n@attribute f string\n@data\n1,a\n"),
        "'f' is 'string'",
    ),
    "an unknown nominal value": (
        _text("a.arff", "@relation 'x -C 1'\n@attribute cat {0,1}\n@attribute f {r,g,b}\n@data\n1,y\n"),
        "line 5: 'f' is 'y', which is none of r, g, b",
    ),
    "a missing value": (
        _text("a.arff", "@relation 'x -C 1'\n@attribute cat {0,1}\n@attribute f real\n@data\n1,?\n"),
        "feature 1 .f. is nan",
    ),
    "a short row": (
        _text("a.arff", "@relation 'x -C 1'\n@attribute cat {0,1}\n@attribute f real\n@data\n1\n"),
        "line 5: 1 values for 2 attributes",
    ),
    "attributes twice": (
        _text("a.arff", "@relation 'x -C 1'\n@attribute f {0,1}\n@attribute f real\n@data\n1,1\n"),
        "each attribute needs a name of its own",
    ),
    "a feature of a sparse row twice": (_text("a.arff", MEKA + "{1 2, 1 3}\n"), "'1 3' .* is there already"),
    "libsvm of words": (_text("a.svm", "cat 1:2\n"), "line 1: 'cat 1:2' is no row"),
    "libsvm with half a label": (_text("a.svm", "1.5,2 1:2\n"), "line 1: '1.5,2 1:2' is no row"),
    "libsvm of queries": (_text("a.svm", "1 qid:3 1:2\n"), "A qid is not read"),
    "a libsvm feature twice": (_text("a.svm", "1 1:2\n2 3:1 3:2\n"), "line 2: a feature is there twice"),
    "fewer rows than the header says": (
        _text("a.svm", "5 4 3\n2 0:1\n"),
        "speaks of 5 rows .* there are 1 rows",
    ),
    "more labels than the header says": (_text("a.svm", "1 4 2\n2 0:1\n"), "2 labels.* labels up to 2"),
    "features of durations": (_npz(features=X.astype("m8[s]"), labels=Y), "features must be numbers"),
    "labels of complex numbers": (_npz(features=X, labels=Y.astype(complex)), "labels must be numbers"),
    "labels of written numbers": (
        _npz(features=X, labels=(Y == 1).astype(int).astype(str)),
        "a column for each label, not names",
    ),
    "bytes that are no UTF-8": (
        _npz(features=X, labels=np.array(["é".encode("latin-1")] * 4)),
        "'labels' holds bytes that are no UTF-8",
    ),
    "too many feature names": (
        _npz(features=X, labels=Y, feature_names=np.array(list("abcd"))),
        "bad.npz: 4 names for 3 features",
    ),
    "a matrix without a column": (
        _npz(features=X[:, :0], labels=Y),
        "bad.npz: the matrix of features has no",
    ),
    "names that differ in blanks": (
        _npz(features=X, labels=Y, names=np.array(["cat", "cat "])),
        "bad.npz: names of labels differ only in blanks .*'cat'",
    ),
    "a compressed file": (_text("a.arff.gz", ""), "Unpack it first"),
    "a folder": (lambda folder: f"vectors:{folder}", "that is a folder"),
    "an XML alone": (_text("a.xml", "<labels/>"), "no a-train.arff .* lies beside it"),
    "a null among names": (_table(labels=[["cat"], ["dog", None], [], []]), "holds a null"),
    "lists of zeros and ones": (_table(labels=[[1, 1], [0, 1], [0, 0], [1, 0]]), "a column for each label"),
    "a null for an id": (_table(labels=[["cat"]] * 4, id=["a", None, "c", "d"]), "an id of its own; empty"),
}


@pytest.mark.parametrize(("write", "message"), BAD.values(), ids=BAD)
def test_each_mistake_has_one_message(tmp_path: Path, write: Callable[[Path], str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_dataset(write(tmp_path))


def test_constant_labels_and_more_labels_than_rows_are_noted_and_nothing_is_dropped(tmp_path: Path) -> None:
    labels = np.zeros((4, 5), np.int8)
    labels[:, 0] = 1
    np.savez(tmp_path / "c.npz", X=X, Y=labels, names=np.array(list("abcde")))
    data = open_dataset(f"vectors:{tmp_path / 'c.npz'}")
    assert data.vocabulary.names == tuple("abcde")
    notes = " ".join(data.notes)
    assert "every row has, so that there is nothing to learn: a." in notes
    assert "no row has, so that there is nothing to learn: b, c, d, e." in notes
    assert "more labels (5) than rows (4)" in notes


def test_numbers_beyond_single_precision_are_refused_without_a_warning(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="they are infinite in single precision"), np.errstate(over="raise"):
        open_dataset(_npz(features=X.astype(np.float64) * 1e300, labels=Y)(tmp_path))


def test_texts_may_be_bytes(tmp_path: Path) -> None:
    others = {"names": NAMES.astype("S"), "ids": IDS.astype("S"), "split": SPLIT.astype("S")}
    np.savez(tmp_path / "b.npz", X=X, Y=Y, kind=np.array(b"clip"), **others)
    same(open_dataset(f"vectors:{tmp_path / 'b.npz'}"))
    data = open_dataset(f"vectors:{tmp_path / 'b.npz'}#test")
    assert data.features is not None
    assert (data.images, data.vocabulary.names, data.features.kind) == (("d",), ("cat", "dog"), "clip")


def test_arrow_takes_whole_numbers_bools_with_holes_and_rows_without_a_list(tmp_path: Path) -> None:
    data = open_dataset(
        _table(features=(X * 8).astype(int).tolist(), labels=[["cat"], None, [], ["dog"]])(tmp_path)
    )
    assert data.features is not None
    np.testing.assert_array_equal(data.features[:], X * 8)
    assert any("1 rows have nothing in 'labels'" in note for note in data.notes)
    data = open_dataset(_table(cat=[True, True, False, False], dog=[False, True, None, True])(tmp_path))
    np.testing.assert_array_equal(data.targets, Y)


def test_arff_takes_commas_and_tabs_in_rows_true_and_false_and_windows_text(tmp_path: Path) -> None:
    header = "@relation 'x: -C 1'\n@attribute cat {FALSE,TRUE}\n@attribute size numeric\n@attribute g {'d,b',a…é}\n"
    rows = "@data\n{0 TRUE, 1 2}\n{0\tTRUE,1\t3, 2 a…é}\n{2 'd,b'}\nTRUE\t4\ta…é\n"
    for encoding, noted in (("utf-8", False), ("cp1252", True)):
        (tmp_path / "w.arff").write_bytes((header + rows).replace("\n", "\r\n").encode(encoding))
        data = open_dataset(f"vectors:{tmp_path / 'w.arff'}")
        assert data.features is not None
        assert data.features.names == ("size", "g=d,b", "g=a…é")
        assert data.features[:].tolist() == [[2, 1, 0], [3, 0, 1], [0, 1, 0], [4, 0, 1]]
        assert data.targets.tolist() == [[1], [1], [0], [1]]
        assert any("Windows-1252" in note for note in data.notes) == noted


def test_libsvm_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "m.svm").write_text("\ufeff1,3 1:0.5\n2 2:1\n", encoding="utf-8")
    assert open_dataset(f"vectors:{tmp_path / 'm.svm'}").vocabulary.names == ("1", "2", "3")


def test_vectors_are_not_written_as_pictures_nor_pictures_as_vectors(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds vectors, which would be lost"):
        write_dataset(open_dataset(f"vectors:{archive}"), f"csv:{tmp_path / 'x.csv'}")
    (tmp_path / "p.csv").write_text("image,tags\na.jpg,cat\n")
    pictures = open_dataset(f"csv:{tmp_path / 'p.csv'}", options=ReadOptions(missing="keep"))
    with pytest.raises(InputError, match="vectors come from an encoder"):
        write_dataset(pictures, f"vectors:{tmp_path / 'p.npz'}")


def test_the_public_sets_are_read_with_the_numbers_that_their_authors_state(labelbeam_data: Path) -> None:
    folder = labelbeam_data / "mulan"
    if not folder.is_dir():
        pytest.skip("needs the public sets")
    stated = {"emotions": (391, 72, 6), "yeast": (1500, 103, 14), "medical": (333, 1449, 45)}
    for name, (rows, features, labels) in stated.items():
        data = open_dataset(f"vectors:{folder / name}.xml#train")
        assert data.features is not None
        assert (data.features.shape, len(data.vocabulary)) == ((rows, features), labels)


def test_1_and_minus_1_alone_are_present_and_absent_in_a_matrix(tmp_path):
    file = tmp_path / "a.npz"
    matrix = np.array([[1, -1], [-1, 1]])
    np.savez(file, features=np.eye(2, dtype=np.float32), labels=matrix, names=np.array(["cat", "dog"]))
    data = open_dataset(f"vectors:{file}")
    assert data.targets.tolist() == [[1, 0], [0, 1]]
    assert any("-1 was read as absent" in note for note in data.notes)
    write_dataset(replace(data, targets=matrix.astype(np.int8)), f"vectors:{tmp_path / 'b.npz'}")
    assert open_dataset(f"vectors:{tmp_path / 'b.npz'}").targets.tolist() == matrix.tolist()
