"""The engine for SQLite: round trips, and what its witness sees."""

import glob
import os
import sqlite3
import stat
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from backups.witness import differences
from tests.backups.engines.sqlite_databases import database, engine_for, everything, fill
from tests.backups.engines.taking import restore, take

__all__ = ["database"]


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
