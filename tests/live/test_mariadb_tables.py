"""Some tables of a MariaDB database alone: proven in a server of their own, put back between the others."""

import pytest

from backups.models import Level, Plan, Recovery, Set, Source
from backups.takes import take
from drcenter.jobs.work import run_job
from tests.live.mariadb_fixtures import Database, database, mariadb_server
from tests.live.test_restore_databases import beside, over, quick

__all__ = ["database", "mariadb_server", "quick"]
pytestmark = pytest.mark.django_db(transaction=True)

SCHEMA = [
    "CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(50))",
    "CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, customer INT, rate FLOAT,"
    " CONSTRAINT placed_by FOREIGN KEY (customer) REFERENCES customers (id))",
    "CREATE TABLE items (id INT PRIMARY KEY, of_order INT, FOREIGN KEY (of_order) REFERENCES orders (id))",
    "CREATE TABLE log (line VARCHAR(50))",
    "CREATE SEQUENCE numbers START WITH 5",
    "CREATE VIEW totals AS SELECT customer, COUNT(*) AS n FROM orders GROUP BY customer",
    "CREATE PROCEDURE pay() SELECT 1",
    "CREATE TRIGGER told AFTER INSERT ON orders FOR EACH ROW INSERT INTO log VALUES (NEW.id)",
    "INSERT INTO customers VALUES (1, 'Zoë'), (2, 'Bo')",
    "INSERT INTO orders (customer, rate) VALUES (1, 16777216), (2, 0.1), (1, 3)",
    "INSERT INTO items VALUES (1, 1), (2, 3)",
    "DELETE FROM log",
]


@pytest.fixture
def plan(database: Database, system, destination, key) -> Plan:
    database.fill(SCHEMA)
    options = {**database.engine().options, "critical_tables": ["orders", "log"]}
    source = Source.objects.create(
        system=system, name="db", engine="mariadb", tier="database", options=options
    )
    plan = Plan.objects.create(
        system=system, name="critical", level=Level.PROVEN, tables=["orders", "numbers"]
    )
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
    assert taken.partial == "only 2 of 5 tables of db: orders, numbers"
    assert not taken.capped
    [told] = [one for one in taken.findings if "Foreign keys lead out" in one["message"]]
    assert "items → orders" in told["message"] and "orders → customers" in told["message"]


def test_over_production_only_these_are_replaced(taken: Set, database: Database, key) -> None:
    before = {
        name: database.execute(f"SHOW CREATE TABLE {name}") for name in ("orders", "items", "customers")
    }
    rows = database.execute("SELECT * FROM orders ORDER BY id")
    database.execute("UPDATE orders SET rate = 0")
    database.execute("INSERT INTO customers VALUES (3, 'of today')")
    database.execute("INSERT INTO log VALUES ('of today')")
    recovery = over(taken, key)
    assert (recovery.state, recovery.differences) == (Recovery.State.SUCCEEDED, []), recovery.message
    assert database.execute("SELECT * FROM orders ORDER BY id") == rows
    assert len(database.execute("SELECT * FROM customers")) == 3
    assert database.execute("SELECT * FROM log") == [("of today",)]
    assert database.execute("SELECT * FROM items ORDER BY id") == [(1, 1), (2, 3)]
    assert {name: database.execute(f"SHOW CREATE TABLE {name}") for name in before} == before
    assert database.execute("SELECT n FROM totals WHERE customer = 1") == [(2,)]
    assert recovery.counts == {"db": {"orders": 3}}
    database.execute("INSERT INTO orders (customer) VALUES (1)")
    assert len(database.execute("SELECT * FROM log")) == 2


def test_a_table_that_is_gone_comes_back(taken: Set, database: Database, key) -> None:
    database.execute("DROP TABLE items")
    database.execute("DROP TABLE orders")
    recovery = over(taken, key)
    assert recovery.state == Recovery.State.SUCCEEDED, recovery.message
    assert len(database.execute("SELECT * FROM orders")) == 3
    assert database.execute("SHOW TABLES LIKE 'items'") == []


def test_beside(taken: Set, database: Database, key) -> None:
    try:
        recovery = beside(taken, key, "some_tables")
        assert (recovery.state, recovery.differences) == (Recovery.State.SUCCEEDED, []), recovery.message
        tables = {name for (name,) in database.execute("SHOW TABLES FROM some_tables")}
        assert tables == {"orders", "numbers"}
    finally:
        database.execute("DROP DATABASE IF EXISTS some_tables")
