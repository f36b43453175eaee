"""Two database servers in one set: what each holds is as at the one moment that the set says."""

import io
import json
import threading
import time
from datetime import datetime, timedelta
from typing import Any

import pytest
import zstandard
from django.utils import timezone

from backups.models import Destination, Level, Plan, Set, Source
from backups.servers.postgresql import Server as PostgresqlServer
from drcenter.systems.models import System
from tests.backups.taking import quick, root, taken
from tests.live.mariadb_fixtures import Database, database, mariadb_server

__all__ = ["database", "mariadb_server", "quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick")]


class Writer(threading.Thread):
    """Writes a row into both databases, one after the other, and notes when each was begun and committed."""

    def __init__(self, mariadb: Database, server: PostgresqlServer, name: str) -> None:
        super().__init__(daemon=True)
        self.mariadb, self.server, self.name_there = mariadb, server, name
        self.stopped = threading.Event()
        self.times: dict[str, list[tuple[datetime, datetime]]] = {"maria": [], "postgres": []}

    def run(self) -> None:
        with (
            self.mariadb.server.connect(self.mariadb.name) as one,
            one.cursor() as cursor,
            self.server.connect(self.name_there) as two,
        ):
            one.autocommit(True)
            two.autocommit = True
            while not self.stopped.is_set():
                for name, place in (("maria", cursor), ("postgres", two)):
                    began = timezone.now()
                    place.execute("INSERT INTO ticks (v) VALUES (1)")
                    self.times[name].append((began, timezone.now()))
                time.sleep(0.002)

    def __enter__(self) -> "Writer":
        self.start()
        time.sleep(0.3)
        return self

    def __exit__(self, *_error: object) -> None:
        self.stopped.set()
        self.join()


@pytest.fixture
def both(
    database: Database, postgresql_server: PostgresqlServer, postgresql_database: str, system: System, destination: Destination
) -> Plan:  # fmt: skip
    database.fill(["CREATE TABLE ticks (id INT AUTO_INCREMENT PRIMARY KEY, v INT)"])
    with postgresql_server.connect(postgresql_database) as connection:
        connection.execute("CREATE TABLE ticks (id serial PRIMARY KEY, v int)")
    places: dict[str, tuple[str, dict[str, Any]]] = {
        "maria": ("mariadb", database.engine().options),
        "postgres": ("postgresql", postgresql_server.options(postgresql_database)),
    }
    plan = Plan.objects.create(system=system, name="daily", side_by_side=2, encrypt=False, level=Level.INTACT)
    plan.destinations.set([destination])
    plan.sources.set(
        Source.objects.create(system=system, name=name, engine=kind, tier="database", options=options)
        for name, (kind, options) in places.items()
    )
    return plan


def rows_of(one: Set, destination: Destination) -> dict[str, int]:
    """How many rows each database had, as the witness in the set says."""
    packed = (root(destination) / one.prefix / "details.json.zst").read_bytes()
    details = json.load(zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)))
    return {
        name: next(
            count for table, (count, *_rest) in source["witness"]["contents"].items() if "ticks" in table
        )
        for name, source in details["sources"].items()
    }


def test_both_are_as_at_the_moment_of_the_set(
    both: Plan, destination: Destination, database: Database, postgresql_server: PostgresqlServer, postgresql_database: str
) -> None:  # fmt: skip
    with Writer(database, postgresql_server, postgresql_database) as writer:
        one = taken(both)
    assert one.state == Set.State.COMPLETE, (one.message, one.hint)
    assert one.moment is not None and one.spread is not None
    assert one.spread < 5
    found = rows_of(one, destination)
    for name, times in writer.times.items():
        committed_before = sum(ended <= one.moment for _began, ended in times)
        begun_by_then = sum(began <= one.moment + timedelta(seconds=one.spread) for began, _ended in times)
        assert committed_before > 10
        assert committed_before <= found[name] <= begun_by_then < len(times), (name, one.spread)
