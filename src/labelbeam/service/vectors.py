"""Feature vectors of images that were seen, kept for later clicks and for the same image again; bounded.

A vector's id depends on the image's content and on a key that this process made for itself: it says nothing
of the image, and nobody can ask whether somebody else has sent a certain photograph.
"""

import hashlib
import secrets
import threading
from collections import OrderedDict

import numpy as np


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
