"""The engine for SQLite: round trips, busy writers, locks, and files that are no databases."""

import glob
import os
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from backups.engines import _sqlite_connection, _sqlite_replace
from backups.engines.base import NoScratch
from backups.engines.sqlite import Options, Plugin
from backups.witness import differences
from drcenter.errors import OperationFailed
from drcenter.options import validated
from tests.backups.engines.taking import restore, take

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


def test_a_round_trip_beside(database):
    before = everything(database)
    engine = engine_for(database)
    taken = take(engine)
    assert taken.names == ["database"]
    assert taken.findings == ()
    place = engine.beside("restored.sqlite")
    restore(place, taken)
    assert everything(Path(place.path)) == before
    assert differences(taken.witness, place.witness()) == []
    # Beside as over production: the rights are those of the set.
    new, old = Path(place.path).stat(), database.stat()
    assert (new.st_mode, new.st_uid, new.st_gid) == (old.st_mode, old.st_uid, old.st_gid)
    place.drop()
    assert sorted(path.name for path in database.parent.glob("restored*")) == []


def test_a_round_trip_over_the_original(database):
    before = everything(database)
    engine = engine_for(database)
    taken = take(engine)
    os.chmod(database, 0o664)
    if os.geteuid() == 0:
        os.chown(database, 1234, 2345)
    subprocess.run(["setfacl", "-m", "u:12345:rw", database], check=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(
            'DROP TABLE without; UPDATE "two words" SET name = 1; PRAGMA user_version = 8'
        )
        connection.commit()
        assert differences(taken.witness, engine.witness())
        # This connection stays open, idle: its log must not be replayed into what is restored.
        owner = database.stat()
        restore(engine, taken, overwrite=True)
    assert everything(database) == before
    # The present file's own rights win over those of the set, which is said.
    lines = differences(taken.witness, engine.witness())
    assert (
        lines
        == ["file mode: definition differs", "file owner: definition differs"][: 1 + (os.geteuid() == 0)]
    )
    new = database.stat()
    assert (new.st_uid, new.st_gid, new.st_mode) == (owner.st_uid, owner.st_gid, owner.st_mode)
    assert os.getxattr(database, "system.posix_acl_access")
    assert not list(database.parent.glob("*.drc-new"))


def test_a_file_that_is_gone_gets_owner_and_mode_of_the_set(database):
    os.chmod(database, 0o664)
    if os.geteuid() == 0:
        os.chown(database, 33, 33)
    taken, old = take(engine_for(database)), database.stat()
    for one in database.parent.glob(f"{glob.escape(database.name)}*"):
        one.unlink()
    engine = engine_for(database)
    restore(engine, taken, overwrite=True)
    new = database.stat()
    assert (new.st_mode, new.st_uid, new.st_gid) == (old.st_mode, old.st_uid, old.st_gid)
    assert differences(taken.witness, engine.witness()) == []
    os.chmod(database, 0o600)
    assert differences(taken.witness, engine.witness()) == ["file mode: definition differs"]


def test_a_set_of_before_that_tells_no_rights_is_compared_without_them(database):
    taken = take(engine_for(database))
    objects = {name: text for name, text in taken.witness.objects.items() if not name.startswith("file ")}
    older = replace(taken, witness=replace(taken.witness, objects=objects))
    place = engine_for(database).beside("older.sqlite")
    restore(place, older)
    assert differences(older.witness, place.witness()) == []
    assert stat.S_IMODE(Path(place.path).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM without WHERE a = 'trigger' AND b = 1",
        "UPDATE noprimary SET y = 16777216.0 WHERE x = 1",
        "UPDATE noprimary SET y = 2 WHERE x = 2",
        "UPDATE noprimary SET y = '2' WHERE hex(y) = '32'",
        "UPDATE noprimary SET rowid = rowid + 100",
        'UPDATE "two words" SET data = zeroblob(200000) WHERE length(data) = 200000',
        "UPDATE \"two words\" SET name = 'nul' WHERE id = 3",
        "UPDATE words SET body = 'other'",
        "UPDATE sqlite_sequence SET seq = 99",
        "PRAGMA user_version = 8",
        "DROP TRIGGER copied",
        "DROP INDEX by_name",
        "CREATE VIEW more AS SELECT 1",
    ],
)
def test_the_witness_sees_each_difference(database, change):
    engine = engine_for(database)
    before = engine.witness()
    with closing(sqlite3.connect(database)) as connection:
        cursor = connection.execute(change)
        assert cursor.rowcount != 0
        connection.commit()
    assert differences(before, engine.witness())


def test_the_checksum_does_not_depend_on_the_order(tmp_path):
    found = []
    for order in ("ASC", "DESC"):
        path = tmp_path / f"{order}.sqlite"
        fill(path)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE ordered (a TEXT PRIMARY KEY, b BLOB) WITHOUT ROWID")
            rows = [(str(number), b"%d" % number) for number in range(100)]
            connection.executemany(
                "INSERT INTO ordered VALUES (?, ?)", rows if order == "ASC" else rows[::-1]
            )
            connection.commit()
        found.append(engine_for(path).witness().contents["ordered"])
    assert found[0] == found[1]
    assert found[0].count == 100


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


def rows_of(path: Path) -> int:
    with closing(sqlite3.connect(path, timeout=60)) as connection:
        return int(connection.execute("SELECT count(*) FROM busy").fetchone()[0])


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
        with pytest.raises(OperationFailed, match="stayed locked") as caught, engine_for(path).snapshot():
            pass
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


@pytest.mark.parametrize("cut", [0, 50, 4096, -1])
def test_a_cut_stream_changes_nothing(database, cut):
    before = everything(database)
    engine = engine_for(database)
    [(spec, data)] = take(engine).parts
    consume = engine.consumer(spec.name, spec.suffix)
    with pytest.raises(OperationFailed):
        consume(BytesIO(data[:cut]))
    assert everything(database) == before
    assert not list(database.parent.glob("*.drc-new"))


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


def test_the_copy_is_protected_and_goes(database, tmp_path, settings):
    settings.STATE_DIR = tmp_path / "state"
    with engine_for(database).snapshot() as snapshot:
        [copy] = (tmp_path / "state" / "tmp").glob("*/database")
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
        blocks = [len(block) for part in snapshot.parts() for block in part.producers[0]()]
        assert sum(blocks) == copy.stat().st_size
        assert max(blocks) <= 1 << 20
    assert not list((tmp_path / "state" / "tmp").iterdir())


def test_scratch(database, tmp_path):
    engine = engine_for(database)
    workspace = tmp_path / "workspace"
    workspace.mkdir(mode=0o700)
    with pytest.raises(NoScratch, match="free"), engine.scratch(workspace, {"size": 1 << 60}):
        pass
    with engine.scratch(workspace, engine.inspect().facts) as place:
        taken = take(engine)
        restore(place, taken)
        assert differences(taken.witness, place.witness()) == []
        assert place.counts(["two words", "noprimary"]) == {"two words": 4, "noprimary": 4}
    assert not list(workspace.iterdir())


def test_a_missing_critical_table_is_told(database):
    with pytest.raises(OperationFailed, match="no such table: gone"):
        engine_for(database).counts(["gone"])


def test_prepare_without_overwrite_keeps_what_is_there(database):
    with pytest.raises(OperationFailed, match="exists already"):
        engine_for(database).prepare(overwrite=False)


@pytest.mark.parametrize("name", ["", "..", "a/b", "app data?#%20.sqlite"])
def test_beside_refuses_what_is_no_other_place(database, name):
    with pytest.raises(OperationFailed):
        engine_for(database).beside(name)


def test_a_path_that_is_a_link_stays_one(database, tmp_path):
    link = tmp_path / "link.sqlite"
    link.symlink_to(database)
    before = everything(database)
    engine = engine_for(link)
    taken = take(engine)
    database.write_bytes(b"")
    restore(engine, taken, overwrite=True)
    assert link.is_symlink()
    assert everything(database) == before


def test_a_link_that_is_put_in_the_place_of_the_new_file_gets_no_rights(database, tmp_path, monkeypatch):
    """The directory belongs to the application's user, who may swap files there while root restores."""
    engine, before = engine_for(database), everything(database)
    taken = take(engine)
    os.chmod(database, 0o666)
    subprocess.run(["setfacl", "-m", "u:12345:rw", database], check=True)
    if os.geteuid() == 0:
        os.chown(database, 1234, 2345)
    victim = tmp_path / "victim"
    victim.write_text("root's own")
    victim.chmod(0o600)
    state = victim.stat()
    check = _sqlite_replace._check

    def swapped(fresh, *more):
        check(fresh, *more)
        fresh.unlink()
        fresh.symlink_to(victim)

    monkeypatch.setattr(_sqlite_replace, "_check", swapped)
    with pytest.raises(OperationFailed, match="replaced by somebody else"):
        restore(engine, taken, overwrite=True)
    after = victim.stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (state.st_uid, state.st_gid, state.st_mode)
    assert not os.listxattr(victim)
    assert everything(database) == before
    assert not database.is_symlink()


def test_no_program_is_made_of_a_database(database):
    engine = engine_for(database)
    taken = take(engine)
    os.chmod(database, 0o4755)
    restore(engine, taken, overwrite=True)
    assert stat.S_IMODE(database.stat().st_mode) == 0o755
