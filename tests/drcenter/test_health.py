"""Whether the installation can do its work, and what it says when it cannot."""

import json
import shutil
import time
from collections import namedtuple
from datetime import timedelta

import pyrage
import pytest
from django.core.management import call_command
from django.db import DatabaseError
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from backups.models import RecoveryKey
from backups.places import reach
from drcenter import health
from drcenter.jobs.context import JobContext
from drcenter.jobs.models import Job, State
from drcenter.jobs.pulse import seen, send_pulses
from drcenter.jobs.reap import reap
from drcenter.management.commands import health as command

pytestmark = pytest.mark.django_db


@pytest.fixture
def alive():
    """Ticks have run, and both queues have answered."""
    send_pulses()
    seen("short")
    seen("long")
    reap()


def by_name():
    return {check.name: check for check in health.checks()}


def run(capsys, *words):
    with pytest.raises(SystemExit) as end:
        call_command("health", *words)
    return end.value.code, capsys.readouterr().out


class TestChecks:
    def test_all_is_well(self, alive, client, monkeypatch):
        monkeypatch.setattr(health, "WARN_PERCENT", 100)
        assert {name: check.ok for name, check in by_name().items()} == dict.fromkeys(
            ["database", "migrations", "workers", "state directory", "disk"], True
        )
        response = client.get("/readyz")
        assert (response.status_code, response.json()["ok"]) == (200, True)

    def test_nobody_works(self, client):
        response = client.get("/readyz")
        assert response.status_code == 503
        assert "start manage.py run" in by_name()["workers"].message

    def test_everything_has_just_stopped(self, alive, time_machine):
        """The queues have minutes to answer; the ticks come every few seconds."""
        time_machine.shift(50)
        assert by_name()["workers"].message == "they answer"
        time_machine.shift(20)
        workers = by_name()["workers"]
        assert (workers.ok, workers.attention) == (True, True)
        assert "for 70 s: is manage.py run still running?" in workers.message

    def test_one_queue_hangs(self, alive, time_machine):
        time_machine.shift(120)
        send_pulses()
        seen("short")
        time_machine.shift(310)
        reap()
        assert "long" in by_name()["workers"].message
        assert not by_name()["workers"].ok

    def test_a_migration_waits(self, alive):
        MigrationRecorder.Migration.objects.filter(app="notify").latest("id").delete()
        assert by_name()["migrations"].message == "1 are waiting: manage.py migrate"

    def test_the_database_is_away(self, client, monkeypatch):
        class Away:
            vendor = "sqlite"

            def cursor(self):
                raise DatabaseError("no route to it")

        monkeypatch.setattr(health, "connection", Away())
        found = by_name()
        assert "no route to it" in found["database"].message
        assert set(found) == {"database", "state directory", "disk"}
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200

    def test_the_state_directory_cannot_be_written(self, alive, settings, tmp_path):
        settings.STATE_DIR = tmp_path / "gone"
        with pytest.MonkeyPatch.context() as patch:
            usage = namedtuple("usage", "total used free")
            patch.setattr(shutil, "disk_usage", lambda path: usage(100, 50, 50))
            assert "cannot be written" in by_name()["state directory"].message

    @pytest.mark.parametrize(
        ("free", "ok", "attention"),
        [(50, True, False), (16, True, False), (15, True, True), (3, False, True)],
    )
    def test_the_disk_fills(self, alive, monkeypatch, free, ok, attention):
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(100 << 20, 0, free << 20))
        disk = by_name()["disk"]
        assert (disk.ok, disk.attention) == (ok, attention)

    def test_strangers_see_no_reasons(self, alive, client):
        found = client.get("/readyz", REMOTE_ADDR="203.0.113.9").json()
        assert {frozenset(check) for check in found["checks"]} == {frozenset({"name", "ok"})}
        behind_proxy = client.get("/readyz", headers={"X-Forwarded-For": "203.0.113.9"}).json()
        assert "message" not in behind_proxy["checks"][0]
        assert "message" in client.get("/readyz").json()["checks"][0]

    def test_they_only_read(self, client):
        assert client.post("/readyz").status_code == 405
        assert client.post("/healthz").status_code == 405


@pytest.fixture
def held_key(db) -> RecoveryKey:
    """A recovery key that somebody has shown to hold."""
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    return RecoveryKey.objects.create(name="safe", recipient=recipient, held_at=timezone.now())


class TestCommand:
    def test_exit_codes(self, alive, held_key, capsys, monkeypatch):
        usage = namedtuple("usage", "total used free")
        for free, code in ((50, 0), (10, 3), (1, 1)):
            monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: usage(100 << 20, 0, free << 20))
            assert run(capsys)[0] == code

    def test_what_is_set_up_badly_is_said_too(self, alive, capsys):
        """The apps' own checks, which otherwise speak only when somebody migrates."""
        code, output = run(capsys)
        assert code == 3
        assert "backups.W001: There is no recovery key" in output

    def test_a_destination_that_cannot_be_used(
        self, alive, held_key, destination, capsys, monkeypatch, tmp_path
    ):
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(100 << 20, 0, 50 << 20))
        assert run(capsys)[0] == 0
        (tmp_path / "sets").rename(tmp_path / "away")
        code, output = run(capsys)
        assert code == 3
        assert f"ATTN destination disk: {tmp_path / 'sets'} is not there" in output
        destination.enabled = False
        destination.save()
        assert run(capsys)[0] == 0

    def test_a_destination_that_does_not_answer(self, destination, monkeypatch):
        monkeypatch.setattr("backups.destinations.local.Plugin.space", lambda self: time.sleep(3))
        began = time.monotonic()
        assert "does not answer" in reach.unusable(0.2)["disk"].message
        assert time.monotonic() - began < 2

    def test_for_machines_and_in_detail(self, alive, capsys):
        _code, output = run(capsys, "--json", "--detailed")
        found = json.loads(output)
        assert "tar (GNU tar)" in found["tools"]["tar"]
        assert found["work"]["waiting jobs"] == 0
        assert found["versions"]["python"].startswith("3.")

    def test_a_missing_tool_is_named_with_its_cure(self, monkeypatch):
        monkeypatch.setenv("PATH", "/nowhere")
        monkeypatch.setitem(command.TOOLS, "no-such-tool", "--version")
        assert "apt-get install no-such-tool" in command._version("no-such-tool")

    @pytest.mark.django_db(transaction=True)
    def test_fix_ends_dead_jobs_and_sends_waiting_ones_again(self, alive, capsys, monkeypatch):
        monkeypatch.setattr(command, "BEAT_SECONDS", 0.3)
        monkeypatch.setattr("drcenter.jobs.context.BEAT_SECONDS", 0.1)
        dead = make_job(1, state=State.RUNNING, attempt=1, heartbeat_at=timezone.now() - timedelta(minutes=5))
        slow = make_job(2, state=State.RUNNING, attempt=1, heartbeat_at=timezone.now() - timedelta(minutes=5))
        waiting = make_job(3, sent_at=timezone.now() - timedelta(minutes=5))
        with JobContext(slow):
            _code, output = run(capsys, "--fix")
        assert f"Lost: job 1 (job {dead.pk})" in output
        assert f"Sent again: job {waiting.pk}" in output
        slow.refresh_from_db()
        assert slow.state == State.RUNNING
        assert "There was nothing to put right." in run(capsys, "--fix")[1]


def make_job(subject, **fields):
    return Job.objects.create(
        kind="unknown",
        subject=subject,
        title=f"job {subject}",
        target=f"t:{subject}",
        requested_by="x",
        **fields,
    )
