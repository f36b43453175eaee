"""Cron in a time zone: tables of cases, and what holds for every expression."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backups.schedule import COUNTED, Cron, Due, InvalidCron, due, overdue

BERLIN = ZoneInfo("Europe/Berlin")


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def berlin(text):
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC)


# In 2026 Berlin's clocks go forward on 29 March at 02:00, back on 25 October at 03:00.
AFTER = [
    ("0 2 * * *", "2026-03-10T12:00", "2026-03-11T01:00", "winter"),
    ("0 2 * * *", "2026-07-10T12:00", "2026-07-11T00:00", "summer"),
    ("30 2 * * *", "2026-03-28T12:00", "2026-03-29T01:30", "the hour that is skipped: 03:30 local"),
    ("30 2 * * *", "2026-03-29T01:30", "2026-03-30T00:30", "and the day after as ever"),
    ("30 2 * * *", "2026-10-24T12:00", "2026-10-25T00:30", "the doubled hour: the first time"),
    ("30 2 * * *", "2026-10-25T00:30", "2026-10-26T01:30", "and not the second time"),
    ("0 * * * *", "2026-03-29T00:30", "2026-03-29T01:00", "every hour in spring: 03:00 follows 01:00"),
    ("0 * * * *", "2026-03-29T01:00", "2026-03-29T02:00", "and then 04:00"),
    ("0 * * * *", "2026-10-25T00:00", "2026-10-25T01:00", "every hour in autumn: 02:00 a second time"),
    ("0 * * * *", "2026-10-25T01:00", "2026-10-25T02:00", "and then 03:00"),
    ("*/15 * * * *", "2026-10-25T00:45", "2026-10-25T01:00", "quarters in the doubled hour"),
    ("0 0 29 2 *", "2026-01-01T00:00", "2028-02-28T23:00", "leap years only"),
    ("0 9 * * 1", "2026-11-20T12:00", "2026-11-23T08:00", "Mondays"),
    ("59 23 31 12 *", "2026-11-20T12:00", "2026-12-31T22:59", "the last minute of the year"),
]


@pytest.mark.parametrize(("expression", "moment", "expected", "why"), AFTER, ids=[case[3] for case in AFTER])
def test_the_next_time(expression, moment, expected, why):
    assert Cron(expression, "Europe/Berlin").after(utc(moment)) == utc(expected)


@pytest.mark.parametrize("hours", range(24))
def test_the_latest_time_is_found_at_every_full_hour(hours):
    """A walk that begins exactly at a planned time must not step over it."""
    moment = utc("2026-11-20T02:00") + timedelta(hours=hours)
    assert Cron("0 2 * * *", "UTC").latest(moment) == utc("2026-11-20T02:00")


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_on_both_change_days_a_daily_time_comes_once_and_every_hour_as_often_as_the_day_has_hours(day):
    begin = berlin(f"{day}T00:00")
    end = berlin(f"{day}T23:59")
    hours = round((end - begin).total_seconds() / 3600)
    assert count(Cron("30 2 * * *", "Europe/Berlin"), begin, end) == 1
    assert count(Cron("0 * * * *", "Europe/Berlin"), begin - timedelta(seconds=1), end) == hours


def count(cron, begin, end):
    times, moment = 0, cron.after(begin)
    while moment <= end:
        times, moment = times + 1, cron.after(moment)
    return times


BAD = [
    "",
    "* * * *",
    "* * * * * *",
    "@daily",
    "61 * * * *",
    "0 25 * * *",
    "0 0 30 2 *",
    "a b c d e",
    "0 0 0 * *",
    "- - - - -",
]


@pytest.mark.parametrize("expression", BAD)
def test_bad_expressions_are_refused_with_a_sentence(expression):
    with pytest.raises(InvalidCron):
        Cron(expression, "UTC")


DUE = [
    # expression, last planned, now, due, missed
    ("0 2 * * *", "2026-11-19T02:00", "2026-11-20T01:59", None, 0, "not yet"),
    ("0 2 * * *", "2026-11-19T02:00", "2026-11-20T02:00", "2026-11-20T02:00", 0, "on the minute"),
    ("0 2 * * *", "2026-11-20T02:00", "2026-11-20T02:00", None, 0, "already planned"),
    ("0 2 * * *", "2026-11-10T02:00", "2026-11-20T12:00", "2026-11-20T02:00", 9, "an outage of ten days"),
    ("0 * * * *", "2026-11-20T02:00", "2026-11-20T12:30", "2026-11-20T12:00", 9, "an outage of ten hours"),
    ("0 2 * * *", "2026-11-20T02:00", "2026-11-19T14:00", None, 0, "clock set back by half a day"),
    (
        "0 2 * * *",
        "2036-11-20T02:00",
        "2026-11-20T14:00",
        "2026-11-20T02:00",
        0,
        "planned under a wrong clock",
    ),
    ("* * * * *", "2020-01-01T00:00", "2026-11-20T14:00", "2026-11-20T14:00", COUNTED, "years of minutes"),
]


@pytest.mark.parametrize(
    ("expression", "last", "now", "planned", "missed", "why"), DUE, ids=[case[5] for case in DUE]
)
def test_what_is_due(expression, last, now, planned, missed, why):
    expected = Due(utc(planned), missed) if planned else None
    assert due(Cron(expression, "UTC"), utc(last), utc(now)) == expected


@pytest.mark.parametrize(
    ("newest", "now", "expected"),
    [
        ("2026-11-19T12:00", "2026-11-20T12:00", False),
        ("2026-11-19T11:59", "2026-11-20T12:00", True),
        (None, "2026-11-02T00:00", False),
        (None, "2026-11-02T00:01", True),
        ("2026-11-30T12:00", "2026-11-20T12:00", False),
    ],
)
def test_what_is_overdue(newest, now, expected):
    born = utc("2026-11-01T00:00")
    assert overdue(newest and utc(newest), timedelta(hours=24), utc(now), born) is expected


EXPRESSIONS = st.sampled_from(
    [
        "0 2 * * *",
        "30 2 * * *",
        "*/7 * * * *",
        "0 * * * *",
        "15 */6 * * *",
        "0 9 * * 1-5",
        "0 0 1 * *",
        "59 1,2,3 * * *",
    ]
)
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]
)
MOMENTS = st.datetimes(datetime(2010, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))


@settings(deadline=None, max_examples=150)
@given(EXPRESSIONS, ZONES, MOMENTS)
def test_latest_and_after_enclose_every_moment(expression, zone, moment):
    cron = Cron(expression, zone)
    latest, following = cron.latest(moment), cron.after(moment)
    assert latest <= moment < following
    assert cron.latest(following) == following
    assert cron.after(latest) == following
    assert cron.latest(following - timedelta(microseconds=1)) == latest


@settings(deadline=None, max_examples=60)
@given(EXPRESSIONS, ZONES, MOMENTS, st.timedeltas(timedelta(0), timedelta(days=3)))
def test_after_a_due_run_nothing_is_due_until_the_next_time(expression, zone, last, outage):
    cron = Cron(expression, zone)
    now = last + outage
    found = due(cron, last, now)
    if found is None:
        assert cron.after(last) > now
        return
    assert last < found.planned_at <= now
    assert due(cron, found.planned_at, now) is None
    assert found.missed == count(cron, last, found.planned_at) - 1


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(
        st.text(max_size=30),
        st.lists(st.text("0123456789*/,-LW#?abc", max_size=6), min_size=5, max_size=5).map(" ".join),
    )
)
def test_any_text_is_a_schedule_or_is_refused(expression):
    try:
        cron = Cron(expression, "Europe/Berlin")
    except InvalidCron:
        return
    moment = utc("2026-11-20T12:00")
    assert cron.latest(moment) <= moment < cron.after(moment)
