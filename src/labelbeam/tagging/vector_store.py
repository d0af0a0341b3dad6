"""Stored image vectors: what the encoder says of images, kept by name, so that asking again touches no pixel.

    vectors.npy   float16 [images features], a row per image, NaN where it could not be read; `numpy.load` reads it
    names.jsonl   a line per row: name, time of change and size of the file, or why it could not be read
    encoder.json  what the vectors depend on beside the images

A result that belongs to the user, where `features.cache` is a memory of the program's. Rows are only ever added: the
vectors first, then their lines, so that a kill leaves rows without a line at most, which are overwritten. A file that
changed gets a new row; the last one of a name counts. Knows nothing of labels, and reads no image.
"""

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from jaxtyping import Float16, Shaped

from labelbeam.errors import InputError
from labelbeam.files import written_whole
from labelbeam.parsing import parse_json, read_json
from labelbeam.tagging.journal import lock_alone

VECTORS, NAMES, ENCODER = "vectors.npy", "names.jsonl", "encoder.json"

WRITTEN_TOGETHER = 256
"""Rows after which the files are written."""

_DIGEST = "S16"


class VectorStore:
    """The vectors of one encoder, in a folder.

    Memory is 40 bytes an image; the vectors stay on disk.

    Args:
        folder: made where it is not there and `write` is set.
        key: everything that vectors depend on beside the image.
        write: whether rows will be added; then no other process may.

    Raises:
        InputError: vectors of another encoder, files that are damaged, a folder without vectors that is only to be
            read, or another call that is writing.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with VectorStore(Path(folder), {"encoder": "tiny"}, num_features=2, write=True) as store:
        ...         store.add("a.jpg", (1, 2), np.array([1, 2], dtype=np.float16))
        ...     with VectorStore(Path(folder), {"encoder": "tiny"}, num_features=2) as store:
        ...         list(store.names()), store.find("a.jpg", (1, 2)).tolist(), store.find("a.jpg", (9, 2))
        (['a.jpg'], [1.0, 2.0], None)
    """

    def __init__(
        self, folder: Path, key: Mapping[str, str], *, num_features: int, write: bool = False
    ) -> None:
        self.folder = folder
        self._num_features, self._write = num_features, write
        self._open = ExitStack()
        self._waiting: list[tuple[str, tuple[int, int], Float16[np.ndarray, " features"] | str]] = []
        try:
            self._prepare(dict(key), num_features)
        except BaseException:
            self._open.close()  # the lock too
            raise

    def _prepare(self, key: dict[str, str], num_features: int) -> None:
        self._check_key(key)
        if self._write:
            # Opened for appending first: it makes the files.
            self._names = self._open.enter_context((self.folder / NAMES).open("a+b"))
            lock_alone(self._names, self.folder)
            self._values: IO[bytes] = self._open.enter_context((self.folder / VECTORS).open("a+b"))
        self._start = len(_header(0, num_features))
        self._rows = self._read_names()
        if self._write:
            self._cut_to_rows()
        self._stored = self._mapped()

    def __len__(self) -> int:
        return self._rows + len(self._waiting)

    def __enter__(self) -> "VectorStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._open:
            self.flush()

    def names(self) -> Iterator[str]:
        """Yield the name of each image that was there at the start, once, in the order in which they first came."""
        with (self.folder / NAMES).open("rb") as lines:
            for row, line in zip(range(len(self._digests)), lines, strict=False):
                name = parse_json(line, NAMES)["image"]
                if self._row_of(name, first=True) == row:
                    yield name

    def find(
        self, name: str, mark: tuple[int, int] | None = None
    ) -> Float16[np.ndarray, " features"] | str | None:
        """Return the vector of an image, or why it could not be read; None where it is not here.

        Args:
            name: as it was when it was added.
            mark: time of change (nanoseconds) and size (bytes) of the file now; one that changed is not here. None:
                whatever became of the file.
        """
        row = self._row_of(name)
        if row is None or (mark is not None and tuple(self._marks[row]) != mark):
            return None
        if row in self._errors:
            return self._errors[row]
        values: np.ndarray = self._stored[row].copy()
        return values

    def items(self, names: Iterable[str | Path]) -> Iterator[tuple[str, Float16[np.ndarray, "..."] | str]]:
        """Yield each name with its vector, or with why there is none: what `Tagger.tag_features` takes.

        Args:
            names: some of `names()`; the files need not be there any more.

        Raises:
            InputError: a name that is not here.
        """
        for name in names:
            found = self.find(str(name))
            if found is None:
                raise InputError(f"{self.folder} has no vector of {name}. Give --store with the images once.")
            yield str(name), found

    def add(self, name: str, mark: tuple[int, int], vector: Float16[np.ndarray, " features"] | str) -> None:
        """Add an image, or why it could not be read; found from the next opening on.

        Args:
            name: how it will be asked for.
            mark: as in `find`.
            vector: half precision, or a text instead.
        """
        self._waiting.append((name, mark, vector))
        if len(self._waiting) >= WRITTEN_TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Write what was added."""
        if not self._waiting:
            return
        block = np.full((len(self._waiting), self._num_features), np.nan, dtype=np.float16)
        lines = []
        for row, (name, (changed, size), vector) in enumerate(self._waiting):
            entry: dict[str, str | int] = {"image": name, "changed": changed, "size": size}
            if isinstance(vector, str):
                entry["error"] = vector
            else:
                block[row] = vector
            lines.append(json.dumps(entry) + "\n")
        self._values.write(block.tobytes())
        self._values.flush()
        self._names.write("".join(lines).encode())
        self._names.flush()
        self._rows += len(block)
        self._waiting.clear()
        self._write_header()

    def _check_key(self, key: dict[str, str]) -> None:
        file = self.folder / ENCODER
        about = {**key, "num_features": self._num_features}
        if not file.exists():
            if not self._write:
                raise InputError(
                    f"{self.folder} holds no vectors ({ENCODER} is not there). Give the images with --store once."
                )
            if self.folder.is_dir() and any(self.folder.iterdir()):
                raise InputError(f"--store {self.folder}: the folder holds other things. Give a new folder.")
            try:
                self.folder.mkdir(exist_ok=True)
            except OSError as error:
                raise InputError(
                    f"--store {self.folder} cannot be made ({error.strerror}). Give another folder."
                ) from error
            with written_whole(file) as part:
                part.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
            return
        try:
            before = read_json(file)
        except InputError as error:
            raise InputError(f"{error} Give --store a new folder.") from error
        if before != about:
            raise InputError(
                f"{self.folder} holds vectors of another encoder than this run's. Give --store another folder."
            )

    def _read_names(self) -> int:
        """Read names and marks of the rows that are whole; return their number."""
        names, vectors = self.folder / NAMES, self.folder / VECTORS
        there = vectors.stat().st_size - self._start if vectors.exists() else 0
        most = max(0, there) // (2 * self._num_features)
        digests, marks, self._errors = bytearray(), array("q"), {}
        self._names_size = 0
        for row, line in enumerate(_lines(names)):
            if row == most or not line.endswith(b"\n"):
                break
            try:
                entry = parse_json(line, NAMES)
                digests += _digest(entry["image"])
                marks.extend((entry["changed"], entry["size"]))
                if not isinstance(entry.get("error", ""), str):
                    raise TypeError("an error that is no text")
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
                raise InputError(
                    f"{names}, line {row + 1}, is damaged. Give --store a new folder."
                ) from error
            if "error" in entry:
                self._errors[row] = entry["error"]
            self._names_size += len(line)
        self._digests: Shaped[np.ndarray, " rows"] = np.frombuffer(bytes(digests), dtype=_DIGEST)
        self._marks = np.array(marks, dtype=np.int64).reshape(-1, 2)
        self._order = np.argsort(self._digests, kind="stable")
        self._sorted = self._digests[self._order]
        return len(self._digests)

    def _cut_to_rows(self) -> None:
        """Take away what a kill left behind the last row that has its line."""
        self._names.truncate(self._names_size)
        self._values.truncate(self._start + self._rows * 2 * self._num_features if self._rows else 0)
        if not self._rows:
            self._values.write(_header(0, self._num_features))
            self._values.flush()
        self._write_header()

    def _write_header(self) -> None:
        """Tell NumPy how many rows there are; files opened for appending cannot do it."""
        with (self.folder / VECTORS).open("r+b") as file:
            file.write(_header(self._rows, self._num_features))

    def _mapped(self) -> np.ndarray:
        shape = (self._rows, self._num_features)
        if not self._rows:
            return np.empty(shape, np.float16)
        return np.memmap(self.folder / VECTORS, np.float16, "r", offset=self._start, shape=shape)

    def _row_of(self, name: str, *, first: bool = False) -> int | None:
        """Return the last row of a name, or its first."""
        wanted = np.array([_digest(name)], dtype=_DIGEST)
        at = int(np.searchsorted(self._sorted, wanted, side="left" if first else "right")[0]) - (not first)
        if not 0 <= at < len(self._sorted) or self._sorted[at] != wanted[0]:
            return None
        return int(self._order[at])


def _lines(file: Path) -> Iterator[bytes]:
    if file.exists():
        with file.open("rb") as lines:
            yield from lines


def _digest(name: str) -> bytes:
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _header(rows: int, num_features: int) -> bytes:
    """Return the first bytes of an .npy file, 128 of them: version 1.0, padded with blanks."""
    header = f"{{'descr': '<f2', 'fortran_order': False, 'shape': ({rows}, {num_features}), }}"
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + header.ljust(117).encode() + b"\n"
