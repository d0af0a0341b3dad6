"""Which pairs of 64-bit hashes differ in few bits, without comparing all pairs.

Under `duplicates`. A pair that differs in at most 11 bits differs in at most 2 of one of its four bands of 16,
so each band's table is asked for its key and the 136 keys that are 1 or 2 bits away. Knows nothing of images.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from jaxtyping import Int, UInt64

BAND, BANDS, FLIPS = 16, 4, 2

MOST_BITS = BANDS * (FLIPS + 1) - 1
"""The largest distance that the lookup is complete for: 11."""

_MASKS = [sum(1 << bit for bit in bits) for n in range(FLIPS + 1) for bits in combinations(range(BAND), n)]

_AT_ONCE = 1 << 18
"""Candidates compared at a time: what fits a core's cache."""

_1, _2, _4, _56 = (np.uint64(shift) for shift in (1, 2, 4, 56))
_ODD, _PAIRS = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333)
_NIBBLES, _BYTES = np.uint64(0x0F0F0F0F0F0F0F0F), np.uint64(0x0101010101010101)


def near_hashes(
    hashes: UInt64[np.ndarray, " n"], *, radius: int
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Return all pairs of hashes that differ in at most `radius` bits.

    Args:
        hashes: 64 bits each.
        radius: at most `MOST_BITS`.

    Returns:
        Positions (first, second) with first < second, each pair once, sorted.

    Raises:
        ValueError: `radius` is beyond what the lookup is complete for.

    Source:
        Multi-index hashing: Norouzi, Punjani, Fleet, CVPR 2012.

    Example:
        >>> [found.tolist() for found in near_hashes(np.array([0, 7, 2**63], dtype=np.uint64), radius=3)]
        [[0, 0], [1, 2]]
    """
    if not 0 <= radius <= MOST_BITS:
        raise ValueError(f"radius must be 0 to {MOST_BITS}, given {radius}")
    found = [np.empty(0, dtype=np.int64)]
    for band in range(BANDS):
        keys = ((hashes >> np.uint64(BAND * band)) & np.uint64((1 << BAND) - 1)).astype(np.int64)
        for first, second in _same_band(keys):
            near = bits_set(hashes[first] ^ hashes[second]) <= radius
            found.append(first[near] * len(hashes) + second[near])
    codes = np.unique(np.concatenate(found))
    return codes // max(len(hashes), 1), codes % max(len(hashes), 1)


def bits_set(numbers: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """Return how many of each number's 64 bits are 1 (NumPy has a function for it from version 2 on).

    Source:
        Warren, Hacker's Delight, section 5-1: sums in fields of 2, 4 and 8 bits, then one product.

    Example:
        >>> bits_set(np.array([0, 7, 2**64 - 1], dtype=np.uint64)).tolist()
        [0, 3, 64]
    """
    x = numbers - ((numbers >> _1) & _ODD)
    x = (x & _PAIRS) + ((x >> _2) & _PAIRS)
    x = (x + (x >> _4)) & _NIBBLES
    return (x * _BYTES) >> _56


def _same_band(keys: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs of positions whose keys differ in at most `FLIPS` bits, first < second, in pieces."""
    order = np.argsort(keys, kind="stable")
    starts = np.concatenate(([0], np.cumsum(np.bincount(keys, minlength=1 << BAND))))
    for mask in _MASKS:
        wanted = keys ^ mask
        begin, size = starts[wanted], starts[wanted + 1] - starts[wanted]
        upto = np.cumsum(size)
        row = 0
        while row < len(keys):
            done = int(upto[row - 1]) if row else 0
            stop = max(row + 1, int(np.searchsorted(upto, done + _AT_ONCE, side="right")))
            sizes = size[row:stop]
            first = np.repeat(np.arange(row, stop), sizes)
            within = np.arange(len(first)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            second = order[np.repeat(begin[row:stop], sizes) + within]
            once = first < second
            yield first[once], second[once]
            row = stop
