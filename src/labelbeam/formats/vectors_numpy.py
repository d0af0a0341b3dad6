"""`.npz` archives, and `.npy` files beside a CSV of labels; mapped where they are stored as they are.

    X.npz   features [rows features]; labels [rows labels] with names, or texts; ids, split, feature_names, kind
    X.npy   features; X.csv or labels.csv beside it: the same rows in the same order, as `csv:` reads them

Nothing is unpickled.
"""

import struct
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from labelbeam.data.dataset import ReadOptions
from labelbeam.data.feature_rows import FeatureRows, as_features, row_ids
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.csv_columns import SPLIT_COLUMNS
from labelbeam.formats.csv_rows import opened_table
from labelbeam.formats.csv_table import read_csv
from labelbeam.formats.vector_table import (
    VectorTable,
    distinct_ids,
    names_in_cells,
    targets_of_names,
    targets_of_numbers,
)

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


def read_npz(path: Path, options: ReadOptions) -> VectorTable:
    """Read an `.npz` archive; features that are stored uncompressed are mapped, not read.

    Raises:
        InputError: no archive, arrays under other names, one thing under two names, pickled objects, or arrays that do
            not fit together.
    """
    spec = f"vectors:{path}"
    try:
        arrays = dict(_arrays(path, mapped=KEYS["features"]))
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, struct.error) as error:
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
    if arrays:
        every = [name for names in KEYS.values() for name in names]
        raise InputError(f"{spec}: {unknown_name('array', sorted(arrays)[0], every)}")
    if "features" not in found:
        raise InputError(f"{spec} holds no features. Name the matrix 'features'.")
    kind = str(found["kind"].reshape(-1)[0]) if found.get("kind", np.array([])).size else ""
    features = FeatureRows(
        (as_features(found["features"], spec),),
        names=tuple(map(str, found["feature_names"].reshape(-1).tolist()))
        if "feature_names" in found
        else (),
        kind=kind,
    )
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
    except (OSError, ValueError, EOFError) as error:
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
    if labels.dtype.kind in "US":
        texts = labels.astype(str)
        rows = texts.tolist() if texts.ndim == 2 else names_in_cells(texts.tolist(), f"{spec}, labels")
        found_names, targets = targets_of_names(rows, known)
        return replace(table, names=found_names, targets=targets)
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
