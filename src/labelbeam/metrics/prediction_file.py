"""Truth and anybody's predictions, read from JSON Lines and put beside each other."""

import json
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import nsmallest
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from labelbeam.errors import InputError, unknown_name
from labelbeam.labels.vocabulary import ByLabel, LabelSets, Targets
from labelbeam.metrics.ranking import NOTHING, OUTSIDE, rank_labels
from labelbeam.parsing import BYTE_ORDER_MARK, parse_json

# Reads bytes line by line, so that memory does not grow with the file and every message names its line.


@dataclass(frozen=True)
class Line:
    """One line of a file.

    Attributes:
        where: file and line number, for messages.
    """

    where: str
    image: str
    content: dict[str, Any]

    def label_list(self, key: str) -> list[str]:
        """Return the label names under `key` in NFC; a list entry is a name or an object with a "label".

        Raises:
            InputError: not a list, an entry that is not a name, an empty name, or a name given twice.
        """
        entries = self.content[key]
        if not isinstance(entries, list):
            raise InputError(f"{self.where}: {key!r} must be a list of label names, given {shown(entries)}.")
        names = [
            self.label_name(entry.get("label") if isinstance(entry, dict) else entry) for entry in entries
        ]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(
                f"{self.where}: label {twice!r} is listed twice in {key!r}; list each label once."
            )
        return names

    def label_name(self, name: object) -> str:
        """Return one label name, trimmed and in NFC.

        Raises:
            InputError: not a text, or an empty one.
        """
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"{self.where}: a label must be a non-empty text, given {shown(name)}.")
        return name if name.isascii() and name == name.strip() else unicodedata.normalize("NFC", name.strip())


def shown(value: object) -> str:
    """Return a value as the file wrote it, cut to a length that fits into a message."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _objects(path: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yield place, number and object of each line, or of each member of one JSON list."""
    with path.open("rb") as file:
        begun = False
        for number, raw in enumerate(file, start=1):
            stripped = (raw.removeprefix(BYTE_ORDER_MARK) if number == 1 else raw).strip()
            if stripped.startswith(b"[") and not begun:
                members = parse_json(stripped + b"\n" + file.read(), str(path), repeats=False)
                for n, member in enumerate(members, start=1):
                    yield f"{path}, entry {n}", n, _object(member, f"{path}, entry {n}")
                return
            if stripped:
                begun, where = True, f"{path}, line {number}"
                yield where, number, _object(parse_json(stripped, where, repeats=False, line=True), where)


def _object(content: object, where: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise InputError(
            f'{where}: each line must be a JSON object such as {{"image": "a.jpg", ...}}, '
            f"given {shown(content)}."
        )
    return content


def read_lines(path: Path) -> Iterator[Line]:
    """Yield the lines of a JSON Lines file, or what one JSON list holds; CRLF, a byte order mark, blank lines are fine.

    Raises:
        InputError: no such file, a line that is not UTF-8, not JSON or not an object, an image key that is
            missing or not a text, or an image that occurred before.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}. Give a JSON Lines file, one image a line.")
    first_seen: dict[str, int] = {}
    for where, number, content in _objects(path):
        if "image" not in content:
            raise InputError(
                f"{where}: the key 'image' is missing; given keys: {', '.join(content) or 'none'}."
            )
        image = content["image"]
        if not isinstance(image, str) or not image:
            raise InputError(f"{where}: 'image' must be a non-empty text, given {shown(image)}.")
        if image in first_seen:
            raise InputError(
                f"{where}: image {image!r} is repeated (first on line {first_seen[image]}); "
                "each image may occur once."
            )
        first_seen[image] = number
        yield Line(where, image, content)


# The label vocabulary is the union of what the file names, sorted by code point, which is also the order of ties.


@dataclass(frozen=True)
class Truth:
    """True labels of images, as a file states them.

    Attributes:
        images: keys in file order; a key's position is its row.
        names: label names by code point; a name's position is its column.
    """

    images: tuple[str, ...]
    names: tuple[str, ...]
    targets: Targets


def read_truth(path: Path) -> Truth:
    """Read a truth file.

    Args:
        path: JSON Lines, one image a line. `labels` may be empty; `unknown` may be left out.

    Returns:
        The truth; a label that a line does not name is absent from that image.

    Raises:
        InputError: a malformed line (see `read_lines`), no `labels`, a label both present and unknown,
            no image, or no label in the whole file.
    """
    present: list[list[str]] = []
    unknown: list[list[str]] = []
    images = []
    for line in read_lines(path):
        if "labels" not in line.content:
            given = ", ".join(line.content)
            raise InputError(
                f"{line.where}: the key 'labels' is missing; given keys: {given}. Use [] for no label."
            )
        has, open_ = (
            line.label_list("labels"),
            line.label_list("unknown") if "unknown" in line.content else [],
        )
        if both := sorted(set(has) & set(open_)):
            raise InputError(
                f"{line.where}: {both[0]!r} is in 'labels' and in 'unknown'; it can be in one of them."
            )
        images.append(line.image)
        present.append(has)
        unknown.append(open_)
    if not images:
        raise InputError(f"{path}: the truth has no image; give one JSON object a line.")
    names = sorted({name for row in (*present, *unknown) for name in row})
    if not names:
        raise InputError(f"{path}: no line of the truth names a label, so there is nothing to score.")
    column = {name: c for c, name in enumerate(names)}
    targets = np.zeros((len(images), len(names)), dtype=np.int8)
    for row, (has, open_) in enumerate(zip(present, unknown, strict=True)):
        targets[row, [column[name] for name in has]] = 1
        targets[row, [column[name] for name in open_]] = -1
    return Truth(tuple(images), tuple(names), targets)


# A line holds `labels` (names best first, or objects as `labelbeam tag` writes them), `scores` (a number per name),
# both, or an `error`. Labels that the truth does not know keep their place in the ranking and count as wrong.

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

    scores: ByLabel | None
    ranking: Int[np.ndarray, "images depth"] | None
    sets: LabelSets | None
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
        observed = self.truth.targets != -1
        ranking = rank_labels(self.scores, self.truth.names, observed=observed, depth=self.depth)
        for row, beyond in self.outside_scores.items():
            names = [*self.truth.names, *beyond]
            scores = np.append(self.scores[row], list(beyond.values()))
            inside = np.append(observed[row], np.ones(len(beyond), dtype=np.bool_))
            best = rank_labels(scores[None], names, observed=inside[None], depth=self.depth)[0]
            ranking[row] = np.where(best >= len(self.truth.names), OUTSIDE, best)
        ranking[~self.predicted] = NOTHING
        return ranking


def read_predictions(
    path: Path, truth: Truth, *, missing: str = "error", depth: int = 10, threshold: float | None = None
) -> Predictions:
    """Read a prediction file and put it beside the truth.

    Args:
        path: JSON Lines, in any order of images.
        truth: what its images and labels are matched with.
        missing: `error`, or `empty`: an image without a prediction has the empty set and ranks nothing.
        depth: how many ranks to keep: at least k and the N of MAP@N.
        threshold: least score that will be decided, where one will be.

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
