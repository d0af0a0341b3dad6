"""A project file: its tables, opening one, what a photograph, a change and a step are, which names it can keep.

SQLite's journal makes a commit all or nothing and a file that was cut off by `kill -9` or a power failure needs no
repair: opening it is reading it. Knows nothing of what the rows mean.
"""

import hashlib
import os
import secrets
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import UnidentifiedImageError

from labelbeam.data.image_container import opened
from labelbeam.data.images import DAMAGE
from labelbeam.errors import InputError
from labelbeam.files import written_whole
from labelbeam.labels.names import clean, refuse_reserved
from labelbeam.labels.vocabulary import ABSENT, PRESENT


@dataclass(frozen=True)
class Photograph:
    """A photograph of a project.

    Attributes:
        id: its number in the project, from 1 on, in the order of adding.
        name: what its owner calls it: a file name, with folders where a folder was added. For showing only.
        path: where the file is.
        hash: SHA-256 of its bytes when it was added, hexadecimal.
        added: whether the project holds the bytes; False: it refers to a file of the user's.
        complete: whether somebody said that nothing else is on it: labels that nobody decided are absent.
    """

    id: int
    name: str
    path: Path
    hash: str
    added: bool
    complete: bool


@dataclass(frozen=True)
class Change:
    """What is decided of one label of one photograph from now on.

    Attributes:
        image: number of the photograph.
        value: PRESENT (1, accepted), ABSENT (0, rejected) or None (nobody decided).

    Raises:
        InputError: another value.
    """

    image: int
    label: str
    value: int | None

    def __post_init__(self) -> None:
        if self.value not in (PRESENT, ABSENT, None):
            raise InputError(
                f"a label is accepted (1), rejected (0) or undecided (null); given {self.value!r}."
            )


@dataclass(frozen=True)
class Step:
    """What one click or one bulk action, or taking it back, changed; as it is now.

    Attributes:
        others: whether photographs or labels themselves changed: marked as complete, removed, renamed.
    """

    changes: tuple[Change, ...] = ()
    others: bool = False


LONGEST = 200
"""Characters of a label's name, and (times five) of a photograph's."""


def label_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of labels, cleaned.

    Raises:
        InputError: an empty name, one too long, a control character, or the name of a special token.

    Example:
        >>> label_names([" boat ", "海"])
        ('boat', '海')
    """
    cleaned = tuple(clean(name) for name in names)
    refuse_reserved(cleaned, "new label")
    for name in cleaned:
        if not name or len(name) > LONGEST or not _is_text(name):
            raise InputError(
                f"a label's name has 1 to {LONGEST} characters of Unicode text; given {name[:40]!r}."
            )
    return cleaned


def photograph_name(name: str) -> str:
    """Return a photograph's name as it can be stored and shown: text without control characters, not too long.

    Example:
        >>> photograph_name("2019/a" + chr(10) + ".jpg")
        '2019/a.jpg'
    """
    text = name.encode("utf-8", "replace").decode("utf-8")
    return "".join(char for char in text if char.isprintable())[-5 * LONGEST :].strip() or "photograph"


def _is_text(name: str) -> bool:
    """Return whether UTF-8, and so the file, can hold a name."""
    return not any(0xD800 <= ord(char) <= 0xDFFF for char in name)


SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "GIF": ".gif", "WEBP": ".webp", "AVIF": ".avif"} | {
    "TIFF": ".tif",
    "BMP": ".bmp",
}
"""Of what Pillow says a file is; anything else that could be decoded is HEIC."""


def content_hash(content: bytes) -> str:
    """Return the SHA-256 of a file's bytes, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def images_folder(project: Path) -> Path:
    """Return the folder of a project's photographs.

    Example:
        >>> images_folder(Path("holiday.lbp")).name
        'holiday.lbp.images'
    """
    return project.with_name(project.name + ".images")


def store(folder: Path, content: bytes) -> str:
    """Write a photograph's bytes, to the disk itself, and return the name of its file in the folder."""
    name = content_hash(content)[:32] + _suffix(content)
    target = folder / name
    if target.is_file() and target.stat().st_size == len(content):
        return name
    folder.mkdir(exist_ok=True)
    with written_whole(target) as part, part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(folder)
    return name


def _suffix(content: bytes) -> str:
    try:
        with opened(content) as image:
            return SUFFIXES.get(image.format or "", ".heic")
    except (UnidentifiedImageError, *DAMAGE):
        return ".heic"


def _sync_folder(folder: Path) -> None:
    """Bring a new name to the disk; a system that cannot open folders (Windows) does so by itself."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


APPLICATION = 0x6C627072
"""`lbpr`: SQLite's mark of whose file it is."""

PATIENCE = 0.4
"""Seconds to wait for another program, or another thread, that holds the file."""

VERSION = 2
"""Of the tables. A file of a newer labelbeam is refused, never guessed at; one of version 1 is brought to this one."""

TABLES = """
CREATE TABLE project (
    id TEXT NOT NULL,                -- drawn once: it tells two projects of one name apart
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
        raise database_error(error, path) from error
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


def database_error(error: Exception, path: Path) -> InputError:
    """Return what an error of the database means."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unavailable(f"another program holds the project {path}. Close it there, or try again.")
    # A quota or a limit on the size of files is an error of writing to SQLite, as a broken disk is.
    if code == sqlite3.SQLITE_FULL or getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_WRITE:
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
