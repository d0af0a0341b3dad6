"""The lookup of near hashes against comparing all pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelbeam.inspect import duplicates as near_lookup
from labelbeam.inspect.duplicates import bits_set, near_hashes


def all_pairs(hashes: list[int], radius: int) -> list[tuple[int, int]]:
    return [
        (i, j)
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if bin(hashes[i] ^ hashes[j]).count("1") <= radius
    ]


def looked_up(hashes: list[int], radius: int) -> list[tuple[int, int]]:
    first, second = near_hashes(np.array(hashes, dtype=np.uint64), radius=radius)
    return list(zip(first.tolist(), second.tolist(), strict=True))


FLIPPED = st.sets(st.integers(0, 63), max_size=14).map(lambda bits: sum(1 << bit for bit in bits))


@settings(max_examples=30, deadline=None)
@given(st.lists(FLIPPED, max_size=12), st.sampled_from([0, 3, 10, 11]), st.integers(0, 2**64 - 1))
def test_the_pairs_are_those_of_comparing_all(flips, radius, base):
    hashes = [base ^ flip for flip in flips]
    assert looked_up(hashes, radius) == all_pairs(hashes, radius)


def test_eleven_bits_spread_over_the_bands_are_found_however_they_fall():
    rng = np.random.default_rng(0)
    for _ in range(40):
        flip = sum(1 << int(bit) for bit in rng.choice(64, 11, replace=False))
        assert looked_up([0, flip], 11) == [(0, 1)]


def test_working_in_pieces_changes_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    hashes = (rng.integers(0, 2, 200, dtype=np.uint64) << np.uint64(17)).tolist()
    whole = looked_up(hashes, 2)
    monkeypatch.setattr(near_lookup, "_AT_ONCE", 7)
    assert looked_up(hashes, 2) == whole == all_pairs(hashes, 2)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1))
def test_bits_are_counted_as_python_counts_them(numbers):
    counted = bits_set(np.array(numbers, dtype=np.uint64)).tolist()
    assert counted == [bin(number).count("1") for number in numbers]


def test_a_radius_beyond_the_guarantee_is_refused():
    with pytest.raises(ValueError, match="0 to 11, given 12"):
        near_hashes(np.zeros(2, dtype=np.uint64), radius=12)
