"""What a person does to a project, each as one step: decide, say that a photograph is complete, remove, rename.

Asked twice, each is done once. Every function runs inside a transaction of the caller's, and says what changes;
`project.history` does it and can take it back.
"""

import sqlite3
from collections.abc import Iterable

from labelbeam.errors import InputError
from labelbeam.labels.targets import PRESENT
from labelbeam.project.history import Row, record
from labelbeam.project.records import Change, Step


def decide(connection: sqlite3.Connection, changes: Iterable[Change]) -> Step:
    """Decide labels.

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

    What is said is said of the labels that there are now: of a later one it is unknown whether anybody looked.

    Args:
        connection: inside a transaction.
        images: their numbers.
        value: whether they are complete.

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
