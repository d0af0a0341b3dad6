"""Bytes of uploads to features, and features to predictions, in the one thread that may touch the model."""

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

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

# Bytes of uploads to features, some images at a time: look, decode, resize, encode.
#
# The content decides what an upload is, never its name or the type that the client says. What a decoder
# would choke on is refused before it is decoded. Called in the threads of `service.batches`; knows nothing
# of requests.

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


# Features to predictions, and every other question to the model, in the one thread that may touch the
# searches.
#
# A label model's searches share a trie that is made for one thread; images of several clients that are
# decided alike are searched together, which costs a fraction of one by one. Called in that thread by
# `service.batches`.


@dataclass(frozen=True)
class Encoded:
    """An image to be answered.

    Attributes:
        name: of the image.
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
