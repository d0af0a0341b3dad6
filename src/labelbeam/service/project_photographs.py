"""Photographs of a project and the model: adding them, their features, what to label first.

Features are kept in the project, by encoder: a restart encodes nothing again. Knows no request.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float16

from labelbeam.data.images import UnreadableImage, list_images
from labelbeam.project.project_file import Project
from labelbeam.project.records import Photograph
from labelbeam.service.tagging import TaggingService
from labelbeam.service.uploads import Upload

ENCODED_TOGETHER = 16
"""Files in memory at once when many have no features yet."""


class ProjectPhotographs:
    """The photographs of a project as a run sees them."""

    def __init__(self, project: Project, service: TaggingService) -> None:
        self.project, self._service = project, service
        self._encoder = service.tagger.run.encoder.identity
        project.add_labels(service.tagger.labels)

    async def add(self, uploads: Sequence[Upload]) -> list[Photograph | UnreadableImage]:
        """Add uploaded photographs; they are on the disk when this returns.

        Returns:
            Each as it is in the project; or why it is not: no image, damaged, too large.

        Raises:
            Full: too many images wait already.
        """
        encoded = await self._service.encode(uploads)
        return await asyncio.to_thread(self._keep, uploads, encoded)

    def _keep(
        self, uploads: Sequence[Upload], encoded: Sequence[np.ndarray | UnreadableImage]
    ) -> list[Photograph | UnreadableImage]:
        kept: list[Photograph | UnreadableImage] = []
        for upload, features in zip(uploads, encoded, strict=True):
            if isinstance(features, UnreadableImage):
                kept.append(features)
                continue
            photograph = self.project.add_photograph(upload.content, name=upload.name)
            self.project.keep_features(photograph.id, self._encoder, features)
            kept.append(photograph)
        return kept

    async def features(
        self, photographs: Sequence[Photograph]
    ) -> list[Float16[np.ndarray, " features"] | None]:
        """Return the features of photographs; None where the file is gone or cannot be read.

        Raises:
            Full: too many images wait already.
        """
        found = [self.project.features(one.id, self._encoder) for one in photographs]
        missing = [i for i, one in enumerate(found) if one is None]
        for first in range(0, len(missing), ENCODED_TOGETHER):
            rows = missing[first : first + ENCODED_TOGETHER]
            uploads = await asyncio.to_thread(_read, [photographs[i] for i in rows])
            there = [i for i, upload in zip(rows, uploads, strict=True) if upload is not None]
            encoded = await self._service.encode([upload for upload in uploads if upload is not None])
            for i, one in zip(there, encoded, strict=True):
                if isinstance(one, np.ndarray):
                    found[i] = one
                    self.project.keep_features(photographs[i].id, self._encoder, one)
        return found

    async def most_worth_labelling(self) -> list[int]:
        """Return the numbers of all photographs, the one of which the model knows least first.

        Worth is the expected information of a full answer, label by label: the sum of the entropies of the labels
        that nobody decided yet. Photographs that cannot be read come last.
        """
        photographs = self.project.photographs()
        features = await self.features(photographs)
        decisions = self.project.decisions()
        column = {name: j for j, name in enumerate(self._service.tagger.labels)}
        rows = [i for i, one in enumerate(features) if one is not None]
        worth = {one.id: -1.0 for one in photographs}
        for first in range(0, len(rows), ENCODED_TOGETHER):
            block = rows[first : first + ENCODED_TOGETHER]
            stacked = np.stack([np.asarray(features[i]) for i in block])
            answers = await self._service.ask(lambda stacked=stacked: self._service.tagger.answer(stacked))  # type: ignore[misc]
            entropies = entropy(answers.scores)
            for i, row in zip(block, entropies, strict=True):
                number = photographs[i].id
                decided = [column[name] for name in decisions.get(number, {}) if name in column]
                worth[number] = float(row.sum() - row[decided].sum())
        return sorted(worth, key=lambda number: (-worth[number], number))


def add_folder(project: Project, folder: Path) -> tuple[int, list[str]]:
    """Add the photographs of a folder by reference, subfolders included; they stay where they are.

    Args:
        project: the project.
        folder: from the command line, never from a request.

    Returns:
        How many photographs the folder has, and what could not be read.

    Raises:
        InputError: there is no such folder, or it has no photograph.
    """
    found = list(list_images([folder]))
    problems = []
    for path in found:
        try:
            project.add_reference(path, name=path.relative_to(folder).as_posix())
        except OSError as error:
            problems.append(f"{path}: cannot be read ({error.strerror}).")
    return len(found) - len(problems), problems


def entropy(scores: np.ndarray) -> np.ndarray:
    """Return the entropy of each label by itself, nats.

    Example:
        >>> entropy(np.array([0.5, 0.0, 1.0])).round(3).tolist()
        [0.693, 0.0, 0.0]
    """
    p = np.clip(scores.astype(np.float64), 1e-12, 1 - 1e-12)
    return -(p * np.log(p) + (1 - p) * np.log1p(-p))


def _read(photographs: Sequence[Photograph]) -> list[Upload | None]:
    read: list[Upload | None] = []
    for one in photographs:
        try:
            read.append(Upload(one.name, one.path.read_bytes()))
        except OSError:
            read.append(None)
    return read
