"""Rules that labelled images keep without an exception, beyond chance: candidates for a file of rules.

Labels that never meet (joined to groups of which no two meet), labels that always bring another along. Each with its
count and the end of its 95 % interval: what no image shows may still be true of the next one. Between the counts of
pairs (`cooccurrence`) and the language of rules (`labels.rules`). Knows no file.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int8

from labelbeam.inspect.cooccurrence import Pairs, implications, significant, wilson_low
from labelbeam.labels.rules import as_written
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN


def learned_rules(
    pairs: Pairs, targets: Int8[np.ndarray, "images labels"], names: Sequence[str], *, alpha: float = 0.05
) -> list[dict[str, Any]]:
    """Return rules that no image breaks, as plain values, those on the most images first.

    Args:
        pairs: the tested pairs of these labels.
        targets: 1 present, 0 absent, -1 unknown.
        names: of the columns.
        alpha: the p of every pair, corrected for all pairs, must be below it.

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
