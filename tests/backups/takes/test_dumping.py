"""Sources side by side: at the same time, stopped together, each with its moment."""

import os
import shlex
import shutil
import threading
import time
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.db import connections

from backups.engines import sqlite
from backups.models import Level, Set, Source
from backups.storage import layout
from backups.storage.layout import Manifest
from backups.takes import meeting
from drcenter import process_tree
from drcenter.errors import OperationFailed
from drcenter.jobs.reap import cancel
from tests.backups.taking import job_of, nothing_stored, quick, root, stop_in, taken

__all__ = ["quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick")]


def command(plan, name: str, script: str) -> Source:
    source = Source.objects.create(
        system=plan.system, name=name, engine="command", tier="information",
        options={"argv": ["sh", "-c", script], "suffix": "txt"},
    )  # fmt: skip
    plan.sources.add(source)
    return source


@pytest.fixture
def together(plan, key):
    plan.side_by_side = 4
    plan.level = Level.INTACT
    plan.save()
    plan.sources.clear()
    return plan


def rendezvous(folder: Path, me: str, other: str) -> str:
    """Says something once the other is there, too."""
    mine, theirs = shlex.quote(str(folder / me)), shlex.quote(str(folder / other))
    return f"touch {mine}; while [ ! -e {theirs} ]; do sleep 0.02; done; echo {me}"


def test_they_run_at_the_same_time(together, tmp_path, uploads, database):
    command(together, "one", rendezvous(tmp_path, "one", "two"))
    command(together, "two", rendezvous(tmp_path, "two", "one"))
    together.sources.add(uploads, database)
    one = taken(together)
    assert one.state == Set.State.COMPLETE, one.message
    parts = list(one.parts.all())
    assert [part.order for part in parts] == [1, 2, 3, 4]
    assert {part.source_name for part in parts} == {"one", "two", "uploads", "database"}
    assert one.level == Level.INTACT


def test_only_so_many_as_the_plan_says(together, tmp_path):
    """Each counts how many there are while it runs."""
    together.side_by_side = 2
    together.save()
    marks, counts = shlex.quote(str(tmp_path / "marks")), shlex.quote(str(tmp_path / "counts"))
    (tmp_path / "marks").mkdir()
    for number in range(4):
        script = f"m=$(mktemp {marks}/XXXX); sleep 0.3; ls {marks} | wc -l >> {counts}; rm $m; echo {number}"
        command(together, f"source-{number}", script)
    one = taken(together)
    assert one.state == Set.State.COMPLETE, one.message
    assert max(int(line) for line in (tmp_path / "counts").read_text().split()) == 2
    assert one.parts.count() == 4


def test_the_first_that_fails_stops_the_others(together, destination):
    command(together, "slow", "echo begun; sleep 60")
    command(together, "failing", "echo no >&2; exit 3")
    began = time.monotonic()
    one = taken(together)
    assert time.monotonic() - began < 15
    assert one.state == Set.State.FAILED
    assert "no" in one.message and "another source" not in one.message
    assert nothing_stored(destination)
    assert not any(_sleeps(child) for child in process_tree.descendants(os.getpid()))


def _sleeps(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"sleep\x0060")
    except OSError:
        return False


def test_cancelled(together, destination, monkeypatch):
    command(together, "slow", "echo begun; sleep 60")
    command(together, "slower", "echo begun; sleep 61")
    stop_in(monkeypatch, "dumping")
    one = taken(together)
    assert one.state == Set.State.CANCELLED
    assert nothing_stored(destination)


def test_cancelled_in_the_middle(together, destination, tmp_path, monkeypatch):
    """The children of all are killed; nobody waits for their end."""
    mark = shlex.quote(str(tmp_path / "here"))
    command(together, "slow", f"echo begun; touch {mark}; sleep 60")
    command(together, "slower", "echo begun; sleep 61")

    def watch() -> None:
        while not (tmp_path / "here").exists():
            time.sleep(0.02)
        cancel(job_of(Set.objects.get()), "anna")
        connections.close_all()

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.monotonic()
    one = taken(together)
    watcher.join()
    assert time.monotonic() - began < 20
    assert one.state == Set.State.CANCELLED
    assert nothing_stored(destination)


class Slow(sqlite.Plugin):
    """A database that takes its time to be opened."""

    @contextmanager
    def snapshot(self):
        time.sleep(1)
        with super().snapshot() as snapshot:
            yield snapshot


def at_destination(destination, one: Set, name: str) -> bytes:
    return (root(destination) / one.prefix / name).read_bytes()


def marked(folder: Path, name: str) -> str:
    return f"date +%s.%N > {shlex.quote(str(folder / name))}; echo {name}"


def test_nothing_is_read_before_all_are_open_and_the_moments_are_one(
    together, database, destination, tmp_path, monkeypatch
):
    """One database is slow to open: the other's moment, and what is read, wait for it."""
    second = tmp_path / "second.sqlite3"
    shutil.copy(database.options["path"], second)
    slow = Source.objects.create(system=together.system, name="slow", engine="sqlite", tier="database", options={"path": str(second)})  # fmt: skip
    built = Source.build
    monkeypatch.setattr(Source, "build", lambda self: Slow(self.options) if self == slow else built(self))
    together.sources.add(database, slow)
    command(together, "words", marked(tmp_path, "began"))
    one = taken(together)
    assert one.state == Set.State.COMPLETE, one.message
    opened = datetime.fromisoformat(one.moments["words"]["from"])
    for name in ("database", "slow"):
        moment = one.moments[name]
        assert datetime.fromisoformat(moment["from"]) >= opened + timedelta(seconds=0.9)
        assert moment["from"] <= moment["taken"] <= moment["to"]
    taken_at = [datetime.fromisoformat(one.moments[name]["taken"]) for name in ("database", "slow")]
    assert abs(taken_at[0] - taken_at[1]) < timedelta(seconds=0.5)
    assert float((tmp_path / "began").read_text()) >= opened.timestamp() + 0.9
    assert one.spread == pytest.approx((max(taken_at) - one.moment).total_seconds(), abs=0.001)
    manifest = Manifest.from_bytes(at_destination(destination, one, layout.MANIFEST))
    assert manifest.spread == one.spread
    assert (
        "The databases are all as they were then, within"
        in at_destination(destination, one, layout.GUIDE).decode()
    )


def test_one_after_the_other_the_spread_says_how_far_apart(together, database, tmp_path):
    together.side_by_side = 1
    together.save()
    command(together, "slow", "sleep 1.2; echo here")
    last = Source.objects.create(
        system=together.system, name="last", engine="sqlite", tier="database", options=database.options
    )
    together.sources.add(database, last)
    one = taken(together)
    assert 1.1 < one.spread < 20, one.moments


def test_a_source_that_is_not_ready_is_not_waited_for_without_end(monkeypatch):
    monkeypatch.setattr(meeting, "PATIENCE_SECONDS", 0.3)
    two = meeting.Meeting(2)
    began = time.monotonic()
    assert not two.wait()
    assert time.monotonic() - began < 5
    assert two.wait()


def test_who_waits_can_be_stopped():
    def stop() -> None:
        raise OperationFailed("stopped")

    with pytest.raises(OperationFailed, match="stopped"):
        meeting.Meeting(2, stop).wait()


def test_each_has_its_moment_and_the_set_the_earliest(together, uploads, database, as_viewer):
    together.sources.add(uploads, database)
    one = taken(together)
    assert set(one.moments) == {"uploads", "database"}
    times = {name: datetime.fromisoformat(moment["from"]) for name, moment in one.moments.items()}
    assert one.moment == min(times.values())
    assert all(moment["from"] <= moment["to"] for moment in one.moments.values())
    assert (one.moments["database"]["snapshot"], one.moments["uploads"]["snapshot"]) == (True, False)
    # Neither has a log: a server's position stands here (tests/live/test_replay_mariadb.py).
    assert [moment["position"] for moment in one.moments.values()] == [{}, {}]
    page = as_viewer.get(f"/admin/backups/set/{one.pk}/change/", follow=True).content.decode()
    assert "all as at one moment" in page and "each file as it was when it was read" in page
