"""Anybody's predictions, read from JSON Lines and put beside the truth.

A line holds `labels` (names best first, or objects as `labelbeam tag` writes them), `scores` (a number per
name), both, or an `error`. Labels that the truth does not know keep their place in the ranking and count as
wrong. Knows nothing of measures.
In the data path: prediction file + `Truth` -> **Predictions** -> `file_comparison`.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import nsmallest
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from labelbeam.errors import InputError, unknown_name
from labelbeam.metrics.json_lines import Line, read_lines, shown
from labelbeam.metrics.ranking import NOTHING, OUTSIDE, rank_labels
from labelbeam.metrics.truth_file import Truth

MISSING_POLICIES = ("error", "empty")


@dataclass(frozen=True)
class Predictions:
    """Predictions in the rows and columns of a truth.

    Attributes:
        scores: -inf where a label was not scored; None unless every predicted image has scores.
        ranking: column ids best first, OUTSIDE for labels that the truth does not know, then NOTHING;
            by scores where there are scores, else in list order; None where some lines lack one and some the
            other.
        sets: True where listed; None unless every predicted image has a list.
        outside: per image, listed labels that the truth does not know.
        outside_at_threshold: per image, labels unknown to the truth with a score at or above the threshold.
        set_sizes: per image, labels listed, unknown and outside ones included.
        decided_by: what the lines say of how their sets were decided; None where they do not say.
        reasons: why `scores`, `ranking` or `sets` (under "labels") is None.
        missing: images without a prediction, taken as empty.
        notes: sentences for the user.
    """

    scores: Float[np.ndarray, "images labels"] | None
    ranking: Int[np.ndarray, "images depth"] | None
    sets: Bool[np.ndarray, "images labels"] | None
    outside: Int[np.ndarray, " images"]
    outside_at_threshold: Int[np.ndarray, " images"]
    set_sizes: Int[np.ndarray, " images"]
    decided_by: str | None
    reasons: dict[str, str]
    missing: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass
class _Rows:
    """The arrays while the file is read; not frozen because it fills line by line."""

    truth: Truth
    depth: int
    threshold: float | None
    row: dict[str, int] = field(init=False)
    column: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        shape = self.truth.targets.shape
        self.row = {image: i for i, image in enumerate(self.truth.images)}
        self.column = {name: c for c, name in enumerate(self.truth.names)}
        self.scores = np.full(shape, -np.inf)
        self.sets = np.zeros(shape, dtype=np.bool_)
        self.lists = np.full((shape[0], self.depth), NOTHING, dtype=np.int64)
        self.outside, self.outside_at_threshold, self.set_sizes = (
            np.zeros(shape[0], dtype=np.int64) for _ in range(3)
        )
        self.outside_scores: dict[int, dict[str, float]] = {}
        self.predicted = np.zeros(shape[0], dtype=np.bool_)
        self.without: dict[str, list[str]] = {"scores": [], "labels": []}
        self.decided_by: set[str] = set()
        self.outside_names: Counter[str] = Counter()
        self.extra: list[str] = []
        self.trimmed: dict[str, str] = {}

    def add(self, line: Line) -> None:
        """Take in one line."""
        if line.image not in self.row:
            self.extra.append(line.image)
            return
        if "error" in line.content and not {"labels", "scores"} & line.content.keys():
            return  # a file that `tag` could not read: as good as no line
        if not {"labels", "scores"} & line.content.keys():
            given = ", ".join(line.content)
            raise InputError(f"{line.where}: neither 'labels' nor 'scores' is there; given keys: {given}.")
        row = self.row[line.image]
        self.predicted[row] = True
        for key, take in (("labels", self._take_list), ("scores", self._take_scores)):
            if key in line.content:
                take(line, row)
            else:
                self.without[key].append(line.where)
        if isinstance(decide := line.content.get("decide"), str):
            self.decided_by.add(decide)

    def _take_list(self, line: Line, row: int) -> None:
        names = line.label_list("labels")
        for entry in line.content["labels"]:
            if isinstance(entry, dict) and "score" in entry:
                _finite(entry["score"], name=entry["label"], where=line.where)
        columns = [self.column.get(name, OUTSIDE) for name in names]
        inside = [c for c in columns if c >= 0]
        self.sets[row, inside] = True
        self.outside[row] = len(columns) - len(inside)
        self.set_sizes[row] = len(columns)
        targets = self.truth.targets[row]
        ranked = [c for c in columns if c < 0 or targets[c] != -1][: self.depth]
        self.lists[row, : len(ranked)] = ranked
        self._note_outside(name for name, c in zip(names, columns, strict=True) if c < 0)

    def _take_scores(self, line: Line, row: int) -> None:
        scores = line.content["scores"]
        if not isinstance(scores, dict):
            raise InputError(
                f"{line.where}: 'scores' must be an object {{name: number}}, given {shown(scores)}."
            )
        names = [self.trimmed.get(given) or self._trim(line, given) for given in scores]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"{line.where}: label {twice!r} is scored twice; give each label one score.")
        values = _numbers(scores, where=line.where)
        columns = np.array([self.column.get(name, OUTSIDE) for name in names], dtype=np.int64)
        inside = columns >= 0
        self.scores[row, columns[inside]] = values[inside]
        if not inside.all():
            beyond = [(-values[i], names[i]) for i in np.flatnonzero(~inside)]
            self.outside_scores[row] = {name: -low for low, name in nsmallest(self.depth, beyond)}
            if self.threshold is not None:
                self.outside_at_threshold[row] = (values[~inside] >= self.threshold).sum()
            self._note_outside(name for _, name in beyond)

    def _trim(self, line: Line, given: str) -> str:
        """Check a name once; files repeat the same names on every line."""
        self.trimmed[given] = line.label_name(given)
        return self.trimmed[given]

    def _note_outside(self, names: Iterable[str]) -> None:
        self.outside_names.update(names)

    def ranking(self) -> np.ndarray:
        """Rank by score, labels outside the truth in their places; no prediction, no ranking."""
        known = self.truth.targets != -1
        ranking = rank_labels(self.scores, self.truth.names, known=known, depth=self.depth)
        for row, beyond in self.outside_scores.items():
            names = [*self.truth.names, *beyond]
            scores = np.append(self.scores[row], list(beyond.values()))
            inside = np.append(known[row], np.ones(len(beyond), dtype=np.bool_))
            best = rank_labels(scores[None], names, known=inside[None], depth=self.depth)[0]
            ranking[row] = np.where(best >= len(self.truth.names), OUTSIDE, best)
        ranking[~self.predicted] = NOTHING
        return ranking


def read_predictions(
    path: Path,
    truth: Truth,
    *,
    missing: str = "error",
    depth: int = 10,
    threshold: float | None = None,
) -> Predictions:
    """Read a prediction file and put it beside the truth.

    Args:
        path: JSON Lines, in any order of images.
        truth: what its images and labels are matched with.
        missing: `error`, or `empty`: an image without a prediction has the empty set and ranks nothing.
        depth: how many ranks to keep: at least k and the N of MAP@N.
        threshold: least score that will be decided, where one will be.

    Returns:
        The predictions, row for row and column for column with the truth.

    Raises:
        InputError: a malformed line (see `read_lines`), a score that is not a finite number, a label twice,
            an image that the truth does not have, or, unless `missing` is `empty`, one that is not predicted.
    """
    if missing not in MISSING_POLICIES:
        raise unknown_name("policy for missing images", missing, MISSING_POLICIES)
    rows = _Rows(truth, depth, threshold)
    for line in read_lines(path):
        rows.add(line)
    if rows.extra:
        raise InputError(
            f"{path}: {len(rows.extra)} image(s) are not in the truth: {_some(rows.extra)}. "
            "Image keys must be the same texts in both files."
        )
    absent = [image for image, there in zip(truth.images, rows.predicted, strict=True) if not there]
    if absent and missing == "error":
        raise InputError(
            f"{path}: {len(absent)} image(s) of the truth have no prediction (or only an error line): "
            f"{_some(absent)}. "
            "Predict them, or count them as empty with --missing empty."
        )
    return _finish(rows, tuple(absent))


def _numbers(scores: dict[str, object], *, where: str) -> np.ndarray:
    """Return the scores as float64, checked all at once where that is enough."""
    if set(map(type, scores.values())) <= {float}:
        values = np.array(list(scores.values()), dtype=np.float64)
        if np.isfinite(values).all():
            return values
    return np.array(
        [_finite(score, name=name, where=where) for name, score in scores.items()], dtype=np.float64
    )


def _finite(score: object, *, name: str, where: str) -> float:
    try:
        if isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score):
            return float(score)
    except OverflowError:
        pass  # an integer beyond float64 is as bad as infinity
    raise InputError(
        f"{where}: the score of {name!r} must be a finite number, given {shown(score)}. "
        "Leave a label out of 'scores' to rank it below all given."
    )


def _some(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:5]) + (", ..." if len(names) > 5 else "")


def _finish(rows: _Rows, absent: tuple[str, ...]) -> Predictions:
    """Decide what the file gives as a whole, and say why it does not give the rest."""
    reasons = {}
    for key, consequence in (
        ("scores", "AP needs a score for every label"),
        ("labels", "there are no decided sets"),
    ):
        if rows.without[key]:
            reasons[key] = (
                f"{len(rows.without[key])} prediction line(s) have no {key!r} "
                f"(first: {rows.without[key][0]}); "
                f"{consequence}."
            )
    if not rows.predicted.any():
        reasons["scores"] = "no image has a prediction."
    if len(reasons) == 2 and rows.predicted.any():
        reasons["ranking"] = "some prediction lines have no 'scores' and others no 'labels'."
    notes = []
    if rows.outside_names:
        named = ", ".join(repr(name) for name, _ in rows.outside_names.most_common(5))
        notes.append(
            f"{len(rows.outside_names)} label(s) are predicted that the truth does not name ({named}"
            f"{', ...' if len(rows.outside_names) > 5 else ''}); where decided they count as wrong in O-P."
        )
    if absent:
        notes.append(f"{len(absent)} image(s) without a prediction count as empty: {_some(list(absent))}.")
    return Predictions(
        scores=None if "scores" in reasons else rows.scores,
        ranking=None if "ranking" in reasons else rows.lists if "scores" in reasons else rows.ranking(),
        sets=None if "labels" in reasons else rows.sets,
        outside=rows.outside,
        outside_at_threshold=rows.outside_at_threshold,
        set_sizes=rows.set_sizes,
        decided_by=", ".join(sorted(rows.decided_by)) or None,
        reasons=reasons,
        missing=absent,
        notes=tuple(notes),
    )
