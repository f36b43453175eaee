"""A worker that is killed in any step: the run is interrupted, and a person resumes it, or undoes it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from backups.models import Approval, Recovery, Set
from backups.recovery import approval, begin
from drcenter.errors import OperationFailed
from drcenter.jobs.models import Job, State
from drcenter.jobs.reap import cancel, lose
from tests.backups.approving import second
from tests.backups.killed import kill_worker
from tests.backups.overwriting import ALL, failing
from tests.backups.scene import Scene, scene
from tests.backups.typed import environment

__all__ = ["environment", "scene"]
pytestmark = pytest.mark.django_db(transaction=True)
# In the order of a run; what had been said by the system's commands when the worker died there, at the latest.
MOMENTS = [
    ("read", "begin"),
    ("stop:1", "end"),
    ("safety", "begin"),
    ("safety", "end"),
    ("overwrite:database", "begin"),
    ("overwrite:database", "end"),
    ("count:database", "end"),
    ("overwrite:uploads", "half"),
    ("clean_up:0", "end"),
    ("start:0", "begin"),
    ("start:1", "begin"),
]


def killed(scene: Scene, environment, key: str, moment: str) -> Recovery:
    row = scene.over(run=False)
    kill_worker(row.job.pk, key, moment, environment)
    assert lose(Job.objects.get(pk=row.job.pk))
    row.refresh_from_db()
    assert (row.state, Job.objects.get(pk=row.job.pk).state) == (Recovery.State.LOST, State.LOST)
    return row


def go_on(scene: Scene, row: Recovery, act: str, **changes) -> Recovery:
    return scene.ran(begin.begin(row, actor="otto", act=act, **({"identity": scene.identity} | changes)))


@pytest.mark.parametrize(("step", "moment"), MOMENTS)
def test_it_is_resumed_where_it_was(scene: Scene, environment, step: str, moment: str) -> None:
    good = scene.everything()
    scene.damage()
    row = killed(scene, environment, step, moment)
    known = {one["key"] for one in row.steps if one["ok"]}
    row = go_on(scene, row, Recovery.Act.RESUME)
    assert (row.state, row.message, row.differences) == (Recovery.State.SUCCEEDED, "", [])
    assert scene.everything() == good
    assert (row.attempt, row.counts) == (2, {"database": {"orders": 100}})
    again = {one["key"] for one in row.steps if one["attempt"] == 2 and one["key"]}
    # Counting compares with what was just read, so the two go together.
    together = {"compare:database"} if step == "count:database" else set()
    assert again & known <= {"read"} | together, "what was done and known is not done again"
    # Whatever was broken off is done again, and every command has run; none but the one that was cut off twice.
    once = [word for word in ALL if scene.said.count(word) == 1]
    assert set(scene.said) == set(ALL) and len(once) >= len(ALL) - 1
    assert Set.objects.filter(reason="safety", state=Set.State.COMPLETE).count() == 1


@pytest.mark.parametrize(
    ("step", "moment"),
    [
        ("read", "begin"),
        ("stop:0", "begin"),
        ("overwrite:uploads", "half"),
        ("clean_up:0", "end"),
        ("start:1", "begin"),
    ],
)
def test_it_is_undone(scene: Scene, environment, step: str, moment: str) -> None:
    damaged = scene.damage()
    row = killed(scene, environment, step, moment)
    row = go_on(scene, row, Recovery.Act.UNDO)
    assert (row.state, row.message) == (Recovery.State.ROLLED_BACK, ""), row.hint
    assert scene.everything() == damaged
    assert scene.said[-2:] == ["start-workers", "start-web"]
    assert not any(line.endswith("after the restore") for line in row.differences)


class TestGoingOn:
    def test_a_failure_of_the_resumed_run_leads_back_to_the_safety_set_of_the_first(
        self, scene: Scene, environment, monkeypatch
    ) -> None:
        damaged = scene.damage()
        row = killed(scene, environment, "overwrite:uploads", "half")
        scene.part("uploads")
        failing(monkeypatch, "witness", engine=__import__("backups.engines.files", fromlist=["Plugin"]))
        row = go_on(scene, row, Recovery.Act.RESUME)
        assert row.state == Recovery.State.ROLLED_BACK, row.message
        assert scene.everything() == damaged

    def test_killed_again_and_resumed_again(self, scene: Scene, environment) -> None:
        good = scene.everything()
        scene.damage()
        row = killed(scene, environment, "overwrite:database", "end")
        for key in ("overwrite:uploads", "clean_up:0"):
            row = begin.begin(row, actor="otto", identity=scene.identity, act=Recovery.Act.RESUME)
            kill_worker(row.job.pk, key, "begin", environment)
            assert lose(Job.objects.get(pk=row.job.pk))
        row = go_on(scene, row, Recovery.Act.RESUME)
        assert (row.state, row.attempt) == (Recovery.State.SUCCEEDED, 4)
        assert scene.everything() == good

    def test_a_start_that_failed_goes_on_with_the_start(self, scene: Scene) -> None:
        good = scene.everything()
        scene.damage()
        marker = scene.log.with_name("cured")
        scene.commands(
            resume_command=[
                scene.command("start-workers"),
                ["sh", "-c", f"test -e '{marker}' && echo start-web >> '{scene.log}'"],
            ]
        )
        row = scene.over()
        assert row.state == Recovery.State.DOWN
        assert f"resume {row.pk}" in row.hint or "Start the application by hand" in row.hint
        marker.touch()
        before = len(scene.said)
        row = go_on(scene, row, Recovery.Act.RESUME)
        assert row.state == Recovery.State.SUCCEEDED, row.message
        assert scene.said[before:] == ["start-workers", "start-web"]
        assert scene.everything() == good

    def test_its_identity_is_needed_again(self, scene: Scene, environment) -> None:
        scene.damage()
        row = killed(scene, environment, "overwrite:database", "end")
        for act in (Recovery.Act.RESUME, Recovery.Act.UNDO):
            with pytest.raises(OperationFailed, match="no identity is at hand"):
                begin.begin(row, actor="otto", act=act)
        row.refresh_from_db()
        assert row.state == Recovery.State.LOST

    def test_one_that_is_over_is_neither_resumed_nor_undone(self, scene: Scene) -> None:
        row = scene.over()
        for act in (Recovery.Act.RESUME, Recovery.Act.UNDO):
            with pytest.raises(OperationFailed, match="cannot begin"):
                begin.begin(row, actor="otto", identity=scene.identity, act=act)

    def test_stopped_while_it_waits_it_still_is_to_be_decided(self, scene: Scene, environment) -> None:
        row = killed(scene, environment, "stop:1", "end")
        row = begin.begin(row, actor="otto", identity=scene.identity, act=Recovery.Act.RESUME)
        assert cancel(row.job, "otto")
        row.refresh_from_db()
        assert row.state == Recovery.State.DOWN
        assert go_on(scene, row, Recovery.Act.UNDO).state == Recovery.State.ROLLED_BACK

    def test_without_a_safety_set_there_is_only_forward(self, scene: Scene, environment) -> None:
        good = scene.everything()
        scene.damage()
        row = scene.over(run=False, skip_safety=True)
        kill_worker(row.job.pk, "overwrite:uploads", "half", environment)
        assert lose(Job.objects.get(pk=row.job.pk))
        undone = go_on(scene, row, Recovery.Act.UNDO)
        assert undone.state == Recovery.State.DOWN
        assert "no safety set to go back to" in undone.message
        assert go_on(scene, undone, Recovery.Act.RESUME).state == Recovery.State.SUCCEEDED
        assert scene.everything() == good


class TestApproval:
    def test_after_its_time_it_is_asked_for_again(self, scene: Scene, environment) -> None:
        good = scene.everything()
        scene.damage()
        row = killed(scene, environment, "overwrite:database", "end")
        Approval.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        with pytest.raises(OperationFailed, match="has run out"):
            begin.begin(row, actor="otto", identity=scene.identity, act=Recovery.Act.RESUME)
        approval.approve(row, user=second(), seen=row.digest)
        assert go_on(scene, row, Recovery.Act.RESUME).state == Recovery.State.SUCCEEDED
        assert scene.everything() == good
        assert Approval.objects.count() == 2

    def test_what_was_cured_is_another_plan(self, scene: Scene) -> None:
        """The start command was wrong: put right, it is planned again, and approved again."""
        scene.damage()
        scene.commands(resume_command=[scene.command("start", 1)])
        row = scene.over()
        assert row.state == Recovery.State.DOWN
        scene.commands(resume_command=[scene.command("better-start")])
        with pytest.raises(OperationFailed, match="start commands"):
            begin.begin(row, actor="otto", identity=scene.identity, act=Recovery.Act.RESUME)
        row.refresh_from_db()
        assert row.state == Recovery.State.DOWN
        assert approval.renew(row, actor="otto") == [("commands", "start")]
        row.refresh_from_db()
        with pytest.raises(OperationFailed, match="Nobody has approved"):
            begin.begin(row, actor="otto", identity=scene.identity, act=Recovery.Act.RESUME)
        approval.approve(row, user=second(), seen=row.digest)
        assert go_on(scene, row, Recovery.Act.RESUME).state == Recovery.State.SUCCEEDED
        assert scene.said[-1] == "better-start"
