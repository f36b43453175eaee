"""A restore over production that is refused, or fails: nothing was touched, or all is put back."""

import threading
from dataclasses import replace
from pathlib import Path

import pyrage
import pytest

from backups.engines import files as files_engine
from backups.engines import sqlite as sqlite_engine
from backups.models import Destination, Recovery, Set
from backups.recovery import production
from backups.witness import Content, Witness
from drcenter.audit.models import Entry
from drcenter.errors import OperationFailed
from drcenter.jobs.models import Job, State
from drcenter.jobs.reap import cancel
from drcenter.secrets import Secret
from tests.backups.overwriting import ALL, UNDONE, failing, steps
from tests.backups.scene import Scene, flip, scene

__all__ = ["scene"]
pytestmark = pytest.mark.django_db(transaction=True)


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

        other = Secret(str(pyrage.x25519.Identity.generate()))
        error = self.not_begun(scene, identity=other)
        assert "The identity does not fit" in error.message
        assert other.reveal() not in f"{error} {vars(Recovery.objects.get())}"

    def test_no_identity(self, scene: Scene) -> None:
        assert "recovery kit" in self.not_begun(scene, identity=None).hint

    def not_begun(self, scene: Scene, **changes) -> OperationFailed:
        """The approval is not spent: what was wrong is put right, and it begins."""
        with pytest.raises(OperationFailed) as caught:
            scene.over(**changes)
        recovery = Recovery.objects.get()
        self.unharmed(scene, recovery, [], Recovery.State.APPROVED)
        assert recovery.job is None
        return caught.value

    @pytest.mark.parametrize("which", ["pause_command", "after_restore_command", "resume_command"])
    def test_a_command_that_does_not_exist_is_met_before_any_runs(self, scene: Scene, which: str) -> None:
        scene.commands(**{which: [scene.command("first"), ["no-such-tool-here", "up"]]})
        error = self.not_begun(scene)
        assert "no-such-tool-here up: The tool no-such-tool-here is not installed." in error.message

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
        from backups.takes import dumping

        def full(*_args: object, **_kwargs: object) -> None:
            raise OperationFailed("The disk is full.", "Free some space there.")

        monkeypatch.setattr(dumping, "_dump", full)
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
        assert not [one for one in Path("/proc").glob("[0-9]*/cmdline") if "30.0625" in _read(one)]

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
            return replace(command, argv=("sleep", "30.0625"))

        monkeypatch.setattr(files_engine.Plugin, "consumer", consumer)
        return held


def _read(place: Path) -> str:
    """ "" for a process that has just ended."""
    try:
        return place.read_text(errors="replace")
    except OSError:
        return ""
