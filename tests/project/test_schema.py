"""A project of an older labelbeam is opened as if it were one of today."""

import sqlite3
from contextlib import closing
from pathlib import Path

from labelbeam.project.project_file import Project
from labelbeam.project.schema import APPLICATION, TABLES, VERSION, Change, Step

VERSION_1 = """
CREATE TABLE project (id TEXT NOT NULL);
CREATE TABLE labels (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE images (
    id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, name TEXT NOT NULL, file TEXT NOT NULL, added INTEGER NOT NULL
);
CREATE TABLE features (
    image INTEGER NOT NULL REFERENCES images, encoder TEXT NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (image, encoder)
) WITHOUT ROWID;
CREATE TABLE decisions (
    image INTEGER NOT NULL REFERENCES images, label INTEGER NOT NULL REFERENCES labels,
    value INTEGER NOT NULL CHECK (value IN (0, 1)), decided REAL NOT NULL, PRIMARY KEY (image, label)
) WITHOUT ROWID;
CREATE TABLE steps (id INTEGER PRIMARY KEY, made REAL NOT NULL, undone INTEGER NOT NULL DEFAULT 0);
CREATE TABLE changes (
    step INTEGER NOT NULL REFERENCES steps ON DELETE CASCADE, image INTEGER NOT NULL, label INTEGER NOT NULL,
    before INTEGER, after INTEGER
);
CREATE INDEX changes_of_step ON changes (step);
INSERT INTO project VALUES ('0123456789abcdef');
INSERT INTO labels VALUES (1, 'boat'), (2, '海');
INSERT INTO images VALUES (1, 'aa', '2019/a.png', '/photos/a.png', 0);
INSERT INTO decisions VALUES (1, 1, 1, 5.0), (1, 2, 0, 6.0);
INSERT INTO steps VALUES (3, 5.0, 0), (4, 6.0, 0);
INSERT INTO changes VALUES (3, 1, 1, NULL, 1), (4, 1, 2, NULL, 0);
"""
"""What the first labelbeam with projects wrote."""


def of_version_1(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            f"{VERSION_1} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = 1;"
        )


def columns(connection: sqlite3.Connection) -> dict[str, set[tuple]]:
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return {name: {row[1:] for row in connection.execute(f"PRAGMA table_info({name})")} for (name,) in tables}


def test_a_project_of_version_1_keeps_everything_and_can_do_everything(tmp_path: Path) -> None:
    path = tmp_path / "old.lbp"
    of_version_1(path)
    with Project(path) as project:
        assert project.id == "0123456789abcdef"
        assert project.decisions() == {1: {"boat": 1, "海": 0}}
        assert project.turns() == (4, None)
        assert project.undo(4) == Step((Change(1, "海", None),))
        project.complete([1])
        assert project.turns() == (5, None), "no step has the number of one that is gone"
        project.rename("boat", "ship")
    with Project(path) as project:
        assert project.decisions() == {1: {"ship": 1}}
        assert project.photograph(1).complete


def test_its_tables_are_those_of_a_new_project(tmp_path: Path) -> None:
    of_version_1(tmp_path / "old.lbp")
    Project(tmp_path / "old.lbp").close()
    with (
        closing(sqlite3.connect(tmp_path / "old.lbp")) as old,
        closing(sqlite3.connect(":memory:")) as new,
    ):
        new.executescript(TABLES)
        assert {name: {row[:-1] for row in rows} for name, rows in columns(old).items()} == {
            name: {row[:-1] for row in rows} for name, rows in columns(new).items()
        }
        assert old.execute("PRAGMA user_version").fetchone() == (VERSION,)
