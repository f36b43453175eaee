"""What is known to go wrong with dumps of PostgreSQL, each tried on a real server."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backups.engines import _postgresql_commands as commands
from backups.engines.base import NoScratch, PartSpec
from backups.engines.postgresql import Plugin
from backups.servers.postgresql import Server, private_server
from backups.witness import differences
from drcenter.errors import OperationFailed
from tests.live.postgresql_fixtures import engine_for, prove, rows
from tests.live.roundtrip import collect, restore, restored, take


def execute(server: Server, database: str, *statements: str) -> None:
    with server.connect(database) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def as_user(server: Server, database: str, tmp_path: Path, user: str, password: str) -> Plugin:
    (tmp_path / "of the user").write_text(password)
    return engine_for(server, database, user=user, password=f"file:{tmp_path / 'of the user'}")


def test_a_stale_materialized_view_is_named_and_no_false_alarm(
    postgresql_server: Server, postgresql_database: str, tmp_path: Path
) -> None:
    execute(postgresql_server, postgresql_database, "CREATE TABLE t AS SELECT generate_series(1, 500) AS a",
            "CREATE MATERIALIZED VIEW v AS SELECT * FROM t", "INSERT INTO t VALUES (501)")  # fmt: skip
    engine = engine_for(postgresql_server, postgresql_database)
    taken = take(engine)
    assert taken.witness.contents["public.v"].count == 500
    assert "refreshed" in taken.witness.ignored["public.v"]
    back = prove(engine, taken, tmp_path)
    assert back.contents["public.v"].count == 501
    assert differences(taken.witness, back) == []


def test_columns_of_an_inherited_table_in_another_order_are_no_difference(
    postgresql_server: Server, postgresql_database: str, tmp_path: Path
) -> None:
    execute(postgresql_server, postgresql_database, "CREATE TABLE parent (a int)",
            "CREATE TABLE child (b int) INHERITS (parent)", "ALTER TABLE parent ADD COLUMN c int",
            "INSERT INTO child VALUES (1, 2, 3)")  # fmt: skip
    engine = engine_for(postgresql_server, postgresql_database)
    taken = take(engine)
    with restored(engine, taken, tmp_path, engine.inspect().facts) as scratch:
        server = Server(
            int(scratch.options["port"]),
            Path(scratch.options["password"][5:]).parent,
            tmp_path,
            15,
            0,
            scratch.options["host"],
        )
        order = rows(server, "restored", "SELECT * FROM child")
        assert order != rows(postgresql_server, postgresql_database, "SELECT * FROM child")
        assert differences(taken.witness, scratch.witness()) == []


def test_row_security_caps_the_set(
    postgresql_server: Server, postgresql_database: str, tmp_path: Path
) -> None:
    execute(postgresql_server, postgresql_database, "CREATE ROLE dumper LOGIN PASSWORD 'dumper-pass'",
            "GRANT pg_read_all_data TO dumper", "CREATE TABLE mine (a int)", "INSERT INTO mine VALUES (1), (2)",
            "CREATE TABLE seen AS SELECT 7 AS a", "ALTER TABLE mine ENABLE ROW LEVEL SECURITY",
            "CREATE POLICY p ON mine USING (a = 1)")  # fmt: skip
    engine = as_user(postgresql_server, postgresql_database, tmp_path, "dumper", "dumper-pass")
    inspection = engine.inspect()
    assert inspection.capped
    (finding,) = [one for one in inspection.findings if one.caps]
    assert "public.mine" in finding.message
    assert 'ALTER ROLE "dumper" BYPASSRLS' in finding.hint
    taken = take(engine)
    assert "Row security" in taken.witness.ignored["public.mine"]
    # All rows of a table or none: never some of them.
    with restored(engine, taken, tmp_path, inspection.facts) as scratch:
        assert scratch.counts(["mine", "seen"]) == {"mine": 0, "seen": 1}
        assert differences(taken.witness, scratch.witness()) == []
    execute(postgresql_server, postgresql_database, "ALTER ROLE dumper BYPASSRLS")
    assert not engine.inspect().capped
    assert take(engine).witness.contents["public.mine"].count == 2


def test_tables_that_the_user_may_not_read_cap_the_set_and_name_the_grant(
    postgresql_server: Server, postgresql_database: str, tmp_path: Path
) -> None:
    execute(postgresql_server, postgresql_database, "CREATE ROLE dumper LOGIN PASSWORD 'dumper-pass'",
            "CREATE TABLE open (id serial, a int)", 'CREATE TABLE "closed one" (a int)',
            "INSERT INTO open VALUES (1, 1)", "GRANT SELECT ON open TO dumper",
            "SELECT lo_from_bytea(77, 'x')")  # fmt: skip
    engine = as_user(postgresql_server, postgresql_database, tmp_path, "dumper", "dumper-pass")
    inspection = engine.inspect()
    assert inspection.capped
    hints = " ".join(one.hint for one in inspection.findings)
    assert 'GRANT SELECT ON TABLE "public"."closed one" TO "dumper";' in hints
    assert 'GRANT SELECT ON SEQUENCE "public"."open_id_seq" TO "dumper";' in hints
    assert "GRANT SELECT ON LARGE OBJECT" in hints
    with engine.snapshot() as snapshot:
        assert any(finding.caps for finding in snapshot.findings())
    taken = take(engine)
    assert taken.witness.contents["public.open"].count == 1
    assert "may not read" in taken.witness.ignored["public.closed one"]
    for grant in re.findall(r"GRANT (?:USAGE|SELECT) ON (?:SCHEMA|TABLE|SEQUENCE) [^;]*;", hints):
        execute(postgresql_server, postgresql_database, grant)
    execute(postgresql_server, postgresql_database, "GRANT SELECT ON LARGE OBJECT 77 TO dumper")
    assert not engine.inspect().capped
    whole = take(engine)
    assert whole.witness.ignored.keys() <= {"extension version plpgsql"}
    assert differences(whole.witness, prove(engine, whole, tmp_path)) == []


def test_the_random_key_counts_for_no_section(postgresql_server: Server, postgresql_shop: str) -> None:
    engine = engine_for(postgresql_server, postgresql_shop)
    dumps = []
    with engine.snapshot() as snapshot:
        for spec in snapshot.parts():
            if spec.name == "database":
                assert spec.volatile is not None
                pattern = re.compile(spec.volatile)
                for _ in range(2):
                    lines = collect(spec).splitlines()
                    dumps.append([line for line in lines if not pattern.fullmatch(line)])
                    assert len(lines) == len(dumps[-1]) + 2  # \restrict and \unrestrict
    assert dumps[0] == dumps[1]
    sections = {match[1] for line in dumps[0] if spec.marker and (match := re.match(spec.marker, line))}
    assert b"order lines; Type: TABLE DATA; Schema: public" in sections


def test_missing_roles_come_back_and_existing_ones_stay_as_they_are(
    postgresql_server: Server, postgresql_shop: str
) -> None:
    engine = engine_for(postgresql_server, postgresql_shop)
    taken = take(engine)
    with private_server() as other:
        execute(other, "postgres", "CREATE ROLE shop_reader CONNECTION LIMIT 3",
                "CREATE ROLE local_boss SUPERUSER")  # fmt: skip
        target = Plugin(other.options("shop again"))
        restore(target, taken)
        restore(target, taken, overwrite=True)  # Twice is no error.
        roles = dict(
            rows(other, "postgres", "SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname !~ '^pg_'")
        )
        assert roles["shop_reader"] == 3
        assert {"shop_owner", "reporting team", "local_boss"} <= roles.keys()
        found = differences(taken.witness, target.witness())
        assert found == ["role shop_reader: definition differs"]
        query = "SELECT rolpassword FROM pg_authid WHERE rolname = 'shop_owner'"
        assert rows(other, "postgres", query) == rows(postgresql_server, "postgres", query)


def test_a_concurrent_writer_does_not_disturb_the_comparison(
    postgresql_server: Server, postgresql_database: str, tmp_path: Path
) -> None:
    execute(postgresql_server, postgresql_database, "CREATE TABLE log (id bigserial PRIMARY KEY, t text)",
            "INSERT INTO log (t) SELECT repeat('x', 200) FROM generate_series(1, 20000)",
            "CREATE SEQUENCE calm START 5")  # fmt: skip
    stop = threading.Event()

    def write() -> None:
        with postgresql_server.connect(postgresql_database) as connection:
            while not stop.is_set():
                connection.execute("INSERT INTO log (t) VALUES ('more')")
                connection.execute("UPDATE log SET t = 'changed' WHERE id = (random() * 20000)::int")
                connection.execute("DELETE FROM log WHERE id = (random() * 20000)::int")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        engine = engine_for(postgresql_server, postgresql_database)
        taken = take(engine, lambda spec, block: time.sleep(0.002))
    finally:
        stop.set()
        writer.join()
    assert differences(taken.witness, engine.witness()) != []
    assert differences(taken.witness, prove(engine, taken, tmp_path)) == []
    assert b'setval(\'"public"."log_id_seq"\'' in taken.parts[1][2]


def test_truncate_waits_for_the_snapshot(postgresql_server: Server, postgresql_database: str) -> None:
    """TRUNCATE does not heed snapshots: without a lock the witness would see an empty table."""
    execute(postgresql_server, postgresql_database, "CREATE TABLE t AS SELECT 1 AS a")
    engine = engine_for(postgresql_server, postgresql_database)
    with engine.snapshot() as snapshot:
        list(snapshot.parts())
        with pytest.raises(Exception, match="lock timeout"):
            execute(postgresql_server, postgresql_database, "SET lock_timeout = '200ms'", "TRUNCATE t")
        assert snapshot.witness().contents["public.t"].count == 1


TAMPERING: list[tuple[str, str]] = [
    ("UPDATE customers SET ratio = ratio + 1e-13 WHERE id = 102", "public.customers: same count"),
    ("DELETE FROM \"order lines\" WHERE ctid = (SELECT max(ctid) FROM \"order lines\" WHERE \"line no\" = 1)",
     "public.order lines: 3 in the source, 2 after"),
    ("DROP TRIGGER stamp_it ON customers", "trigger public.customers.stamp_it: missing"),
    ("ALTER TABLE customers ENABLE TRIGGER sleeping", "trigger public.customers.sleeping: definition"),
    ("REVOKE INSERT ON customers FROM shop_reader", "rights on public.customers: definition"),
    ("REVOKE UPDATE (name) ON customers FROM \"reporting team\"", "rights on column public.customers.name: missing"),
    ("SELECT setval('invoice_number', 1020)", 'sequence value "public"."invoice_number": definition'),
    ("SELECT lo_put(424242, 0, 'X')", "large object 424242: same count"),
    ("ALTER TABLE customers NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY", "table public.customers: def"),
    ("DROP INDEX customers_lower", "index public.customers_lower: missing"),
    ("ALTER TABLE customers ALTER COLUMN discount SET DEFAULT 5", "table public.customers: definition"),
    ("ALTER TABLE sales.orders OWNER TO CURRENT_USER", "table sales.orders: definition"),
    ("COMMENT ON COLUMN customers.name IS NULL", "comment on table column public.customers.name: missing"),
    ("ALTER FUNCTION stamp() SECURITY INVOKER", "function public.stamp(): definition"),
    ("DROP EVENT TRIGGER watch_ddl", "event trigger watch_ddl: missing"),
    ("DROP EXTENSION hstore CASCADE", "extension hstore: missing"),
    ("REVOKE shop_reader FROM \"reporting team\"", 'role "reporting team": definition'),
    ("ALTER POLICY own_rows ON customers USING (true)", "policy public.customers.own_rows: definition"),
    ("ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'", "type public.mood: definition"),
    ("ALTER DEFAULT PRIVILEGES IN SCHEMA sales REVOKE SELECT ON TABLES FROM shop_reader", "default rights"),
]  # fmt: skip


def test_every_tampering_is_named(postgresql_server: Server, postgresql_shop: str) -> None:
    engine = engine_for(postgresql_server, postgresql_shop)
    before = engine.witness()
    for statement, expected in TAMPERING:
        with postgresql_server.connect(postgresql_shop) as connection:
            connection.execute("SET default_transaction_read_only = off; SET search_path = public, sales")
            connection.execute(statement.encode())
        after = engine.witness()
        names = differences(before, after)
        assert any(name.startswith(expected) for name in names), (statement, names)
        before = after


def test_a_server_that_dies_in_the_middle_ends_the_dump_with_an_error() -> None:
    with private_server() as server:
        execute(
            server, "postgres", "CREATE TABLE big AS SELECT repeat('x', 1000) FROM generate_series(1, 60000)"
        )
        engine = Plugin(server.options("postgres"))
        seen = 0

        def kill(spec: PartSpec, block: bytes) -> None:
            nonlocal seen
            seen += len(block)
            if spec.name == "database" and seen > 1_000_000:
                os.kill(server.pid, signal.SIGQUIT)

        with pytest.raises(OperationFailed, match=r"pg_dump failed with exit code 1") as caught:
            take(engine, kill)
        assert not caught.value.permanent
        with pytest.raises(OperationFailed) as gone:
            engine.inspect()
        assert gone.value.hint
        assert not gone.value.permanent


REFUSED: list[tuple[str, Callable[[dict[str, object], Path], None], str, bool]] = [
    ("wrong password", lambda o, p: (p / "w").write_text("nonsense-pass") and o.update(password=f"file:{p / 'w'}"),
     "password is wrong", True),
    ("unknown database", lambda o, p: o.update(database="no such thing"), "does not exist", True),
    ("unknown host", lambda o, p: o.update(host="no-such-host.invalid"), "cannot be resolved", True),
    ("closed port", lambda o, p: o.update(port=1), "Nothing listens", False),
    ("no SSL", lambda o, p: o.update(sslmode="require"), "does not speak SSL", True),
    ("no password", lambda o, p: o.update(password=""), "asks for a password", True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message", "permanent"), [one[1:] for one in REFUSED], ids=[o[0] for o in REFUSED]
)
def test_refusals_say_what_to_do(
    postgresql_server: Server,
    change: Callable[[dict[str, object], Path], None],
    message: str,
    permanent: bool,
    tmp_path: Path,
) -> None:
    options = postgresql_server.options("postgres")
    change(options, tmp_path)
    with pytest.raises(OperationFailed) as caught:
        Plugin(options).inspect()
    assert message in caught.value.message
    assert caught.value.hint
    assert caught.value.permanent is permanent
    assert "nonsense-pass" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_server_newer_than_the_client_is_refused(
    postgresql_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "version_text", lambda tool: "pg_dump (PostgreSQL) 14.9")
    engine = engine_for(postgresql_server, "postgres")
    with pytest.raises(OperationFailed, match="newest pg_dump here is 14") as caught:
        engine.inspect()
    assert "postgresql-client-15" in caught.value.hint
    with pytest.raises(OperationFailed, match="newest pg_dump"), engine.snapshot():
        pass


def test_no_scratch_without_the_version_or_an_extension(postgresql_server: Server, tmp_path: Path) -> None:
    engine = engine_for(postgresql_server, "postgres")
    with pytest.raises(NoScratch, match="of version 9"), engine.scratch(tmp_path, {"major": 9}):
        pass
    facts = {"major": 15, "extensions": {"postgis": "3.3", "plpgsql": "1.0"}}
    with pytest.raises(NoScratch, match="extensions postgis are"), engine.scratch(tmp_path, facts):
        pass


def test_the_owner_alone_as_on_managed_services(
    postgresql_server: Server, postgresql_database: str, tmp_path: Path
) -> None:
    """No superuser anywhere: take, restore over the original, and beside it."""
    execute(postgresql_server, postgresql_database, "CREATE ROLE owner LOGIN PASSWORD 'owner-pass' CREATEDB",
            "CREATE ROLE onlooker", f'ALTER DATABASE "{postgresql_database}" OWNER TO owner')  # fmt: skip
    engine = as_user(postgresql_server, postgresql_database, tmp_path, "owner", "owner-pass")
    with postgresql_server.connect(postgresql_database) as connection:
        connection.execute("SET SESSION AUTHORIZATION owner")
        connection.execute("CREATE EXTENSION citext")
        connection.execute("CREATE SCHEMA app CREATE TABLE t (id serial, a citext)")
        connection.execute("INSERT INTO app.t (a) VALUES ('x'), ('y')")
        connection.execute("CREATE TABLE public.u AS SELECT lo_from_bytea(99, 'scan') AS scan")
        connection.execute("GRANT SELECT ON app.t TO onlooker")
        connection.execute("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
    inspection = engine.inspect()
    assert not inspection.facts["superuser"]
    assert not inspection.capped
    taken = take(engine)
    assert "SCRAM" not in taken.text("globals")
    assert differences(taken.witness, prove(engine, taken, tmp_path)) == []
    execute(postgresql_server, postgresql_database, "DELETE FROM app.t", "DROP TABLE public.u")
    restore(engine, taken, overwrite=True)
    assert differences(taken.witness, engine.witness()) == []
    beside = engine.beside("beside the owner's")
    restore(beside, taken)
    try:
        assert differences(taken.witness, beside.witness()) == []
    finally:
        beside.drop()
