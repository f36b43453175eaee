"""A real PostgreSQL server under load, its log archived, brought back as of moments: it equals the writer's own record."""

import os
import random
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backups.engines._postgresql_address import address_of, connected
from backups.models import Recovery, Set, Source
from backups.replay import bases, rewind
from backups.replay.point import Point
from backups.replay.scratch import as_of, best_copy
from drcenter.jobs.work import run_job
from drcenter.secrets import Secret
from tests.backups.taking import quick, taken
from tests.live.archived import Quiet
from tests.live.archiving_postgresql import MortalPostgresql, PostgresqlArchive, archive, mortal
from tests.live.running import wait_for

__all__ = ["archive", "mortal", "quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick")]
MOMENTS = int(os.environ.get("DRC_TEST_MOMENTS", "3"))


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Writer:
    """Commits numbered transactions; transaction n leaves the rows 1 to n, and their number in another table."""

    mortal: MortalPostgresql
    begun: list[datetime] = field(default_factory=list)
    acknowledged: list[datetime] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        with self.mortal.server.connect() as connection:
            while not stop.is_set():
                number = len(self.begun) + 1
                with connection.transaction():
                    connection.execute("INSERT INTO orders VALUES (%s, 'x')", (number,))
                    time.sleep(random.random() * 0.02)
                    connection.execute("UPDATE totals SET value = value + 1")
                    self.begun.append(now())
                self.acknowledged.append(now())


def test_moments_equal_the_record_of_the_writer(archive: PostgresqlArchive, tmp_path: Path) -> None:
    mortal = archive.mortal
    mortal.execute("CREATE TABLE totals (value bigint)", "INSERT INTO totals VALUES (0)")
    archive.start()
    archive.catch_up()
    writer, stop = Writer(mortal), threading.Event()
    thread = threading.Thread(target=writer.run, args=(stop,))
    thread.start()
    try:
        base = taken(archive.plan)
        assert base.state == Set.State.COMPLETE, (base.message, base.hint)
        count = len(writer.acknowledged) + 120
        wait_for(lambda: len(writer.acknowledged) > count, 30)
    finally:
        stop.set()
        thread.join()
    archive.catch_up()
    wait_for(lambda: settled(archive, writer.acknowledged[-1]), 20)
    archive.kill()
    source = Source.objects.create(
        system=archive.plan.system, name="db", engine="postgresql", tier="database", options=mortal.options()
    )
    known = bases.of(source)
    earliest = max(base.taken for base in known.bases)
    dice = random.Random(5)
    for _round in range(MOMENTS):
        moment = earliest + (writer.acknowledged[-1] - earliest) * dice.random()
        plan = rewind.plan_for(known, Point(source.pk, moment=moment.isoformat()))
        copy = best_copy(known.based_on(plan)[0])
        with (
            as_of(Quiet(), known, plan, copy, identities=[archive.identity]) as there,
            connected(address_of(there.place.options)) as connection,
        ):
            ids = [
                row[0] for row in connection.execute("SELECT id FROM public.orders ORDER BY id").fetchall()
            ]
            ((value,),) = connection.execute("SELECT value FROM public.totals").fetchall()
        assert ids == list(range(1, value + 1))
        least = sum(1 for at in writer.acknowledged if at < moment)
        most = sum(1 for at in writer.begun if at <= moment)
        assert least <= value <= most
        assert most - least <= 1
    sys.stdout.write(
        f"PostgreSQL: {MOMENTS} moments, each the record of the writer; {len(writer.acknowledged)} transactions\n"
    )
    _becomes_a_set(archive, source, earliest + timedelta(seconds=0.5))


def settled(archive: PostgresqlArchive, moment: datetime) -> bool:
    archive.stream.refresh_from_db()
    until = archive.stream.stored_until
    return until is not None and until > moment


def _becomes_a_set(archive: PostgresqlArchive, source: Source, moment: datetime) -> None:
    """Of the database alone, as a dump: from it production is overwritten like from any other."""
    point = Point(source.pk, moment=moment.isoformat(), store=True)
    identity = Secret(str(archive.identity))
    row = rewind.request(source, point, requested_by="otto", identity=identity)
    assert row.job is not None
    run_job(row.job.pk)
    row = Recovery.objects.get(pk=row.pk)
    assert row.state == Recovery.State.SUCCEEDED, (row.message, row.hint)
    one = Set.objects.get(pk=row.point["stored"])
    assert {part.engine for part in one.parts.all()} == {"postgresql"}
    assert one.moment == moment
