"""A restore over production of an application that is stopped already, or too broken to be stopped."""

import shutil

import pytest

from backups.models import Recovery
from backups.recovery import restore
from drcenter.audit.models import Entry
from drcenter.errors import OperationFailed
from drcenter.jobs.reap import cancel
from drcenter.systems.models import System
from tests.backups.scene import Scene, scene

__all__ = ["scene"]
pytestmark = pytest.mark.django_db(transaction=True)

ASKED = "The stop commands are not run, as asked for"


@pytest.fixture
def broken(scene: Scene) -> Scene:
    """Neither of its stop commands works; the first is not even there."""
    scene.commands(pause_command=[["no-such-tool-here", "down"], scene.command("stop", 1)])
    scene.copy.set.system.refresh_from_db()
    return scene


def test_it_is_restored_and_started(broken: Scene) -> None:
    before = broken.everything()
    broken.damage()
    recovery = broken.over(skip_stop=True)
    assert (recovery.state, recovery.message) == (Recovery.State.SUCCEEDED, "")
    assert broken.everything() == before
    assert broken.said == ["clear-cache", "start-workers", "start-web"]
    stop = recovery.steps[1]
    assert (stop["step"], stop["target"], stop["ok"]) == ("stop", f"{ASKED}.", True)
    assert Entry.objects.get(action="backups.restore.requested").facts["skip_stop"] is True


def test_it_is_told_beforehand(broken: Scene) -> None:
    told = restore.describe_production(broken.copy, [], skip_stop=True)
    assert told[1].startswith(ASKED)
    assert not any("Stop the application" in line for line in told)
    assert any("Start the application" in line for line in told)


def test_a_stop_that_fails_names_the_way_out(scene: Scene) -> None:
    scene.commands(pause_command=[scene.command("stop", 1)])
    recovery = scene.over()
    assert recovery.state == Recovery.State.FAILED
    assert "--without-stop" in recovery.hint


def test_what_was_not_stopped_is_not_started_either(broken: Scene, monkeypatch) -> None:
    def full(*_args: object, **_kwargs: object) -> None:
        raise OperationFailed("The disk is full.")

    monkeypatch.setattr("backups.takes.take.store_set", full)
    damaged = broken.damage()
    recovery = broken.over(skip_stop=True)
    assert (recovery.state, broken.said) == (Recovery.State.FAILED, [])
    assert recovery.message == "The disk is full."
    assert "Nothing was stopped, overwritten or started." in recovery.hint
    assert broken.everything() == damaged


def test_stopped_on_request_before_anything_was_done(broken: Scene, monkeypatch) -> None:
    from backups.takes import take

    original = take.store_set

    def store_set(taking, sources):
        cancel(taking.context.job, "anna")
        while not taking.context.reason:
            pass
        original(taking, sources)

    monkeypatch.setattr(take, "store_set", store_set)
    recovery = broken.over(skip_stop=True)
    assert (recovery.state, broken.said) == (Recovery.State.CANCELLED, [])


def test_the_directory_of_the_commands_may_be_gone(scene: Scene) -> None:
    """It is what the restore brings back; the commands run there afterwards."""
    before = scene.everything()
    scene.commands(
        pause_command=[["bin/stop"]], after_restore_command=[], resume_command=[["sh", "-c", "test -f one.txt"]],
    )  # fmt: skip
    System.objects.update(commands_directory=str(scene.directory))
    shutil.rmtree(scene.directory)
    with pytest.raises(OperationFailed, match="does not exist"):
        scene.over()
    recovery = scene.over(skip_stop=True)
    assert recovery.state == Recovery.State.SUCCEEDED, recovery.message
    assert scene.everything() == before
    assert "is gone" in "".join(line.text for line in scene.job(recovery).lines.all())


def test_a_failure_later_puts_back_and_starts(broken: Scene) -> None:
    broken.commands(after_restore_command=[broken.command("clear-cache", 1)])
    damaged = broken.damage()
    recovery = broken.over(skip_stop=True)
    assert (recovery.state, broken.said) == (
        Recovery.State.ROLLED_BACK, ["clear-cache", "start-workers", "start-web"],
    )  # fmt: skip
    assert broken.everything() == damaged


def test_a_start_that_fails_runs_no_stop_commands(broken: Scene) -> None:
    broken.commands(resume_command=[broken.command("start-workers"), broken.command("start-web", 1)])
    recovery = broken.over(skip_stop=True)
    assert recovery.state == Recovery.State.DOWN
    assert broken.said == ["clear-cache", "start-workers", "start-web"]
