"""Features on disk in half precision, in chunks that detect damage, found again by what they were made from.

One folder per encoder (architecture, options, hash of its weights), transform and precision; in it, append-only chunks
of rows keyed by a hash of the image file's bytes. A changed weight, setting or picture has another key, so nothing
stale can be served. Several processes may read and write at once: every writer makes chunks of its own, whole or not at
all. A value that half precision cannot hold is an error, never a saturated number.
"""

import hashlib
import json
import logging
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Float16, Float32
from safetensors.numpy import save

from labelbeam.errors import InputError
from labelbeam.files import written_whole
from labelbeam.parsing import parse_json

LARGEST = float(np.finfo(np.float16).max)
"""65504."""


def to_half(features: Float32[np.ndarray, "images features"]) -> Float16[np.ndarray, "images features"]:
    """Round features to float16.

    Returns:
        The same numbers to 11 significant bits; below 6e-8 they become 0.

    Raises:
        InputError: a value that is not finite, or beyond 65504.

    Example:
        >>> to_half(np.array([[0.1]], dtype=np.float32)).tolist()
        [[0.0999755859375]]
    """
    largest = np.abs(features).max(initial=0.0)
    if not largest <= LARGEST:  # also true of NaN
        raise InputError(
            f"the encoder gave a feature of {largest:g}; half precision holds up to {LARGEST:g}. Its "
            "weights and the normalisation in front of it (--mean, --std, --scale) probably do not belong together."
        )
    return features.astype(np.float16)


CHECKSUM = "blake2b_128"


def chunk_bytes(digests: Sequence[bytes], features: Float16[np.ndarray, "images features"]) -> bytes:
    """Return the content of a chunk file."""
    keys = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(len(digests), -1)
    features = np.ascontiguousarray(features)
    return save({"digests": keys, "features": features}, metadata={CHECKSUM: _checksum(keys, features)})


class Chunk:
    """A chunk file, mapped into memory.

    Args:
        num_features: columns it must have.

    Attributes:
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
                header = parse_json(file.read(header_size), "header")
            keys = self._mapped(header["digests"], "U8", np.dtype(np.uint8), 8 + header_size)
            self.features = self._mapped(header["features"], "F16", np.dtype("<f2"), 8 + header_size)
            self._stated = header["__metadata__"][CHECKSUM]
        except (KeyError, TypeError, AttributeError, InputError) as error:
            raise ValueError(f"its header cannot be read: {error}") from error
        if keys.ndim != 2 or keys.shape[1] != DIGEST_SIZE or self.features.shape != (len(keys), num_features):
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
    digest = hashlib.blake2b(np.ascontiguousarray(keys).data, digest_size=DIGEST_SIZE)
    digest.update(np.ascontiguousarray(features).data)
    return digest.hexdigest()


logger = logging.getLogger(__name__)

DIGEST_SIZE = 16
"""Bytes of an image's digest: blake2b of 128 bits over the file's bytes."""


def image_digest(content: bytes) -> bytes:
    """Return the key of an image: a 128-bit hash of its file's bytes.

    Example:
        >>> image_digest(b"").hex()
        'cae66941d9efbd404e4d88758ea67670'
    """
    return hashlib.blake2b(content, digest_size=DIGEST_SIZE).digest()


class FeatureCache:
    """The features of one encoder, transform and precision; safe to use from several threads.

    Args:
        root: folder of all feature caches; made on the first write.
        key: everything the features depend on beside the image; any difference is another cache.
        num_features: columns.
        rows_per_chunk: images after which a chunk is written.
        seconds: time after which one is written although it is not full.

    Raises:
        InputError: on writing, where the folder cannot be written or the disk is full.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     with FeatureCache(Path(root), {"encoder": "tiny"}, num_features=2) as cache:
        ...         cache.put(image_digest(b"a picture"), np.array([1, 2], dtype=np.float16))
        ...     again = FeatureCache(Path(root), {"encoder": "tiny"}, num_features=2)
        ...     again.get(image_digest(b"a picture")).tolist(), again.get(image_digest(b"another"))
        ([1.0, 2.0], None)
    """

    def __init__(
        self,
        root: Path,
        key: Mapping[str, str],
        *,
        num_features: int,
        rows_per_chunk: int = 512,
        seconds: float = 30.0,
    ) -> None:
        described = json.dumps(dict(key), sort_keys=True)
        name = hashlib.blake2b(described.encode(), digest_size=DIGEST_SIZE).hexdigest()
        self.folder = root / name
        self.problems: list[str] = []
        self._described = described
        self._num_features = num_features
        self._rows_per_chunk = rows_per_chunk
        self._seconds = seconds
        self._lock = threading.RLock()
        self._where: dict[bytes, tuple[Chunk, int]] = {}
        self._waiting: dict[bytes, Float16[np.ndarray, " features"]] = {}
        self._written_at = time.monotonic()
        for path in sorted(self.folder.glob("chunk-*.safetensors")):
            self._add_chunk(path)

    def get(self, digest: bytes) -> Float16[np.ndarray, " features"] | None:
        """Return the features of an image, None where they are not here (or were found damaged)."""
        with self._lock:
            waiting = self._waiting.get(digest)
            if waiting is not None:
                return waiting
            if digest not in self._where:
                return None
            chunk, row = self._where[digest]
            if not chunk.is_intact():
                self._where = {key: at for key, at in self._where.items() if at[0] is not chunk}
                self._discard(chunk.path, "its checksum does not agree")
                return None
            return chunk.features[row].copy()

    def put(self, digest: bytes, features: Float16[np.ndarray, " features"]) -> None:
        """Keep the features of an image; every so often a chunk is written.

        Raises:
            InputError: the cache's folder cannot be written or the disk is full.
        """
        if features.shape != (self._num_features,):
            raise ValueError(
                f"this cache holds {self._num_features} features an image, given {features.shape}."
            )
        with self._lock:
            if digest in self._where or digest in self._waiting:
                return
            self._waiting[digest] = features
            late = time.monotonic() - self._written_at > self._seconds
            if len(self._waiting) >= self._rows_per_chunk or late:
                self.flush()

    def flush(self) -> None:
        """Write what is not written yet, as one chunk.

        Raises:
            InputError: the cache's folder cannot be written or the disk is full; what was to be written is
                still served by `get`.
        """
        with self._lock:
            self._written_at = time.monotonic()
            if not self._waiting:
                return
            path = self.folder / f"chunk-{secrets.token_hex(8)}.safetensors"
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._describe()
                with written_whole(path) as part:
                    part.write_bytes(chunk_bytes(list(self._waiting), np.stack(list(self._waiting.values()))))
            except OSError as error:
                raise InputError(
                    f"the feature cache {self.folder} cannot be written ({error.strerror}). Set "
                    "LABELBEAM_CACHE to a folder that can be written and has space, or make room. What was "
                    "written before is kept."
                ) from error
            self._waiting.clear()
            self._add_chunk(path)

    def __len__(self) -> int:
        return len(self._where) + len(self._waiting)

    def __enter__(self) -> "FeatureCache":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.flush()
        except InputError:
            if error is None:  # else the first error is the one to report
                raise

    def _describe(self) -> None:
        """Leave a file that says, to people, what this folder's name is a hash of."""
        path = self.folder / "key.json"
        if not path.exists():
            with written_whole(path) as part:
                part.write_text(self._described + "\n", encoding="utf-8")

    def _add_chunk(self, path: Path) -> None:
        try:
            chunk = Chunk(path, num_features=self._num_features)
        except FileNotFoundError:  # another process found it damaged and took it away
            return
        except ValueError as error:
            self._discard(path, str(error))
            return
        for row, digest in enumerate(chunk.digests):
            self._where.setdefault(digest, (chunk, row))

    def _discard(self, path: Path, reason: str) -> None:
        """Report a damaged chunk and take it away; its images are then computed again."""
        problem = f"{path} is damaged ({reason}): its features are computed again."
        self.problems.append(problem)
        logger.warning(problem)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s could not be removed (%s); it is ignored.", path, error.strerror)
