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
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    except sqlite3.OperationalError as error:
        raise InputError(f"the project {path} cannot be opened ({error}). Check the path.") from error
    try:
        _check(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _create(connection)
        _upgrade(connection)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise InputError(
            f"{path} is no project of labelbeam, or it is damaged ({error}). Give another file, or a copy of it from "
            "before the damage."
        ) from error
    except InputError:
        connection.close()
        raise
    return connection


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
