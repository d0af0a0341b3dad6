"""Decisions and how to take them back: a step is what one click or one bulk action changed.

Every function runs inside a transaction of the caller's. Steps that were taken back stay until something new is
decided, so they can be done again; all of it is in the file, so undo works after a restart too.
"""

import sqlite3
import time
from collections.abc import Iterable

from labelbeam.errors import InputError
from labelbeam.project.records import Change

Row = tuple[int, int, int | None, int | None]
"""Image, label id, value before, value after."""


def decide(connection: sqlite3.Connection, changes: Iterable[Change]) -> tuple[Change, ...]:
    """Decide labels, as one step.

    Args:
        connection: inside a transaction.
        changes: what is decided; of two for one label of one photograph the later counts.

    Returns:
        What was changed; empty where everything was so already, and then there is no step.

    Raises:
        InputError: an unknown photograph or label.
    """
    wanted = {(change.image, change.label): change for change in changes}
    rows = []
    for change in wanted.values():
        label = _label_id(connection, change.label)
        before = _value(connection, change.image, label)
        if before != change.value:
            rows.append((change.image, label, before, change.value))
    if not rows:
        return ()
    connection.execute("DELETE FROM steps WHERE undone = 1")
    step = connection.execute("INSERT INTO steps (made) VALUES (?)", (time.time(),)).lastrowid
    for row in rows:
        connection.execute("INSERT INTO changes VALUES (?, ?, ?, ?, ?)", (step, *row))
    return _apply(connection, [(image, label, after) for image, label, _, after in rows])


def undo(connection: sqlite3.Connection) -> tuple[Change, ...]:
    """Take the last step back.

    Returns:
        What is so now; empty where there is no step left.
    """
    found = connection.execute("SELECT max(id) FROM steps WHERE undone = 0").fetchone()[0]
    return () if found is None else _move(connection, found, undone=1)


def redo(connection: sqlite3.Connection) -> tuple[Change, ...]:
    """Do the step that was taken back last once more.

    Returns:
        What is so now; empty where there is none.
    """
    found = connection.execute("SELECT min(id) FROM steps WHERE undone = 1").fetchone()[0]
    return () if found is None else _move(connection, found, undone=0)


def waiting(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return how many steps can be taken back, and how many done again."""
    back, again = connection.execute(
        "SELECT count(*) FILTER (WHERE undone = 0), count(*) FILTER (WHERE undone = 1) FROM steps"
    ).fetchone()
    return back, again


def _move(connection: sqlite3.Connection, step: int, *, undone: int) -> tuple[Change, ...]:
    connection.execute("UPDATE steps SET undone = ? WHERE id = ?", (undone, step))
    column = "before" if undone else "after"
    rows = connection.execute(f"SELECT image, label, {column} FROM changes WHERE step = ?", (step,))
    return _apply(connection, rows.fetchall())


def _apply(connection: sqlite3.Connection, rows: Iterable[tuple[int, int, int | None]]) -> tuple[Change, ...]:
    done = []
    for image, label, value in rows:
        if value is None:
            connection.execute("DELETE FROM decisions WHERE image = ? AND label = ?", (image, label))
        else:
            connection.execute(
                "INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?)", (image, label, value, time.time())
            )
        name = connection.execute("SELECT name FROM labels WHERE id = ?", (label,)).fetchone()[0]
        done.append(Change(image, name, value))
    return tuple(done)


def _label_id(connection: sqlite3.Connection, name: str) -> int:
    found = connection.execute("SELECT id FROM labels WHERE name = ?", (name,)).fetchone()
    if found is None:
        raise InputError(f"the project has no label {name!r}. Add it first.")
    return int(found[0])


def _value(connection: sqlite3.Connection, image: int, label: int) -> int | None:
    if connection.execute("SELECT 1 FROM images WHERE id = ?", (image,)).fetchone() is None:
        raise InputError(f"the project has no photograph {image}. Load the page again.")
    found = connection.execute(
        "SELECT value FROM decisions WHERE image = ? AND label = ?", (image, label)
    ).fetchone()
    return None if found is None else int(found[0])
