"""Drills that hold themselves: due once, skipped loudly, overdue once."""

from datetime import timedelta

import pytest
from django.utils import timezone

from backups.drills import calendar
from backups.drills import drill as drills
from backups.models import Drill, DrillSchedule
from drcenter.audit.models import Entry
from drcenter.jobs.work import run_job
from tests.backups.scene import scene
from tests.backups.taking import channel, told

__all__ = ["channel", "scene"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def schedule(scene, tmp_path) -> DrillSchedule:
    """Every hour, with an identity of its own; made two hours ago."""
    (tmp_path / "drill.txt").write_text(scene.identity.reveal())
    return DrillSchedule.objects.create(
        system=scene.system, cron="0 * * * *", identity=f"file:{tmp_path / 'drill.txt'}",
        created_at=timezone.now() - timedelta(hours=2),
    )  # fmt: skip


def test_one_drill_for_each_planned_time_with_the_identity_of_the_schedule(scene, schedule) -> None:
    calendar.hold_due()
    calendar.hold_due()
    drill = Drill.objects.get()
    assert (drill.schedule, drill.requested_by, drill.outcome) == (schedule, "schedule", "open")
    run_job(drill.recovery.job_id)
    drill.refresh_from_db()
    assert drill.outcome == Drill.Outcome.PASSED, drill.message
    assert drill.planned_at.minute == 0 and drill.planned_at <= timezone.now()


def test_a_second_tick_with_what_the_first_one_read_plans_nothing(scene, schedule) -> None:
    stale = DrillSchedule.objects.get(pk=schedule.pk)
    calendar.hold_due()
    calendar._hold(stale, timezone.now())
    assert Drill.objects.count() == 1


@pytest.mark.parametrize("lack", ["identity", "set", "reference"])
def test_what_cannot_begin_is_skipped_and_told(scene, schedule, channel, lack) -> None:
    if lack == "set":
        scene.copy.state = "damaged"
        scene.copy.save()
    else:
        schedule.identity = "" if lack == "identity" else "env:NOBODY_HAS_SET_IT"
        schedule.save()
    calendar.hold_due()
    calendar.hold_due()
    drill = Drill.objects.get()
    assert drill.outcome == Drill.Outcome.SKIPPED and drill.message and drill.recovery is None
    assert [event for event, _text in told()] == ["failure"]
    assert "the drill was skipped" in told()[0][1]
    assert Entry.objects.filter(action="backups.drill.skipped").count() == 1


def test_while_one_is_under_way_the_next_is_skipped(scene, schedule, channel) -> None:
    drills.request(scene.copy, requested_by="otto", identity=scene.identity)
    calendar.hold_due()
    assert Drill.objects.get(outcome="skipped").message.endswith("under way already.")


def test_a_schedule_that_cannot_be_read_does_not_stop_the_others(scene, schedule) -> None:
    DrillSchedule.objects.create(system=scene.system, cron="0 * * * *", time_zone="Atlantis/Nowhere")
    calendar.hold_due()
    assert Drill.objects.count() == 1


def test_people_hear_once_that_none_was_good_and_once_that_one_is(scene, schedule, channel) -> None:
    calendar.watch_age()
    assert told() == []
    DrillSchedule.objects.update(created_at=timezone.now() - timedelta(days=10))
    calendar.watch_age()
    calendar.watch_age()
    assert [event for event, _text in told()] == ["failure"]
    drill = drills.request(scene.copy, requested_by="otto", identity=scene.identity)
    run_job(drill.recovery.job_id)
    calendar.watch_age()
    calendar.watch_age()
    assert [event for event, _text in told()] == ["failure", "success", "recovered"]
