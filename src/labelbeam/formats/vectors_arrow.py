"""Parquet and Arrow files with a column of lists of numbers; Arrow files that are not compressed are mapped.

Columns: the features (the one column of number lists, or the one that is named); labels as lists of names, as text
or as a column of 0/1 for each; an id, a split. Needs pyarrow.
"""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.data.dataset import ReadOptions
from labelbeam.data.feature_rows import FeatureRows, as_features, row_ids
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.csv_columns import IMAGE_COLUMNS, SPLIT_COLUMNS, TAGS_COLUMNS
from labelbeam.formats.vector_table import (
    VectorTable,
    distinct_ids,
    names_in_cells,
    targets_of_names,
    targets_of_numbers,
)

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
    features = replace(features, kind=metadata.get(KIND_KEY, b"").decode())
    id_name = _named(columns, options.image_column, ID_COLUMNS, "ids", spec)
    split_name = _named(columns, None, SPLIT_COLUMNS, "splits", spec)
    tags_name = _named(columns, options.tags_column, TAGS_COLUMNS, "labels", spec)
    ids = (
        row_ids(path.stem, len(features))
        if id_name is None
        else distinct_ids(columns.pop(id_name).to_pylist(), spec)
    )
    splits = None if split_name is None else tuple(map(str, columns.pop(split_name).to_pylist()))
    found = VectorTable(features, ids, splits=splits, notes=(f"features: the column {features_name!r}.",))
    if tags_name is not None:
        cells = columns.pop(tags_name).to_pylist()
        stored = metadata.get(NAMES_KEY)
        known = None if stored is None else stored.decode().split("\n")
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
    matrix = [column.to_numpy() for column in columns.values()]
    if bad := [name for name, one in zip(columns, matrix, strict=True) if one.dtype.kind not in "biuf"]:
        raise _strange(bad, spec)
    stacked = np.stack([one.astype(np.float64) for one in matrix], axis=1)
    return replace(found, names=tuple(columns), targets=targets_of_numbers(stacked, spec))


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
            return pyarrow_module(".parquet").read_table(path)
        source = pyarrow.memory_map(str(path))
        try:
            return pyarrow.ipc.open_file(source).read_all()
        except pyarrow.ArrowInvalid:
            source.seek(0)
            return pyarrow.ipc.open_stream(source).read_all()
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path} is no whole {path.suffix[1:]} file ({error}).") from error


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
        and types.is_floating(field.type.value_type)
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
