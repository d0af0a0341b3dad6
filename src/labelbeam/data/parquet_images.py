"""Images inside Parquet files: `train-00000-of-00001.parquet/image/000012.jpg` is row 12 of the column `image`.

Under `data.image_bytes`, which takes such a path for a file's. Needs pyarrow (extra `parquet`). Of each file the
row group that was read last is kept, so that going through rows in their order reads each once. Knows nothing of labels
and pixels.

Source:
    Hugging Face Datasets, feature `Image`: a struct of `bytes` and `path`.
"""

import threading
from pathlib import Path
from typing import Any

from labelbeam.errors import InputError

PARQUET_SUFFIX = ".parquet"

_KEPT = 2
"""Row groups that are kept; a group of photographs takes some ten megabytes."""

_lock = threading.Lock()
_groups: dict[tuple[Path, tuple[int, int], str, int], Any] = {}
_ends: dict[tuple[Path, tuple[int, int]], list[int]] = {}


def image_columns(schema: Any) -> list[str]:
    """Return the columns of a pyarrow schema that hold images: structs with `bytes`, or plain bytes."""
    import pyarrow

    found = []
    for field in schema:
        kind = field.type
        is_struct = pyarrow.types.is_struct(kind)
        is_struct = is_struct and "bytes" in {kind.field(i).name for i in range(kind.num_fields)}
        if is_struct or pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind):
            found.append(field.name)
    return found


def opened_parquet(file: Path) -> Any:
    """Return a `pyarrow.parquet.ParquetFile`.

    Raises:
        InputError: pyarrow is not installed, or the file is no Parquet file.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InputError(
            f"{file} needs pyarrow, which is not installed: pip install 'labelbeam[parquet]', or save it as .jsonl."
        ) from None
    try:
        return parquet.ParquetFile(file)
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{file} is not a Parquet file ({' '.join(str(error).split())[:120]}). Was it copied in full?"
        ) from None


def parquet_image(file: Path, name: str) -> bytes:
    """Return the bytes of an image inside a Parquet file.

    Args:
        file: the Parquet file.
        name: `COLUMN/ROW.SUFFIX`, rows from 0.

    Raises:
        FileNotFoundError: no such column or row, or nothing in it.
        InputError: as `opened_parquet`.
    """
    column, row = _place(name)
    ends = _row_groups(file) if column else []
    if row < 0 or not ends or row >= ends[-1]:
        raise FileNotFoundError(f"{file} has no image {name!r}")
    group = next(i for i, end in enumerate(ends) if row < end)
    cells = _group(file, column, group)
    value = cells[row - (ends[group - 1] if group else 0)].as_py()
    value = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(value, bytes):
        raise FileNotFoundError(f"{file} has no image in row {row} of {column!r}")
    return value


def has_parquet_image(file: Path, name: str) -> bool:
    """Return whether a Parquet file has such a row; what is in it is not looked at.

    Raises:
        InputError: as `opened_parquet`.
    """
    column, row = _place(name)
    return bool(column) and 0 <= row < (_row_groups(file) or [0])[-1]


def _place(name: str) -> tuple[str, int]:
    """Take `COLUMN/ROW.SUFFIX` apart; row -1 where it is none."""
    column, _, rest = name.rpartition("/")
    digits = rest.partition(".")[0]
    return column, int(digits) if digits.isdecimal() and len(digits) < 15 else -1


def _mark(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_mtime_ns, status.st_size


def _row_groups(file: Path) -> list[int]:
    """Return the row after the last one of each row group."""
    key = file, _mark(file)
    if key not in _ends:
        metadata = opened_parquet(file).metadata
        ends, total = [], 0
        for i in range(metadata.num_row_groups):
            total += metadata.row_group(i).num_rows
            ends.append(total)
        _ends[key] = ends
    return _ends[key]


def _group(file: Path, column: str, group: int) -> Any:
    import pyarrow

    key = file, _mark(file), column, group
    with _lock:
        if key not in _groups:
            opened = opened_parquet(file)
            if column not in opened.schema_arrow.names:
                raise FileNotFoundError(f"{file} has no column {column!r}")
            try:
                read = opened.read_row_group(group, columns=[column]).column(0)
            except (pyarrow.ArrowException, OSError, ValueError) as error:
                raise OSError(f"{file} is damaged ({' '.join(str(error).split())[:120]})") from None
            while len(_groups) >= _KEPT:
                del _groups[next(iter(_groups))]
            _groups[key] = read
        return _groups[key]
