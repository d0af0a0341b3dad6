"""Images that are there twice: the same bytes, or the same picture saved again, scaled, mirrored, slightly cropped.

Each file is read once, on every core. Near duplicates are candidates by their perceptual hash, confirmed by comparing
the pictures' likenesses. Turned copies, and crops of more than a few percent, are not found.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int, UInt8, UInt64
from PIL import Image

from labelbeam.data.image_bytes import image_bytes
from labelbeam.data.image_container import opened
from labelbeam.data.images import DAMAGE, UnreadableImage, read_rgb

SIDE = 32
"""Side of the grey picture that the perceptual hash is made of."""

LOOK = 16
"""Side of the likeness that candidates are compared by."""

_ENOUGH = 64
"""A JPEG need not be decoded larger than this."""

_COSINES = np.cos(np.pi * (2 * np.arange(SIDE) + 1) * np.arange(8)[:, None] / (2 * SIDE))
_NOISE = 16.0
"""What one grey level of noise in every pixel adds to a frequency, about."""

_LUMA = np.array([0.299, 0.587, 0.114])
_BITS = np.uint64(1) << np.arange(64, dtype=np.uint64)


def _nothing_seen() -> np.ndarray:
    return np.zeros((LOOK, LOOK, 3), dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """One image file.

    Attributes:
        content: SHA-256 of its bytes, hexadecimal; empty where it could not be read.
        width: pixels, the way up that it is shown.
        height: pixels.
        num_bytes: size of the file.
        kind: what it is, as Pillow names it ("JPEG"); the name of the file does not matter.
        perceptual: 64-bit hash of the picture's coarse structure.
        mirrored: the same hash of the picture with left and right exchanged.
        look: the picture in colour, shrunk to 16 x 16.
        error: why it could not be read, and what to do; empty where it could.
    """

    content: str = ""
    width: int = 0
    height: int = 0
    num_bytes: int = 0
    kind: str = ""
    perceptual: int = 0
    mirrored: int = 0
    look: UInt8[np.ndarray, "16 16 3"] = field(default_factory=_nothing_seen)
    error: str = ""


def fingerprint(path: Path) -> Fingerprint:
    """Read an image file and return its fingerprint; one that cannot be read has an error in place of it.

    Source:
        The perceptual hash is the sign, relative to their median, of the 8 x 8 lowest frequencies of the
        discrete cosine transform of the grey picture at 32 x 32 (the "pHash" of Zauner 2010).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (40, 20), "red").save(Path(folder, "red.bmp"))
        ...     found = fingerprint(Path(folder, "red.bmp"))
        >>> found.kind, found.width, found.height, fingerprint(Path("gone.jpg")).error
        ('BMP', 40, 20, 'no such file. Check the path.')
    """
    try:
        pixels = read_rgb(path, at_least=(_ENOUGH, _ENOUGH))
        raw = image_bytes(path)
    except UnreadableImage as error:
        return Fingerprint(error=error.reason)
    except OSError as error:  # it went, or the drive did, since its pixels were read
        return Fingerprint(
            error=f"cannot be read a second time ({error.strerror or error}). Check the drive."
        )
    width, height, kind = _header(raw, pixels)
    small = np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)
    grey = small @ _LUMA
    look = small.reshape(LOOK, 2, LOOK, 2, 3).mean(axis=(1, 3))
    return Fingerprint(
        content=hashlib.sha256(raw).hexdigest(),
        width=width,
        height=height,
        num_bytes=len(raw),
        kind=kind,
        perceptual=perceptual_hash(grey),
        mirrored=perceptual_hash(grey[:, ::-1]),
        look=look.round().astype(np.uint8),
    )


def perceptual_hash(grey: np.ndarray) -> int:
    """Return 64 bits, one for each low frequency: whether it is clearly above the median of all but the mean.

    Clearly: a symmetric picture has no odd frequencies, and noise would decide half of its bits.

    Args:
        grey: float [32 32], a grey picture.
    """
    frequencies = (_COSINES @ grey @ _COSINES.T).ravel()
    above = frequencies > np.median(frequencies[1:]) + _NOISE
    return int(_BITS[above].sum(dtype=np.uint64))


def _header(raw: bytes, pixels: np.ndarray) -> tuple[int, int, str]:
    """Return width and height as shown, and what the file is."""
    height, width = pixels.shape[:2]
    try:
        with opened(raw) as image:
            stored, kind = image.size, image.format or ""
    except (*DAMAGE, Image.DecompressionBombError):  # HEIC, which Pillow alone does not know
        return width, height, "HEIF"
    # A JPEG may have been decoded smaller than it is; its pixels say only whether it was turned.
    turned = (stored[0] > stored[1]) != (width > height) and width != height
    return (stored[1], stored[0], kind) if turned else (*stored, kind)


def fingerprints(
    paths: Sequence[Path], *, workers: int | None = None, report: Callable[[int], None] | None = None
) -> list[Fingerprint]:
    """Return the fingerprints of image files, in their order.

    Args:
        workers: threads; None for one per core.
        report: called with how many more are done.
    """
    found = []
    pool = ThreadPoolExecutor(workers or os.cpu_count() or 1)
    try:
        for one in pool.map(fingerprint, paths):
            found.append(one)
            if report is not None:
                report(1)
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupted run does not read the rest first
    return found


# Which pairs of 64-bit hashes differ in few bits, without comparing all pairs.
#
# Under `duplicates`. A pair that differs in at most 11 bits differs in at most 2 of one of its four bands
# of 16, so each band's table is asked for its key and the 136 keys that are 1 or 2 bits away. Knows nothing
# of images.

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


RADIUS = 10
"""Bits of 64 in which near duplicates' hashes may differ. Of 566,580 pairs of different VOC photographs one is
within it, by its mirror image (`benchmarks/near_duplicates.py`)."""

LIKENESS = 0.85
"""Least correlation of the differences between neighbouring pixels of the likenesses, 16 x 16 in colour. That pair
fails it; copies cropped by 2 % on each side pass it in 98 cases of 100."""

FLAT = 4.0
"""Standard deviation of every channel (0 to 255) below which a picture is called blank and compared with none."""

_DUPLICATES_AT_ONCE = 4096
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
        for start in range(0, len(i), _DUPLICATES_AT_ONCE):
            at, to = i[start : start + _DUPLICATES_AT_ONCE], j[start : start + _DUPLICATES_AT_ONCE]
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
            for start in range(1, len(left), _DUPLICATES_AT_ONCE):
                alike.append(_outlines(looks[left[start : start + _DUPLICATES_AT_ONCE]]) @ own)
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
