"""Labels that (almost) never occur together, and how often models emit them together all the same.

Near-synonyms of which annotators choose one, and things that exclude each other. Knows matrices; knows no names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Int8

from labelbeam.errors import InputError
from labelbeam.inspect.cooccurrence import ROWS, examined_pairs, pair_counts, significant
from labelbeam.metrics.intervals import Shares, shares_of


def exclusive_pairs(
    targets: Int8[np.ndarray, "images labels"], *, share: float = 0.1, alpha: float = 0.05
) -> Int[np.ndarray, "pairs 2"]:
    """Return the pairs that exclude each other.

    A pair counts if its labels occur together on at most `share` of the images that chance would give them, and
    less than chance beyond doubt (Fisher's test, Holm's correction for all pairs).

    Args:
        targets: 1 present, 0 absent, -1 unknown; best those of training, which the judged images had no part in.
        share: observed over expected, at most.
        alpha: the corrected p must be below it.

    Returns:
        Ids, the pair first that chance would have brought together most often.

    Example:
        >>> apart = np.array([[1, 0]] * 30 + [[0, 1]] * 30, dtype=np.int8)
        >>> exclusive_pairs(apart).tolist()
        [[0, 1]]
    """
    pairs = examined_pairs(pair_counts(targets))
    chosen = np.flatnonzero(
        significant(pairs, together=False, alpha=alpha) & (pairs.both <= share * pairs.expected)
    )
    chosen = chosen[np.argsort(-pairs.expected[chosen], kind="stable")]
    return np.stack((pairs.a[chosen], pairs.b[chosen]), axis=1)


@dataclass(frozen=True, eq=False)
class TogetherRates:
    """How many images get both labels of such a pair.

    Attributes:
        pairs: int64 [pairs 2], label ids.
        sources: names: the truth, a model, its rivals.
        images: how many there are.
        with_any: int64 [sources], images with at least one such pair.
        by_pair: int64 [sources pairs], images with each pair.
        share: `with_any / images`, with intervals.
        difference: for each source but the first named `against`, share minus that of `against`: (value, low, high).
        against: what the differences are taken against.
    """

    pairs: Int[np.ndarray, "pairs 2"]
    sources: tuple[str, ...]
    images: int
    with_any: Int[np.ndarray, " sources"]
    by_pair: Int[np.ndarray, "sources pairs"]
    share: Shares
    difference: Mapping[str, tuple[float, float, float]]
    against: str

    def to_json(self, names: Sequence[str], *, most: int = 50) -> dict[str, Any]:
        """Return rates, paired differences and the pairs emitted most often as plain values."""
        order = np.argsort(-self.by_pair.max(axis=0, initial=0), kind="stable")
        order = order[self.by_pair.max(axis=0, initial=0)[order] > 0][:most]
        return {
            "pairs": len(self.pairs),
            "images": self.images,
            "against": self.against,
            "rates": {
                name: {"images": int(self.with_any[i]), "share": self.share.to_dict(i)}
                for i, name in enumerate(self.sources)
            },
            "differences": {
                name: {"value": round(value, 6), "low": round(low, 6), "high": round(high, 6)}
                for name, (value, low, high) in self.difference.items()
            },
            "emitted": [
                {
                    "labels": [names[a] for a in self.pairs[j]],
                    "images": {name: int(self.by_pair[i, j]) for i, name in enumerate(self.sources)},
                }
                for j in order
            ],
        }


def emitted_together(
    pairs: Int[np.ndarray, "pairs 2"],
    sets: Mapping[str, Bool[np.ndarray, "images labels"]],
    *,
    against: str,
    rng: np.random.Generator,
    resamples: int = 2000,
) -> TogetherRates:
    """Count the images that get both labels of exclusive pairs, by source.

    Args:
        pairs: label ids; may be empty.
        sets: source -> its sets of the same images.
        against: the source that the others are compared with.
        rng: seeded by the caller.
        resamples: of the images, for the intervals of paired differences.

    Raises:
        InputError: no such source, or sets of different shapes.

    Example:
        >>> clash = np.array([[True, True], [True, False]])
        >>> clean = np.array([[True, False], [True, False]])
        >>> rng = np.random.default_rng(0)
        >>> found = emitted_together(np.array([[0, 1]]), {"a": clash, "b": clean}, against="b", rng=rng)
        >>> found.with_any.tolist(), found.difference["a"][0]
        ([1, 0], 0.5)
    """
    if against not in sets:
        raise InputError(f"nothing is called {against!r}; given: {', '.join(sets)}.")
    shapes = {one.shape for one in sets.values()}
    if len(shapes) > 1:
        raise InputError(f"the sets must be of the same images and labels; given shapes {sorted(shapes)}.")
    images, labels = next(iter(shapes))
    any_of = {name: _with_any(pairs, one, labels) for name, one in sets.items()}
    by_pair = np.stack(
        [pair_counts(one.astype(np.int8)).both[pairs[:, 0], pairs[:, 1]] for one in sets.values()]
    )
    with_any = np.array([one.sum() for one in any_of.values()], dtype=np.int64)
    rival, difference = any_of[against], {}
    for name, ours in any_of.items():
        if name != against and images:
            # Resampling images changes a paired difference of shares through these counts alone.
            cells = np.array([(ours & ~rival).sum(), (~ours & rival).sum(), (ours == rival).sum()])
            drawn = rng.multinomial(images, cells / images, size=resamples)
            low, high = np.percentile((drawn[:, 0] - drawn[:, 1]) / images, [2.5, 97.5])
            difference[name] = (float(cells[0] - cells[1]) / images, float(low), float(high))
    share = shares_of(with_any, np.full(len(sets), images))
    return TogetherRates(pairs, tuple(sets), images, with_any, by_pair, share, difference, against)


def _with_any(
    pairs: Int[np.ndarray, "pairs 2"], sets: Bool[np.ndarray, "images labels"], num_labels: int
) -> Bool[np.ndarray, " images"]:
    apart = np.zeros((num_labels, num_labels), dtype=np.float32)
    apart[pairs[:, 0], pairs[:, 1]] = 1.0
    found = np.zeros(len(sets), dtype=bool)
    for start in range(0, len(sets), ROWS):
        block = sets[start : start + ROWS].astype(np.float32)
        found[start : start + ROWS] = ((block @ apart) * block).sum(axis=1) > 0
    return found
