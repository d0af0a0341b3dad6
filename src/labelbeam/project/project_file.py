"""A project: photographs, labels and decisions in one SQLite file, each change on the disk before it counts.

What the service writes while a person tags and what `project:FILE` reads. One process may serve it while others
read it. Knows nothing of models, pages and requests.
"""

import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float16

from labelbeam.data.images import UnreadableImage, image_content
from labelbeam.errors import InputError
from labelbeam.files import is_folder
from labelbeam.labels.vocabulary import ABSENT
from labelbeam.project import history, schema

PHOTOGRAPHS = "SELECT id, name, file, hash, added, complete FROM images"


class Project:
    """An open project file.

    Attributes:
        images: the folder of the photographs that the project holds.
        named: folders whose photographs may be read whatever became of them: those that the user named, not the file.
        id: 16 hexadecimal digits, drawn when the project was made.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with Project(Path(folder, "holiday.lbp")) as project:
        ...         project.add_labels(["boat", "sea"])
        ...         project.labels()
        ('boat', 'sea')
        ('boat', 'sea')
    """

    def __init__(self, path: Path) -> None:
        """Open a project; a file that is not there is made.

        Raises:
            InputError: its folder is missing, or the file is damaged, foreign, or of a newer labelbeam.
        """
        if not is_folder(path.parent):
            raise InputError(
                f"the project {path} cannot be made: there is no folder {path.parent}. Make it first."
            )
        if is_folder(path):
            raise InputError(
                f"{path} is a folder; a project is a file. Name one, such as {path / 'photos.lbp'}."
            )
        self.path, self.images = path, schema.images_folder(path)
        self.named: list[Path] = []
        self._connection = schema.connect(path)
        self._lock = threading.RLock()
        if not (found := self._all("SELECT id FROM project")) or not isinstance(found[0][0], str):
            raise InputError(
                f"{path} is a damaged project (it has no id). Give a copy of it from before the damage."
            )
        self.id: str = found[0][0]

    def __enter__(self) -> "Project":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; nothing is lost without it."""
        with self._lock:
            self._connection.close()

    def labels(self) -> tuple[str, ...]:
        """Return every label's name, in the order of adding."""
        return tuple(name for (name,) in self._all("SELECT name FROM labels WHERE hidden = 0 ORDER BY id"))

    def add_labels(self, names: Iterable[str]) -> tuple[str, ...]:
        """Add labels; those that are there stay as they are, and one that became part of another is a label again.

        The last is a step; a label that never was there is none, because no other step says anything of it.

        Raises:
            InputError: an empty name, one too long, a control character, or the name of a special token.
        """
        cleaned = schema.label_names(names)
        with self._transaction() as connection:
            history.add_labels(connection, cleaned)
        return cleaned

    def add_photograph(self, content: bytes, *, name: str) -> schema.Photograph:
        """Add a photograph's bytes; one that is there already is returned as it is.

        One that was removed is back, which is a step.

        Args:
            content: the file's bytes, which could be decoded.
            name: what its owner calls it; kept for showing, never used as a path.
        """
        hash_ = schema.content_hash(content)
        with self._transaction() as connection:
            history.bring_back(connection, hash_)
        found = self._by_hash(hash_)
        if found is not None:
            return found
        file = schema.store(self.images, content)
        return self._insert(hash_, name=name, file=file, added=True)

    def add_reference(self, path: Path, *, name: str) -> schema.Photograph:
        """Add a photograph that stays where it is; one that is there already, or was removed, is returned as it is.

        Raises:
            UnreadableImage: the file cannot be read, or is no image.
        """
        hash_ = schema.content_hash(image_content(path))
        found = self._by_hash(hash_)
        if found is not None:
            return found
        return self._insert(hash_, name=name, file=str(path.resolve()), added=False)

    def content(self, photograph: schema.Photograph) -> bytes:
        """Return the bytes of a photograph.

        A project from somebody else may name any file of this machine. So one outside of the project's own folder and
        of those in `named` is read only where it is what was added: who wrote its hash had its content.

        Raises:
            UnreadableImage: it is gone, no image, or another file than was added.
        """
        content = image_content(photograph.path)
        inside = [folder for folder in (self.images, *self.named) if _below(photograph.path, folder)]
        if not inside and schema.content_hash(content) != photograph.hash:
            raise UnreadableImage(
                Path(photograph.name),
                "it was changed since it was added. Name its folder with --images to have it again.",
            )
        return content

    def photographs(self) -> tuple[schema.Photograph, ...]:
        """Return every photograph, in the order of adding."""
        rows = self._all(f"{PHOTOGRAPHS} WHERE removed = 0 ORDER BY id")
        return tuple(self._photograph(row) for row in rows)

    def newest(self) -> int:
        """Return the number of the photograph added last, 0 where there is none; one that left counts too."""
        return int(self._all("SELECT coalesce(max(id), 0) FROM images")[0][0])

    def photograph(self, image: int) -> schema.Photograph:
        """Return a photograph.

        Raises:
            InputError: there is none of that number.
        """
        if not (rows := self._all(f"{PHOTOGRAPHS} WHERE removed = 0 AND id = ?", image)):
            raise InputError(f"the project has no photograph {image}. Load the page again.")
        return self._photograph(rows[0])

    def decisions(self, image: int | None = None) -> dict[int, dict[str, int]]:
        """Return what is decided, the earliest decision first.

        Args:
            image: of this photograph only; None: of all.

        Returns:
            By photograph, label names with PRESENT or ABSENT; photographs without a decision are missing.
        """
        query = (
            "SELECT image, labels.name, value FROM decisions JOIN labels ON labels.id = label "
            "JOIN images ON images.id = image WHERE removed = 0 AND hidden = 0"
        )
        rows = (
            self._all(f"{query} ORDER BY decided, label")
            if image is None
            else self._all(f"{query} AND image = ? ORDER BY decided, label", image)
        )
        decided: dict[int, dict[str, int]] = {}
        for number, name, value in rows:
            decided.setdefault(number, {})[name] = value
        return decided

    def known(self) -> dict[int, dict[str, int]]:
        """Return what is known of the labels that are decided anywhere: decisions, and what complete photographs lack.

        A label that nobody decided is absent there, if it was a label already when they were marked as complete.

        Returns:
            By photograph, label names with PRESENT or ABSENT; photographs of which nothing is known are missing.
        """
        with self._lock:
            found = self.decisions()
            used = {name for row in found.values() for name in row}
            labels = [row for row in self._all("SELECT id, name FROM labels ORDER BY id") if row[1] in used]
            complete = self._all(
                "SELECT id, complete FROM images WHERE removed = 0 AND complete IS NOT NULL ORDER BY id"
            )
        for image, last in complete:
            if lacked := {name: ABSENT for number, name in labels if number <= last}:
                found[image] = lacked | found.get(image, {})
        return found

    def decide(self, changes: Iterable[schema.Change]) -> schema.Step:
        """Decide labels as one step, on the disk when this returns.

        Raises:
            InputError: an unknown photograph or label; nothing is changed then.
        """
        with self._transaction() as connection:
            return history.decide(connection, changes)

    def complete(self, images: Iterable[int], *, value: bool = True) -> schema.Step:
        """Say that nothing else is on photographs, or take that back, as one step; see `history.complete`."""
        with self._transaction() as connection:
            return history.complete(connection, images, value=value)

    def remove(self, images: Iterable[int]) -> schema.Step:
        """Take photographs out of the project as one step; see `history.remove`. No file is deleted."""
        with self._transaction() as connection:
            return history.remove(connection, images)

    def rename(self, label: str, to: str) -> schema.Step:
        """Give a label another name, or make it one with another label, as one step; see `history.rename`."""
        (name,) = schema.label_names([to])
        with self._transaction() as connection:
            return history.rename(connection, label, name)

    def undo(self, step: int | None = None) -> schema.Step:
        """Take the last step back; see `history.undo`."""
        with self._transaction() as connection:
            return history.undo(connection, step)

    def redo(self, step: int | None = None) -> schema.Step:
        """Do the step taken back last again; see `history.redo`."""
        with self._transaction() as connection:
            return history.redo(connection, step)

    def turns(self) -> tuple[int | None, int | None]:
        """Return the numbers of the steps that undo and redo would turn; None where there is none."""
        with self._alone() as connection:
            return history.turns(connection)

    def features(self, image: int, encoder: str) -> Float16[np.ndarray, " features"] | None:
        """Return what an encoder said of a photograph; None where it was not asked yet."""
        query = "SELECT vector FROM features WHERE image = ? AND encoder = ?"
        rows = self._all(query, image, encoder)
        if not rows or not isinstance(rows[0][0], bytes) or len(rows[0][0]) % 2:
            return None
        return np.frombuffer(rows[0][0], dtype="<f2").astype(np.float16)

    def keep_features(self, image: int, encoder: str, features: Float[np.ndarray, " features"]) -> None:
        """Keep what an encoder says of a photograph; half precision."""
        vector = features.astype("<f2").tobytes()
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", (image, encoder, vector))

    def _insert(self, hash_: str, *, name: str, file: str, added: bool) -> schema.Photograph:
        row = (hash_, schema.photograph_name(name), _stored(file), int(added))
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO images (hash, name, file, added) VALUES (?, ?, ?, ?)", row
            )
        found = self._by_hash(hash_)
        if found is None:  # cannot be: it was committed a moment ago
            raise RuntimeError("a photograph that was added is not in the project")
        return found

    def _by_hash(self, hash_: str) -> schema.Photograph | None:
        rows = self._all(f"{PHOTOGRAPHS} WHERE hash = ?", hash_)
        return self._photograph(rows[0]) if rows else None

    def _photograph(self, row: tuple[int, str, str | bytes, str, int, int | None]) -> schema.Photograph:
        image, name, file, hash_, added, complete = row
        path = self.images / os.fsdecode(file) if added else Path(os.fsdecode(file))
        return schema.Photograph(image, name, path, hash_, bool(added), complete is not None)

    def _all(self, query: str, *values: object) -> list[tuple]:
        with self._alone() as connection:
            return connection.execute(query, values).fetchall()

    @contextmanager
    def _alone(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection to one thread at a time; what the disk or another program refuses is an `InputError`."""
        if not self._lock.acquire(timeout=schema.PATIENCE):
            raise schema.Unavailable(f"the project {self.path.name} is busy. Try again.")
        try:
            yield self._connection
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise schema.database_error(error, self.path) from error
        finally:
            self._lock.release()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection inside a transaction that is committed, on the disk, when the block ends."""
        with self._alone() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


def _below(path: Path, folder: Path) -> bool:
    return Path(os.path.abspath(path)).is_relative_to(folder.absolute())  # noqa: PTH100  links are not followed


def _stored(file: str) -> str | bytes:
    """Return a path as the file can hold it: one that is not UTF-8, which Linux allows, as bytes."""
    try:
        file.encode()
    except UnicodeEncodeError:
        return os.fsencode(file)
    return file


@contextmanager
def temporary_project() -> Iterator[Project]:
    """Yield a project that is gone when the block ends."""
    with (
        tempfile.TemporaryDirectory(prefix="labelbeam-") as folder,
        Project(Path(folder, "unsaved")) as project,
    ):
        yield project
