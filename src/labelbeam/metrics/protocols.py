"""Decision protocols: the rule that turns scores or lists into decided sets, under the name it deserves.

Numbers made by different rules are not comparable, so the rule travels with every result. Knows nothing of
files or counts. In the data path: scores, rankings, sets -> **protocol** -> decisions (`comparison`).
"""

from dataclasses import dataclass
from typing import Literal, get_args

from labelbeam.errors import InputError, unknown_name

ProtocolName = Literal["exact-k", "at-most-k", "threshold", "top-k-and-threshold", "sets", "path-k", "none"]

RULES: dict[str, str] = {
    "exact-k": "the {k} best-ranked known labels of each image, whatever their scores",
    "at-most-k": "the first {k} labels of each list; some lists are shorter, so this is not exact-{k}",
    "threshold": "every label with score >= {threshold}",
    "top-k-and-threshold": (
        "labels among the {k} best-ranked AND with score >= {threshold} "
        "(ML-GCN's and C-Tran's top-{k}; not exact-{k})"
    ),
    "sets": "the sets as given",
    "path-k": "sets of a decoder whose path was forced to {k} labels (not exact-{k} by ranking)",
    "none": "no decision: ranking measures only",
}


@dataclass(frozen=True)
class Protocol:
    """The rule by which labels were decided.

    Attributes:
        name: one of `exact-k`, `at-most-k`, `threshold`, `top-k-and-threshold`, `sets`, `path-k`, `none`.
        k: labels per image, where the rule has such a number.
        threshold: least score that is decided, where the rule has one.
        decided_by: what the prediction file says of how its sets were decided (`path`, `expected-f1`, ...).

    Raises:
        InputError: an unknown name, a k below 1, a threshold that is not a number, or one that the rule lacks
            or does not have.

    Example:
        >>> Protocol("exact-k", k=3).rule
        'the 3 best-ranked known labels of each image, whatever their scores'
    """

    name: str
    k: int | None = None
    threshold: float | None = None
    decided_by: str | None = None

    def __post_init__(self) -> None:
        if self.name not in get_args(ProtocolName):
            raise unknown_name("decision protocol", self.name, get_args(ProtocolName))
        for field, value in (("k", self.k), ("threshold", self.threshold)):
            if ("{" + field + "}" in RULES[self.name]) != (value is not None):
                needs = "needs" if value is None else "has no"
                raise InputError(f"protocol {self.name!r} {needs} {field}; given: {value}.")
        if self.k is not None and self.k < 1:
            raise InputError(f"k must be at least 1 label per image, given {self.k}.")
        if self.threshold is not None and self.threshold != self.threshold:
            raise InputError("the threshold must be a number, given NaN.")

    @property
    def rule(self) -> str:
        """The rule in words."""
        return RULES[self.name].format(k=self.k, threshold=self.threshold)
