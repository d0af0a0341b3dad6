"""Steps of a person in a project, row by row, and how to take them back.

A step is what one click or one bulk action changed. Steps that were taken back stay until something new is done, so
they can be done again, after a restart too. Who takes a step back says which, so that asked twice, because an answer
was lost, it is taken back once. Every function runs inside a transaction of the caller's.
"""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import PRESENT
from labelbeam.project.schema import Change, Step


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
    """Do something as one step."""
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


def decide(connection: sqlite3.Connection, changes: Iterable[Change]) -> Step:
    """Decide labels.

    Returns:
        What was changed; empty where everything was so already, and then there is no step.

    Raises:
        InputError: an unknown photograph or label.
    """
    wanted = {(change.image, change.label): change for change in changes}
    rows = []
    for change in wanted.values():
        label = _label(connection, change.label)
        if label is None:
            raise InputError(f"the project has no label {change.label!r}. Add it first.")
        if _photograph(connection, change.image)["removed"]:
            raise _no_photograph(change.image)
        before = _value(connection, change.image, label)
        if before != change.value:
            rows.append(Row("decision", change.image, label, before, change.value))
    return record(connection, rows)


def complete(connection: sqlite3.Connection, images: Iterable[int], *, value: bool) -> Step:
    """Say of photographs that nothing else is on them, or take that back.

    It holds for the labels that there are now: of a later one it is unknown whether anybody looked.

    Raises:
        InputError: an unknown photograph.
    """
    last = connection.execute("SELECT coalesce(max(id), 0) FROM labels").fetchone()[0]
    rows = []
    for image in dict.fromkeys(images):
        found = _photograph(connection, image)
        if found["removed"]:
            raise _no_photograph(image)
        if (found["complete"] is not None) != value:
            rows.append(Row("complete", image, 0, found["complete"], last if value else None))
    return record(connection, rows)


def add_labels(connection: sqlite3.Connection, names: Iterable[str]) -> Step:
    """Add labels; those that are hidden are shown again, as one step."""
    rows = []
    for name in dict.fromkeys(names):
        found = connection.execute("SELECT id, hidden FROM labels WHERE name = ?", (name,)).fetchone()
        if found is None:
            connection.execute("INSERT INTO labels (name) VALUES (?)", (name,))
        elif found[1]:
            rows.append(Row("hidden", 0, found[0], 1, 0))
    return record(connection, rows)


def bring_back(connection: sqlite3.Connection, hash_: str) -> Step:
    """Bring a photograph back that was removed; nothing where it was not."""
    there = connection.execute("SELECT id FROM images WHERE hash = ? AND removed = 1", (hash_,)).fetchall()
    return record(connection, [Row("removed", image, 0, 1, 0) for (image,) in there])


def remove(connection: sqlite3.Connection, images: Iterable[int]) -> Step:
    """Take photographs out of the project; their files and what is decided of them stay for taking it back.

    Raises:
        InputError: an unknown photograph.
    """
    there = [image for image in dict.fromkeys(images) if not _photograph(connection, image)["removed"]]
    return record(connection, [Row("removed", image, 0, 0, 1) for image in there])


def rename(connection: sqlite3.Connection, label: str, to: str) -> Step:
    """Give a label another name, everywhere in the project; the two become one where there is such a label already.

    Of a photograph on which one is accepted and the other rejected, it is accepted.

    Args:
        connection: inside a transaction.
        label: its name; where it is gone and the other is there, it was renamed already.
        to: the new name, as a label may be called.

    Raises:
        InputError: there is no such label.
    """
    old, new = _label(connection, label), _label(connection, to)
    if old is None and new is None:
        raise InputError(f"the project has no label {label!r}. Load the page again.")
    if old is None or old == new:
        return Step()
    return record(connection, _swapped(connection, old, to) if new is None else _merged(connection, old, new))


def _swapped(connection: sqlite3.Connection, old: int, to: str) -> list[Row]:
    """Let a hidden label that has the new name exchange names with the old one."""
    connection.execute("INSERT OR IGNORE INTO labels (name, hidden) VALUES (?, 1)", (to,))
    hidden = connection.execute("SELECT id FROM labels WHERE name = ?", (to,)).fetchone()[0]
    return [Row("swap", 0, old, hidden, hidden)]


def _merged(connection: sqlite3.Connection, old: int, new: int) -> list[Row]:
    rows = []
    decided = connection.execute("SELECT image, value FROM decisions WHERE label = ? ORDER BY image", (old,))
    for image, value in decided.fetchall():
        before = _value(connection, image, new)
        after = PRESENT if PRESENT in (before, value) else value
        rows.append(Row("decision", image, old, value, None))
        if before != after:
            rows.append(Row("decision", image, new, before, after))
    return [*rows, Row("hidden", 0, old, 0, 1)]


def _label(connection: sqlite3.Connection, name: str) -> int | None:
    found = connection.execute("SELECT id FROM labels WHERE name = ? AND hidden = 0", (name,)).fetchone()
    return None if found is None else int(found[0])


def _photograph(connection: sqlite3.Connection, image: int) -> dict[str, int | None]:
    found = connection.execute("SELECT removed, complete FROM images WHERE id = ?", (image,)).fetchone()
    if found is None:
        raise _no_photograph(image)
    return {"removed": found[0], "complete": found[1]}


def _no_photograph(image: int) -> InputError:
    return InputError(f"the project has no photograph {image}. Load the page again.")


def _value(connection: sqlite3.Connection, image: int, label: int) -> int | None:
    found = connection.execute(
        "SELECT value FROM decisions WHERE image = ? AND label = ?", (image, label)
    ).fetchone()
    return None if found is None else int(found[0])
