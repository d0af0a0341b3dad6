"""Features that came with a data set: rows of numbers where they are, in memory or in a mapped file.

What an encoder and its cache are to pictures, this is to vectors. Choosing rows copies nothing; asking for some reads
them. Knows no label and no file format.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from labelbeam.errors import InputError

READ_TOGETHER = 8192
"""Rows that are read in one go where all are gone through."""


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """Rows of features, chosen from parts that may be larger than memory.

    Attributes:
        parts: float16 or float32 [rows features] each, all of one type; mapped files or arrays.
        rows: which rows of all parts together, in which order; None: all as they are.
        names: of the features, where they have names; else empty.
        kind: what the numbers are, in the words of whoever made them ("clip-vit-b32"); empty: not stated.
        open_ended: whether features behind the last one are zeros, as in sparse text without a header.

    Raises:
        InputError: no part, parts of different width, other numbers than half or single precision, or as many names
            as there are not features.

    Example:
        >>> rows = FeatureRows((np.arange(6, dtype=np.float32).reshape(3, 2),))
        >>> rows.take(np.array([2, 0]))[:1].tolist(), rows.shape
        ([[4.0, 5.0]], (3, 2))
    """

    parts: tuple[np.ndarray, ...]
    rows: Int[np.ndarray, " chosen"] | None = None
    names: tuple[str, ...] = ()
    kind: str = ""
    open_ended: bool = False

    def __post_init__(self) -> None:
        widths = {part.shape[1:] for part in self.parts}
        if len(widths) != 1 or len(next(iter(widths))) != 1 or not next(iter(widths))[0]:
            shapes = [list(part.shape) for part in self.parts]
            raise InputError(
                f"features must be rows of equally many numbers, at least one; given {shapes[:3]}."
            )
        if bad := {part.dtype for part in self.parts} - {np.dtype(np.float16), np.dtype(np.float32)}:
            raise InputError(f"features must be float16 or float32; given {', '.join(map(str, bad))}.")
        if len(self.names) not in (0, self.num_features):
            raise InputError(
                f"{len(self.names)} names for {self.num_features} features; they must be as many."
            )

    def __len__(self) -> int:
        return sum(map(len, self.parts)) if self.rows is None else len(self.rows)

    @property
    def num_features(self) -> int:
        """Numbers in a row."""
        return int(self.parts[0].shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features."""
        return len(self), self.num_features

    @property
    def dtype(self) -> np.dtype:
        """Of the numbers as they are stored."""
        return self.parts[0].dtype

    def take(self, rows: Int[np.ndarray, " chosen"]) -> "FeatureRows":
        """Return some rows in an order; nothing is read."""
        rows = np.asarray(rows, dtype=np.int64)
        return replace(self, rows=rows if self.rows is None else self.rows[rows])

    def __getitem__(self, rows: slice | Int[np.ndarray, " chosen"]) -> Float[np.ndarray, "chosen features"]:
        """Read rows: a view where they lie together, else a copy."""
        if self.rows is None and len(self.parts) == 1:
            return np.asarray(self.parts[0][rows])
        wanted = self.rows[rows] if self.rows is not None else np.arange(len(self))[rows]
        if len(self.parts) == 1:
            return np.asarray(self.parts[0][wanted])
        ends = np.cumsum([len(part) for part in self.parts])
        part_of = np.searchsorted(ends, wanted, side="right")
        read = np.empty((len(wanted), self.num_features), self.dtype)
        for number in np.unique(part_of):
            here = part_of == number
            start = int(ends[number - 1]) if number else 0
            read[here] = self.parts[number][wanted[here] - start]
        return read

    def blocks(self, size: int = READ_TOGETHER) -> Iterator[Float[np.ndarray, "some features"]]:
        """Yield all rows in order, some at a time."""
        for first in range(0, len(self), size):
            yield self[first : first + size]

    def padded(self, num_features: int) -> "FeatureRows":
        """Return rows of more features, the new ones zeros; a copy."""
        wide = np.zeros((len(self), num_features), self.dtype)
        wide[:, : self.num_features] = self[:]
        return replace(self, parts=(wide,), rows=None, names=())

    def refuse_holes(self, spec: str) -> None:
        """Refuse numbers that are none; all rows are gone through once, in blocks.

        Raises:
            InputError: a value that is NaN or infinite, with its place.
        """
        first, rows_hit = "", 0
        for start, block in zip(range(0, len(self), READ_TOGETHER), self.blocks(), strict=True):
            holes = _not_finite(block)
            if holes.any():
                rows_hit += int(holes.any(axis=1).sum())
                row, column = np.argwhere(holes)[0].tolist()
                name = f" ({self.names[column]})" if self.names else ""
                first = first or f"row {start + row + 1}, feature {column + 1}{name} is {block[row, column]}"
        if first:
            raise InputError(
                f"{spec}: {rows_hit:,} of {len(self):,} rows have features that are no numbers; the first: {first}. "
                "Fill them in (the feature's mean, say) or leave those rows out"
                + (
                    ", or scale them: above 3.4e38 they are infinite in single precision."
                    if first.endswith("inf")
                    else "."
                )
            )


def as_features(values: np.ndarray, spec: str) -> np.ndarray:
    """Return a matrix of numbers as features: half and single precision as they are, others in single precision.

    Raises:
        InputError: not two-dimensional, or not numbers.
    """
    if values.ndim != 2:
        raise InputError(
            f"{spec}: features must be a matrix, a row for each example; given the shape {list(values.shape)}."
        )
    if not values.shape[1]:
        raise InputError(f"{spec}: the matrix of features has no column, so there is nothing to learn from.")
    if values.dtype in (np.dtype(np.float16), np.dtype(np.float32)):
        return values
    if values.dtype.kind not in "biuf":
        raise InputError(f"{spec}: features must be numbers; given {values.dtype}.")
    with np.errstate(over="ignore"):  # told as infinite, when all rows are read
        return values.astype(np.float32)


def row_ids(stem: str, count: int) -> tuple[str, ...]:
    """Return ids for rows that have none: the file's name and the row's number, from 1.

    Example:
        >>> row_ids("scene-train", 2)
        ('scene-train/1', 'scene-train/2')
    """
    return tuple(f"{stem}/{row}" for row in range(1, count + 1))


def _not_finite(block: Float[np.ndarray, "some features"]) -> Bool[np.ndarray, "some features"]:
    """Return where numbers are NaN or infinite; by their exponents, which is ten times faster in half precision."""
    if block.dtype == np.float16 and block.flags.c_contiguous:
        exponent = np.uint16(0x7C00)
        return (block.view(np.uint16) & exponent) == exponent
    return ~np.isfinite(block)
