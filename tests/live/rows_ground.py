"""A small shop in each kind of database, a set of it, and how it is damaged: for the tests of rows."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest

from backups.models import Copy, Level, Plan, RowChange, RowComparison, Source
from backups.recovery import approval, begin
from backups.rows import apply, changing, compare, results
from backups.rows.condition import parsed
from backups.rows.results import Held
from backups.rows.source import copy_at
from backups.servers.postgresql import Server as PostgreSQL
from drcenter.jobs.work import run_job
from drcenter.secrets import Secret
from tests.backups.approving import requester, second
from tests.backups.taking import taken
from tests.live.mariadb_fixtures import Database, mariadb_server
from tests.live.postgresql_fixtures import postgresql_database, postgresql_server

__all__ = ["mariadb_server", "postgresql_database", "postgresql_server"]

SHOP = [
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, name VARCHAR(50) NOT NULL)",
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers (id),"
    " total NUMERIC(12,2), note VARCHAR(200))",
    "CREATE TABLE items (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders (id) ON DELETE CASCADE,"
    " what VARCHAR(50))",
    "CREATE TABLE visits (page VARCHAR(50), visitor INTEGER)",
]


@dataclass
class Ground:
    """One source with a set of it. `ask` runs SQL in production."""

    kind: str
    ask: Callable[..., list[tuple[Any, ...]]]
    source: Source
    plan: Plan
    identity: str
    copies: list[Copy] = field(default_factory=list)

    def do(self, *statements: str) -> None:
        for statement in statements:
            self.ask(statement)

    def fill(self, *statements: str) -> None:
        customers = ", ".join(f"({number}, 'customer {number}')" for number in range(1, 6))
        orders = ", ".join(f"({n}, {n % 5 + 1}, {n}.5, 'it''s {n}%')" for n in range(1, 41))
        items = ", ".join(f"({number}, {number}, 'item {number}')" for number in range(1, 41))
        self.do(
            *SHOP, f"INSERT INTO customers VALUES {customers}", f"INSERT INTO orders VALUES {orders}",
            f"INSERT INTO items VALUES {items}",
            "INSERT INTO visits VALUES ('a', 1), ('a', 1), ('a', 1), ('b', NULL), ('b', 2)", *statements,
        )  # fmt: skip

    def take(self) -> Copy:
        one = taken(self.plan)
        assert one.state == "complete", (one.message, one.hint)
        self.copies.append(one.copies.get())
        return self.copies[-1]

    def compare(self, table: str, **more: Any) -> RowComparison:
        copy = copy_at(self.source, None)
        wanted = compare.request(
            copy, self.source, table, requested_by="otto", identity=Secret(self.identity), **more
        )
        run_job(wanted.job_id)
        return RowComparison.objects.get(pk=wanted.pk)

    def compared(self, table: str, **more: Any) -> RowComparison:
        found = self.compare(table, **more)
        assert found.state == "done", (found.message, found.hint)
        return found

    def held(self, comparison: RowComparison) -> list[Held]:
        with results.changed(compare.place_of(comparison)) as rows:
            return list(rows.each())

    def choose(self, comparison: RowComparison, *where: str, kinds: tuple[str, ...] = ()) -> int:
        with results.changed(compare.place_of(comparison)) as rows:
            names = [column.name for column in next(iter(rows.tables().values())).columns]
        return changing.chosen_of(comparison, parsed(where, names, kinds))

    def put_back(
        self, comparison: RowComparison, *where: str, kinds: tuple[str, ...] = (), **more: Any
    ) -> RowChange:
        self.choose(comparison, *where, kinds=kinds)
        return self.applied(changing.plan(comparison, requested_by="otto", **more))

    def applied(self, change: RowChange) -> RowChange:
        row = apply.request(change, typed_host=apply.to_type(change), requested_by="otto", user=requester())
        approval.approve(row, user=second(), seen=row.digest)
        run_job(begin.begin(row, actor="otto").job_id)
        return RowChange.objects.get(pk=change.pk)

    def undone(self, change: RowChange) -> RowChange:
        return self.applied(changing.plan_undo(change, requested_by="otto"))

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        names = ("customers", "orders", "items", "visits")
        return {name: sorted(self.ask(f"SELECT * FROM {name}"), key=repr) for name in names}


def _in_mariadb(request: pytest.FixtureRequest) -> Iterator[tuple[Callable[..., Any], dict[str, Any]]]:
    server, patch = request.getfixturevalue("mariadb_server"), request.getfixturevalue("monkeypatch")
    name = f"rows_{id(request):x}"
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
    database = Database(server, name, patch)

    def ask(statement: str) -> list[tuple[Any, ...]]:
        with server.connect(name) as connection, connection.cursor() as cursor:
            cursor.execute("SET sql_mode='', time_zone='+00:00'")
            cursor.execute(statement)
            rows = list(cursor.fetchall())
            connection.commit()
            return rows

    yield ask, dict(database.engine().options)
    database.execute(f"DROP DATABASE `{name}`")


def _in_postgresql(request: pytest.FixtureRequest) -> Iterator[tuple[Callable[..., Any], dict[str, Any]]]:
    server: PostgreSQL = request.getfixturevalue("postgresql_server")
    name = request.getfixturevalue("postgresql_database")

    def ask(statement: str) -> list[tuple[Any, ...]]:
        with server.connect(name) as connection:
            done = connection.execute(statement.encode())
            return done.fetchall() if done.description else []

    yield ask, dict(server.options(name))


def _in_sqlite(request: pytest.FixtureRequest) -> Iterator[tuple[Callable[..., Any], dict[str, Any]]]:
    path = request.getfixturevalue("tmp_path") / "shop.sqlite3"

    def ask(statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA foreign_keys=ON")
            return connection.execute(statement).fetchall()

    ask("PRAGMA journal_mode=WAL")
    yield ask, {"path": str(path)}


MAKERS = {"mariadb": _in_mariadb, "postgresql": _in_postgresql, "sqlite": _in_sqlite}


@pytest.fixture
def ground(request, system, destination, key, quick) -> Iterator[Ground]:
    """Ask for it indirectly: with the name of a kind."""
    kind = request.param
    for ask, options in MAKERS[kind](request):
        plan = Plan.objects.create(system=system, name="daily", level=Level.STORED)
        plan.destinations.set([destination])
        source = Source.objects.create(
            system=system, name="shop", engine=kind, tier="database", options=options
        )
        plan.sources.set([source])
        yield Ground(kind, ask, source, plan, key.identity)


def each_kind(*kinds: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("ground", kinds or tuple(MAKERS), indirect=True)
