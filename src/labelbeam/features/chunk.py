"""One chunk of cached features: a safetensors file that can tell whether it is intact.

Holds `digests` uint8 [images 16] and `features` float16 [images features], and in its metadata a checksum of
both. Mapped, not read: a row costs what a row costs. Knows nothing of what the digests are digests of.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float16
from safetensors.numpy import save

CHECKSUM = "blake2b_128"


def chunk_bytes(digests: Sequence[bytes], features: Float16[np.ndarray, "images features"]) -> bytes:
    """Return the content of a chunk file.

    Args:
        digests: one of 16 bytes per image.
        features: one row per image.

    Returns:
        A whole safetensors file.
    """
    keys = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(len(digests), -1)
    features = np.ascontiguousarray(features)
    return save({"digests": keys, "features": features}, metadata={CHECKSUM: _checksum(keys, features)})


class Chunk:
    """A chunk file, mapped into memory.

    Args:
        path: the file.
        num_features: columns it must have.

    Attributes:
        path: the file.
        digests: one of 16 bytes per image.
        features: float16 [images features], read-only; to be used only if `is_intact()`.

    Raises:
        FileNotFoundError: it is gone.
        ValueError: it is cut short or not a chunk.
    """

    def __init__(self, path: Path, *, num_features: int) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                header_size = int.from_bytes(file.read(8), "little")
                if header_size > path.stat().st_size:
                    raise ValueError("its header is longer than the file")
                header = json.loads(file.read(header_size))
            keys = self._mapped(header["digests"], "U8", np.dtype(np.uint8), 8 + header_size)
            self.features = self._mapped(header["features"], "F16", np.dtype("<f2"), 8 + header_size)
            self._stated = header["__metadata__"][CHECKSUM]
        except (KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"its header cannot be read: {error}") from error
        if keys.ndim != 2 or keys.shape[1] != 16 or self.features.shape != (len(keys), num_features):
            raise ValueError(f"it holds {list(keys.shape)} digests and {list(self.features.shape)} features")
        self._keys = keys
        self.digests = [row.tobytes() for row in keys]
        self._intact: bool | None = None

    def is_intact(self) -> bool:
        """Say whether digests and features are what was written; looked at once, on first use."""
        if self._intact is None:
            self._intact = _checksum(self._keys, self.features) == self._stated
        return self._intact

    def _mapped(self, entry: dict, kind: str, dtype: np.dtype, start: int) -> np.ndarray:
        begin, end = entry["data_offsets"]
        shape = tuple(entry["shape"])
        if entry["dtype"] != kind or end - begin != dtype.itemsize * int(np.prod(shape)) or begin == end:
            raise ValueError("its header does not describe a chunk")
        if start + end > self.path.stat().st_size:
            raise ValueError("it is cut short")
        return np.memmap(self.path, dtype=dtype, mode="r", offset=start + begin, shape=shape)


def _checksum(keys: np.ndarray, features: np.ndarray) -> str:
    digest = hashlib.blake2b(np.ascontiguousarray(keys).data, digest_size=16)
    digest.update(np.ascontiguousarray(features).data)
    return digest.hexdigest()
