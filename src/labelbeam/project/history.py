"""Steps and how to take them back: a step is what one click or one bulk action changed, row by row.

Every function runs inside a transaction of the caller's. Steps that were taken back stay until something new is
done, so they can be done again; all of it is in the file, so undo works after a restart too. Who takes a step back
says which: asked twice, because an answer was lost, it is taken back once. Knows only what is before and after, not
what it is good for (`project.actions`).
"""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from labelbeam.errors import InputError
from labelbeam.project.records import Change, Step


class Row(NamedTuple):
    """One thing that a step changes.

    Attributes:
        what: `decision`; `complete` or `removed` of a photograph; `hidden` of a label; `swap`: two labels exchange
            their names, and again when it is taken back.
        image: its number; 0 of none.
        label: its number; 0 of none.
        before: value; of a swap, the other label.
        after: value; of a swap, the other label.
    """

    what: str
    image: int
    label: int
    before: int | None
    after: int | None


MARKS = {
    "complete": "UPDATE images SET complete = :value WHERE id = :image",
    "removed": "UPDATE images SET removed = :value WHERE id = :image",
    "hidden": "UPDATE labels SET hidden = :value WHERE id = :label",
}


def record(connection: sqlite3.Connection, rows: Sequence[Row]) -> Step:
    """Do something as one step.

    Args:
        connection: inside a transaction.
        rows: what changes; where nothing does, there is no step.

    Returns:
        What was changed.
    """
    if not rows:
        return Step()
    connection.execute("DELETE FROM steps WHERE undone = 1")
    connection.execute("UPDATE project SET last_step = last_step + 1")
    step = connection.execute("SELECT last_step FROM project").fetchone()[0]
    connection.execute("INSERT INTO steps (id, made) VALUES (?, ?)", (step, time.time()))
    connection.executemany(
        "INSERT INTO changes (step, what, image, label, before, after) VALUES (?, ?, ?, ?, ?, ?)",
        [(step, *row) for row in rows],
    )
    _apply(connection, ((row, row.after) for row in rows))
    return _as_it_is(connection, rows)


def turns(connection: sqlite3.Connection) -> tuple[int | None, int | None]:
    """Return the numbers of the steps that undo and redo would turn; None where there is none."""
    back, again = connection.execute(
        "SELECT max(id) FILTER (WHERE undone = 0), min(id) FILTER (WHERE undone = 1) FROM steps"
    ).fetchone()
    return back, again


def undo(connection: sqlite3.Connection, step: int | None = None) -> Step:
    """Take the last step back.

    Args:
        connection: inside a transaction.
        step: its number; one that is taken back already stays so. None: whichever is the last.

    Returns:
        What it was about, as it is now; nothing where there is no step left.

    Raises:
        InputError: that step is gone, or not the last.
    """
    return _turn(connection, step, turns(connection)[0], undone=1)


def redo(connection: sqlite3.Connection, step: int | None = None) -> Step:
    """Do the step that was taken back last once more; arguments, result and errors as those of `undo`."""
    return _turn(connection, step, turns(connection)[1], undone=0)


def _turn(connection: sqlite3.Connection, step: int | None, due: int | None, *, undone: int) -> Step:
    step = due if step is None else step
    if step is None:
        return Step()
    stored = connection.execute(
        "SELECT what, image, label, before, after FROM changes WHERE step = ?", (step,)
    )
    rows = [Row(*row) for row in stored]
    if step == due:
        connection.execute("UPDATE steps SET undone = ? WHERE id = ?", (undone, step))
        ordered = reversed(rows) if undone else iter(rows)
        _apply(connection, ((row, row.before if undone else row.after) for row in ordered))
    elif connection.execute("SELECT undone FROM steps WHERE id = ?", (step,)).fetchone() != (undone,):
        done = "taken back" if undone else "done again"
        raise InputError(
            f"step {step} cannot be {done} now: something else was changed meanwhile. Load the page again."
        )
    return _as_it_is(connection, rows)


def _apply(connection: sqlite3.Connection, rows: Iterable[tuple[Row, int | None]]) -> None:
    for row, value in rows:
        if row.what == "decision":
            _decide(connection, row.image, row.label, value)
        elif row.what == "swap":
            _swap(connection, row.label, value)
        else:
            connection.execute(MARKS[row.what], {"value": value, "image": row.image, "label": row.label})


def _decide(connection: sqlite3.Connection, image: int, label: int, value: int | None) -> None:
    if value is None:
        connection.execute("DELETE FROM decisions WHERE image = ? AND label = ?", (image, label))
    else:
        connection.execute(
            "INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?)", (image, label, value, time.time())
        )


def _swap(connection: sqlite3.Connection, label: int, other: int | None) -> None:
    names = dict(connection.execute("SELECT id, name FROM labels WHERE id IN (?, ?)", (label, other)))
    between = [("", label), (names[label], other), (names[other], label)]  # no label is called ""
    connection.executemany("UPDATE labels SET name = ? WHERE id = ?", between)


def _as_it_is(connection: sqlite3.Connection, rows: Sequence[Row]) -> Step:
    changes = []
    for row in rows:
        if row.what == "decision":
            name, value = connection.execute(
                "SELECT name, (SELECT value FROM decisions WHERE image = ? AND label = labels.id) "
                "FROM labels WHERE id = ?",
                (row.image, row.label),
            ).fetchone()
            changes.append(Change(row.image, name, value))
    return Step(tuple(changes), others=len(changes) < len(rows))
