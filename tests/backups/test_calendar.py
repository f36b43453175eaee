"""The calendar: each plan at each of its times, once, also on the days on which the clocks change."""

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from backups import calendar
from backups.models import Destination, Level, Plan, Source, Tier
from backups.schedule import Cron, due
from drcenter.audit.models import Entry
from drcenter.errors import OperationFailed

# (zone, day, hours that it has): forward and back, in the north and in the south, at 02:00, 03:00 and at midnight.
CHANGES = [
    ("Europe/Berlin", "2026-03-29", 23), ("Europe/Berlin", "2026-10-25", 25), ("Europe/Berlin", "2026-07-01", 24),
    ("Australia/Sydney", "2026-10-04", 23), ("Australia/Sydney", "2026-04-05", 25),
    ("America/Santiago", "2026-09-06", 23), ("America/Santiago", "2026-04-04", 25),
    ("Australia/Lord_Howe", "2026-10-04", 23.5), ("Australia/Lord_Howe", "2026-04-05", 24.5),
]  # fmt: skip
# Runs of a day: whatever the clocks do, a time that is named comes once; every half hour comes as often as it passes.
NAMED = {"daily": 1, "critical-tables": 4}


def limits(zone: str, day: str) -> tuple[datetime, datetime]:
    """The first moment of the day, and of the day after."""
    begin = datetime.fromisoformat(day)
    return tuple(
        one.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) for one in (begin, begin + timedelta(days=1))
    )


def ticked(entry: calendar.Entry, zone: str, begin: datetime, end: datetime) -> list[datetime]:
    """What a tick each minute, that comes twice, turns into runs."""
    cron, last, runs = Cron(entry.cron, zone), begin - timedelta(minutes=1), []
    now = begin
    while now < end:
        for _twice in range(2):
            if (found := due(cron, last, now)) is not None:
                assert found.missed == 0, "a time was skipped"
                runs.append(found.planned_at)
                last = found.planned_at
        now += timedelta(minutes=1)
    return runs


def planned(entry: calendar.Entry, zone: str, begin: datetime, end: datetime) -> list[datetime]:
    """The planned times of a day, in order."""
    cron, found, at = Cron(entry.cron, zone), [], begin - timedelta(seconds=1)
    while (at := cron.after(at)) < end:
        found.append(at)
    return found


@pytest.mark.parametrize(("zone", "day", "hours"), CHANGES)
@pytest.mark.parametrize("entry", calendar.CALENDAR, ids=lambda entry: entry.name)
def test_no_time_is_skipped_and_none_comes_twice(entry, zone, day, hours):
    begin, end = limits(zone, day)
    assert (end - begin) == timedelta(hours=hours)
    times = planned(entry, zone, begin, end)
    assert times == sorted(set(times))
    if entry.name in NAMED:
        assert len(times) == NAMED[entry.name]
    elif entry.name == "external":
        assert len(times) == hours * 2
        assert {later - earlier for earlier, later in itertools.pairwise(times)} == {timedelta(minutes=30)}
    else:
        assert len(times) <= 1


@pytest.mark.parametrize(("zone", "day", "hours"), CHANGES[:5])
@pytest.mark.parametrize("name", ["daily", "critical-tables", "external"])
def test_ticks_that_come_twice_run_each_time_once(name, zone, day, hours):
    entry = next(entry for entry in calendar.CALENDAR if entry.name == name)
    begin, end = limits(zone, day)
    assert ticked(entry, zone, begin, end) == planned(entry, zone, begin, end)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Santiago"])
def test_over_a_year_each_comes_as_often_as_its_name_says_and_never_later_than_allowed(zone):
    begin = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    end = datetime(2027, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    expected = {"daily": 365, "critical-tables": 4 * 365, "weekly": 52, "monthly": 12, "quarterly": 4}
    for entry in calendar.CALENDAR:
        if entry.name == "external":
            continue
        times = planned(entry, zone, begin, end)
        assert len(times) == expected[entry.name], entry.name
        longest = max(later - earlier for earlier, later in itertools.pairwise(times))
        assert longest < timedelta(hours=entry.hours), "the status would turn red between two runs"


def test_the_plans_of_the_calendar(plan, database, uploads):
    plan.delete()
    Source.objects.create(
        system=database.system,
        name="retell",
        engine="command",
        tier=Tier.EXTERNAL,
        options={"argv": ["true"]},
    )
    Source.objects.filter(pk=database.pk).update(options={**database.options, "critical_tables": ["orders"]})
    plans = {plan.name: plan for plan in calendar.set_up(database.system, requested_by="otto")}
    assert list(plans) == ["daily", "critical-tables", "external", "weekly", "monthly", "quarterly"]
    assert {name: plan.profile.slug if plan.profile else "" for name, plan in plans.items()} == {
        "daily": "golden", "critical-tables": "", "external": "external", "weekly": "comprehensive",
        "monthly": "ultimate", "quarterly": "ultimate",
    }  # fmt: skip
    assert (plans["critical-tables"].tables, list(plans["critical-tables"].chosen())) == (
        ["orders"],
        [database],
    )
    assert {plan.level for name, plan in plans.items() if name != "external"} == {Level.PROVEN}
    assert plans["external"].level == Level.INTACT and plans["external"].retention.rules.days == 14
    assert all(plan.time_zone == database.system.time_zone and plan.encrypt for plan in plans.values())
    assert all(plan.destinations.count() == 1 for plan in plans.values())
    for plan in plans.values():
        plan.full_clean()
    assert Entry.objects.filter(action="backups.calendar.set_up", actor="otto").count() == 1


def test_asked_for_again_it_adds_nothing(plan, database):
    added = calendar.set_up(plan.system, requested_by="otto")
    assert "daily" not in [one.name for one in added], "the plan of this name stays as it is"
    before = sorted(Plan.objects.values_list("name", "cron"))
    assert calendar.set_up(plan.system, requested_by="otto") == []
    assert sorted(Plan.objects.values_list("name", "cron")) == before


def test_what_is_left_out_says_why(plan, database, uploads):
    told = {one.entry.name: calendar.told(one) for one in calendar.foresee(plan.system)}
    assert "there is a plan of this name already" in told["daily"]
    assert "No critical tables are named" in told["critical-tables"]
    assert "no source of the profile External services only" in told["external"]
    assert told["weekly"] == "weekly, Sundays at 03:00: database, uploads."
    [critical] = [
        one for one in calendar.foresee(plan.system, ["orders"]) if one.entry.name == "critical-tables"
    ]
    assert critical.is_new and critical.tables == ("orders",)


def test_without_a_destination_nothing_is_set_up(system, database):
    Destination.objects.all().delete()
    with pytest.raises(OperationFailed, match="no destination"):
        calendar.set_up(system, requested_by="otto")
    assert not Plan.objects.exists()
