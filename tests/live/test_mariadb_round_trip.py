"""Take, change and drop, restore, and compare every row: MariaDB on a real server."""

from pathlib import Path

import pytest

from backups.witness import differences
from drcenter.errors import OperationFailed
from tests.live.mariadb_fixtures import Database, database, filled, mariadb_server
from tests.live.roundtrip import restore, restored, take

__all__ = ["database", "filled", "mariadb_server"]


def test_everything_comes_back_after_it_was_changed_and_dropped(filled: Database) -> None:
    engine = filled.engine()
    before = filled.rows()
    taken = take(engine)
    for statement in (
        "UPDATE customers SET name = 'changed'",
        "DELETE FROM orders",
        "DROP TABLE measures",
        "DROP TABLE prices",
        "DROP VIEW a_total_of_totals",
        "DROP PROCEDURE pay",
        "DROP TRIGGER count_changes",
        "DROP SEQUENCE numbers",
        "DROP EVENT cleaning",
        "CREATE TABLE later (id INT)",
        "ALTER DATABASE CHARACTER SET latin1",
    ):
        filled.execute(statement)

    restore(engine, taken, overwrite=True)

    after = filled.rows()
    assert after.keys() == before.keys()
    for table, rows in before.items():
        assert after[table] == rows, table
    assert differences(taken.witness, engine.witness()) == []


def test_the_restored_copy_works(filled: Database) -> None:
    engine = filled.engine()
    restore(engine, take(engine), overwrite=True)
    filled.execute("UPDATE customers SET name = 'x' WHERE id = 1")
    assert filled.execute("SELECT changes FROM customers WHERE id = 1") == [(1,)], "the trigger fires again"
    assert filled.execute("SELECT twice(4)") == [(8,)]
    assert filled.execute("SELECT NEXTVAL(numbers)")[0][0] >= 6, "no number is given twice"
    filled.execute("DELETE FROM customers WHERE id = 1")
    assert filled.execute("SELECT COUNT(*) FROM orders WHERE customer_id = 1") == [(0,)], (
        "the foreign key is there"
    )


def test_it_is_proven_in_a_private_server(filled: Database, tmp_path: Path) -> None:
    engine = filled.engine()
    inspection = engine.inspect()
    assert not inspection.capped, inspection.findings
    taken = take(engine)
    with restored(engine, taken, tmp_path, inspection.facts) as scratch:
        assert differences(taken.witness, scratch.witness()) == []
        assert scratch.counts(["customers", "order notes"]) == {"customers": 3, "order notes": 5}
    assert list(tmp_path.iterdir()) == [], "nothing of the private server is left"


def test_a_copy_beside_is_equal_and_can_be_dropped(filled: Database) -> None:
    engine = filled.engine()
    taken = take(engine)
    copy = engine.beside(f"{filled.name}_copy")
    restore(copy, taken)
    assert differences(taken.witness, copy.witness()) == []
    assert filled.execute(
        f"SELECT STATUS FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '{copy.options['database']}'"
    ) == [("DISABLED",)], "a copy does not act"
    copy.drop()
    with pytest.raises(OperationFailed, match="1049"):
        copy.witness()


def test_a_database_that_was_there_is_never_dropped(filled: Database) -> None:
    engine = filled.engine()
    engine.prepare(overwrite=True)
    engine.drop()
    assert filled.rows() == {}


def test_without_overwrite_nothing_is_lost(filled: Database) -> None:
    engine = filled.engine()
    with pytest.raises(OperationFailed, match="not empty") as caught:
        engine.prepare(overwrite=False)
    assert caught.value.permanent
    assert len(filled.rows()) > 5


def test_floats_keep_all_their_digits(database: Database) -> None:
    """mariadb-dump prints six digits: 16777216 comes back as 16777200, and no second dump shows it."""
    database.fill(
        [
            "CREATE TABLE t (f FLOAT)",
            "INSERT INTO t VALUES (16777216), (0.1), (-3.4028235e38), (1e-45), (NULL)",
        ]
    )
    engine = database.engine()
    exact = sorted(database.execute("SELECT f * 1.0e0 FROM t"), key=repr)
    taken = take(engine)
    restore(engine, taken, overwrite=True)
    assert sorted(database.execute("SELECT f * 1.0e0 FROM t"), key=repr) == exact
    assert (16777216.0,) in exact


def test_the_witness_sees_rounded_floats(database: Database) -> None:
    database.fill(["CREATE TABLE t (f FLOAT)", "INSERT INTO t VALUES (16777216)"])
    before = database.engine().witness()
    database.execute("UPDATE t SET f = 16777200")
    assert differences(before, database.engine().witness()) == ["t: same count (1), other contents"]


def test_old_rows_of_system_versioned_tables_come_back(filled: Database) -> None:
    query = "SELECT id, price, row_start, row_end FROM prices FOR SYSTEM_TIME ALL ORDER BY id, row_start"
    history = filled.execute(query)
    assert len(history) == 4
    engine = filled.engine()
    restore(engine, take(engine), overwrite=True)
    assert filled.execute(query) == history


def test_virtual_columns_make_no_false_difference(database: Database) -> None:
    """CHECKSUM TABLE differs for them; here a copy is equal."""
    database.fill([
        "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(20), v VARCHAR(40) AS (CONCAT(a, '!')) VIRTUAL, KEY (v))",
        "INSERT INTO t (id, a) VALUES (1, 'x'), (2, NULL)",
    ])  # fmt: skip
    engine = database.engine()
    taken = take(engine)
    copy = engine.beside(f"{database.name}_copy")
    restore(copy, taken)
    assert differences(taken.witness, copy.witness()) == []


def test_some_tables_only(filled: Database) -> None:
    engine = filled.engine(tables=["customers", "order notes"])
    taken = take(engine)
    assert set(taken.witness.contents) == {"customers", "order notes"}
    assert [part for part, _suffix, _plain in taken.parts] == ["database"]
    filled.execute("DELETE FROM `order notes`")
    filled.execute("DELETE FROM files")
    with pytest.raises(OperationFailed, match="not empty"):
        engine.prepare(overwrite=False)
    restore(engine, taken, overwrite=True)
    assert differences(taken.witness, engine.witness()) == []
    assert filled.execute("SELECT COUNT(*) FROM files") == [(0,)], "other tables stay as they are"


def test_an_empty_database(database: Database) -> None:
    engine = database.engine()
    taken = take(engine)
    restore(engine, taken, overwrite=True)
    assert differences(taken.witness, engine.witness()) == []


def test_the_place_in_the_log_is_recorded(filled: Database) -> None:
    ((file, position, *_rest),) = filled.execute("SHOW MASTER STATUS")
    assert take(filled.engine()).position == {"file": file, "position": position}
