"""The tables of a project file, and opening one: in write-ahead mode, every commit on the disk before it is told.

SQLite's journal makes a commit all or nothing and a file that was cut off by `kill -9` or a power failure needs no
repair: opening it is reading it. Knows nothing of what the rows mean.
"""

import secrets
import sqlite3
from pathlib import Path

from labelbeam.errors import InputError

APPLICATION = 0x6C627072
"""`lbpr`: SQLite's mark of whose file it is."""

PATIENCE = 0.4
"""Seconds to wait for another program, or another thread, that holds the file."""

VERSION = 2
"""Of the tables. A file of a newer labelbeam is refused, never guessed at; one of version 1 is brought to this one."""

TABLES = """
CREATE TABLE project (
    id TEXT NOT NULL,                -- drawn once: two projects of one name are told apart by it
    last_step INTEGER NOT NULL DEFAULT 0  -- no step has the number of one before it, gone or not
);
CREATE TABLE labels (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    hidden INTEGER NOT NULL DEFAULT 0  -- 1: another label took its place
);
CREATE TABLE images (
    id INTEGER PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,       -- SHA-256 of the bytes, hexadecimal
    name TEXT NOT NULL,              -- what its owner calls it, never a place on the disk
    file TEXT NOT NULL,              -- name in the folder beside this file, absolute path where added = 0
    added INTEGER NOT NULL,          -- whether the bytes are the project's own
    removed INTEGER NOT NULL DEFAULT 0,
    complete INTEGER                 -- undecided labels up to this one are absent (NULL: unknown)
);
CREATE TABLE features (
    image INTEGER NOT NULL REFERENCES images,
    encoder TEXT NOT NULL,           -- identity of what made them
    vector BLOB NOT NULL,            -- float16, little-endian
    PRIMARY KEY (image, encoder)
) WITHOUT ROWID;
CREATE TABLE decisions (
    image INTEGER NOT NULL REFERENCES images,
    label INTEGER NOT NULL REFERENCES labels,
    value INTEGER NOT NULL CHECK (value IN (0, 1)),
    decided REAL NOT NULL,           -- seconds since 1970
    PRIMARY KEY (image, label)
) WITHOUT ROWID;
CREATE TABLE steps (
    id INTEGER PRIMARY KEY,
    made REAL NOT NULL,
    undone INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE changes (
    step INTEGER NOT NULL REFERENCES steps ON DELETE CASCADE,
    image INTEGER NOT NULL,          -- 0: of none
    label INTEGER NOT NULL,          -- 0: of none
    before INTEGER,
    after INTEGER,
    what TEXT NOT NULL DEFAULT 'decision'
);
CREATE INDEX changes_of_step ON changes (step);
"""

WRONG_ROWS = {
    "project": "typeof(id) <> 'text' OR typeof(last_step) <> 'integer'",
    "labels": "typeof(name) <> 'text' OR hidden NOT IN (0, 1)",
    "images": "typeof(hash) <> 'text' OR typeof(name) <> 'text' OR typeof(file) NOT IN ('text', 'blob') "
    "OR added NOT IN (0, 1) OR removed NOT IN (0, 1) OR typeof(complete) NOT IN ('integer', 'null') "
    "OR instr(file, char(0)) OR file IN ('', '.', '..') "
    "OR (added AND (typeof(file) <> 'text' OR instr(file, '/') OR instr(file, char(92))))",
    "decisions": "value NOT IN (0, 1) OR typeof(decided) NOT IN ('real', 'integer') OR image NOT IN (SELECT id FROM "
    "images) OR label NOT IN (SELECT id FROM labels)",
    "steps": "undone NOT IN (0, 1)",
    "changes": "what NOT IN ('decision', 'complete', 'removed', 'hidden', 'swap') OR typeof(image) <> 'integer' "
    "OR typeof(label) <> 'integer' OR typeof(before) NOT IN ('integer', 'null') "
    "OR typeof(after) NOT IN ('integer', 'null')",
}
"""What no row may be: SQLite keeps a text where a number should be, and a file from elsewhere may hold anything.

A photograph of the project's own is a name in its folder: one with a slash in it would be a file elsewhere.
"""

UPGRADE = """
ALTER TABLE project ADD COLUMN last_step INTEGER NOT NULL DEFAULT 0;
ALTER TABLE labels ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;
ALTER TABLE images ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE images ADD COLUMN complete INTEGER;
ALTER TABLE changes ADD COLUMN what TEXT NOT NULL DEFAULT 'decision';
UPDATE project SET last_step = (SELECT coalesce(max(id), 0) FROM steps)
"""
"""What version 1 lacks."""


def connect(path: Path) -> sqlite3.Connection:
    """Open a project file; one that is not there is made.

    Args:
        path: the file; its folder exists.

    Returns:
        A connection without transactions of its own accord, usable from any thread by one at a time.

    Raises:
        InputError: the file is damaged, no project's, of a newer labelbeam, or cannot be opened.
    """
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=PATIENCE)
    except sqlite3.OperationalError as error:
        raise InputError(f"the project {path} cannot be opened ({error}). Check the path.") from error
    try:
        _check(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _create(connection)
        _upgrade(connection)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        connection.close()
        raise told_error(error, path) from error
    except InputError:
        connection.close()
        raise
    return connection


class Unavailable(InputError):  # noqa: N818  (named for what it is)
    """Nothing is wrong with what was asked, but it cannot be done now.

    Attributes:
        full: whether the disk is; otherwise another program holds the file.
    """

    def __init__(self, message: str, *, full: bool = False) -> None:
        super().__init__(message)
        self.full = full


def told_error(error: Exception, path: Path) -> InputError:
    """Return what an error of the database means."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unavailable(f"another program holds the project {path}. Close it there, or try again.")
    if code == sqlite3.SQLITE_FULL:
        return Unavailable(f"there is no room for the project {path}. Make room, and try again.", full=True)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        return InputError(f"the project {path} cannot be written ({error}). Change its permissions.")
    return InputError(
        f"{path} is no project of labelbeam, or it is damaged ({error}). Give another file, or a copy of it from "
        "before the damage."
    )


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a database of somebody else's or of the future, before anything in it is changed."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not tables and not application:
        return
    if application != APPLICATION:
        raise InputError(
            f"{path} is a database of another program, no project of labelbeam. Give another file."
        )
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if not 1 <= version <= VERSION:
        raise InputError(
            f"{path} is a project of version {version}; this labelbeam reads versions up to {VERSION}. "
            "Open it with the labelbeam that made it."
        )
    if (found := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise InputError(f"{path} is a damaged project ({found}). Give a copy of it from before the damage.")
    if version == VERSION:
        for table, wrong in WRONG_ROWS.items():
            if connection.execute(f"SELECT 1 FROM {table} WHERE {wrong} LIMIT 1").fetchone():
                raise InputError(
                    f"{path} is a damaged project (the table {table} holds what nobody wrote there). Give a copy of it "
                    "from before the damage."
                )


def _create(connection: sqlite3.Connection) -> None:
    """Make the tables of a new file, all of them or none."""
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION:
        connection.execute("ROLLBACK")
        return
    for statement in TABLES.split(";"):
        connection.execute(statement)
    connection.execute("INSERT INTO project (id) VALUES (?)", (secrets.token_hex(8),))
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _upgrade(connection: sqlite3.Connection) -> None:
    """Bring a file of version 1 to this one, all of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("PRAGMA user_version").fetchone()[0] == 1:
        for statement in UPGRADE.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")
