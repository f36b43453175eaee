"""A restore over production that somebody stops, that stays down, or whose worker is lost."""

import threading
import time
from contextlib import contextmanager

import pytest

from backups.engines import files as files_engine
from backups.models import Recovery, Set
from backups.recovery import identities, production, restore
from drcenter.audit.models import Entry
from drcenter.jobs.models import Job, State
from drcenter.jobs.reap import cancel, lose
from drcenter.jobs.work import run_job
from tests.backups.overwriting import ALL, failing, steps
from tests.backups.scene import Scene, scene

__all__ = ["scene"]
pytestmark = pytest.mark.django_db(transaction=True)


class TestStoppedBefore:
    def test_while_the_application_is_being_stopped(self, scene: Scene) -> None:
        damaged = scene.damage()
        scene.commands(pause_command=[scene.command("stop-web"), ["sleep", "30"]])
        recovery = scene.over(run=False)
        threading.Timer(1, lambda: cancel(recovery.job, "otto")).start()
        began = time.monotonic()
        recovery = scene.ran(recovery)
        assert time.monotonic() - began < 10
        assert (recovery.state, recovery.message) == (Recovery.State.CANCELLED, "Stopped on request.")
        assert scene.said == ["stop-web", "start-workers", "start-web"]
        assert scene.everything() == damaged
        assert scene.job(recovery).state == State.CANCELLED

    def test_while_it_waits(self, scene: Scene) -> None:
        recovery = scene.over(run=False)
        assert cancel(recovery.job, "otto")
        recovery.refresh_from_db()
        assert recovery.state == Recovery.State.CANCELLED
        assert run_job(recovery.job.pk) == "skipped"

    @pytest.mark.parametrize("how", ["stopped while it waits", "a command was changed", "not encrypted"])
    def test_no_identity_is_left_behind(self, scene: Scene, how: str) -> None:
        """Without ticks, on the shell, nobody else would remove it."""
        if how == "not encrypted":
            Set.objects.update(encrypted=False)
        recovery = scene.over(run=False)
        if how == "a command was changed":
            scene.commands(resume_command=[["no-such-tool-here"]])
        place = identities._place(recovery.job)
        assert place.exists()
        cancel(recovery.job, "otto") if how == "stopped while it waits" else scene.ran(recovery)
        assert not place.exists()

    def test_a_wish_to_stop_while_the_application_starts_comes_too_late(self, scene: Scene) -> None:
        before = scene.everything()
        scene.damage()
        scene.commands(resume_command=[["sleep", "1"], scene.command("start-web")])
        recovery = scene.over(run=False)

        def ask() -> None:
            while "clear-cache" not in scene.said:
                time.sleep(0.01)
            time.sleep(0.3)
            cancel(recovery.job, "otto")

        asking = threading.Thread(target=ask)
        asking.start()
        recovery = scene.ran(recovery)
        asking.join()
        assert recovery.state == Recovery.State.SUCCEEDED
        assert scene.everything() == before
        assert scene.said[-1] == "start-web"


class TestDown:
    """Neither the restore nor the way back went through: stopped, with the reason and what to do."""

    def test_the_way_back_fails(self, scene: Scene, monkeypatch) -> None:
        scene.damage()
        failing(monkeypatch, "finish", times=9)
        recovery = scene.over()
        assert recovery.state == Recovery.State.DOWN
        assert recovery.message.startswith(
            "The server went away. The way back failed too: The server went away."
        )
        assert f"the safety set {recovery.safety_set}" in recovery.hint
        assert f"manage.py recover resume {recovery.pk}, or undo {recovery.pk}" in recovery.hint
        assert "Start the application by hand: sh -c" in recovery.hint
        assert scene.said == ["stop-web", "stop-workers"]
        job = scene.job(recovery)
        assert (job.state, job.message, job.hint) == (State.FAILED, recovery.message, recovery.hint)

    def test_the_other_sources_go_back_all_the_same(self, scene: Scene, monkeypatch) -> None:
        _rows, files = scene.damage()
        failing(monkeypatch, "finish", files_engine, times=1)
        failing(monkeypatch, "prepare", error=RuntimeError("broken"), times=9)
        recovery = scene.over(sources=[scene.uploads, scene.database])
        assert recovery.state == Recovery.State.DOWN
        assert "broken" in recovery.message
        assert scene.files() == files

    def test_without_a_safety_set_there_is_no_way_back(self, scene: Scene, monkeypatch) -> None:
        scene.damage()
        failing(monkeypatch, "finish")
        recovery = scene.over(skip_safety=True)
        assert recovery.state == Recovery.State.DOWN
        assert "There is no safety set to go back to" in recovery.message
        assert "restore again, then start it" in recovery.hint
        assert scene.said == ["stop-web", "stop-workers"]

    def test_the_start_fails_after_a_good_restore(self, scene: Scene) -> None:
        before = scene.everything()
        scene.damage()
        scene.commands(resume_command=[scene.command("start-web", 3)])
        recovery = scene.over()
        assert recovery.state == Recovery.State.DOWN
        assert "sh failed with exit code 3" in recovery.message
        assert recovery.hint.startswith("The data are restored; only the start failed. Start the application")
        assert scene.everything() == before

    def test_a_start_that_fails_half_way_is_stopped_again(self, scene: Scene) -> None:
        scene.commands(resume_command=[scene.command("start-workers"), scene.command("start-web", 1)])
        recovery = scene.over()
        assert recovery.state == Recovery.State.DOWN
        assert scene.said == [*ALL, "stop-web", "stop-workers"]

    def test_a_second_ctrl_c_on_the_way_back(self, scene: Scene, monkeypatch) -> None:
        scene.damage()
        failing(monkeypatch, "finish", error=KeyboardInterrupt(), times=2)
        recovery = scene.over()
        assert recovery.state == Recovery.State.DOWN
        assert "the safety set" in recovery.hint
        assert scene.job(recovery).message == "Stopped by Ctrl-C."


class TestLost:
    def start(self, scene: Scene, monkeypatch, hold: str) -> Recovery:
        """The row as a worker leaves it that is killed in the step `hold`."""
        recovery = scene.over(run=False)
        original = restore.Recovering.step

        class Killed(BaseException):
            pass

        @contextmanager
        def step(self, what, target, key=""):
            with original(self, what, target, key):
                if what == hold:
                    raise Killed
                yield

        with monkeypatch.context() as patch:
            patch.setattr(restore.Recovering, "step", step)
            patch.setattr(production._Act, "go_back", lambda self, error: None)
            patch.setattr(restore, "_fail", lambda recovering, error: error)
            patch.setattr("drcenter.jobs.work._write_down", lambda context, end: "killed")
            run_job(recovery.job.pk)
        lose(scene.job(recovery))
        recovery.refresh_from_db()
        assert recovery.state == Recovery.State.LOST
        return recovery

    def test_while_reading(self, scene: Scene, monkeypatch) -> None:
        recovery = self.start(scene, monkeypatch, "read and check every part")
        assert recovery.hint == "Nothing had been stopped or overwritten yet. Restore again."
        assert "no sign of life" in recovery.message

    def test_while_the_safety_set_is_taken(self, scene: Scene, monkeypatch) -> None:
        recovery = self.start(scene, monkeypatch, "safety backup")
        assert "It was at: safety backup" in recovery.hint
        assert "may still be stopped" in recovery.hint
        assert recovery.safety_set.state == Set.State.FAILED
        # The plan would take it again if it were lost: of half restored data.
        assert not Job.objects.filter(state=State.QUEUED).exists()

    def test_while_overwriting(self, scene: Scene, monkeypatch) -> None:
        recovery = self.start(scene, monkeypatch, "overwrite")
        assert f"It was at: overwrite ({scene.database.build().target}" in recovery.hint
        assert f"the safety set {recovery.safety_set}" in recovery.hint
        assert recovery.safety_set.state == Set.State.COMPLETE
        assert scene.said == ["stop-web", "stop-workers"]
        entry = Entry.objects.get(action="backups.restore.lost")
        assert entry.object_id == str(recovery.pk)

    def test_a_stalled_worker_that_wakes_up_touches_nothing_more(self, scene: Scene, monkeypatch) -> None:
        original = files_engine.Plugin.prepare

        def prepare(self, *, overwrite):
            original(self, overwrite=overwrite)
            lose(Job.objects.get(state=State.RUNNING))
            time.sleep(0.5)

        monkeypatch.setattr(files_engine.Plugin, "prepare", prepare)
        _rows, files = scene.damage()
        recovery = scene.over()
        assert recovery.state == Recovery.State.LOST
        assert scene.files() == files
        assert scene.said == ["stop-web", "stop-workers"]


def test_the_panels_database_may_be_away_in_the_middle(scene: Scene, monkeypatch) -> None:
    from django.db import DatabaseError

    from backups.recovery.recovering import Recovering

    original, broken = Recovering.mine, []

    def mine(self):
        if len(self.recovery.steps) in {3, 4} and len(broken) < 4:
            broken.append(1)
            raise DatabaseError("the panel's database is away")
        return original(self)

    monkeypatch.setattr(Recovering, "mine", mine)
    recovery = scene.over(skip_safety=True)
    assert broken
    assert recovery.state == Recovery.State.SUCCEEDED
    assert len(recovery.steps) == len([ok for _step, ok in steps(recovery) if ok])
