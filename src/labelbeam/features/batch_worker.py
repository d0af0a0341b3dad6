"""What one thread of an extraction does: a few files, from their names to features.

Reads each file once, hashes it, looks its features up, and takes what is missing through decoding, transform
and network; a picture that another thread has under way is waited for, not computed twice. Knows nothing of the
order of files or of how many there are (`features.extract`).
"""

import threading
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float16

from labelbeam.data.images import UnreadableImage, image_content, read_rgb_bytes
from labelbeam.encoders.encoder import Encoder
from labelbeam.features.cache import FeatureCache, image_digest
from labelbeam.features.half_precision import to_half


@dataclass(frozen=True)
class ImageFeatures:
    """What became of one file: features, or an error.

    Attributes:
        path: the file.
        features: float16 [features]; None where there is an error.
        error: why it could not be read; None where there are features.
    """

    path: Path
    features: Float16[np.ndarray, " features"] | None
    error: UnreadableImage | None = None


class Memory(dict[bytes, np.ndarray]):
    """Stands in for a cache on disk: remembers while an extraction lasts, or remembers nothing."""

    def __init__(self, *, remember: bool) -> None:
        super().__init__()
        self._remember = remember

    def put(self, digest: bytes, features: np.ndarray) -> None:
        """Keep the features of an image, or let them go."""
        if self._remember:
            self[digest] = features

    def __enter__(self) -> "Memory":
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()


class BatchWorker:
    """Takes a few files from names to features; called by several threads at once."""

    def __init__(self, encoder: Encoder, store: FeatureCache | Memory) -> None:
        self._encoder = encoder
        self._store = store
        self._lock = threading.Lock()
        self._claimed: dict[bytes, Future[np.ndarray | None]] = {}

    def __call__(self, paths: list[Path]) -> list[ImageFeatures]:
        """Return what became of each file, in the order given.

        Raises:
            InputError: the cache cannot be written, or a feature does not fit half precision.
        """
        done: dict[int, ImageFeatures] = {}
        waiting: list[tuple[int, bytes, Future[np.ndarray | None]]] = []
        mine: list[tuple[int, bytes, np.ndarray]] = []
        promised: set[bytes] = set()
        try:
            for i, path in enumerate(paths):
                try:
                    content = image_content(path)
                    digest = image_digest(content)
                    if (found := self._store.get(digest)) is not None:
                        done[i] = ImageFeatures(path, found)
                    elif (theirs := self._claim(digest)) is not None:
                        waiting.append((i, digest, theirs))
                    elif (found := self._store.get(digest)) is not None:
                        # Another thread finished it between the look and the claim.
                        self._release(digest, found)
                        done[i] = ImageFeatures(path, found)
                    else:
                        promised.add(digest)
                        mine.append((i, digest, self._pixels(content, path)))
                except UnreadableImage as error:
                    done[i] = ImageFeatures(path, None, error)
            for (i, digest, _), features in zip(
                mine, self._encode([pixels for *_, pixels in mine]), strict=True
            ):
                self._store.put(digest, features)
                done[i] = ImageFeatures(paths[i], features)
                promised.discard(digest)
                self._release(digest, features)
        finally:
            for digest in promised:  # nobody must wait for what will not come
                self._release(digest, None)
        for i, _, theirs in waiting:
            features = theirs.result()
            # A copy whose first reader failed is read on its own account, for its own error message.
            done[i] = ImageFeatures(paths[i], features) if features is not None else self([paths[i]])[0]
        return [done[i] for i in range(len(paths))]

    def _claim(self, digest: bytes) -> "Future[np.ndarray | None] | None":
        """Take on a picture, or return the future of whoever has it already."""
        with self._lock:
            theirs = self._claimed.get(digest)
            if theirs is None:
                self._claimed[digest] = Future()
            return theirs

    def _release(self, digest: bytes, features: np.ndarray | None) -> None:
        with self._lock:
            claim = self._claimed.pop(digest, None)
        if claim is not None:
            claim.set_result(features)

    def _pixels(self, content: bytes, path: Path) -> np.ndarray:
        """Return uint8 [3 size size], of the very bytes that were hashed."""
        transform = self._encoder.preprocess
        return transform.resized(read_rgb_bytes(content, path, at_least=transform.enough))

    def _encode(
        self, pictures: list[np.ndarray]
    ) -> Float16[np.ndarray, "images features"] | list[np.ndarray]:
        return to_half(self._encoder.encode(np.stack(pictures))) if pictures else []
