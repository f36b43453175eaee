"""Take, change and drop, restore: the rows are compared by the test itself, then by the witness."""

from pathlib import Path
from typing import Any

import pytest

from backups.servers.postgresql import Server
from backups.witness import differences
from drcenter.errors import OperationFailed
from tests.live.postgresql_fixtures import engine_for, prove, rows
from tests.live.roundtrip import restore, take

TABLES = (
    "public.customers", 'public."order lines"', '"odd schema"."ÜÖÄ tabelle"', "public.nothing", "public.sessions",
    "sales.orders", "sales.orders_2024_rest", "ONLY public.animals", "public.active",
    "sales.totals",
)  # fmt: skip


def everything(server: Server, database: str) -> dict[str, Any]:
    """What a person would look at, without any code of the product."""
    found: dict[str, Any] = {}
    for table in TABLES:
        found[table] = sorted(rows(server, database, f"SELECT t::text FROM {table} t"))
    # The order of an inherited table's columns is not kept (pg_dump), nor how an expression is spelt.
    found["dogs"] = rows(server, database, "SELECT name, breed, legs FROM public.dogs ORDER BY 1")
    found["sequences"] = rows(
        server, database, "SELECT sequencename, last_value FROM pg_sequences ORDER BY 1"
    )
    found["large"] = rows(server, database, "SELECT lo_get(424242), md5(lo_get(424243))")
    found["settings"] = rows(server, database, "SHOW app.tenant") + rows(server, database, "SHOW search_path")
    found["policies"] = rows(server, database, "SELECT policyname, roles, cmd FROM pg_policies")
    found["comment"] = rows(server, database, "SELECT obj_description('public.customers'::regclass)")
    found["twice"] = rows(server, database, "SELECT sales.twice(21), public.atomic('a')")
    return found


def damage(server: Server, database: str) -> None:
    with server.connect(database) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("SET search_path = public, sales")
        connection.execute("DROP VIEW active")
        connection.execute("UPDATE customers SET status = 'old' WHERE id < 150")
        connection.execute("DROP TABLE sales.orders CASCADE")
        connection.execute('DELETE FROM "order lines"')
        connection.execute("SELECT setval('invoice_number', 5000), lo_unlink(424242)")
        connection.execute("DROP FUNCTION stamp CASCADE")
        connection.execute("CREATE SCHEMA intruder CREATE TABLE loot (a int)")
        connection.execute("CREATE TABLE left_over (a int)")
        connection.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
        connection.execute(f"ALTER DATABASE \"{database}\" SET app.tenant = 'nobody'")


def test_a_scratch_server_gives_back_the_same_witness(
    postgresql_server: Server, postgresql_shop: str, tmp_path: Path
) -> None:
    engine = engine_for(postgresql_server, postgresql_shop)
    taken = take(engine)
    assert len(taken.witness.objects) > 100
    assert taken.witness.contents["public.customers"].count == 302
    assert differences(taken.witness, prove(engine, taken, tmp_path)) == []


def test_over_the_original_after_damage(postgresql_server: Server, postgresql_shop: str) -> None:
    engine = engine_for(postgresql_server, postgresql_shop)
    before = everything(postgresql_server, postgresql_shop)
    taken = take(engine)
    damage(postgresql_server, postgresql_shop)
    assert differences(taken.witness, engine.witness()) != []
    restore(engine, taken, overwrite=True)
    assert everything(postgresql_server, postgresql_shop) == before
    assert differences(taken.witness, engine.witness()) == []


def test_a_partitioned_table_in_the_schema_public_is_cleared_too(
    postgresql_server: Server, postgresql_database: str
) -> None:
    """The columns of its key depend on it as the parts of an extension do."""
    with postgresql_server.connect(postgresql_database) as connection:
        connection.execute("CREATE TABLE visits (id int, year int NOT NULL) PARTITION BY LIST (year)")
        connection.execute("CREATE TABLE visits_2025 PARTITION OF visits FOR VALUES IN (2025)")
        connection.execute("INSERT INTO visits VALUES (1, 2025)")
    engine = engine_for(postgresql_server, postgresql_database)
    taken = take(engine)
    with postgresql_server.connect(postgresql_database) as connection:
        connection.execute("DELETE FROM visits")
        connection.execute("DROP TABLE visits_2025")
    with pytest.raises(OperationFailed, match=r"is not empty: table public\.visits"):
        engine.prepare(overwrite=False)
    restore(engine, taken, overwrite=True)
    assert rows(postgresql_server, postgresql_database, "SELECT * FROM visits") == [(1, 2025)]
    assert differences(taken.witness, engine.witness()) == []


def test_beside_the_original_and_dropped(postgresql_server: Server, postgresql_shop: str) -> None:
    engine = engine_for(postgresql_server, postgresql_shop)
    before = everything(postgresql_server, postgresql_shop)
    taken = take(engine)
    damage(postgresql_server, postgresql_shop)
    beside = engine.beside("shop beside")
    restore(beside, taken)
    try:
        assert everything(postgresql_server, "shop beside") == before
        assert beside.counts(["customers", "sales.orders"]) == {"customers": 302, "sales.orders": 400}
        with pytest.raises(OperationFailed, match="no table vanished"):
            beside.counts(["vanished"])
        assert differences(taken.witness, beside.witness()) == []
    finally:
        beside.drop()
    with pytest.raises(OperationFailed, match="does not exist"):
        beside.witness()


def test_a_place_that_is_not_empty_is_refused_and_left_alone(
    postgresql_server: Server, postgresql_shop: str
) -> None:
    engine = engine_for(postgresql_server, postgresql_shop)
    taken = take(engine)
    with pytest.raises(OperationFailed, match="is not empty") as caught:
        restore(engine, taken)
    assert caught.value.permanent
    engine.drop()  # It made nothing, so it removes nothing.
    assert engine.counts(["customers"]) == {"customers": 302}


def test_a_load_that_fails_leaves_the_database_as_it_was(
    postgresql_server: Server, postgresql_shop: str
) -> None:
    """Clearing and loading are one transaction: never half of it."""
    engine = engine_for(postgresql_server, postgresql_shop)
    before = everything(postgresql_server, postgresql_shop)
    taken = take(engine)
    name, suffix, plain = taken.parts[1]
    taken.parts[1] = (name, suffix, plain[: len(plain) // 2] + b"\n\\.\nSELECT nonsense;\n")
    with pytest.raises(OperationFailed, match="psql failed"):
        restore(engine, taken, overwrite=True)
    assert everything(postgresql_server, postgresql_shop) == before


def test_only_some_schemas(postgresql_server: Server, postgresql_shop: str, tmp_path: Path) -> None:
    with postgresql_server.connect(postgresql_shop) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("CREATE TABLE public.kept (a int)")
    engine = engine_for(postgresql_server, postgresql_shop, schemas=["odd schema"])
    taken = take(engine)
    assert list(taken.witness.contents) == ["odd schema.ÜÖÄ tabelle"]
    assert b"customers" not in taken.parts[1][2]
    assert differences(taken.witness, prove(engine, taken, tmp_path)) == []
    with postgresql_server.connect(postgresql_shop) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute('DROP TABLE "odd schema"."ÜÖÄ tabelle"')
    restore(engine, taken, overwrite=True)
    assert differences(taken.witness, engine.witness()) == []
    assert engine.counts(["kept"]) == {"kept": 0}


def test_tables_without_rows_are_named(
    postgresql_server: Server, postgresql_shop: str, tmp_path: Path
) -> None:
    engine = engine_for(postgresql_server, postgresql_shop, exclude_tables=["sessions", "sales.orders"])
    taken = take(engine)
    assert "options leave its rows out" in taken.witness.ignored["public.sessions"]
    assert "options leave its rows out" in taken.witness.ignored["sales.orders_2024_rest"]
    with engine.scratch(tmp_path, engine.inspect().facts) as scratch:
        restore(scratch, taken)
        assert differences(taken.witness, scratch.witness()) == []
        assert scratch.counts(["sessions", "sales.orders"]) == {"sessions": 0, "sales.orders": 0}


def test_an_empty_database(postgresql_server: Server, postgresql_database: str, tmp_path: Path) -> None:
    engine = engine_for(postgresql_server, postgresql_database)
    taken = take(engine)
    assert differences(taken.witness, prove(engine, taken, tmp_path)) == []


def test_who_may_not_make_databases_is_told_the_right(postgresql_server: Server, tmp_path: Path) -> None:
    with postgresql_server.connect() as connection:
        connection.execute("CREATE ROLE weak LOGIN PASSWORD 'weak-pass'")
    try:
        (tmp_path / "weak").write_text("weak-pass")
        engine = engine_for(postgresql_server, "new one", user="weak", password=f"file:{tmp_path / 'weak'}")
        with pytest.raises(OperationFailed, match="may not make the database new one") as caught:
            engine.prepare(overwrite=False)
        assert "CREATEDB" in caught.value.hint
    finally:
        with postgresql_server.connect() as connection:
            connection.execute("DROP ROLE weak")
