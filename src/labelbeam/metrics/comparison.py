"""Decision protocols: the rule that turns scores or lists into decided sets, under the name it deserves.

Numbers made by different rules are not comparable, so the rule travels with every result. Knows nothing of
files or counts. In the data path: scores, rankings, sets -> **protocol** -> decisions (`comparison`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Int

from labelbeam.errors import InputError, unknown_name
from labelbeam.labels.vocabulary import ByLabel, LabelSets, PerImage, Targets
from labelbeam.metrics.ranking import NOTHING, SortedLabel, decide_top_k, rank_labels, sort_label

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
        for option, value in (("k", self.k), ("threshold", self.threshold)):
            if ("{" + option + "}" in RULES[self.name]) != (value is not None):
                needs = "needs" if value is None else "has no"
                raise InputError(f"protocol {self.name!r} {needs} {option}; given: {value}.")
        if self.k is not None and self.k < 1:
            raise InputError(f"k must be at least 1 label per image, given {self.k}.")
        if self.threshold is not None and self.threshold != self.threshold:
            raise InputError("the threshold must be a number, given NaN.")

    @property
    def rule(self) -> str:
        """The rule in words."""
        return RULES[self.name].format(k=self.k, threshold=self.threshold)


def ExactK(k: int) -> Protocol:
    """Decide the k best-ranked labels of each image, whatever their scores.

    Raises:
        InputError: a k below 1.
    """
    return Protocol("exact-k", k=k)


def Threshold(threshold: float) -> Protocol:
    """Decide every label with at least this score.

    Raises:
        InputError: a threshold that is not a number.
    """
    return Protocol("threshold", threshold=threshold)


def Sets() -> Protocol:
    """Take the decided sets as they are given; of a run, as its decision makes them."""
    return Protocol("sets")


# A `Comparison` holds decisions and rankings that already obey the protocol; `compare` builds one from scores, a
# ranking or sets.


@dataclass(frozen=True)
class Comparison:
    """Truth and predictions of the same images, ready to be counted.

    Attributes:
        decisions: True where decided; None where the protocol is `none`.
        outside: per image, decided labels that the truth does not know.
        ranking: column ids best first (see `ranking`), at least `map_depth` deep; None without a ranking.
        scores: higher is better, comparable over images; -inf is below all given; None without scores.
        log_likelihood: per image, log p(true set | image) in nats, computed elsewhere; None without.
        map_depth: N of MAP@N.
        reasons: why something is None, by what it makes null: "decisions", "ranking", "scores".
        notes: sentences for the user.

    Raises:
        InputError: an empty truth, other values than -1, 0, 1, shapes that do not fit, NaN among the scores.
    """

    names: tuple[str, ...]
    truth: Targets
    protocol: Protocol
    decisions: LabelSets | None
    outside: Int[np.ndarray, " images"]
    ranking: Int[np.ndarray, "images depth"] | None = None
    scores: ByLabel | None = None
    log_likelihood: PerImage | None = None
    map_depth: int = 10
    reasons: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_fit(self.truth, self.names, scores=self.scores, decisions=self.decisions)
        for what, array in (("ranking", self.ranking), ("log_likelihood", self.log_likelihood)):
            if array is not None and len(array) != len(self.truth):
                raise InputError(f"{what} has {len(array)} rows, the truth has {len(self.truth)} images.")
        if self.map_depth < 1:
            raise InputError(f"the N of MAP@N must be at least 1, given {self.map_depth}.")
        if (self.decisions is None) != (self.protocol.name == "none"):
            raise InputError(
                f"protocol {self.protocol.name!r} and decisions={self.decisions is not None} do not fit."
            )

    @cached_property
    def never_absent(self) -> Bool[np.ndarray, " labels"]:
        """Labels that are unknown wherever they are not present: no decision and no ranking of them can be wrong."""
        return ~(self.truth == 0).any(axis=0) & (self.truth == -1).any(axis=0)

    @property
    def only_present(self) -> bool:
        """Whether of no image it is known what is absent, so that whatever asks for wrong labels has no answer."""
        return bool((self.truth == -1).any() and not (self.truth == 0).any())

    @cached_property
    def sorted_labels(self) -> list[SortedLabel]:
        """Each label's images by score, sorted once for all resamples; empty without scores."""
        if self.scores is None:
            return []
        truth = np.where(self.never_absent, np.int8(-1), self.truth)
        return [sort_label(truth[:, c], self.scores[:, c]) for c in range(len(self.names))]


def require_fit(
    truth: np.ndarray,
    names: Sequence[str],
    *,
    scores: np.ndarray | None = None,
    decisions: np.ndarray | None = None,
) -> None:
    """Check that arrays describe the same images and labels.

    Raises:
        InputError: no image, values other than -1, 0, 1, a shape unlike the truth's, or NaN scores.
    """
    if truth.ndim != 2 or 0 in truth.shape:
        raise InputError(
            f"the truth must be [images labels] with at least one of each, given shape {truth.shape}."
        )
    if truth.min() < -1 or truth.max() > 1:
        raise InputError(
            "truth values must be 1 (present), 0 (absent) or -1 (unknown), "
            f"given {truth.min()} to {truth.max()}."
        )
    if len(names) != truth.shape[1] or len(set(names)) < len(names):
        raise InputError(
            f"the truth has {truth.shape[1]} label columns, given {len(set(names))} different names."
        )
    for what, array in (("scores", scores), ("decisions", decisions)):
        if array is not None and array.shape != truth.shape:
            raise InputError(
                f"{what} have shape {array.shape}, the truth has {truth.shape}; give one row per image."
            )
    if scores is not None and np.isnan(scores).any():
        image, label = np.argwhere(np.isnan(scores))[0]
        raise InputError(
            f"the score of label {names[label]!r} in image {image} is NaN; scores must be numbers "
            "(-inf means: below every score given)."
        )


def compare(
    truth: Targets,
    names: Sequence[str],
    *,
    protocol: Protocol,
    scores: ByLabel | None = None,
    decisions: LabelSets | None = None,
    ranking: Int[np.ndarray, "images depth"] | None = None,
    outside: Int[np.ndarray, " images"] | None = None,
    log_likelihood: PerImage | None = None,
    map_depth: int = 10,
    reasons: dict[str, str] | None = None,
    notes: Sequence[str] = (),
) -> Comparison:
    """Apply a decision protocol to scores, a ranking or sets.

    Args:
        names: label names by column; equal scores within an image are ordered by their code points.
        protocol: the rule; `sets` and `path-k` need `decisions`, `at-most-k` a ranking, `threshold` scores.
        scores: higher is better, comparable over images.
        decisions: the decided sets, for `sets` and `path-k` only.
        ranking: best first, where it does not follow from `scores` (lists, labels outside the truth).
        outside: per image, decided labels without a column, for `sets` and `path-k`; for the threshold rules,
            labels without a column whose score reaches the threshold.
        log_likelihood: per image, log p(true set | image) in nats.
        reasons: why scores or rankings are missing, where the caller knows better.
        notes: sentences for the user, carried along.

    Raises:
        InputError: arrays that do not fit, NaN, or a protocol whose material is missing.

    Example:
        >>> truth = np.array([[1, 0, 1], [0, 1, 0]], dtype=np.int8)
        >>> scores = np.array([[0.9, 0.8, 0.7], [0.1, 0.6, 0.2]])
        >>> exact_1 = Protocol("exact-k", k=1)
        >>> compare(truth, ["a", "b", "c"], protocol=exact_1, scores=scores).decisions.tolist()
        [[True, False, False], [False, True, False]]
    """
    require_fit(truth, names, scores=scores, decisions=decisions)
    name, extra = protocol.name, np.zeros(len(truth), dtype=np.int64) if outside is None else outside
    if ranking is None and scores is not None:
        depth = max(map_depth, protocol.k or 0)
        ranking = rank_labels(scores, names, observed=truth != -1, depth=depth)
    if name in ("sets", "path-k") and decisions is None:
        raise InputError(f"protocol {name!r} needs decided sets; none were given. Give `decisions`.")
    if "k" in name.split("-") and name != "path-k" and ranking is None:
        raise InputError(f"protocol {name!r} needs a ranking; neither scores nor lists were given.")
    if "threshold" in name and scores is None:
        raise InputError(f"protocol {name!r} needs scores of every label; none were given.")
    if name in ("exact-k", "at-most-k") and ranking is not None and protocol.k is not None:
        decisions, extra = decide_top_k(ranking, len(names), k=protocol.k)
    elif name == "threshold" and scores is not None:
        decisions = scores >= protocol.threshold
    elif (
        name == "top-k-and-threshold"
        and scores is not None
        and ranking is not None
        and protocol.k is not None
    ):
        top, outside_top = decide_top_k(ranking, len(names), k=protocol.k)
        decisions = top & (scores >= protocol.threshold)
        extra = np.minimum(outside_top, extra)  # both counts are heads of the same list, best score first
    elif name == "none":
        decisions = None
    return Comparison(
        tuple(names),
        truth,
        protocol,
        decisions,
        extra,
        ranking,
        scores,
        log_likelihood,
        map_depth,
        dict(reasons or {}),
        tuple(notes),
    )


def images_below_k(comparison: Comparison) -> int | None:
    """Count images that have fewer than k ranked labels; None where the protocol does not rank."""
    if comparison.protocol.k is None or comparison.ranking is None or comparison.protocol.name == "path-k":
        return None
    return int((comparison.ranking[:, : comparison.protocol.k] == NOTHING).any(axis=1).sum())
