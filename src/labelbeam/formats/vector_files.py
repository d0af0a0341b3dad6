"""Files of vectors: NumPy, Parquet and Arrow, mapped instead of read.

X.npz     features [rows features]; labels [rows labels] with names, or texts; ids, split, feature_names, kind
    X.npy     features; X.csv or labels.csv beside it: the same rows in the same order, as `csv:` reads them
    X.arrow   the column of number lists that is the only one, or named; labels as lists of names, as text or as a
              column of 0/1 for each; an id, a split

Nothing is unpickled; Arrow files that are not compressed are mapped too.
"""

import importlib
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from jaxtyping import Int8

from labelbeam.data.dataset import ReadOptions
from labelbeam.data.feature_rows import FeatureRows, as_features, row_ids
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.cells import recognise
from labelbeam.formats.csv_rows import IMAGE_COLUMNS, SPLIT_COLUMNS, TAGS_COLUMNS, opened_table
from labelbeam.formats.csv_table import read_csv
from labelbeam.labels.names import clean
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN


@dataclass(frozen=True, eq=False)
class VectorTable:
    """Rows of a file of vectors.

    Attributes:
        features: as they lie in the file.
        ids: a name for each row.
        names: of the labels; empty: the file has none.
        targets: int8 [rows labels] of 1, 0 and -1 (unknown); None: the file has no labels.
        splits: of each row, where the file says so.
        notes: what was understood, in sentences.
    """

    features: FeatureRows
    ids: tuple[str, ...]
    names: tuple[str, ...] = ()
    targets: Int8[np.ndarray, "rows labels"] | None = None
    splits: Sequence[str] | None = None
    notes: tuple[str, ...] = ()

    def check(self, spec: str) -> "VectorTable":
        """Return the table; refuse columns of different length and names that are there twice.

        Raises:
            InputError: with the numbers, or the names.
        """
        counts = {"ids": len(self.ids)}
        if self.targets is not None:
            counts["labels"] = len(self.targets)
        if self.splits is not None:
            counts["splits"] = len(self.splits)
        for what, count in counts.items():
            if count != len(self.features):
                raise InputError(
                    f"{spec}: {len(self.features):,} rows of features and {count:,} rows of {what}; they must be as "
                    "many. Were both written from the same data?"
                )
        if self.targets is not None and self.targets.shape[1] != len(self.names):
            raise InputError(
                f"{spec}: {self.targets.shape[1]} columns of labels and {len(self.names)} names of labels; they must "
                "be as many."
            )
        for what, names in (("label", self.names), ("feature", self.features.names)):
            if len(set(names)) < len(names):
                seen: set[str] = set()
                twice = [name for name in names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
                raise InputError(f"{spec}: each {what} needs a name of its own; given twice: {twice[:5]}.")
        return self


def targets_of_numbers(values: np.ndarray, spec: str) -> Int8[np.ndarray, "rows labels"]:
    """Return a matrix of labels as targets: 1 present, 0 absent, -1 or NaN unknown.

    Raises:
        InputError: another shape, or other values (they are named).
    """
    if values.ndim != 2:
        raise InputError(
            f"{spec}: labels must be a matrix, a column for each label; given the shape {list(values.shape)}."
        )
    if values.dtype.kind not in "biuf":
        raise InputError(f"{spec}: labels must be numbers; given {values.dtype}.")
    whole = values.dtype.kind in "bi" and values.size > 0
    if whole and values.min() >= UNKNOWN and values.max() <= PRESENT:  # without a copy, where int8
        return values.astype(np.int8, copy=False)
    unknown = np.isnan(values) if np.issubdtype(values.dtype, np.floating) else np.zeros(values.shape, bool)
    fine = unknown | (values == PRESENT) | (values == ABSENT) | (values == UNKNOWN)
    if not fine.all():
        shown = ", ".join(map(str, np.unique(values[~fine])[:5].tolist()))
        row = int(np.argwhere(~fine)[0][0]) + 1
        raise InputError(
            f"{spec}: labels must be 1 (present), 0 (absent), -1 or NaN (unknown); given {shown}, first in row {row}. "
            "Class numbers in one column are written as names, or as a column for each."
        )
    return np.where(unknown, UNKNOWN, values).astype(np.int8)


def absent_by_minus(values: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return values of labels with 0 for -1 where nothing else says that a label is absent, and what to say of it.

    Example:
        >>> absent_by_minus(np.array([[1, -1]]))[0].tolist(), absent_by_minus(np.array([[0, -1]]))[0].tolist()
        ([[1, 0]], [[0, -1]])
    """
    if values.dtype.kind not in "if" or not np.isin(values, (1, -1)).all() or (values == 1).all():
        return values, ()
    return np.maximum(values, 0), ("no value is 0, so -1 was read as absent; NaN is unknown.",)


def targets_of_names(
    rows: Sequence[Sequence[str]], names: Sequence[str] | None = None
) -> tuple[tuple[str, ...], Int8[np.ndarray, "rows labels"]]:
    """Return label names, sorted, and the targets of rows that list theirs; what a row does not list is absent.

    Raises:
        InputError: rows of zeros and ones, which are columns and no names.
    """
    if {name for row in rows for name in row} == {"0", "1"} and any(len(set(row)) < len(row) for row in rows):
        raise InputError(
            "rows of labels hold only '0' and '1', more than once: that is a column for each label, not names. Give "
            "numbers, a column for each."
        )
    cleaned = [[clean(name) for name in row] for row in rows]
    known = list(names or ())
    more = sorted({name for row in cleaned for name in row if name} - set(known))
    column = {name: j for j, name in enumerate([*known, *more])}
    targets = np.zeros((len(rows), len(column)), dtype=np.int8)
    for target, row in zip(targets, cleaned, strict=True):
        target[[column[name] for name in row if name]] = PRESENT
    return tuple(column), targets


def names_in_cells(cells: Iterable[str], where: str) -> list[list[str]]:
    """Return the label names of cells of text, as the cells themselves show what separates them.

    Raises:
        InputError: cells that can be read in two ways.
    """
    cells = list(cells)
    style = recognise(cells, where)
    return [style.labels(cell) for cell in cells]


def distinct_ids(ids: Iterable[object], spec: str) -> tuple[str, ...]:
    """Return ids as texts.

    Raises:
        InputError: an id that is there twice, or an empty one.
    """
    texts = tuple("" if one is None else str(one) for one in ids)
    if len(set(texts)) < len(texts) or "" in texts:
        seen: set[str] = set()
        twice = [one for one in texts if one in seen or seen.add(one)]  # type: ignore[func-returns-value]
        raise InputError(
            f"{spec}: each row needs an id of its own; empty, or given more than once: {(twice or [''])[:5]}."
        )
    return texts


KEYS: Mapping[str, tuple[str, ...]] = {
    "features": ("features", "X", "x", "embeddings", "vectors"),
    "labels": ("labels", "Y", "y", "targets"),
    "names": ("names", "label_names", "classes"),
    "ids": ("ids", "id", "images", "image"),
    "split": ("split", "splits"),
    "feature_names": ("feature_names",),
    "kind": ("kind",),
}
"""What an archive may hold, and under which names; the first is the one that labelbeam writes."""


DAMAGED_ARRAY = (
    ValueError,
    TypeError,
    SyntaxError,
    TokenError,
    EOFError,
    RecursionError,
    MemoryError,
    OverflowError,
)
"""What NumPy raises for an array whose header says something else than an array's."""


def read_npz(path: Path, options: ReadOptions) -> VectorTable:
    """Read an `.npz` archive; features that are stored uncompressed are mapped, not read.

    Raises:
        InputError: no archive, arrays under other names, one thing under two names, pickled objects, or arrays that do
            not fit together.
    """
    spec = f"vectors:{path}"
    try:
        arrays = dict(_arrays(path, mapped=KEYS["features"]))
    except (
        OSError,
        zipfile.BadZipFile,
        struct.error,
        zlib.error,
        NotImplementedError,
        *DAMAGED_ARRAY,
    ) as error:
        raise InputError(
            f"{path} is no .npz archive of plain arrays ({error}). Write it with numpy.savez(file, features=X, "
            "labels=Y, names=[...]); objects are not unpickled: save texts with dtype str."
        ) from error
    found: dict[str, np.ndarray] = {}
    for what, accepted in KEYS.items():
        present = [name for name in accepted if name in arrays]
        if len(present) > 1:
            raise InputError(f"{spec} holds {' and '.join(present)}: which of them is the {what}? Keep one.")
        if present:
            found[what] = arrays.pop(present[0])
            if found[what].dtype.kind == "S" and what != "features":
                try:
                    found[what] = np.char.decode(found[what], "utf-8")
                except UnicodeDecodeError as error:
                    raise InputError(
                        f"{spec}: {present[0]!r} holds bytes that are no UTF-8 ({error})."
                    ) from error
    if arrays:
        every = [name for names in KEYS.values() for name in names]
        raise InputError(f"{spec}: {unknown_name('array', sorted(arrays)[0], every)}")
    if "features" not in found:
        raise InputError(f"{spec} holds no features. Name the matrix 'features'.")
    kind = str(found["kind"].reshape(-1)[0]) if found.get("kind", np.array([])).size else ""
    matrix = as_features(found["features"], spec)
    called = tuple(map(str, found.get("feature_names", np.array([])).reshape(-1).tolist()))
    if called and len(called) != matrix.shape[1]:
        raise InputError(f"{spec}: {len(called)} names for {matrix.shape[1]} features; they must be as many.")
    features = FeatureRows((matrix,), names=called, kind=kind)
    ids = (
        distinct_ids(found["ids"].reshape(-1).tolist(), spec)
        if "ids" in found
        else row_ids(path.stem, len(features))
    )
    table = VectorTable(features, ids, notes=_stored_note(features, path))
    if "split" in found:
        table = replace(table, splits=tuple(map(str, found["split"].reshape(-1).tolist())))
    return _with_labels(table, found, spec)


def read_npy(path: Path, options: ReadOptions) -> VectorTable:
    """Map an `.npy` matrix; labels, ids and splits come from the CSV beside it, row by row.

    Raises:
        InputError: no such matrix; a CSV whose rows are of another number, or that repeats an id.
    """
    spec = f"vectors:{path}"
    try:
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, *DAMAGED_ARRAY) as error:
        raise InputError(
            f"{path} is no .npy matrix of numbers ({error}). Write it with numpy.save(file, features)."
        ) from error
    features = FeatureRows((as_features(matrix, spec),))
    beside = next(
        (file for file in (path.with_suffix(".csv"), path.with_name("labels.csv")) if file.is_file()), None
    )
    if beside is None:
        return VectorTable(features, row_ids(path.stem, len(features)))
    # Every row, whatever its labels: row i of the CSV belongs to row i of the matrix.
    labelled = read_csv(beside, options=replace(options, missing="keep", keep_unlabelled=True))
    with opened_table(beside, encoding=options.encoding) as table:
        count, splits = 0, []
        at = next((j for j, name in enumerate(table.header) if name.casefold() in SPLIT_COLUMNS), None)
        for _, fields in table.rows:
            count += 1
            splits.append(fields[at] if at is not None and at < len(fields) else "")
    if count != len(labelled):
        raise InputError(
            f"{beside}: {count:,} rows hold {len(labelled):,} ids. Beside a matrix each row needs an id of its own."
        )
    return VectorTable(
        features,
        labelled.images,
        labelled.vocabulary.names,
        labelled.targets,
        None if at is None else tuple(splits),
        (f"labels from {beside.name}, row by row.", *labelled.notes),
    )


def _with_labels(table: VectorTable, found: Mapping[str, np.ndarray], spec: str) -> VectorTable:
    labels, names = found.get("labels"), found.get("names")
    if labels is None and names is not None and len(names) == len(table.features):
        labels, names = names, None  # rows of names
    if labels is None:
        if names is not None:
            raise InputError(f"{spec} names {len(names)} labels and holds none: add 'labels' [rows labels].")
        return table
    known = None if names is None else tuple(map(str, names.reshape(-1).tolist()))
    if labels.dtype.kind == "U":
        rows = labels.tolist() if labels.ndim == 2 else names_in_cells(labels.tolist(), f"{spec}, labels")
        found_names, targets = targets_of_names(rows, known)
        return replace(table, names=found_names, targets=targets)
    labels, notes = absent_by_minus(labels)
    table = replace(table, notes=(*table.notes, *notes))
    targets = targets_of_numbers(labels, spec)
    if known is None:
        known = tuple(f"label {j}" for j in range(targets.shape[1]))
        table = replace(
            table, notes=(*table.notes, "labels have no names; they are called 'label 0', 'label 1', …")
        )
    return replace(table, names=known, targets=targets)


def _stored_note(features: FeatureRows, path: Path) -> tuple[str, ...]:
    if isinstance(features.parts[0], np.memmap) or features.parts[0].nbytes < 1 << 28:
        return ()
    return (
        f"the features of {path.name} are compressed or in double precision, so they are held in memory; "
        "numpy.savez(file, features=X.astype('float16'), …) writes what is mapped.",
    )


def _arrays(path: Path, *, mapped: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return the arrays of an archive by name; those in `mapped` as maps of the file where it stores them whole."""
    arrays = {}
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name in mapped and info.compress_type == zipfile.ZIP_STORED:
                arrays[name] = _mapped(file, path, info)
                continue
            with archive.open(info) as member:
                arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
    return arrays


def _mapped(file: IO[bytes], path: Path, info: zipfile.ZipInfo) -> np.ndarray:
    """Map a stored member: behind its local header lies an ordinary .npy file."""
    file.seek(info.header_offset + 26)
    name_size, extra_size = struct.unpack("<HH", file.read(4))
    file.seek(info.header_offset + 30 + name_size + extra_size)
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise ValueError(f"version {version} of the .npy format")
    shape, fortran, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("objects in it")
    if not all(shape):
        return np.empty(shape, dtype)
    where = file.tell()
    if fortran:
        return np.memmap(path, dtype, "r", offset=where, shape=shape, order="F")
    return np.memmap(path, dtype, "r", offset=where, shape=shape)


FEATURE_COLUMNS = ("features", "feature", "embedding", "embeddings", "vector", "vectors")
ID_COLUMNS = frozenset({"id", "ids", "key"}) | IMAGE_COLUMNS
NAMES_KEY, KIND_KEY = b"labelbeam_names", b"labelbeam_kind"
"""Metadata of the schema that labelbeam writes: the labels in their order, and what the features are."""


def read_arrow(path: Path, options: ReadOptions) -> VectorTable:
    """Read a `.parquet`, `.arrow`, `.feather` or `.ipc` file.

    Raises:
        InputError: pyarrow is missing; no such file; no column of number lists, or several; lists of different length;
            columns that are neither features nor labels.
    """
    spec = f"vectors:{path}"
    table = _opened(path)
    columns = {name: table.column(name) for name in table.column_names}
    features_name = _features_column(table, options, spec)
    features = FeatureRows(tuple(_matrices(columns.pop(features_name), features_name, spec)))
    metadata = table.schema.metadata or {}
    try:
        stated = {key: text.decode() for key, text in metadata.items() if key in (KIND_KEY, NAMES_KEY)}
    except UnicodeDecodeError as error:
        raise InputError(
            f"{spec}: what stands beside its columns is no UTF-8 ({error}). Write it again."
        ) from error
    features = replace(features, kind=stated.get(KIND_KEY, ""))
    id_name = _named(columns, options.image_column, ID_COLUMNS, "ids", spec)
    split_name = _named(columns, None, SPLIT_COLUMNS, "splits", spec)
    tags_name = _named(columns, options.tags_column, TAGS_COLUMNS, "labels", spec)
    ids = (
        row_ids(path.stem, len(features))
        if id_name is None
        else distinct_ids(columns.pop(id_name).to_pylist(), spec)
    )
    splits = (
        None
        if split_name is None
        else tuple("" if one is None else str(one) for one in columns.pop(split_name).to_pylist())
    )
    found = VectorTable(features, ids, splits=splits, notes=(f"features: the column {features_name!r}.",))
    if tags_name is not None:
        cells = columns.pop(tags_name).to_pylist()
        known = stated[NAMES_KEY].split("\n") if NAMES_KEY in stated else None
        if empty := sum(cell is None for cell in cells):
            note = f"{empty:,} rows have nothing in {tags_name!r}, which was read as no label."
            found = replace(found, notes=(*found.notes, note))
        if any(None in cell for cell in cells if isinstance(cell, list)):
            raise InputError(f"{spec}: a list in {tags_name!r} holds a null, which is no name. Leave it out.")
        texts = any(isinstance(cell, str) for cell in cells)
        rows = (
            names_in_cells([cell or "" for cell in cells], f"{spec}, {tags_name}")
            if texts
            else [[str(one) for one in cell or ()] for cell in cells]
        )
        names, targets = targets_of_names(rows, known)
        if (unknown := columns.pop("unknown", None)) is not None:
            place = {name: j for j, name in enumerate(names)}
            for target, cell in zip(targets, unknown.to_pylist(), strict=True):
                target[[place[one] for one in cell or () if one in place]] = -1
        if columns:
            raise _strange(columns, spec)
        return replace(found, names=names, targets=targets)
    if not columns:
        return found
    number = pyarrow_module().int8()  # of true and false with holes in it NumPy would make objects
    boolean = pyarrow_module().types.is_boolean
    matrix = [(one.cast(number) if boolean(one.type) else one).to_numpy() for one in columns.values()]
    if bad := [name for name, one in zip(columns, matrix, strict=True) if one.dtype.kind not in "biuf"]:
        raise _strange(bad, spec)
    stacked = np.stack([one.astype(np.float64) for one in matrix], axis=1)
    stacked, notes = absent_by_minus(stacked)
    targets = targets_of_numbers(stacked, spec)
    return replace(found, names=tuple(columns), targets=targets, notes=(*found.notes, *notes))


def pyarrow_module(part: str = "") -> Any:
    """Return pyarrow, or a part of it.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module("pyarrow" + part)
    except ModuleNotFoundError as error:
        raise InputError("Parquet and Arrow files need pyarrow: pip install 'labelbeam[parquet]'.") from error


def _opened(path: Path) -> Any:
    pyarrow = pyarrow_module()
    try:
        if path.suffix == ".parquet":
            table = pyarrow_module(".parquet").read_table(path)
        else:
            source = pyarrow.memory_map(str(path))
            try:
                table = pyarrow.ipc.open_file(source).read_all()
            except pyarrow.ArrowInvalid:
                source.seek(0)
                table = pyarrow.ipc.open_stream(source).read_all()
        table.validate(full=True)  # offsets that lead out of the file would end the process
        return table
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        why = str(error).split("\n", 1)[0]
        raise InputError(f"{path} is no whole {path.suffix[1:]} file ({why}).") from error


def _features_column(table: Any, options: ReadOptions, spec: str) -> str:
    types = pyarrow_module().types
    lists = [
        field.name
        for field in table.schema
        if (
            types.is_list(field.type)
            or types.is_large_list(field.type)
            or types.is_fixed_size_list(field.type)
        )
        and (
            types.is_floating(field.type.value_type)
            # Whole numbers may be numbers of labels: they are features where they are called so.
            or (
                types.is_integer(field.type.value_type)
                and (field.name == options.features_column or field.name.casefold() in FEATURE_COLUMNS)
            )
        )
    ]
    if options.features_column is not None:
        if options.features_column not in lists:
            raise InputError(f"{spec}: {unknown_name('column of features', options.features_column, lists)}")
        return options.features_column
    named = [name for name in lists if name.casefold() in FEATURE_COLUMNS] or lists
    if len(named) != 1:
        found = (
            "no column holds lists of floating numbers" if not named else f"{' and '.join(named)} hold lists"
        )
        raise InputError(f"{spec}: {found}. Name the one with the features: --features-column NAME.")
    return named[0]


def _matrices(column: Any, name: str, spec: str) -> list[np.ndarray]:
    """Return the matrix of each chunk; a view of the file where that is mapped."""
    pyarrow = pyarrow_module()
    parts = []
    for chunk in column.chunks:
        if not len(chunk):
            continue
        if chunk.null_count:
            raise InputError(
                f"{spec}: {chunk.null_count} rows have nothing in {name!r}. Leave those rows out."
            )
        if pyarrow.types.is_fixed_size_list(chunk.type):
            width, flat = chunk.type.list_size, chunk.flatten()
        else:
            lengths = np.unique(np.diff(chunk.offsets.to_numpy()))
            if len(lengths) > 1:
                raise InputError(
                    f"{spec}: rows of {name!r} have {lengths[0]} to {lengths[-1]} numbers; they must be as many."
                )
            width, flat = int(lengths[0]), chunk.flatten()
        values = flat.to_numpy(zero_copy_only=not flat.null_count)
        parts.append(as_features(values.reshape(len(chunk), width), spec))
    if not parts:
        raise InputError(f"{spec} holds no row.")
    return parts


def _named(
    columns: Mapping[str, Any], asked: str | None, usual: frozenset[str], what: str, spec: str
) -> str | None:
    if asked is not None:
        if asked not in columns:
            raise InputError(f"{spec}: {unknown_name(f'column of {what}', asked, columns)}")
        return asked
    found = [name for name in columns if name.casefold() in usual]
    if len(found) > 1:
        raise InputError(f"{spec}: {' and '.join(found)} could hold the {what}. Rename one of them.")
    return found[0] if found else None


def _strange(columns: Mapping[str, Any] | Sequence[str], spec: str) -> InputError:
    names = list(columns)
    return InputError(
        f"{spec}: {', '.join(map(repr, names[:5]))} {'is' if len(names) == 1 else 'are'} neither features, ids, split "
        "nor labels. Leave them out, or name the labels with --tags-column."
    )
