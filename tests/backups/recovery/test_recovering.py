"""What stands between a failure and the way back, and who may go on: nothing, and only whom the row belongs to."""

import time
from datetime import timedelta

import pytest
from django.db import DatabaseError

from backups.engines import files as files_engine
from backups.engines import sqlite as sqlite_engine
from backups.models import Recovery
from drcenter.errors import OperationFailed
from drcenter.jobs import context as context_module
from drcenter.jobs.context import JobContext
from drcenter.jobs.models import Job, Line, State
from drcenter.jobs.reap import lose
from tests.backups.scene import Scene, scene

__all__ = ["scene"]
pytestmark = pytest.mark.django_db(transaction=True)

UNDONE = ["stop-web", "stop-workers", "start-workers", "start-web"]


def failing_finish(monkeypatch, message: str) -> None:
    """Let the files fail once, after they were written."""
    original, calls = files_engine.Plugin.finish, []

    def finish(self, witness):
        original(self, witness)
        calls.append(1)
        if len(calls) == 1:
            raise OperationFailed(message)

    monkeypatch.setattr(files_engine.Plugin, "finish", finish)


def test_a_failure_that_names_no_utf8_leads_back(scene: Scene, monkeypatch) -> None:
    damaged = scene.damage()
    failing_finish(monkeypatch, "fil\udcff.txt cannot be written")
    recovery = scene.over()
    assert (recovery.state, scene.said) == (Recovery.State.ROLLED_BACK, UNDONE)
    assert recovery.message == "fil\\udcff.txt cannot be written"
    assert scene.everything() == damaged
    assert Line.objects.filter(text="fil\\udcff.txt cannot be written").exists()


def test_a_failure_that_cannot_be_logged_leads_back(scene: Scene, monkeypatch) -> None:
    damaged = scene.damage()
    failing_finish(monkeypatch, "broken")
    original = JobContext.log

    def log(self, text, level="info"):
        if text == "broken":
            raise ValueError("the log is broken as well")
        original(self, text, level)

    monkeypatch.setattr(JobContext, "log", log)
    recovery = scene.over()
    assert (recovery.state, scene.said) == (Recovery.State.ROLLED_BACK, UNDONE)
    assert scene.everything() == damaged


def test_differences_that_name_no_utf8_are_kept(scene: Scene, monkeypatch) -> None:
    monkeypatch.setattr(
        "backups.recovery.overwriting.differences", lambda expected, found: ["fil\udcff\0: not in the source"]
    )
    recovery = scene.over()
    assert recovery.state == Recovery.State.SUCCEEDED, recovery.message
    assert "database: fil\\udcff\\0: not in the source" in recovery.differences


class TestTakenAway:
    """The database comes first, then the files; while the database is compared, the job is taken away.

    No heartbeat notices: the conditional updates themselves decide.
    """

    def over(self, scene: Scene, monkeypatch, take_away) -> Recovery:
        monkeypatch.setattr(context_module, "BEAT_SECONDS", 1000.0)
        original, taken = sqlite_engine.Plugin.finish, []

        def finish(self, witness):
            original(self, witness)
            if not taken:
                taken.append(1)
                take_away()

        monkeypatch.setattr(sqlite_engine.Plugin, "finish", finish)
        return scene.over()

    def test_by_the_reaper(self, scene: Scene, monkeypatch) -> None:
        _rows, files = scene.damage()
        recovery = self.over(scene, monkeypatch, lambda: lose(Job.objects.get(state=State.RUNNING)))
        assert recovery.state == Recovery.State.LOST
        assert scene.files() == files
        assert scene.said == ["stop-web", "stop-workers"]
        assert recovery.steps[-1]["step"] == "overwrite"

    def test_before_the_row_of_the_recovery_says_so(self, scene: Scene, monkeypatch) -> None:
        _rows, files = scene.damage()
        self.over(
            scene, monkeypatch, lambda: Job.objects.filter(state=State.RUNNING).update(state=State.LOST)
        )
        assert scene.files() == files
        assert scene.said == ["stop-web", "stop-workers"]

    def test_while_the_panels_database_is_away(self, scene: Scene, monkeypatch) -> None:
        """Nobody knows then: nothing more is overwritten, nothing is started."""
        monkeypatch.setattr(context_module, "STALE_AFTER", timedelta(seconds=0.3))
        monkeypatch.setattr(context_module, "PATIENCE_SECONDS", 0.5)
        _rows, files = scene.damage()
        original, since = JobContext._write, []

        def write(self):
            if since:
                raise DatabaseError("the panel's database is away")
            return original(self)

        def take_away():
            since.append(1)
            time.sleep(0.4)

        monkeypatch.setattr(JobContext, "_write", write)
        recovery = self.over(scene, monkeypatch, take_away)
        assert recovery.state == Recovery.State.DOWN
        assert "The panel's database is away" in recovery.message
        assert "by hand" in recovery.hint
        assert scene.files() == files
        assert scene.said == ["stop-web", "stop-workers"]

    def test_a_short_absence_is_waited_for(self, scene: Scene, monkeypatch) -> None:
        monkeypatch.setattr(context_module, "STALE_AFTER", timedelta(seconds=0.3))
        before, since = scene.everything(), []
        scene.damage()
        original = JobContext._write

        def write(self):
            if since and time.monotonic() < since[0] + 1:
                raise DatabaseError("the panel's database is away")
            return original(self)

        def take_away():
            since.append(time.monotonic())
            time.sleep(0.4)

        monkeypatch.setattr(JobContext, "_write", write)
        recovery = self.over(scene, monkeypatch, take_away)
        assert recovery.state == Recovery.State.SUCCEEDED, recovery.message
        assert scene.everything() == before
