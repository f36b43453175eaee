"""Some tables of a PostgreSQL database alone: proven in a server of their own, put back between the others."""

import pytest

from backups.models import Level, Plan, Recovery, Set, Source
from backups.takes import take
from drcenter.errors import OperationFailed
from drcenter.jobs.work import run_job
from tests.live.postgresql_fixtures import rows
from tests.live.test_restore_databases import beside, over, quick

__all__ = ["quick"]
pytestmark = pytest.mark.django_db(transaction=True)

SCHEMA = """
CREATE SCHEMA sales;
CREATE TYPE sales.state AS ENUM ('open', 'paid');
CREATE FUNCTION sales.told() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.log VALUES (NEW.id); RETURN NEW; END';
CREATE TABLE customers (id int PRIMARY KEY, name text);
CREATE TABLE sales.orders (id serial PRIMARY KEY, customer int CONSTRAINT placed_by REFERENCES customers, state sales.state,
    tags text[], total numeric(12, 4) CHECK (total >= 0));
CREATE TABLE items (id int PRIMARY KEY, of_order int REFERENCES sales.orders ON DELETE CASCADE);
CREATE TABLE log (line int);
CREATE TABLE parted (id int, y int) PARTITION BY RANGE (y);
CREATE TABLE parted_one PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE "odd ""name" (x int GENERATED ALWAYS AS IDENTITY, body jsonb);
CREATE INDEX by_customer ON sales.orders (customer);
CREATE TRIGGER told AFTER INSERT ON sales.orders FOR EACH ROW EXECUTE FUNCTION sales.told();
INSERT INTO customers VALUES (1, 'Zoë'), (2, 'Bo');
INSERT INTO sales.orders (customer, state, tags, total) VALUES (1, 'open', '{a,b}', 1.5), (2, 'paid', NULL, 0);
INSERT INTO items VALUES (1, 1), (2, 2);
INSERT INTO parted VALUES (1, 1);
INSERT INTO "odd ""name" (body) VALUES ('{"a": 1}');
DELETE FROM log;
"""
SOME = ["sales.orders", "parted", 'odd "name']


@pytest.fixture
def ask(postgresql_server, postgresql_database: str):
    def ask(*statements: str, database: str = postgresql_database) -> list[tuple]:
        found = []
        with postgresql_server.connect(database) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
                found = cursor.fetchall() if cursor.description else []
        return found

    ask(SCHEMA)
    return ask


@pytest.fixture
def plan(ask, postgresql_server, postgresql_database: str, system, destination, key) -> Plan:
    options = {**postgresql_server.options(postgresql_database), "critical_tables": ["sales.orders", "log"]}
    source = Source.objects.create(
        system=system, name="db", engine="postgresql", tier="database", options=options
    )
    plan = Plan.objects.create(system=system, name="critical", level=Level.PROVEN, tables=SOME)
    plan.sources.set([source])
    plan.destinations.set([destination])
    return plan


@pytest.fixture
def taken(plan: Plan) -> Set:
    wanted = take.request(plan, requested_by="otto")
    run_job(wanted.job_id)
    return Set.objects.get(pk=wanted.pk)


def test_it_is_proven_and_says_what_it_is(taken: Set) -> None:
    assert (taken.state, taken.level, taken.level_reason) == ("complete", Level.PROVEN, ""), taken.message
    assert taken.partial == 'only 3 of 6 tables of db: sales.orders, public.parted, public.odd "name'
    assert [part.name for part in taken.parts.all()] == ["globals", "frame", "database"]
    [told] = [one for one in taken.findings if "Foreign keys lead out" in one["message"]]
    assert "items → sales.orders" in told["message"] and "sales.orders → customers" in told[
        "message"
    ].replace("public.", "")


def test_over_production_only_these_are_replaced(taken: Set, ask, key) -> None:
    before = ask("SELECT * FROM sales.orders ORDER BY id")
    ask("UPDATE sales.orders SET total = 99", "DROP INDEX sales.by_customer", "DELETE FROM parted")
    ask("INSERT INTO customers VALUES (3, 'of today')", "INSERT INTO log VALUES (7)")
    recovery = over(taken, key)
    assert (recovery.state, recovery.differences) == (Recovery.State.SUCCEEDED, []), recovery.message
    assert ask("SELECT * FROM sales.orders ORDER BY id") == before
    assert ask("SELECT * FROM parted_one") == [(1, 1)]
    assert len(ask("SELECT * FROM customers")) == 3
    assert ask("SELECT * FROM log") == [(7,)]
    assert ask("SELECT * FROM items ORDER BY id") == [(1, 1), (2, 2)]
    assert recovery.counts == {"db": {"sales.orders": 2}}
    # The keys in both directions hold, the trigger fires, the numbers go on.
    keys = ask("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated")
    assert keys == [(2,)]
    assert ask("INSERT INTO sales.orders (customer) VALUES (3) RETURNING id") == [(3,)]
    assert ask("SELECT * FROM log ORDER BY 1") == [(3,), (7,)]


def test_rows_that_would_not_fit_any_more_undo_all(taken: Set, ask, key) -> None:
    ask("INSERT INTO sales.orders (customer) VALUES (1)", "INSERT INTO items VALUES (3, 3)")
    before = ask("SELECT * FROM sales.orders ORDER BY id")
    recovery = over(taken, key)
    assert recovery.state == Recovery.State.ROLLED_BACK, recovery.message
    assert "violates foreign key constraint" in recovery.message
    assert ask("SELECT * FROM sales.orders ORDER BY id") == before
    assert len(ask("SELECT * FROM items")) == 3


def test_what_depends_on_a_table_is_not_dropped_with_it(taken: Set, ask, key) -> None:
    ask("CREATE VIEW totals AS SELECT sum(total) FROM sales.orders")
    recovery = over(taken, key)
    assert recovery.state != Recovery.State.SUCCEEDED
    assert "other objects depend on" in recovery.message
    assert len(ask("SELECT * FROM totals")) == 1 and len(ask("SELECT * FROM sales.orders")) == 2


def test_a_table_that_is_gone_comes_back(taken: Set, ask, key) -> None:
    ask("DROP TABLE items", "DROP TABLE sales.orders")
    recovery = over(taken, key)
    assert (recovery.state, recovery.differences) == (Recovery.State.SUCCEEDED, []), recovery.message
    assert len(ask("SELECT * FROM sales.orders")) == 2
    assert ask("SELECT conname::text FROM pg_constraint WHERE contype = 'f'") == [("placed_by",)]


def test_beside(taken: Set, postgresql_server, key) -> None:
    try:
        recovery = beside(taken, key, "some_tables")
        assert (recovery.state, recovery.differences) == (Recovery.State.SUCCEEDED, []), recovery.message
        query = "SELECT count(*) FROM pg_tables WHERE schemaname IN ('public', 'sales')"
        assert rows(postgresql_server, "some_tables", query) == [(4,)]
    finally:
        with postgresql_server.connect() as connection:
            connection.execute(b"DROP DATABASE IF EXISTS some_tables WITH (FORCE)")


def test_names_with_and_without_their_schema(plan: Plan) -> None:
    engine = plan.sources.get().build()
    assert engine.tables() == [
        "public.customers", "public.items", "public.log", 'public.odd "name', "public.parted", "sales.orders",
    ]  # fmt: skip
    with pytest.raises(OperationFailed, match="has a table order") as caught:
        take.request(plan, requested_by="otto", tables=["order"])
    assert "sales.orders" in caught.value.hint
