"""LIBSVM's text for several labels: `1,3 2:0.5 7:1` a row; also with the header of the extreme-classification sets.

Indices count from 1, unless a 0 is there or a header `rows features labels` stands first; features that no row has
are zeros.
"""

from pathlib import Path

import numpy as np

from labelbeam.data.feature_rows import FeatureRows, row_ids
from labelbeam.errors import InputError
from labelbeam.formats.arff import MOST_BYTES
from labelbeam.formats.vector_table import VectorTable


def read_libsvm(path: Path) -> VectorTable:
    """Read a LIBSVM file; labels are numbers, and those are their names.

    Raises:
        InputError: a line that is none of it, or more numbers than memory is meant for.
    """
    spec = f"vectors:{path}"
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    labels: list[list[int]] = []
    header: tuple[int, ...] = ()
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            text = line.split("#", 1)[0].rstrip()
            if not text.strip() and (line.startswith("#") or not line.strip()):
                continue
            cells = text.split()
            if number == 1 and len(cells) == 3 and all(cell.isdecimal() for cell in cells):
                header = tuple(map(int, cells))
                continue
            said = "" if text[0].isspace() or ":" in cells[0] else cells.pop(0)
            try:
                labels.append([int(float(one)) for one in said.split(",") if one])
                for cell in cells:
                    index, _, value = cell.partition(":")
                    columns.append(int(index))
                    values.append(float(value))
                    rows.append(len(labels) - 1)
            except ValueError:
                raise InputError(
                    f"{path}, line {number}: {text[:60]!r} is no row 'label,label index:value …' of numbers."
                ) from None
    if not labels or not columns:
        raise InputError(
            f"{path} holds no row with a feature. LIBSVM's rows are 'label,label index:value …'."
        )
    lowest, highest = min(columns), max(columns)
    if lowest < 0:
        raise InputError(f"{path}: a feature has the index {lowest}; they count from 1, or from 0.")
    base = 0 if header or lowest == 0 else 1
    width = header[1] if header else highest + 1 - base
    if highest - base >= width:
        raise InputError(f"{path}: the header speaks of {width} features, a row has the index {highest}.")
    if len(labels) * width * 4 > MOST_BYTES:
        raise InputError(
            f"{spec}: {len(labels):,} rows of {width:,} features are {len(labels) * width * 4 / 1e9:,.0f} GB. "
            "Reduce them first (TruncatedSVD, say) and give the result as .npz."
        )
    features = np.zeros((len(labels), width), np.float32)
    features[rows, np.array(columns) - base] = values
    known = sorted({one for row in labels for one in row} | set(range(header[2] if header else 0)))
    column = {one: j for j, one in enumerate(known)}
    targets = np.zeros((len(labels), len(known)), np.int8)
    for target, row in zip(targets, labels, strict=True):
        target[[column[one] for one in row]] = 1
    notes = (
        f"feature indices count from {base}{' (a header stands first)' if header else ''}; labels are called by their "
        "numbers.",
    )
    rows_of = FeatureRows((features,), open_ended=not header)
    return VectorTable(rows_of, row_ids(path.stem, len(labels)), tuple(map(str, known)), targets, notes=notes)
