"""Nothing lost that was promised: a writer, a server that dies with its disk, and what comes back from the destinations.

Each round: numbered transactions of two rows each, every acknowledged one is noted with its time; SIGKILL to the server at
a random moment, its data directory deleted; then base and log are fetched from the destination alone. Synchronous: no
acknowledged transaction is missing, as long as the archiver's machine lives. Otherwise the tail that is missing is
shorter than the promised interval. Never a hole, never a half transaction. DRC_TEST_ROUNDS=50 for more rounds.
"""

import os
import random
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from backups.engines._postgresql_address import address_of, connected
from backups.engines.base import Engine
from backups.engines.postgresql_physical import Plugin
from backups.logs import chain
from backups.models import LogStream, Set
from backups.replay import bases
from backups.replay.plan import Target
from backups.replay.scratch import as_of
from drcenter.jobs.context import JobContext
from drcenter.jobs.models import Job
from tests.backups.taking import quick, taken
from tests.live.archiving_postgresql import MortalPostgresql, PostgresqlArchive, archive, mortal
from tests.live.running import wait_for

__all__ = ["archive", "mortal", "quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick")]

ROUNDS = int(os.environ.get("DRC_TEST_ROUNDS", "3"))
PROMISED_SECONDS = 10.0


@dataclass
class Writer:
    """One session after another thread's heart: it commits, and notes what was acknowledged."""

    mortal: MortalPostgresql
    acknowledged: dict[int, float] = field(default_factory=dict)

    def run(self, number: int) -> None:
        try:
            with self.mortal.server.connect() as connection:
                connection.execute("SET synchronous_commit = on")
                while True:
                    number += 2
                    connection.execute(
                        f"INSERT INTO orders VALUES ({2 * number}, 'one'), ({2 * number + 1}, 'other')".encode()
                    )
                    self.acknowledged[number] = time.monotonic()
        except psycopg.Error:
            return  # The server has died.


@pytest.fixture(params=[pytest.param(number, id=f"round-{number}") for number in range(ROUNDS)])
def synchronous(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Every other round."""
    yield request.param % 2 == 1


def wait_synchronous(mortal: MortalPostgresql) -> None:
    ((name,),) = mortal.execute("SELECT slot_name FROM pg_replication_slots")
    mortal.execute(
        f"ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 ({name})'", "SELECT pg_reload_conf()"
    )
    wait_for(lambda: mortal.execute("SELECT sync_state FROM pg_stat_replication WHERE sync_state = 'sync'"))


def write_and_die(mortal: MortalPostgresql) -> tuple[dict[int, float], float]:
    """What was acknowledged, and when the server died."""
    writers = [Writer(mortal), Writer(mortal)]
    threads = [threading.Thread(target=writer.run, args=(at,)) for at, writer in enumerate(writers)]
    for thread in threads:
        thread.start()
    time.sleep(random.uniform(2.0, 6.0))
    died = time.monotonic()
    mortal.kill()
    for thread in threads:
        thread.join()
    shutil.rmtree(mortal.directory)
    return writers[0].acknowledged | writers[1].acknowledged, died


def settled(stream: LogStream) -> bool:
    """The archiver has noticed, and everything that had arrived is at the destination."""
    stream.refresh_from_db()
    newest = stream.newest()
    places = list(stream.places.values_list("through", flat=True))
    return stream.state == LogStream.State.BROKEN and newest is not None and places == [newest.last]


def recovered(archive: PostgresqlArchive, base: Set) -> set[int]:
    """The numbers of the transactions that come back, from the destination alone."""
    known = bases.of(archive.stream.source)
    assert chain.gaps(known.segments) == []
    end = known.ways()[-1].reach.end
    plan = known.plan(Target(position=end))
    context = JobContext(Job.objects.create(kind="test", subject=1, target="test", title="test"))
    with as_of(context, known, plan, base.copies.get(), identities=[archive.identity]) as made:
        assert made.transactions >= plan.log_bytes // 100_000
        rows = told(made.place, "SELECT id / 2, count(*) FROM public.orders GROUP BY 1")
    assert all(count == 2 for _number, count in rows), "half a transaction"
    return {int(number) for number, _count in rows}


def told(place: Engine, query: str) -> list[tuple[Any, ...]]:
    assert isinstance(place, Plugin)
    server = place.restored.start()
    with connected(address_of(server.options("postgres"))) as connection:
        return connection.execute(query.encode()).fetchall()


def test_at_any_moment_is_what_was_committed_by_then(archive: PostgresqlArchive) -> None:
    """Of a busy server, by the server's own clock: all that was committed before, nothing that began after."""
    mortal = archive.mortal
    archive.start()
    archive.catch_up()
    base = taken(archive.plan)
    assert base.state == Set.State.COMPLETE, (base.message, base.hint)
    spans: dict[int, tuple[datetime, datetime]] = {}
    with mortal.server.connect() as connection, mortal.server.connect() as clock:

        def now() -> datetime:
            row = clock.execute("SELECT clock_timestamp()").fetchone()
            assert row is not None
            return row[0]

        began = time.monotonic()
        while time.monotonic() - began < 6:
            number, before = len(spans), now()
            connection.execute(f"INSERT INTO orders VALUES ({number}, 'x')".encode())
            spans[number] = (before, now())
    time.sleep(2)
    archive.catch_up()
    wait_for(lambda: bases.newest_reachable(bases.of(archive.stream.source)) > spans[len(spans) - 1][1], 20)
    known = bases.of(archive.stream.source)
    for number in sorted(random.sample(range(1, len(spans) - 1), 3)):
        moment = spans[number][0] + (spans[number][1] - spans[number][0]) * random.random()
        plan = known.plan(Target(moment=moment))
        context = JobContext(Job.objects.create(kind="test", subject=number, target="test", title="test"))
        with as_of(context, known, plan, base.copies.get(), identities=[archive.identity]) as made:
            found = {row[0] for row in told(made.place, "SELECT id FROM public.orders")}
        assert {one for one, (_, after) in spans.items() if after <= moment} <= found
        assert not {one for one, (before, _) in spans.items() if before > moment} & found
        assert len(found) in {number, number + 1}


def test_what_was_promised_comes_back(synchronous: bool, archive: PostgresqlArchive, tmp_path: Path) -> None:
    mortal = archive.mortal
    source = archive.stream.source
    source.options |= {"synchronous": synchronous}
    source.save()
    archive.start()
    archive.catch_up()
    base = taken(archive.plan)
    assert base.state == Set.State.COMPLETE, (base.message, base.hint)
    if synchronous:
        wait_synchronous(mortal)
    acknowledged, died = write_and_die(mortal)
    wait_for(lambda: settled(archive.stream), 30, f"the archiver to notice: {archive.said()}")
    archive.kill()
    began = time.monotonic()
    found = recovered(archive, base)
    lost = sorted(acknowledged.keys() - found)
    # Some are acknowledged while it dies.
    tail = max((died - acknowledged[number] for number in lost if acknowledged[number] < died), default=0.0)
    sys.stdout.write(
        f"{'synchronous' if synchronous else 'asynchronous'}: {len(acknowledged)} acknowledged, {len(lost)} lost,"
        f" a tail of {tail:.2f} s, recovered in {time.monotonic() - began:.1f} s\n"
    )
    assert len(acknowledged) > 20
    if synchronous:
        assert lost == []
    assert tail < PROMISED_SECONDS
    # What is missing is the end: nothing that was acknowledged later has come back.
    for parity in (0, 1):
        numbers = sorted(number for number in acknowledged if number % 2 == parity)
        kept = [number for number in numbers if number in found]
        assert kept == numbers[: len(kept)], "a hole"
