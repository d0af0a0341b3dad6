"""`vectors:FILE#SPLIT`: features in place of pictures, from NumPy, Arrow, Parquet, ARFF or LIBSVM files.

Chooses the reader by the file's suffix and makes a data set of what it gives. `open_vectors` also takes files without
labels, which are tagged.
"""

import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.data.feature_rows import FeatureRows
from labelbeam.errors import InputError, unknown_name
from labelbeam.files import is_file, written_whole
from labelbeam.formats.csv_table import write_csv
from labelbeam.formats.placing import refuse_existing
from labelbeam.formats.vector_files import (
    KIND_KEY,
    NAMES_KEY,
    VectorTable,
    pyarrow_module,
    read_arrow,
    read_npy,
    read_npz,
)
from labelbeam.formats.vector_texts import parts_of, read_arff, read_libsvm
from labelbeam.labels.names import clean, refuse_reserved
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, Vocabulary

PREFIX = "vectors:"

READERS: Mapping[str, Callable[[Path, ReadOptions], VectorTable]] = {
    ".npz": read_npz,
    ".npy": read_npy,
    ".parquet": read_arrow,
    ".arrow": read_arrow,
    ".feather": read_arrow,
    ".ipc": read_arrow,
    ".arff": lambda path, options: read_arff(path),
    ".svm": lambda path, options: read_libsvm(path),
    ".libsvm": lambda path, options: read_libsvm(path),
    ".txt": lambda path, options: read_libsvm(path),
}
"""By suffix."""


def read_vectors(path: Path, split: str = "", *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a file of vectors and labels as a data set.

    Of ARFF, `path` may be Mulan's XML of label names, with the part as the split; else a split is a value of the file's
    own.

    Raises:
        InputError: as `open_vectors`; a file without labels, without a row, or none of whose rows has a label.
    """
    table = open_vectors(path, split, options=options)
    spec = f"{PREFIX}{path}" + (f"#{split}" if split else "")
    if table.targets is None:
        raise InputError(
            " ".join(
                (
                    f"{spec} holds no labels. It can be tagged (labelbeam tag RUN {spec}), not learned from.",
                    *table.notes,
                )
            )
        )
    names, targets = tuple(clean(name) for name in table.names), table.targets
    if not names or "" in names:
        raise InputError(f"{spec}: " + ("a label has an empty name." if names else "no row has a label."))
    refuse_reserved(names, spec)
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError(f"{spec}: names of labels differ only in blanks around them: {twice[:5]}.")
    features, ids, notes = table.features, table.ids, [*table.notes]
    if not options.keep_unlabelled:
        rows = np.flatnonzero((targets == PRESENT).any(axis=1))
        if not len(rows):
            raise InputError(f"{spec}: no row has a label, so nothing is left.")
        features, targets, ids = features.take(rows), targets[rows], tuple(ids[i] for i in rows)
    notes.insert(0, _understood(table, targets, names))
    if not split and table.splits is not None:
        parts = ", ".join(f"{part or 'none'} {count:,}" for part, count in Counter(table.splits).items())
        notes.append(
            f"the file's splits ({parts} rows) are read as one, and a file that is written of them does not say which "
            f"row is of which. Write {spec}#{next(filter(None, table.splits), 'all')} for one, #all if all are meant."
        )
    notes += _oddities(targets, names)
    return Dataset(spec, path.parent, ids, Vocabulary(names), targets, notes=tuple(notes), features=features)


def open_vectors(path: Path, split: str = "", *, options: ReadOptions = DEFAULTS) -> VectorTable:
    """Read a file of vectors, with labels or without; large features are mapped, not read.

    Raises:
        InputError: no such file, an unknown suffix, whatever is wrong in the file, an unknown split, no row, or
            features that are no numbers.
    """
    spec = f"{PREFIX}{path}"
    if not is_file(path):
        what = "that is a folder; name a file in it" if path.is_dir() else "there is no such file"
        raise InputError(f"{spec}: {what} (looked from {Path.cwd()}). Check the path.")
    if path.suffix.lower() in (".gz", ".bz2", ".xz", ".zip"):
        raise InputError(f"{spec}: a compressed file is not read. Unpack it first, as with gunzip.")
    if path.suffix.lower() == ".xml":
        return _of_xml(path, split)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{spec}: {unknown_name('kind of file', path.suffix, [*READERS, '.xml'])}")
    table = reader(path, options).check(spec)
    if split and split != "all":
        if table.splits is None:
            raise InputError(
                f"{spec}#{split}: the file says nothing of splits (a 'split' beside the labels)."
            )
        if split not in set(table.splits):
            raise InputError(f"{spec}: {unknown_name('split', split, sorted(set(table.splits) - {''}))}")
        table = chosen(table, np.array([i for i, one in enumerate(table.splits) if one == split]))
    if not len(table.features):
        raise InputError(f"{spec} holds no row.")
    table.features.refuse_holes(spec)
    return table


def chosen(table: VectorTable, rows: np.ndarray) -> VectorTable:
    """Return some rows of a table, in that order; no feature is read."""
    return replace(
        table,
        features=table.features.take(rows),
        ids=tuple(table.ids[i] for i in rows),
        targets=None if table.targets is None else table.targets[rows],
        splits=None if table.splits is None else tuple(table.splits[i] for i in rows),
    )


class GivenVectors:
    """Vectors to be tagged, by id: what `tag` reads in place of image files, with the face of a vector store."""

    def __init__(self, table: VectorTable) -> None:
        self.features: FeatureRows = table.features
        self._ids = table.ids
        self._row = {name: row for row, name in enumerate(table.ids)}

    def __len__(self) -> int:
        return len(self._ids)

    def names(self) -> Iterator[str]:
        """Yield the ids, in the file's order."""
        return iter(self._ids)

    def items(self, names: Iterable[str | Path]) -> Iterator[tuple[str, np.ndarray | str]]:
        """Yield each id with its vector.

        Raises:
            InputError: an id that is not there.
        """
        for name in names:
            if (row := self._row.get(str(name))) is None:
                raise InputError(f"there is no row {str(name)!r}. Ids are such as {self._ids[0]!r}.")
            yield str(name), self.features[row : row + 1][0]


def _of_xml(path: Path, split: str) -> VectorTable:
    parts = parts_of(path)
    if not parts:
        raise InputError(
            f"{PREFIX}{path}: no {path.stem}-train.arff or other ARFF file of it lies beside it."
        )
    if split not in parts:
        raise InputError(
            f"{PREFIX}{path}: {unknown_name('part', split, parts)} Write {PREFIX}{path}#"
            f"{next(iter(parts), 'train')}."
        )
    table = read_arff(parts[split], path).check(f"{PREFIX}{parts[split]}")
    table.features.refuse_holes(f"{PREFIX}{parts[split]}")
    return table


def _understood(table: VectorTable, targets: np.ndarray, names: tuple[str, ...]) -> str:
    features = table.features
    kind = f" ({features.kind})" if features.kind else ""
    mean = (targets == PRESENT).sum() / len(targets)
    return (
        f"{len(targets):,} rows of {features.num_features:,} features{kind} in {features.dtype}, {len(names)} labels, "
        f"{mean:.2f} a row."
    )


def _oddities(targets: np.ndarray, names: tuple[str, ...]) -> list[str]:
    found = []
    for value, what in ((PRESENT, "every row"), (0, "no row")):
        if constant := [name for name, hit in zip(names, (targets == value).all(axis=0), strict=True) if hit]:
            shown = ", ".join(constant[:5]) + (f", … ({len(constant)} in all)" if len(constant) > 5 else "")
            found.append(f"labels that {what} has, so that there is nothing to learn: {shown}.")
    if len(names) > len(targets):
        found.append(f"more labels ({len(names)}) than rows ({len(targets)}): most cannot be learned.")
    if (targets == UNKNOWN).all():
        found.append("every label is unknown.")
    return found


SUFFIXES = (".npz", ".npy", ".parquet", ".arrow", ".arff", ".svm")


def write_vectors(
    dataset: Dataset,
    path: Path,
    *,
    split: str = "",
    images: str = "keep",
    splits: Sequence[str] | None = None,
) -> tuple[str, ...]:
    """Write vectors, ids, labels and splits.

    The suffix of `path` says the format. `split` is every row's, `splits` a value for each.

    Raises:
        InputError: a data set of pictures, an unknown suffix, something at `path`, names that a CSV cannot hold, or
            unknown labels, which LIBSVM's text cannot hold.
    """
    spec = f"vectors:{path}"
    if dataset.features is None:
        raise InputError(
            f"{dataset.spec} holds pictures; vectors come from an encoder. "
            "labelbeam tag RUN IMAGES --store FOLDER keeps those of a run's encoder (FOLDER/vectors.npy)."
        )
    if images != "keep":
        raise InputError(f"--images {images}: {dataset.spec} holds no pictures. Leave it out.")
    if path.suffix not in SUFFIXES:
        raise InputError(f"{spec}: {unknown_name('kind of file to write', path.suffix, SUFFIXES)}")
    refuse_existing(path)
    values = splits if splits is not None else [split] * len(dataset) if split else None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npz":
            _write_npz(dataset, dataset.features, path, values)
        elif path.suffix == ".npy":
            return _write_npy(dataset, dataset.features, path, values)
        elif path.suffix in (".arff", ".svm"):
            write = _write_arff if path.suffix == ".arff" else _write_libsvm
            return write(dataset, dataset.features, path, values)
        else:
            _write_arrow(dataset, dataset.features, path, values)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}). Give another place.") from error
    return ()


def _write_npz(dataset: Dataset, features: FeatureRows, path: Path, splits: Sequence[str] | None) -> None:
    targets = dataset.targets
    if (targets == UNKNOWN).any() and not (
        targets == ABSENT
    ).any():  # 1 and -1 alone are present and absent elsewhere
        targets = np.where(targets == UNKNOWN, np.nan, targets).astype(np.float32)
    small = {
        "labels": targets,
        "names": np.array(dataset.vocabulary.names),
        "ids": np.array(dataset.images),
    }
    if splits is not None:
        small["split"] = np.array(splits)
    if features.names:
        small["feature_names"] = np.array(features.names)
    if features.kind:
        small["kind"] = np.array(features.kind)
    with written_whole(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("features.npy", "w", force_zip64=True) as member:
            _write_matrix(member, features)
        for name, array in small.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


def _write_npy(
    dataset: Dataset, features: FeatureRows, path: Path, splits: Sequence[str] | None
) -> tuple[str, ...]:
    labels = path.with_suffix(".csv")
    here = replace(dataset, root=path.parent, features=None)
    with written_whole(path) as part:
        with part.open("wb") as file:
            _write_matrix(file, features)
        notes = write_csv(here, labels, splits=splits)
    lost = ("the names of the features",) if features.names else ()
    return (
        *notes,
        f"labels, ids and splits are in {labels.name}, row by row.",
        *(f"not kept: {one}" for one in lost),
    )


def _write_arff(
    dataset: Dataset, features: FeatureRows, path: Path, splits: Sequence[str] | None
) -> tuple[str, ...]:
    """Write MEKA's form: labels first, as many as the relation says; rows are sparse where features mostly are."""
    labels = len(dataset.vocabulary)
    names = features.names or tuple(f"feature {j}" for j in range(features.num_features))
    sparse = bool((features[:4000] == 0).mean() > 0.8)
    with written_whole(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"@relation {_quoted(f'{path.stem}: -C {labels}')}\n\n")
        file.writelines(f"@attribute {_quoted(name)} {{0,1}}\n" for name in dataset.vocabulary.names)
        file.writelines(f"@attribute {_quoted(name)} numeric\n" for name in names)
        file.write("\n@data\n")
        for row, values in _rows(features):
            cells = ["?" if one == UNKNOWN else str(one) for one in dataset.targets[row].tolist()]
            cells += [f"{value:.9g}" for value in values.tolist()]
            if sparse:
                kept = (f"{j} {cell}" for j, cell in enumerate(cells) if cell not in ("0", "-0"))
                file.write("{" + ",".join(kept) + "}\n")
            else:
                file.write(",".join(cells) + "\n")
    return _lost(dataset, splits)


def _write_libsvm(
    dataset: Dataset, features: FeatureRows, path: Path, splits: Sequence[str] | None
) -> tuple[str, ...]:
    """Write `label,label index:value …` a row; labels are numbers from 0, features count from 1."""
    if (dataset.targets == UNKNOWN).any():
        raise InputError(
            f"vectors:{path}: some labels are unknown, and LIBSVM's text says only which are present. Write .npz, "
            ".parquet or .arff."
        )
    with written_whole(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        for row, values in _rows(features):
            labels = ",".join(map(str, np.flatnonzero(dataset.targets[row] == PRESENT)))
            kept = np.flatnonzero(values)
            # The first row names the last feature, so that it is known how many there are.
            last = [f"{features.num_features}:0"] if row == 0 and values[-1] == 0 else []
            cells = [f"{j + 1}:{values[j]:.9g}" for j in kept] + last
            file.write(f"{labels} {' '.join(cells) or '1:0'}\n")
    numbers = ", ".join(f"{j} {name}" for j, name in enumerate(dataset.vocabulary.names[:5]))
    more = ", …" if len(dataset.vocabulary) > 5 else ""
    names = ("not kept: the names of the features",) if features.names else ()
    return (f"labels are numbers there: {numbers}{more}.", *names, *_lost(dataset, splits))


def _rows(features: FeatureRows) -> Iterator[tuple[int, np.ndarray]]:
    row = 0
    for block in features.blocks():
        for values in np.asarray(block, np.float32):
            yield row, values
            row += 1


def _lost(dataset: Dataset, splits: Sequence[str] | None) -> tuple[str, ...]:
    return ("not kept: ids", *(("not kept: splits",) if splits is not None else ()))


def _quoted(name: str) -> str:
    return "'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _write_matrix(file: Any, features: FeatureRows) -> None:
    header = {"descr": features.dtype.str, "fortran_order": False, "shape": features.shape}
    np.lib.format.write_array_header_1_0(file, header)
    for block in features.blocks():
        file.write(np.ascontiguousarray(block).tobytes())


def _write_arrow(dataset: Dataset, features: FeatureRows, path: Path, splits: Sequence[str] | None) -> None:
    pyarrow = pyarrow_module()
    numbers = pyarrow.float16() if features.dtype == np.float16 else pyarrow.float32()
    names = dataset.vocabulary.names
    unknown = bool((dataset.targets == UNKNOWN).any())
    texts = pyarrow.list_(pyarrow.string())
    columns = [
        ("id", pyarrow.string()),
        ("features", pyarrow.list_(numbers, features.num_features)),
        ("labels", texts),
    ]
    columns += [("unknown", texts)] if unknown else []
    columns += [("split", pyarrow.string())] if splits is not None else []
    metadata = {NAMES_KEY: "\n".join(names).encode(), KIND_KEY: features.kind.encode()}
    schema = pyarrow.schema(columns, metadata=metadata)
    first = 0
    with written_whole(path) as part, _arrow_file(part, path.suffix, schema) as write:
        for block in features.blocks():
            rows = slice(first, first := first + len(block))
            flat = pyarrow.array(np.ascontiguousarray(block).reshape(-1), type=numbers)
            targets = dataset.targets[rows]

            def listed(value: int, targets: np.ndarray = targets) -> Any:
                return pyarrow.array(
                    [[names[j] for j in np.flatnonzero(row == value)] for row in targets], type=texts
                )

            arrays = [
                pyarrow.array(dataset.images[rows]),
                pyarrow.FixedSizeListArray.from_arrays(flat, features.num_features),
                listed(PRESENT),
            ]
            arrays += [listed(UNKNOWN)] if unknown else []
            arrays += [pyarrow.array(list(splits[rows]))] if splits is not None else []
            write(pyarrow.record_batch(arrays, schema=schema))


@contextmanager
def _arrow_file(part: Path, suffix: str, schema: Any) -> Iterator[Any]:
    if suffix == ".parquet":
        with pyarrow_module(".parquet").ParquetWriter(part, schema) as writer:
            yield writer.write_batch
    else:
        with pyarrow_module().ipc.new_file(part, schema) as writer:
            yield writer.write_batch
