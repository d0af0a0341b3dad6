"""The service without HTTP: uploads in, predictions and suggestions out, for many clients at once."""

import asyncio
import hashlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from labelbeam.data.images import UnreadableImage
from labelbeam.decoding.search import cores
from labelbeam.encoders.encoder import best_device
from labelbeam.predict.decision import Decision
from labelbeam.predict.prediction import Prediction
from labelbeam.runs.tagger import Tagger
from labelbeam.service.admission import Limits
from labelbeam.service.answering import (
    FULL_PASS,
    Batches,
    Encoded,
    Question,
    QuestionAnswerer,
    UploadEncoder,
    share_cores,
)
from labelbeam.service.uploads import Upload

# A vector's id depends on the image's content and on a key that this process made for itself: it says nothing of the
# image, and nobody can ask whether somebody else has sent a certain photograph.


class VectorStore:
    """Feature vectors by id; the longest unused go first. Used by several threads at once.

    Example:
        >>> store = VectorStore(most_bytes=1000)
        >>> vector = store.id_of(b"an image's bytes")
        >>> store.put(vector, np.zeros(4, dtype=np.float16))
        >>> store.get(vector)
        array([0., 0., 0., 0.], dtype=float16)
    """

    def __init__(self, *, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, np.ndarray] = OrderedDict()

    def id_of(self, content: bytes) -> str:
        """Return the id of an image's vector: 32 hexadecimal digits."""
        return hashlib.blake2b(content, key=self._key, digest_size=16).hexdigest()

    def get(self, vector: str) -> np.ndarray | None:
        """Return a vector, None where it is not kept (any more)."""
        with self._lock:
            found = self._kept.get(vector)
            if found is not None:
                self._kept.move_to_end(vector)
            return found

    def put(self, vector: str, features: np.ndarray) -> None:
        """Keep a vector; one that is larger than the store is let go at once."""
        features = features.copy()  # a row of a batch would keep all of the batch in memory
        features.flags.writeable = False
        with self._lock:
            if (before := self._kept.pop(vector, None)) is not None:
                self._bytes -= _cost(before)
            self._kept[vector] = features
            self._bytes += _cost(features)
            while self._bytes > self._most:
                _, gone = self._kept.popitem(last=False)
                self._bytes -= _cost(gone)

    def __len__(self) -> int:
        return len(self._kept)


def _cost(features: np.ndarray) -> int:
    return features.nbytes + 300  # the id, the array's own head, the place in the dictionary


# Two queues. Images of all clients are encoded together, by a thread per core; one thread answers from features and is
# the only one that touches the searches, whose trie is shared by all images and made for one thread. A click never
# waits for an encoder.

ANSWERED_TOGETHER = 16
"""Few enough that a click behind such a batch is answered within a fraction of a second."""
MOST_THREADS = 8

Value = TypeVar("Value")


@dataclass(frozen=True)
class Tagged:
    """What the service says of an image.

    Attributes:
        prediction: as `labelbeam tag` says it.
        vector: id of its features; empty where there are none.
        features: float16 [features]; None where the image could not be read.
    """

    prediction: Prediction
    vector: str = ""
    features: np.ndarray | None = None


class TaggingService:
    """Answers many clients from one tagger."""

    def __init__(self, tagger: Tagger, limits: Limits) -> None:
        self.tagger = tagger
        self.limits = limits
        self.vectors = VectorStore(most_bytes=limits.vector_bytes)
        threads = min(cores(), MOST_THREADS)
        self._encoding: Batches[Upload, np.ndarray] = Batches(
            UploadEncoder(tagger.run.encoder, limits, device=best_device()),
            most_together=FULL_PASS,
            most_waiting=limits.waiting_images,
            threads=threads,
            name="encode",
            starting=lambda: share_cores(threads),
        )
        self._answering: Batches[Question, object] = Batches(
            QuestionAnswerer(tagger),
            most_together=ANSWERED_TOGETHER,
            most_waiting=limits.requests + limits.waiting_images,
            name="answer",
        )

    @property
    def waiting(self) -> int:
        """Images that wait for the encoder now."""
        return self._encoding.waiting

    @property
    def ready(self) -> bool:
        """Whether it takes an image now."""
        return self._encoding.alive and self._answering.alive and self._encoding.has_room

    async def tag(
        self, uploads: Sequence[Upload], *, decision: Decision, all_scores: bool = False
    ) -> list[Tagged]:
        """Tag images; one that cannot be read is an answer with an error.

        Raises:
            Full: too many images wait already.
            Closed: the service is ending.
            InputError: the run cannot decide so.
        """
        ids = [self.vectors.id_of(upload.content) for upload in uploads]
        encoded = await self._encoded(ids, uploads)
        questions = [
            Encoded(upload.name, one, decision, all_scores)
            for upload, one in zip(uploads, encoded, strict=True)
            if not isinstance(one, UnreadableImage)
        ]
        answered = await asyncio.gather(*map(asyncio.wrap_future, self._answering.submit(questions)))
        tagged = []
        remaining = iter(answered)
        for vector, upload, one in zip(ids, uploads, encoded, strict=True):
            if isinstance(one, UnreadableImage):
                tagged.append(Tagged(Prediction(upload.name, error=one.reason)))
            else:
                prediction = next(remaining)
                assert isinstance(prediction, Prediction)
                tagged.append(Tagged(prediction, vector, one))
        return tagged

    async def encode(self, uploads: Sequence[Upload]) -> list[np.ndarray | UnreadableImage]:
        """Return features of images, float16 [features], and keep them; or why there are none.

        Raises:
            Full: too many images wait already.
            Closed: the service is ending.
        """
        return await self._encoded([self.vectors.id_of(upload.content) for upload in uploads], uploads)

    async def _encoded(
        self, ids: Sequence[str], uploads: Sequence[Upload]
    ) -> list[np.ndarray | UnreadableImage]:
        """Look features up by id, and compute what is missing."""
        kept = {vector: found for vector in ids if (found := self.vectors.get(vector)) is not None}
        missing = {vector: upload for vector, upload in zip(ids, uploads, strict=True) if vector not in kept}
        done: dict[str, np.ndarray | UnreadableImage] = dict(kept)
        futures = self._encoding.submit(list(missing.values())) if missing else []
        results = await asyncio.gather(*map(asyncio.wrap_future, futures), return_exceptions=True)
        for vector, result in zip(missing, results, strict=True):
            if isinstance(result, np.ndarray):
                self.vectors.put(vector, result)
            elif not isinstance(result, UnreadableImage):
                raise result
            done[vector] = result
        return [done[vector] for vector in ids]

    async def ask(self, question: Callable[[], Value], *, urgent: bool = False) -> Value:
        """Call something in the one thread that may touch the searches.

        Args:
            urgent: whether it goes before everything that waits: clicks do.

        Raises:
            Full: too many questions wait already.
            Closed: the service is ending.
        """
        future: Future[Value] = self._answering.submit([question], urgent=urgent)[0]  # type: ignore[assignment]
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Do what waits, then end the threads."""
        self._encoding.close()
        self._answering.close()
