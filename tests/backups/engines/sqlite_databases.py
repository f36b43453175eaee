"""SQLite databases with everything that one can hold, and what is in one."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from backups.engines.sqlite import Options, Plugin
from drcenter.options import validated

SCHEMA = """
PRAGMA user_version = 7; PRAGMA application_id = 4711;
CREATE TABLE "two words" (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT COLLATE NOCASE, data BLOB, price REAL);
CREATE TABLE without (a TEXT, b INT, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE noprimary (x, y);
CREATE TABLE trap (rowid TEXT, oid TEXT);
CREATE TABLE computed (a INT, b INT AS (a * 2) STORED, c INT AS (a * 3) VIRTUAL, t TEXT);
CREATE TABLE child (parent INT REFERENCES "two words"(id) ON DELETE CASCADE);
CREATE INDEX by_name ON "two words" (name) WHERE name IS NOT NULL;
CREATE VIEW cheap AS SELECT * FROM "two words" WHERE price < 1;
CREATE TRIGGER copied AFTER INSERT ON noprimary BEGIN INSERT INTO without VALUES ('trigger', new.x); END;
CREATE VIRTUAL TABLE words USING fts5(body);
"""


def fill(path: Path, mode: str = "wal") -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"PRAGMA journal_mode={mode};" + SCHEMA)
        connection.executemany(
            'INSERT INTO "two words" (name, data, price) VALUES (?, ?, ?)',
            [("emoji 😀", bytes(range(256)), 0.1 + 0.2), (None, None, None), ("nul\0inside", b"", 1e-320),
             ("", os.urandom(200_000), float("inf")), ("x" * 100_000, None, -0.0)],
        )  # fmt: skip
        connection.execute(
            "INSERT INTO noprimary VALUES (1, 16777217.0), (2, '2'), (9007199254740993, x'32')"
        )
        connection.execute("INSERT INTO noprimary VALUES (cast(x'ff41' AS TEXT), 'not UTF-8')")
        connection.execute("INSERT INTO trap VALUES ('a', 'b')")
        connection.execute("INSERT INTO computed (a, t) VALUES (5, 'x')")
        connection.execute("INSERT INTO words VALUES ('needle in a haystack')")
        connection.execute('DELETE FROM "two words" WHERE id = 2')
        connection.commit()


def everything(path: Path) -> dict[str, list]:
    """All rows with their types, in hexadecimal; found out in another way than the engine's."""
    with closing(sqlite3.connect(path)) as connection:
        found = {
            "master": connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()
        }
        for name, *_ in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = [row[1] for row in connection.execute(f'PRAGMA table_xinfo("{name}")')]
            shown = ", ".join(f'typeof("{one}"), hex("{one}"), quote("{one}")' for one in columns)
            rows = connection.execute(f'SELECT {shown} FROM "{name}"')
            connection.text_factory = bytes
            found[name] = sorted(rows.fetchall(), key=repr)
            connection.text_factory = str
        return found


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "app data?#%20.sqlite"
    fill(path)
    return path


def engine_for(path: Path) -> Plugin:
    return Plugin(validated(Options, {"path": str(path)}))


def rows_of(path: Path) -> int:
    with closing(sqlite3.connect(path, timeout=60)) as connection:
        return int(connection.execute("SELECT count(*) FROM busy").fetchone()[0])
