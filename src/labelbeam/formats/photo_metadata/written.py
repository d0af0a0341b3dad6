"""The record of what runs wrote into which file: lines of JSON beside their outputs, one a file, sorted.

A job works on an index of it, so that memory does not grow with the number of files and a kill loses nothing; the
record itself appears whole when the job ends. Knows nothing of what lists of keywords mean.
"""

import json
import os
import sqlite3
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from labelbeam.errors import InputError
from labelbeam.files import written_whole
from labelbeam.formats.photo_metadata.keyword_lists import Lists
from labelbeam.formats.photo_metadata.own_tags import OwnTags

RECORD = "tags.written.jsonl"
"""The record's name."""


def record_folder(folder: Path) -> Path:
    """Return the folder whose record is to be used for outputs in a folder: it, or the next above that has one."""
    here = folder.resolve()
    return next((one for one in (here, *here.parents) if (one / RECORD).is_file()), here)


def place_of(path: Path) -> Path:
    """Return where a file is, links to folders followed; a file that is a link itself keeps its own name."""
    return path.parent.resolve() / path.name


def read_record(folder: Path) -> Iterator[tuple[str, OwnTags]]:
    """Yield the files of a record, relative to its folder, with what runs wrote into them; none without a record.

    Raises:
        InputError: a line that is no record's.
    """
    record = folder / RECORD
    if not record.is_file():
        return
    with record.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                fields = json.loads(line)
                yield fields.pop("file"), OwnTags.from_dict(fields)
            except (ValueError, KeyError, TypeError, AttributeError):
                raise InputError(
                    f"{record}, line {number}: no line of the record of what runs wrote. Repair it, or move the file "
                    "away: tags of earlier runs then count as written by people."
                ) from None


class WrittenTags:
    r"""The record, open for a job.

    Attributes:
        folder: of the record; files are relative to it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = WrittenTags(Path(folder))
        ...     written.keep(Path(folder, "a.jpg.xmp"), OwnTags("a.jpg", wrote={"dog": ["dc:subject"]}))
        ...     written.finish()
        ...     Path(folder, RECORD).read_text()
        '{"file": "a.jpg.xmp", "image": "a.jpg", "wrote": {"dog": ["dc:subject"]}}\n'
    """

    def __init__(self, folder: Path) -> None:
        """Open the record; an index that a job left behind when it was killed is gone on with.

        Args:
            folder: of the record; there need be none yet.

        Raises:
            InputError: a damaged record, or one that another call is writing.
        """
        self.folder = folder.resolve()
        self._index = self.folder / (RECORD + ".partial")
        fresh = not self._index.exists()
        try:
            self._open = sqlite3.connect(self._index, isolation_level=None, timeout=0)
            self._begin(fresh=fresh)
        except sqlite3.OperationalError as error:
            raise InputError(
                f"{self.folder / RECORD}, the record of what runs wrote, cannot be written now ({error}). Wait for "
                "another call that writes there, or change the folder's permissions."
            ) from None
        except sqlite3.DatabaseError as error:
            raise InputError(f"{self._index} is damaged ({error}). Move it away.") from None

    def _begin(self, *, fresh: bool) -> None:
        # A kill of the process loses nothing; and without shared memory this works on any file system.
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = OFF"):
            self._open.execute(f"PRAGMA {pragma}")
        self._open.execute(
            "CREATE TABLE IF NOT EXISTS files (file BLOB PRIMARY KEY, own TEXT, before TEXT, lists TEXT) "
            "WITHOUT ROWID"
        )
        if fresh:
            with self._all_or_nothing():
                rows = ((_key(file), _text(own)) for file, own in read_record(self.folder))
                self._open.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, NULL, NULL)", rows)

    def name(self, path: Path) -> str:
        """Return what the record calls a file: relative to its folder, or where it is elsewhere, in full."""
        place = place_of(path)
        return place.relative_to(self.folder).as_posix() if place.is_relative_to(self.folder) else str(place)

    def owned(self, path: Path, lists: Lists | None = None) -> OwnTags | None:
        """Return what runs wrote into a file; None: nothing.

        Args:
            path: the file.
            lists: what is in it now: after a kill it shows whether the last change was still made.
        """
        row = self._open.execute(
            "SELECT own, before, lists FROM files WHERE file = ?", (_key(self.name(path)),)
        )
        found = row.fetchone()
        if found is None:
            return None
        own, before, was = found
        if was is not None and json.loads(was) == lists:
            own = before
        return None if own is None else OwnTags.from_dict(json.loads(own))

    def intend(self, path: Path, own: OwnTags, *, before: OwnTags | None, lists: Lists | None) -> None:
        """Keep what a file is about to hold; `keep` says that it does.

        Args:
            path: the file.
            own: what runs will have written into it.
            before: what they have until now.
            lists: what it holds until now.
        """
        was = None if before is None else _text(before)
        row = (_key(self.name(path)), _text(own), was, json.dumps(lists))
        self._open.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", row)

    def keep(self, path: Path, own: OwnTags | None) -> None:
        """Keep what runs wrote into a file; None: nothing any more."""
        key = _key(self.name(path))
        if own is None:
            self._open.execute("DELETE FROM files WHERE file = ?", (key,))
        else:
            self._open.execute("INSERT OR REPLACE INTO files VALUES (?, ?, NULL, NULL)", (key, _text(own)))

    def all(self) -> Iterator[tuple[Path, OwnTags]]:
        """Yield every file with what runs wrote into it, sorted."""
        for file, own in self._open.execute("SELECT file, own FROM files ORDER BY file").fetchall():
            yield self.folder / os.fsdecode(file), OwnTags.from_dict(json.loads(own))

    def finish(self) -> None:
        """Write the record, and remove the index."""
        rows = self._open.execute("SELECT file, own FROM files ORDER BY file")
        first = rows.fetchone()
        record = self.folder / RECORD
        if first is None:
            record.unlink(missing_ok=True)
        else:
            with written_whole(record) as part, part.open("w", encoding="utf-8", newline="\n") as lines:
                for file, own in chain([first], rows):
                    line = {"file": os.fsdecode(file), **json.loads(own)}
                    text = json.dumps(line, ensure_ascii=False)
                    lines.write(text.encode("utf-8", "backslashreplace").decode() + "\n")
        self.close()
        self._remove_index()

    def close(self) -> None:
        """Leave the index where it is, to be gone on with."""
        self._open.close()

    def _remove_index(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._index.with_name(self._index.name + suffix).unlink(missing_ok=True)

    def _all_or_nothing(self) -> sqlite3.Connection:
        self._open.execute("BEGIN")
        return self._open


def _key(name: str) -> bytes:
    return os.fsencode(name)


def _text(own: OwnTags) -> str:
    return json.dumps(own.to_dict(), ensure_ascii=True)
