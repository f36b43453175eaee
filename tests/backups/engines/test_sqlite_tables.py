"""Some tables of a SQLite database alone: taken, proven, put beside, and put back between the others."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from backups.engines import _sqlite_connection
from backups.engines.base import Untouched
from backups.engines.sqlite import Plugin
from backups.witness import differences
from drcenter.errors import OperationFailed
from tests.backups.engines.taking import restore, take

SCHEMA = """
PRAGMA journal_mode=WAL;
CREATE TABLE customers (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE);
CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, customer INTEGER REFERENCES customers (id), total REAL,
                     doubled REAL AS (total * 2) STORED);
CREATE INDEX by_customer ON orders (customer);
CREATE TABLE notes (body TEXT);
CREATE TABLE pairs (a TEXT, b BLOB, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE "odd ""name" (x);
CREATE TABLE log (line TEXT);
CREATE VIEW totals AS SELECT customer, sum(total) FROM orders GROUP BY 1;
CREATE TRIGGER told AFTER INSERT ON orders BEGIN INSERT INTO log VALUES ('order ' || new.id); END;
CREATE VIRTUAL TABLE words USING fts5(body);
INSERT INTO words VALUES ('full text of secrets-of-others');
INSERT INTO customers (name) VALUES ('Zoë'), ('Bo'), ('secrets-of-others');
INSERT INTO orders (customer, total) VALUES (1, 1.5), (2, 0.1), (1, 3);
DELETE FROM orders WHERE id = 3;
INSERT INTO notes (rowid, body) VALUES (7, 'seven'), (3, 'three'), (9, NULL);
INSERT INTO pairs VALUES ('a', x'00ff'), ('b', NULL || x'');
INSERT INTO "odd ""name" VALUES ('x');
"""
SOME = ["orders", "notes", "pairs", 'odd "name']


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "shop.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA.replace("NULL || x''", "x''"))
    return path


def ask(path: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(query).fetchall()


def everything(path: Path) -> dict[str, list[tuple]]:
    found = {name: ask(path, f'SELECT rowid, * FROM "{name}"') for name in ("orders", "notes", "customers")}
    found |= {
        "pairs": ask(path, "SELECT * FROM pairs"),
        "sequence": ask(path, "SELECT * FROM sqlite_sequence ORDER BY 1"),
    }
    return found | {"schema": ask(path, "SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2")}


def test_what_can_be_taken(path: Path) -> None:
    assert Plugin({"path": str(path)}).tables() == [
        "customers",
        "log",
        "notes",
        'odd "name',
        "orders",
        "pairs",
    ]


def test_only_these_are_in_the_file(path: Path, tmp_path: Path) -> None:
    """Nothing of the others, not even in pages that are free; beside, it is a database of its own."""
    before = everything(path)
    taken = take(Plugin({"path": str(path), "tables": SOME}))
    [(_spec, content)] = taken.parts
    assert b"secrets-of-others" not in content and b"seven" in content
    assert set(taken.witness.contents) == set(SOME)
    beside = Plugin({"path": str(path), "tables": SOME}).beside(str(tmp_path / "beside.sqlite3"))
    restore(beside, taken)
    assert differences(taken.witness, beside.witness()) == []
    found = everything_but_customers(Path(beside.options["path"]))
    assert found == {name: before[name] for name in found}


def everything_but_customers(path: Path) -> dict[str, list[tuple]]:
    found = {name: ask(path, f'SELECT rowid, * FROM "{name}"') for name in ("orders", "notes")}
    return found | {"pairs": ask(path, "SELECT * FROM pairs")}


def test_put_back_between_the_others(path: Path) -> None:
    before = everything(path)
    engine = Plugin({"path": str(path), "tables": SOME})
    taken = take(engine)
    ask(path, "DROP TABLE pairs")
    ask(path, "DELETE FROM orders")
    ask(path, "INSERT INTO orders (customer, total) VALUES (2, 99)")
    ask(path, "UPDATE notes SET body = 'wrong'")
    ask(path, "INSERT INTO customers (name) VALUES ('of today')")
    ask(path, "DELETE FROM log")
    restore(engine, taken, overwrite=True)
    assert differences(taken.witness, engine.witness()) == []
    after = everything(path)
    assert after.pop("customers") == [*before.pop("customers"), (4, 4, "of today")]
    assert dict(after.pop("sequence")) == {**dict(before.pop("sequence")), "customers": 4}
    assert after == before
    # The trigger does not fire while its table is filled, and the view works.
    assert ask(path, "SELECT * FROM log") == []
    assert ask(path, "SELECT * FROM totals") == [(1, 1.5), (2, 0.1)]


@pytest.mark.parametrize("change", ["DROP INDEX by_customer", "DROP TRIGGER told", "UPDATE notes SET body = 'x'",
                                    "INSERT INTO orders (customer) VALUES (1)", "DROP TABLE pairs"])  # fmt: skip
def test_the_witness_of_some_tables_sees_differences_in_them(path: Path, change: str) -> None:
    engine = Plugin({"path": str(path), "tables": SOME})
    before = engine.witness()
    ask(path, change)
    assert differences(before, engine.witness()) != []


def test_the_witness_of_some_tables_sees_nothing_else(path: Path) -> None:
    engine = Plugin({"path": str(path), "tables": SOME})
    before = engine.witness()
    for change in (
        "DROP VIEW totals",
        "DELETE FROM customers",
        "PRAGMA user_version = 9",
        "CREATE TABLE more (x)",
    ):
        ask(path, change)
    assert differences(before, engine.witness()) == []


def test_foreign_keys_that_lead_out_are_told(path: Path) -> None:
    [finding] = Plugin({"path": str(path), "tables": SOME}).inspect().findings
    assert "orders → customers" in finding.message and not finding.caps
    assert list(Plugin({"path": str(path), "tables": ["orders", "customers"]}).inspect().findings) == []
    assert (
        "orders → customers"
        in Plugin({"path": str(path), "tables": ["customers"]}).inspect().findings[0].message
    )


def test_a_table_that_is_not_there(path: Path) -> None:
    engine = Plugin({"path": str(path), "tables": ["orders", "payments"]})
    for act in (engine.inspect, lambda: take(engine)):
        with pytest.raises(OperationFailed, match="has no table payments"):
            act()


def test_a_database_in_use_is_left_untouched(path: Path, monkeypatch) -> None:
    monkeypatch.setattr(_sqlite_connection, "BUSY_SECONDS", 0.3)
    engine = Plugin({"path": str(path), "tables": SOME})
    taken = take(engine)
    ask(path, "UPDATE notes SET body = 'of today'")
    before = everything(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as busy:
        busy.execute("BEGIN IMMEDIATE")
        with pytest.raises(Untouched, match="is in use"):
            engine.prepare(overwrite=True)
        busy.execute("ROLLBACK")
    assert everything(path) == before
    restore(engine, taken, overwrite=True)


@pytest.mark.parametrize("cut", [0, 100, 5000])
def test_a_cut_stream_changes_nothing(path: Path, cut: int) -> None:
    engine = Plugin({"path": str(path), "tables": SOME})
    taken = take(engine)
    before = everything(path)
    [(spec, content)] = taken.parts
    taken.parts[:] = [(spec, content[:cut])]
    with pytest.raises(OperationFailed):
        restore(engine, taken, overwrite=True)
    assert everything(path) == before


def test_where_the_file_is_gone_it_holds_these_alone(path: Path) -> None:
    engine = Plugin({"path": str(path), "tables": SOME})
    taken = take(engine)
    path.unlink()
    restore(engine, taken, overwrite=True)
    assert engine.tables() == ["notes", 'odd "name', "orders", "pairs"]
    assert differences(taken.witness, engine.witness()) == []
