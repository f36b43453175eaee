"""What would be lost, and how long it would take: every case, and what holds in all of them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from backups.exposure import Goal, Held, Measured, Reach, Source, Stream, exposures, newest

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def held(hours: float, level: str = "proven", **more) -> Held:
    return Held(f"set of {hours} h", NOW - timedelta(hours=hours), level, **more)


def stream(since: float, until: float) -> Stream:
    return Stream(NOW - timedelta(hours=since), NOW - timedelta(hours=until))


def database(*sets: Held, **more) -> Source:
    return Source("db", "database", sets, **more)


@pytest.mark.parametrize(
    ("source", "hours", "critical", "why"),
    [
        (database(), None, None, "nothing is held"),
        (database(held(3), held(1), held(2)), 1, 1, "the newest counts"),
        (database(held(-2), held(3)), 3, 3, "a moment in the future is not believed"),
        (database(held(3), held(1, tables=frozenset({"a", "b"})), critical=frozenset({"a"})), 3, 1, "some tables alone"),
        (database(held(3), held(1, tables=frozenset({"b"})), critical=frozenset({"a"})), 3, 3, "not the critical ones"),
        (database(held(1, tables=frozenset({"a"})), critical=frozenset()), None, None, "nobody said which are critical"),
        (database(held(3, placed=True), streams=[stream(5, 0.01)]), 0.01, 0.01, "a log onto a set"),
        (database(held(3), streams=[stream(5, 0.01)]), 3, 3, "the set does not know its place in the log"),
        (database(held(3, placed=True), streams=[stream(2, 0.01)]), 3, 3, "the log does not reach back to the set"),
        (database(held(3, placed=True), streams=[stream(5, 4)]), 3, 3, "the log ended before the set"),
        (database(streams=[stream(5, 0.01)]), None, None, "a log without a base brings nothing back"),
        (database(held(3, placed=True), streams=[stream(5, -2)]), 3, 3, "a log in the future is not believed"),
    ],
)  # fmt: skip
def test_the_newest_moment(source, hours, critical, why) -> None:
    for is_critical, wanted in ((False, hours), (True, critical)):
        point = newest(source, NOW, critical=is_critical)
        assert (None if point is None else (NOW - point.moment) / HOUR) == (
            None if wanted is None else pytest.approx(wanted)
        ), why


FILES = Source("files", "application", [held(20)])
GOALS = {"critical": Goal(3600, 3600), "application": Goal(24 * 3600, 4 * 3600)}


def of(*sources: Source, measures=(), goals=GOALS) -> dict[str, object]:
    return {one.data_class: one for one in exposures(sources, measures, goals, NOW)}


def test_each_class_is_as_exposed_as_its_worst_source() -> None:
    found = of(database(held(0.5)), FILES)
    assert (found["critical"].lost, found["critical"].loss_reach) == (1800, Reach.MET)
    assert (found["application"].lost, found["application"].worst.source) == (20 * 3600, "files")
    assert found["whole"].loss_reach == Reach.UNSET


def test_one_bare_source_loses_everything_of_its_class() -> None:
    found = of(database(), FILES)
    assert (found["critical"].lost, found["critical"].bare, found["critical"].loss_reach) == (None, ("db",), Reach.UNKNOWN)  # fmt: skip
    assert found["application"].lost is None


def test_exactly_on_the_target_is_met_and_a_second_more_is_not() -> None:
    assert of(database(held(1)))["critical"].loss_reach == Reach.MET
    assert of(database(held(1 + 1 / 3600)))["critical"].loss_reach == Reach.MISSED


def test_a_class_without_sources_says_so() -> None:
    found = of(FILES)["critical"]
    assert found.loss_reach == found.time_reach == Reach.EMPTY


def test_copies_that_are_missing_and_sets_that_were_not_proven_are_named() -> None:
    found = of(database(held(0.5, level="stored", copies=1, wanted=2)))["critical"]
    assert found.thin == found.unproven == ("db",)


def measured(days: float, waited: float = 0.0, **sources: float) -> Measured:
    return Measured(NOW - timedelta(days=days), sources, besides=10, waited=waited)


def test_without_a_drill_nobody_knows_and_that_is_not_green() -> None:
    assert of(database(held(0.5)))["critical"].time_reach == Reach.UNKNOWN


def test_the_newest_drill_that_had_every_source_counts_for_each_class() -> None:
    drills = [measured(9, db=100, files=900, waited=60), measured(1, db=200)]
    found = of(database(held(0.5)), FILES, measures=drills)
    assert (found["critical"].takes, found["critical"].measured.waited) == (210, 0)
    assert (found["application"].takes, found["application"].measured.waited) == (1010, 60)
    assert found["application"].time_reach == Reach.MET


ages = some.lists(some.floats(min_value=0, max_value=1000), max_size=6)


@given(ages, ages)
def test_more_sets_never_lose_more_and_no_class_loses_less_than_its_parts(some_ages, more_ages) -> None:
    def lost(hours, name) -> float:
        value = of(database(*map(held, hours)), FILES)[name].lost
        return float("inf") if value is None else value

    for name in ("critical", "application", "whole"):
        assert lost([*some_ages, *more_ages], name) <= lost(some_ages, name)
    assert lost(some_ages, "critical") <= lost(some_ages, "application") <= lost(some_ages, "whole")


@given(some.floats(min_value=0, max_value=100), some.floats(min_value=0, max_value=100))
def test_it_grows_with_the_clock(age, later) -> None:
    source = database(held(age))
    one = exposures([source], [], {}, NOW)[0].lost
    other = exposures([source], [], {}, NOW + timedelta(hours=later))[0].lost
    assert other == pytest.approx(one + later * 3600, abs=1e-3)
