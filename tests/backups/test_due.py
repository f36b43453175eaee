"""Planned times become runs: once, also on odd days."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from backups.due import take_due
from backups.models import Plan, Set
from drcenter.jobs.models import Job, State
from drcenter.notify.models import Channel, Delivery
from tests.backups.planning import make_plan

pytestmark = pytest.mark.django_db

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def at(time_machine):
    """Set the clock, and tick twice: a doubled tick does nothing more."""

    def at(text, zone=UTC):
        time_machine.move_to(datetime.fromisoformat(text).replace(tzinfo=zone), tick=False)
        take_due()
        take_due()

    return at


@pytest.fixture
def plan(tmp_path, time_machine):
    time_machine.move_to(datetime(2026, 11, 20, 12, tzinfo=UTC), tick=False)
    return make_plan(tmp_path, cron="0 2 * * *")


def planned():
    return [one.planned_at.isoformat()[:16] for one in Set.objects.order_by("planned_at")]


def end_all():
    Job.objects.update(state=State.SUCCEEDED)
    Set.objects.update(state=Set.State.COMPLETE)


def test_a_new_plan_waits_for_its_first_time(plan, at):
    at("2026-11-20T12:00")
    at("2026-11-21T01:59")
    assert planned() == []
    at("2026-11-21T02:00")
    assert planned() == ["2026-11-21T02:00"]
    one = Set.objects.get()
    assert (one.reason, one.job.requested_by, one.job.state) == ("schedule", "schedule", "queued")


def test_an_outage_is_made_up_for_once(plan, at):
    at("2026-11-21T02:01")
    end_all()
    at("2026-11-30T09:00")
    assert planned() == ["2026-11-21T02:00", "2026-11-30T02:00"]


def test_a_time_missed_since_the_plan_was_made_is_made_up_for(plan, at):
    at("2026-11-23T09:00")
    assert planned() == ["2026-11-23T02:00"]


def test_a_clock_set_back_runs_nothing_twice(plan, at):
    at("2026-11-21T02:00")
    end_all()
    at("2026-11-20T23:00")
    at("2026-11-21T02:30")
    assert planned() == ["2026-11-21T02:00"]
    at("2026-11-22T02:30")
    assert planned() == ["2026-11-21T02:00", "2026-11-22T02:00"]


def test_a_plan_is_not_held_up_by_a_time_that_a_wrong_clock_planned(plan, at):
    at("2036-05-05T12:00")
    end_all()
    at("2026-11-21T12:00")
    end_all()
    at("2026-11-22T12:00")
    assert planned() == ["2026-11-21T02:00", "2026-11-22T02:00", "2036-05-05T02:00"]


def test_while_a_run_lasts_no_other_one_is_asked_for(plan, at):
    Plan.objects.update(cron="0 * * * *")
    at("2026-11-20T13:00")
    at("2026-11-20T14:00")
    at("2026-11-20T16:20")
    assert planned() == ["2026-11-20T13:00"]
    end_all()
    at("2026-11-20T16:21")
    assert planned() == ["2026-11-20T13:00", "2026-11-20T16:00"]


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
@pytest.mark.parametrize(("cron", "spring", "autumn"), [("30 2 * * *", 1, 1), ("0 * * * *", 23, 25)])
def test_days_on_which_the_clocks_change(tmp_path, at, time_machine, day, cron, spring, autumn):
    begin = datetime.fromisoformat(f"{day}T00:00").replace(tzinfo=BERLIN).astimezone(UTC)
    time_machine.move_to(begin - timedelta(seconds=1), tick=False)
    make_plan(tmp_path, cron=cron, time_zone="Europe/Berlin")
    moment = begin
    while moment.astimezone(BERLIN).date().isoformat() == day:
        at(moment.isoformat()[:16])
        end_all()
        moment += timedelta(minutes=10)
    assert len(planned()) == (spring if "03-29" in day else autumn)


def test_plans_that_are_off_or_by_hand_are_left_alone(plan, at):
    Plan.objects.update(enabled=False)
    at("2026-11-22T12:00")
    Plan.objects.update(enabled=True, cron="")
    at("2026-11-22T12:00")
    assert planned() == []


def test_one_bad_plan_does_not_stop_the_others(plan, tmp_path, at):
    make_plan(tmp_path, "aaa", cron="not a cron at all", name="first")
    make_plan(tmp_path, "abb", time_zone="Mars/Olympus")
    make_plan(tmp_path, "bbb", cron="0 2 * * *", time_zone="UTC")
    at("2026-11-21T03:00")
    assert planned() == ["2026-11-21T02:00", "2026-11-21T02:00"]


def test_a_plan_that_cannot_run_is_told_of_once_and_tried_at_its_next_time(plan, at):
    Channel.objects.create(name="ops", url="env:NOWHERE", language="en")
    plan.destinations.update(enabled=False)
    at("2026-11-21T03:00")
    at("2026-11-21T03:05")
    assert [one.title for one in Delivery.objects.all()] == ["shop: daily: the backup could not be started"]
    plan.destinations.update(enabled=True)
    at("2026-11-22T03:00")
    assert planned() == ["2026-11-22T02:00"]


def test_a_plan_whose_source_has_vanished_is_asked_for_and_fails_by_name(plan, at, tmp_path):
    (tmp_path / "data").rmdir()
    at("2026-11-21T03:00")
    assert planned() == ["2026-11-21T02:00"]
