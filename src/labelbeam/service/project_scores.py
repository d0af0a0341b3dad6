"""Scores and look-alikes of many photographs of a project at once: what the page's bulk actions and views ask for.

Nothing is decided here: the page says what it will do, and does it as one step that one undo takes back.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from labelbeam.data.images import UnreadableImage
from labelbeam.errors import InputError
from labelbeam.inspect.duplicates import Fingerprint, duplicate_groups, fingerprint
from labelbeam.project.project_file import Project
from labelbeam.project.records import Photograph
from labelbeam.service.project_photographs import ProjectPhotographs
from labelbeam.service.reasons import Reasons
from labelbeam.service.tagging import TaggingService

MOST = 64
"""Photographs of a question for scores; the page asks again and shows how far it is."""

FLOOR = 0.05
"""Least score that is answered, where no label is named."""


class ProjectScores:
    """What the model says of many photographs of a project."""

    def __init__(self, photographs: ProjectPhotographs, service: TaggingService, reasons: Reasons) -> None:
        """Make it.

        Args:
            photographs: of the project.
            service: answers for the run.
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
