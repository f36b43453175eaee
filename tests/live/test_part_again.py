"""The store fails in the middle of a database's dump: the dump alone is taken again, and is of one moment."""

import pytest

from backups.destinations.local import Plugin as Local
from backups.models import Level, Plan, Set, Source
from backups.takes import repeating
from drcenter.errors import OperationFailed
from tests.backups.taking import quick, taken
from tests.live.mariadb_fixtures import Database, database, mariadb_server

__all__ = ["database", "mariadb_server", "quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "key")]

SCHEMA = ("CREATE TABLE orders (id INT PRIMARY KEY, note TEXT)", "INSERT INTO orders VALUES (1, 'before')")
LATER = "INSERT INTO orders VALUES (2, 'while the store was away')"


def repeated(system, destination, monkeypatch, engine: str, options: dict, later) -> Set:
    source = Source.objects.create(system=system, name="db", engine=engine, tier="database", options=options)
    plan = Plan.objects.create(system=system, name="daily", level=Level.PROVEN)
    plan.sources.set([source])
    plan.destinations.set([destination])
    original, wait, asked = Local.put, repeating._wait, []

    def put(self, key, stream, *, expected_size=None):
        asked.append(key)
        if "-database." not in key or sum("-database." in one for one in asked) > 1:
            return original(self, key, stream, expected_size=expected_size)
        stream.read(300)
        raise OperationFailed("The store went away.")

    monkeypatch.setattr(Local, "put", put)
    monkeypatch.setattr(repeating, "_wait", lambda taking, seconds: (later(), wait(taking, seconds)))
    one = taken(plan)
    assert sum("-database." in key for key in asked) == 2
    return one


def test_mariadb(database: Database, system, destination, monkeypatch) -> None:
    database.fill(list(SCHEMA))
    options = database.engine().options
    one = repeated(system, destination, monkeypatch, "mariadb", options, lambda: database.execute(LATER))
    assert (one.state, one.level, one.level_reason) == ("complete", Level.PROVEN, ""), one.message


def test_postgresql(postgresql_server, postgresql_database: str, system, destination, monkeypatch) -> None:
    def run(*statements: str) -> None:
        with postgresql_server.connect(postgresql_database) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    run(*SCHEMA, "CREATE SEQUENCE numbers", "SELECT nextval('numbers')")
    options = postgresql_server.options(postgresql_database)
    one = repeated(
        system,
        destination,
        monkeypatch,
        "postgresql",
        options,
        lambda: run(LATER, "SELECT nextval('numbers')"),
    )
    assert (one.state, one.level, one.level_reason) == ("complete", Level.PROVEN, ""), one.message
