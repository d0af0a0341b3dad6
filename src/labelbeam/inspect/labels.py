"""The part of an inspection that needs labels alone: frequencies, sizes, pairs, implications, rules, names.

Three values are counted apart: an unknown label is neither present nor absent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Int8

from labelbeam.data.dataset import Dataset
from labelbeam.formats.registry import maybe_incomplete
from labelbeam.inspect.cooccurrence import (
    Pairs,
    examined_pairs,
    implications,
    pair_counts,
    significant,
    strongest,
    wilson_low,
)
from labelbeam.inspect.suspicious_names import suspicious_names
from labelbeam.labels.rules import as_written
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN


def learned_rules(
    pairs: Pairs, targets: Int8[np.ndarray, "images labels"], names: Sequence[str], *, alpha: float = 0.05
) -> list[dict[str, Any]]:
    """Return rules that no image breaks, as plain values, those on the most images first.

    Returns:
        `rule`, the line; `images` that it was seen on (with a label of it); for rules of labels that never meet
        `expected`, the images with two of them by chance, and `share_at_most`, of images with the rarest label those
        that may have another one all the same; for the others `share_at_least`, of images with the first label those
        that have the second. Shares are ends of 95 % intervals (Wilson).

    Example:
        >>> from labelbeam.inspect.cooccurrence import examined_pairs, pair_counts
        >>> apart = np.array([[1, 0]] * 30 + [[0, 1]] * 30 + [[0, 0]] * 20, dtype=np.int8)
        >>> found = learned_rules(examined_pairs(pair_counts(apart)), apart, ["indoor", "outdoor"])
        >>> [(one["rule"], one["images"], one["share_at_most"]) for one in found]
        [('at most one of: indoor, outdoor', 60, 0.1135)]
    """
    writable = np.array([name is not None for name in map(as_written, names)], dtype=bool)
    found = [*_never(pairs, targets, names, writable, alpha), *_always(pairs, names, writable, alpha)]
    return sorted(found, key=lambda one: (-one["images"], one["rule"]))


def _never(
    pairs: Pairs, targets: np.ndarray, names: Sequence[str], writable: np.ndarray, alpha: float
) -> list[dict[str, Any]]:
    apart = np.flatnonzero(significant(pairs, together=False, alpha=alpha) & (pairs.both == 0))
    apart = apart[writable[pairs.a[apart]] & writable[pairs.b[apart]]]
    apart = apart[np.argsort(-pairs.expected[apart], kind="stable")]
    excludes = np.zeros((len(names), len(names)), dtype=bool)
    excludes[pairs.a[apart], pairs.b[apart]] = excludes[pairs.b[apart], pairs.a[apart]] = True
    at = {(int(pairs.a[i]), int(pairs.b[i])): i for i in apart}
    present, known = targets == PRESENT, targets != UNKNOWN
    left, found = set(at), []
    for pair in at:  # those that chance would bring together most often first
        if pair not in left:
            continue
        group = list(pair)
        for label in np.flatnonzero(excludes[pair[0]] & excludes[pair[1]]).tolist():
            if excludes[label, group].all():
                group.append(label)
        group.sort()
        inside = [(a, b) for k, a in enumerate(group) for b in group[k + 1 :]]
        left -= set(inside)
        with_any = present[:, group].any(axis=1)
        always = bool(with_any[known[:, group].all(axis=1)].all())
        rarest = int(present[:, group].sum(axis=0).min())
        listed = ", ".join(str(as_written(names[i])) for i in group)
        found.append(
            {
                "rule": f"{'exactly' if always else 'at most'} one of: {listed}",
                "images": int(with_any.sum()),
                "expected": round(float(sum(pairs.expected[at[one]] for one in inside)), 1),
                "share_at_most": round(1 - wilson_low(rarest, rarest), 4),
            }
        )
    return found


def _always(pairs: Pairs, names: Sequence[str], writable: np.ndarray, alpha: float) -> list[dict[str, Any]]:
    found = []
    for one in implications(pairs, share=1.0, alpha=alpha):
        if not (writable[one.narrow] and writable[one.wide]) or (one.mutual and one.narrow > one.wide):
            continue
        a, b = as_written(names[one.narrow]), as_written(names[one.wide])
        found.append(
            {
                "rule": f"{a} and {b} always together" if one.mutual else f"{a} -> {b}",
                "images": one.both,
                "share_at_least": round(one.at_least, 4),
            }
        )
    return found


def evidence_of(rule: dict[str, Any]) -> str:
    """Return in a sentence what a learned rule rests on."""
    if "expected" in rule:
        return (
            f"of {rule['images']:,} images with one of them none has two, by chance {rule['expected']:,} would; of "
            f"those with the rarest at most {100 * rule['share_at_most']:.1f} % may (95 %)"
        )
    return f"on {rule['images']:,} of {rule['images']:,} images; at least {100 * rule['share_at_least']:.1f} % (95 %)"


def rules_file(rules: Sequence[dict[str, Any]], spec: str) -> str:
    """Return the text of a file of learned rules, each below what it rests on."""
    lines = [
        f"# Rules that no image of {spec} breaks. What was never seen may still happen: remove what you do not believe."
    ]
    for rule in rules:
        lines += ["", f"# {evidence_of(rule)}", rule["rule"]]
    return "\n".join(lines) + "\n"


# An order of labels in which those that go together stand side by side, for a picture of their pairs.


def side_by_side(likeness: Float[np.ndarray, "labels labels"]) -> Int[np.ndarray, " labels"]:
    """Return an order in which labels that go together are neighbours.

    The two groups that are most alike on average are joined until one is left; of the ways to lay two groups
    end to end, the one is taken whose ends that touch are most alike.

    Args:
        likeness: symmetric; greater is more alike.

    Returns:
        A permutation; ties go to the labels that come first.

    Example:
        >>> chain = np.array([[0, 0, 1, 0], [0, 0, 2, 3], [1, 2, 0, 0], [0, 3, 0, 0]], dtype=float)
        >>> side_by_side(chain).tolist()
        [0, 2, 1, 3]
    """
    groups, sums = [[i] for i in range(len(likeness))], np.array(likeness, dtype=np.float64)
    while len(groups) > 1:
        sizes = np.array([len(group) for group in groups])
        means = sums / np.outer(sizes, sizes)
        np.fill_diagonal(means, -np.inf)
        i, j = sorted(divmod(int(means.argmax()), len(groups)))
        sums[i] += sums[j]
        sums[:, i] += sums[:, j]
        sums = np.delete(np.delete(sums, j, axis=0), j, axis=1)
        second = groups.pop(j)
        first = groups[i]
        ways = [(a, b) for a in (first, first[::-1]) for b in (second, second[::-1])]
        ways += [(b, a) for a, b in ways]
        a, b = max(ways, key=lambda way: likeness[way[0][-1], way[1][0]])
        groups[i] = a + b
    order = np.array(groups[0] if groups else [], dtype=np.int64)
    return order if len(order) < 2 or order[0] < order[-1] else order[::-1].copy()


ROWS = 16_384
"""Images counted at a time, so that no temporary array is as large as the matrix."""


@dataclass(frozen=True, eq=False)
class LabelStatistics:
    """Counts of one matrix of targets.

    Attributes:
        images: number of images.
        present: images that have each label.
        unknown: images where it is unknown; the rest do not have it.
        sizes: int64, at position n the number of images with exactly n present labels.
        without_labels: rows of the images that have no present label, rising.
        with_unknown: number of images with at least one unknown label.
    """

    images: int
    present: Int[np.ndarray, " labels"]
    unknown: Int[np.ndarray, " labels"]
    sizes: Int[np.ndarray, " sizes"]
    without_labels: Int[np.ndarray, " unlabelled"]
    with_unknown: int

    @property
    def absent(self) -> Int[np.ndarray, " labels"]:
        """Images that are known not to have each label."""
        return self.images - self.present - self.unknown

    @property
    def mean_labels(self) -> float:
        """Present labels per image."""
        return float(self.present.sum() / self.images)


def label_statistics(targets: Int8[np.ndarray, "images labels"]) -> LabelStatistics:
    """Count a matrix of targets.

    Example:
        >>> counts = label_statistics(np.array([[1, 1, -1], [1, 0, 0], [0, 0, 0]], dtype=np.int8))
        >>> counts.present.tolist(), counts.absent.tolist(), counts.unknown.tolist()
        ([2, 1, 0], [1, 2, 2], [0, 0, 1])
        >>> counts.sizes.tolist(), counts.without_labels.tolist(), counts.with_unknown
        ([1, 1, 1], [2], 1)
    """
    num_images, num_labels = targets.shape
    present = np.zeros(num_labels, dtype=np.int64)
    unknown = np.zeros(num_labels, dtype=np.int64)
    sizes = np.zeros(num_images, dtype=np.int64)
    with_unknown = 0
    for start in range(0, num_images, ROWS):
        rows = targets[start : start + ROWS]
        here, open_ = rows == PRESENT, rows == UNKNOWN
        present += here.sum(axis=0)
        sizes[start : start + ROWS] = here.sum(axis=1)
        if open_.any():
            unknown += open_.sum(axis=0)
            with_unknown += int(open_.any(axis=1).sum())
    return LabelStatistics(
        images=num_images,
        present=present,
        unknown=unknown,
        sizes=np.bincount(sizes),
        without_labels=np.flatnonzero(sizes == 0),
        with_unknown=with_unknown,
    )


ALPHA = 0.05
SHARE = 0.98

MOST_LABELS = 2000
"""Pairs are tested among this many of the most frequent labels: two million pairs."""

MATRIX = 32
"""Labels in the picture of pairs."""

Splits = Mapping[str, Dataset]
"""Data sets by the name they have in the report; the first is the one that is described in detail."""


def inspected_labels(splits: Splits, *, most_pairs: int) -> dict[str, Any]:
    """Return everything that labels alone say, as plain values."""
    counts = {name: label_statistics(dataset.targets) for name, dataset in splits.items()}
    names = list(dict.fromkeys(name for dataset in splits.values() for name in dataset.vocabulary.names))
    rows = _label_rows(names, splits, counts)
    main = next(iter(splits))
    images_with = {row["label"]: row["images"] for row in rows}
    return {
        "data": [_data_row(name, splits[name], counts[name]) for name in splits],
        "labels": rows,
        "labels_never_present": [name for name, count in images_with.items() if count == 0],
        "labels_with_one_image": [name for name, count in images_with.items() if count == 1],
        "labels_only_in": _only_in(rows, list(splits)),
        **_pairs_part(splits[main], counts[main], main, most_pairs=most_pairs),
        "names": _names_part(names, images_with, splits[main]),
    }


def _data_row(name: str, dataset: Dataset, counts: LabelStatistics) -> dict[str, Any]:
    present, unknown = int(counts.present.sum()), int(counts.unknown.sum())
    return {
        "name": name,
        "spec": dataset.spec,
        "images": counts.images,
        "labels": len(dataset.vocabulary),
        "present": present,
        "absent": counts.images * len(dataset.vocabulary) - present - unknown,
        "unknown": unknown,
        "mean_labels": round(counts.mean_labels, 4),
        "images_by_number_of_labels": counts.sizes.tolist(),
        "images_with_unknown": counts.with_unknown,
        "images_without_labels": [dataset.images[i] for i in counts.without_labels],
        "maybe_incomplete": maybe_incomplete(dataset),
        "protocol": dict(dataset.protocol),
        "notes": list(dataset.notes),
    }


def _label_rows(
    names: Sequence[str], splits: Splits, counts: Mapping[str, LabelStatistics]
) -> list[dict[str, Any]]:
    """Return the labels, those on the most images first; null for a split that does not know the label."""
    by_split = {}
    for name, dataset in splits.items():
        of, absent = counts[name], counts[name].absent
        by_split[name] = {
            label: {"present": int(of.present[j]), "absent": int(absent[j]), "unknown": int(of.unknown[j])}
            for j, label in enumerate(dataset.vocabulary.names)
        }
    rows: list[dict[str, Any]] = []
    for label in names:
        found = {name: by_split[name].get(label) for name in splits}
        images = sum(one["present"] for one in found.values() if one is not None)
        rows.append({"label": label, "images": images, "splits": found})
    return sorted(rows, key=lambda row: -row["images"])


def _only_in(rows: list[dict[str, Any]], splits: list[str]) -> dict[str, list[str]]:
    """Return the labels that images of one split alone have; nothing where there is one split."""
    found: dict[str, list[str]] = {name: [] for name in splits} if len(splits) > 1 else {}
    for row in rows:
        having = [name for name, one in row["splits"].items() if one is not None and one["present"]]
        if len(having) == 1 and found:
            found[having[0]].append(row["label"])
    return found


def _pairs_part(dataset: Dataset, counts: LabelStatistics, name: str, *, most_pairs: int) -> dict[str, Any]:
    frequent = np.argsort(-counts.present, kind="stable")[:MOST_LABELS]
    targets = dataset.targets
    if len(frequent) < len(dataset.vocabulary):
        targets = np.ascontiguousarray(targets[:, frequent])
    else:
        frequent = np.arange(len(dataset.vocabulary))
    names = [dataset.vocabulary.names[j] for j in frequent]
    pairs = examined_pairs(pair_counts(targets))
    implied = implications(pairs, share=SHARE, alpha=ALPHA)
    learned = learned_rules(pairs, targets, names, alpha=ALPHA)
    return {
        "rules": {"count": len(learned), "found": learned},
        "pairs": {
            "of": name,
            "labels": len(names),
            "labels_left_out": len(dataset.vocabulary) - len(names),
            "tested": len(pairs),
            "alpha": ALPHA,
            "method": "Fisher's exact test, two-sided, Holm's correction; 95 % intervals of the log odds ratio",
            "together": _direction(pairs, names, together=True, most=most_pairs),
            "apart": _direction(pairs, names, together=False, most=most_pairs),
            "matrix": _matrix(pairs, names, counts.present[frequent]),
        },
        "implications": {
            "share": SHARE,
            "count": len(implied),
            "mutual_pairs": sum(one.mutual for one in implied) // 2,
            "found": [
                {
                    "label": names[one.narrow],
                    "implies": names[one.wide],
                    "both": one.both,
                    "images": one.count,
                    "share": round(one.both / one.count, 6),
                    "share_at_least": round(one.at_least, 6),
                    "mutual": one.mutual,
                }
                for one in implied[:most_pairs]
            ],
        },
    }


def _direction(pairs: Pairs, names: Sequence[str], *, together: bool, most: int) -> dict[str, Any]:
    found = strongest(pairs, together=together, count=most, alpha=ALPHA)
    expected, lift = pairs.expected, pairs.lift
    return {
        "count": int(significant(pairs, together=together, alpha=ALPHA).sum()),
        "strongest": [
            {
                "labels": [names[pairs.a[i]], names[pairs.b[i]]],
                "both": int(pairs.both[i]),
                "expected": round(float(expected[i]), 4),
                "lift": round(float(lift[i]), 4),
                "images": [int(pairs.count_a[i]), int(pairs.count_b[i])],
                "known": int(pairs.known[i]),
                "log_odds": round(float(pairs.log_odds[i]), 4),
                "low": round(float(pairs.low[i]), 4),
                "high": round(float(pairs.high[i]), 4),
                "log10_p": round(float(pairs.log_p[i] / np.log(10)), 3) + 0.0,
                "log10_p_adjusted": round(float(pairs.log_p_adjusted[i] / np.log(10)), 3) + 0.0,
            }
            for i in found
        ],
    }


def _matrix(pairs: Pairs, names: Sequence[str], present: np.ndarray) -> dict[str, Any]:
    """Return the pairs of the most frequent labels as a matrix, in an order that shows groups.

    `beyond_chance` is the end of the log odds' interval that is nearest to chance, 0 where it covers chance.
    """
    chosen = np.argsort(-present, kind="stable")[:MATRIX]
    chosen = chosen[present[chosen] > 0]
    place = np.full(len(names), -1)
    place[chosen] = np.arange(len(chosen))
    inside = (place[pairs.a] >= 0) & (place[pairs.b] >= 0)
    at = place[pairs.a[inside]], place[pairs.b[inside]]
    low, high = pairs.low[inside], pairs.high[inside]
    log_odds, beyond, both = (
        _symmetric(len(chosen), at, values)
        for values in (
            pairs.log_odds[inside],
            np.maximum(low, 0.0) + np.minimum(high, 0.0),
            pairs.both[inside].astype(np.float64),
        )
    )
    order = side_by_side(np.nan_to_num(log_odds))
    cells = np.ix_(order, order)
    return {
        "labels": [names[chosen[i]] for i in order],
        "log_odds": _cells(log_odds[cells]),
        "beyond_chance": _cells(beyond[cells]),
        "both": [[None if np.isnan(x) else int(x) for x in row] for row in both[cells]],
    }


def _symmetric(size: int, at: tuple[np.ndarray, np.ndarray], values: np.ndarray) -> np.ndarray:
    """Return a matrix with values at (i, j) and (j, i), NaN elsewhere."""
    matrix = np.full((size, size), np.nan)
    matrix[at], matrix[at[::-1]] = values, values
    return matrix


def _cells(matrix: np.ndarray) -> list[list[float | None]]:
    return [[None if np.isnan(x) else round(float(x), 3) + 0.0 for x in row] for row in matrix]


def _names_part(names: Sequence[str], images_with: Mapping[str, int], main: Dataset) -> list[dict[str, Any]]:
    """Return odd names; for a pair of variants also whether they ever occur together."""
    column = {name: j for j, name in enumerate(main.vocabulary.names)}
    found = []
    for one in suspicious_names(names):
        row: dict[str, Any] = {
            "kind": one.kind,
            "names": [{"label": name, "images": images_with[name]} for name in one.names],
            "why": one.why,
        }
        if len(one.names) == 2 and all(name in column for name in one.names):
            a, b = (main.targets[:, column[name]] for name in one.names)
            row["both"] = int(((a == 1) & (b == 1)).sum())
        found.append(row)
    return found
