"""A restore over production, and every way in which it fails."""

import hashlib
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyrage
import pytest
import zstandard

from backups import identities, production, publish, restore, status
from backups.engines import files as files_engine
from backups.engines import sqlite as sqlite_engine
from backups.models import Copy, Destination, Recovery, Set, Source
from backups.witness import Content, Witness
from drcenter.audit.models import Entry, Result
from drcenter.errors import OperationFailed
from drcenter.jobs.models import Job, State
from drcenter.jobs.reap import cancel, lose
from drcenter.jobs.work import run_job
from drcenter.secrets import Secret
from tests.backups.scene import Scene, flip, scene

__all__ = ["scene"]
pytestmark = pytest.mark.django_db(transaction=True)

ALL = ["stop-web", "stop-workers", "clear-cache", "start-workers", "start-web"]
UNDONE = ["stop-web", "stop-workers", "start-workers", "start-web"]


def steps(recovery: Recovery) -> list[tuple[str, bool]]:
    return [(step["step"], step["ok"]) for step in recovery.steps]


def failing(monkeypatch, name: str, engine=sqlite_engine, error: BaseException | None = None, times: int = 1):
    """Let a method of the engine fail so many times, after it has done its work; the list of its calls."""
    original, calls = getattr(engine.Plugin, name), []

    def method(self, *args, **kwargs):
        calls.append(self.target)
        result = original(self, *args, **kwargs)
        if len(calls) <= times:
            raise error or OperationFailed("The server went away.", "Look at its log.")
        return result

    monkeypatch.setattr(engine.Plugin, name, method)
    return calls


def test_everything_comes_back_and_the_application_was_stopped_meanwhile(scene: Scene) -> None:
    before = scene.everything()
    damaged = scene.damage()
    recovery = scene.over()
    assert (recovery.state, recovery.message, recovery.hint) == (Recovery.State.SUCCEEDED, "", "")
    assert scene.everything() == before != damaged
    assert scene.said == ALL
    assert recovery.differences == []
    assert recovery.counts == {"database": {"orders": 100}}
    assert all(ok for _step, ok in steps(recovery))
    safety = recovery.safety_set
    assert (safety.state, safety.reason, safety.level) == (Set.State.COMPLETE, Set.Reason.SAFETY, "intact")
    assert scene.job(recovery).state == State.SUCCEEDED
    assert {"backups.restore.requested", "backups.restore.succeeded"} <= set(
        Entry.objects.values_list("action", flat=True)
    )


def test_the_way_back_by_the_safety_set_works_later_too(scene: Scene) -> None:
    damaged = scene.damage()
    safety = scene.over().safety_set
    again = restore.request_production(
        safety.copies.get(), sources=[], typed_host=scene.database.build().host, requested_by="otto",
        identity=scene.identity,
    )  # fmt: skip
    assert scene.ran(again).state == Recovery.State.SUCCEEDED
    assert scene.everything() == damaged


def test_what_was_saved_before_a_restore_is_no_backup_of_the_plan(scene: Scene) -> None:
    """It holds what somebody wanted to be rid of, and would hide that the last real set grows old."""
    scene.damage()
    assert scene.over().safety_set.plan == scene.plan
    assert scene.plan.newest_good() == scene.copy.set
    assert status.newest_settled(scene.plan) == status.newest_good(scene.plan) == scene.copy.set


def test_one_source_alone_leaves_the_others_as_they_are(scene: Scene) -> None:
    before = scene.rows()
    _rows, files = scene.damage()
    assert scene.over(sources=[scene.database]).state == Recovery.State.SUCCEEDED
    assert scene.everything() == (before, files)


def test_the_steps_are_told_beforehand(scene: Scene) -> None:
    scene.commands(pause_command=[["php", "artisan", "down", "--secret=a b"]])
    scene.copy.set.system.refresh_from_db()
    told = restore.describe_production(scene.copy, [])
    assert "Stop the application: php artisan down '--secret=a b'" in told
    told_line = next(line for line in told if line.startswith(f"Overwrite {scene.database.name}: "))
    assert f"{scene.database.build().target} on {scene.database.build().host}." in told_line
    assert "is removed" not in told_line
    assert any(line.endswith("What is there and not in the set is removed.") for line in told)
    assert any("Back up what is there now" in line for line in told)
    told = restore.describe_production(scene.copy, [scene.database], skip_safety=True)
    assert any("NO safety backup" in line for line in told)
    assert not any("put the safety set back" in line for line in told)
    scene.commands(pause_command=[])
    scene.copy.set.system.refresh_from_db()
    assert any("NOT stopped" in line for line in restore.describe_production(scene.copy, []))


def test_of_what_is_gone_nothing_is_saved_and_the_rest_is(scene: Scene) -> None:
    before = scene.everything()
    scene.damage()
    scene.database_path.unlink()
    recovery = scene.over()
    assert (recovery.state, recovery.message) == (Recovery.State.SUCCEEDED, "")
    assert scene.everything() == before
    assert set(recovery.safety_set.parts.values_list("source_name", flat=True)) == {"uploads"}
    assert [
        "NOTHING IS LEFT" in step["target"] for step in recovery.steps if step["step"] == "nothing to save"
    ] == [True]


def test_what_was_gone_cannot_be_put_back_and_that_is_said(scene: Scene, monkeypatch) -> None:
    scene.damage()
    scene.database_path.unlink()
    failing(monkeypatch, "witness", times=9)
    recovery = scene.over()
    assert recovery.state == Recovery.State.DOWN
    assert "nothing was left of it before" in recovery.message


class TestRefused:
    def test_the_wrong_host_is_refused_and_recorded(self, scene: Scene) -> None:
        for typed in ("", "elsewhere", scene.database.build().host + ",other"):
            with pytest.raises(OperationFailed, match="not the host of the target") as caught:
                scene.over(typed_host=typed)
            assert caught.value.hint == f"Type exactly: {scene.database.build().host}"
        entries = Entry.objects.filter(action="backups.restore.refused", result=Result.REFUSED)
        assert [entry.facts["typed"] for entry in entries.order_by("pk")][:2] == ["", "elsewhere"]
        assert not Recovery.objects.exists()
        assert scene.said == []

    def test_a_copy_that_is_known_to_be_damaged(self, scene: Scene) -> None:
        scene.copy.state = "damaged"
        with pytest.raises(OperationFailed, match="is not complete, or is damaged"):
            scene.over()

    def test_a_source_that_became_another_one(self, scene: Scene) -> None:
        Source.objects.filter(pk=scene.uploads.pk).update(engine="command")
        with pytest.raises(OperationFailed, match="The source uploads of this set was deleted") as caught:
            scene.over()
        assert "restore.sh" in caught.value.hint
        assert scene.over(sources=[scene.database]).state == Recovery.State.SUCCEEDED


class TestNothingTouched:
    """Whatever fails before anything is overwritten: all is as it was, and runs."""

    def unharmed(
        self, scene: Scene, recovery: Recovery, said: list[str], state=Recovery.State.FAILED
    ) -> None:
        assert (recovery.state, scene.said) == (state, said)
        assert not any(step.startswith("overwrite") for step, _ok in steps(recovery))

    def test_a_damaged_part_is_met_before_the_application_is_stopped(self, scene: Scene) -> None:
        flip(scene.part("uploads"))
        damaged = scene.damage()
        recovery = scene.over()
        self.unharmed(scene, recovery, [])
        assert "uploads" in recovery.message
        assert "Use another copy" in recovery.hint
        assert steps(recovery) == [("read and check every part", False)]
        scene.copy.refresh_from_db()
        assert (scene.copy.state, scene.copy.set.level) == ("damaged", "")
        assert Entry.objects.filter(action="backups.restore.damaged").count() == 1
        assert scene.everything() == damaged

    def test_a_part_that_is_gone(self, scene: Scene) -> None:
        scene.part("database").unlink()
        self.unharmed(scene, scene.over(), [])

    def test_an_identity_of_somebody_else(self, scene: Scene) -> None:
        import pyrage

        other = Secret(str(pyrage.x25519.Identity.generate()))
        recovery = scene.over(identity=other)
        self.unharmed(scene, recovery, [])
        assert "The identity does not fit" in recovery.message
        assert other.reveal() not in str(vars(recovery))

    def test_no_identity(self, scene: Scene) -> None:
        recovery = scene.over(identity=None)
        self.unharmed(scene, recovery, [])
        assert "recovery kit" in recovery.hint

    @pytest.mark.parametrize("which", ["pause_command", "after_restore_command", "resume_command"])
    def test_a_command_that_does_not_exist_is_met_before_any_runs(self, scene: Scene, which: str) -> None:
        scene.commands(**{which: [scene.command("first"), ["no-such-tool-here", "up"]]})
        recovery = scene.over()
        self.unharmed(scene, recovery, [])
        assert "no-such-tool-here up: The tool no-such-tool-here is not installed." in recovery.message

    def test_the_second_stop_command_fails(self, scene: Scene) -> None:
        damaged = scene.damage()
        scene.commands(pause_command=[scene.command("stop-web"), ["sh", "-c", "echo why >&2; exit 4"]])
        recovery = scene.over()
        self.unharmed(scene, recovery, ["stop-web", "start-workers", "start-web"])
        assert "sh failed with exit code 4: why" in recovery.message
        assert scene.everything() == damaged
        assert recovery.safety_set is None

    def test_stop_fails_and_so_does_the_start(self, scene: Scene) -> None:
        scene.commands(pause_command=[scene.command("stop", 1)], resume_command=[scene.command("start", 1)])
        recovery = scene.over()
        self.unharmed(scene, recovery, ["stop", "start"], Recovery.State.DOWN)
        assert "The way back failed too" in recovery.message
        assert "Nothing was overwritten. Start the application by hand: sh -c" in recovery.hint

    def test_the_safety_backup_has_no_room(self, scene: Scene, monkeypatch) -> None:
        from backups import take

        def full(*_args: object, **_kwargs: object) -> None:
            raise OperationFailed("The disk is full.", "Free some space there.")

        monkeypatch.setattr(take, "_dump", full)
        damaged = scene.damage()
        recovery = scene.over()
        self.unharmed(scene, recovery, UNDONE)
        assert recovery.message == "The disk is full."
        assert "Free some space there. " in recovery.hint
        assert "without the safety backup" in recovery.hint
        assert scene.everything() == damaged
        assert recovery.safety_set.state == Set.State.FAILED

    def test_the_destination_is_read_only(self, scene: Scene) -> None:
        place = Path(scene.copy.destination.options["path"])
        Destination.objects.filter(pk=scene.copy.destination_id).update(enabled=False)
        other = Destination.objects.create(name="gone", kind="local", options={"path": str(place / "none")})
        scene.plan.destinations.add(other)
        recovery = scene.over()
        self.unharmed(scene, recovery, UNDONE)
        assert "without the safety backup" in recovery.hint

    def test_what_is_to_be_overwritten_is_no_database_any_more(self, scene: Scene) -> None:
        before = scene.everything()
        scene.database_path.write_text("something else")
        recovery = scene.over()
        self.unharmed(scene, recovery, UNDONE)
        assert "--without-safety-backup" in recovery.hint
        recovery = scene.over(skip_safety=True)
        assert recovery.state == Recovery.State.SUCCEEDED
        assert recovery.safety_set is None
        assert scene.everything() == before

    def test_there_is_no_plan_for_a_safety_set(self, scene: Scene) -> None:
        Set.objects.update(plan=None)
        scene.plan.delete()
        recovery = scene.over()
        self.unharmed(scene, recovery, [])
        assert "no plan any more" in recovery.message
        assert scene.over(skip_safety=True).state == Recovery.State.SUCCEEDED


class TestRolledBack:
    """What fails after something was overwritten: the safety set is put back, and the application runs."""

    def rolled_back(
        self, scene: Scene, recovery: Recovery, damaged: object, said: list[str] = UNDONE
    ) -> None:
        assert (recovery.state, scene.said) == (Recovery.State.ROLLED_BACK, said)
        assert scene.everything() == damaged
        assert scene.job(recovery).state == State.FAILED
        assert recovery.differences == []

    def test_the_load_fails(self, scene: Scene, monkeypatch) -> None:
        damaged = scene.damage()
        failing(monkeypatch, "finish")
        recovery = scene.over()
        self.rolled_back(scene, recovery, damaged)
        assert (recovery.message, recovery.hint) == ("The server went away.", "Look at its log.")

    def test_the_second_source_fails_and_the_first_goes_back_as_well(self, scene: Scene, monkeypatch) -> None:
        damaged = scene.damage()
        failing(monkeypatch, "finish", files_engine)
        recovery = scene.over()
        self.rolled_back(scene, recovery, damaged)
        assert [step for step, _ok in steps(recovery)].count("put the safety set back") == 2

    def test_tar_dies_half_way(self, scene: Scene, monkeypatch) -> None:
        damaged = scene.damage()
        original = files_engine.Plugin.consumer
        calls = []

        def consumer(self, part, suffix):
            calls.append(part)
            command = original(self, part, suffix)
            if len(calls) > 1:
                return command
            return replace(
                command,
                argv=("sh", "-c", "head -c 600 > /dev/null; echo 'tar: No space left on device' >&2; exit 2"),
            )

        monkeypatch.setattr(files_engine.Plugin, "consumer", consumer)
        recovery = scene.over()
        self.rolled_back(scene, recovery, damaged)
        assert "No space left on device" in recovery.message
        assert "Make room" in recovery.hint

    def test_an_error_that_nobody_expected(self, scene: Scene, monkeypatch) -> None:
        damaged = scene.damage()
        failing(monkeypatch, "witness", error=KeyError("odd"), times=1)
        recovery = scene.over()
        self.rolled_back(scene, recovery, damaged)
        assert recovery.message == "KeyError: 'odd'"

    def test_a_critical_table_has_other_rows(self, scene: Scene, monkeypatch) -> None:
        damaged = scene.damage()
        original = sqlite_engine.Plugin.witness
        calls = []

        def witness(self):
            calls.append(1)
            found = original(self)
            if len(calls) > 1:
                return found
            return Witness(found.objects, {**found.contents, "orders": Content(99, "0")})

        monkeypatch.setattr(sqlite_engine.Plugin, "witness", witness)
        recovery = scene.over()
        assert recovery.state == Recovery.State.ROLLED_BACK
        assert recovery.message == "orders has 99 rows after the restore, the set has 100."
        assert recovery.differences == ["database: orders: 100 in the source, 99 after the restore"]
        assert scene.everything() == damaged

    def test_the_clean_up_fails(self, scene: Scene) -> None:
        damaged = scene.damage()
        scene.commands(after_restore_command=[scene.command("clear-cache", 1)])
        self.rolled_back(scene, scene.over(), damaged, ALL)

    def test_what_may_pass_is_tried_again_on_the_way_back(self, scene: Scene, monkeypatch) -> None:
        monkeypatch.setattr(production, "PAUSES", (0.01, 0.01))
        damaged = scene.damage()
        calls = failing(monkeypatch, "finish", times=3)
        self.rolled_back(scene, scene.over(), damaged)
        assert len(calls) == 4

    def test_stopped_in_the_middle(self, scene: Scene, monkeypatch) -> None:
        damaged = scene.damage()
        held = self.hold(monkeypatch, scene)
        recovery = scene.over()
        assert held
        assert (recovery.state, recovery.message) == (Recovery.State.ROLLED_BACK, "Stopped on request.")
        assert scene.everything() == damaged
        assert scene.said == UNDONE
        assert scene.job(recovery).state == State.CANCELLED

    def hold(self, monkeypatch, scene: Scene) -> list[str]:
        """Ask the job to stop while tar runs: the first time it takes longer than that."""
        original = files_engine.Plugin.consumer
        held: list[str] = []

        def consumer(self, part, suffix):
            command = original(self, part, suffix)
            if held:
                # The way back is longer than a few heartbeats, which know of the wish to stop.
                return replace(command, argv=("sh", "-c", f"sleep 0.8; exec {' '.join(command.argv)}"))
            held.append(part)
            threading.Timer(0.2, lambda: cancel(Job.objects.get(state=State.RUNNING), "otto")).start()
            return replace(command, argv=("sleep", "30"))

        monkeypatch.setattr(files_engine.Plugin, "consumer", consumer)
        return held


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

    @pytest.mark.parametrize("how", ["stopped while it waits", "a command is missing", "not encrypted"])
    def test_no_identity_is_left_behind(self, scene: Scene, how: str) -> None:
        """Without ticks, on the shell, nobody else would remove it."""
        if how == "a command is missing":
            scene.commands(resume_command=[["no-such-tool-here"]])
        if how == "not encrypted":
            Set.objects.update(encrypted=False)
        recovery = scene.over(run=False)
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
        assert f"--set {recovery.safety_set.identifier} --production" in recovery.hint
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
        def step(self, what, target):
            with original(self, what, target):
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


def test_the_same_job_delivered_twice_restores_once(scene: Scene) -> None:
    scene.damage()
    recovery = scene.over(run=False)
    results: list[str] = []
    threads = [threading.Thread(target=lambda: results.append(_run(recovery.job.pk))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["skipped", "succeeded"]
    assert scene.said == ALL
    assert run_job(recovery.job.pk) == "skipped"


def _run(pk: int) -> str:
    from django.db import connections

    try:
        return run_job(pk)
    finally:
        connections.close_all()


def test_the_marker_of_maintenance_mode_is_never_touched(scene: Scene, tmp_path: Path) -> None:
    """Also where no option of the source says so."""
    marker = scene.directory / "storage" / "framework" / "down"
    scene.commands(
        commands_directory=str(scene.directory),
        pause_command=[["sh", "-c", f"mkdir -p '{marker.parent}'; echo '{{}}' > '{marker}'"]],
        after_restore_command=[["test", "-f", str(marker)]],
        resume_command=[["rm", str(marker)]],
    )
    recovery = scene.over()
    assert recovery.state == Recovery.State.SUCCEEDED, recovery.message
    assert not marker.exists()


def test_what_became_a_directory_gives_way(scene: Scene) -> None:
    good = scene.everything()
    path = scene.directory / "one.txt"
    path.unlink()
    (path / "deeper").mkdir(parents=True)
    (path / "deeper" / "file").write_text("in the way")
    recovery = scene.over()
    assert recovery.state == Recovery.State.SUCCEEDED, recovery.message
    assert scene.everything() == good


def test_the_panels_database_may_be_away_in_the_middle(scene: Scene, monkeypatch) -> None:
    from django.db import DatabaseError

    from backups.recovering import Recovering

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


COUNTS = [
    ({"orders": 3}, {"orders": 3}, {"orders": 3}, ""),
    ({"orders": 2}, {"orders": 3}, {"orders": 2}, "orders has 2 rows after the restore, the set has 3."),
    # Named without its schema.
    ({"orders": 2}, {"public.orders": 3}, {"public.orders": 2}, "orders has 2 rows"),
    ({"orders": 3}, {"public.orders": 3, "x.reorders": 1}, {"public.orders": 3, "x.reorders": 0}, ""),
    # Old rows of a versioned table count in the witness, not in the count.
    ({"prices": 1}, {"prices": 4}, {"prices": 4}, ""),
    ({"unknown": 7}, {"orders": 3}, {"orders": 3}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("counted", "expected", "found", "message"), COUNTS)
def test_counts_of_critical_tables(counted, expected, found, message) -> None:
    witnesses = [
        Witness(contents={name: Content(count, "c") for name, count in one.items()})
        for one in (expected, found)
    ]
    if not message:
        production.check_counts(counted, *witnesses)
        return
    with pytest.raises(OperationFailed) as caught:
        production.check_counts(counted, *witnesses)
    assert caught.value.message.startswith(message)


def test_the_log_of_the_safety_set_does_not_tell_what_the_commands_said(scene: Scene) -> None:
    """It lies in the clear beside what is encrypted."""
    scene.commands(pause_command=[["sh", "-c", "echo visit /bypass-in-output # bypass-in-command"]])
    recovery = scene.over()
    assert "bypass-in-output" in "".join(line.text for line in scene.job(recovery).lines.all())
    safety = recovery.safety_set
    folder = Path(scene.copy.destination.options["path"]) / safety.prefix
    log = (folder / "log.txt").read_text()
    assert "parts/01-database" in log
    assert "bypass" not in log


@pytest.mark.parametrize(
    "trace", ["details only", "checksums too", "another signing key", "a row without fields"]
)
def test_details_that_somebody_replaced_are_not_believed(scene: Scene, key, trace: str) -> None:
    """Whoever may write to the store can encrypt to public keys; the witness in the details says what may stay."""
    folder = Path(scene.copy.destination.options["path"]) / scene.copy.set.prefix
    forged = b'{"version": 1, "sources": {}}'
    planted = pyrage.encrypt(zstandard.compress(forged), [pyrage.x25519.Recipient.from_str(key.recipient)])
    path, sums, manifest = folder / "details.json.zst.age", folder / "checksums.txt", folder / "manifest.json"
    changes = {hashlib.sha256(path.read_bytes()).hexdigest(): hashlib.sha256(planted).hexdigest()}
    path.write_bytes(planted)
    if trace != "details only":
        before = manifest.read_bytes()
        if trace != "checksums too":
            manifest.write_text(before.decode().replace(publish.signing_key().fingerprint, "c" * 64))
        changes[hashlib.sha256(before).hexdigest()] = hashlib.sha256(manifest.read_bytes()).hexdigest()
        for old, new in changes.items():
            sums.write_text(sums.read_text().replace(old, new))
    if trace == "a row without fields":
        Set.objects.update(details_size=None, details_sha256="", signing_key="")
    damaged = scene.damage()
    recovery = scene.over()
    assert recovery.state == Recovery.State.FAILED
    assert scene.everything() == damaged
    assert scene.said == []
    assert Copy.objects.get(pk=scene.copy.pk).state == Copy.State.DAMAGED
