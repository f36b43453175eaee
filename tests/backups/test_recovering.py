"""What stands between a failure and the way back, and who may go on: nothing, and only whom the row belongs to."""

import pytest

from backups.engines import files as files_engine
from backups.models import Recovery
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.models import Line
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
        "backups.production.differences", lambda expected, found: ["fil\udcff\0: not in the source"]
    )
    recovery = scene.over()
    assert recovery.state == Recovery.State.SUCCEEDED, recovery.message
    assert "database: fil\\udcff\\0: not in the source" in recovery.differences
