"""Scores and look-alikes of many photographs of a project at once: what the page's bulk actions and views ask for.

Nothing is decided here: the page says what it will do, and does it as one step that one undo takes back.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from labelbeam.data.images import UnreadableImage
from labelbeam.errors import InputError
from labelbeam.inspect.duplicates import Fingerprint, duplicate_groups, fingerprint
from labelbeam.labels.vocabulary import ABSENT, PRESENT
from labelbeam.predict.label_model import label_model_answerer
from labelbeam.project.project_file import Project
from labelbeam.project.schema import Photograph
from labelbeam.runs.tagger import Tagger
from labelbeam.service.project_photographs import ProjectPhotographs
from labelbeam.service.tagging import TaggingService
from labelbeam.suggest import ANY_SUBSET, LIKELIHOOD_WEIGHTING

SECONDS = 0.05
"""Time for trying decisions as reasons: each that was not asked before costs as much as a suggestion."""

REMEMBERED = 2000
"""Questions whose answers are kept: some ten kilobytes each with a thousand labels."""

LEAST = 0.01
"""Smallest change of a score that is shown."""


@dataclass(frozen=True)
class Reason:
    """The decision that moved a score most.

    Attributes:
        label: what was decided.
        value: PRESENT (accepted) or ABSENT (rejected).
        change: the score less what it would be without that decision.
    """

    label: str
    value: int
    change: float


@dataclass(frozen=True)
class Reasoned:
    """A suggestion with its reason.

    Attributes:
        score: p(label | image, what was decided).
        reason: None where no decision moved it by `LEAST`.
    """

    label: str
    score: float
    reason: Reason | None


@dataclass(frozen=True)
class ReasonedSuggestions:
    """What to show beside a photograph.

    Attributes:
        suggestions: best first; none of the decided labels.
        mechanism: what scored them.
        note: what to know before trusting them, empty: nothing.
    """

    suggestions: tuple[Reasoned, ...]
    mechanism: str
    note: str = ""


@dataclass(frozen=True)
class _Scores:
    scores: Mapping[str, float]
    mechanism: str
    note: str


class Reasons:
    """Suggests with reasons for one run, remembering what was asked: the state before a click was asked before it."""

    def __init__(self, tagger: Tagger, *, seconds: float = SECONDS) -> None:
        """Make it.

        Args:
            seconds: after which no further decision is tried as a reason.
        """
        self._tagger, self._seconds = tagger, seconds
        self._known = frozenset(tagger.labels)
        self._asked: OrderedDict[tuple[object, ...], _Scores] = OrderedDict()

    def suggest(
        self,
        features: Float[np.ndarray, " features"],
        decided: Mapping[str, int],
        *,
        count: int = 12,
        mechanism: str | None = None,
    ) -> ReasonedSuggestions:
        """Suggest labels for a photograph, with reasons.

        Args:
            decided: labels with PRESENT or ABSENT, the earliest decision first; labels that the model does not know
                are passed over.
            mechanism: as `runs.suggestions.suggest`.

        Raises:
            InputError: features that do not fit the run, or a mechanism that it does not have.
        """
        began = time.perf_counter()
        evidence = {name: value for name, value in decided.items() if name in self._known}
        found = self._scores(features, evidence, mechanism)
        left_out: dict[str, Mapping[str, float]] = {}
        for name in reversed(evidence):  # the latest first: what was so before it is remembered
            if left_out and time.perf_counter() - began > self._seconds:
                break
            without = {other: value for other, value in evidence.items() if other != name}
            left_out[name] = self._scores(features, without, mechanism).scores
        scores = found.scores
        best = sorted(scores, key=lambda name: (-scores[name], name))[:count]
        return ReasonedSuggestions(
            tuple(
                Reasoned(name, scores[name], _reason(name, scores[name], left_out, evidence)) for name in best
            ),
            found.mechanism,
            found.note,
        )

    def scores(
        self, features: Float[np.ndarray, " features"], decided: Mapping[str, int]
    ) -> Mapping[str, float]:
        """Return every undecided label's score, as `suggest` gives it; arguments and errors as there."""
        evidence = {name: value for name, value in decided.items() if name in self._known}
        return self._scores(features, evidence, None).scores

    def _scores(
        self, features: Float[np.ndarray, " features"], evidence: Mapping[str, int], mechanism: str | None
    ) -> _Scores:
        key = (features.tobytes(), frozenset(evidence.items()), mechanism)
        if (cached := self._asked.get(key)) is not None:
            self._asked.move_to_end(key)
            return cached
        found = self._asked[key] = _asked(self._tagger, features, evidence, mechanism)
        while len(self._asked) > REMEMBERED:
            self._asked.popitem(last=False)
        return found


def _asked(
    tagger: Tagger,
    features: Float[np.ndarray, " features"],
    evidence: Mapping[str, int],
    mechanism: str | None,
) -> _Scores:
    """Return every open label's score; of impossible evidence the scores without it, and a note that says so."""
    accepted = [name for name, value in evidence.items() if value == PRESENT]
    rejected = [name for name, value in evidence.items() if value == ABSENT]
    whole = len(tagger.labels)
    try:
        found = tagger.suggest(features, accepted, rejected, whole, mechanism)
        return _Scores({one.label: one.score for one in found}, found.mechanism, found.note)
    except InputError as error:
        if not evidence:
            raise
        found = tagger.suggest(features, (), (), whole, mechanism)
        scores = {one.label: one.score for one in found if one.label not in evidence}
        return _Scores(scores, found.mechanism, f"Suggestions do not follow your decisions here: {error}")


def _reason(
    name: str, score: float, left_out: Mapping[str, Mapping[str, float]], evidence: Mapping[str, int]
) -> Reason | None:
    changes = {decision: score - without.get(name, score) for decision, without in left_out.items()}
    if not changes:
        return None
    most = max(changes, key=lambda decision: abs(changes[decision]))
    return Reason(most, evidence[most], changes[most]) if abs(changes[most]) >= LEAST else None


def suggesting_mechanisms(tagger: Tagger) -> tuple[str, ...]:
    """Return the mechanisms that a run can suggest by; the first is what it does by itself."""
    if label_model_answerer(tagger.answerer) is None or tagger.run.suggester is None:
        return ()
    both = (LIKELIHOOD_WEIGHTING, ANY_SUBSET)
    return both if tagger.run.suggester.better == LIKELIHOOD_WEIGHTING else both[::-1]


MOST = 64
"""Photographs of a question for scores; the page asks again and shows how far it is."""

FLOOR = 0.05
"""Least score that is answered, where no label is named."""


class ProjectScores:
    """What the model says of many photographs of a project."""

    def __init__(self, photographs: ProjectPhotographs, service: TaggingService, reasons: Reasons) -> None:
        """Make it.

        Args:
            reasons: what the cards ask; its answers are remembered.
        """
        self._photographs, self._service, self._reasons = photographs, service, reasons
        self._project = photographs.project
        self._prints: dict[int, Fingerprint] = {}

    async def ask(self, images: Sequence[int], label: str | None = None) -> dict[str, Any]:
        """Return scores of photographs.

        Args:
            images: their numbers; those that left the project are passed over.
            label: of the run: its scores from the picture alone, which no decision moves. None: of every undecided
                label, given what is decided, as the cards show them.

        Returns:
            `scores`, by photograph and label (without a named one those of `FLOOR` or more); `unreadable`, the numbers
            of photographs that are gone from the disk.
        """
        there = await self._there(images)
        features = await self._photographs.features(there)
        rows = [(one, row) for one, row in zip(there, features, strict=True) if row is not None]
        scores: dict[int, dict[str, float]] = {}
        if label is None:
            # By the mechanism that the cards ask, one by one: what they mark as likely must be what is accepted.
            decisions = await asyncio.to_thread(self._project.decisions)
            for one, row in rows:
                decided = decisions.get(one.id, {})
                scores[one.id] = await self._service.ask(partial(self._scored, row, decided))
        elif rows:
            stacked = np.stack([np.asarray(row) for _, row in rows])
            answers = await self._service.ask(lambda: self._service.tagger.answer(stacked))
            column = self._service.tagger.labels.index(label)
            for (one, _), row in zip(rows, answers.scores, strict=True):
                scores[one.id] = {label: float(row[column])}
        return {
            "scores": {
                image: {name: round(score, 4) for name, score in row.items() if label or score >= FLOOR}
                for image, row in scores.items()
            },
            "unreadable": [one.id for one, row in zip(there, features, strict=True) if row is None],
        }

    async def needing_nobody(self, images: Sequence[int]) -> dict[str, Any]:
        """Return which photographs nobody needs to look at, as the run's own decision promises it.

        Args:
            images: their numbers; those that left the project are passed over.

        Returns:
            `decided`, the labels of those that need nobody, by photograph; `unreadable`, as `ask` returns it.

        Raises:
            InputError: the run is not asked for that promise.
        """
        tagger = self._service.tagger
        decision = tagger.run.config.decision
        if decision.unseen is None:
            raise InputError("no promise stands for images that nobody looks at: serve with --unseen 0.95.")
        there = await self._there(images)
        features = await self._photographs.features(there)
        rows = [(one, row) for one, row in zip(there, features, strict=True) if row is not None]
        decided: dict[int, list[str]] = {}
        if rows:
            items = [(str(one.id), np.asarray(row)) for one, row in rows]
            predictions = await self._service.ask(lambda: list(tagger.tag_features(items)))
            for (one, _), prediction in zip(rows, predictions, strict=True):
                if prediction.unseen:
                    decided[one.id] = [label.label for label in prediction.labels]
        return {
            "decided": decided,
            "unreadable": [one.id for one, row in zip(there, features, strict=True) if row is None],
        }

    async def stacks(self, images: Sequence[int]) -> list[list[int]]:
        """Return near duplicates among photographs, as `labelbeam data inspect` finds them, in the order given.

        Fingerprints are made once while the service runs.
        """
        there = await self._there(images)
        prints = await asyncio.to_thread(lambda: [self._fingerprint(one) for one in there])
        groups = await asyncio.to_thread(duplicate_groups, prints)
        return [[there[i].id for i in group.members] for group in groups]

    def _scored(self, features: np.ndarray, decided: Mapping[str, int]) -> dict[str, float]:
        return dict(self._reasons.scores(features, decided))

    async def _there(self, images: Sequence[int]) -> list[Photograph]:
        there = {one.id: one for one in await asyncio.to_thread(self._project.photographs)}
        return [there[image] for image in dict.fromkeys(images) if image in there]

    def _fingerprint(self, one: Photograph) -> Fingerprint:
        if one.id not in self._prints:
            self._prints[one.id] = _fingerprint(self._project, one)
        return self._prints[one.id]


def _fingerprint(project: Project, one: Photograph) -> Fingerprint:
    try:
        project.content(one)  # may it be read?
    except UnreadableImage as error:
        return Fingerprint(error=error.reason)
    return fingerprint(one.path)
