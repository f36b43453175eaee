"""Schema and statistics of real databases: every definition comes back, and no row."""

import json
from pathlib import Path

from backups.engines.mariadb_schema import Plugin as MariadbSchema
from backups.engines.postgresql_schema import Plugin as PostgresqlSchema
from backups.servers.postgresql import Server
from backups.witness import differences
from tests.live.mariadb_fixtures import Database, database, filled, mariadb_server
from tests.live.postgresql_fixtures import engine_for
from tests.live.roundtrip import restored, take

__all__ = ["database", "filled", "mariadb_server"]


def test_mariadb(filled: Database, tmp_path: Path) -> None:
    engine = MariadbSchema(filled.engine().options)
    inspection = engine.inspect()
    taken = take(engine)
    assert [name for name, _suffix, _plain in taken.parts] == ["accounts", "database", "statistics"]
    tables = {table["name"]: table for table in json.loads(taken.text("statistics"))["tables"]}
    assert tables["customers"]["type"] == "BASE TABLE" and tables["customers"]["data_bytes"] > 0
    assert "INSERT INTO `customers`" not in taken.text("database")
    with restored(engine, taken, tmp_path, inspection.facts) as scratch:
        assert differences(taken.witness, scratch.witness()) == []
        assert scratch.counts(["customers"]) == {"customers": 0}
    assert {"trigger", "view", "procedure", "event"} <= {name.split()[0] for name in taken.witness.objects}
    assert engine.for_reading


def test_postgresql(postgresql_server: Server, postgresql_shop: str, tmp_path: Path) -> None:
    engine = PostgresqlSchema(engine_for(postgresql_server, postgresql_shop).options)
    inspection = engine.inspect()
    taken = take(engine)
    assert [name for name, _suffix, _plain in taken.parts] == ["globals", "database", "statistics"]
    tables = {
        (table["schema"], table["name"]): table for table in json.loads(taken.text("statistics"))["tables"]
    }
    assert tables["public", "customers"]["data_bytes"] > 0
    assert "COPY public.customers" not in taken.text("database")
    with restored(engine, taken, tmp_path, inspection.facts) as scratch:
        assert differences(taken.witness, scratch.witness()) == []
        assert scratch.counts(["public.customers"]) == {"public.customers": 0}
    assert engine.for_reading
