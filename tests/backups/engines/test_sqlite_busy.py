"""SQLite databases that are in use, locked, damaged, or none."""

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from backups.engines import _sqlite_connection
from backups.witness import differences
from drcenter.errors import OperationFailed
from tests.backups.engines.sqlite_databases import database, engine_for, everything, fill, rows_of
from tests.backups.engines.taking import restore, take

__all__ = ["database"]


WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=60)
connection.execute("CREATE TABLE IF NOT EXISTS busy (n INTEGER PRIMARY KEY, filler)")
print("ready", flush=True)
while True:
    for _ in range(2):
        connection.execute("INSERT INTO busy (filler) VALUES (randomblob(500))")
    connection.commit()
"""


@pytest.fixture
def busy(database):
    """A process that writes two rows in each transaction, without a pause."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, database], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.readline()
    yield database
    writer.kill()
    writer.wait()
    writer.stdout.close()


def test_a_busy_writer_neither_waits_nor_stops_the_snapshot(busy):
    with closing(sqlite3.connect(busy, timeout=60)) as connection:
        connection.execute("CREATE TABLE bulk AS SELECT randomblob(30000000) AS x")
    begin, first = time.monotonic(), rows_of(busy)
    taken = take(engine_for(busy))
    assert time.monotonic() - begin < 20
    assert rows_of(busy) > first, "the writer went on"
    assert taken.witness.contents["busy"].count % 2 == 0, "a moment between two transactions"
    place = engine_for(busy).beside("copy.sqlite")
    restore(place, taken)
    assert differences(taken.witness, place.witness()) == []


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist"])
def test_other_journal_modes_are_told(tmp_path, mode):
    path = tmp_path / "old.sqlite"
    fill(path, mode)
    engine = engine_for(path)
    assert "not in WAL mode" in engine.inspect().findings[0].message
    taken = take(engine)
    assert "not in WAL mode" in taken.findings[0].message
    assert not taken.findings[0].caps
    place = engine.beside("copy.sqlite")
    restore(place, taken)
    assert everything(Path(place.path)) == everything(path)


def test_a_lock_that_stays_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(_sqlite_connection, "BUSY_SECONDS", 0.2)
    path = tmp_path / "locked.sqlite"
    fill(path, "delete")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with (
            pytest.raises(OperationFailed, match="stayed locked") as caught,
            engine_for(path).snapshot() as snapshot,
        ):
            next(snapshot.parts())
        assert not caught.value.permanent
        assert caught.value.hint


def test_restoring_over_a_database_in_use_is_refused(database):
    engine = engine_for(database)
    taken = take(engine)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        begin = time.monotonic()
        with pytest.raises(OperationFailed, match="is in use"):
            restore(engine, taken, overwrite=True)
        assert time.monotonic() - begin < 10
    assert not list(database.parent.glob("*.drc-new"))


def test_a_damaged_database_is_replaced(database):
    before = everything(database)
    engine = engine_for(database)
    taken = take(engine)
    database.write_bytes(b"ruined" * 10000)
    restore(engine, taken, overwrite=True)
    assert everything(database) == before


def test_damage_in_the_source_caps_the_set(tmp_path):
    path = tmp_path / "damaged.sqlite"
    fill(path, "delete")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'IS NOT NULL', 'IS NULL') WHERE name = 'by_name'"
        )
        connection.commit()
    taken = take(engine_for(path))
    assert [finding.caps for finding in taken.findings] == [False, True]
    assert "integrity_check" in taken.findings[1].message


def test_a_missing_file_is_told_and_not_made(tmp_path):
    path = tmp_path / "none.sqlite"
    engine = engine_for(path)
    for act in (engine.inspect, engine.witness, lambda: take(engine), lambda: engine.counts(["x"])):
        with pytest.raises(OperationFailed, match="No such file") as caught:
            act()
        assert caught.value.permanent
    assert not path.exists()


def test_what_is_no_database_is_told(tmp_path):
    path = tmp_path / "text.sqlite"
    path.write_text("hello " * 1000)
    for act in (engine_for(path).inspect, lambda: take(engine_for(path))):
        with pytest.raises(OperationFailed, match="not a SQLite database") as caught:
            act()
        assert caught.value.permanent
