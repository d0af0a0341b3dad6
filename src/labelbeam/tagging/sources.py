"""Where a job's predictions come from: image files, stored vectors or both, and the engine that runs the encoder."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.data.image_bytes import image_mark
from labelbeam.encoders.encoder import Encoder
from labelbeam.formats.vectors import GivenVectors
from labelbeam.labels.implications import Implications
from labelbeam.predict.prediction import Prediction
from labelbeam.runs.tagger import ANSWERED_TOGETHER, Tagger
from labelbeam.tagging.vector_store import VectorStore

# Where a job's predictions come from: image files, stored vectors, or both; each gives the same lines.
#
# A source takes the images that are left to do and yields their predictions in order. Knows no output.

Source = Callable[[Iterable[Path]], Iterator[Prediction]]
"""From images to predictions, in order."""

LOOKED_UP = 4 * ANSWERED_TOGETHER
"""Images that are looked up in a store in one go."""

NOT_THERE = (-1, -1)
"""Mark of a file that is not there."""


def open_store(folder: Path, encoder: Encoder, *, write: bool) -> VectorStore:
    """Open a store for what an encoder says of images.

    Args:
        folder: the store's folder.
        encoder: of the run.
        write: whether vectors will be added.

    Raises:
        InputError: as `VectorStore`.
    """
    return VectorStore(folder, encoder.key, num_features=encoder.num_features, write=write)


def stored_or_read(
    tagger: Tagger, store: VectorStore, paths: Iterable[Path]
) -> Iterator[tuple[str, np.ndarray | str]]:
    """Yield images with their vectors: from the store where the file is as it was, else read now and kept there.

    Args:
        tagger: reads images.
        store: open for writing.
        paths: image files; some hundreds are taken at a time.
    """
    coming = iter(paths)
    while block := list(islice(coming, LOOKED_UP)):
        marks = [image_mark(path) for path in block]
        # What was not there is looked for again: nothing about it would show a change.
        found = [
            None if mark == NOT_THERE else store.find(str(path), mark)
            for path, mark in zip(block, marks, strict=True)
        ]
        reading = tagger.features(path for path, known in zip(block, found, strict=True) if known is None)
        for path, mark, known in zip(block, marks, found, strict=True):
            if known is None:
                _, vector = next(reading)
                store.add(str(path), mark, vector)
                yield str(path), vector
            else:
                yield str(path), known


@dataclass(frozen=True)
class Choices:
    """What is asked of every prediction of a job.

    Attributes:
        all_scores: whether predictions hold every label's score.
        implications: what decided labels imply is decided too; None: nothing.
    """

    all_scores: bool = False
    implications: Implications | None = None

    def told(self) -> dict[str, Any]:
        """Return them as plain values: lines made with others are not continued."""
        implied = None
        if self.implications is not None:
            implied = {name: list(more) for name, more in self.implications.implied.items()}
        return {"all_scores": self.all_scores, "implications": implied}


def from_images(tagger: Tagger, choices: Choices) -> Source:
    """Return a source that reads every image."""
    return lambda paths: tagger.tag(paths, all_scores=choices.all_scores, implications=choices.implications)


def through_store(
    tagger: Tagger, store: VectorStore | GivenVectors, choices: Choices, *, read: bool
) -> Source:
    """Return a source that answers from stored vectors.

    Args:
        tagger: the trained model.
        store: of its encoder, or the rows of a file.
        choices: what is asked.
        read: whether images that are not stored, or have changed, are read; otherwise no file is looked at.
    """

    def predictions(paths: Iterable[Path]) -> Iterator[Prediction]:
        kept = store if read and isinstance(store, VectorStore) else None
        items = store.items(paths) if kept is None else stored_or_read(tagger, kept, paths)
        for one in tagger.tag_features(
            items, all_scores=choices.all_scores, implications=choices.implications
        ):
            if kept is not None:
                kept.flush()  # what has a line has its vector
            yield one

    return predictions


def on_cluster(run: Path, tagger: Tagger, choices: Choices) -> Source:
    """Return a source whose work is done by a Ray cluster.

    Args:
        run: the run directory, at the same place on every machine.
        tagger: made of it, with the decision and search that are asked for.
        choices: what is asked.
    """
    from labelbeam.tagging.ray_data import Workers

    config = tagger.run.config
    return Workers(
        run, config.decision, config.search, choices.all_scores, choices.implications, tagger.run.rules
    ).predictions
