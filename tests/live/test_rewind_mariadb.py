"""A real MariaDB database under load, brought back as of moments: it equals the writer's own record."""

import io
import json
import os
import random
import secrets
import shlex
import signal
import sys
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections

from backups import leftovers
from backups.engines._mariadb_connect import connected, execute, login_from
from backups.models import Destination, Level, LogSegment, LogStream, Plan, Recovery, Set, Source
from backups.recovery import identities
from backups.replay import bases, moments, rewind, scratch, words
from backups.replay.point import Point
from backups.replay.scratch import as_of, best_copy
from backups.servers.mariadb import Server, private_server
from backups.takes import take
from drcenter.errors import OperationFailed
from drcenter.jobs import context as context_module
from drcenter.jobs import work as edge
from drcenter.jobs.models import Job
from drcenter.jobs.reap import lose
from drcenter.jobs.work import run_job
from drcenter.process import Command, run
from drcenter.secrets import Secret
from tests.backups.scene import flip
from tests.live.archived import KEPT, SCHEMA, Archive, Quiet, Writer, expected, now
from tests.live.dying_worker import run_and_die

pytestmark = pytest.mark.django_db(transaction=True)
MOMENTS = int(os.environ.get("DRC_TEST_MOMENTS", "4"))


@dataclass
class Scene:
    """A source with sets taken under load, and its log in an archive."""

    server: Server
    source: Source
    plan: Plan
    writer: Writer
    archive: Archive
    identity: Secret
    stream: LogStream
    name: str

    def back(self, point: Point, **changes: object) -> Recovery:
        """Bring it back; the row afterwards."""
        point.store = True
        row = rewind.request(self.source, point, requested_by="otto", identity=self.identity)
        assert row.job is not None
        run_job(row.job.pk)
        return Recovery.objects.get(pk=row.pk)

    def at(self, moment: object) -> Point:
        return Point(source=self.source.pk, moment=moment.isoformat())  # type: ignore[attr-defined]

    def stored(self, segment: LogSegment, place: Destination) -> Path:
        return Path(place.options["path"]) / segment.key


@pytest.fixture
def quick(monkeypatch) -> None:
    monkeypatch.setattr(context_module, "BEAT_SECONDS", 0.3)
    monkeypatch.setattr(context_module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(edge._Process, "stops", False)


def set_of(plan: Plan) -> Set:
    wanted = take.request(plan, requested_by="otto")
    run_job(wanted.job.pk)
    one = Set.objects.get(pk=wanted.pk)
    assert one.state == Set.State.COMPLETE, (one.message, one.hint)
    return one


@pytest.fixture
def scene(quick, system, destination, key, monkeypatch):
    name = f"shop_{secrets.token_hex(3)}"
    with private_server(binlog=True) as server:
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
            cursor.execute(f"USE {name}")
            for statement in SCHEMA:
                cursor.execute(statement)
        monkeypatch.setenv("DRC_TEST_ROOT", server.password.reveal())
        options = {"host": server.host, "port": server.port, "user": "root", "password": "env:DRC_TEST_ROOT"}
        source = Source.objects.create(
            system=system, name="db", engine="mariadb", tier="database",
            options={**options, "database": name, "critical_tables": ["orders"]},
        )  # fmt: skip
        plan = Plan.objects.create(system=system, name="daily", level=Level.INTACT)
        plan.sources.set([source])
        plan.destinations.set([destination])
        writer, archive = Writer(server, name), Archive(server, key.recipient)
        with archive.watching(), writer.writing():
            for _round in range(2):
                set_of(plan)
                wait_for(writer, len(writer.acknowledged) + 60)
        stream = archive.store(source, plan, [destination])
        yield Scene(server, source, plan, writer, archive, Secret(key.identity), stream, name)


def wait_for(writer: Writer, count: int) -> None:
    while len(writer.acknowledged) < count:
        time.sleep(0.05)


def held(rows) -> tuple[list[int], dict[str, int]]:
    ids = [row[0] for row in rows("SELECT id FROM orders ORDER BY id")]
    return ids, dict(rows("SELECT name, value FROM totals"))


def in_scratch(scene: Scene, moment: datetime) -> tuple[list[int], dict[str, int]]:
    """What a scratch server holds as of then; checked against the record of the writer."""
    known = bases.of(scene.source)
    plan = rewind.plan_for(known, scene.at(moment))
    copy = best_copy(known.based_on(plan)[0])
    people = identities.parse(scene.identity.reveal())
    with (
        as_of(Quiet(), known, plan, copy, identities=people) as there,
        connected(login_from(there.place.options), scene.name) as connection,
    ):
        found = held(lambda statement: execute(connection, statement))
    check(scene, found, plan.surely, plan.atmost)
    return found


def check(scene: Scene, found: tuple[list[int], dict[str, int]], surely: datetime, atmost: datetime) -> None:
    number = found[1]["transactions"]
    assert found == expected(number)
    least, most = scene.writer.between(surely, atmost)
    assert least <= number <= most
    assert atmost - surely < timedelta(seconds=5)


def first_moment(scene: Scene) -> datetime:
    taken = Set.objects.complete().order_by("pk")[0].moments["db"]["taken"]
    return max(scene.writer.acknowledged[3], datetime.fromisoformat(taken))


def test_random_moments_equal_the_record_of_the_writer(scene: Scene) -> None:
    dice = random.Random(4)
    earliest = first_moment(scene)
    span = scene.writer.acknowledged[-1] - earliest
    numbers = {
        in_scratch(scene, earliest + span * dice.random())[1]["transactions"] for _round in range(MOMENTS)
    }
    assert len(numbers) > 1
    sys.stdout.write(
        f"MariaDB: {MOMENTS} moments, each the record of the writer; {len(scene.writer.acknowledged)} transactions\n"
    )


def test_from_the_command_into_a_database_beside(scene: Scene, tmp_path, capsys) -> None:
    moment = scene.writer.acknowledged[-20]
    told, identity = words.told(moment, ZoneInfo(scene.source.system.time_zone)), tmp_path / "identity.txt"
    identity.write_text(scene.identity.reveal())
    call_command("recover", "to-timestamp", "shop", told, "--plan-only", "--json")
    plan = json.loads(capsys.readouterr().out)
    assert plan["set"] == str(Set.objects.complete().order_by("-pk")[0])
    assert plan["log_bytes"] > 0
    beside = f"{scene.name}_beside"
    call_command(
        "recover",
        "to-timestamp",
        "shop",
        told,
        "--beside",
        beside,
        "--yes",
        "--json",
        "--identity-file",
        str(identity),
    )
    assert json.loads(capsys.readouterr().out)["state"] == "succeeded"
    with scene.server.connect(beside) as connection, connection.cursor() as cursor:

        def rows(statement: str) -> list[tuple]:
            cursor.execute(statement)
            return list(cursor.fetchall())

        check(
            scene, held(rows), datetime.fromisoformat(plan["surely"]), datetime.fromisoformat(plan["atmost"])
        )
    row = Recovery.objects.get(place=Recovery.Place.SCRATCH)
    assert [step["ok"] for step in row.steps] == [True] * 5
    one = Set.objects.get(pk=Point.from_json(row.point).stored)
    assert (one.reason, one.apart, one.encrypted) == (Set.Reason.MOMENT, True, True)
    # It is no backup of today, and nothing is replayed onto it.
    assert scene.plan.newest_good() != one
    assert str(one.identifier) not in [base.name.partition("/")[0] for base in bases.of(scene.source).bases]
    assert bases.rates().measured


def test_just_before_a_statement_and_up_to_a_transaction(scene: Scene, tmp_path, capsys) -> None:
    identity = tmp_path / "identity.txt"
    identity.write_text(scene.identity.reveal())
    usual = ["recover", "to-timestamp", "shop", "--plan-only", "--json", "--identity-file", str(identity)]
    with pytest.raises(CommandError, match="Several fit") as several:
        call_command(*usual, "--before-statement", f"delete {scene.name}.ORDERS")
    assert f"delete {scene.name}.orders" in str(several.value)
    with pytest.raises(CommandError, match="Several fit") as several:
        call_command(*usual, "--before-statement", "delete  from `orders`")
    # 1. 2026-… binlog.000003:4711  0-1-99  DELETE FROM orders WHERE id <= 7
    line = str(several.value).splitlines()[5]
    assert "DELETE FROM orders WHERE id <=" in line
    deleted = int(line.rpartition(" ")[2])
    call_command(*usual, "--before-statement", f"where id <= {deleted}")
    stop = json.loads(capsys.readouterr().out)["stop"]
    assert stop in line
    gtid = line.split()[4]
    call_command(*usual, "--gtid", gtid)
    behind = json.loads(capsys.readouterr().out)["stop"]
    for position, number in ((stop, deleted + KEPT - 1), (behind, deleted + KEPT)):
        known, point = bases.of(scene.source), Point(scene.source.pk, position=position)
        plan = rewind.plan_for(known, point)
        people = identities.parse(scene.identity.reveal())
        with (
            as_of(Quiet(), known, plan, best_copy(known.based_on(plan)[0]), identities=people) as there,
            connected(login_from(there.place.options), scene.name) as connection,
        ):
            assert held(lambda statement, connection=connection: execute(connection, statement)) == expected(
                number
            )
    with pytest.raises(CommandError, match="No transaction of that time"):
        call_command(*usual[:-3], "--identity-file", str(identity), "--before-statement", "TRUNCATE nothing")


def test_a_look_ends_when_somebody_says_so(scene: Scene) -> None:
    point = scene.at(scene.writer.acknowledged[-20])
    point.keep_minutes = 5
    row = rewind.request(scene.source, point, requested_by="otto", identity=scene.identity)
    thread = threading.Thread(target=_run, args=(row.job.pk,))
    thread.start()
    access = ""
    while not access:
        time.sleep(0.1)
        row.refresh_from_db()
        assert row.state in {Recovery.State.WAITING, Recovery.State.RUNNING}, (row.message, row.hint)
        access = row.point.get("access", "") if row.point.get("until") else ""
    *command, database = shlex.split(access)
    counted = run(Command((*command, "--batch", "-e", "SELECT COUNT(*) FROM orders", database)))
    assert counted.stdout.split()[1] == b"40"
    rewind.wish(row, "end", requested_by="otto")
    thread.join()
    row.refresh_from_db()
    assert (row.state, row.point["until"], row.point["stored"]) == (Recovery.State.SUCCEEDED, "", None)
    assert row.counts["db"] == {"orders": 40}
    assert not Path(command[1].partition("=")[2]).exists()
    with pytest.raises(OperationFailed, match="does not run"):
        rewind.wish(row, "store", requested_by="otto")


def _run(pk: int) -> None:
    try:
        run_job(pk)
    finally:
        connections.close_all()


def test_a_flipped_bit_in_the_log_stops_it_before_anything(scene: Scene, destination) -> None:
    point = scene.at(scene.writer.acknowledged[-20])
    number = rewind.plan_for(bases.of(scene.source), point).segments[-1].number
    flip(scene.stored(scene.stream.segments.get(number=number), destination))
    # Killed workers of other tests may have left something: it is swept some time.
    place = Path(settings.STATE_DIR) / "scratch"
    before = set(place.iterdir()) if place.exists() else set()
    failed = scene.back(point)
    assert failed.state == Recovery.State.FAILED
    assert f"segment {number} of the log" in failed.message
    assert "The last moment before it is" in failed.hint
    assert [step["step"] for step in failed.steps] == ["fetch the log"]
    assert set(place.iterdir()) <= before
    # What the hint offers can be had.
    offered = failed.hint.rpartition(" is ")[2].rstrip(".")
    in_scratch(scene, moments.read(offered, ZoneInfo(scene.source.system.time_zone), now()))


def test_a_segment_that_is_missing_at_one_destination_comes_from_another(
    scene: Scene, destination, tmp_path
) -> None:
    other = Destination.objects.create(name="other", kind="local", options={"path": str(tmp_path / "other")})
    other.build().prepare()
    scene.stream.places.create(destination=other, through=10**6)
    for row in scene.stream.segments.all():
        content = scene.stored(row, destination).read_bytes()
        other.build().put(row.key, io.BytesIO(content), expected_size=len(content))
    last, first = scene.stream.segments.order_by("-number")[0], scene.stream.segments.order_by("-number")[1]
    scene.stored(last, destination).unlink()
    flip(scene.stored(first, other))
    in_scratch(scene, scene.writer.acknowledged[-2])


def test_a_gap_is_told_before_anything_is_asked_of_the_disk(scene: Scene) -> None:
    last = scene.stream.segments.order_by("-number")[0]
    scene.stream.segments.filter(number=last.number - 1).delete()
    with pytest.raises(OperationFailed, match="is missing, from") as refused:
        rewind.request(scene.source, scene.at(scene.writer.acknowledged[-2]), requested_by="otto")
    assert "The last moment before it is" in refused.value.hint
    assert not Recovery.objects.exists()


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(scene: Scene, monkeypatch) -> None:
    monkeypatch.setattr(scratch, "RESERVE", 1 << 60)
    failed = scene.back(scene.at(scene.writer.acknowledged[-2]))
    assert failed.state == Recovery.State.FAILED
    assert "are free" in failed.message
    assert failed.steps == []


def test_a_worker_that_is_killed_leaves_nothing_and_the_next_run_is_good(scene: Scene, destination) -> None:
    stored = {item.key for item in destination.build().list("")}
    for phase in ("fetching the log", "restoring", "replaying", "kept for a look", "dumping"):
        point = scene.at(scene.writer.acknowledged[-20])
        point.store, point.keep_minutes = phase == "dumping", 5
        row = rewind.request(scene.source, point, requested_by="otto", identity=scene.identity)
        assert run_and_die(row.job_id, phase, Path(settings.STATE_DIR)) == -signal.SIGKILL, phase
        assert lose(Job.objects.get(pk=row.job_id))
        row.refresh_from_db()
        assert row.state == Recovery.State.LOST, phase
    assert not Set.objects.filter(reason=Set.Reason.MOMENT).exclude(state__in=["failed", "lost"]).exists()
    assert {item.key for item in destination.build().list("")} == stored
    for parent, prefix in ((Path(settings.STATE_DIR) / "scratch", "proof-"), leftovers.MARIADB):
        assert _swept(parent, prefix) == []
    assert list((Path(settings.STATE_DIR) / "scratch").iterdir()) == []
    in_scratch(scene, scene.writer.acknowledged[-20])


def _swept(parent: Path, prefix: str) -> list[Path]:
    """What is left there of dead processes after a sweep: the servers end with their workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leftovers, "GRACE", 0.0)
        leftovers.sweep(parent, prefix)
        return [path for path in parent.glob(f"{prefix}*") if leftovers._abandoned(path)]
