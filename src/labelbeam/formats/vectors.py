"""`vectors:FILE#SPLIT`: features in place of pictures, from NumPy, Arrow, Parquet, ARFF or LIBSVM files.

Chooses the reader by the file's suffix and makes a data set of what it gives. `open_vectors` also takes files without
labels, which are tagged.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.data.feature_rows import FeatureRows
from labelbeam.errors import InputError, unknown_name
from labelbeam.files import is_file
from labelbeam.formats.vector_files import read_arrow, read_npy, read_npz
from labelbeam.formats.vector_table import VectorTable
from labelbeam.formats.vector_texts import parts_of, read_arff, read_libsvm
from labelbeam.labels.names import clean, refuse_reserved
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN, Vocabulary

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

    Args:
        path: the file; of ARFF also Mulan's XML of label names, with the part as the split.
        split: a value of the file's own splits; empty or `all`: every row.
        options: `keep_unlabelled`, `image_column` (ids), `tags_column`, `features_column`, `encoding`.

    Raises:
        InputError: as `open_vectors`; a file without labels, without a row, or none of whose rows has a label.
    """
    table = open_vectors(path, split, options=options)
    spec = f"{PREFIX}{path}" + (f"#{split}" if split else "")
    if table.targets is None:
        raise InputError(
            f"{spec} holds no labels. It can be tagged (labelbeam tag RUN {spec}), not learned from."
        )
    names, targets = tuple(clean(name) for name in table.names), table.targets
    if not names or "" in names:
        raise InputError(f"{spec}: " + ("a label has an empty name." if names else "no row has a label."))
    refuse_reserved(names, spec)
    features, ids, notes = table.features, table.ids, [*table.notes]
    if not options.keep_unlabelled:
        rows = np.flatnonzero((targets == PRESENT).any(axis=1))
        if not len(rows):
            raise InputError(f"{spec}: no row has a label, so nothing is left.")
        features, targets, ids = features.take(rows), targets[rows], tuple(ids[i] for i in rows)
    notes.insert(0, _understood(table, targets, names))
    notes += _oddities(targets, names)
    return Dataset(spec, path.parent, ids, Vocabulary(names), targets, notes=tuple(notes), features=features)


def open_vectors(path: Path, split: str = "", *, options: ReadOptions = DEFAULTS) -> VectorTable:
    """Read a file of vectors, with labels or without; large features are mapped, not read.

    Args:
        path: as in `read_vectors`.
        split: as in `read_vectors`.
        options: as in `read_vectors`.

    Raises:
        InputError: no such file, an unknown suffix, whatever is wrong in the file, an unknown split, no row, or
            features that are no numbers.
    """
    spec = f"{PREFIX}{path}"
    if not is_file(path):
        raise InputError(f"{spec}: there is no such file (looked from {Path.cwd()}). Check the path.")
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
    """Vectors to be tagged, by id: what `tag` reads in place of image files, with the face of a vector store.

    Args:
        table: rows and their ids.
    """

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
