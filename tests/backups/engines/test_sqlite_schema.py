"""The schema of a SQLite database without its rows, and what its tables hold in figures."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from backups.engines.sqlite_schema import Plugin
from backups.witness import differences
from drcenter.errors import OperationFailed
from drcenter.options import validated
from tests.backups.engines.taking import restore, take


@pytest.fixture
def shop(tmp_path) -> Path:
    path = tmp_path / "shop.sqlite3"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, note TEXT DEFAULT 'a;b', total REAL);"
            'CREATE TABLE "odd \'name" (a UNIQUE, b);'
            "CREATE INDEX by_total ON orders (total) WHERE total > 0;"
            "CREATE VIEW late AS SELECT * FROM orders; -- a comment at the end\n"
            "CREATE TRIGGER stamp AFTER INSERT ON orders BEGIN UPDATE orders SET note = 'x'; SELECT 1; END;"
            "CREATE VIRTUAL TABLE words USING fts5(text);"
            "INSERT INTO orders (total) VALUES (1), (2); INSERT INTO words VALUES ('secret row');"
        )
    return path


def engine_for(path: Path) -> Plugin:
    return Plugin(validated(Plugin.Options, {"path": str(path)}))


def test_the_schema_comes_back_without_rows(shop, tmp_path):
    engine = engine_for(shop)
    taken = take(engine)
    assert [f"{spec.name}.{spec.suffix}" for spec, _ in taken.parts] == ["schema.sql", "statistics.json"]
    assert b"secret row" not in b"".join(data for _spec, data in taken.parts)
    (tmp_path / "w").mkdir()
    with engine.scratch(tmp_path / "w", engine.inspect().facts) as place:
        restore(place, taken)
        assert differences(taken.witness, place.witness()) == []
        assert place.counts(["orders", "odd 'name", "late"]) == {"orders": 0, "odd 'name": 0, "late": 0}
    statistics = json.loads(taken.parts[1][1])
    assert {"name": "orders", "rows": 2} in statistics["tables"]


def test_a_changed_definition_and_changed_statistics_are_seen(shop, tmp_path):
    engine = engine_for(shop)
    taken = take(engine)
    for number, change in enumerate((b"DEFAULT 'a;b'", b'"rows": 2')):
        (tmp_path / f"w{number}").mkdir()
        with engine.scratch(tmp_path / f"w{number}", {}) as place:
            changed = [
                (spec, data.replace(change, change.upper() + b" " if number else b"DEFAULT 'x'"))
                for spec, data in taken.parts
            ]
            restore(place, type(taken)(changed, taken.witness, ()))
            assert len(differences(taken.witness, place.witness())) == 1


def test_a_script_of_somebody_else_opens_no_other_file(shop, tmp_path):
    engine, target = engine_for(shop), tmp_path / "stolen"
    taken = take(engine)
    spec, _data = taken.parts[0]
    taken.parts[0] = (spec, f"ATTACH DATABASE '{target}' AS other; CREATE TABLE other.a (b);".encode())
    (tmp_path / "w").mkdir()
    with engine.scratch(tmp_path / "w", {}) as place, pytest.raises(OperationFailed):
        restore(place, taken)
    assert not target.exists()


def test_it_never_goes_over_production(shop):
    assert "empty the database" in engine_for(shop).for_reading
