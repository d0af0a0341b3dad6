"""Which keywords of a photograph are a run's and which a person's, and the record of it: lines of JSON, one a file.

A person who takes a tag away is heard: it is not written again. Whoever moves it into a hierarchy of theirs owns it.
A job works on an index of it, so that memory does not grow with the number of files and a kill loses nothing; the
record itself appears whole, sorted, beside the outputs when the job ends.
"""

import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from labelbeam.errors import InputError
from labelbeam.files import written_whole
from labelbeam.formats.photo_metadata.keyword_lists import (
    Lists,
    entry_of,
    holds,
    label_levels,
    seeded,
)

ListChanges = dict[str, list[str] | None]
"""New entries of each list that changes; None: the list is taken out."""


@dataclass(frozen=True)
class OwnTags:
    """What runs wrote into one file, as far as it is theirs still.

    Attributes:
        image: the photograph that the file is about.
        run: name and fingerprint of the run that was the last to write.
        root: of hierarchies, above every label.
        wrote: the lists that hold a label, by label.
        seeds: what lists that a run made started with: keywords that the photograph had elsewhere.
        created: whether a run made the file.
        rejected: labels that a person took away, or rejected on the page.
        withdrawn: labels that went together with their whole list: not written again, but nobody's word on what is
            on the photograph.
    """

    image: str
    run: str = ""
    root: str = ""
    wrote: dict[str, list[str]] = field(default_factory=dict)
    seeds: Lists = field(default_factory=dict)
    created: bool = False
    rejected: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, without what is empty."""
        return {name: value for name, value in vars(self).items() if value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "OwnTags":
        """Return what `to_dict` was given."""
        pairs = {name: tuple(values.get(name, ())) for name in ("rejected", "withdrawn")}
        return cls(**{**values, **pairs})

    @property
    def unwanted(self) -> frozenset[str]:
        """Labels that are not written again."""
        return frozenset((*self.rejected, *self.withdrawn))

    def seen(self, lists: Lists | None) -> "OwnTags":
        """Return what is left of it in a file as it is now.

        Args:
            lists: what the file holds; None: it is gone, which says nothing about any label.

        Example:
            >>> own = OwnTags("a.jpg", wrote={"car": ["dc:subject"], "dog": ["dc:subject"]})
            >>> own.seen({"dc:subject": ["Anna", "car"]}).rejected
            ('dog',)
        """
        if lists is None:
            return replace(self, wrote={}, seeds={}, created=False)
        ours: dict[str, list[str]] = {}
        rejected, withdrawn = list(self.rejected), list(self.withdrawn)
        for label, names in self.wrote.items():
            kept = [name for name in names if entry_of(name, self._levels(label)) in lists.get(name, ())]
            if any(name not in kept and holds(name, lists.get(name, ()), label) for name in names):
                continue  # it has a place in a person's hierarchy now
            if any(name in lists and name not in kept for name in names):
                rejected.append(label)
                ours |= (
                    {label: kept} if kept else {}
                )  # left over in lists that the person's program does not know
            elif kept:
                ours[label] = kept
            else:
                withdrawn.append(label)
        seeds = {name: entries for name, entries in self.seeds.items() if name in lists}
        return replace(
            self,
            wrote=ours,
            seeds=seeds,
            rejected=tuple(dict.fromkeys(rejected)),
            withdrawn=tuple(label for label in dict.fromkeys(withdrawn) if label not in rejected),
        )

    def replaced(
        self,
        lists: Lists,
        labels: Iterable[str],
        *,
        names: Collection[str],
        elsewhere: Lists | None = None,
        root: str = "",
        run: str = "",
    ) -> tuple[ListChanges, "OwnTags"]:
        """Return what is to change so that a file holds other labels in place of its run's, and who owns what then.

        Args:
            lists: what the file holds now, which `seen` was given.
            labels: decided now; the unwanted are left out.
            elsewhere: lists that the photograph has elsewhere, which a first list in the file would hide.
            root: above every label in hierarchies.
        """
        wanted = [label for label in labels if label not in self.unwanted]
        after = {name: list(entries) for name, entries in lists.items()}
        ours = {label: list(held) for label, held in self.wrote.items()}
        for label, held in self.wrote.items():
            if label not in wanted or root != self.root:
                for name in held:
                    after[name].remove(entry_of(name, self._levels(label)))
                del ours[label]
        seeds = dict(self.seeds)
        there = after or elsewhere or {}
        new = [label for label in wanted if not any(holds(name, there[name], label) for name in there)]
        if new or ours:
            people = without(after, replace(self, wrote=ours)) or elsewhere or {}
            for name in names:
                if name not in after:
                    seeds[name] = seeded(name, people)
                    after[name] = list(seeds[name])
                for label in wanted:
                    if not holds(name, after[name], label):
                        after[name].append(entry_of(name, label_levels(label, root)))
                        ours.setdefault(label, []).append(name)
        changes: ListChanges = {
            name: entries for name, entries in after.items() if entries != lists.get(name)
        }
        if not ours:
            for name, entries in list(seeds.items()):
                if after.get(name) == entries:
                    changes[name] = None
                    del seeds[name]
        ordered = {label: ours[label] for label in dict.fromkeys((*wanted, *ours)) if label in ours}
        return changes, replace(self, run=run, root=root, wrote=ordered, seeds=seeds)

    def decided(
        self,
        lists: Lists,
        present: Collection[str],
        absent: Collection[str],
        *,
        names: Collection[str],
        elsewhere: Lists | None = None,
    ) -> tuple[ListChanges, "OwnTags"]:
        """Return what is to change where a person decided labels, and who owns what then.

        Args:
            lists: as `replaced` takes them.
            present: labels that are on the photograph: they are the person's from now on.
            absent: labels that are not.
            elsewhere: as `replaced` takes it.
        """
        there = {
            name: [entry for entry in entries if not any(holds(name, [entry], label) for label in absent)]
            for name, entries in (lists or elsewhere or {}).items()
        }
        after = {name: there[name] for name in lists}
        missing = any(not any(holds(name, there[name], label) for name in there) for label in present)
        # What is inside the photograph and no longer true is hidden by a sidecar that says the rest.
        if missing or (not lists and there != (elsewhere or {})):
            after |= {name: seeded(name, there) for name in names if name not in after}
        for name, entries in after.items():
            for label in present:
                if not holds(name, entries, label):
                    entries.append(entry_of(name, label_levels(label)))
        changes: ListChanges = {
            name: entries for name, entries in after.items() if entries != lists.get(name)
        }
        own = replace(
            self,
            wrote={label: held for label, held in self.wrote.items() if label not in {*present, *absent}},
            rejected=tuple(sorted({*self.rejected, *absent} - {*present})),
            withdrawn=tuple(sorted({*self.withdrawn} - {*present, *absent})),
        )
        return changes, own

    def _levels(self, label: str) -> tuple[str, ...]:
        return label_levels(label, self.root)


def without(lists: Lists, own: OwnTags) -> Lists:
    """Return lists without a run's entries."""
    entries = {
        name: [
            entry_of(name, label_levels(label, own.root)) for label, held in own.wrote.items() if name in held
        ]
        for name in lists
    }
    return {name: [entry for entry in held if entry not in entries[name]] for name, held in lists.items()}


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
            self._open.execute("BEGIN")
            with self._open:  # all or nothing
                rows = ((_key(file), _text(own)) for file, own in read_record(self.folder))
                self._open.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, NULL, NULL)", rows)

    def name(self, path: Path) -> str:
        """Return what the record calls a file: relative to its folder, or where it is elsewhere, in full."""
        place = place_of(path)
        return place.relative_to(self.folder).as_posix() if place.is_relative_to(self.folder) else str(place)

    def owned(self, path: Path, lists: Lists | None = None) -> OwnTags | None:
        """Return what runs wrote into a file; None: nothing.

        Args:
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
        for suffix in ("", "-wal", "-shm"):
            self._index.with_name(self._index.name + suffix).unlink(missing_ok=True)

    def close(self) -> None:
        """Leave the index where it is, to be gone on with."""
        self._open.close()


def _key(name: str) -> bytes:
    return os.fsencode(name)


def _text(own: OwnTags) -> str:
    return json.dumps(own.to_dict(), ensure_ascii=True)
