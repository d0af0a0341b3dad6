"""Images that are there twice: the same bytes, or the same picture saved again, scaled, mirrored, slightly cropped.

Takes fingerprints, gives groups. Near duplicates are candidates by their perceptual hash, confirmed by comparing
the pictures' likenesses. Turned copies, and crops of more than a few percent, are not found. Knows nothing of
labels or splits.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int, UInt8

from labelbeam.analysis.fingerprints import LOOK, Fingerprint
from labelbeam.analysis.near_lookup import near_hashes

RADIUS = 10
"""Bits of 64 in which near duplicates' hashes may differ. Of 566,580 pairs of different VOC photographs one is
within it, by its mirror image (`benchmarks/near_duplicates.py`)."""

LIKENESS = 0.85
"""Least correlation of the differences between neighbouring pixels of the likenesses, 16 x 16 in colour. That pair
fails it; copies cropped by 2 % on each side pass it in 98 cases of 100."""

FLAT = 4.0
"""Standard deviation of every channel (0 to 255) below which a picture is called blank and compared with none."""

_AT_ONCE = 4096
"""Likenesses compared at a time."""


@dataclass(frozen=True)
class DuplicateGroup:
    """Images that are copies of one another.

    Attributes:
        members: positions among the fingerprints, rising.
        exact: whether all have the same bytes.
        likeness: the lowest correlation that joined two of them; 1 for exact copies.
        mirrored: whether some are joined by one being the mirror image of the other.
    """

    members: tuple[int, ...]
    exact: bool
    likeness: float
    mirrored: bool = False


def duplicate_groups(
    prints: Sequence[Fingerprint], *, radius: int = RADIUS, likeness: float = LIKENESS
) -> list[DuplicateGroup]:
    """Find the images that are there twice or more.

    A group of near duplicates is everything that a chain of near pairs connects.

    Args:
        prints: one per image; those that could not be read belong to no group.
        radius: bits in which hashes of near duplicates may differ, at most 11.
        likeness: least correlation of their likenesses, in [-1, 1].

    Returns:
        The groups, by their first member.
    """
    copies = _grouped((i, one.content) for i, one in enumerate(prints) if not one.error)
    heads = [members[0] for members in copies]
    pictured = np.array([i for i in heads if not is_blank(prints[i])], dtype=np.int64)
    chains = _Chains(heads)
    for first, second, alike, flipped in _near_pairs(prints, pictured, radius=radius, likeness=likeness):
        for i, j, how in zip(
            pictured[first].tolist(), pictured[second].tolist(), alike.tolist(), strict=True
        ):
            chains.join(i, j, how, mirrored=flipped)
    by_head = {members[0]: members for members in copies}
    groups = []
    for chain, lowest, mirrored in chains.groups():
        members = tuple(sorted(i for head in chain for i in by_head[head]))
        if len(members) > 1:
            groups.append(DuplicateGroup(members, len(chain) == 1, lowest, mirrored))
    return sorted(groups, key=lambda group: group.members)


def is_blank(one: Fingerprint) -> bool:
    """Tell whether a picture is (almost) one plain colour, so that nothing can be compared."""
    return not one.error and float(one.look.std(axis=(0, 1)).max()) < FLAT


def _near_pairs(
    prints: Sequence[Fingerprint], ids: Int[np.ndarray, " n"], *, radius: int, likeness: float
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, bool]]:
    """Yield near duplicates: positions in `ids`, correlations, and whether one is the other's mirror image."""
    hashes = np.array([prints[i].perceptual for i in ids], dtype=np.uint64)
    looks = np.array([prints[i].look for i in ids], dtype=np.uint8).reshape(len(ids), LOOK, LOOK, 3)
    # Frames of one film can share a hash by the thousand: their leaders alone are compared with the rest.
    led = np.ones(len(ids), dtype=bool)
    for leader, followers, alike in _same_hash(hashes, looks, likeness):
        led[followers] = False
        yield leader, followers, alike, False
    leaders = np.flatnonzero(led)
    mirrored = np.array([prints[i].mirrored for i in ids[leaders]], dtype=np.uint64)
    first, second = near_hashes(np.concatenate((hashes[leaders], mirrored)), radius=radius)
    count = len(leaders)
    for flipped in (False, True):
        # A mirrored pair is there twice, each image being the mirrored one once.
        other = second - count if flipped else second
        chosen = (first < count) & (first < other) & ((second >= count) == flipped)
        i, j = leaders[first[chosen]], leaders[other[chosen]]
        for start in range(0, len(i), _AT_ONCE):
            at, to = i[start : start + _AT_ONCE], j[start : start + _AT_ONCE]
            against = looks[to][:, :, ::-1] if flipped else looks[to]
            alike = np.einsum("nd,nd->n", _outlines(looks[at]), _outlines(against))
            near = alike >= likeness
            yield at[near], to[near], alike[near], flipped


def _outlines(looks: UInt8[np.ndarray, "n 16 16 3"]) -> Float32[np.ndarray, "n differences"]:
    """Return the differences between neighbouring pixels, each picture's centred and of length 1.

    Differences, because two evening skies correlate by their gradients of light alone.
    """
    values = looks.astype(np.float32)
    size = LOOK * (LOOK - 1) * 3
    down = np.diff(values, axis=1).reshape(len(looks), size)
    right = np.diff(values, axis=2).reshape(len(looks), size)
    rows = np.concatenate((down, right), axis=1)
    rows -= rows.mean(axis=1, keepdims=True)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return rows


def _same_hash(
    hashes: np.ndarray, looks: np.ndarray, likeness: float
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Join each image to the first one of its hash that looks like it: (leader, followers, correlation)."""
    for members in _grouped(enumerate(hashes.tolist())):
        left = np.array(members)
        while len(left) > 1:
            leader, near, alike = left[0], [np.empty(0, dtype=bool)], [np.empty(0, dtype=np.float32)]
            own = _outlines(looks[left[:1]])[0]
            for start in range(1, len(left), _AT_ONCE):
                alike.append(_outlines(looks[left[start : start + _AT_ONCE]]) @ own)
                near.append(alike[-1] >= likeness)
            joins, how = np.concatenate(near), np.concatenate(alike)
            yield np.full(int(joins.sum()), leader), left[1:][joins], how[joins]
            left = left[1:][~joins]


def _grouped(items: Iterable[tuple[int, Hashable]]) -> list[list[int]]:
    """Return positions that have the same key, groups by their first member."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for i, key in items:
        groups[key].append(i)
    return list(groups.values())


class _Chains:
    """Images joined to images, with the weakest joint of each chain (disjoint sets)."""

    def __init__(self, members: Iterable[int]) -> None:
        self._parent = {i: i for i in members}
        self._weakest = dict.fromkeys(self._parent, 1.0)
        self._mirrored: set[int] = set()

    def join(self, i: int, j: int, likeness: float, *, mirrored: bool) -> None:
        a, b = sorted((self._head(i), self._head(j)))
        if a == b and mirrored:
            return  # a symmetric picture is its own mirror image; what joins it already says more
        self._weakest[a] = min(self._weakest[a], self._weakest[b], likeness)
        self._parent[b] = a
        if mirrored or b in self._mirrored:
            self._mirrored.add(a)

    def groups(self) -> list[tuple[list[int], float, bool]]:
        groups: dict[int, list[int]] = defaultdict(list)
        for i in self._parent:
            groups[self._head(i)].append(i)
        return [(members, self._weakest[head], head in self._mirrored) for head, members in groups.items()]

    def _head(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = i = self._parent[self._parent[i]]
        return i
