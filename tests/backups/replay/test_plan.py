"""Which set and which segments are chosen for a moment, and what is said where none lead there."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups.logs.chain import Mark, Position, Segment
from backups.replay.plan import Base, Plan, Rates, Target, Unreachable, Why, choose

START = datetime(2025, 6, 17, 12, tzinfo=UTC)
SIZE = 100


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def archived(
    files: int = 3, pieces: int = 4, *, incarnation: str = "one", first: int = 1, since: float = 0
) -> list[Segment]:
    """Log files of some segments of 100 bytes. One byte comes each second, and a mark every ten, right to 0.1 s."""
    found: list[Segment] = []
    for file in range(files):
        for piece in range(pieces):
            log, number = f"binlog.{file + 1:06}", first + len(found)
            begin, end = piece * SIZE, (piece + 1) * SIZE
            before = since + (file * pieces + piece) * SIZE
            marks = tuple(
                Mark(at(before + step), Position(log, begin + step), at(before + step + 0.1))
                for step in range(10, SIZE + 1, 10)
            )
            previous = found[-1].link if found else ""
            last = piece == pieces - 1
            found.append(
                Segment(number, incarnation, log, begin, end, last, marks, previous, f"{incarnation}{number}")
            )
    return found


def base(seconds: float, log: int = 1, **changes: object) -> Base:
    """A set of that second, where nothing but that log file had been begun anew."""
    made = Base(
        f"set-{seconds}", at(seconds), Position(f"binlog.{log:06}", int(seconds) - (log - 1) * 400), 1000
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def moment(seconds: float) -> Target:
    return Target(at(seconds))


def refused(target: Target, bases: list[Base], segments: list[Segment], **given: object) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        choose(target, bases, segments, **given)  # type: ignore[arg-type]
    return caught.value


def test_the_last_mark_that_is_surely_not_after_the_moment_is_the_stop() -> None:
    plan = choose(moment(555), [base(30)], archived())
    assert plan.stop == Position("binlog.000002", 150)
    assert (plan.surely, plan.atmost) == (at(550), at(555))
    assert plan.through == Position("binlog.000002", 160)
    assert [one.number for one in plan.segments] == [1, 2, 3, 4, 5, 6]
    assert plan.log_bytes == 400 - 30 + 150


def test_the_first_log_file_is_read_from_its_beginning() -> None:
    plan = choose(moment(700), [base(550, 2)], archived())
    assert [one.number for one in plan.segments] == [5, 6, 7]
    assert plan.log_bytes == 290 - 150


def test_a_mark_counts_from_when_it_was_answered() -> None:
    assert choose(moment(550.05), [base(30)], archived()).stop == Position("binlog.000002", 140)
    assert choose(moment(550.1), [base(30)], archived()).stop == Position("binlog.000002", 150)


def test_by_commit_times_a_moment_while_the_server_was_asked_is_not_reached() -> None:
    """What was committed between the question's beginning and its end may be behind the place that was answered."""
    dated = base(30, physical=True, dated=True)
    plan = choose(moment(1200), [dated], archived())
    assert (plan.stop, plan.through) == (Position("binlog.000003", 390), Position("binlog.000003", 400))
    assert refused(moment(1200.05), [dated], archived()).offer == at(1200)


def test_the_newest_set_before_the_moment_takes_the_least_time() -> None:
    bases = [base(30), base(450, 2), base(700, 2)]
    assert choose(moment(555), bases, archived()).base == bases[1]
    # One so large that the log is quicker.
    assert choose(moment(555), [base(30), base(450, 2, size=10**9)], archived()).base == bases[0]
    # A physical one restores faster.
    physical = base(440, 2, physical=True)
    assert choose(moment(555), [base(450, 2), physical], archived()).base == physical


def test_a_set_taken_after_the_position_is_no_base() -> None:
    target = Target(position=Position("binlog.000002", 40))
    assert choose(target, [base(30), base(450, 2)], archived()).base == base(30)


def test_a_moment_right_after_the_set_needs_no_log() -> None:
    plan = choose(moment(32), [base(30)], archived())
    assert (plan.stop, plan.log_bytes, plan.surely) == (Position("binlog.000001", 30), 0, at(30))


def test_a_moment_before_the_first_set() -> None:
    found = refused(moment(20), [base(30)], archived())
    assert (found.why, found.earliest) == (Why.BEFORE, at(30))


def test_a_moment_that_is_not_archived_yet() -> None:
    found = refused(moment(2000), [base(30)], archived())
    assert (found.why, found.offer) == (Why.LATER, at(1200.1))
    assert choose(Target(found.offer), [base(30)], archived())


def test_marks_of_a_quiet_server_reach_further_than_its_log() -> None:
    quiet = [Mark(at(1990), Position("binlog.000003", 400), at(1990.1))]
    plan = choose(moment(1985), [base(30)], archived(), marks=quiet)
    assert plan.stop == Position("binlog.000003", 400)
    assert refused(moment(2000), [base(30)], archived(), marks=quiet).offer == at(1990.1)


def test_no_set_has_a_position() -> None:
    assert refused(moment(50), [], archived()).why == Why.NO_BASE


def test_a_gap_offers_the_last_moment_before_it_and_names_the_next_set() -> None:
    segments = [one for one in archived() if one.number != 7]
    found = refused(moment(700), [base(30), base(900, 3)], segments)
    assert (found.why, found.offer, found.next_base) == (Why.GAP, at(600.1), at(900))
    assert found.gap is not None
    assert found.gap.after is not None
    assert found.gap.after.number == 6
    assert choose(Target(found.offer), [base(30), base(900, 3)], segments).stop == Position(
        "binlog.000002", 200
    )
    # Behind the gap the next set is a base.
    assert choose(moment(1000), [base(30), base(900, 3)], segments).base == base(900, 3)


def test_names_of_log_files_that_came_back_are_told_apart_by_the_time() -> None:
    old, new = archived(1), archived(1, incarnation="two", first=5, since=5000)
    both = [*old, replace(new[0], previous=old[-1].link), *new[1:]]
    early, late = base(30), replace(base(30), name="late", taken=at(5030))
    assert choose(moment(100), [early, late], both).segments[0].incarnation == "one"
    assert choose(moment(5100), [early, late], both).segments[0].incarnation == "two"
    # Between the two lives nothing leads on from the old one.
    assert refused(moment(3000), [early, late], both).why == Why.GAP


def test_a_physical_base_has_to_be_consistent_first() -> None:
    physical = base(30, physical=True, ready=Position("binlog.000001", 90))
    assert choose(moment(120), [physical], archived()).base == physical
    with pytest.raises(Unreachable):
        choose(moment(60), [physical], archived())


def test_how_long_it_takes_is_told_from_what_was_measured() -> None:
    plan = choose(moment(555), [base(30)], archived(), rates=Rates(base=100, log=52, measured=True))
    assert (plan.seconds, plan.measured) == (10 + 10, True)


@given(
    st.floats(0, 1300),
    st.lists(st.integers(0, 1190), min_size=1, max_size=4, unique=True),
    st.sets(st.integers(1, 12), max_size=3),
)
def test_a_plan_never_leads_over_a_gap_nor_past_the_moment(
    seconds: float, sets: list[int], missing: set[int]
) -> None:
    segments = [one for one in archived() if one.number not in missing]
    bases = [base(one, one // 400 + 1) for one in sets]
    try:
        plan = choose(moment(seconds), bases, segments)
    except Unreachable as found:
        if found.offer is not None and found.why in {Why.GAP, Why.LATER}:
            assert found.offer <= at(seconds)
            assert choose(Target(found.offer), bases, segments)
        return
    _holds(plan, at(seconds), missing)


def _holds(plan: Plan, wanted: datetime, missing: set[int]) -> None:
    numbers = [one.number for one in plan.segments]
    assert numbers == list(range(numbers[0], numbers[-1] + 1)) if numbers else plan.stop == plan.base.position
    assert not set(numbers) & missing
    assert plan.base.taken <= wanted
    assert plan.surely is not None
    assert plan.surely <= wanted
    known = [mark for one in plan.segments for mark in one.marks if mark.position == plan.stop]
    assert all(mark.until <= wanted for mark in known)
