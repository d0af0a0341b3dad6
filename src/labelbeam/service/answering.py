"""Bytes of uploads to features, features to predictions; work from many clients done together.

Of a queue a thread waits for the first item, then a few milliseconds for one more, and so on while more comes, then
does them all at once. While it works the next batch gathers, so that batches grow with the load by themselves; where
several threads share the work, one that becomes free while others are busy waits longer.
"""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from PIL import Image

from labelbeam.data.image_container import HEAD, kind_of, opened, prepared
from labelbeam.data.images import DAMAGE, UnreadableImage, read_rgb_bytes
from labelbeam.encoders.encoder import Encoder
from labelbeam.features.cache import to_half
from labelbeam.predict.decision import Decision
from labelbeam.predict.prediction import Prediction, predictions_of
from labelbeam.runs.tagger import Tagger
from labelbeam.service.admission import Limits
from labelbeam.service.uploads import Upload

# The content decides what an upload is, never its name or the type that the client says. What a decoder would choke on
# is refused before it is decoded.

LARGE_PIXELS = 16_000_000
"""Pictures from here on take up to a gigabyte while they are decoded; they are taken one at a time."""

FULL_PASS = 16
"""Images of a pass through the network when as many are there."""

SMALL_PASS = 6
"""Images of a pass when there are fewer than that: one of 8 to 15 takes more of a core per image than one of 4 to 6, up
to a fifth more with ResNet-50, a tenth with VGG-16. (Of 16 surprisingly not, with ResNet-50.)"""

_NAMELESS = Path("upload")
"""What error messages call an upload: messages have the client's own name beside it."""


class UploadEncoder:
    """Takes uploads from bytes to features; called by several threads at once."""

    def __init__(self, encoder: Encoder, limits: Limits, *, device: str) -> None:
        self._encoder = encoder.ready(device)
        self._limits = limits
        self._large = threading.Lock()

    def __call__(self, uploads: Sequence[Upload]) -> list[np.ndarray | Exception]:
        """Return for each upload float16 [features], an `UnreadableImage`, or whatever else went wrong with it."""
        done: list[np.ndarray | Exception] = []
        for upload in uploads:
            try:
                done.append(self._pixels(upload))
            except UnreadableImage as error:
                # A new one: the one that was raised holds its stack, and with it all uploads of the batch, in a circle
                # that Python finds only now and then.
                done.append(UnreadableImage(error.path, error.reason))
            except Exception as error:  # a defect belongs to whoever sent the image, not to all of the batch
                done.append(error.with_traceback(None))
        rows = [i for i, one in enumerate(done) if isinstance(one, np.ndarray)]
        for some in passes(rows):
            pictures = np.stack([np.asarray(done[i]) for i in some])
            for i, row in zip(some, self._features(pictures), strict=True):
                done[i] = row
        return done

    def _features(self, pictures: np.ndarray) -> Sequence[np.ndarray | Exception]:
        """Return features of pictures encoded together; one by one where that fails, to know whose fault it is."""
        try:
            return list(to_half(self._encoder.encode(pictures)))
        except Exception as error:
            if len(pictures) == 1:
                return [error.with_traceback(None)]
        return [self._features(pictures[i : i + 1])[0] for i in range(len(pictures))]

    def _pixels(self, upload: Upload) -> np.ndarray:
        """Return uint8 [3 size size]."""
        if not is_large(upload.content):
            return self._resized(upload.content)
        with self._large:
            return self._resized(upload.content)

    def _resized(self, content: bytes) -> np.ndarray:
        transform = self._encoder.preprocess
        pixels = read_rgb_bytes(
            content,
            _NAMELESS,
            at_least=transform.enough,
            max_pixels=self._limits.pixels,
            most_scans=self._limits.scans,
        )
        return transform.resized(pixels)


def passes(rows: Sequence[int]) -> list[list[int]]:
    """Divide images into passes through the network: full ones, then about equal small ones.

    Example:
        >>> [len(one) for one in passes(range(29))]
        [16, 5, 4, 4]
    """
    full = len(rows) // FULL_PASS * FULL_PASS
    found = [list(rows[first : first + FULL_PASS]) for first in range(0, full, FULL_PASS)]
    rest = rows[full:]
    count = -(-len(rest) // SMALL_PASS)
    starts = [-(-i * len(rest) // count) for i in range(count + 1)] if count else []
    return found + [list(rest[a:b]) for a, b in pairwise(starts)]


def is_large(content: bytes) -> bool:
    """Tell from an image's head whether decoding it takes much memory; whatever Pillow does not know may."""
    try:
        kind = kind_of(content[:HEAD])
        with opened(prepared(content, kind).content, kind) as image:
            return image.width * image.height >= LARGE_PIXELS
    except (*DAMAGE, Image.DecompressionBombError):
        return True


def share_cores(threads: int) -> None:
    """Let each of several encoding threads use its share of the cores; called in each, as it starts.

    Several threads of arithmetic that wait for each other cost a third of the processor time, and collapse
    on a machine that is busy with other things. Without torch there is nothing to set: a graph is made so.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(max(1, torch.get_num_threads() // threads))


# A label model's searches share a trie that is made for one thread; images of several clients that are decided alike
# are searched together, which costs a fraction of one by one.


@dataclass(frozen=True)
class Encoded:
    """An image to be answered.

    Attributes:
        features: float16 [features].
        decision: how its set is decided.
        all_scores: whether the prediction holds every label's score.
    """

    name: str
    features: np.ndarray
    decision: Decision
    all_scores: bool


Question = Encoded | Callable[[], object]
"""An image, or anything else that asks the model."""


class QuestionAnswerer:
    """Answers some questions at a time."""

    def __init__(self, tagger: Tagger) -> None:
        self._tagger = tagger

    def __call__(self, questions: Sequence[Question]) -> list[object]:
        """Return for each question its answer (a `Prediction` for an image), or the exception it raised."""
        answers: list[object] = [None] * len(questions)
        alike: dict[tuple[Decision, bool], list[int]] = {}
        for i, question in enumerate(questions):
            if isinstance(question, Encoded):
                alike.setdefault((question.decision, question.all_scores), []).append(i)
            else:
                answers[i] = _answer_or_error(question)
        for rows in alike.values():
            images = [question for i in rows if isinstance(question := questions[i], Encoded)]
            found = _answer_or_error(lambda images=images: self._predictions(images))  # type: ignore[misc]
            for i, prediction in zip(
                rows, found if isinstance(found, list) else [found] * len(rows), strict=True
            ):
                answers[i] = prediction
        return answers

    def _predictions(self, images: Sequence[Encoded]) -> list[Prediction]:
        """Answer for images that are decided alike."""
        tagger = self._tagger
        return list(
            predictions_of(
                [image.name for image in images],
                tagger.answer(np.stack([image.features for image in images])),
                decision=images[0].decision,
                vocabulary=tagger.run.vocabulary,
                thresholds=tagger.thresholds,
                all_scores=images[0].all_scores,
            )
        )


def _answer_or_error(question: Callable[[], object]) -> object:
    try:
        return question()
    except Exception as error:
        # It belongs to the one who asked, where it is answered and logged; the others' questions must be answered.
        return error


Item = TypeVar("Item")
Result = TypeVar("Result")


PATIENCE = 0.05
"""Most seconds that a thread waits for one more item while others are busy: at most what one item takes.

Those whose answers the last batch was come back one after the other: who went on without the late ones would do
small batches for ever, which cost up to a third more of the processor each.
"""

MOST_PATIENCE = 0.25
"""Most seconds of waiting together, however much comes."""


class Full(Exception):  # noqa: N818  (named for what it is)
    """The queue cannot take what was to be added.

    Attributes:
        seconds: after which there is probably room.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the queue is full for about {seconds:.1f} s")
        self.seconds = seconds


class Closed(Exception):  # noqa: N818
    """The queue takes nothing any more."""


@dataclass
class _Entry(Generic[Item, Result]):
    item: Item
    urgent: bool
    future: "Future[Result]" = field(default_factory=Future)


class Batches(Generic[Item, Result]):
    """A bounded queue in front of work that is cheaper, or only possible, in batches.

    Example:
        >>> batches = Batches(lambda items: [item * 2 for item in items], most_together=8, most_waiting=100)
        >>> [future.result() for future in batches.submit([1, 2, 3])]
        [2, 4, 6]
        >>> batches.close()
    """

    def __init__(
        self,
        work: Callable[[list[Item]], Sequence[Result | Exception]],
        *,
        most_together: int,
        most_waiting: int,
        wait_seconds: float = 0.004,
        threads: int = 1,
        name: str = "batches",
        starting: Callable[[], object] = lambda: None,
    ) -> None:
        """Start the threads.

        Args:
            work: from items to one result, or one exception, for each; called in the queue's own threads. What it
                raises itself becomes the result of every item of the batch.
            most_together: items of a batch, at most.
            most_waiting: items that wait, at most; more only where nothing waited.
            wait_seconds: how long the items of a batch wait for one more.
            starting: called once in each thread before its first batch.
        """
        self._starting = starting
        self._work = work
        self._most_together, self._most_waiting = most_together, most_waiting
        self._wait = wait_seconds
        self._entries: deque[_Entry[Item, Result]] = deque()
        self._under_way = 0
        self._seconds_each = 0.05  # of one item; learned from what was done
        self._open = True
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{i}", daemon=True) for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        """Whether it takes work and all its threads run."""
        return self._open and all(thread.is_alive() for thread in self._threads)

    @property
    def waiting(self) -> int:
        """Items that wait now."""
        return len(self._entries)

    @property
    def has_room(self) -> bool:
        """Whether one more item could be added."""
        return len(self._entries) < self._most_waiting

    def submit(self, items: Sequence[Item], *, urgent: bool = False) -> "list[Future[Result]]":
        """Add items, all of them or none.

        Args:
            urgent: whether they go before everything that waits, and wait for nothing themselves.

        Returns:
            A future for each; one that is cancelled before its turn costs nothing.

        Raises:
            Full: there is no room for all of them.
            Closed: after `close`.
        """
        entries: list[_Entry[Item, Result]] = [_Entry(item, urgent) for item in items]
        with self._changed:
            if not self._open:
                raise Closed
            waiting = len(self._entries)
            if waiting and waiting + len(entries) > self._most_waiting:
                raise Full(waiting * self._seconds_each / len(self._threads))
            if urgent:
                self._entries.extendleft(reversed(entries))
            else:
                self._entries.extend(entries)
            self._changed.notify_all()
        return [entry.future for entry in entries]

    def close(self) -> None:
        """Do what waits, then end the threads."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        self._starting()
        while batch := self._take():
            began = time.perf_counter()
            try:
                results: Sequence[Result | Exception] = self._work([entry.item for entry in batch])
            except Exception as error:
                # Whatever it is belongs to those who asked, where it is answered and logged; the thread must go on.
                results = [error] * len(batch)
            took = (time.perf_counter() - began) / len(batch)
            self._seconds_each = 0.8 * self._seconds_each + 0.2 * took
            for entry, result in zip(batch, results, strict=True):
                if isinstance(result, Exception):
                    entry.future.set_exception(result)
                else:
                    entry.future.set_result(result)
            with self._changed:
                self._under_way -= 1

    def _take(self) -> list[_Entry[Item, Result]]:
        """Wait for a batch; empty when the queue is closed and done."""
        with self._changed:
            while True:
                while self._open and not self._entries:
                    self._changed.wait()
                if not self._entries:
                    return []
                self._gather()
                if batch := self._popped():
                    self._under_way += 1
                    return batch

    def _gather(self) -> None:
        """Wait for one more item, and for another, until none comes for a while or there are enough."""
        begun = came = time.monotonic()
        gathered = len(self._entries)
        while self._gathers():
            patience = min(PATIENCE, self._seconds_each) if self._under_way else 0.0
            until = min(came + max(self._wait, patience), begun + MOST_PATIENCE)
            if (left := until - time.monotonic()) <= 0:
                return
            self._changed.wait(left)
            if len(self._entries) > gathered:
                came = time.monotonic()
            gathered = len(self._entries)

    def _gathers(self) -> bool:
        """Tell whether it is worth waiting for more."""
        few = 0 < len(self._entries) < self._most_together
        return self._open and few and not self._entries[0].urgent

    def _popped(self) -> list[_Entry[Item, Result]]:
        batch: list[_Entry[Item, Result]] = []
        while self._entries and len(batch) < self._most_together:
            entry = self._entries.popleft()
            if entry.future.set_running_or_notify_cancel():
                batch.append(entry)
        return batch
