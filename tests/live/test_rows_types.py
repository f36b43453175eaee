"""Every kind of value comes back exactly: each row of each table is changed or deleted, put back, and compared."""

import pytest

from tests.backups.taking import quick
from tests.live.mariadb_fixtures import SCHEMA
from tests.live.rows_ground import each_kind, ground, mariadb_server, postgresql_database, postgresql_server

__all__ = ["ground", "mariadb_server", "postgresql_database", "postgresql_server", "quick"]
pytestmark = pytest.mark.django_db(transaction=True)


def restored(ground, table: str) -> None:
    done = ground.put_back(ground.compared(table))
    assert done.state == "applied", (table, done.message, done.conflicts)


@each_kind("mariadb")
def test_mariadb(ground) -> None:
    ground.do(*SCHEMA)
    for (name,) in ground.ask(
        "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()"
    ):
        ground.do(f"DROP TRIGGER `{name}`")
    ground.do(
        "CREATE TABLE odd (id BIGINT UNSIGNED PRIMARY KEY, d DATETIME, t TIMESTAMP NULL, j JSON, u UUID, i INET6, n DECIMAL(65,30),"
        " c CHAR(5) CHARACTER SET ucs2, b BINARY(3), tm TIME(6), z ENUM('', 'a''b', '%s'))",
        "INSERT INTO odd VALUES (18446744073709551615, '0000-00-00', '2024-03-31 00:30:00', '{\"a\": \"%s\"}', UUID(), '::1',"
        " -0.000000000000000000000000000001, 'é', x'0000ff', '-838:59:59.000001', '%s'),"
        " (9007199254740993, NULL, NULL, NULL, NULL, NULL, 12345678901234567890123456789012345.1, '', '', '00:00:00', ''),"
        " (9007199254740992, NULL, NULL, NULL, NULL, NULL, 1, 'x', '', NULL, 'a''b')",
    )
    tables = (
        "measures",
        "files",
        "odd",
        "`ta``b'l\"e ü`",
        "`order notes`",
        "parted",
        "rates",
        "orders",
        "customers",
    )
    names = [table.strip("`").replace("``", "`") for table in tables]
    exact = {"measures": ", f * 1.0e0, ST_AsText(place), ST_SRID(place)", "rates": ", rate * 1.0e0"}

    def rows(table: str):
        columns = "id, rate" if table == "rates" else "*"
        return sorted(ground.ask(f"SELECT {columns}{exact.get(table, '')} FROM {table}"), key=repr)

    before = {table: rows(table) for table in tables}
    ground.take()
    ground.do(*(f"DELETE FROM {table}" for table in tables if table != "customers"), "DELETE FROM customers")
    for name in reversed(names):
        restored(ground, name)
    assert {table: rows(table) for table in tables} == before
    ground.do(
        "UPDATE measures SET f = 1, d = 2, place = NULL, bits = 1, body = x'00', words = 'x', kind = 'x', y = NULL"
    )
    ground.do(
        "UPDATE odd SET d = '2024-01-01', n = 2, c = 'E', b = NULL, z = 'a''b'",
        "UPDATE customers SET name = upper(name), nick = 'X'",
    )
    for table in ("measures", "odd", "customers"):
        restored(ground, table)
    assert {table: rows(table) for table in tables} == before


@each_kind("postgresql")
def test_postgresql(ground) -> None:
    ground.do(
        "CREATE TYPE mood AS ENUM ('sad', 'o''k %s')",
        "CREATE TYPE point3 AS (x float8, y float8, label text)",
        "CREATE DOMAIN price AS numeric(12,2) CHECK (VALUE >= 0)",
        'CREATE TABLE "odd ""%s" (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n numeric, f real, d double precision,'
        " b bytea, j json, jb jsonb, a text[], aa int[][], m mood, p point3, pr price, ts timestamptz, tz time with time zone,"
        " iv interval, i inet, r int4range, bits bit varying, u uuid, x xml, c char(5), g point, tv tsvector,"
        " twice bigint GENERATED ALWAYS AS (id * 2) STORED)",
        'INSERT INTO "odd ""%s" (n, f, d, b, j, jb, a, aa, m, p, pr, ts, tz, iv, i, r, bits, u, x, c, g, tv) VALUES'
        " ('NaN', 'Infinity', 'NaN', '\\x00ff27', '{\"a\":  1, \"a\": 2}', '{\"b\": [1, null]}', '{NULL,\"NULL\",\"a\\\"b\",\"\"}',"
        " '{{1,2},{3,4}}', 'o''k %s', '(1,2,\"x,y\")', 9.99, '2024-03-31 01:30:00+01', '12:00:00+02', '1 mon -3 days 04:00',"
        " '10.0.0.1/8', '[1,5)', '1011', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '<a>ü</a>', 'é', '(1,2)', 'a:1 b:2'),"
        " (0.1000, 0.1, 0.1, '', NULL, NULL, '{}', NULL, NULL, NULL, NULL, 'infinity', NULL, NULL, NULL, 'empty', '', NULL, NULL, '', NULL, '')",
        "CREATE TABLE parted (id int, y int, PRIMARY KEY (id, y)) PARTITION BY RANGE (y)",
        "CREATE TABLE early PARTITION OF parted FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE late PARTITION OF parted FOR VALUES FROM (10) TO (100)",
        "INSERT INTO parted VALUES (1, 5), (2, 50)",
    )  # fmt: skip

    def rows():
        return {
            name: ground.ask(f"SELECT t::text FROM {name} t ORDER BY 1") for name in ('"odd ""%s"', "parted")
        }

    before = rows()
    ground.take()
    ground.do('DELETE FROM "odd ""%s"', "DELETE FROM parted")
    for name in ('odd "%s', "parted"):
        restored(ground, name)
    assert rows() == before
    ground.do(
        "UPDATE \"odd \"\"%s\" SET n = 1, f = 2, d = 3, b = NULL, j = '[]', a = NULL, m = 'sad', p = NULL, ts = now(), x = NULL"
    )
    restored(ground, 'odd "%s')
    assert rows() == before


@each_kind("sqlite")
def test_sqlite(ground) -> None:
    ground.do(
        "CREATE TABLE loose (id INTEGER PRIMARY KEY, a, b, c)",
        "INSERT INTO loose VALUES (1, 1, 1.0, '1'), (2, x'31', NULL, ''), (3, 9e999, -9223372036854775808, 'ü\n''%s'),"
        " (4, 0.1, x'', 'NULL')",
        "CREATE TABLE plain (a TEXT, b TEXT COLLATE NOCASE, PRIMARY KEY (a, b)) WITHOUT ROWID",
        "INSERT INTO plain VALUES ('a', 'B'), ('A', 'b')",
    )

    def rows():
        return [
            ground.ask(f"SELECT *, {kinds} FROM {name} ORDER BY 1")
            for name, kinds in (("loose", "typeof(a), typeof(b), typeof(c)"), ("plain", "typeof(a)"))
        ]

    before = rows()
    ground.take()
    ground.do("DELETE FROM loose", "DELETE FROM plain")
    for name in ("loose", "plain"):
        restored(ground, name)
    assert rows() == before
    ground.do("UPDATE loose SET a = CAST(a AS TEXT), b = 1, c = 1", "UPDATE plain SET b = upper(b)")
    for name in ("loose", "plain"):
        restored(ground, name)
    assert rows() == before


@each_kind("mariadb", "postgresql")
def test_a_trigger_that_changes_what_is_written_stops_everything(ground) -> None:
    ground.fill()
    ground.take()
    ground.do("DELETE FROM visits")
    if ground.kind == "mariadb":
        ground.do("CREATE TRIGGER t BEFORE INSERT ON visits FOR EACH ROW SET NEW.page = 'z'")
    else:
        ground.do(
            "CREATE FUNCTION z() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.page := 'z'; RETURN NEW; END$$",
            "CREATE TRIGGER t BEFORE INSERT ON visits FOR EACH ROW EXECUTE FUNCTION z()",
        )
    found = ground.compared("visits")
    assert "Triggers" in " ".join(found.notes)
    refused = ground.put_back(found)
    assert (refused.state, ground.ask("SELECT * FROM visits")) in (("failed", []), ("failed", ()))
    assert "a trigger" in refused.message
    if ground.kind == "postgresql":
        assert ground.put_back(found, without_triggers=True).state == "applied"
        assert len(ground.ask("SELECT * FROM visits WHERE page = 'a'")) == 3


@each_kind("mariadb")
def test_a_table_without_transactions_is_only_exported(ground) -> None:
    ground.do(
        "CREATE TABLE logged (id INT PRIMARY KEY, what TEXT) ENGINE=MyISAM",
        "INSERT INTO logged VALUES (1, 'x')",
    )
    ground.take()
    ground.do("DELETE FROM logged")
    refused = ground.put_back(ground.compared("logged"))
    assert refused.state == "failed"
    assert "knows no transactions" in refused.message
    assert ground.ask("SELECT * FROM logged") == []
